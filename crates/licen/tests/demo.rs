//! The demo as a user runs it: real processes on a real chain. Each mode must end as it promises,
//! and nothing secret may be in any log.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// Where the runner starts tests side by side, worlds still come one at a time.
static WORLD: Mutex<()> = Mutex::new(());

fn demo(args: &[&str]) -> Output {
    let _alone = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new(env!("CARGO_BIN_EXE_licen"));
    command.args(["demo", "--once", "--json"]).args(args);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    command.output().expect("the demo starts")
}

fn steps(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "exit {:?}\n{text}\n{errors}", output.status.code());
    let steps: Vec<Value> =
        text.lines().map(|l| serde_json::from_str(l).expect("every line is JSON")).collect();
    assert!(steps.iter().all(|s| s["step"].is_string()), "every object has a step:\n{text}");
    steps
}

fn wei(result: &Value, name: &str) -> u128 {
    result[name].as_str().expect(name).parse().expect(name)
}

/// What was paid in is royaltyPerUnit x units + computeFeePerEpoch x epochs, where the unit is the epoch, and
/// ends as royalty, compute fee and refund.
fn result(steps: &[Value]) -> Value {
    let result = steps.last().expect("a last step").clone();
    assert_eq!(result["step"], "result");
    let requested = u128::from(result["requestedEpochs"].as_u64().expect("requestedEpochs"));
    let per_epoch = wei(&result, "royaltyPerUnit") + wei(&result, "computeFeePerEpoch");
    assert_eq!(wei(&result, "escrow"), per_epoch * requested);
    let parts = ["royalty", "computeFee", "refund"].map(|part| wei(&result, part));
    assert_eq!(wei(&result, "escrow"), parts.iter().sum::<u128>());
    result
}

#[test]
fn a_job_runs_end_to_end_and_no_secret_is_in_any_log() {
    let steps = steps(&demo(&["--keep"]));
    let result = result(&steps);
    assert_eq!(result["state"], "Completed");
    assert_eq!(result["reason"], Value::Null);
    let epochs = u128::from(result["actualEpochs"].as_u64().expect("actualEpochs"));
    assert_eq!(wei(&result, "royalty"), wei(&result, "royaltyPerUnit") * epochs);
    assert_eq!(wei(&result, "computeFee"), wei(&result, "computeFeePerEpoch") * epochs);
    assert!(wei(&result, "computeFee") > 0, "the demo's compute earns a fee");
    assert_eq!(wei(&result, "protocolFee"), wei(&result, "royalty") * 250 / 10_000);
    let (before, after) = (result["evalBefore"].as_f64().unwrap(), result["evalAfter"].as_f64().unwrap());
    assert!(after < before, "training lowers the held-out loss: {before} -> {after}");
    let fetched = steps.iter().find(|s| s["step"] == "fetched").expect("the adapter was fetched");
    let out = PathBuf::from(fetched["out"].as_str().unwrap());
    assert!(out.join("adapter_model.safetensors").is_file() && out.join("adapter_config.json").is_file());
    let world = out.parent().unwrap().to_path_buf();
    nothing_secret(&world);
    std::fs::remove_dir_all(world).unwrap();
}

fn nothing_secret(world: &Path) {
    let key =
        licen_seal::recovery::load_recovery(&world.join("recovery.json"), b"correct horse battery staple")
            .expect("the owner's recovery file opens");
    let rows = std::fs::read_to_string(world.join("vials.jsonl")).unwrap();
    // Preview rows are public by the owner's choice.
    let private: Vec<&str> = rows.lines().skip(2).collect();
    let mut read = 0;
    let mut dirs = vec![world.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name == "vials.jsonl" || path.starts_with(world.join("adapter")) {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            assert!(!key.key.appears_in(&bytes), "the dataset key is in {}", path.display());
            let text = String::from_utf8_lossy(&bytes);
            assert!(
                !private.iter().any(|row| text.contains(row)),
                "a plaintext row is in {}",
                path.display()
            );
            read += 1;
        }
    }
    assert!(read > 20, "only {read} files were looked at");
}

#[test]
fn custodians_that_did_not_approve_the_program_refuse_and_everything_comes_back() {
    let result = result(&steps(&demo(&["--fail", "custodian"])));
    assert_eq!(result["state"], "Expired");
    assert_eq!(wei(&result, "royalty"), 0);
    assert_eq!(result["actualEpochs"], Value::Null);
}

#[test]
fn a_vanished_ciphertext_fails_the_job_and_everything_comes_back() {
    let result = result(&steps(&demo(&["--fail", "storage"])));
    assert_eq!(
        (result["state"].as_str(), result["reason"].as_str()),
        (Some("Failed"), Some("STORAGE_DOWNLOAD_FAILED"))
    );
    assert_eq!(wei(&result, "royalty"), 0);
}

#[test]
fn broken_training_fails_the_job_and_everything_comes_back() {
    let result = result(&steps(&demo(&["--fail", "compute"])));
    assert_eq!(
        (result["state"].as_str(), result["reason"].as_str()),
        (Some("Failed"), Some("COMPUTE_TASK_FAILED"))
    );
    assert_eq!(wei(&result, "royalty"), 0);
}

#[test]
fn the_owner_settles_alone_where_the_orchestrator_went_away() {
    let result = result(&steps(&demo(&["--fail", "withheld-confirm"])));
    assert_eq!(result["state"], "Completed");
    assert!(wei(&result, "royalty") > 0);
}

#[test]
fn a_dead_compute_ends_by_the_run_deadline_and_everything_comes_back() {
    let result = result(&steps(&demo(&["--fail", "timeout"])));
    assert_eq!(result["state"], "Expired");
    assert_eq!(wei(&result, "royalty"), 0);
}

/// Killed without warning and started again: the job ends settled or refunded.
fn restarted(crash: &str) -> Value {
    let steps = steps(&demo(&["--epochs", "1", "--restart", crash]));
    assert_eq!(steps.iter().filter(|s| s["killed"].is_array() || s["started"].is_array()).count(), 2);
    result(&steps)
}

/// Worlds in which each kill is tried; `LICEN_DEMO_KILLS=10` takes as many.
const KILLS: u32 = 1;

fn settles_in_full(crash: &str) {
    let kills = std::env::var("LICEN_DEMO_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    for kill in 1..=kills {
        let result = restarted(crash);
        assert_eq!(result["state"], "Completed", "kill {kill}");
        assert_eq!(wei(&result, "refund"), 0, "kill {kill}");
    }
    eprintln!("{crash}: killed {kills} times, settled in full each time");
}

#[test]
fn a_node_killed_before_the_start_goes_on() {
    settles_in_full("node@granted");
}

#[test]
fn custodians_killed_before_the_start_go_on() {
    settles_in_full("custodian@granted");
}

#[test]
fn a_compute_killed_before_the_start_asks_again() {
    settles_in_full("compute@granted");
}

#[test]
fn a_node_killed_while_training_runs_goes_on() {
    settles_in_full("node@running");
}

#[test]
fn custodians_killed_while_training_runs_take_the_result() {
    settles_in_full("custodian@running");
}

#[test]
fn a_node_killed_after_delivery_settles_what_custodians_hold() {
    settles_in_full("node@delivered");
}

#[test]
fn custodians_killed_after_delivery_still_hold_the_result() {
    settles_in_full("custodian@delivered");
}

#[test]
fn a_compute_killed_after_delivery_is_no_longer_needed() {
    settles_in_full("compute@delivered");
}
