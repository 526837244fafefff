//! What a command works with: settings, the node, the chain as this wallet sees it.

use std::path::Path;
use std::time::{Duration, Instant};

use std::sync::Arc;

use licen_chain::sender::Mined;
use licen_chain::{Chain, ChainError, ChainIdentity, Deployment, RpcOptions, Rpcs, WalletKey};
use licen_core::abi::{DataPolicy, Job, Member, Policy};
use licen_core::canonical::{document_of_blob, json_from_slice};
use licen_core::eip712::Domain;
use licen_core::id::{account_of, policy_hash};
use licen_core::job::JobState;
use licen_core::merkle::file_tree;
use licen_core::primitives::{Address, B256, U256};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use crate::codes;
use crate::command::audit::JobHistory;
use crate::command::key::key_error;
use crate::command::publish::json_root;
use crate::command::storage::{client, storage_error};
use crate::config::Config;
use crate::error::{CliError, Outcome};
use crate::node_client::{IndexedJob, NodeClient, http_url};
use crate::output::Ui;

const RPC_DEADLINE: Duration = Duration::from_secs(10);
/// How long index and chain may take to agree about what just happened.
const AGREE_WITHIN: Duration = Duration::from_secs(15);
const AGREE_POLL: Duration = Duration::from_millis(250);
/// Largest document read as JSON.
const MAX_JSON: u64 = 4 << 20;
/// Largest blob downloaded to a file.
const MAX_FILE: u64 = 1 << 40;

/// One run of a command.
pub struct Session {
    /// Where it speaks.
    pub ui: Ui,
    /// Its settings.
    pub config: Config,
    deployment: OnceCell<Deployment>,
    chain: OnceCell<ChainView>,
    wallet: std::sync::OnceLock<WalletKey>,
    /// The wallet file is a custodian's signing key.
    as_custodian: bool,
}

/// The chain through the deployment's contracts.
pub struct ChainView {
    chain: Chain,
    start_block: u64,
}

/// Whether a dataset takes requests.
#[derive(Debug, Clone, Copy)]
pub struct DatasetState {
    /// The owner paused it.
    pub paused: bool,
}

impl Session {
    /// A session; nothing is connected yet.
    #[must_use]
    pub fn new(ui: Ui, config: Config) -> Self {
        let (deployment, chain) = (OnceCell::new(), OnceCell::new());
        Self { ui, config, deployment, chain, wallet: std::sync::OnceLock::new(), as_custodian: false }
    }

    /// A session whose wallet is a custodian's signing key: it may send its anchors and nothing else.
    #[must_use]
    pub fn as_custodian(ui: Ui, config: Config) -> Self {
        Self { as_custodian: true, ..Self::new(ui, config) }
    }

    /// The node.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn node(&self) -> Outcome<NodeClient> {
        NodeClient::new(self.config.node())
    }

    /// The wallet.
    ///
    /// # Errors
    /// None is set, or its file is refused.
    pub fn wallet(&self) -> Outcome<&WalletKey> {
        if let Some(key) = self.wallet.get() {
            return Ok(key);
        }
        let key = self.load_wallet()?;
        Ok(self.wallet.get_or_init(|| key))
    }

    pub(crate) fn load_wallet(&self) -> Outcome<WalletKey> {
        let path = self.config.get("wallet");
        if path.is_empty() {
            return Err(CliError::environment(codes::KEY_FILE, "no wallet is set")
                .hint("licen key new wallet --out owner.key, then --wallet owner.key"));
        }
        let load = if self.as_custodian { WalletKey::load_custodian } else { WalletKey::load };
        load(Path::new(path)).map_err(|e| key_error("wallet", Path::new(path), &e))
    }

    /// The deployment: the configured file, else the node's, pinned at first use.
    ///
    /// # Errors
    /// Neither is there, or the node now serves another world than the pinned one.
    pub async fn deployment(&self) -> Outcome<&Deployment> {
        self.deployment.get_or_try_init(|| self.find_deployment()).await
    }

    async fn find_deployment(&self) -> Outcome<Deployment> {
        let bad = |message: &str, e: &dyn std::error::Error| {
            CliError::environment(codes::CONFIG, message)
                .because(e)
                .hint("licen config tells where `deployment` comes from")
        };
        let file = self.config.get("deployment");
        if !file.is_empty() {
            return Deployment::read(Path::new(file))
                .map_err(|e| bad("the deployment file is not usable", &e));
        }
        let told = self.node()?.deployment().await?;
        let told = Deployment {
            chain_id: told.chain_id,
            genesis_hash: told.genesis_hash,
            rpc_url: told.rpc_url,
            contracts: licen_chain::Contracts {
                data_policy: told.contracts.data_policy,
                custody: told.contracts.custody,
            },
            fee_recipient: Address::ZERO,
            fee_bps: 0,
            custodians: told.custodians,
            start_block: 0,
        };
        let pinned = self.config.state_dir()?.join("deployment.json");
        if !pinned.exists() {
            told.write(&pinned).map_err(|e| bad("cannot pin the deployment", &e))?;
            self.ui.progress(&format!("Pinned the node's deployment in {}", pinned.display()));
            return Ok(told);
        }
        let known = Deployment::read(&pinned).map_err(|e| bad("the pinned deployment is not usable", &e))?;
        if known.identity() != told.identity() || known.contracts != told.contracts {
            return Err(CliError::environment(
                codes::WRONG_CHAIN,
                "the node serves another world than the pinned one",
            )
            .hint(format!("remove {} if you mean the new one", pinned.display())));
        }
        Ok(told)
    }

    /// The chain, its identity checked against the deployment.
    ///
    /// # Errors
    /// The RPC is down, or is another chain.
    pub async fn chain(&self) -> Outcome<&ChainView> {
        self.chain.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Outcome<ChainView> {
        let deployment = self.deployment().await?;
        let rpcs = self.rpcs(Some(deployment.identity())).await?;
        // Another deployment on the same chain passes the identity: its contracts would not answer.
        deployment.verify(&rpcs).await.map_err(|e| {
            CliError::environment(codes::WRONG_CHAIN, "the chain does not have the deployment's contracts")
                .because(&e)
                .hint("licen config tells where `rpc` and `deployment` come from")
        })?;
        Ok(ChainView { chain: Chain::new(rpcs, deployment.contracts), start_block: deployment.start_block })
    }

    /// The configured RPCs, which must be the expected chain where one is named.
    ///
    /// # Errors
    /// One does not answer, or is another chain.
    pub async fn rpcs(&self, expected: Option<ChainIdentity>) -> Outcome<Arc<Rpcs>> {
        for url in self.config.rpc_urls() {
            http_url("rpc", &url)?;
        }
        let options = RpcOptions {
            urls: self.config.rpc_urls(),
            expected,
            deadline: RPC_DEADLINE,
            confirmations: self.config.confirmations()?,
            ..RpcOptions::default()
        };
        Ok(Arc::new(Rpcs::connect(&options).await.map_err(chain_error)?))
    }

    /// That the node serves the deployment in use: another world's node may have taken its port.
    ///
    /// # Errors
    /// It serves another one, or does not answer.
    pub async fn same_world(&self) -> Outcome {
        let ours = self.deployment().await?;
        let told = self.node()?.deployment().await?;
        let same = (told.chain_id, told.genesis_hash, told.contracts.data_policy)
            == (ours.chain_id, ours.genesis_hash, ours.contracts.data_policy);
        if same {
            return Ok(());
        }
        let message = format!("the node at {} serves another deployment", self.config.node());
        Err(CliError::environment(codes::WRONG_CHAIN, message)
            .hint("licen config tells where `node` and `deployment` come from"))
    }

    /// One job of the index and where the chain says it stands. While a job starts or ends, index and
    /// chain may be one block apart; they are asked again until they agree.
    ///
    /// # Errors
    /// No such job, or the two do not come to agree.
    pub async fn job(&self, prefix: &str) -> Outcome<(IndexedJob, JobState)> {
        let chain = self.chain().await?;
        self.same_world().await?;
        let deadline = Instant::now() + AGREE_WITHIN;
        loop {
            let indexed = self.node()?.job(prefix).await?;
            match chain.chain.job_at_depth(&indexed.job).await {
                // The index shows the head, the chain is believed at its depth only.
                Ok(read) if indexed.text("state") != read.value.name() && Instant::now() < deadline => {
                    tokio::time::sleep(AGREE_POLL).await;
                }
                Ok(read) => return Ok((indexed, read.value)),
                Err(ChainError::JobMismatch { .. } | ChainError::JobUnknown { .. })
                    if Instant::now() < deadline =>
                {
                    tokio::time::sleep(AGREE_POLL).await;
                }
                Err(error) => return Err(chain_error(error)),
            }
        }
    }

    /// Waits until the node's index has a transaction's block, so that the next command sees what
    /// this one did. An index that stays behind is only told: the chain has the act.
    pub async fn indexed(&self, mined: &Mined) {
        let deadline = Instant::now() + AGREE_WITHIN;
        let Ok(node) = self.node() else { return };
        while let Ok(block) = node.indexed_block().await {
            if block >= mined.block_number {
                return;
            }
            if Instant::now() > deadline {
                break;
            }
            tokio::time::sleep(AGREE_POLL).await;
        }
        self.ui.warn("the chain has it, the node's index not yet: search and jobs show it a little later");
    }

    /// Uploads bytes; gives their root.
    ///
    /// # Errors
    /// The node does not take them.
    pub async fn put_blob(&self, bytes: Vec<u8>) -> Outcome<B256> {
        let tree = file_tree(&bytes)
            .map_err(|e| CliError::environment(codes::STORAGE, "an empty blob has no root").because(&e))?;
        let client = client(self.config.node())?;
        client.put_bytes(tree.root, bytes).await.map_err(|e| storage_error("upload failed", &e))?;
        Ok(tree.root)
    }

    /// Uploads canonical JSON; gives its root.
    ///
    /// # Errors
    /// The node does not take it.
    pub async fn put_json<T: Serialize>(&self, value: &T) -> Outcome<B256> {
        let (_, bytes) = json_root(value)?;
        self.put_blob(bytes).await
    }

    /// Uploads a file under its known root.
    ///
    /// # Errors
    /// The node does not take it.
    pub async fn put_file(&self, root: B256, path: &Path) -> Outcome {
        let client = client(self.config.node())?;
        client.put_file(root, path, |_, _| {}).await.map_err(|e| storage_error("upload failed", &e))
    }

    /// Downloads a document into memory, verified, without zeros that its server put behind it.
    ///
    /// # Errors
    /// Storage has not got it, or sends something else.
    pub async fn blob(&self, root: B256, limit: u64) -> Outcome<Vec<u8>> {
        let client = client(self.config.node())?;
        let got = client.get_bytes(root, limit).await;
        let stored = got.map_err(|e| storage_error(&format!("cannot get {root}"), &e))?;
        Ok(document_of_blob(&stored).to_vec())
    }

    /// Downloads and parses canonical JSON.
    ///
    /// # Errors
    /// As [`Self::blob`], or other bytes than canonical JSON of this type.
    pub async fn json_blob<T: DeserializeOwned + Serialize>(&self, root: B256) -> Outcome<T> {
        let bytes = self.blob(root, MAX_JSON).await?;
        json_from_slice(&bytes).map_err(|e| {
            CliError::refused(codes::STORAGE, format!("{root} is not what it should be")).because(&e)
        })
    }

    /// Downloads a blob into a file, verified; gives its size.
    ///
    /// # Errors
    /// As [`Self::blob`].
    pub async fn get_file(&self, root: B256, path: &Path) -> Outcome<u64> {
        let client = client(self.config.node())?;
        let got = client.get_file(root, path, MAX_FILE, |_, _| {}).await;
        got.map_err(|e| storage_error(&format!("cannot get {root}"), &e))
    }
}

impl ChainView {
    /// The endpoints.
    #[must_use]
    pub fn rpcs(&self) -> Arc<Rpcs> {
        Arc::clone(self.chain.rpcs())
    }

    /// Chain id and `DataPolicy`.
    #[must_use]
    pub fn domain(&self) -> Domain {
        self.chain.domain()
    }

    /// `Custody`.
    #[must_use]
    pub fn custody(&self) -> Address {
        self.chain.contracts().custody
    }

    /// Time of the newest block, seconds.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn now(&self) -> Outcome<u64> {
        let head = self.chain.rpcs().primary().head_ref().await.map_err(chain_error)?;
        Ok(head.timestamp)
    }

    /// The newest version of a set, and its threshold and members: what a new dataset is sealed to.
    ///
    /// # Errors
    /// No such set.
    pub async fn newest_custodians(&self, set: B256) -> Outcome<(u32, u8, Vec<Member>)> {
        let version = self.chain.latest_set_version(set).await.map_err(chain_error)?.value;
        // The first version of a set that does not exist: the contract says what is wrong.
        let version = version.max(1);
        let (t, members) = self.custodians(set, version).await?;
        Ok((version, t, members))
    }

    /// Threshold and members of a set.
    ///
    /// # Errors
    /// No such set.
    pub async fn custodians(&self, set: B256, version: u32) -> Outcome<(u8, Vec<Member>)> {
        let read = self.chain.set_of(set, version).await.map_err(chain_error)?;
        Ok((read.value.t, read.value.members))
    }

    /// Heads of its audit log that a member anchored under a set, in order.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn anchors(&self, set: B256, member: Address) -> Outcome<Vec<(u64, B256)>> {
        self.chain.anchors(set, member, self.start_block).await.map_err(chain_error)
    }

    /// Every policy that a dataset ever had, from the logs.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn policies_of(&self, uid: B256) -> Outcome<Vec<Policy>> {
        self.chain.policies_of(uid, self.start_block).await.map_err(chain_error)
    }

    /// Whether this is the dataset's current policy, and whether it takes requests.
    ///
    /// # Errors
    /// The index named an older policy.
    pub async fn dataset(&self, policy: &Policy) -> Outcome<DatasetState> {
        let read = self.chain.dataset_state(policy.datasetUid).await.map_err(chain_error)?;
        let (commitment, paused) = read.value;
        let mut current = policy_hash(policy);
        current[31] = 0;
        if commitment != current {
            return Err(CliError::environment(
                codes::NODE_NOT_READY,
                "the chain has another policy than the index",
            )
            .hint("try again in a few seconds"));
        }
        Ok(DatasetState { paused })
    }

    /// Runs of a requester that count, and its counter.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn runs(&self, uid: B256, requester: Address) -> Outcome<(u32, u64)> {
        let read = self.chain.runs_of(uid, requester).await.map_err(chain_error)?;
        Ok((read.value.runs, read.value.counter))
    }

    /// The protocol fee, basis points.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn fee_bps(&self) -> Outcome<u16> {
        Ok(self.chain.fee_bps().await.map_err(chain_error)?.value)
    }

    /// Native coins of an address.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn balance(&self, who: Address) -> Outcome<U256> {
        Ok(self.chain.balance_of(who, Address::ZERO).await.map_err(chain_error)?.value)
    }

    /// What an address can withdraw.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn credit(&self, who: Address, token: Address) -> Outcome<U256> {
        Ok(self.chain.credit(account_of(who), token).await.map_err(chain_error)?.value)
    }

    /// Where a job stands, its preimage checked against the contract.
    ///
    /// # Errors
    /// Unknown job, or another preimage.
    pub async fn state(&self, job: &Job) -> Outcome<JobState> {
        Ok(self.chain.job_at_depth(job).await.map_err(chain_error)?.value)
    }

    /// That the contract knows a job just requested: as granted, or already further on.
    ///
    /// # Errors
    /// Unknown job.
    pub async fn known(&self, job: &Job) -> Outcome {
        match self.chain.job_at_depth(job).await {
            Ok(_) | Err(ChainError::JobMismatch { .. }) => Ok(()),
            Err(error) => Err(chain_error(error)),
        }
    }

    /// Time of a block, seconds.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn block_time(&self, number: u64) -> Outcome<u64> {
        Ok(self.chain.rpcs().block(number).await.map_err(chain_error)?.timestamp)
    }

    /// Whether an appraisal policy held an entry at a block of the given time.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn entry_live_at(&self, policy: B256, entry: B256, block: u64, time: u64) -> Outcome<bool> {
        let live = self.chain.appraisal_entry_at(policy, entry, self.start_block, block, time).await;
        live.map_err(chain_error)
    }

    /// What the logs say of a job's end, and the transaction that settled it.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn history(&self, job: &Job) -> Outcome<JobHistory> {
        use licen_chain::EventKind;
        let events = self.chain.job_events(job.jobId, self.start_block).await.map_err(chain_error)?;
        let mut history = JobHistory::default();
        for event in events {
            let block = event.block_number;
            match event.kind {
                EventKind::JobStarted(e) if e.attempt == job.attempt => {
                    history.started = Some((block, self.block_time(block).await?));
                }
                EventKind::JobFailed(e) => history.failed = Some(e.reasonCode),
                EventKind::JobCompleted(DataPolicy::JobCompleted {
                    actualEpochs,
                    resultHash,
                    attestationRef,
                    ..
                }) => {
                    history.completed = Some((actualEpochs, resultHash, attestationRef));
                    let called = self.chain.called_in(event.tx_hash).await.map_err(chain_error)?;
                    history.settled_by = Some(called);
                }
                EventKind::RoyaltySettled(e) => history.royalty = e.amount,
                EventKind::RefundIssued(e) => history.refund = e.amount,
                _ => {}
            }
        }
        Ok(history)
    }
}

/// A chain error for people.
pub fn chain_error(error: ChainError) -> CliError {
    use licen_core::fault::Fault;
    let config = "licen config tells where `rpc` and `deployment` come from";
    match &error {
        ChainError::Reverted(revert) => crate::sending::contract_refuses(revert),
        ChainError::OtherChain { .. } => {
            CliError::environment(codes::WRONG_CHAIN, "the rpc is another chain than the deployment's")
                .because(&error)
                .hint(config)
        }
        ChainError::NoContract { .. } | ChainError::OtherContract { .. } => {
            CliError::environment(codes::WRONG_CHAIN, "the chain does not have the deployment's contracts")
                .because(&error)
                .hint(config)
        }
        ChainError::BadUrl { .. } | ChainError::TooFewRpcs { .. } => {
            CliError::environment(codes::CONFIG, "the setting rpc is not usable").because(&error).hint(config)
        }
        _ => {
            let shown = CliError::of(codes::CHAIN, "the chain did not answer as expected", &error);
            if error.retryable() {
                shown.hint("check `rpc` in `licen config`, then try again")
            } else {
                shown
            }
        }
    }
}

/// 32 bytes from hex.
///
/// # Errors
/// Something else.
pub fn parse_b256(text: &str) -> Outcome<B256> {
    text.parse()
        .map_err(|_| CliError::environment(codes::USAGE, format!("{text:?} is not 0x and 64 hex digits")))
        .map_err(|e| e.hint("give the whole id, as the command that made it printed it"))
}
