//! What is typed about who may request a dataset.

use std::path::PathBuf;

use clap::Args;

/// Whom a policy admits.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Access")]
pub struct AllowArgs {
    /// Admit only the requesters that this file names: one address a line; blank lines and # comments are
    /// skipped. The list is public
    #[arg(long, value_name = "FILE", conflicts_with = "by_approval")]
    pub allow: Option<PathBuf>,
    /// Admit only whom you approve, one by one: licen access shows who asks, licen approve admits. What you
    /// approved is public
    #[arg(long)]
    pub by_approval: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen access                                  who asked for your datasets, who may request them, until when
  licen access 0x9c1e --json
  licen access 0x9c1e --ask --note \"For a paper on drug names\"
Requests and approvals are public, and so is the note. Who asked once is shown with the last request.")]
pub struct AccessArgs {
    /// Root or uid of the dataset, or its first digits; every dataset of the wallet that is not open where left out
    pub dataset: Option<String>,
    /// Ask the owner to admit the wallet
    #[arg(long, requires = "dataset")]
    pub ask: bool,
    /// What to tell the owner: one line of at most 280 bytes, for everybody to read
    #[arg(long, value_name = "TEXT", requires = "ask")]
    pub note: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  licen approve 0xA1... --until 2027-06-01
  licen approve 0xA1... 0xB2... --until 2027-06-01T12:00:00Z --dataset 0x9c1e
It costs no gas. It cannot be taken back one by one, nor shortened: a new list (licen policy update 0x9c1e --by-approval, or
--allow FILE) ends every approval, and jobs that were granted go on.")]
pub struct ApproveArgs {
    /// Address of a requester; may be repeated
    #[arg(required = true, value_name = "ADDRESS")]
    pub requesters: Vec<String>,
    /// When it ends: a date (2027-06-01, midnight UTC), a time (2027-06-01T12:00:00Z) or Unix seconds
    #[arg(long, value_name = "MOMENT")]
    pub until: String,
    /// Root or uid of the dataset, or its first digits; where left out, the one at which they asked
    #[arg(long)]
    pub dataset: Option<String>,
}
