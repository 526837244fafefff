//! What an owner types.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::access::AllowArgs;
use super::dataset::DatasetArg;
use super::payee::PayeeArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen publish reviews.jsonl --name Reviews --royalty 0.01 --purpose medical-research
  licen publish a.jsonl --name A --royalty 0.002 --purpose research --max-rank 16 --preview 3
  licen publish a.jsonl --name A --royalty 0.002 --purpose research --recovery a.key --passphrase-file pass
  licen publish a.jsonl --name A --royalty 0.002 --purpose research --language en --language de \\
      --task question-answering --keyword law --license-text terms.txt --contact data@example.org
  licen publish a.jsonl --name A --royalty 0.002 --purpose research \\
      --payee 0xA1...=60 --payee 0xB2...=30 --payee 0x51ab...=10 --vest 2026-12-01..2027-12-01
  licen publish a.jsonl --name A --royalty 0.002 --purpose research --jurisdiction CH --jurisdiction DE
  licen publish a.jsonl --name A --royalty 0.002 --purpose research --allow labs.txt
  licen publish a.jsonl --name A --royalty 0.002 --purpose research --by-approval
  licen publish a.jsonl --name A --royalty 1.50 --token 0x70c3... --purpose research
  licen publish a.jsonl --name A --royalty 0.002 --purpose research --dry-run
  licen publish a.jsonl --name A --royalty 0.002 --purpose research --dry-run --manifest a.json")]
pub struct PublishArgs {
    /// JSON Lines, one object per line
    pub file: PathBuf,
    /// Title
    #[arg(long)]
    pub name: String,
    #[command(flatten)]
    pub about: DescriptionArgs,
    /// Price of one epoch in whole coins, or in whole ones of --token
    #[arg(long, value_name = "AMOUNT")]
    pub royalty: String,
    /// ERC-20 token that the price is in; the native coin where left out
    #[arg(long, value_name = "ADDRESS")]
    pub token: Option<String>,
    /// Most epochs of one run
    #[arg(long, default_value_t = 5)]
    pub max_epochs: u32,
    /// Most runs of one requester
    #[arg(long, default_value_t = 3)]
    pub max_runs: u32,
    /// A purpose you allow; may be repeated
    #[arg(long = "purpose", required = true)]
    pub purposes: Vec<String>,
    #[command(flatten)]
    pub payee: PayeeArgs,
    #[command(flatten)]
    pub access: AllowArgs,
    /// Seconds a granted job may wait to start
    #[arg(long, default_value_t = licen_core::policy::DEFAULT_START_WINDOW)]
    pub start_window: u32,
    /// Seconds a started job may run
    #[arg(long, default_value_t = licen_core::policy::DEFAULT_RUN_WINDOW)]
    pub run_window: u32,
    /// Unix seconds at which the policy ends; 0 never
    #[arg(long, default_value_t = 0)]
    pub expires: u64,
    /// Root of a base model you allow; may be repeated; any where left out
    #[arg(long = "base-model", value_name = "ROOT")]
    pub base_models: Vec<String>,
    /// Largest LoRA rank
    #[arg(long)]
    pub max_rank: Option<u32>,
    /// Most optimizer steps
    #[arg(long)]
    pub max_steps: Option<u64>,
    /// Id of a provider of compute that you allow; may be repeated; any where left out
    #[arg(long = "provider", value_name = "ID")]
    pub providers: Vec<String>,
    /// Country in which providers may train, ISO 3166-1: CH; may be repeated; any where left out. Only registered
    /// providers qualify, by their own word on where they are
    #[arg(long = "jurisdiction", value_name = "CODE")]
    pub jurisdictions: Vec<String>,
    /// Rows to show to everybody, from the first
    #[arg(long, default_value_t = 0)]
    pub preview: u64,
    /// Folder of a base model: publish how many text tokens its tokenizer makes of the rows, which
    /// compute counts again; may be repeated
    #[arg(long = "count-with", value_name = "DIR")]
    pub count_with: Vec<PathBuf>,
    /// Check, commit and encrypt as publishing does, under a key thrown away; needs no node but for --token,
    /// keeps nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Also write the manifest, all that the public is told, to this file; with --dry-run its roots and owner
    /// are nobody's
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Custodian set, as `custodian register` prints it; else the configured one
    #[arg(long, value_name = "ID")]
    pub custodian_set: Option<String>,
    /// Appraisal policy, as `custodian appraisal` prints it; else the configured one
    #[arg(long, value_name = "ID")]
    pub appraisal_policy: Option<String>,
    /// Attestation level you demand; auto is software on a local chain and hardware on every other
    #[arg(long, default_value = "auto", value_parser = ["auto", "hardware", "software"])]
    pub level: String,
    /// Recovery file to write: the dataset key under a passphrase
    #[arg(long, value_name = "FILE", requires = "passphrase_file")]
    pub recovery: Option<PathBuf>,
    /// File with the passphrase of the recovery file
    #[arg(long, value_name = "FILE", requires = "recovery")]
    pub passphrase_file: Option<PathBuf>,
}

/// What the public is told in words. Nothing of it is checked against the rows, and all of it is public.
#[derive(Debug, Default, Args)]
pub struct DescriptionArgs {
    /// What it is; the title again where left out
    #[arg(long, default_value = "")]
    pub description: String,
    /// Language of the rows, as BCP 47 names it: en, de-CH; may be repeated
    #[arg(long = "language", value_name = "TAG")]
    pub languages: Vec<String>,
    /// What it is meant to train for, like question-answering; may be repeated
    #[arg(long = "task")]
    pub tasks: Vec<String>,
    /// A word to find it by; may be repeated
    #[arg(long = "keyword")]
    pub keywords: Vec<String>,
    /// Text file that you add to the terms, which every requester agrees to
    #[arg(long, value_name = "FILE")]
    pub license_text: Option<PathBuf>,
    /// How to reach you, for everybody to see: an e-mail address or an https:// page
    #[arg(long, value_name = "ADDRESS")]
    pub contact: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Change price, caps, expiry, payees or who may request; running jobs keep what they pinned
    Update(PolicyUpdateArgs),
    /// Refuse new requests
    Pause(DatasetArg),
    /// Take new requests again
    Resume(DatasetArg),
    /// Seal the dataset's key to other custodians or a newer version of their set, or demand another level
    Reseal(ResealArgs),
    /// Offer the dataset at one more DataPolicy (--contract, else the newest) without encrypting again
    Register(DatasetArg),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen policy update 0x9c1e --royalty 0.02
  licen policy update 0x9c1e --royalty 1.50 --token 0x70c3...
  licen policy update 0x9c1e --payee 0xA1...=50 --payee 0xB2...=50
  licen policy update 0x9c1e --allow labs.txt
  licen policy update 0x9c1e --by-approval       also ends every approval that you gave
What jobs of earlier versions owe goes to the payees of their version. A new list ends every approval given before it.")]
pub struct PolicyUpdateArgs {
    /// Root or uid of the dataset, or its first digits
    pub dataset: String,
    /// New price of one epoch, in whole coins or whole ones of the dataset's token
    #[arg(long, value_name = "AMOUNT")]
    pub royalty: Option<String>,
    /// ERC-20 token that the new price is in; 0x and 40 zeros for the native coin
    #[arg(long, value_name = "ADDRESS", requires = "royalty")]
    pub token: Option<String>,
    /// New cap of epochs per run
    #[arg(long)]
    pub max_epochs: Option<u32>,
    /// New cap of runs per requester
    #[arg(long)]
    pub max_runs: Option<u32>,
    /// New end, Unix seconds; 0 never
    #[arg(long)]
    pub expires: Option<u64>,
    #[command(flatten)]
    pub payee: PayeeArgs,
    #[command(flatten)]
    pub access: AllowArgs,
    /// Admit everybody
    #[arg(long, conflicts_with_all = ["allow", "by_approval"], help_heading = "Access")]
    pub open: bool,
}

/// The dataset key out of its recovery file.
#[derive(Debug, Args)]
pub struct RecoveryArgs {
    /// Recovery file, as `publish --recovery` wrote it
    #[arg(long, value_name = "FILE")]
    pub recovery: PathBuf,
    /// File with its passphrase
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen policy reseal 0x9c1e --recovery a.key --passphrase-file pass
  licen policy reseal 0x9c1e --recovery a.key --passphrase-file pass --custodian-set 0x51ab...
  licen policy reseal 0x9c1e --recovery a.key --passphrase-file pass --level hardware --appraisal-policy 0x7d20...
Root, uid and everything granted stay; only new requests go to the new custodians. The old ones keep what they have:
licen retire, or the erasure of their keys, ends that.")]
pub struct ResealArgs {
    /// Root or uid of the dataset, or its first digits
    pub dataset: String,
    #[command(flatten)]
    pub recovery: RecoveryArgs,
    /// Custodian set to seal to; the newest version of the present one where left out
    #[arg(long, value_name = "ID")]
    pub custodian_set: Option<String>,
    /// Attestation level you demand from now on; the present one where left out
    #[arg(long, value_parser = ["hardware", "software"])]
    pub level: Option<String>,
    /// Appraisal policy that says which programs get the key; the present one where left out
    #[arg(long, value_name = "ID")]
    pub appraisal_policy: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen retire 0x9c1e
  licen audit --dataset 0x9c1e     who refuses it, and who has destroyed the key it was sealed to
Ask again when a custodian was away: whoever refused already says the same again.")]
pub struct RetireArgs {
    /// Root or uid of the dataset, or its first digits
    pub dataset: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  licen export 0x9c1e --recovery a.key --passphrase-file pass --out rows.jsonl")]
pub struct ExportArgs {
    /// Root or uid of the dataset, or its first digits
    pub dataset: String,
    #[command(flatten)]
    pub recovery: RecoveryArgs,
    /// Where to write the rows; never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}
