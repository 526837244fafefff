//! `cargo xtask slow`: the long forms of tests and measurements. `.ci/run` runs the same tests small; the
//! size comes from one environment variable for both. Times and rates are printed, and nothing here
//! judges them.

use std::time::{Duration, Instant};

use crate::run::{Outcome, cargo, contracts_bin, install_contracts, run};
use crate::{bench, fuzz};

/// Seconds each fuzz target gets.
const FUZZ_SECONDS: u64 = 600;
/// Size of the file that is published for its rate, MiB.
const PUBLISH_MIB: u64 = 10_240;

/// A test whose size an environment variable sets. The small size is the constant of the test.
struct Sized {
    variable: &'static str,
    unit: &'static str,
    small: u64,
    long: u64,
    /// Where the small size stands, for the test that holds the two together.
    #[cfg_attr(not(test), expect(dead_code))]
    source: &'static str,
    /// What follows `cargo test`.
    test: &'static [&'static str],
}

enum Work {
    Test(Sized),
    Publish,
    Fuzz(&'static str),
    Contracts,
}

struct Slow {
    name: String,
    what: String,
    /// How long the long form takes on two cores.
    minutes: u64,
    work: Work,
}

impl Slow {
    fn new(name: &str, what: &str, minutes: u64, work: Work) -> Self {
        Self { name: name.into(), what: what.into(), minutes, work }
    }

    /// Small and long size, in words.
    fn sizes(&self) -> String {
        match &self.work {
            Work::Test(it) => {
                format!("small {}, long {} ({}, {})", it.small, it.long, it.unit, it.variable)
            }
            Work::Publish => {
                format!("small {}, long {PUBLISH_MIB} (MiB, cargo xtask bench publish)", bench::PUBLISH_MIB)
            }
            Work::Fuzz(_) => {
                format!("small {}, long {FUZZ_SECONDS} (seconds, cargo xtask fuzz)", fuzz::SECONDS)
            }
            Work::Contracts => "small default, long deep (profile of contracts/foundry.toml)".into(),
        }
    }

    fn run(&self) -> Outcome {
        match &self.work {
            Work::Test(it) => {
                install_contracts()?;
                let mut test = cargo();
                // Some tests start both binaries; cargo builds them where their packages are tested.
                run("cargo build", cargo().args(["build", "--quiet", "-p", "licen", "-p", "licen-compute"]))?;
                test.arg("test").args(it.test).args(["--", "--nocapture"]);
                run(&self.name, test.env(it.variable, it.long.to_string()))
            }
            Work::Publish => bench::bench(&["publish".into(), "--size".into(), PUBLISH_MIB.to_string()]),
            Work::Fuzz(target) => {
                fuzz::fuzz(&[(*target).into(), "--seconds".into(), FUZZ_SECONDS.to_string()])
            }
            Work::Contracts => {
                install_contracts()?;
                run(&self.name, contracts_bin("forge").arg("test").env("FOUNDRY_PROFILE", "deep"))
            }
        }
    }
}

/// Everything there is.
fn all() -> Vec<Slow> {
    let mut all = memory();
    all.push(Slow::new("publish", "the rate at which a dataset is checked and encrypted", 5, Work::Publish));
    all.extend(jobs());
    let contracts = "fuzz and invariant tests of the contracts, many runs of each";
    all.push(Slow::new("contracts", contracts, 15, Work::Contracts));
    all.extend(fuzz::TARGETS.iter().map(|(target, ..)| {
        let what = format!("the reader of `{target}` under libFuzzer");
        Slow::new(&format!("fuzz-{target}"), &what, FUZZ_SECONDS / 60 + 1, Work::Fuzz(target))
    }));
    all
}

/// Large files in the memory of small ones.
fn memory() -> Vec<Slow> {
    let storage = Sized {
        variable: "LICEN_STORAGE_MIB",
        unit: "MiB",
        small: 256,
        long: 4_096,
        source: "crates/storage/tests/memory.rs",
        test: &["-p", "licen-storage", "--test", "memory"],
    };
    let publish = Sized {
        variable: "LICEN_PUBLISH_MIB",
        source: "crates/licen/tests/memory.rs",
        test: &["-p", "licen", "--test", "memory"],
        ..storage
    };
    let stored = "a large file is stored, read, sent and fetched in the memory of a small one";
    let published = "a large dataset is checked and encrypted in the memory of a small one";
    vec![
        Slow::new("storage-memory", stored, 2, Work::Test(storage)),
        Slow::new("publish-memory", published, 2, Work::Test(publish)),
    ]
}

/// Jobs under faults and kills.
fn jobs() -> Vec<Slow> {
    let walks = Sized {
        variable: "LICEN_SIM_SEEDS",
        unit: "seeds of each walk",
        small: 100,
        long: 2_000,
        source: "crates/sim/tests/walks.rs",
        test: &["-p", "licen-sim", "--test", "walks", "_walks_"],
    };
    let kills = Sized {
        variable: "LICEN_SIM_KILL_SEEDS",
        unit: "simulated worlds",
        small: 1,
        long: 25,
        source: "crates/sim/tests/liveness.rs",
        test: &["-p", "licen-sim", "--test", "liveness", "killed"],
    };
    let demo = Sized {
        variable: "LICEN_DEMO_KILLS",
        unit: "kills at each point",
        small: 1,
        long: 10,
        source: "crates/licen/tests/demo.rs",
        test: &["-p", "licen", "--test", "demo", "killed"],
    };
    let walked = "the walks of a dataset key and of a wei, under the faults of each seed";
    let killed = "a custodian, compute and the orchestrator are killed at every effect";
    let real = "real processes get SIGKILL at eight points of a job, which settles in full";
    vec![
        Slow::new("walks", walked, 10, Work::Test(walks)),
        Slow::new("kills", killed, 10, Work::Test(kills)),
        Slow::new("demo-kills", real, 40, Work::Test(demo)),
    ]
}

/// `cargo xtask slow [--list | NAME...]`.
pub(crate) fn slow(args: &[String]) -> Outcome {
    let all = all();
    if args == ["--list"] {
        println!("{}", list(&all));
        return Ok(());
    }
    let chosen = choose(&all, args)?;
    if args.is_empty() {
        println!("{}", list(&all));
    }
    let mut done: Vec<(&str, Duration, Outcome)> = Vec::new();
    for slow in chosen {
        let clock = Instant::now();
        let outcome = slow.run();
        done.push((&slow.name, clock.elapsed(), outcome));
    }
    println!();
    for (name, took, outcome) in &done {
        let said = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("{name:<18} {said:<6} {:.0} s", took.as_secs_f64());
    }
    let failed: Vec<String> = done
        .into_iter()
        .filter_map(|(name, _, outcome)| outcome.err().map(|e| format!("{name}: {e}")))
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

fn choose<'a>(all: &'a [Slow], names: &[String]) -> Result<Vec<&'a Slow>, String> {
    if names.is_empty() {
        return Ok(all.iter().collect());
    }
    let find = |name: &String| {
        all.iter().find(|slow| slow.name == *name).ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(|slow| slow.name.as_str()).collect();
            format!("nothing slow is called {name}\n\nhint: {}", known.join(", "))
        })
    };
    names.iter().map(find).collect()
}

fn list(all: &[Slow]) -> String {
    let line = |slow: &Slow| {
        let (name, what, minutes) = (&slow.name, &slow.what, slow.minutes);
        format!("{name:<18} {what}\n{:<18} {}; about {minutes} min", "", slow.sizes())
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::root;

    #[test]
    fn small_sizes_are_those_of_the_tests() {
        let mut sized = 0;
        for slow in all() {
            let Work::Test(it) = slow.work else { continue };
            let source = std::fs::read_to_string(root().join(it.source)).unwrap();
            assert!(source.contains(&format!("\"{}\"", it.variable)), "{} reads {}", it.source, it.variable);
            let own =
                |line: &&str| line.starts_with("const ") && line.ends_with(&format!(" = {};", it.small));
            assert!(
                source.lines().any(|line| own(&line)),
                "{}: {} is not the small size",
                it.source,
                it.small
            );
            assert!(it.long > it.small, "{}", slow.name);
            sized += 1;
        }
        assert_eq!(sized, 5);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let all = all();
        assert_eq!(choose(&all, &[]).unwrap().len(), all.len());
        let error = choose(&all, &["kills".into(), "kill".into()]).err().unwrap();
        assert!(error.contains("called kill\n") && error.contains("fuzz-quote"), "{error}");
    }

    #[test]
    fn every_run_is_listed_with_both_sizes() {
        let text = list(&all());
        for slow in all() {
            assert!(text.contains(&slow.name), "{text}");
        }
        assert!(text.contains("small 100, long 2000 (seeds of each walk, LICEN_SIM_SEEDS); about"));
    }
}
