//! `cargo xtask <command>`: everything a contributor or CI runs, with nothing installed by hand but
//! Rust, Node 20 and npm.
#![allow(clippy::print_stdout)]

mod bench;
mod check;
mod documents;
mod elf;
mod fuzz;
mod imports;
mod licenses;
mod measure;
mod run;
mod slow;
mod sources;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask <command> [args]

  demo [args]    build everything and run `licen demo` (args go to it: --once, --json, --data F, --fail MODE)
  test [args]    run every test: forge, then Rust (nextest where installed); args go to the Rust runner, which then runs alone
  check          fmt, clippy, tidy, generated files, forge fmt and lint: run before every commit
  codegen        write generated files again: contracts/abi
  tidy           sizes, crate edges, vocabulary, licenses
  verify         halmos and slither (expects both on PATH: pip install -r contracts/requirements.txt)
  documents      manifests as strangers read them: mlcroissant and PyLD (pip install -r xtask/documents/requirements.txt)
  measure        build licen-compute twice in different folders, compare, print its hash: [--json] [--once] [--dirty]
  bench WHAT     storage [--sdk] | seal | publish [--size MIB] | train [--peft PYTHON] | attest: measurements, beside named peers
  fuzz [TARGET]  every reader of untrusted bytes under libFuzzer, 60 s each; --seconds N (needs a C++ compiler)
  slow [NAME]    the long forms of tests and measurements, all or those named; --list says what there is and how long it takes

examples:
  cargo xtask demo --once
  cargo xtask test -p licen-core
  cargo xtask bench storage
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = args.split_first() else {
        eprint!("{HELP}");
        return ExitCode::from(2);
    };
    let done = match command.as_str() {
        "demo" => run::demo(rest),
        "test" => run::test(rest),
        "check" => check::check(),
        "codegen" => check::codegen(),
        "tidy" => tidy::tidy(),
        "verify" => run::verify(),
        "documents" => documents::documents(),
        "measure" => measure::measure(rest),
        "bench" => bench::bench(rest),
        "fuzz" => fuzz::fuzz(rest),
        "slow" => slow::slow(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        other => Err(format!("no such command: {other}\n\nhint: cargo xtask help")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}
