//! Starting other programs: cargo, npm, forge, the demo.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Success, or a sentence for people.
pub(crate) type Outcome = Result<(), String>;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// A program of `contracts/node_modules/.bin`.
pub(crate) fn contracts_bin(name: &str) -> Command {
    let contracts = root().join("contracts");
    let mut command = Command::new(contracts.join("node_modules/.bin").join(name));
    command.current_dir(contracts);
    command
}

/// Runs a command to its end, showing what it prints.
pub(crate) fn run(what: &str, command: &mut Command) -> Outcome {
    eprintln!("> {what}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{what} ended with {status}")),
        Err(e) => Err(format!("{what} could not start: {e}")),
    }
}

/// `npm ci` in contracts/, once per lockfile.
pub(crate) fn install_contracts() -> Outcome {
    let contracts = root().join("contracts");
    let lock =
        std::fs::read(contracts.join("package-lock.json")).map_err(|e| format!("package-lock.json: {e}"))?;
    let stamp = contracts.join("node_modules/.installed-lock");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&contracts);
    run("npm ci (contracts)", &mut npm).map_err(|e| format!("{e}\n\nhint: install Node 20 and npm"))?;
    std::fs::write(&stamp, lock).map_err(|e| format!("{}: {e}", stamp.display()))
}

/// Builds both binaries and runs the demo with the caller's arguments.
pub(crate) fn demo(args: &[String]) -> Outcome {
    install_contracts()?;
    run("cargo build", cargo().args(["build", "--quiet", "-p", "licen", "-p", "licen-compute"]))?;
    let mut licen = Command::new(target().join("debug/licen"));
    licen.arg("demo").args(args);
    run("licen demo", &mut licen)
}

/// Every test: forge first, Rust last, so that the last lines are the Rust runner's own summary. With
/// arguments, Rust alone.
pub(crate) fn test(args: &[String]) -> Outcome {
    install_contracts()?;
    if args.is_empty() {
        run("forge test", contracts_bin("forge").arg("test"))?;
    } else {
        // Tests start both binaries; cargo builds them where their packages are tested.
        run("cargo build", cargo().args(["build", "--quiet", "-p", "licen", "-p", "licen-compute"]))?;
    }
    let nextest = cargo().args(["nextest", "--version"]).output().is_ok_and(|o| o.status.success());
    let mut rust = cargo();
    if nextest {
        rust.args(["nextest", "run", "--no-fail-fast"]);
    } else {
        rust.args(["test", "--no-fail-fast"]);
    }
    if args.is_empty() {
        rust.arg("--workspace");
    }
    run(if nextest { "cargo nextest run" } else { "cargo test" }, rust.args(args))
}

/// The two slower provers.
pub(crate) fn verify() -> Outcome {
    install_contracts()?;
    for tool in ["halmos", "slither"] {
        let mut command = Command::new("bash");
        command.args(["bin/verify.sh", tool]).current_dir(root().join("contracts"));
        run(tool, &mut command)?;
    }
    Ok(())
}
