//! The demo's failure modes: each breaks one thing for real and shows where the money goes.

use std::path::{Path, PathBuf};

use crate::cli::restart::Restart;
use crate::cli::{DemoArgs, FailMode};
use crate::session::codes;
use crate::session::error::{CliError, Outcome};
use crate::session::program::compute_program;

/// What is broken, in one line.
#[must_use]
pub fn title(mode: FailMode) -> &'static str {
    match mode {
        FailMode::Custodian => {
            "custodians approve another program than the one compute runs: they refuse the key"
        }
        FailMode::Storage => "the dataset's ciphertext vanishes from storage",
        FailMode::Compute => "training breaks in its first epoch",
        FailMode::WithheldConfirm => "the orchestrator goes away before it settles",
        FailMode::Timeout => "compute dies while training",
    }
}

/// Custodians wait a twentieth of it before they call compute silent, so nobody here waits for minutes.
const RESTART_WINDOW: u32 = 400;

/// What custodians' and compute's files say about silence: sooner than the protocol's ten minutes, which
/// only the local chain allows, and only where an attempt is meant to be lost.
#[must_use]
pub fn silence_toml(args: &DemoArgs) -> (&'static str, &'static str) {
    match args.restart.is_some_and(Restart::loses_the_attempt) {
        true => ("silenceSeconds = 10\n", "aliveSeconds = 2\n"),
        false => ("", ""),
    }
}

/// The state a job ends in, which the demo promises.
#[must_use]
pub fn promised(args: &DemoArgs) -> &'static str {
    match args.fail {
        None | Some(FailMode::WithheldConfirm) => "Completed",
        Some(FailMode::Custodian | FailMode::Timeout) => "Expired",
        Some(FailMode::Storage | FailMode::Compute) => "Failed",
    }
}

/// Seconds to start and to run: short where the demo has to wait for them to pass.
#[must_use]
pub fn windows(args: &DemoArgs) -> (u32, u32) {
    match args.fail {
        None if args.restart.is_some_and(Restart::loses_the_attempt) => (600, RESTART_WINDOW),
        Some(FailMode::Custodian) => (12, 600),
        Some(FailMode::Timeout) => (600, 25),
        _ => (1_800, 21_600),
    }
}

/// The program whose measurement custodians approve.
///
/// # Errors
/// It is missing.
pub fn measured(mode: Option<FailMode>) -> Outcome<PathBuf> {
    if mode == Some(FailMode::Custodian) {
        // Any other program will do: what matters is that it is not the one that asks.
        return std::env::current_exe()
            .map_err(|e| CliError::environment(codes::PROCESS, "cannot find this program").because(&e));
    }
    compute_program()
}

/// compute's configuration file.
#[must_use]
pub fn compute_toml(dir: &Path, port: u16, args: &DemoArgs) -> String {
    let (work, (_, alive)) = (dir.join("compute"), silence_toml(args));
    let fault = if args.fail == Some(FailMode::Compute) { "simulatedFault = \"compute\"\n" } else { "" };
    format!(
        "listen = \"127.0.0.1:{port}\"\nworkDir = {:?}\nthreads = 2\ntee = \"simulated\"\n{fault}{alive}",
        work.display().to_string()
    )
}
