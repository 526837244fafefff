//! `licen run node`: one process, one database, one address.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use licen_core::primitives::B256;
use licen_core::wire::node::{DeploymentInfo, ModelInfo};
use licen_orchestrator::ComputeUrl;
use licen_peers::{Caller, TrustedProxies};
use licen_store::Store;
use serde::Deserialize;

use super::forward::{Computes, problem};
use super::models::{Models, NotAdded};

/// The node's file. Secrets are named by path.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Database, blobs and the list of models.
    pub state: PathBuf,
    /// deployment.json.
    pub deployment: PathBuf,
    /// RPC URLs; two or more off the local chain.
    pub rpc: Vec<String>,
    /// Compute: its base URL or {url, providerId}; or a list of several, each with its providerId.
    #[serde(deserialize_with = "one_or_more")]
    pub compute: Vec<ComputeUrl>,
    /// Wallet that pays for startJob and settlement; it needs coins and no rights.
    pub wallet: PathBuf,
    /// Confirmation depth.
    pub confirmations: u64,
    /// Whether to drive jobs; false runs an index and blobs only.
    #[serde(default = "yes")]
    pub orchestrate: bool,
    /// Pause between looks at the chain and at compute, milliseconds.
    #[serde(default = "poll")]
    pub poll_ms: u64,
    /// Reverse proxies whose `X-Forwarded-For` says who asks: addresses or networks. Without any, whoever
    /// connects is who asks.
    #[serde(default)]
    pub trusted_proxies: TrustedProxies,
}

impl NodeConfig {
    /// Where compute reads and writes blobs.
    #[must_use]
    pub fn blob_url(&self) -> String {
        format!("http://{}", self.listen)
    }
}

/// One compute, or a list of at least one, with the names that several need.
fn one_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<ComputeUrl>, D::Error> {
    const EXPECTED: &str = "compute is a URL, {url, providerId}, or a list of these";
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Entry {
        Url(String),
        Named(ComputeUrl),
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Entries {
        One(Entry),
        More(Vec<Entry>),
    }
    let refused = serde::de::Error::custom;
    let entries = match Entries::deserialize(deserializer).map_err(|_| refused(EXPECTED.to_string()))? {
        Entries::One(entry) => vec![entry],
        Entries::More(entries) => entries,
    };
    let named = |entry| match entry {
        Entry::Url(url) => ComputeUrl { url, provider_id: None },
        Entry::Named(compute) => compute,
    };
    let computes: Vec<ComputeUrl> = entries.into_iter().map(named).collect();
    if computes.is_empty() {
        return Err(refused("compute names no address".to_string()));
    }
    ComputeUrl::check(&computes).map_err(refused)?;
    Ok(computes)
}

fn yes() -> bool {
    true
}

fn poll() -> u64 {
    500
}

/// What the routes share.
#[derive(Debug)]
pub struct Shared {
    /// What `GET /v1/deployment` says.
    pub deployment: DeploymentInfo,
    /// Base models.
    pub models: Models,
    /// Compute behind this node.
    pub compute: Computes,
    /// The index, which knows whose a job is.
    pub index: Store,
    /// Whose word about callers counts.
    pub trusted_proxies: TrustedProxies,
}

impl Shared {
    /// The provider that a job names, where the index has the job.
    async fn provider_of(&self, job: B256) -> Option<B256> {
        self.index.job(job).await.ok().flatten().map(|row| row.provider_id)
    }
}

/// The node's own routes; blobs and GraphQL are merged beside them.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/v1/deployment",
            get(|State(s): State<Arc<Shared>>| async move { Json(s.deployment.clone()) }),
        )
        .route("/v1/models", get(models).post(add_model))
        .route(
            "/v1/compute/info",
            get(|State(s): State<Arc<Shared>>| async move { Json(s.compute.infos().await) }),
        )
        .route("/v1/compute/quote", axum::routing::post(quote))
        .route("/v1/jobs/{job}/{attempt}", get(task))
        .route("/v1/jobs/{job}/{attempt}/stop", axum::routing::post(stop))
        .with_state(shared)
}

async fn models(State(shared): State<Arc<Shared>>) -> Response {
    let speed = shared.compute.tokens_per_second().await;
    Json(shared.models.all(speed)).into_response()
}

/// A name in this list decides what `--base NAME` means, so only the node's own machine adds one.
async fn add_model(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Json(model): Json<ModelInfo>,
) -> Response {
    if !Caller::of(peer.ip(), &headers, &shared.trusted_proxies).is_local() {
        return problem(StatusCode::FORBIDDEN, "base models are added from the node's own machine");
    }
    match shared.models.add(model) {
        Ok(()) => Json(serde_json::json!({"added": true})).into_response(),
        Err(NotAdded::Taken(reason)) => problem(StatusCode::CONFLICT, &reason),
        Err(NotAdded::NoRoom(reason)) => problem(StatusCode::INSUFFICIENT_STORAGE, &reason),
    }
}

async fn quote(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    shared.compute.quote(&body).await
}

async fn task(State(shared): State<Arc<Shared>>, Path((job, attempt)): Path<(String, u32)>) -> Response {
    let Some(job) = job_id(&job) else { return problem(StatusCode::BAD_REQUEST, "not a job id") };
    let provider = shared.provider_of(job).await;
    shared.compute.get(&format!("/v1/jobs/{job}/{attempt}"), provider).await
}

/// Compute checks the signature, which names the attempt as well.
async fn stop(
    State(shared): State<Arc<Shared>>,
    Path((job, attempt)): Path<(String, u32)>,
    body: Bytes,
) -> Response {
    let Some(job) = job_id(&job) else { return problem(StatusCode::BAD_REQUEST, "not a job id") };
    let provider = shared.provider_of(job).await;
    shared.compute.post(&format!("/v1/jobs/{job}/{attempt}/stop"), &body, provider).await
}

/// Only 32 bytes in hex go into a path that is passed on.
fn job_id(text: &str) -> Option<B256> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn computes(compute: &str) -> Result<Vec<ComputeUrl>, String> {
        let rest = "listen = \"127.0.0.1:1\"\nstate = \"n\"\ndeployment = \"d\"\nrpc = []\nwallet = \"w\"";
        let text = format!("{rest}\nconfirmations = 2\ncompute = {compute}");
        toml::from_str::<NodeConfig>(&text).map(|config| config.compute).map_err(|e| e.message().to_string())
    }

    #[test]
    fn a_node_knows_which_of_its_computes_is_whose_before_it_starts() {
        let (a, b) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let one = ComputeUrl { url: "http://a".into(), provider_id: None };
        assert_eq!(computes("\"http://a\"").unwrap(), std::slice::from_ref(&one));
        assert_eq!(computes("[\"http://a\"]").unwrap(), [one]);
        let named =
            |id: B256| format!("{{ url = \"http://{}\", providerId = \"{id}\" }}", &id.to_string()[2..4]);
        assert_eq!(computes(&named(a)).unwrap()[0].provider_id, Some(a));
        let two = computes(&format!("[{}, {}]", named(a), named(b))).unwrap();
        assert_eq!(two.iter().map(|c| c.provider_id).collect::<Vec<_>>(), [Some(a), Some(b)]);
        let refused = |text: &str| computes(text).unwrap_err();
        assert!(refused(&format!("[{}, \"http://b\"]", named(a))).contains("http://b does not"));
        assert!(refused("[\"http://a\", \"http://b\"]").contains("each names its providerId"));
        assert!(refused("[]").contains("names no address"));
        for wrong in ["3", "{ url = \"http://a\", provider = \"x\" }", "[3]"] {
            assert!(refused(wrong).contains("compute is a URL, {url, providerId}"), "{wrong}");
        }
    }

    fn proxies(texts: &[&str]) -> TrustedProxies {
        texts.iter().map(ToString::to_string).collect::<Vec<_>>().try_into().unwrap()
    }

    /// What a node says to a connection from its own machine that brings these headers and adds a model.
    async fn adding(trusted: &[&str], headers: &[(&'static str, &str)]) -> u16 {
        let dir = tempfile::tempdir().unwrap();
        let info = serde_json::json!({"chainId": 1, "genesisHash": B256::ZERO, "rpcUrl": "", "custodians": [],
            "contracts": {"dataPolicies": [], "custody": licen_core::primitives::Address::ZERO}});
        let shared = Arc::new(Shared {
            deployment: serde_json::from_value(info).unwrap(),
            models: Models::open(dir.path().join("models.json")).unwrap(),
            compute: Computes::new(&[], "").unwrap(),
            index: Store::in_memory().await.unwrap(),
            trusted_proxies: proxies(trusted),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/models", listener.local_addr().unwrap());
        let app = router(shared).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let model = serde_json::json!({"name": "m", "baseModelRoot": B256::ZERO, "bytes": 1,
            "tokensPerSecond": 0.0, "tokenizerHash": B256::ZERO});
        let mut request = reqwest::Client::new().post(url).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(model.to_string()).send().await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn a_stranger_behind_a_proxy_on_the_nodes_machine_adds_no_model() {
        const FOR: &str = "x-forwarded-for";
        let stranger = "203.0.113.9";
        assert_eq!(adding(&[], &[]).await, 200, "the operator, without a proxy");
        assert_eq!(adding(&["127.0.0.1"], &[]).await, 200, "and beside it");
        assert_eq!(adding(&["127.0.0.1"], &[(FOR, "127.0.0.1")]).await, 200, "and through it");
        for (trusted, headers) in [
            (&[][..], &[(FOR, stranger)][..]),
            (&[], &[(FOR, "127.0.0.1")]),
            (&[], &[("forwarded", "for=127.0.0.1")]),
            (&["10.0.0.0/8"], &[(FOR, "127.0.0.1")]),
            (&["127.0.0.1"], &[(FOR, stranger)]),
            (&["127.0.0.1"], &[(FOR, "127.0.0.1, 203.0.113.9")]),
            (&["127.0.0.1"], &[(FOR, "127.0.0.1"), (FOR, stranger)]),
            (&["127.0.0.1"], &[(FOR, "unknown")]),
            (&["127.0.0.1", "10.0.0.0/8"], &[(FOR, "127.0.0.1, 10.0.0.7")]),
        ] {
            assert_eq!(adding(trusted, headers).await, 403, "{trusted:?} {headers:?}");
        }
    }

    #[test]
    fn a_nodes_proxy_is_an_address_or_a_network_and_nothing_else() {
        let rest = "listen = \"127.0.0.1:1\"\nstate = \"n\"\ndeployment = \"d\"\nrpc = []\nwallet = \"w\"\n\
                    confirmations = 2\ncompute = \"http://a\"\n";
        let with = |line: &str| toml::from_str::<NodeConfig>(&format!("{rest}{line}"));
        assert_eq!(with("").unwrap().trusted_proxies, TrustedProxies::default());
        let some = with("trustedProxies = [\"127.0.0.1\", \"10.0.0.0/8\"]").unwrap().trusted_proxies;
        assert_eq!(some, proxies(&["127.0.0.1", "10.0.0.0/8"]));
        for (bad, why) in [
            ("[\"proxy.example\"]", "neither an address nor a network"),
            ("[\"10.0.0.1/8\"]", "bits behind its prefix"),
            ("[\"0.0.0.0/0\"]", "is everybody"),
        ] {
            let said = with(&format!("trustedProxies = {bad}")).unwrap_err().to_string();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }
}
