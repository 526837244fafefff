//! A small world for the node: a real blob server, custodians made of `licen-seal` and
//! `licen-attest`, an owner with a dataset, a requester with a job.

pub(crate) mod custodian;
pub(crate) mod logs;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use licen_compute::serve::{Config, Node, router};
use licen_core::abi::{Job, Policy, Request};
use licen_core::canonical::json_to_vec;
use licen_core::constraints::{Constraints, JobSpec, Learn};
use licen_core::eip712::Domain;
use licen_core::id::{dataset_uid, purpose_id};
use licen_core::job::{Grant, granted, started};
use licen_core::merkle::file_tree;
use licen_core::policy_manifest::{Description, Facts, PolicyManifest, TokenCount};
use licen_core::primitives::{Address, B256, keccak256};
use licen_core::row_tree;
use licen_core::wire::AbiHex;
use licen_core::wire::compute::{CustodianUrl, Dispatch, StopRequest, TaskState, TaskStatus};
use licen_seal::envelope::{Envelope, EnvelopeMember, EnvelopeTerms, MemberPublicKey, Uses, seal_envelope};
use licen_seal::rows::RowsKey;
use licen_seal::stream::{dataset_aad, encrypt};
use licen_seal::{DatasetKey, RecipientKey, SigningKey};
use licen_storage::blobs::Blobs;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use custodian::{Custodian, Mode};

/// What differs between tests.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) modes: Vec<Mode>,
    pub(crate) epochs: u32,
    pub(crate) params: Value,
    pub(crate) constraints: Constraints,
    /// The owner publishes something else than the dataset holds.
    pub(crate) lie: Option<Lie>,
    pub(crate) config: Value,
    /// The blob server appends zeros to whatever it serves, as far as roots do not tell.
    pub(crate) appends_zeros: bool,
}

/// What the owner lies about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    Rows,
    TokenCount,
    Ciphertext,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            modes: vec![Mode::Honest; 3],
            epochs: 2,
            params: json!({
                "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "lora_r": 2,
                "max_seq_length": 64, "learning_rate": 0.005, "lora_dropout": 0, "warmup_steps": 1,
            }),
            constraints: Constraints::default(),
            lie: None,
            config: json!({}),
            appends_zeros: false,
        }
    }
}

/// Shares needed in every test.
pub(crate) const T: u8 = 2;
/// Words that stand in rows only.
pub(crate) const MARK: &str = "quillfeather";

pub(crate) struct World {
    pub(crate) domain: Domain,
    pub(crate) policy: Policy,
    pub(crate) base_model_root: B256,
    pub(crate) job: Job,
    /// Canonical JSON.
    pub(crate) job_spec: Vec<u8>,
    pub(crate) custodians: Vec<Arc<Custodian>>,
    pub(crate) requester: SigningKey,
    pub(crate) key: DatasetKey,
    pub(crate) blobs: Blobs,
    pub(crate) work_dir: PathBuf,
    pub(crate) node_url: String,
    pub(crate) blob_url: String,
    /// Of the attempt that is asked about.
    pub(crate) attempt: AtomicU32,
    http: reqwest::Client,
    _dir: TempDir,
}

/// Rows in the form of the sample dataset.
pub(crate) fn rows() -> String {
    let row = |i: u32| {
        let row = json!({"prompt": format!("Q: {MARK} {i}? A:"), "completion": format!(" {MARK}-{}", i * 7)});
        format!("{row}\n")
    };
    (0..24).map(row).collect()
}

pub(crate) async fn listen(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

/// Fills the last chunk of 256 bytes of a served blob with zeros, and adds one more chunk of them where
/// the root does not show it.
async fn append_zeros(response: Response) -> Response {
    let blob = response.headers().get("content-type").is_some_and(|t| t == "application/octet-stream");
    if response.status() != 200 || !blob {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let mut bytes = axum::body::to_bytes(body, 1 << 30).await.unwrap().to_vec();
    assert!(!bytes.is_empty());
    let root = file_tree(&bytes).unwrap().root;
    bytes.resize(bytes.len().next_multiple_of(256), 0);
    let longer = [&bytes[..], &[0; 256]].concat();
    if file_tree(&longer).unwrap().root == root {
        bytes = longer;
    }
    assert_eq!(file_tree(&bytes).unwrap().root, root);
    parts.headers.insert("content-length", bytes.len().into());
    Response::from_parts(parts, bytes.into())
}

impl World {
    pub(crate) async fn new(setting: Setting) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path().join("store"), Default::default()).unwrap();
        let blob_server = licen_storage::http::router(blobs.clone(), Default::default());
        let blob_url = listen(match setting.appends_zeros {
            true => blob_server.layer(axum::middleware::map_response(append_zeros)),
            false => blob_server,
        })
        .await;
        let domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(0xcc) };
        let (owner, salt) = (Address::repeat_byte(0x0a), B256::repeat_byte(0x5a));
        let uid = dataset_uid(domain.chain_id, owner, salt);
        let key = DatasetKey::generate().ok().unwrap();
        let (members, envelope, foreign) = deal(&key, domain, uid, setting.modes.len());
        let base_model_root = put(&blobs, &tar_of(&base_model()));
        let spec = spec(&setting, base_model_root);
        let mut policy = Policy {
            datasetUid: uid,
            datasetRoot: put(&blobs, &ciphertext(&key, &domain, &uid, setting.lie)),
            owner,
            salt,
            version: 1,
            envelopeHash: put(&blobs, &envelope.encode().unwrap()),
            payee: B256::repeat_byte(1),
            royaltyPerEpoch: 10_000,
            maxEpochsPerRun: 9,
            maxRunsPerRequester: 2,
            startWindow: 600,
            runWindow: 600,
            purposes: vec![purpose_id("research")],
            constraintsHash: put(&blobs, &json_to_vec(&setting.constraints).unwrap()),
            custodianSet: envelope.terms().custodian_set,
            setVersion: envelope.terms().set_version,
            appraisalPolicy: B256::repeat_byte(0xa9),
            requiredLevel: 1,
            ..Policy::default()
        };
        policy.manifestHash = put(&blobs, &manifest(&key, &uid, &policy, setting.lie));
        let requester = SigningKey::generate().ok().unwrap();
        let job = job(&domain, &policy, &setting, put(&blobs, &spec), &requester);
        let mut custodians = Vec::new();
        for (i, ((signer, recipient), mode)) in (1u8..).zip(members.into_iter().zip(&setting.modes)) {
            let custodian =
                Custodian::new(i, signer, recipient, *mode, domain, (envelope.clone(), foreign.clone()));
            custodians.push(custodian.listen().await);
        }
        let work_dir = dir.path().join("work");
        let node_url = node(&work_dir, setting.config).await;
        let http = reqwest::Client::new();
        Self {
            domain,
            policy,
            base_model_root,
            job,
            job_spec: spec,
            custodians,
            requester,
            key,
            blobs,
            work_dir,
            node_url,
            blob_url,
            http,
            attempt: AtomicU32::new(1),
            _dir: dir,
        }
    }

    pub(crate) fn dispatch_of(&self, job: Job) -> Dispatch {
        Dispatch {
            chain_id: self.domain.chain_id,
            contract: self.domain.contract,
            policy: AbiHex(self.policy.clone()),
            job: AbiHex(job),
            custodian_urls: self
                .custodians
                .iter()
                .map(|c| CustodianUrl { id: c.id(), url: c.url() })
                .collect(),
            verifiers: None,
            threshold: T,
            blob_url: self.blob_url.clone(),
        }
    }

    pub(crate) fn path(&self) -> String {
        format!("{}/v1/jobs/{}/{}", self.node_url, self.job.jobId, self.attempt.load(Ordering::Relaxed))
    }

    pub(crate) async fn put(&self, dispatch: &Dispatch) -> (u16, Value) {
        let body = serde_json::to_vec(dispatch).unwrap();
        answer(self.http.put(self.path()).body(body).send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(format!("{}{path}", self.node_url)).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, url: &str, body: Vec<u8>) -> (u16, Value) {
        answer(self.http.post(url).body(body).send().await.unwrap()).await
    }

    pub(crate) async fn stop(&self, request: &StopRequest) -> u16 {
        let body = serde_json::to_vec(request).unwrap();
        self.post(&format!("{}/stop", self.path()), body).await.0
    }

    /// Waits until the status satisfies, looking at the working folder meanwhile.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&TaskStatus) -> bool) -> TaskStatus {
        for _ in 0..1_200 {
            let (code, body) = self.get(&self.path()[self.node_url.len()..]).await;
            assert_eq!(code, 200, "{body}");
            let status: TaskStatus = serde_json::from_value(body).unwrap();
            self.assert_nothing_leaked();
            if holds(&status) {
                return status;
            }
            assert!(status.task_state != TaskState::Failed, "waiting for {what}: {status:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never: {what}");
    }

    /// Dispatches the job as granted and waits for the ticket.
    pub(crate) async fn ticket(&self) -> TaskStatus {
        assert_eq!(self.put(&self.dispatch_of(self.job.clone())).await.0, 200);
        self.until("a ticket", |s| s.start.is_some()).await
    }

    /// What the contract would make of the ticket.
    pub(crate) fn running(&self, status: &TaskStatus) -> Job {
        let start = status.start.as_ref().unwrap();
        started(&self.job, 1, start.signer, start.runtime_data_hash, now() + 600)
    }

    /// Ticket, start, and dispatched again as Running.
    pub(crate) async fn start(&self) -> Job {
        let running = self.running(&self.ticket().await);
        assert_eq!(self.put(&self.dispatch_of(running.clone())).await.0, 200);
        running
    }

    /// Nothing stays in the working folder, not even what is public.
    pub(crate) async fn until_wiped(&self) {
        for _ in 0..100 {
            if files(&self.work_dir).is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("left behind: {:?}", files(&self.work_dir));
    }

    /// No file of the node and no log holds a row or the dataset key.
    pub(crate) fn assert_nothing_leaked(&self) {
        for path in files(&self.work_dir) {
            let Ok(bytes) = std::fs::read(&path) else { continue };
            assert!(!contains(&bytes, MARK.as_bytes()), "{} holds a row", path.display());
            assert!(!self.key.appears_in(&bytes), "{} holds the key", path.display());
        }
    }
}

pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|w| w == needle)
}

pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let list = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flatten().flat_map(|e| list(e.path())).collect()
}

async fn answer(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

type Keys = (SigningKey, RecipientKey);

/// Custodians' keys, the dataset key's envelope, and one of another key under the same terms.
fn deal(key: &DatasetKey, domain: Domain, dataset_uid: B256, n: usize) -> (Vec<Keys>, Envelope, Envelope) {
    let members: Vec<Keys> = (0..n)
        .map(|_| (SigningKey::generate().ok().unwrap(), RecipientKey::generate().ok().unwrap()))
        .collect();
    let member =
        |(s, r): &Keys| EnvelopeMember { custodian: s.address(), pk: MemberPublicKey::Hpke(r.public()) };
    let set: Vec<EnvelopeMember> = members.iter().map(member).collect();
    let terms = EnvelopeTerms {
        chain_id: domain.chain_id,
        dataset_uid,
        uses: Uses::Job,
        t: T,
        required_level: 1,
        custodian_set: B256::repeat_byte(0x5e),
        set_version: 1,
    };
    let other = DatasetKey::generate().ok().unwrap();
    let envelope = seal_envelope(key, &terms, &set).unwrap();
    (members, envelope, seal_envelope(&other, &terms, &set).unwrap())
}

pub(crate) fn put(blobs: &Blobs, bytes: &[u8]) -> B256 {
    let stored = blobs.put(None, bytes, |_| {}).unwrap();
    assert_eq!(stored.root, file_tree(bytes).unwrap().root);
    stored.root
}

async fn node(work_dir: &Path, mut extra: Value) -> String {
    let program = extra.as_object_mut().unwrap().remove("trainerProgram");
    let program = program.map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_licen-compute")),
        |program| serde_json::from_value(program).unwrap(),
    );
    let mut config = json!({"workDir": work_dir, "threads": 1, "listen": "127.0.0.1:0"});
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let mut config: Config = serde_json::from_value(config).unwrap();
    // A test may bring a trainer of its own, which no file can name.
    config.trainer_program = Some(program);
    listen(router(Node::new(config).unwrap())).await
}

/// The base model that ships with this crate.
fn base_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../train/models/tiny")
}

fn tar_of(dir: &Path) -> Vec<u8> {
    let mut paths = files(dir);
    paths.sort();
    let mut tar = licen_seal::tar::TarWriter::new(Vec::new());
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        tar.append(name, bytes.len() as u64, &mut bytes.as_slice()).unwrap();
    }
    tar.finish().unwrap()
}

fn spec(setting: &Setting, base_model_root: B256) -> Vec<u8> {
    let Value::Object(training_params) = setting.params.clone() else { unreachable!() };
    let (learn, parents) = (Learn::Assistant, vec![]);
    let spec = JobSpec { base_model_root, training_params, eval_fraction: 0.25, seed: 7, learn, parents };
    json_to_vec(&spec).unwrap()
}

fn ciphertext(key: &DatasetKey, domain: &Domain, uid: &B256, lie: Option<Lie>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encrypt(key, &dataset_aad(domain.chain_id, uid), &mut rows().as_bytes(), &mut bytes).unwrap();
    if lie == Some(Lie::Ciphertext) {
        bytes[100] ^= 1;
    }
    bytes
}

fn manifest(key: &DatasetKey, uid: &B256, policy: &Policy, lie: Option<Lie>) -> Vec<u8> {
    let text = rows();
    let mut published: Vec<&str> = text.lines().collect();
    if lie == Some(Lie::Rows) {
        published.swap(0, 1);
    }
    let rows_key = RowsKey::derive(key, uid);
    let leaves: Vec<B256> =
        (0u64..).zip(&published).map(|(i, row)| rows_key.leaf(i, row.as_bytes())).collect();
    let tokenizer = std::fs::read(base_model().join("tokenizer.json")).unwrap();
    // One token per byte of prompt and completion, and the end mark.
    let tokens: u64 = text
        .lines()
        .map(|row| {
            let row: Value = serde_json::from_str(row).unwrap();
            let len = |name: &str| row[name].as_str().unwrap().len() as u64;
            len("prompt") + len("completion") + 1
        })
        .sum();
    let count = tokens + u64::from(lie == Some(Lie::TokenCount));
    let facts = Facts {
        rows_root: row_tree::root(&leaves).unwrap(),
        row_count: leaves.len() as u64,
        byte_count: text.len() as u64,
        token_counts: vec![TokenCount { tokenizer_hash: keccak256(tokenizer), count }],
        ..Facts::default()
    };
    let about = Description { name: "feathers".into(), ..Description::default() };
    PolicyManifest::build(&about, facts, 1, policy, &["research".into()]).unwrap().to_bytes().unwrap()
}

fn job(domain: &Domain, policy: &Policy, setting: &Setting, spec: B256, requester: &SigningKey) -> Job {
    let request = Request {
        purposeId: purpose_id("research"),
        epochs: setting.epochs,
        units: u64::from(setting.epochs),
        jobSpecHash: spec,
        resultKey: RecipientKey::generate().ok().unwrap().public().0,
        ..Request::default()
    };
    let grant = Grant { requester: requester.address(), counter: 1, now: now(), ..Grant::default() };
    granted(domain, policy, &request, &grant)
}
