//! The two walks of ARCHITECTURE.md over many seeds. A seed that fails says how to run it again.

use licen_sim::{JobPlan, Report, Sabotage, Scenario, Tally, Walk, run};

/// Seeds of each walk, from 0; `LICEN_SIM_SEEDS=2000` runs as many.
const SEEDS: u64 = 100;

fn seeds() -> u64 {
    std::env::var("LICEN_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

/// Runs one seed; whatever goes wrong, a panic included, comes back with the command that repeats it.
fn walk(walk: Walk, seed: u64) -> Result<(Tally, Vec<String>), String> {
    let scenario = Scenario::new(walk, seed);
    let repeat = format!(
        "LICEN_SIM_SEED={seed} LICEN_SIM_WALK={walk:?} cargo test -p licen-sim -- --nocapture replay"
    );
    match std::panic::catch_unwind(|| run(scenario)) {
        Ok(Report { outcome: Ok(tally), trace }) => Ok((tally, trace)),
        Ok(Report { outcome: Err(error), .. }) => Err(format!("seed {seed}: {error}\n  {repeat}")),
        Err(_) => Err(format!("seed {seed}: a panic\n  {repeat}")),
    }
}

/// All seeds of a walk: sums, and every line that was traced.
fn walk_all(which: Walk) -> (Tally, String) {
    let mut sum = Tally::default();
    let mut failures = Vec::new();
    let mut traces = String::new();
    let seeds = seeds();
    for seed in 0..seeds {
        match walk(which, seed) {
            Ok((tally, trace)) => {
                traces.extend(trace.iter().map(|line| format!("{line}\n")));
                sum.blocks += tally.blocks;
                sum.jobs += tally.jobs;
                sum.fetched += tally.fetched;
                sum.dataset_shares += tally.dataset_shares;
                sum.result_shares += tally.result_shares;
            }
            Err(failure) => failures.push(failure),
        }
    }
    eprintln!("{which:?}: {seeds} seeds, {sum:?}");
    assert!(failures.is_empty(), "{} seeds failed\n{}", failures.len(), failures.join("\n"));
    (sum, traces)
}

/// A walk that never meets a fault or a way out proves nothing about it.
fn assert_met(traces: &str, what: &[&str]) {
    for what in what {
        assert!(traces.contains(what), "no seed met {what:?}");
    }
}

#[test]
fn a_dataset_key_walks_to_compute_and_a_result_key_back() {
    let (sum, traces) = walk_all(Walk::Keys);
    assert!(sum.fetched * 3 > sum.jobs, "most faults leave a way: {sum:?}");
    assert_met(
        &traces,
        &[
            "fault: CustodianDown",
            "over: CustodianDown",
            "fault: CustodianRefuses",
            "fault: ComputeNeverStarts",
            "fault: ComputeDies",
            "fault: ComputeRestarts",
            "fault: ComputeCutOff",
            "chain: 2 blocks are replaced",
            "sends Restart",
            "sends Silent",
            "fault: DatasetLost",
            "fault: DatasetDamaged",
            "Failed, the owner published another rowCount",
            "Failed, the dataset is not in storage",
            ": Completed\n",
            ": Failed\n",
            ": Expired\n",
        ],
    );
}

#[test]
fn a_wei_of_royalty_walks_from_the_requester_to_the_payee() {
    let (sum, traces) = walk_all(Walk::Money);
    assert!(sum.fetched > 0 && sum.fetched < sum.jobs, "some are paid, some are refunded: {sum:?}");
    assert_met(
        &traces,
        &[
            "fault: OrchestratorDead",
            "over: OrchestratorDead",
            "fault: OwnerDeclines",
            "owner: confirms",
            "requester: confirms",
            "expires the job",
            ": Completed\n",
            ": Failed\n",
            ": Expired\n",
            ": Cancelled\n",
        ],
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for (which, seed) in [(Walk::Keys, 3), (Walk::Keys, 5), (Walk::Money, 8), (Walk::Money, 13)] {
        let (one, two) = (run(Scenario::new(which, seed)), run(Scenario::new(which, seed)));
        assert_eq!(one.trace, two.trace);
        assert_eq!(one.outcome.unwrap(), two.outcome.unwrap());
        assert_ne!(one.trace, run(Scenario::new(which, seed + 1)).trace);
    }
}

#[test]
fn every_breach_is_noticed_for_what_it_is() {
    let breaches = [
        (Sabotage::CoinAppears, "wei exist, there were"),
        (Sabotage::CoinMoves, "are in escrow and"),
        (Sabotage::NobodyActs, "after its deadline"),
        (Sabotage::RunForged, "a share left before the job ran at depth"),
        (Sabotage::SettlementForged, "let a result go unpaid"),
        (Sabotage::SettledUnheld, "custodians hold the result"),
        (Sabotage::OwnersCollude, "with their own verdicts a job began unattested"),
        (Sabotage::NeverAlive, "the result was not fetched"),
    ];
    for (sabotage, noticed) in breaches {
        // Silence has to come before the end.
        let epoch_ms = if sabotage == Sabotage::NeverAlive { 150_000 } else { calm().epoch_ms };
        let calm = Scenario { sabotage: Some(sabotage), epoch_ms, run_window: 2_400, ..calm() };
        let outcome = run(calm).outcome.map_err(|error| error.to_string());
        assert!(outcome.as_ref().is_err_and(|error| error.contains(noticed)), "{sabotage:?}: {outcome:?}");
    }
    assert_eq!(run(calm()).outcome.map(|tally| tally.fetched).map_err(|e| e.to_string()), Ok(1));
}

/// A scenario in which nothing goes wrong by itself.
fn calm() -> Scenario {
    let jobs = vec![JobPlan {
        asked_ms: 0,
        epochs: 3,
        compute_fee: Some(7),
        stop_ms: None,
        cancel_ms: None,
        key_lost: false,
    }];
    let seeded = Scenario::new(Walk::Keys, 0);
    Scenario { jobs, faults: vec![], losses: 0, t: 2, n: 3, verifiers: None, epoch_ms: 10_000, ..seeded }
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
