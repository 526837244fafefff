//! A base model that took its trainer over: in the trainer's place stands a program that says what it likes. It may
//! bring any adapter; numbers that a training of these rows cannot have end the attempt.

use std::os::unix::fs::PermissionsExt;

use licen_core::job::Reason;
use licen_core::primitives::B256;
use licen_core::report::JobReport;
use serde_json::{Value, json};

use super::super::serve_world::{Setting, World};
use super::super::{delivered, failed, manifest_of, reason};

/// Until the shell itself, which the kernel counts, has used 1.5 s of CPU time.
const BURN: &str =
    "t=0; while [ $t -lt 150 ]; do read -r l < /proc/self/stat; set -- $l; t=$((${14}+${15})); done";

/// Reports in order, as an honest trainer gives them about two epochs of the world's rows.
fn honest() -> Vec<Value> {
    let progress = |epoch: u64, done: u64, step: u64, loss: Option<f64>| json!({"Progress": {"epoch": epoch, "epochs_done": done, "step": step, "loss": loss}});
    let metering = json!({
        "samples": 36, "tokensSeen": 1_600, "tokensTrained": 600, "epochs": 2, "evalBefore": 3.5, "evalAfter": 3.25,
    });
    vec![
        json!({"Ready": {"confined": true}}),
        json!({"Loaded": {"trainable": 64, "tokenizer_hash": B256::ZERO}}),
        json!({"Opened": {"tokens": null, "per_epoch": [800, 300], "without_target": 0}}),
        progress(1, 0, 5, Some(2.125)),
        progress(1, 1, 5, None),
        progress(2, 1, 10, Some(1.5)),
        progress(2, 2, 10, None),
        json!({"Trained": {"metering": metering, "files": [["README.md", 5]], "computeSeconds": 0}}),
    ]
}

/// A world whose node trains by a program that says `reports`, each when it is asked for the next, after `work`.
async fn world(reports: &[Value], work: &str) -> (World, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (said, program) = (dir.path().join("said"), dir.path().join("trainer"));
    let frame = |report: &Value| {
        let text = report.to_string();
        [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat()
    };
    let frames: Vec<u8> = reports.iter().flat_map(frame).chain(*b"card\n").collect();
    std::fs::write(&said, frames).unwrap();
    let first = frame(&reports[0]).len();
    let said = said.display();
    let script = format!(
        "#!/bin/sh\nhead -c {first} {said}\n{work}\ntail -c +{} {said}\nexec cat >/dev/null\n",
        first + 1
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
    let config = json!({"trainerProgram": program});
    (World::new(Setting { config, ..Setting::default() }).await, dir)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trainer_that_keeps_to_the_rules_may_be_any_program() {
    let (world, _dir) = world(&honest(), "").await;
    let running = world.start().await;
    world.until("delivery", delivered).await;
    let manifest = manifest_of(&world, running.signer);
    assert_eq!((manifest.samples, manifest.tokensSeen, manifest.tokensTrained), (36, 1_600, 600));
    let report = JobReport::from_blob(&world.blobs.read(manifest.reportHash, 1 << 20).unwrap()).unwrap();
    report.must_be_of(&manifest).unwrap();
    assert_eq!(report.losses.iter().map(|block| block.loss).collect::<Vec<_>>(), [2_125, 1_500]);
}

/// It says that it took no time. A requester whose model did that would pay for less than ran.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trainer_that_lies_about_its_cpu_time_is_not_asked() {
    let (world, _dir) = world(&honest(), BURN).await;
    let running = world.start().await;
    world.until("delivery", delivered).await;
    let manifest = manifest_of(&world, running.signer);
    assert!((2..30).contains(&manifest.computeSeconds), "{}", manifest.computeSeconds);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trainer_that_lies_about_samples_losses_or_rows_ends_the_attempt() {
    type Change = fn(&mut Vec<Value>);
    let changes: [(&str, Change); 11] = [
        ("samples of one row more", |r| r[7]["Trained"]["metering"]["samples"] = json!(37)),
        ("samples of one epoch", |r| r[7]["Trained"]["metering"]["samples"] = json!(18)),
        ("fewer tokens than its rows have", |r| r[7]["Trained"]["metering"]["tokensTrained"] = json!(1)),
        ("more tokens than its rows have", |r| r[2]["Opened"]["per_epoch"] = json!([18 * 64 + 1, 300])),
        ("more rows without a target than rows", |r| r[2]["Opened"]["without_target"] = json!(25)),
        ("nothing learned of rows that have a target", |r| r[2]["Opened"]["per_epoch"] = json!([800, 17])),
        ("a loss of more digits", |r| r[3]["Progress"]["loss"] = json!(2.125_1)),
        ("a loss of rows that it has not met", |r| r[3]["Progress"]["step"] = json!(4)),
        ("an epoch that was not begun", |r| r[3]["Progress"]["epoch"] = json!(2)),
        ("an epoch without its mean loss", |r| r[5]["Progress"]["loss"] = json!(null)),
        ("one epoch where it was two", |r| {
            r[7]["Trained"]["metering"] = json!({
                "samples": 18, "tokensSeen": 800, "tokensTrained": 300, "epochs": 1, "evalBefore": 3.5, "evalAfter": 3.25,
            });
        }),
    ];
    for (lie, change) in changes {
        let mut reports = honest();
        change(&mut reports);
        let (world, _dir) = world(&reports, "").await;
        let running = world.start().await;
        let status = world.until(lie, failed).await;
        assert_eq!(reason(&world, &status, running.signer), Reason::ComputeTaskFailed, "{lie}: {status:?}");
        assert!(status.message.contains("the trainer"), "{lie}: {status:?}");
    }
}
