//! Counting text tokens as compute will: by running `licen-compute count`, which is the only program
//! with tokenizers in it.

use std::path::Path;
use std::process::Command;

use licen_core::policy_manifest::TokenCount;
use licen_core::primitives::keccak256;
use serde_json::Value;

use crate::session::codes;
use crate::session::error::{CliError, Outcome};
use crate::session::output::Ui;
use crate::session::program::compute_program;

/// The tokenizer.json in `base`.
///
/// # Errors
/// There is none.
pub fn tokenizer(base: &Path) -> Outcome<Vec<u8>> {
    let path = base.join("tokenizer.json");
    std::fs::read(&path).map_err(|e| {
        CliError::environment(codes::FILE, format!("cannot read {}", path.display()))
            .because(&e)
            .hint("--count-with the folder of a base model, with its tokenizer.json")
    })
}

/// The text tokens that the tokenizer and chat template in `base` make of the rows in `file`.
///
/// # Errors
/// No `licen-compute`, no tokenizer.json, or rows that training would not take.
pub fn count_tokens(ui: &Ui, file: &Path, base: &Path) -> Outcome<TokenCount> {
    let bytes = tokenizer(base)?;
    let mut command = Command::new(compute_program()?);
    command.arg("count").arg("--base").arg(base).arg("--data").arg(file);
    let done = command
        .output()
        .map_err(|e| CliError::environment(codes::PROCESS, "cannot start licen-compute").because(&e))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        let told = said.lines().find_map(|line| line.strip_prefix("error: "));
        let reason = told.or(said.lines().next()).unwrap_or_default().to_string();
        return Err(CliError::refused(codes::BAD_ROWS, format!("the tokens cannot be counted: {reason}")));
    }
    let answer: Option<Value> = serde_json::from_slice(&done.stdout).ok();
    let count = answer.and_then(|counted| counted["tokens"].as_u64()).ok_or_else(|| {
        CliError::environment(codes::PROCESS, "licen-compute count printed something else than a count")
    })?;
    ui.progress(&format!("Counted {count} text tokens with {}", base.display()));
    Ok(TokenCount { tokenizer_hash: keccak256(bytes), count })
}
