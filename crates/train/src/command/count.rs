//! `licen-compute count`.

use super::files::{line, read};
use crate::{Encoder, Result, jsonl};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Arguments {
    /// Base model whose tokenizer and chat template count
    #[arg(long, value_name = "DIR")]
    base: PathBuf,
    /// Rows, JSON Lines
    #[arg(long, value_name = "FILE.jsonl")]
    data: PathBuf,
    /// The longest row accepted
    #[arg(long, value_name = "BYTES", default_value_t = jsonl::ROW_BYTES_MAX)]
    max_row_bytes: usize,
}

/// Prints {"rows","tokens","tokensTrained"}.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let rows = jsonl::parse(&read(&arguments.data)?, arguments.max_row_bytes)?;
    let count = Encoder::load(&arguments.base)?.count(&rows)?;
    line(&serde_json::to_string(&count).expect("a count is plain numbers"));
    Ok(())
}
