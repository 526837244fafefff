//! The one command before a commit.

use crate::run::{Outcome, cargo, contracts_bin, install_contracts, root, run};
use std::process::Command;

/// Formatting, lints, tidy, generated files. Each is run even where an earlier one failed, so that
/// one look shows everything.
pub(crate) fn check() -> Outcome {
    install_contracts()?;
    let steps: [(&str, Outcome); 8] = [
        ("cargo fmt", run("cargo fmt --check", cargo().args(["fmt", "--all", "--check"]))),
        ("tidy", crate::tidy::tidy()),
        (
            "clippy",
            run(
                "cargo clippy",
                cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]),
            ),
        ),
        ("forge fmt", run("forge fmt --check", contracts_bin("forge").args(["fmt", "--check"]))),
        ("forge lint", run("forge lint", contracts_bin("forge").arg("lint"))),
        ("generated files", fresh()),
        ("vectors of rows", run("rows_v2.py --check", python().args(["vectors/rows_v2.py", "--check"]))),
        ("vectors of seal", run("seal.py", python().arg("vectors/seal.py"))),
    ];
    let failed: Vec<&str> = steps.iter().filter(|(_, done)| done.is_err()).map(|(name, _)| *name).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("check failed: {}", failed.join(", "))) }
}

/// Writes generated files.
pub(crate) fn codegen() -> Outcome {
    install_contracts()?;
    run("abi.mjs", node().arg("bin/abi.mjs"))
}

fn fresh() -> Outcome {
    run("abi.mjs --check", node().args(["bin/abi.mjs", "--check"]))
}

fn python() -> Command {
    let mut command = Command::new("python3");
    command.current_dir(root());
    command
}

fn node() -> Command {
    let mut command = Command::new("node");
    command.current_dir(root().join("contracts"));
    command
}
