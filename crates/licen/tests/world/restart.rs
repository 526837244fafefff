//! A compute node that dies with its keys costs an attempt, not the job: real processes, a real chain.

use super::place::Place;

#[test]
fn a_compute_killed_while_it_trains_costs_an_attempt_and_the_next_one_is_paid() {
    // Long enough that it is killed while it trains, and not after custodians hold its result.
    let place = Place::start_of(600, "5", &["--restart", "compute@running"]);
    let shown = place.licen(&["--json", "jobs", "show", &place.job]);
    let job: serde_json::Value = serde_json::from_str(shown.out.lines().next().unwrap()).unwrap();
    assert_eq!((job["state"].as_str(), job["attempt"].as_u64()), (Some("Completed"), Some(2)), "{job}");
    assert!(place.dir.join("adapter/adapter_model.safetensors").is_file());
    // Whoever audits it sees the second attempt, its quorum and its evidence.
    let audit = place.licen(&["audit", &place.job]);
    assert_eq!(audit.exit, 0, "{}{}", audit.out, audit.err);
}
