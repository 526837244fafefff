//! One custodian, started from files, against the real contracts on a real node: they take what it
//! signs, and it believes what they say.

use std::future::pending;
use std::path::Path;
use std::time::Duration;

use licen_chain::anvil::{Anvil, AnvilOptions};
use licen_chain::deployment::deploy;
use licen_chain::{
    Call, Chain, ChainError, EventKind, FileJournal, RpcOptions, Rpcs, Sender, SenderOptions, WalletKey,
};
use licen_core::abi::{Custody, DataPolicy, Request};
use licen_core::id;
use licen_core::primitives::U256;
use licen_core::sol_types::{SolCall, SolValue};
use licen_peers::{Http, Timeouts};
use licen_seal::release::{combine, open_released};
use licen_seal::result::ResultHeader;
use licen_seal::result_share::{combine_result, open_result_release};
use licen_seal::warrant::{ReleaseDomain, ReleaseTerms};

use super::http::{Client, read, serve_blobs};
use super::*;
use crate::config::Config;
use crate::contracts::{FormerContract, ServedContract};
use crate::error::Error;
use crate::run::Custodian;

async fn wallet(rpcs: &Arc<Rpcs>, dir: &Path) -> Sender<FileJournal> {
    let key = WalletKey::generate();
    let wei = U256::from(1_000_000_000_000_000_000u64);
    rpcs.primary().dev_fund(key.address(), wei * U256::from(100)).await.unwrap();
    let journal = FileJournal::open(dir, &rpcs.identity(), key.address()).unwrap();
    let options = SenderOptions {
        confirmations: 0,
        poll: Duration::from_millis(20),
        deadline: Duration::from_secs(60),
        ..SenderOptions::default()
    };
    Sender::new(rpcs.clone(), key, journal, options)
}

/// Sends a call and gives the events of its transaction.
async fn send(by: &Sender<FileJournal>, to: Address, value: u64, call: &impl SolCall) -> Vec<EventKind> {
    let data: Bytes = call.abi_encode().into();
    let idem_key = keccak256([to.as_slice(), &data].concat()).to_string();
    let call = Call { idem_key, to: Some(to), value: U256::from(value), data };
    let done = by.send_and_confirm(&call).await.unwrap();
    by.events(&done.mined).await.unwrap().into_iter().map(|event| event.kind).collect()
}

fn config(dir: &Path, url: &str) -> Config {
    signing(1).save(&dir.join("signing.json")).unwrap_or_else(|e| panic!("{e}"));
    recipient(1).save(&dir.join("recipient.json")).unwrap_or_else(|e| panic!("{e}"));
    std::fs::write(dir.join("reference.json"), entry().values().to_bytes().unwrap()).unwrap();
    let value = serde_json::json!({
        "listen": "127.0.0.1:0",
        "stateDir": dir.join("custodian"),
        "signingKeyFile": dir.join("signing.json"),
        "recipientKeyFile": dir.join("recipient.json"),
        "rpcUrls": [url],
        "confirmations": 0,
        "deployment": dir.join("deployment.json"),
        "referenceValues": [dir.join("reference.json")],
    });
    serde_json::from_value(value).unwrap()
}

/// Asks for a job of three epochs under the world's policy.
async fn request(requester: &Sender<FileJournal>, data_policy: Address, world: &World) -> Job {
    let request = Request {
        purposeId: id::purpose_id("research"),
        epochs: 3,
        units: 3,
        jobSpecHash: world.job.jobSpecHash,
        resultKey: world.job.resultKey,
        ..Request::default()
    };
    let ask = DataPolicy::requestAccess_0Call { policy: world.policy.clone(), request };
    let events = send(requester, data_policy, 3_000, &ask).await;
    let opened = |event| if let EventKind::JobOpened(opened) = event { Some(opened.job) } else { None };
    events.into_iter().find_map(opened).unwrap()
}

/// The chain with everything published and one job granted.
struct Town {
    anvil: Anvil,
    dir: tempfile::TempDir,
    owner: Sender<FileJournal>,
    requester: Sender<FileJournal>,
    data_policy: Address,
    world: World,
}

fn http() -> Http {
    Http::direct(Timeouts::within(Duration::from_secs(10))).unwrap()
}

async fn anvil(options: &AnvilOptions) -> Anvil {
    Anvil::start(&http().to(""), options).await.unwrap()
}

impl Town {
    async fn build() -> Self {
        let anvil = anvil(&AnvilOptions::default()).await;
        let options =
            RpcOptions { urls: vec![anvil.url().to_owned()], confirmations: 0, ..RpcOptions::default() };
        let rpcs = Arc::new(Rpcs::connect(|url| http().to(url), &options).await.unwrap());
        let dir = tempfile::tempdir().unwrap();
        let owner = wallet(&rpcs, dir.path()).await;
        let deployment = deploy(&owner, "test", anvil.url(), owner.address(), 100).await.unwrap();
        deployment.write(&dir.path().join("deployment.json")).unwrap();
        let (data_policy, custody) = (deployment.contracts.data_policies[0], deployment.contracts.custody);
        let salt = B256::repeat_byte(1);
        let site = Site {
            domain: Chain::new(rpcs.clone(), data_policy, custody).domain(),
            owner: owner.address(),
            custodian_set: id::custody_id(owner.address(), salt),
            appraisal_policy: id::custody_id(owner.address(), salt),
            t: 1,
            n: 1,
        };
        let mut world = World::on(&site, &Constraints::default(), |_| {});
        let members = world.set.members.clone();
        send(&owner, custody, 0, &Custody::createSetCall { salt, t: 1, members }).await;
        let entries = vec![entry().root()];
        send(&owner, custody, 0, &Custody::createAppraisalPolicyCall { salt, entries }).await;
        let policy = Policy {
            payee: id::account_of(owner.address()),
            royaltyPerEpoch: 1_000,
            maxEpochsPerRun: 5,
            maxRunsPerRequester: 3,
            startWindow: 1_800,
            runWindow: 21_600,
            purposes: vec![id::purpose_id("research")],
            manifestHash: B256::repeat_byte(6),
            ..world.policy.clone()
        };
        send(&owner, data_policy, 0, &DataPolicy::registerDataset_0Call { policy: policy.clone() }).await;
        let requester = wallet(&rpcs, dir.path()).await;
        world.policy = policy;
        world.job = request(&requester, data_policy, &world).await;
        Self { anvil, dir, owner, requester, data_policy, world }
    }

    /// Another `DataPolicy` over the same `Custody`, with the same dataset and a job there; deployment.json
    /// names both from now on.
    async fn also_at_a_second_contract(&self) -> World {
        let path = self.dir.path().join("deployment.json");
        let mut deployment = licen_chain::Deployment::read(&path).unwrap();
        let arguments = (deployment.contracts.custody, Address::ZERO, self.owner.address(), U256::from(100));
        let code = &licen_chain::artifacts::data_policy().bytecode[..];
        let data = [code, &arguments.abi_encode_params()].concat().into();
        let call = Call { idem_key: "second".into(), to: None, value: U256::ZERO, data };
        let second = self.owner.send_and_confirm(&call).await.unwrap().mined.contract.unwrap();
        deployment.contracts.data_policies.push(second);
        deployment.write(&path).unwrap();
        let policy = self.world.policy.clone();
        send(&self.owner, second, 0, &DataPolicy::registerDataset_0Call { policy: policy.clone() }).await;
        let mut world = self.world.also_at(Domain { contract: second, ..self.world.domain });
        world.job = request(&self.requester, second, &world).await;
        world
    }

    /// Starts the job with the custodian's verdict.
    async fn start(&self, answer: VerdictResponse) -> Job {
        let job = self.world.job.clone();
        let signer = answer.verdict.0.signer;
        let (verdicts, signatures) = (vec![answer.verdict.0], vec![answer.signature.0]);
        let start = DataPolicy::startJobCall { job: job.clone(), signer, verdicts, signatures };
        let events = send(&self.owner, self.data_policy, 0, &start).await;
        let begun = events
            .into_iter()
            .find_map(|event| if let EventKind::JobStarted(begun) = event { Some(begun) } else { None })
            .unwrap();
        started(&job, begun.attempt, begun.signer, begun.runtimeDataHash, begun.runDeadline)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_from_challenge_to_paid_result_on_the_real_contracts() {
    let town = Town::build().await;
    let (world, domain) = (&town.world, town.world.domain);
    let custodian = Custodian::start(config(town.dir.path(), town.anvil.url())).await.unwrap();
    let client = Client::new(custodian.address());
    tokio::spawn(custodian.run(pending()));

    let challenge = world.challenge();
    let challenge: ChallengeResponse = read(client.post("/v1/challenge", &challenge).await).await;
    let compute = Compute::new(0x20);
    let data = compute.data(world, challenge.nonce);
    let verdict = read(client.post("/v1/verdict", &compute.request(world, &data)).await).await;
    let early = ReleaseRequest { contract: town.world.domain.contract, job: AbiHex(world.running(&data)) };
    assert_eq!(client.post("/v1/release", &early).await.status(), 425, "no share before startJob");
    let job = town.start(verdict).await;

    let release = ReleaseRequest { contract: town.world.domain.contract, job: AbiHex(job.clone()) };
    let released: ReleaseResponse = read(client.post("/v1/release", &release).await).await;
    let terms = ReleaseTerms {
        recipient: compute.recipient.public(),
        runtime_data_hash: job.runtimeDataHash,
        domain: ReleaseDomain::Simulated,
    };
    let envelope = envelope_of(world);
    let share = open_released(&released.share, &compute.recipient, &envelope, &terms);
    let share = share.unwrap_or_else(|e| panic!("{e}"));
    assert!(combine(&envelope, &[share]).is_ok());

    let finished = Finished::on(domain, &job, 1, 1);
    let delivery = finished.delivery_from(&job, &compute, 1, &serve_blobs(finished.served()).await);
    let held: HeldResponse = read(client.post("/v1/deliver", &delivery).await).await;
    let manifest = finished.manifest(&job);
    let Ask::Deliver(sealed) = finished.sealed(&manifest, &compute.signing, vec![held.signature]) else {
        unreachable!()
    };
    assert_eq!(client.post("/v1/deliver", &sealed).await.status(), 204);
    let result_path = format!("/v1/result/{}", job.jobId);
    assert_eq!(client.get(&result_path).await.status(), 425, "no result key before it is paid");

    let published: SignedManifest = read(client.get(&format!("/v1/manifest/{}", job.jobId)).await).await;
    let confirm = DataPolicy::confirmTrainingCompleteCall {
        job: job.clone(),
        manifest: published.manifest.0,
        signature: published.signature,
    };
    send(&town.owner, town.data_policy, 0, &confirm).await;
    let result: ResultShareResponse = read(client.get(&result_path).await).await;
    let header = ResultHeader::read_from(&mut &finished.blob[..]).unwrap();
    let share = open_result_release(&result.share, &recipient(0x78), &header, &result.result_hash);
    assert!(combine_result(&header, &[share.unwrap_or_else(|e| panic!("{e}"))]).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_custodian_does_not_start_on_another_chain_or_with_open_key_files() {
    use std::os::unix::fs::PermissionsExt;

    let town = Town::build().await;
    let good = config(town.dir.path(), town.anvil.url());
    let other = anvil(&AnvilOptions { chain_id: Some(16_602), ..AnvilOptions::default() }).await;
    let elsewhere = Config { rpc_urls: vec![other.url().to_owned()], ..good.clone() };
    assert!(matches!(Custodian::start(elsewhere).await, Err(Error::Chain(_))));
    let file = &good.signing_key_file;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(Custodian::start(good.clone()).await, Err(Error::Key(_))));
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    // The same chain id with another genesis is another chain, too.
    let path = &good.deployment;
    let mut deployment = licen_chain::Deployment::read(path).unwrap();
    deployment.genesis_hash = B256::repeat_byte(1);
    deployment.write(path).unwrap();
    assert!(matches!(Custodian::start(good).await, Err(Error::Chain(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_destroyed_once_nothing_needs_it() {
    use crate::erase::erase;

    let town = Town::build().await;
    let dir = town.dir.path();
    let mut config = config(dir, town.anvil.url());
    let (old, spare) = (config.recipient_key_file.clone(), dir.join("spare.json"));
    recipient(9).save(&spare).unwrap_or_else(|e| panic!("{e}"));
    let needed = async |config: &Config, by: &str| {
        let refused = erase(config, &old).await.map(|_| ()).unwrap_err();
        assert!(matches!(&refused, Error::KeyNeeded { by: said, .. } if said.contains(by)), "{refused}");
        assert!(old.exists());
    };
    needed(&config, "the configuration names it").await;
    // Another name of the same key changes nothing.
    config.recipient_key_file = dir.join("copy.json");
    std::fs::copy(&old, &config.recipient_key_file).unwrap();
    needed(&config, "the configuration names it").await;

    config.recipient_key_file = spare.clone();
    config.listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let loaded = Config { former_recipient_key_files: vec![old.clone()], ..config.clone() };
    let custodian = Custodian::start(loaded).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(custodian.run(async { drop(stopped.await) }));
    assert!(matches!(erase(&config, &old).await, Err(Error::Busy(_))), "it may have the key in memory");
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();

    needed(&config, "under a live policy").await;
    let store = Store::open(&config.state_dir.join("custodian.db")).await.unwrap();
    store.put_tombstone(town.world.job.datasetUid, b"s", b"r", 1).await.unwrap();
    needed(&config, "has not ended").await;
    let cancel = DataPolicy::cancelJobCall { job: town.world.job.clone() };
    send(&town.requester, town.data_policy, 0, &cancel).await;
    hold(&store, &town.world).await;
    needed(&config, "is promised until").await;

    let stranger = dir.join("stranger.json");
    recipient(0x30).save(&stranger).unwrap_or_else(|e| panic!("{e}"));
    let unknown = erase(&config, &stranger).await.map(|_| ()).unwrap_err();
    assert!(matches!(&unknown, Error::KeyNeeded { by, .. } if by.contains("no custodian set")), "{unknown}");
    let spared = erase(&config, &spare).await.map(|_| ()).unwrap_err();
    assert!(matches!(spared, Error::KeyNeeded { .. }), "{spared}");
    assert!(matches!(erase(&config, &dir.join("none.json")).await, Err(Error::NoKey(_))));
    let name = format!("{}:1", town.world.job.jobId);
    store.put_record("held", &name, &other_head(&town.world), 1).await.unwrap();
    // A crash between overwriting and removing is finished by the next try.
    let place = std::path::absolute(&old).unwrap().display().to_string();
    store.put_record("erasing", &recipient(1).public().0.to_string(), place.as_bytes(), 1).await.unwrap();
    std::fs::write(&old, [0; 64]).unwrap();
    let made = erase(&config, &old).await.unwrap();
    assert!(!old.exists());
    assert_eq!(made.erasure.0.hpkeKey, recipient(1).public().0);
    assert_eq!(
        town.world.domain.chain().signer_of(&made.erasure.0, &made.signature),
        Some(signing(1).address())
    );
    assert_eq!(erase(&config, &old).await.unwrap(), made, "asked again, the same word");
    // A backup of the key does not make its custodian a liar.
    recipient(1).save(&old).unwrap_or_else(|e| panic!("{e}"));
    let restored = Config { former_recipient_key_files: vec![old.clone()], ..config.clone() };
    assert!(matches!(Custodian::start(restored).await, Err(Error::Erased(_))));
    assert_eq!(store.verify_audit().await.unwrap(), None);
}

fn served(address: Address) -> ServedContract {
    ServedContract { address, code_hash: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dataset_is_served_at_two_contracts_and_only_where_it_is_configured() {
    let town = Town::build().await;
    let (first, second) = (&town.world, town.also_at_a_second_contract().await);
    let both = config(town.dir.path(), town.anvil.url());
    let custodian = Custodian::start(both.clone()).await.unwrap();
    let client = Client::new(custodian.address());
    tokio::spawn(custodian.run(pending()));
    let info: CustodianInfo = read(client.get("/v1/custodian").await).await;
    assert_eq!(info.contracts, [first.domain.contract, second.domain.contract]);
    for world in [first, &second] {
        let challenge: ChallengeResponse = read(client.post("/v1/challenge", &world.challenge()).await).await;
        let compute = Compute::new(0x20);
        let request = compute.request(world, &compute.data(world, challenge.nonce));
        let verdict: VerdictResponse = read(client.post("/v1/verdict", &request).await).await;
        let signer = world.domain.member_of(&verdict.verdict.0, &verdict.signature.0);
        assert_eq!(signer, Some(signing(1).address()));
    }
    let crossed = ChallengeRequest { job_id: second.job.jobId, ..first.challenge() };
    assert_eq!(client.post("/v1/challenge", &crossed).await.status(), 425, "no such job at the first");

    let state_dir = town.dir.path().join("other");
    let one = Config { contracts: vec![served(first.domain.contract)], state_dir, ..both.clone() };
    let custodian = Custodian::start(one.clone()).await.unwrap();
    let client = Client::new(custodian.address());
    tokio::spawn(custodian.run(pending()));
    let _: ChallengeResponse = read(client.post("/v1/challenge", &first.challenge()).await).await;
    assert_eq!(client.post("/v1/challenge", &second.challenge()).await.status(), 409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_is_pinned_by_its_code_and_its_custody() {
    let town = Town::build().await;
    let good = config(town.dir.path(), town.anvil.url());
    let options =
        RpcOptions { urls: vec![town.anvil.url().to_owned()], confirmations: 0, ..RpcOptions::default() };
    let rpcs = Arc::new(Rpcs::connect(|url| http().to(url), &options).await.unwrap());
    let code = rpcs.code(&rpcs.confirmed_head().await.unwrap(), town.data_policy).await.unwrap();
    let started = async |name: &str, pin: ServedContract| {
        let state_dir = town.dir.path().join(name);
        Custodian::start(Config { contracts: vec![pin], state_dir, ..good.clone() }).await.map(|_| ())
    };
    let pin = |code_hash| ServedContract { code_hash: Some(code_hash), ..served(town.data_policy) };
    started("pinned", pin(keccak256(&code))).await.unwrap();
    let wrong = started("wrong", pin(B256::repeat_byte(1))).await;
    assert!(matches!(wrong, Err(Error::Chain(ChainError::OtherContract { .. }))), "{wrong:?}");
    let stranger = started("stranger", served(Address::repeat_byte(1))).await;
    assert!(matches!(&stranger, Err(Error::Config(why)) if why.contains("deployment.json does not")));
    // A contract of the same code over another Custody has other sets.
    let elsewhere = deploy(&town.owner, "other", town.anvil.url(), town.owner.address(), 100).await.unwrap();
    let path = &good.deployment;
    let mut deployment = licen_chain::Deployment::read(path).unwrap();
    deployment.contracts.data_policies.extend(elsewhere.contracts.data_policies);
    deployment.write(path).unwrap();
    let mixed = Custodian::start(good.clone()).await.map(|_| ());
    assert!(matches!(mixed, Err(Error::Deployment(_))), "{mixed:?}");
}

/// The custodian does not serve the second contract any more; a job there still needs its key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_former_contract_needs_is_not_destroyed() {
    use crate::erase::erase;

    let town = Town::build().await;
    let second = town.also_at_a_second_contract().await;
    let mut config = config(town.dir.path(), town.anvil.url());
    let mut deployment = licen_chain::Deployment::read(&config.deployment).unwrap();
    deployment.contracts.data_policies.pop();
    deployment.write(&config.deployment).unwrap();
    let old = config.recipient_key_file.clone();
    config.recipient_key_file = town.dir.path().join("spare.json");
    recipient(9).save(&config.recipient_key_file).unwrap_or_else(|e| panic!("{e}"));
    let custody = deployment.contracts.custody;
    let (data_policy, start_block) = (second.domain.contract, deployment.start_block);
    config.former_contracts = vec![FormerContract { data_policy, custody, start_block }];

    std::fs::create_dir_all(&config.state_dir).unwrap();
    let store = Store::open(&config.state_dir.join("custodian.db")).await.unwrap();
    store.put_tombstone(second.job.datasetUid, b"s", b"r", 1).await.unwrap();
    let cancel = DataPolicy::cancelJobCall { job: town.world.job.clone() };
    send(&town.requester, town.data_policy, 0, &cancel).await;
    let needed = erase(&config, &old).await.map(|_| ()).unwrap_err();
    let by_second = format!("job {} has not ended", second.job.jobId);
    assert!(matches!(&needed, Error::KeyNeeded { by, .. } if *by == by_second), "{needed}");
    let wrong = FormerContract { custody: Address::repeat_byte(1), ..config.former_contracts[0] };
    let wrong = Config { former_contracts: vec![wrong], ..config.clone() };
    assert!(matches!(erase(&wrong, &old).await, Err(Error::Deployment(_))), "it would seem to need nothing");
    let cancel = DataPolicy::cancelJobCall { job: second.job.clone() };
    send(&town.requester, data_policy, 0, &cancel).await;
    erase(&config, &old).await.unwrap();
    assert!(!old.exists());
}

/// A held result that nothing tells whose key it is sealed to.
async fn hold(store: &Store, world: &World) {
    let job = &world.job;
    let held = licen_store::HeldResult {
        job_id: job.jobId,
        attempt: 1,
        contract: world.domain.contract,
        result_hash: B256::repeat_byte(1),
        base_model_root: B256::repeat_byte(3),
        adapter_root: B256::repeat_byte(4),
        attestation_ref: B256::repeat_byte(2),
        report_hash: B256::repeat_byte(5),
        share: Bytes::new(),
        held_answer: Bytes::new(),
        manifest: None,
        manifest_signature: None,
        created_ms: crate::run::now_ms(),
    };
    store.put_held(&held, b"held").await.unwrap();
}

/// What a held result rests on, sealed to another key of custodian 1.
fn other_head(world: &World) -> Vec<u8> {
    let job = Job { attempt: 1, ..world.job.clone() };
    let terms = ResultTerms { domain: world.domain, job_id: job.jobId, attempt: 1 };
    let key = ResultKey::generate().unwrap_or_else(|_| panic!("randomness"));
    let custodians = [(signing(1).address(), recipient(9).public())];
    let dealt = ResultShares::deal(&key, &terms, 1, &custodians, tar());
    let dealt = dealt.unwrap_or_else(|_| panic!("dealing"));
    let mut writer =
        ResultWriter::new(&key, dealt.header(), Vec::new()).unwrap_or_else(|_| panic!("writing"));
    writer.append("adapter_model.safetensors", 3, &mut &b"abc"[..]).unwrap();
    let head = writer.finish().unwrap().into();
    let members = vec![signing(1).address()];
    let case = crate::machine::HeldCase { job: AbiHex(job), t: 1, members, since: 0, head };
    serde_json::to_vec(&case).unwrap()
}
