//! The arguments, and nothing else.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use licen_core::wire::compute::CustodianUrl;

mod access;
mod dataset;
mod owner;
mod payee;
mod provider;
pub mod restart;

pub use provider::{
    ProviderArgs, ProviderCommand, ProviderRegisterArgs, ProviderShowArgs, ProviderUpdateArgs,
};

pub use access::{AccessArgs, AllowArgs, ApproveArgs};

pub use dataset::DatasetArg;

pub use payee::{DistributeArgs, EarningsArgs, PayeeArgs, WithdrawArgs};

pub use owner::{
    DescriptionArgs, ExportArgs, PolicyCommand, PolicyUpdateArgs, PublishArgs, RecoveryArgs, ResealArgs,
    RetireArgs,
};

/// License training data without giving it away.
#[derive(Debug, Parser)]
#[command(name = "licen", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Examples:
  licen demo                                   a whole world on this machine, one job end to end
  licen publish reviews.jsonl --name Reviews --royalty 0.01 --purpose medical-research
  licen request 0x9c1e --epochs 3 --base tiny  pay escrow and ask for a LoRA adapter
  licen audit 0x51ab                           re-verify a job from public data
  licen explain LIC0207                        what an error code means")]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// One JSON object per line on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress on stderr
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Answer yes to every question
    #[arg(long, short, global = true)]
    pub yes: bool,
    /// Key file that signs transactions
    #[arg(long, global = true, value_name = "FILE")]
    pub wallet: Option<PathBuf>,
    /// Base URL of the node
    #[arg(long, global = true, value_name = "URL")]
    pub node: Option<String>,
    /// RPC URLs of the chain, separated by commas
    #[arg(long, global = true, value_name = "URLS")]
    pub rpc: Option<String>,
    /// DataPolicy contract to act at, where the deployment has several
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub contract: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a private world and one job in it, end to end
    Demo(DemoArgs),
    /// Deploy the contracts and write deployment.json
    Deploy(DeployArgs),
    /// Make key files
    #[command(subcommand)]
    Key(KeyCommand),
    /// Register custodians and what they demand of compute
    #[command(subcommand)]
    Custodian(CustodianCommand),
    /// Appraise evidence of a TEE, and manage what is demanded of it
    #[command(subcommand)]
    Attest(AttestCommand),
    /// Encrypt a JSONL file and offer it under a policy
    Publish(Box<PublishArgs>),
    /// List datasets
    Search(SearchArgs),
    /// Show one dataset and its policy
    Show(DatasetArg),
    /// Show the rows an owner lets everybody see, each checked against the dataset
    #[command(after_help = "Example:
  licen preview 0x9c1e --json > shown.jsonl

Each line of it is {index, row, salt, proof, rowCount, rowsRoot}: ten lines of Python in docs/protocol.md §1 verify it.")]
    Preview(DatasetArg),
    /// Show who asked for access to a dataset and who has it; ask for it
    Access(AccessArgs),
    /// Admit requesters to a dataset of yours until a moment, by signature
    Approve(ApproveArgs),
    /// Pay escrow and ask for a training job
    Request(RequestArgs),
    /// List jobs; show, follow, stop or settle one
    Jobs(JobsArgs),
    /// Get escrow back: cancel a Granted job, expire an overdue one
    Cancel(JobArg),
    /// Fetch and decrypt the adapter of a Completed job
    Fetch(FetchArgs),
    /// Change, pause, resume or reseal the policy of a dataset
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// End a dataset: its custodians refuse it for ever
    Retire(RetireArgs),
    /// Get your own rows back out of storage
    Export(ExportArgs),
    /// Base models of the node
    #[command(subcommand)]
    Model(ModelCommand),
    /// Providers of compute: register one, see what they ask for
    #[command(subcommand)]
    Provider(ProviderCommand),
    /// What an account was paid, by whom, and what it can withdraw
    Earnings(EarningsArgs),
    /// Move what is due of a split to the credit of its payees
    Distribute(DistributeArgs),
    /// Withdraw what an account earned
    Withdraw(WithdrawArgs),
    /// Re-verify every step of a job from the chain and storage alone
    Audit(AuditArgs),
    /// Blobs and their 0G file roots
    #[command(subcommand)]
    Storage(StorageCommand),
    /// Run a role
    #[command(subcommand)]
    Run(RunCommand),
    /// Print every setting with its origin
    Config,
    /// Print what an error code means
    Explain {
        /// For example LIC0207
        code: String,
    },
    /// Print a completion script
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
}

/// How the demo is made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailMode {
    /// Custodians approved another program than compute runs: no verdicts, the job expires, everything
    /// is refunded
    Custodian,
    /// The dataset's ciphertext vanishes from storage: compute reports it, everything is refunded
    Storage,
    /// Training breaks: compute reports it, everything is refunded
    Compute,
    /// The orchestrator never settles: a stranger does, and the owner is paid all the same
    WithheldConfirm,
    /// Compute dies while training: the run deadline passes, everything is refunded
    Timeout,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen demo                     stays up until Ctrl-C
  licen demo --once --json       for scripts; the last object has \"step\":\"result\"
  licen demo --data mine.jsonl   with your own rows
  licen demo --fail custodian    a refused release, and where the money went
  licen demo --no-sandbox        where the kernel has no Landlock")]
pub struct DemoArgs {
    /// End after the run
    #[arg(long)]
    pub once: bool,
    /// Your own JSONL file instead of the sample
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Epochs to ask for
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: u32,
    /// Show a failure and where the money went
    #[arg(long, value_enum, value_name = "MODE")]
    pub fail: Option<FailMode>,
    /// Kill a role at a moment and start it again: node, custodian or compute at granted, running or
    /// delivered, as in compute@running
    #[arg(long, value_name = "ROLE@MOMENT", conflicts_with = "fail")]
    pub restart: Option<crate::cli::restart::Restart>,
    /// Keep the world's directory after the end
    #[arg(long)]
    pub keep: bool,
    /// How many custodians hold the key; any majority of them releases it
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub custodians: u16,
    /// Train without a sandbox, which this world's custodians then allow
    #[arg(long)]
    pub no_sandbox: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  licen deploy --network anvil --wallet deployer.key --out deployment.json \\
    --custodian 0x8ee5467dd97ff0fd34fab171018edf237f4f08e5=http://127.0.0.1:7101
  licen deploy --beside deployment.json --wallet deployer.key --out deployment-2.json")]
pub struct DeployArgs {
    /// Only anvil (chain id 31337) so far
    #[arg(long, default_value = "anvil", value_parser = ["anvil"])]
    pub network: String,
    /// Who gets the protocol fee; the wallet where left out
    #[arg(long, value_name = "ADDRESS")]
    pub fee_recipient: Option<String>,
    /// Protocol fee in basis points of the royalty
    #[arg(long, default_value_t = 0)]
    pub fee_bps: u16,
    /// A custodian and where it answers, as everybody who uses the deployment will find it; repeat
    #[arg(long = "custodian", value_name = "ADDRESS=URL", value_parser = custodian_url)]
    pub custodians: Vec<CustodianUrl>,
    /// Only one more DataPolicy, over the Custody of this deployment.json
    #[arg(long, value_name = "FILE")]
    pub beside: Option<PathBuf>,
    /// Where to write
    #[arg(long, default_value = "deployment.json", value_name = "FILE")]
    pub out: PathBuf,
}

fn custodian_url(text: &str) -> Result<CustodianUrl, String> {
    let (id, url) = text.split_once('=').ok_or("expected ADDRESS=URL")?;
    let id = crate::session::ledger::read_address(id)?;
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(format!("{url:?} is not an http or https address"));
    }
    Ok(CustodianUrl { id, url: url.trim_end_matches('/').to_string() })
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key file (mode 0600) and print its public part
    New(KeyNewArgs),
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyKind {
    /// Signs transactions
    Wallet,
    /// A custodian's two keys: FILE.signing and FILE.recipient
    Custodian,
    /// Signs the quotes of a provider of compute
    Provider,
    /// Receives results
    Result,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen key new wallet --out owner.key
  licen key new custodian --out custodian1
  licen key new provider --out provider.key
  licen key new result --out result.key")]
pub struct KeyNewArgs {
    /// What the key is for
    #[arg(value_enum)]
    pub kind: KeyKind,
    /// Where to write; never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum AttestCommand {
    /// Appraise a quote or a report, offline and at a given time
    Verify(VerifyArgs),
    /// Write the reference values that a policy file stands for, and print their root
    Policy(PolicyFileArgs),
    /// Add reference values to an appraisal policy of yours; live after 48 hours
    Add(AddEntryArgs),
    /// Revoke an appraisal policy of yours, or one entry of it, at once and for ever
    Revoke(RevokeEntryArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen attest verify quote.bin --collateral collateral.json --policy policies/strict.toml
  licen attest verify report.bin --collateral vcek.der --policy policies/snp-sample.toml --at 1752919234
Exit code 0: accepted. 1: refused; the message names the first rule that does not hold. 2: a file is wrong.")]
pub struct VerifyArgs {
    /// A TDX or SGX quote, or an SEV-SNP report: raw, or as hex text
    pub evidence: PathBuf,
    /// Intel's collateral as JSON, or the certificate of the AMD chip (VCEK) as DER
    #[arg(long, value_name = "FILE")]
    pub collateral: PathBuf,
    /// What is demanded, TOML; policies/ has examples
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// The moment to appraise it at; now, if left out
    #[arg(long, value_name = "UNIX_SECONDS")]
    pub at: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen attest policy mine.toml --out values.json    for custodians' referenceValues")]
pub struct PolicyFileArgs {
    /// What is demanded, TOML; policies/ has examples
    pub file: PathBuf,
    /// Where to write the reference values, canonical JSON
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen attest add 0x51ab... --policy mine.toml --out values.json")]
pub struct AddEntryArgs {
    /// Id of the appraisal policy
    pub id: String,
    /// What is demanded, TOML
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// Where to write the reference values for custodians
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen attest revoke 0x51ab... --entry 0x9c1e...    one entry: a program with a bug
  licen attest revoke 0x51ab...                      everything; datasets need another policy then")]
pub struct RevokeEntryArgs {
    /// Id of the appraisal policy
    pub id: String,
    /// Root of the reference values; left out, the whole appraisal policy
    #[arg(long, value_name = "ROOT")]
    pub entry: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum CustodianCommand {
    /// Register a set of custodians and print its id
    Register(RegisterArgs),
    /// Add a version to a set of yours: members that come, go or have a new key
    Update(UpdateSetArgs),
    /// Anchor the head of the audit log on chain, for auditors
    Anchor(AnchorArgs),
    /// Destroy a key that nothing needs any more, and sign that
    Erase(EraseArgs),
    /// Create an appraisal policy from reference values and print its id
    Appraisal(AppraisalArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  licen custodian update 0x51ab... --threshold 3 --member 0xA1..:0x3f.. --member 0xB2..:0x9c.. ...
All members of the new version are named. Datasets stay sealed to the old version until their owners reseal.")]
pub struct UpdateSetArgs {
    /// Id of the set
    pub id: String,
    #[command(flatten)]
    pub members: RegisterArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  licen custodian anchor --config custodian.toml --set 0x51ab...
For a timer, once an hour or a day. The custodian's own address pays the gas (about 30,000): give it some coins.")]
pub struct AnchorArgs {
    /// The custodian's TOML file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Set of which it is a member
    #[arg(long, value_name = "ID")]
    pub set: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  licen custodian erase --config custodian.toml --key custodian1.recipient
Stop the custodian for it. Refused while anything needs the key: the configuration, a live policy, an open job, or a result
within its time. What backups and snapshots of the disk keep is yours to destroy.")]
pub struct EraseArgs {
    /// The custodian's TOML file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The key file
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  licen custodian register --threshold 2 --member 0xA1..:0x3f.. --member 0xB2..:0x9c.. --member 0xC3..:0x77..")]
pub struct RegisterArgs {
    /// Signing address and X25519 key of a member, as `key new custodian` prints them
    #[arg(long = "member", value_name = "ADDRESS:KEY", required = true)]
    pub members: Vec<String>,
    /// Shares needed to open a key
    #[arg(long)]
    pub threshold: u8,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  licen custodian appraisal --measure target/debug/licen-compute --out reference.json")]
pub struct AppraisalArgs {
    /// The licen-compute binary that a simulated TEE measures
    #[arg(long, value_name = "FILE", required_unless_present = "policy", conflicts_with = "policy")]
    pub measure: Option<PathBuf>,
    /// A policy file for real hardware, as `licen attest policy` takes it
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// With --measure: accept nodes that say they run without their sandbox
    #[arg(long, conflicts_with = "policy")]
    pub allow_unsandboxed: bool,
    /// Where to write the reference values for custodians
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct SearchArgs {
    /// Words in the title or description, or the start of a root
    pub words: Vec<String>,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  licen request 0x9c1e --epochs 3 --base tiny --purpose medical-research
  licen request 0x9c1e --epochs 1 --base tiny --config train.json --follow
  licen request 0x9c1e --epochs 3 --base tiny --provider cheapest
  licen request 0x9c1e --epochs 3 --provider cheapest --max-fee 0.002 --yes

Repeated after a crash, the command finishes the request that was sent and tells its job; nothing is paid twice.")]
pub struct RequestArgs {
    /// Root or uid of the dataset, or its first digits
    pub dataset: String,
    /// Epochs to pay for
    #[arg(long)]
    pub epochs: u32,
    /// Base model, as `model list` names it
    #[arg(long, default_value = "tiny")]
    pub base: String,
    /// What you use it for; the first allowed purpose where left out
    #[arg(long)]
    pub purpose: Option<String>,
    /// Training settings: one JSON object of 0G's names
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Part of the rows held out to measure the loss
    #[arg(long, default_value_t = 0.1)]
    pub eval_fraction: f64,
    /// Seed of every random choice
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Custodians of your own choice who have to accept compute as well; the newest version where left out
    #[arg(long, value_name = "ID[@VERSION]")]
    pub verifier_set: Option<String>,
    /// Whose compute trains, for its own fee: an id, or the cheapest that the owner allows. Left out, whoever of
    /// the node takes it without a fee
    #[arg(long, value_name = "ID|cheapest")]
    pub provider: Option<String>,
    /// Most that the compute of one epoch may cost, in whole coins or tokens: for scripts, which nobody asks
    #[arg(long, value_name = "AMOUNT", requires = "provider")]
    pub max_fee: Option<String>,
    /// Key file that receives the result; made in the state directory where left out
    #[arg(long, value_name = "FILE")]
    pub result_key: Option<PathBuf>,
    /// Wait until the job ends, showing progress
    #[arg(long)]
    pub follow: bool,
}

#[derive(Debug, Args)]
pub struct JobsArgs {
    #[command(subcommand)]
    pub command: Option<JobsCommand>,
    /// Every requester's jobs, not only the wallet's
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// Show one job: amounts, deadlines, and what to do next
    Show(JobArg),
    /// Wait until a job ends, showing progress
    Follow(JobArg),
    /// End training after the current epoch and settle what ran
    Stop(JobArg),
    /// Settle a finished job with the manifest its custodians publish: anybody may
    Settle(JobArg),
}

#[derive(Debug, Args)]
pub struct JobArg {
    /// Job id, or its first digits
    pub job: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen audit 0x51ab               a job, from its policy to its last wei
  licen audit --dataset 0x9c1e     which custodians refuse a dataset, and which destroyed their key")]
pub struct AuditArgs {
    /// Job id, or its first digits
    #[arg(required_unless_present = "dataset", conflicts_with = "dataset")]
    pub job: Option<String>,
    /// Root or uid of a dataset, or its first digits, instead of a job
    #[arg(long, value_name = "DATASET")]
    pub dataset: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen fetch 0x51ab --out adapter
  licen fetch 0x51ab --out adapter --new-result-key   after the result key is lost")]
pub struct FetchArgs {
    /// Job id, or its first digits
    pub job: String,
    /// Directory to make
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Key file that receives the result; the one in the state directory where left out
    #[arg(long, value_name = "FILE")]
    pub result_key: Option<PathBuf>,
    /// Replace a lost result key, signed by the wallet
    #[arg(long)]
    pub new_result_key: bool,
}

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Register a Hugging Face directory with the node
    Add {
        /// Directory with config.json, safetensors and tokenizer.json
        dir: PathBuf,
        /// Name for `request --base`; the directory's name where left out
        #[arg(long)]
        name: Option<String>,
    },
    /// List base models
    List,
}

#[derive(Debug, Subcommand)]
pub enum StorageCommand {
    /// Print the 0G file root of a file
    #[command(after_help = "Example:\n  licen storage root reviews.jsonl")]
    Root {
        /// The file
        file: PathBuf,
    },
    /// Upload a file to the node and print its root
    Put {
        /// The file
        file: PathBuf,
    },
    /// Download a blob, verified
    Get {
        /// Its root
        root: String,
        /// Where to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub enum RunCommand {
    /// Indexer, orchestrator, blobs and GraphQL over one database
    Node {
        /// TOML file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// One custodian
    Custodian {
        /// TOML file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}
