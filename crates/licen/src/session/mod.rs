//! What every command works with: settings, the node, the chain as this wallet sees it, and the nouns that
//! several commands share. Nobody acts here: nothing in this room imports a command.

pub mod chain_error;
pub mod chain_view;
pub mod code;
pub mod codes;
pub mod codes_elsewhere;
pub mod config;
pub mod country;
pub mod custodian_client;
pub mod custody;
pub mod error;
pub mod held_manifest;
pub mod job_history;
pub mod key_file;
pub mod ledger;
pub mod manifest;
pub mod node_client;
pub mod node_ledger;
pub mod output;
pub mod prices;
pub mod program;
pub mod report;
pub mod rpc;
pub mod salt;
pub mod sending;
pub mod standing;
pub mod storage;
pub mod toml_file;
pub mod when;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use std::sync::Arc;

use licen_chain::sender::Mined;
use licen_chain::{Chain, ChainError, ChainIdentity, Deployment, RpcOptions, Rpcs, WalletKey};
use licen_core::canonical::{document_of_blob, json_from_slice};
use licen_core::job::JobState;
use licen_core::merkle::file_tree;
use licen_core::primitives::{Address, B256};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use crate::session::chain_error::chain_error;
use crate::session::chain_view::ChainView;
use crate::session::config::Config;
use crate::session::error::{CliError, Outcome};
use crate::session::key_file::key_error;
use crate::session::ledger::Token;
use crate::session::node_client::{IndexedDataset, IndexedJob, MAX_NAMED, NodeClient, http_url, one_dataset};
use crate::session::output::Ui;
use crate::session::rpc::rpc_client;
use crate::session::storage::{client, json_root, storage_error};

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
    /// Tokens that were read.
    tokens: tokio::sync::Mutex<BTreeMap<Address, Token>>,
    /// The wallet file is a custodian's signing key.
    as_custodian: bool,
}

impl Session {
    /// A session; nothing is connected yet.
    #[must_use]
    pub fn new(ui: Ui, config: Config) -> Self {
        let (deployment, chain) = (OnceCell::new(), OnceCell::new());
        let (wallet, tokens) = (std::sync::OnceLock::new(), tokio::sync::Mutex::default());
        Self { ui, config, deployment, chain, wallet, tokens, as_custodian: false }
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
            contracts: told.contracts,
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
        if !grown(&known, &told) {
            return Err(CliError::environment(
                codes::WRONG_CHAIN,
                "the node serves another world than the pinned one",
            )
            .hint(format!("remove {} if you mean the new one", pinned.display())));
        }
        if known.contracts != told.contracts {
            // Their code is compared before anything is sent to them, as that of the first ones was.
            told.write(&pinned).map_err(|e| bad("cannot pin the deployment", &e))?;
            self.ui.progress(&format!("The node serves more contracts now, pinned in {}", pinned.display()));
        }
        Ok(told)
    }

    /// The chain through the `DataPolicy` that `contract` sets, else the newest, its identity checked
    /// against the deployment.
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
        let contract = self.preferred(deployment)?;
        let chain = Chain::new(rpcs, contract, deployment.contracts.custody);
        Ok(ChainView::new(chain, deployment.start_block))
    }

    /// The chain through the `DataPolicy` of a dataset or a job that the index names.
    ///
    /// # Errors
    /// The deployment does not have that contract, and as [`Self::chain`].
    pub async fn chain_at(&self, contract: Address) -> Outcome<ChainView> {
        let (deployment, view) = (self.deployment().await?, self.chain().await?);
        if !deployment.contracts.data_policies.contains(&contract) {
            return Err(unknown_contract(contract));
        }
        let chain = Chain::new(view.rpcs(), contract, deployment.contracts.custody);
        Ok(ChainView::new(chain, deployment.start_block))
    }

    /// The chain through each `DataPolicy` of the deployment.
    ///
    /// # Errors
    /// As [`Self::chain`].
    pub async fn chains(&self) -> Outcome<Vec<ChainView>> {
        let mut all = Vec::new();
        for contract in self.deployment().await?.contracts.data_policies.clone() {
            all.push(self.chain_at(contract).await?);
        }
        Ok(all)
    }

    /// How a token names and counts itself, read once; the native coin without asking anybody.
    ///
    /// # Errors
    /// As [`Self::chain`].
    pub async fn token(&self, address: Address) -> Outcome<Token> {
        if address.is_zero() {
            return Ok(Token::coin());
        }
        let mut tokens = self.tokens.lock().await;
        if let Some(known) = tokens.get(&address) {
            return Ok(known.clone());
        }
        let token = self.chain().await?.token(address).await?;
        tokens.insert(address, token.clone());
        Ok(token)
    }

    /// The same for a list, which is shown without a chain as well: in base units then.
    pub async fn words(&self, address: Address) -> Token {
        self.token(address).await.unwrap_or_else(|_| Token::unread(address))
    }

    fn preferred(&self, deployment: &Deployment) -> Outcome<Address> {
        let text = self.config.get("contract");
        if text.is_empty() {
            return Ok(deployment.contracts.newest());
        }
        let contract = text.parse().map_err(|_| {
            CliError::environment(codes::CONFIG, format!("contract {text:?} is not an address"))
                .hint("an address is 0x and 40 hex digits")
        })?;
        if deployment.contracts.data_policies.contains(&contract) {
            Ok(contract)
        } else {
            Err(unknown_contract(contract))
        }
    }

    /// The one dataset whose root or uid begins with `prefix`.
    ///
    /// # Errors
    /// None, or several.
    pub async fn dataset(&self, prefix: &str) -> Outcome<IndexedDataset> {
        self.dataset_of(prefix, None).await
    }

    /// The one dataset, among those of an owner where one is given and has any of that name. Where it is
    /// registered at several contracts, the preferred one counts.
    ///
    /// # Errors
    /// None, or several.
    pub async fn dataset_of(&self, prefix: &str, owner: Option<Address>) -> Outcome<IndexedDataset> {
        let deployment = self.deployment().await?;
        let mut order = vec![self.preferred(deployment)?];
        order.extend(&deployment.contracts.data_policies);
        self.one(self.node()?.datasets_named(prefix).await?, prefix, owner, &order).await
    }

    /// [`one_dataset`], with the price of each where several are called the same.
    ///
    /// # Errors
    /// None, or several.
    pub async fn one(
        &self,
        found: Vec<IndexedDataset>,
        prefix: &str,
        owner: Option<Address>,
        order: &[Address],
    ) -> Outcome<IndexedDataset> {
        let tokens: BTreeSet<Address> = found.iter().map(|dataset| dataset.policy.token).collect();
        let mut words = Vec::new();
        // One dataset is not listed; and anybody may offer a root again, for tokens without end.
        for token in tokens.into_iter().take(MAX_NAMED).filter(|_| found.len() > 1) {
            words.push(self.words(token).await);
        }
        one_dataset(found, prefix, owner, order, &words)
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
        let http = rpc_client(RPC_DEADLINE)?;
        Ok(Arc::new(Rpcs::connect(|url| http.to(url), &options).await.map_err(chain_error)?))
    }

    /// That the node serves the deployment in use: another world's node may have taken its port.
    ///
    /// # Errors
    /// It serves another one, or does not answer.
    pub async fn same_world(&self) -> Outcome {
        // The chain first: where it is another one, the node's answer is only a consequence.
        self.chain().await?;
        let ours = self.deployment().await?;
        let told = self.node()?.deployment().await?;
        let told = (told.chain_id, told.genesis_hash, told.contracts);
        let serves = |address: &Address| told.2.data_policies.contains(address);
        if (told.0, told.1, told.2.custody) == (ours.chain_id, ours.genesis_hash, ours.contracts.custody)
            && ours.contracts.data_policies.iter().any(serves)
        {
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
        self.same_world().await?;
        let deadline = Instant::now() + AGREE_WITHIN;
        loop {
            let indexed = self.node()?.job(prefix).await?;
            let chain = self.chain_at(indexed.contract).await?;
            match chain.job_at_depth(&indexed.job, indexed.result.as_ref()).await {
                // The index shows the head, the chain is believed at its depth only.
                Ok(read) if indexed.state() != read.value && Instant::now() < deadline => {
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

fn unknown_contract(contract: Address) -> CliError {
    let message = format!("this deployment has no DataPolicy {contract}");
    CliError::refused(codes::WRONG_CHAIN, message)
        .hint("licen config tells where `deployment` and `contract` come from")
}

/// Whether a deployment is a known one, perhaps with more `DataPolicy` contracts than before.
fn grown(known: &Deployment, told: &Deployment) -> bool {
    let kept = |address: &Address| told.contracts.data_policies.contains(address);
    known.identity() == told.identity()
        && known.contracts.custody == told.contracts.custody
        && known.contracts.data_policies.iter().all(kept)
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
