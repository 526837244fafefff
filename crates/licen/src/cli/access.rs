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
