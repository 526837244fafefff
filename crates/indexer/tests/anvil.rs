//! A job's life on a real chain, as the index shows it; a reorganisation; another chain behind the
//! same URL.

use std::sync::Arc;
use std::time::Duration;

use licen_chain::anvil::{Anvil, AnvilOptions};
use licen_chain::deployment::{deploy, deploy_beside};
use licen_chain::{Call, Deployment, FileJournal, RpcOptions, Rpcs, Sender, SenderOptions, WalletKey};
use licen_core::abi::{Custody, DataPolicy, Job, Member, Policy, Request, ResultManifest, Split, Verdict};
use licen_core::eip712::{Domain, compact};
use licen_core::id;
use licen_core::job::{Grant, granted, started};
use licen_core::primitives::{Address, B256, U256};
use licen_core::sol_types::{SolCall, SolStruct};
use licen_indexer::graphql::{Schema, schema};
use licen_indexer::{Config, Freshness};
use licen_peers::{Http, Timeouts};
use licen_store::Store;

struct World {
    anvil: Anvil,
    sender: Sender<FileJournal>,
    rpcs: Arc<Rpcs>,
    deployment: Deployment,
    sent: u32,
    _dir: tempfile::TempDir,
}

fn http() -> Http {
    Http::direct(Timeouts::within(Duration::from_secs(10))).unwrap()
}

async fn anvil(options: &AnvilOptions) -> Anvil {
    Anvil::start(&http().to(""), options).await.unwrap()
}

async fn rpcs(url: &str) -> Arc<Rpcs> {
    let options = RpcOptions { urls: vec![url.to_string()], confirmations: 0, ..RpcOptions::default() };
    let http = http();
    Arc::new(Rpcs::connect(|url| http.to(url), &options).await.unwrap())
}

impl World {
    async fn new() -> Self {
        let anvil = anvil(&AnvilOptions::default()).await;
        let rpcs = rpcs(anvil.url()).await;
        let key = WalletKey::generate();
        rpcs.primary().dev_fund(key.address(), U256::from(10u128.pow(20))).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let journal = FileJournal::open(dir.path(), &rpcs.identity(), key.address()).unwrap();
        let options =
            SenderOptions { confirmations: 0, poll: Duration::from_millis(20), ..SenderOptions::default() };
        let sender = Sender::new(Arc::clone(&rpcs), key, journal, options);
        let deployment = deploy(&sender, "test", anvil.url(), Address::repeat_byte(0xfe), 250).await.unwrap();
        Self { anvil, sender, rpcs, deployment, sent: 0, _dir: dir }
    }

    /// One more `DataPolicy`; new datasets are registered there.
    async fn deploy_beside(&mut self) {
        let fees = Address::repeat_byte(0xfe);
        self.deployment = deploy_beside(&self.sender, "second", &self.deployment, fees, 0).await.unwrap();
    }

    fn data_policy(&self) -> Address {
        self.deployment.contracts.newest()
    }

    fn domain(&self) -> Domain {
        Domain { chain_id: self.deployment.chain_id, contract: self.data_policy() }
    }

    async fn call(&mut self, to: Address, value: u128, call: impl SolCall) {
        self.sent += 1;
        let idem_key = format!("{}", self.sent);
        let data = call.abi_encode().into();
        let call = Call { idem_key, to: Some(to), value: U256::from(value), data };
        self.sender.send_and_confirm(&call).await.unwrap();
    }

    /// A set of one custodian, an appraisal policy, a dataset under both.
    async fn register(&mut self, custodian: &WalletKey) -> Policy {
        let (owner, custody) = (self.sender.address(), self.deployment.contracts.custody);
        let salt = B256::repeat_byte(1);
        let members = vec![Member { signer: custodian.address(), hpkeKey: B256::repeat_byte(9) }];
        self.call(custody, 0, Custody::createSetCall { salt, t: 1, members }).await;
        let entries = vec![B256::repeat_byte(8)];
        self.call(custody, 0, Custody::createAppraisalPolicyCall { salt, entries }).await;
        let policy = Policy {
            datasetUid: id::dataset_uid(self.deployment.chain_id, owner, salt),
            datasetRoot: B256::repeat_byte(2),
            owner,
            salt,
            version: 1,
            envelopeHash: B256::repeat_byte(3),
            payee: id::split_account(&split(owner)),
            royaltyPerEpoch: 1_000_000,
            maxEpochsPerRun: 5,
            maxRunsPerRequester: 5,
            startWindow: 1_800,
            runWindow: 3_600,
            purposes: vec![B256::repeat_byte(4)],
            constraintsHash: B256::repeat_byte(5),
            manifestHash: B256::repeat_byte(6),
            custodianSet: id::custody_id(owner, salt),
            setVersion: 1,
            appraisalPolicy: id::custody_id(owner, salt),
            requiredLevel: 1,
            ..Policy::default()
        };
        self.register_again(&policy).await;
        policy
    }

    /// The same dataset at the newest contract.
    async fn register_again(&mut self, policy: &Policy) {
        let call = DataPolicy::registerDataset_0Call { policy: policy.clone() };
        self.call(self.data_policy(), 0, call).await;
    }

    async fn request(&mut self, policy: &Policy, counter: u64) -> Job {
        let request = Request {
            purposeId: B256::repeat_byte(4),
            epochs: 3,
            units: 3,
            jobSpecHash: B256::repeat_byte(7),
            resultKey: B256::repeat_byte(7),
            ..Request::default()
        };
        let call = DataPolicy::requestAccess_0Call { policy: policy.clone(), request: request.clone() };
        self.call(self.data_policy(), 3_000_000, call).await;
        let now = self.rpcs.primary().head_ref().await.unwrap().timestamp;
        let requester = self.sender.address();
        let grant = Grant { requester, counter, now, protocol_fee_bps: 250, ..Grant::default() };
        granted(&self.domain(), policy, &request, &grant)
    }

    async fn start(&mut self, job: &Job, custodian: &WalletKey, compute: &WalletKey) -> Job {
        let now = self.rpcs.primary().head_ref().await.unwrap().timestamp;
        let verdict = Verdict {
            jobId: job.jobId,
            attempt: 1,
            signer: compute.address(),
            runtimeDataHash: B256::repeat_byte(5),
            level: 1,
            appraisalPolicy: job.appraisalPolicy,
            custodianSet: job.custodianSet,
            setVersion: 1,
            expiresAt: now + 600,
            ..Verdict::default()
        };
        let signature = compact(0, &sign(custodian, &self.domain(), &verdict)).unwrap();
        let call = DataPolicy::startJobCall {
            job: job.clone(),
            signer: compute.address(),
            verdicts: vec![verdict],
            signatures: vec![signature],
        };
        self.call(self.data_policy(), 0, call).await;
        let now = self.rpcs.primary().head_ref().await.unwrap().timestamp;
        started(job, 1, compute.address(), B256::repeat_byte(5), now + 3_600)
    }

    async fn confirm(&mut self, job: &Job, compute: &WalletKey) {
        let manifest = ResultManifest {
            jobId: job.jobId,
            attempt: 1,
            datasetRoot: job.datasetRoot,
            resultHash: B256::repeat_byte(0xaa),
            actualEpochs: 2,
            attestationRef: B256::repeat_byte(0xbb),
            baseModelRoot: B256::repeat_byte(0xcc),
            adapterRoot: B256::repeat_byte(0xdd),
            reportHash: B256::repeat_byte(0xee),
            ..ResultManifest::default()
        };
        let signature = sign(compute, &self.domain(), &manifest).to_vec().into();
        let call = DataPolicy::confirmTrainingCompleteCall { job: job.clone(), manifest, signature };
        self.call(self.data_policy(), 0, call).await;
    }

    async fn index(&self) -> (Freshness, Schema) {
        let (freshness, schema, _) = self.index_in(Store::in_memory().await.unwrap());
        (freshness, schema)
    }

    fn index_in(&self, store: Store) -> (Freshness, Schema, tokio::task::JoinHandle<()>) {
        let identity = self.rpcs.identity();
        let freshness = Freshness::new(identity.chain_id, identity.genesis_hash);
        let start_block = self.deployment.start_block;
        let config = Config { start_block, poll_ms: 20, ..Config::default() };
        let (rpcs, told, tables) = (Arc::clone(&self.rpcs), freshness.clone(), store.clone());
        let contracts = self.deployment.contracts.clone();
        let running = tokio::spawn(async move {
            let forever = std::future::pending();
            licen_indexer::run(config, tables, &rpcs, &contracts, told, forever).await.unwrap();
        });
        (freshness.clone(), schema(store, freshness), running)
    }

    async fn caught_up(&self, freshness: &Freshness) {
        let head = self.rpcs.primary().head_number().await.unwrap();
        until(freshness, |s| s.ready() && s.indexed == Some(head)).await;
    }
}

/// Two thirds to a stranger.
fn split(owner: Address) -> Split {
    let accounts = vec![id::account_of(owner), id::account_of(Address::repeat_byte(0x77))];
    Split { accounts, bps: vec![3_333, 6_667], ..Split::default() }
}

async fn ask(schema: &Schema, query: &str) -> serde_json::Value {
    let response = schema.execute(query).await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);
    response.data.into_json().unwrap()
}

async fn until(freshness: &Freshness, what: impl FnMut(&licen_indexer::Status) -> bool) {
    let mut news = freshness.subscribe();
    let waiting = news.wait_for(what);
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("the index does not follow").unwrap();
}

fn sign<T: SolStruct>(key: &WalletKey, domain: &Domain, message: &T) -> [u8; 65] {
    key.sign_digest(&domain.digest(message))
}

async fn jobs(schema: &Schema) -> String {
    let query = "{ Job(order_by: {timestamp: asc}) { state actualEpochs escrow royaltySettled protocolFee
        refundIssued royaltyRefund } }";
    let response = schema.execute(query).await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);
    response.data.to_string()
}

const SETTLED: &str = "{Job: [{state: \"Completed\", actualEpochs: 2, escrow: \"3000000\", \
    royaltySettled: \"2000000\", protocolFee: \"50000\", refundIssued: \"1000000\", \
    royaltyRefund: \"1000000\"}]}";
const OPEN: &str = "{Job: [{state: \"Running\", actualEpochs: null, escrow: \"3000000\", \
    royaltySettled: null, protocolFee: null, refundIssued: null, royaltyRefund: null}]}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_on_a_real_chain_and_a_reorganisation_under_its_end() {
    let mut world = World::new().await;
    let (custodian, compute) = (WalletKey::generate(), WalletKey::generate());
    let (freshness, schema) = world.index().await;
    let policy = world.register(&custodian).await;
    let job = world.request(&policy, 1).await;
    let running = world.start(&job, &custodian, &compute).await;
    world.caught_up(&freshness).await;
    assert_eq!(jobs(&schema).await, OPEN);
    world.confirm(&running, &compute).await;
    world.caught_up(&freshness).await;
    assert_eq!(jobs(&schema).await, SETTLED);
    // The block of the confirmation is replaced by an empty one.
    let result = "{ Job { resultHash baseModelRoot adapterRoot reportHash unit units royaltyPerUnit } }";
    let of = |byte| B256::repeat_byte(byte).to_string();
    let settled = serde_json::json!({ "Job": [{ "resultHash": of(0xaa), "baseModelRoot": of(0xcc),
        "adapterRoot": of(0xdd), "reportHash": of(0xee), "unit": "epoch", "units": 3,
        "royaltyPerUnit": "1000000" }] });
    assert_eq!(ask(&schema, result).await, settled);
    world.rpcs.primary().dev_reorg(1).await.unwrap();
    world.rpcs.primary().dev_mine(1).await.unwrap();
    world.caught_up(&freshness).await;
    assert_eq!(jobs(&schema).await, OPEN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_chain_behind_the_same_url_halts_the_index() {
    let world = World::new().await;
    let (freshness, schema) = world.index().await;
    world.caught_up(&freshness).await;
    let port = world.anvil.url().rsplit(':').next().unwrap().parse().unwrap();
    drop(world.anvil);
    let options = AnvilOptions { port: Some(port), ..AnvilOptions::default() };
    let arguments = ["--timestamp", "1700000000"].map(String::from).to_vec();
    let _other = anvil(&AnvilOptions { arguments, ..options }).await;
    until(&freshness, |status| status.halted).await;
    assert!(freshness.get().problem.contains("another chain"), "{}", freshness.get().problem);
    let answer = schema.execute("{ _meta { ready problem } }").await;
    assert!(answer.errors.is_empty() && answer.data.to_string().contains("ready: false"));
}

const BALANCES: &str = "{ Payment(order_by: {id: asc}) { kind account amount jobId ref to } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_ledger_has_follows_from_its_events_and_from_nothing_else() {
    let mut world = World::new().await;
    let (custodian, compute) = (WalletKey::generate(), WalletKey::generate());
    let (freshness, schema) = world.index().await;
    let policy = world.register(&custodian).await;
    let job = world.request(&policy, 1).await;
    let running = world.start(&job, &custodian, &compute).await;
    world.confirm(&running, &compute).await;
    let (owner, contract) = (world.sender.address(), world.data_policy());
    let split = split(owner);
    let token = Address::ZERO;
    world.call(contract, 0, DataPolicy::announceCall { split: split.clone() }).await;
    world.call(contract, 0, DataPolicy::distributeCall { split: split.clone(), token }).await;
    world.call(contract, 0, DataPolicy::withdrawToCall { to: Address::repeat_byte(0x55), token }).await;
    world.caught_up(&freshness).await;
    let moves = ask(&schema, BALANCES).await;
    let moves = moves["Payment"].as_array().unwrap();
    let mut balances = std::collections::BTreeMap::new();
    for row in moves {
        let amount: i128 = row["amount"].as_str().unwrap().parse().unwrap();
        let amount = if row["kind"] == "credited" { amount } else { -amount };
        *balances.entry(row["account"].as_str().unwrap().parse::<B256>().unwrap()).or_insert(0) += amount;
    }
    let head = world.rpcs.confirmed_head().await.unwrap();
    assert_eq!(balances.len(), 4, "the split, the owner, the stranger, the fee");
    for (account, found) in balances {
        let call = DataPolicy::creditCall { account, token };
        let has = world.rpcs.view(&head, contract, &call).await.unwrap();
        assert_eq!(U256::try_from(found).unwrap(), has, "{account}");
    }
    let withdrawn = moves.iter().find(|row| row["kind"] == "withdrawn").unwrap();
    assert_eq!(withdrawn["to"], Address::repeat_byte(0x55).to_string());
    assert_eq!(moves.iter().filter(|row| row["jobId"] == job.jobId.to_string()).count(), 2);
    let found = ask(&schema, "{ Split { account accounts bps start duration } }").await;
    let accounts: Vec<String> = split.accounts.iter().map(ToString::to_string).collect();
    let expected = serde_json::json!({ "Split": [{ "account": policy.payee, "accounts": accounts,
        "bps": split.bps, "start": 0, "duration": 0 }] });
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_that_joins_later_brings_its_past() {
    let mut world = World::new().await;
    let custodian = WalletKey::generate();
    let store = Store::in_memory().await.unwrap();
    let policy = world.register(&custodian).await;
    let first = world.data_policy();
    let (freshness, schema, running) = world.index_in(store.clone());
    world.caught_up(&freshness).await;
    let all = "{ Dataset(order_by: {blockNumber: asc}) { contract datasetUid } Job { contract state } }";
    let uid = policy.datasetUid.to_string();
    let here = serde_json::json!({ "contract": first.to_string(), "datasetUid": uid });
    assert_eq!(ask(&schema, all).await, serde_json::json!({ "Dataset": [here], "Job": [] }));
    // The index of the one contract passes by everything that happens at the second.
    let known = world.deployment.clone();
    world.deploy_beside().await;
    let second = world.data_policy();
    world.register_again(&policy).await;
    world.request(&policy, 1).await;
    world.caught_up(&freshness).await;
    assert_eq!(ask(&schema, all).await, serde_json::json!({ "Dataset": [here], "Job": [] }));
    running.abort();
    let _ = running.await;
    // The same database under a configuration that names both.
    let (freshness, schema, running) = world.index_in(store.clone());
    world.caught_up(&freshness).await;
    let there = serde_json::json!({ "contract": second.to_string(), "datasetUid": uid });
    let job = serde_json::json!({ "contract": second.to_string(), "state": "Granted" });
    assert_eq!(ask(&schema, all).await, serde_json::json!({ "Dataset": [here, there], "Job": [job] }));
    let mut contracts = [first, second];
    contracts.sort();
    let contracts = contracts.map(|contract| contract.to_string());
    let meta = ask(&schema, "{ _meta { contracts { dataPolicies custody } } }").await;
    let custody = world.deployment.contracts.custody.to_string();
    let expected = serde_json::json!({ "dataPolicies": contracts, "custody": custody });
    assert_eq!(meta["_meta"]["contracts"], expected);
    running.abort();
    let _ = running.await;
    // And one that leaves takes its rows along: nothing would ever bring them up to date.
    world.deployment = known;
    let (freshness, schema, _running) = world.index_in(store);
    world.caught_up(&freshness).await;
    assert_eq!(ask(&schema, all).await, serde_json::json!({ "Dataset": [here], "Job": [] }));
}
