//! A private world: chain, contracts, node, custodians, compute, and three people with keys.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use licen_attest::SimulatedPlatform;
use licen_chain::{ChainError, Rpc, WalletKey, anvil};
use licen_core::abi::Provider;
use licen_core::id::account_of;
use licen_core::primitives::{Address, B256, U256};
use licen_core::wire::compute::CustodianUrl;
use serde_json::json;

use super::child::{self, Port, Running};
use super::stage::Stage;
use super::{fail, sample};
use crate::cli::{AppraisalArgs, DemoArgs, DeployArgs, KeyKind, RegisterArgs};
use crate::operator::{custodian, deploy, key, provider};
use crate::researcher::model;
use crate::session::config::Config;
use crate::session::country::word;
use crate::session::error::{CliError, Outcome};
use crate::session::output::{Ui, short};
use crate::session::program::{compute_program, this_program};
use crate::session::rpc::rpc_client;
use crate::session::{Session, codes, ledger};

const READY_WITHIN: Duration = Duration::from_secs(40);
const RPC_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);
/// Coins of each wallet, on a chain that exists for minutes.
const COINS: u64 = 100;
/// What the compute asks for an epoch: in coins, and in wei.
const COMPUTE_FEE: (&str, &str) = ("0.001", "1000000000000000");
/// Where the provider says that it is.
const JURISDICTION: &str = "CH";
/// Seconds between the genesis block's time and the wall's.
const BACKDATED: u64 = 600;

/// People with wallets.
pub const DEPLOYER: &str = "deployer";
/// Runs the node and pays its gas.
pub const OPERATOR: &str = "operator";
/// Owns the dataset.
pub const OWNER: &str = "owner";
/// Asks for the job.
pub const RESEARCHER: &str = "researcher";

/// The running world. Dropping it ends its processes, last started first, and removes its directory.
#[derive(Debug)]
pub struct World {
    dir: tempfile::TempDir,
    /// Base URL of the chain's RPC.
    pub rpc: String,
    node_port: u16,
    node_toml: String,
    members: Vec<String>,
    /// By the name of the program that will listen on it.
    ports: Vec<(String, Port)>,
    /// Started programs by name, in order.
    pub children: Vec<(String, Running)>,
    /// The custodian set.
    pub custodian_set: B256,
    /// The appraisal policy.
    pub appraisal_policy: B256,
    reference_entry: B256,
    no_sandbox: bool,
    custodians: u16,
}

impl Drop for World {
    fn drop(&mut self) {
        while let Some((_, mut running)) = self.children.pop() {
            running.stop();
        }
    }
}

impl World {
    /// Builds the world and waits until every role answers.
    ///
    /// # Errors
    /// A program is missing or does not come up.
    pub async fn start(stage: &Stage, args: &DemoArgs) -> Outcome<Self> {
        let dir = tempfile::Builder::new().prefix("licen-demo-").tempdir().map_err(|e| {
            CliError::environment(codes::FILE, "cannot make a temporary directory").because(&e)
        })?;
        make_dir(&dir.path().join("logs"))?;
        stage.ui.data(&format!(
            "Starting a private LICEN world in {} ({})",
            dir.path().display(),
            if args.keep { "kept" } else { "deleted on exit" }
        ));
        let mut world = Self {
            dir,
            rpc: String::new(),
            node_port: 0,
            node_toml: String::new(),
            members: Vec::new(),
            ports: Vec::new(),
            children: Vec::new(),
            custodian_set: B256::ZERO,
            appraisal_policy: B256::ZERO,
            reference_entry: B256::ZERO,
            no_sandbox: args.no_sandbox,
            custodians: args.custodians,
        };
        let chain_port = world.reserve("anvil", 8545)?;
        world.rpc = format!("http://127.0.0.1:{chain_port}");
        world.node_port = world.reserve("node", 8080)?;
        let chain = Arc::new(world.chain(stage, chain_port).await?);
        let custodians = world.keys(&chain).await?;
        let hurry = Hurry::start(chain);
        world.deploy(stage, &custodians).await?;
        world.custody(stage, &custodians, args).await?;
        let provider = world.provider(stage).await?;
        hurry.end().await?;
        let compute_port = world.reserve("compute", 7201)?;
        world.compute(stage, compute_port, provider, args)?;
        world.node(stage, compute_port)?;
        world.write_config()?;
        world.ready(stage).await?;
        let session = world.session(OPERATOR, stage.ui)?;
        model::add(&session, &sample::write_model(world.dir())?, "tiny").await?;
        session.put_file(world.reference_entry, &world.dir().join("reference.json")).await?;
        Ok(world)
    }

    /// The world's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where every program's output goes.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.dir().join("logs")
    }

    /// Leaves the directory behind at the end.
    pub fn keep(&mut self) {
        self.dir.disable_cleanup(true);
    }

    /// How many custodians there are.
    #[must_use]
    pub fn custodians(&self) -> u16 {
        self.custodians
    }

    /// The researcher's licen.toml.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.dir().join("licen.toml")
    }

    /// The node's base URL.
    #[must_use]
    pub fn node_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.node_port)
    }

    /// A session of one person, as the command line would make it.
    ///
    /// # Errors
    /// None in practice; the configuration is ours.
    pub fn session(&self, who: &str, ui: Ui) -> Outcome<Session> {
        let path = |name: &str| Some(self.dir().join(name).display().to_string());
        let flags = [
            ("node", Some(self.node_url())),
            ("rpc", Some(self.rpc.clone())),
            ("confirmations", Some("2".to_string())),
            ("deployment", path("deployment.json")),
            ("wallet", path(&format!("{who}.key"))),
            ("state", path(&format!("state-{who}"))),
            ("custodian_set", Some(self.custodian_set.to_string())),
            ("appraisal_policy", Some(self.appraisal_policy.to_string())),
        ];
        Ok(Session::new(Ui { yes: true, muted: true, ..ui }, Config::load(&flags)?))
    }

    /// Ends one program, and only that.
    pub fn stop(&mut self, name: &str) {
        if let Some(at) = self.children.iter().position(|(n, _)| n == name) {
            let (_, mut running) = self.children.remove(at);
            running.stop();
        }
    }

    fn reserve(&mut self, name: &str, wanted: u16) -> Outcome<u16> {
        let port = Port::reserve(wanted)?;
        let number = port.number;
        self.ports.push((name.to_string(), port));
        Ok(number)
    }

    fn spawn(&mut self, name: &str, command: &mut Command) -> Outcome {
        self.ports.retain(|(wants, _)| wants != name);
        let running = child::start(name, &self.logs(), command)?;
        self.children.push((name.to_string(), running));
        Ok(())
    }

    async fn chain(&mut self, stage: &Stage, port: u16) -> Outcome<Rpc> {
        let program = anvil::find()
            .map_err(|e| CliError::environment(codes::PROCESS, "the demo needs anvil").because(&e))?;
        let mut command = Command::new(&program);
        let (port_text, genesis) = (port.to_string(), (unix_seconds() - BACKDATED).to_string());
        command.args(["--host", "127.0.0.1", "--port", &port_text, "--chain-id", "31337"]);
        command.args(["--hardfork", "cancun", "--timestamp", &genesis, "--silent"]);
        self.spawn("anvil", &mut command)?;
        let deadline = Instant::now() + READY_WITHIN;
        let http = rpc_client(RPC_WITHIN)?.to(&self.rpc);
        let rpc = loop {
            if let Ok(rpc) = Rpc::connect(http.clone(), &self.rpc, None, RPC_WITHIN).await {
                break rpc;
            }
            self.check("anvil", deadline)?;
            tokio::time::sleep(POLL).await;
        };
        stage.tell(
            "chain",
            &format!("chain        anvil, chain id 31337             {}", self.rpc),
            json!({"chainId": 31337, "rpc": self.rpc}),
        );
        Ok(rpc)
    }

    /// Makes every key and gives the wallets coins.
    async fn keys(&mut self, chain: &Rpc) -> Outcome<Vec<CustodianUrl>> {
        for who in [DEPLOYER, OPERATOR, OWNER, RESEARCHER] {
            let out = self.dir().join(format!("{who}.key"));
            key::make(&out, KeyKind::Wallet)?;
            let wallet = WalletKey::load(&out).map_err(|e| {
                CliError::environment(codes::FILE, "a key just made cannot be read").because(&e)
            })?;
            chain
                .dev_fund(wallet.address(), U256::from(COINS) * U256::from(10).pow(U256::from(18)))
                .await
                .map_err(chain_error)?;
        }
        let mut custodians = Vec::new();
        for i in 1..=self.custodians {
            let base = self.dir().join(format!("custodian{i}"));
            let member = key::make(&base, KeyKind::Custodian)?;
            let id: Address = custodian::member(&member)?.signer;
            self.members.push(member);
            let port = self.reserve(&format!("custodian{i}"), 7100 + i)?;
            custodians.push(CustodianUrl { id, url: format!("http://127.0.0.1:{port}") });
        }
        Ok(custodians)
    }

    async fn deploy(&self, stage: &Stage, custodians: &[CustodianUrl]) -> Outcome {
        let session = self.session(DEPLOYER, stage.ui)?;
        let args = DeployArgs {
            network: "anvil".into(),
            fee_recipient: None,
            fee_bps: 250,
            custodians: custodians.to_vec(),
            beside: None,
            out: self.dir().join("deployment.json"),
        };
        let contract = deploy::deploy(&session, &args).await?;
        stage.tell(
            "contracts",
            &format!(
                "contracts    2 deployed                        DataPolicy {}",
                short(&contract.to_string())
            ),
            json!({"dataPolicy": contract}),
        );
        Ok(())
    }

    async fn custody(&mut self, stage: &Stage, custodians: &[CustodianUrl], args: &DemoArgs) -> Outcome {
        let (silence, _) = fail::silence_toml(args);
        let session = self.session(DEPLOYER, stage.ui)?;
        let threshold = threshold(self.custodians);
        let set = RegisterArgs { members: self.members.clone(), threshold };
        self.custodian_set = custodian::create_set(&session, &set).await?;
        let measure = Some(fail::measured(args.fail)?);
        let out = self.dir().join("reference.json");
        let args = AppraisalArgs { measure, policy: None, allow_unsandboxed: self.no_sandbox, out };
        (self.appraisal_policy, self.reference_entry) = custodian::create_appraisal(&session, &args).await?;
        for (i, custodian) in (1..).zip(custodians) {
            let config = self.dir().join(format!("custodian{i}.toml"));
            self.write(&config, &format!("{}{silence}", self.custodian_toml(i, custodian)))?;
            self.launch(&format!("custodian{i}"))?;
        }
        let ports: Vec<String> =
            custodians.iter().map(|c| c.url.rsplit(':').next().unwrap_or_default().to_string()).collect();
        stage.tell(
            "custodians",
            &format!(
                "custodians   {}, any {threshold} release a key          :{}",
                self.custodians,
                ports.join(" :")
            ),
            json!({"custodianSet": self.custodian_set, "threshold": threshold, "custodians": custodians}),
        );
        Ok(())
    }

    /// Registers the operator as the provider that runs the compute; gives its id.
    async fn provider(&self, stage: &Stage) -> Outcome<B256> {
        let signer = key::make(&self.dir().join("provider.key"), KeyKind::Provider)?;
        let session = self.session(OPERATOR, stage.ui)?;
        let operator = session.wallet()?.address();
        let record = Provider {
            creator: operator,
            signer: ledger::address("the quote key", &signer)?,
            payee: account_of(operator),
            jurisdiction: word(JURISDICTION),
            platformIds: vec![SimulatedPlatform::Default.id()],
        };
        let id = provider::create(&session, &record).await?;
        stage.tell(
            "provider",
            &format!(
                "provider     {JURISDICTION}, {} per epoch              {}",
                COMPUTE_FEE.0,
                short(&id.to_string())
            ),
            json!({"providerId": id, "jurisdiction": JURISDICTION, "computeFeePerEpoch": COMPUTE_FEE.1}),
        );
        Ok(id)
    }

    fn compute(&mut self, stage: &Stage, port: u16, provider: B256, args: &DemoArgs) -> Outcome {
        let config = self.dir().join("compute.toml");
        let key = self.dir().join("provider.key").display().to_string();
        // The last lines of the file: a table takes every key that stands behind it.
        let priced = format!(
            "providerId = \"{provider}\"\njurisdiction = {JURISDICTION:?}\nquoteKeyFile = {key:?}\n\
             unpaidJobs = true\n\n[[prices]]\nperEpoch = {:?}\n",
            COMPUTE_FEE.1
        );
        self.write(&config, &format!("{}{priced}", fail::compute_toml(self.dir(), port, args)))?;
        self.launch("compute")?;
        let open = if self.no_sandbox { ", NO SANDBOX" } else { "" };
        stage.tell(
            "compute",
            &format!("compute      SIMULATED TEE, not confidential   :{port}{open}"),
            json!({"teeType": "simulated", "sandboxed": !self.no_sandbox, "url": format!("http://127.0.0.1:{port}")}),
        );
        Ok(())
    }

    fn node(&mut self, stage: &Stage, compute_port: u16) -> Outcome {
        let config = self.dir().join("node.toml");
        let path = |name: &str| self.dir().join(name).display().to_string();
        let text = format!(
            "listen = \"127.0.0.1:{}\"\nstate = {:?}\ndeployment = {:?}\nrpc = [{:?}]\n\
             compute = \"http://127.0.0.1:{compute_port}\"\nwallet = {:?}\nconfirmations = 2\npollMs = 300\n",
            self.node_port,
            path("node"),
            path("deployment.json"),
            self.rpc,
            path(&format!("{OPERATOR}.key")),
        );
        self.write(&config, &text)?;
        self.node_toml = text;
        self.launch("node")?;
        stage.tell(
            "node",
            &format!("node         storage, GraphQL, orchestrator    {}/graphql", self.node_url()),
            json!({"url": self.node_url()}),
        );
        Ok(())
    }

    /// Starts a program from its configuration file.
    fn launch(&mut self, name: &str) -> Outcome {
        let mut command = match name {
            "compute" => Command::new(compute_program()?),
            _ => Command::new(this_program()?),
        };
        match name {
            "compute" => command.arg("serve"),
            "node" => command.args(["run", "node"]),
            _ => command.args(["run", "custodian"]),
        };
        command.arg("--config").arg(self.dir().join(format!("{name}.toml")));
        if name == "compute" && self.no_sandbox {
            command.arg("--no-sandbox");
        }
        self.spawn(name, &mut command)
    }

    /// Kills programs without warning, lets a second pass, and starts them again.
    ///
    /// # Errors
    /// One cannot be started.
    pub async fn crash(&mut self, names: &[&str]) -> Outcome {
        for name in names {
            if let Some(at) = self.children.iter().position(|(n, _)| n == name) {
                self.children.remove(at).1.kill();
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        names.iter().try_for_each(|name| self.launch(name))
    }

    /// Starts the node again with its orchestrator.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_orchestrator(&mut self) -> Outcome {
        self.orchestrate(true)
    }

    /// Starts the node again without its orchestrator.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn stop_orchestrator(&mut self) -> Outcome {
        self.orchestrate(false)
    }

    fn orchestrate(&mut self, on: bool) -> Outcome {
        self.write(&self.dir().join("node.toml"), &format!("{}orchestrate = {on}\n", self.node_toml))?;
        self.stop("node");
        self.launch("node")
    }

    fn custodian_toml(&self, i: u16, custodian: &CustodianUrl) -> String {
        let listen = custodian.url.trim_start_matches("http://");
        let path = |name: &str| self.dir().join(name).display().to_string();
        format!(
            "listen = {listen:?}\nstateDir = {:?}\nsigningKeyFile = {:?}\nrecipientKeyFile = {:?}\n\
             rpcUrls = [{:?}]\nconfirmations = 2\ndeployment = {:?}\nreferenceValues = [{:?}]\n\
             requestsPerPeerPerMinute = 6000\nrequestsPerJobPerMinute = 6000\nreleaseMarginSeconds = 1\n",
            path(&format!("custodian{i}-state")),
            path(&format!("custodian{i}.signing")),
            path(&format!("custodian{i}.recipient")),
            self.rpc,
            path("deployment.json"),
            path("reference.json"),
        )
    }

    fn write_config(&self) -> Outcome {
        let text = format!(
            "# The researcher of this world; other wallets lie beside this file.\nnode = {:?}\nrpc = [{:?}]\n\
             confirmations = 2\ndeployment = \"deployment.json\"\nwallet = \"{RESEARCHER}.key\"\n\
             state = \"state-{RESEARCHER}\"\ncustodian_set = \"{}\"\nappraisal_policy = \"{}\"\n",
            self.node_url(),
            self.rpc,
            self.custodian_set,
            self.appraisal_policy
        );
        self.write(&self.config_file(), &text)
    }

    /// Waits until the node's index is ready.
    ///
    /// # Errors
    /// It does not come up in time.
    pub async fn ready(&mut self, stage: &Stage) -> Outcome {
        let node = self.session(OPERATOR, stage.ui)?.node()?;
        let deadline = Instant::now() + READY_WITHIN;
        while !node.is_ready().await {
            self.check("node", deadline)?;
            tokio::time::sleep(POLL).await;
        }
        for (_, running) in &mut self.children {
            running.check()?;
        }
        Ok(())
    }

    fn check(&mut self, name: &str, deadline: Instant) -> Outcome {
        for (_, running) in &mut self.children {
            running.check()?;
        }
        if Instant::now() > deadline {
            let log = self.logs().join(format!("{name}.log"));
            self.keep();
            return Err(CliError::environment(codes::PROCESS, format!("{name} did not come up"))
                .hint(format!("less {}", log.display())));
        }
        Ok(())
    }

    fn write(&self, path: &Path, text: &str) -> Outcome {
        std::fs::write(path, text).map_err(|e| {
            CliError::environment(codes::FILE, format!("cannot write {}", path.display())).because(&e)
        })
    }
}

/// While the world is set up, blocks come every 100 ms and their clock runs ahead of the wall's; the
/// genesis is backdated so that it never passes it.
struct Hurry {
    chain: Arc<Rpc>,
    miner: tokio::task::JoinHandle<()>,
}

impl Hurry {
    fn start(chain: Arc<Rpc>) -> Self {
        let mining = Arc::clone(&chain);
        let miner = tokio::spawn(async move {
            while mining.dev_mine(1).await.is_ok() {
                tokio::time::sleep(POLL).await;
            }
        });
        Self { chain, miner }
    }

    /// From here time passes as on a real chain: one block a second, at the wall's time.
    async fn end(self) -> Outcome {
        self.miner.abort();
        self.chain.dev_pass_time(BACKDATED).await.map_err(chain_error)?;
        self.chain.dev_mine_every(1).await.map_err(chain_error)
    }
}

/// The least majority.
fn threshold(custodians: u16) -> u8 {
    u8::try_from(custodians / 2 + 1).unwrap_or(u8::MAX)
}

fn chain_error(error: ChainError) -> CliError {
    CliError::of(codes::CHAIN, "the demo's own chain failed", &error)
}

fn unix_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

fn make_dir(path: &Path) -> Outcome {
    std::fs::create_dir_all(path).map_err(|e| {
        CliError::environment(codes::FILE, format!("cannot make {}", path.display())).because(&e)
    })
}
