//! `cargo xtask fuzz`: every reader of untrusted bytes under libFuzzer, guided by coverage, on a stable
//! toolchain and without a sanitizer: what it finds is panics, overflows, hangs, memory out of bounds of
//! the limit, and broken promises that a target asserts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Outcome, cargo, root, run, target};

/// Targets of `fuzz/fuzz_targets`, the longest input each gets, and files of the repository to start from.
pub(crate) const TARGETS: [(&str, usize, &[&str]); 8] = [
    (
        "quote",
        8_192,
        &["vectors/attest/tdx_quote", "vectors/attest/tdx_quote_td15ex", "vectors/attest/sgx_quote"],
    ),
    ("report", 4_096, &["vectors/attest/vcek_milan.der"]),
    ("envelope", 8_192, &[]),
    ("runtime_data", 4_096, &[]),
    ("manifest", 16_384, &[]),
    ("safetensors", 65_536, &[]),
    ("jsonl", 4_096, &[]),
    ("tokenizer", 16_384, &["crates/train/models/tiny/tokenizer.json"]),
];
pub(crate) const SECONDS: u64 = 60;
/// What an input may make a reader take, MiB.
const MEMORY_MIB: u64 = 2_048;
/// Longest time for one input, seconds.
const TIMEOUT: u64 = 20;
/// What cargo-fuzz passes for `--sanitizer none`; all of it is stable.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// `cargo xtask fuzz [TARGET...] [--seconds N]`.
pub(crate) fn fuzz(args: &[String]) -> Outcome {
    let (names, seconds) = arguments(args)?;
    let built = target().join("fuzz");
    let mut build = cargo();
    build.args(["build", "--quiet", "--release", "--target", TRIPLE, "--target-dir"]).arg(&built);
    build.current_dir(root().join("fuzz")).env("RUSTFLAGS", FLAGS);
    run("cargo build (fuzz)", &mut build)?;
    for (name, longest, seeds) in TARGETS {
        if names.is_empty() || names.iter().any(|n| n == name) {
            let program = built.join(TRIPLE).join("release").join(name);
            one(&program, name, longest, seeds, seconds)?;
        }
    }
    Ok(())
}

fn arguments(args: &[String]) -> Result<(Vec<String>, u64), String> {
    let (mut names, mut seconds, mut args) = (Vec::new(), SECONDS, args.iter());
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            let given = args.next().ok_or("--seconds: how many?")?;
            seconds = given.parse().map_err(|_| format!("--seconds {given}: not a number"))?;
        } else if TARGETS.iter().any(|(name, ..)| name == arg) {
            names.push(arg.clone());
        } else {
            let known: Vec<&str> = TARGETS.iter().map(|(name, ..)| *name).collect();
            return Err(format!("no fuzz target {arg}\n\nhint: {}", known.join(", ")));
        }
    }
    Ok((names, seconds))
}

/// Runs one target. What was interesting stays in `target/fuzz/corpus`; what fails is written beside it,
/// and belongs into a test.
fn one(program: &Path, name: &str, longest: usize, seeds: &[&str], seconds: u64) -> Outcome {
    let corpus = target().join("fuzz/corpus").join(name);
    let failing = target().join("fuzz/failing").join(name);
    let at = |path: &Path| {
        let path = path.display().to_string();
        move |e: std::io::Error| format!("{path}: {e}")
    };
    for dir in [&corpus, &failing] {
        fs::create_dir_all(dir).map_err(at(dir))?;
    }
    for (number, seed) in seeds.iter().enumerate() {
        let from = root().join(seed);
        fs::copy(&from, corpus.join(format!("seed-{number}"))).map_err(at(&from))?;
    }
    let own: PathBuf = root().join("fuzz/seeds").join(name);
    let mut fuzzer = Command::new(program);
    fuzzer.current_dir(&failing).arg(&corpus);
    if own.is_dir() {
        fuzzer.arg(&own);
    }
    fuzzer.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={longest}"));
    fuzzer.arg(format!("-timeout={TIMEOUT}")).arg(format!("-rss_limit_mb={MEMORY_MIB}"));
    fuzzer.args(["-print_final_stats=1", "-verbosity=0"]);
    run(&format!("fuzz {name}, {seconds} s"), &mut fuzzer)
        .map_err(|e| format!("{e}\n\nhint: the input lies in {}; make it a test", failing.display()))
}
