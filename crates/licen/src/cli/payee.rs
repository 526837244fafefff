//! What is typed about who is paid.

use std::path::PathBuf;

use clap::Args;

/// Payees of a dataset and when they are paid.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Payees")]
pub struct PayeeArgs {
    /// Account that is paid, the wallet where left out: an address, or the 64 hex digits of a split's account. Of
    /// several, each has its weight in percent, with up to two decimals; together they are 100
    #[arg(long = "payee", value_name = "ACCOUNT[=PERCENT]")]
    pub payees: Vec<String>,
    /// Pay it out little by little: from one moment to another, each a date (2026-12-01, midnight UTC), a time
    /// (2026-12-01T09:30:00Z) or Unix seconds
    #[arg(long, value_name = "START..END", requires = "payees", conflicts_with_all = ["vest_start", "vest_for"])]
    pub vest: Option<String>,
    /// Pay nothing before this moment; without --vest-for, everything from it on
    #[arg(long, value_name = "START", requires = "payees")]
    pub vest_start: Option<String>,
    /// How long it takes from --vest-start until all is paid out: 90s, 30min, 12h, 30d, 4w, or seconds; 0 at once
    #[arg(long, value_name = "DURATION", requires = "vest_start")]
    pub vest_for: Option<String>,
    /// JSON {accounts, bps, start, duration} of a split inside that the node does not know; may be repeated
    #[arg(long = "split", value_name = "FILE", requires = "payees")]
    pub splits: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen distribute 0x9c1e                      the split that dataset 0x9c1e pays, and the splits inside
  licen distribute 0x51ab... --token 0x70c3...
  licen distribute 0x51ab... --split split.json
Anybody may send it: only the payees are credited, at every contract of the deployment. licen withdraw takes it out.")]
pub struct DistributeArgs {
    /// Account of a split, 64 hex digits; or root or uid of a dataset, or its first digits
    #[arg(value_name = "ACCOUNT_OR_DATASET")]
    pub target: String,
    /// ERC-20 token; the native coin where left out
    #[arg(long, value_name = "ADDRESS")]
    pub token: Option<String>,
    /// JSON {accounts, bps, start, duration} of a split that the node does not know; may be repeated
    #[arg(long = "split", value_name = "FILE")]
    pub splits: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen earnings
  licen earnings --account 0x51ab... --json    a split's account as well
Every credit, withdrawal and distribution of the account, and whether the chain agrees with their sum.")]
pub struct EarningsArgs {
    /// An address, or the 64 hex digits of a split's account; the wallet where left out
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// One ERC-20 token; everything where left out
    #[arg(long, value_name = "ADDRESS")]
    pub token: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen withdraw
  licen withdraw --account 0xA1...     pays that account; anybody may send it
  licen withdraw --to 0xB2...          the wallet's own credit, to another address")]
pub struct WithdrawArgs {
    /// Account that is paid; the wallet where left out
    #[arg(long, value_name = "ADDRESS")]
    pub account: Option<String>,
    /// Address that gets the wallet's own credit: for a wallet that cannot receive
    #[arg(long, value_name = "ADDRESS", conflicts_with = "account")]
    pub to: Option<String>,
    /// ERC-20 token; the native coin where left out
    #[arg(long, value_name = "ADDRESS")]
    pub token: Option<String>,
}
