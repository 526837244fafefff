//! Measurements beside their peers. Each prints JSON lines; nothing here passes or fails.

use crate::run::{Outcome, cargo, run};

/// `cargo xtask bench WHAT`.
pub(crate) fn bench(args: &[String]) -> Outcome {
    let example = |package: &str, name: &str, rest: &[String]| {
        run(
            &format!("bench {name}"),
            cargo().args(["run", "--quiet", "--release", "-p", package, "--example", name, "--"]).args(rest),
        )
    };
    match args.split_first() {
        Some((what, rest)) if what == "storage" => example("licen-storage", "bench_tree", rest),
        Some((what, rest)) if what == "seal" => example("licen-seal", "bench_stream", rest),
        Some((what, rest)) if what == "train" => example("licen-compute", "bench_train", rest),
        _ => Err("bench what?\n\nhint: cargo xtask bench storage".into()),
    }
}
