//! The two walks of ARCHITECTURE.md over many seeds. A seed that fails says how to run it again.

use licen_sim::{Scenario, Tally, Walk, run};

/// Seeds of each walk.
const SEEDS: u64 = 100;

/// Runs one seed; whatever goes wrong, a panic included, comes back with the command that repeats it.
fn walk(walk: Walk, seed: u64) -> Result<Tally, String> {
    let scenario = Scenario::new(walk, seed);
    let repeat = format!(
        "LICEN_SIM_SEED={seed} LICEN_SIM_WALK={walk:?} cargo test -p licen-sim -- --nocapture replay"
    );
    match std::panic::catch_unwind(|| run(scenario).outcome) {
        Ok(Ok(tally)) => Ok(tally),
        Ok(Err(error)) => Err(format!("seed {seed}: {error}\n  {repeat}")),
        Err(_) => Err(format!("seed {seed}: a panic\n  {repeat}")),
    }
}

fn walk_all(which: Walk) -> Tally {
    let mut sum = Tally::default();
    let mut failures = Vec::new();
    for seed in 0..SEEDS {
        match walk(which, seed) {
            Ok(tally) => {
                sum.blocks += tally.blocks;
                sum.jobs += tally.jobs;
                sum.fetched += tally.fetched;
                sum.dataset_shares += tally.dataset_shares;
                sum.result_shares += tally.result_shares;
            }
            Err(failure) => failures.push(failure),
        }
    }
    eprintln!("{which:?}: {SEEDS} seeds, {sum:?}");
    assert!(failures.is_empty(), "{} seeds failed\n{}", failures.len(), failures.join("\n"));
    sum
}

#[test]
fn a_dataset_key_walks_to_compute_and_a_result_key_back() {
    let sum = walk_all(Walk::Keys);
    assert!(sum.fetched * 3 > sum.jobs, "most faults leave a way: {sum:?}");
}

#[test]
fn a_wei_of_royalty_walks_from_the_requester_to_the_payee() {
    let sum = walk_all(Walk::Money);
    assert!(sum.fetched > 0 && sum.fetched < sum.jobs, "some are paid, some are refunded: {sum:?}");
}

/// `LICEN_SIM_SEED=42 LICEN_SIM_WALK=Keys cargo test -p licen-sim -- --nocapture replay`
#[test]
fn replay() {
    let seed = std::env::var("LICEN_SIM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let which = match std::env::var("LICEN_SIM_WALK").as_deref() {
        Ok("Money") => Walk::Money,
        _ => Walk::Keys,
    };
    let scenario = Scenario::new(which, seed);
    eprintln!("{scenario:#?}");
    let report = run(scenario);
    for line in &report.trace {
        eprintln!("{line}");
    }
    eprintln!("{:?}", report.outcome);
    assert!(report.outcome.is_ok());
}
