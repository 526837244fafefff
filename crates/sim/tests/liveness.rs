//! What becomes of a job whose compute is gone, slow to be heard, or done: chosen scenarios, where the
//! walks leave it to a seed.

use licen_sim::{Fault, JobPlan, Report, Role, Scenario, Walk, run};

/// A job of `epochs` epochs of `epoch_ms`, three custodians of which two suffice, and no weather.
fn scenario(epochs: u32, epoch_ms: u64, faults: Vec<Fault>) -> Scenario {
    let job = JobPlan {
        asked_ms: 0,
        epochs,
        compute_fee: Some(7),
        stop_ms: None,
        cancel_ms: None,
        key_lost: false,
    };
    let seeded = Scenario::new(Walk::Keys, 0);
    Scenario {
        jobs: vec![job],
        faults,
        losses: 0,
        t: 2,
        n: 3,
        verifiers: None,
        epoch_ms,
        run_window: 2_400,
        block_ms: 2_000,
        confirmations: 2,
        expires_after: None,
        ..seeded
    }
}

/// Results fetched, and the trace.
fn fetched(scenario: Scenario) -> (usize, String) {
    let Report { outcome, trace } = run(scenario);
    let trace = trace.join("\n");
    match outcome {
        Ok(tally) => (tally.fetched, trace),
        Err(error) => panic!("{error}\n{trace}"),
    }
}

#[test]
fn compute_that_forgot_its_keys_does_the_job_in_a_second_attempt() {
    let (fetched, trace) = fetched(scenario(3, 40_000, vec![Fault::ComputeRestarts { at_ms: 90_000 }]));
    assert!(trace.contains("sends Restart"), "{trace}");
    assert_eq!(fetched, 1, "{trace}");
}

#[test]
fn compute_that_never_comes_back_costs_minutes_and_not_the_run_window() {
    let (fetched, trace) = fetched(scenario(3, 40_000, vec![Fault::ComputeDies { at_ms: 90_000 }]));
    assert!(trace.contains("sends Silent") && trace.contains(": Failed"), "{trace}");
    assert!(!trace.contains("Expired"), "{trace}");
    assert_eq!(fetched, 0);
}

/// Cut off for less than custodians wait: nothing happens to it.
#[test]
fn compute_that_is_cut_off_for_a_while_finishes() {
    let cut = Fault::ComputeCutOff { from_ms: 60_000, until_ms: 200_000 };
    let (fetched, trace) = fetched(scenario(3, 100_000, vec![cut]));
    assert!(!trace.contains("sends Restart") && !trace.contains("sends Silent"), "{trace}");
    assert_eq!(fetched, 1, "{trace}");
}

/// Cut off for longer, with nobody there to act: custodians say silence to the stranger who asks, and
/// compute, back again, learns it long before it has trained for nothing.
#[test]
fn compute_that_was_called_silent_stops_at_once() {
    let faults = vec![
        Fault::ComputeCutOff { from_ms: 60_000, until_ms: 420_000 },
        Fault::OrchestratorDead { at_ms: 70_000, replaced_ms: Some(600_000) },
        Fault::StrangerAsks { at_ms: 400_000 },
    ];
    let (fetched, trace) = fetched(scenario(3, 500_000, faults));
    assert!(
        trace.contains("3 of 3 custodians have called the attempt silent") || trace.contains("2 of 3"),
        "{trace}"
    );
    assert!(trace.contains(": Failed") && !trace.contains("Expired"), "{trace}");
    assert_eq!(fetched, 0);
}

/// The result is held and the manifest published; then compute dies, the orchestrator is not there, and
/// strangers ask for silence for a quarter of an hour. Whoever comes next settles it.
#[test]
fn a_finished_manifest_is_never_voided() {
    let asks = (0..10).map(|n| Fault::StrangerAsks { at_ms: 300_000 + n * 60_000 });
    let faults = [
        Fault::OrchestratorDead { at_ms: 80_000, replaced_ms: Some(1_000_000) },
        Fault::ComputeDies { at_ms: 290_000 },
    ];
    let faults = faults.into_iter().chain(asks).collect();
    let (fetched, trace) = fetched(scenario(3, 40_000, faults));
    assert!(!trace.contains("sends Restart") && !trace.contains("sends Silent"), "{trace}");
    assert_eq!(fetched, 1, "{trace}");
}

/// The same while the newest blocks are replaced again and again.
#[test]
fn replaced_blocks_that_nobody_believed_harm_nobody() {
    for seed in 0..5 {
        let calm = scenario(3, 20_000, vec![]);
        let (paid, trace) = fetched(Scenario { seed, reorganises: true, confirmations: 3, ..calm });
        assert!(trace.contains("blocks are replaced"), "{trace}");
        assert_eq!(paid, 1, "{trace}");
    }
}

/// The requester named custodians of its own. All of the owner's together start and restart nothing, and
/// with the requester's the job is trained, restarted and paid as ever.
#[test]
fn the_owners_custodians_alone_begin_nothing_against_a_verifier_set() {
    let calm = scenario(3, 40_000, vec![Fault::ComputeRestarts { at_ms: 90_000 }]);
    let (paid, trace) = fetched(Scenario { verifiers: Some((2, 3)), ..calm });
    assert!(trace.contains("sends Start") && trace.contains("sends Restart"), "{trace}");
    assert_eq!(paid, 1, "{trace}");
}

/// Worlds, by seed from 0, in which a role is killed at every effect; `LICEN_SIM_KILL_SEEDS=25` takes as
/// many.
const KILL_SEEDS: u64 = 1;

/// Whoever is killed, after whichever of its effects: the job is trained, paid and fetched all the same,
/// by the same attempt or the next one. Only compute that dies between `Held` and its manifest leaves what
/// nobody can settle or call silent; that ends by expiry, with everything back.
fn killed_at_every_effect(role: Role, step: usize) {
    let seeds = std::env::var("LICEN_SIM_KILL_SEEDS").ok().and_then(|text| text.parse().ok());
    let (seeds, mut kills) = (seeds.unwrap_or(KILL_SEEDS), 0);
    for seed in 0..seeds {
        kills += kills_of(seed, role, step);
    }
    eprintln!("{role:?}: {kills} kills in {seeds} worlds");
}

/// Kills a role at every effect of one world; gives how often.
fn kills_of(seed: u64, role: Role, step: usize) -> usize {
    for (kills, at) in (1..).step_by(step).enumerate() {
        let calm = scenario(2, 15_000, vec![]);
        let (paid, trace) = fetched(Scenario { seed, kill: Some((role, at)), ..calm });
        if !trace.contains("killed: ") {
            assert!(at > 5, "{role:?} has more effects than {at}");
            return kills;
        }
        let too_late = role == Role::Compute && trace.contains("Delivering") && trace.contains(": Expired");
        assert!(paid == 1 || too_late, "{role:?} killed after effect {at}, seed {seed}\n{trace}");
    }
    unreachable!("a scenario ends")
}

#[test]
fn a_custodian_killed_after_any_effect_keeps_its_word() {
    killed_at_every_effect(Role::Custodian(0), 1);
}

#[test]
fn compute_killed_before_any_effect_is_restarted() {
    killed_at_every_effect(Role::Compute, 1);
}

#[test]
fn an_orchestrator_killed_after_any_effect_is_replaced() {
    killed_at_every_effect(Role::Orchestrator, 3);
}
