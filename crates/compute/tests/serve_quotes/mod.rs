//! Prices: what a provider's signature says, and what this node gives no price for.

use licen_core::abi::{Job, Policy};
use licen_core::constraints::Constraints;
use licen_core::eip712::Domain;
use licen_core::primitives::{Address, B256, Bytes};
use licen_core::wire::AbiHex;
use licen_core::wire::compute::{ComputeInfo, QuoteRequest, QuoteResponse};
use licen_seal::SigningKey;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::serve_world::{Setting, World, now};

const PROVIDER: B256 = B256::repeat_byte(3);

/// A provider's world with these prices.
struct Priced {
    world: World,
    key: SigningKey,
    _dir: TempDir,
}

async fn priced(prices: Value, constraints: Constraints, more: Value) -> Priced {
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (dir.path().join("quote.key"), SigningKey::generate().ok().unwrap());
    key.save(&path).unwrap();
    let mut config = json!({
        "quoteKeyFile": path, "providerId": PROVIDER, "jurisdiction": "CH", "prices": prices,
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let world = World::new(Setting { config, constraints, ..Setting::default() }).await;
    Priced { world, key, _dir: dir }
}

impl Priced {
    fn request(&self) -> QuoteRequest {
        let world = &self.world;
        QuoteRequest {
            chain_id: world.domain.chain_id,
            contract: world.domain.contract,
            provider_id: PROVIDER,
            job_id: world.job.jobId,
            policy: AbiHex(world.policy.clone()),
            job_spec: Bytes::from(world.job_spec.clone()),
            epochs: world.job.epochs,
            license_id: world.job.licenseId,
            blob_url: world.blob_url.clone(),
        }
    }

    async fn ask(&self, request: &QuoteRequest) -> (u16, Value) {
        let url = format!("{}/v1/quote", self.world.node_url);
        self.world.post(&url, serde_json::to_vec(request).unwrap()).await
    }

    async fn fee(&self, request: &QuoteRequest) -> u128 {
        let (code, answer) = self.ask(request).await;
        assert_eq!(code, 200, "{answer}");
        let answer: QuoteResponse = serde_json::from_value(answer).unwrap();
        answer.quote.0.computeFeePerEpoch
    }

    async fn declined(&self, request: &QuoteRequest, why: &str) {
        let (code, problem) = self.ask(request).await;
        let told = problem["detail"].as_str().unwrap_or_default();
        assert!(code == 422 && problem["code"] == "LIC0818" && told.contains(why), "{why}: {problem}");
    }
}

fn per_epoch() -> Value {
    json!([{"perEpoch": "1000000000000000000000"}])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quote_says_word_for_word_what_its_job_will_say() {
    let priced = priced(per_epoch(), Constraints::default(), json!({})).await;
    let (code, answer) = priced.ask(&priced.request()).await;
    assert_eq!(code, 200, "{answer}");
    let answer: QuoteResponse = serde_json::from_value(answer).unwrap();
    let (quote, domain, job) = (&answer.quote.0, &priced.world.domain, &priced.world.job);
    assert_eq!(domain.signer_of(quote, &answer.signature), Some(priced.key.address()));
    assert_eq!(quote.computeFeePerEpoch, 1_000_000_000_000_000_000_000);
    assert_eq!((quote.providerId, quote.jobId), (PROVIDER, job.jobId));
    assert_eq!((quote.policyHash, quote.token), (job.policyHash, job.token));
    assert_eq!((quote.jobSpecHash, quote.epochs, quote.licenseId), (job.jobSpecHash, 2, job.licenseId));
    assert!((now() + 800..=now() + 900).contains(&quote.expiresAt));
    let elsewhere = Domain { chain_id: 1, ..*domain };
    assert_ne!(elsewhere.signer_of(quote, &answer.signature), Some(priced.key.address()));
    let (_, info) = priced.world.get("/v1/info").await;
    let info: ComputeInfo = serde_json::from_value(info).unwrap();
    assert!(info.prices.len() == 1 && !info.unpaid_jobs && !info.platform_id.is_zero(), "{info:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_has_no_price_for_and_what_it_would_not_train_gets_no_quote() {
    let own = json!([{"baseModel": B256::repeat_byte(9), "perEpoch": "1"}, {"token": Address::repeat_byte(7), "perEpoch": "2"}]);
    let priced = priced(own, Constraints::default(), json!({})).await;
    let request = priced.request();
    priced.declined(&request, "no price for this base model").await;
    let policy = |change: &dyn Fn(&mut Policy)| {
        let mut policy = priced.world.policy.clone();
        change(&mut policy);
        QuoteRequest { policy: AbiHex(policy), ..request.clone() }
    };
    let in_token = policy(&|p| p.token = Address::repeat_byte(7));
    assert_eq!(priced.fee(&in_token).await, 2);
    let changes: [(QuoteRequest, &str); 8] = [
        (policy(&|p| p.token = Address::repeat_byte(8)), "no price"),
        (
            policy(&|p| {
                p.token = Address::repeat_byte(7);
                p.requiredLevel = 2
            }),
            "demands hardware",
        ),
        (QuoteRequest { provider_id: B256::repeat_byte(4), ..in_token.clone() }, "names another provider"),
        (QuoteRequest { chain_id: 1, ..in_token.clone() }, "31337"),
        (QuoteRequest { license_id: "1".parse().unwrap(), ..in_token.clone() }, "license"),
        (QuoteRequest { epochs: 0, ..in_token.clone() }, "0 epochs"),
        (QuoteRequest { epochs: 10, ..in_token.clone() }, "10 epochs"),
        (QuoteRequest { blob_url: "http://127.0.0.1:1".into(), ..in_token.clone() }, "the constraints"),
    ];
    for (changed, why) in changes {
        priced.declined(&changed, why).await;
    }
    let no_json = QuoteRequest { job_spec: Bytes::from_static(b"{ }"), ..in_token.clone() };
    assert_eq!(priced.ask(&no_json).await.0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dataset_that_may_not_leave_a_country_is_priced_there_and_nowhere_else() {
    let in_country = |code: &str| Constraints { jurisdictions: vec![code.into()], ..Constraints::default() };
    let here = priced(per_epoch(), in_country("CH"), json!({})).await;
    here.fee(&here.request()).await;
    let elsewhere = priced(per_epoch(), in_country("DE"), json!({})).await;
    elsewhere.declined(&elsewhere.request(), "jurisdiction").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_price_per_compute_second_is_of_the_published_bytes() {
    let bytes = super::serve_world::rows().len() as u128;
    let prices = json!([{"perComputeSecond": "1000", "bytesPerComputeSecond": 7, "minimum": "5"}]);
    let priced = priced(prices, Constraints::default(), json!({})).await;
    assert_eq!(priced.fee(&priced.request()).await, (bytes * 1_000).div_ceil(7));
    let unknown =
        super::serve_quotes::priced(json!([{"perComputeSecond": "1000"}]), Constraints::default(), json!({}))
            .await;
    unknown.declined(&unknown.request(), "not measured yet").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_prices_gives_no_quotes_and_one_with_prices_trains_for_nobody_else() {
    let silent = World::new(Setting::default()).await;
    let priced = priced(per_epoch(), Constraints::default(), json!({})).await;
    let body = serde_json::to_vec(&priced.request()).unwrap();
    let (code, problem) = silent.post(&format!("{}/v1/quote", silent.node_url), body).await;
    assert_eq!((code, &problem["code"]), (404, &json!("LIC0815")));
    let world = &priced.world;
    let (code, problem) = world.put(&world.dispatch_of(world.job.clone())).await;
    assert!(code == 422 && problem["detail"].as_str().unwrap().contains("names no provider"), "{problem}");
    let another = Job { providerId: B256::repeat_byte(4), ..world.job.clone() };
    let (code, problem) = world.put(&world.dispatch_of(another)).await;
    assert!(code == 422 && problem["detail"].as_str().unwrap().contains("another provider"), "{problem}");
    let named = Job { providerId: PROVIDER, ..world.job.clone() };
    assert_eq!(world.put(&world.dispatch_of(named)).await.0, 200);
}
