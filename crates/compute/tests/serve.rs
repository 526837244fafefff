//! The node from dispatch to delivery, in one process: the real blob server, custodians that appraise
//! and re-seal for real, the tiny base model.

mod serve_attacks;
mod serve_quotes;
mod serve_world;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use licen_core::abi::{Job, ResultManifest, Stop};
use licen_core::constraints::{Constraints, TrainingLimits};
use licen_core::evidence_bundle::EvidenceBundle;
use licen_core::job::{Reason, started};
use licen_core::primitives::{Address, B256, Bytes};
use licen_core::report::JobReport;
use licen_core::result_roots::ResultRoots;
use licen_core::wire::AbiHex;
use licen_core::wire::compute::{ComputeInfo, Dispatch, StopRequest, TaskState, TaskStatus, Verifiers};
use licen_seal::result::{ResultHeader, unpack_result};
use licen_seal::result_share::combine_result;
use licen_seal::{ResultKey, SigningKey};
use serde_json::json;
use serve_world::custodian::reference_entry;
use serve_world::{Lie, MARK, Mode, Setting, T, World, contains, logs, now};

fn delivered(status: &TaskStatus) -> bool {
    status.task_state == TaskState::Delivered
}

fn failed(status: &TaskStatus) -> bool {
    status.task_state == TaskState::Failed
}

/// The report's reason, after checking who signed it.
fn reason(world: &World, status: &TaskStatus, signer: Address) -> Reason {
    let failure = status.failure.as_ref().expect("a signed report");
    assert_eq!(world.domain.signer_of(&failure.report.0, &failure.signature), Some(signer));
    assert_eq!(failure.report.0.jobId, world.job.jobId);
    Reason::from_chain(failure.report.0.reasonCode).unwrap()
}

/// Processes that this one started and that are there still.
fn children() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let list =
        |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
    let lists: Vec<String> = tasks.flatten().map(list).collect();
    lists.iter().flat_map(|list| list.split_whitespace()).map(str::to_owned).collect()
}

fn manifest_of(world: &World, signer: Address) -> ResultManifest {
    let taken: Vec<_> = world.custodians.iter().filter_map(|c| c.manifest()).collect();
    assert!(taken.len() >= usize::from(T), "{} custodians have the manifest", taken.len());
    let signed = &taken[0];
    assert_eq!(world.domain.signer_of(&signed.manifest.0, &signed.signature), Some(signer));
    assert_eq!(signed.held.len(), usize::from(T));
    assert!(signed.held.is_sorted_by_key(|h| h.0.index));
    signed.manifest.0.clone()
}

/// What the researcher would do after settlement.
fn unpack(world: &World) -> (Vec<String>, tempfile::TempDir) {
    let held: Vec<_> = world.custodians.iter().filter_map(|c| c.take_result()).collect();
    let (header, result_hash) = (held[0].0.clone(), held[0].1);
    let shares: Vec<_> = held.into_iter().map(|(_, _, share)| share).collect();
    let key: ResultKey = combine_result(&header, &shares).ok().unwrap();
    let blob = world.blobs.read(result_hash, 1 << 30).unwrap();
    let mut source = blob.as_slice();
    ResultHeader::read_from(&mut source).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("adapter");
    (unpack_result(&key, &header, source, &target, 1 << 30).unwrap(), dir)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_ends_delivered_and_nothing_leaks() {
    logs::record();
    let world =
        World::new(Setting { modes: vec![Mode::Honest, Mode::Dead, Mode::Honest], ..Setting::default() })
            .await;
    let status = world.ticket().await;
    let start = status.start.as_ref().unwrap();
    let indexes: Vec<u16> = start.signatures.iter().map(|s| s.0.index).collect();
    assert_eq!(indexes, [0, 2], "t verdicts in ascending member index");

    let again = world.put(&world.dispatch_of(world.job.clone())).await;
    assert_eq!(again.1["start"], serde_json::to_value(start).unwrap(), "sent again, nothing changes");

    let running = world.running(&status);
    assert_eq!(world.put(&world.dispatch_of(running.clone())).await.0, 200);
    let status = world.until("delivery", delivered).await;
    assert!(status.loss.is_some() && status.progress == 1.0, "{status:?}");

    for living in [0, 2] {
        let heard = world.custodians[living].heard();
        assert!(!heard.is_empty() && heard.windows(2).all(|pair| pair[0] < pair[1]), "{heard:?}");
    }
    let manifest = manifest_of(&world, running.signer);
    assert_eq!((manifest.actualEpochs, manifest.samples), (2, 36), "18 of 24 rows, twice");
    assert_eq!((manifest.jobId, manifest.datasetRoot), (world.job.jobId, world.job.datasetRoot));
    assert!(manifest.evalAfter < manifest.evalBefore && manifest.evalAfter > 0);
    assert!(manifest.tokensSeen > manifest.tokensTrained && manifest.tokensTrained > 0);

    let bundle = world.blobs.read(manifest.attestationRef, 1 << 20).unwrap();
    let bundle: EvidenceBundle = licen_core::canonical::json_from_slice(&bundle).unwrap();
    assert_eq!(licen_core::runtime_data::hash(&bundle.runtime_data), running.runtimeDataHash);
    assert_eq!(bundle.verdicts.len(), usize::from(T));
    assert_eq!(bundle.entry, reference_entry(), "the entry that custodians met");

    the_report_and_the_adapter_are_what_the_manifest_names(&world, &manifest);

    let (paths, dir) = unpack(&world);
    for file in [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "trainer_state.json",
    ] {
        assert!(paths.iter().any(|p| p == file), "{file} is in {paths:?}");
    }
    let card = std::fs::read_to_string(dir.path().join("adapter/README.md")).unwrap();
    for fact in [world.job.jobId, world.job.datasetRoot, world.job.policyHash, manifest.attestationRef] {
        assert!(card.contains(&fact.to_string()), "{fact} is in the card");
    }
    let (_, info) = world.get("/v1/info").await;
    let info: ComputeInfo = serde_json::from_value(info).unwrap();
    assert!(info.tokens_per_second > 0.0 && info.tee_type == "simulated" && info.sandboxed);

    world.assert_nothing_leaked();
    world.until_wiped().await;
    let log = logs::lines();
    assert!(contains(&log, b"Delivered"), "logs are recorded");
    assert!(!contains(&log, MARK.as_bytes()) && !world.key.appears_in(&log));
}

fn the_report_and_the_adapter_are_what_the_manifest_names(world: &World, manifest: &ResultManifest) {
    assert_eq!(manifest.baseModelRoot, world.base_model_root);
    let held: Vec<_> = world.custodians.iter().filter_map(|c| c.roots()).collect();
    assert!(held.len() >= usize::from(T) && held.iter().all(|held| *held == ResultRoots::of(manifest)));

    let report = world.blobs.read(manifest.reportHash, 1 << 20).unwrap();
    assert!(!contains(&report, MARK.as_bytes()));
    let report = JobReport::from_blob(&report).unwrap();
    report.must_be_of(manifest).unwrap();
    let rows = &report.rows;
    assert_eq!((rows.train, rows.held_out, rows.without_target), (18, 6, 0));
    assert_eq!(rows.shapes, BTreeMap::from([("prompt-completion".to_owned(), 24)]));
    assert_eq!(report.losses.iter().map(|block| block.rows).collect::<Vec<_>>(), [18, 18], "one an epoch");
    assert!(report.losses[1].loss < report.losses[0].loss && report.losses[1].loss > 0);
    let setting = |name: &str| report.settings[name].clone();
    assert_eq!((setting("lora_r"), setting("num_train_epochs")), (json!(2), json!(2)));
    assert_eq!(
        (setting("lora_alpha"), setting("lr_scheduler_type")),
        (json!(32), json!("cosine")),
        "defaults"
    );

    assert!((1..60).contains(&manifest.computeSeconds), "{}", manifest.computeSeconds);
}

/// The names of an adapter and of its tar are one, so that a later job can build on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_adapter_root_is_that_of_the_plaintext_tar() {
    let world = World::new(Setting { epochs: 1, ..Setting::default() }).await;
    let running = world.start().await;
    world.until("delivery", delivered).await;
    let manifest = manifest_of(&world, running.signer);
    let (paths, dir) = unpack(&world);
    let mut tar = licen_seal::tar::TarWriter::new(Vec::new());
    for path in paths {
        let bytes = std::fs::read(dir.path().join("adapter").join(&path)).unwrap();
        tar.append(&path, bytes.len() as u64, &mut bytes.as_slice()).unwrap();
    }
    let tar = tar.finish().unwrap();
    assert_eq!(licen_core::merkle::file_tree(&tar).unwrap().root, manifest.adapterRoot);
}

/// Compute signs the manifest over what t custodians hold; one that names something else is not among them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_custodian_that_holds_other_roots_does_not_count() {
    for mode in [Mode::HoldsAnotherAdapter, Mode::HoldsAnotherReport] {
        let modes = vec![mode, Mode::Honest, Mode::Honest];
        let world = World::new(Setting { modes, epochs: 1, ..Setting::default() }).await;
        let running = world.start().await;
        world.until("delivery", delivered).await;
        let signed = world.custodians[1].manifest().expect("an honest one has it");
        assert_eq!(signed.held.iter().map(|held| held.0.index).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(world.domain.signer_of(&signed.manifest.0, &signed.signature), Some(running.signer));

        let modes = vec![mode, Mode::Honest, mode];
        let world = World::new(Setting { modes, epochs: 1, ..Setting::default() }).await;
        let running = world.start().await;
        let status = world.until("the report", failed).await;
        assert_eq!(reason(&world, &status, running.signer), Reason::ComputeTaskFailed, "{status:?}");
        assert!(status.message.contains("it says that it holds something else"), "{}", status.message);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_trainer_outlives_its_attempt() {
    let gone = async || {
        for _ in 0..100 {
            if children().is_empty() {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        false
    };
    let world = World::new(Setting::default()).await;
    let status = world.ticket().await;
    assert_eq!(children().len(), 1, "it waits with the model");
    assert_eq!(world.put(&world.dispatch_of(world.running(&status))).await.0, 200);
    world.until("delivery", delivered).await;
    assert!(gone().await, "delivered");
    let refused = World::new(Setting { lie: Some(Lie::Ciphertext), ..Setting::default() }).await;
    refused.start().await;
    refused.until("the report", failed).await;
    assert!(gone().await, "failed before it had rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_not_published_are_a_mismatch() {
    for lie in [Lie::Rows, Lie::TokenCount] {
        let world = World::new(Setting { lie: Some(lie), ..Setting::default() }).await;
        let running = world.start().await;
        let status = world.until("the report", failed).await;
        assert_eq!(reason(&world, &status, running.signer), Reason::DatasetMismatch, "{status:?}");
        assert!(!status.message.contains(MARK));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ciphertext_that_does_not_open_is_a_decrypt_failure() {
    let world = World::new(Setting { lie: Some(Lie::Ciphertext), ..Setting::default() }).await;
    let running = world.start().await;
    let status = world.until("the report", failed).await;
    assert_eq!(reason(&world, &status, running.signer), Reason::DatasetDecryptFailed, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ciphertext_that_was_changed_in_storage_is_a_download_failure() {
    let world = World::new(Setting::default()).await;
    let status = world.ticket().await;
    let name = format!("{:x}", world.job.datasetRoot);
    let stored = world.work_dir.parent().unwrap().join("store/blobs").join(&name[..2]).join(&name);
    let mut bytes = std::fs::read(&stored).unwrap();
    bytes[50] ^= 1;
    std::fs::write(&stored, bytes).unwrap();
    let running = world.running(&status);
    world.put(&world.dispatch_of(running.clone())).await;
    let status = world.until("the report", failed).await;
    assert_eq!(reason(&world, &status, running.signer), Reason::StorageDownloadFailed, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zeros_that_storage_appends_change_nothing() {
    let world = World::new(Setting { appends_zeros: true, epochs: 1, ..Setting::default() }).await;
    for root in [world.job.datasetRoot, world.policy.constraintsHash, world.base_model_root] {
        let served = reqwest::get(format!("{}/v1/blobs/{root}", world.blob_url)).await.unwrap();
        let stored = world.blobs.read(root, 1 << 30).unwrap();
        assert!(served.bytes().await.unwrap().len() > stored.len(), "the attack takes place");
    }
    let running = world.start().await;
    world.until("delivery", delivered).await;
    manifest_of(&world, running.signer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_share_is_named_and_the_others_are_used() {
    logs::record();
    let modes = vec![Mode::WrongShare, Mode::Honest, Mode::Honest];
    let world = World::new(Setting { modes, epochs: 1, ..Setting::default() }).await;
    let running = world.start().await;
    world.until("delivery", delivered).await;
    manifest_of(&world, running.signer);

    let modes = vec![Mode::WrongShare, Mode::Honest, Mode::WrongShare];
    let world = World::new(Setting { modes, ..Setting::default() }).await;
    let running = world.start().await;
    let status = world.until("the report", failed).await;
    assert_eq!(reason(&world, &status, running.signer), Reason::KeyReleaseFailed, "{status:?}");
    let id = world.custodians[0].id().to_string();
    assert!(status.message.contains(&id), "{}", status.message);
    assert!(contains(&logs::lines(), id.as_bytes()));
}

/// One malicious custodian below t must not decide who else holds the result by answering first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_custodian_that_lies_about_holding_does_not_withhold_the_result() {
    let modes = vec![Mode::LiesAboutHolding, Mode::Honest, Mode::SlowToHold];
    let world = World::new(Setting { modes, epochs: 1, ..Setting::default() }).await;
    let running = world.start().await;
    world.until("delivery", delivered).await;
    manifest_of(&world, running.signer);
    let (paths, _dir) = unpack(&world);
    assert!(paths.iter().any(|path| path == "adapter_model.safetensors"), "{paths:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_verdicts_fail_without_a_statement() {
    for mode in [Mode::Refuses, Mode::ForgedVerdict] {
        let modes = vec![Mode::Honest, mode, mode];
        let world = World::new(Setting { modes, ..Setting::default() }).await;
        world.put(&world.dispatch_of(world.job.clone())).await;
        let status = world.until("the end", failed).await;
        assert!(status.failure.is_none() && status.start.is_none());
        assert!(status.message.contains("1 of 2 verdicts"), "{}", status.message);
        assert!(status.message.contains(&world.custodians[1].id().to_string()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_owner_forbids_gets_no_verdict() {
    let limits = TrainingLimits { max_trainable_params: Some(10), ..TrainingLimits::default() };
    let constraints = Constraints { training_limits: limits, ..Constraints::default() };
    let world = World::new(Setting { constraints, ..Setting::default() }).await;
    world.put(&world.dispatch_of(world.job.clone())).await;
    let status = world.until("the end", failed).await;
    assert!(status.message.contains("trainable parameters, at most 10"), "{}", status.message);
    assert!(status.failure.is_none());
}

/// Settings under which every step is one row and nothing is learned.
fn row_by_row(max_steps: i64) -> serde_json::Value {
    json!({
        "per_device_train_batch_size": 1, "gradient_accumulation_steps": 1, "learning_rate": 0,
        "max_seq_length": 64, "lora_r": 2, "logging_steps": 1, "max_steps": max_steps,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_cannot_be_looked_at_without_a_whole_epoch() {
    let world = World::new(Setting { params: row_by_row(17), ..Setting::default() }).await;
    world.put(&world.dispatch_of(world.job.clone())).await;
    let status = world.until("the end", failed).await;
    assert!(status.message.contains("JOB_SPEC_INVALID"), "{}", status.message);
    assert!(status.start.is_none() && status.failure.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_a_single_row_does_not_leave() {
    let coarse = |loss: f64| (loss * 1e3 - (loss * 1e3).round()).abs() < 1e-9;
    let world = World::new(Setting { params: row_by_row(-1), ..Setting::default() }).await;
    world.start().await;
    let seen = std::sync::Mutex::new(Vec::new());
    world
        .until("delivery", |status| {
            seen.lock().unwrap().extend(status.loss);
            delivered(status)
        })
        .await;
    let mut seen = seen.into_inner().unwrap();
    seen.dedup();
    assert!((1..=2).contains(&seen.len()) && seen.iter().all(|loss| coarse(*loss)), "{seen:?} of 2 epochs");

    let (_, dir) = unpack(&world);
    let state = std::fs::read(dir.path().join("adapter/trainer_state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    let log = state["log_history"].as_array().unwrap();
    assert_eq!(log.iter().filter(|entry| entry["loss"].is_f64()).count(), 36, "every step is logged");
    let mut losses: Vec<f64> = log
        .iter()
        .flat_map(|entry| [&entry["loss"], &entry["eval_loss"]])
        .filter_map(|l| l.as_f64())
        .collect();
    assert!(losses.iter().all(|loss| coarse(*loss)));
    losses.sort_by(f64::total_cmp);
    losses.dedup();
    assert!(losses.len() <= 4, "one mean of each epoch and of the held-out rows: {losses:?}");
}

/// Whether every step is a row or not, the report says means of an epoch of 18 rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_has_no_loss_of_fewer_rows() {
    let world = World::new(Setting { params: row_by_row(20), ..Setting::default() }).await;
    let running = world.start().await;
    world.until("delivery", delivered).await;
    let manifest = manifest_of(&world, running.signer);
    assert_eq!((manifest.actualEpochs, manifest.samples), (1, 20), "two rows of the second epoch");
    let report = JobReport::from_blob(&world.blobs.read(manifest.reportHash, 1 << 20).unwrap()).unwrap();
    report.must_be_of(&manifest).unwrap();
    assert_eq!(report.losses.iter().map(|block| block.rows).collect::<Vec<_>>(), [18]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_stop_ends_after_the_epoch_and_settles_what_ran() {
    let modes = vec![Mode::Honest, Mode::Withholds, Mode::Honest];
    let world = World::new(Setting { modes, epochs: 9, ..Setting::default() }).await;
    let stop = Stop { jobId: world.job.jobId, attempt: 1 };
    let sign = |key: &SigningKey| {
        let signature = key.sign(&world.domain.digest(&stop)).unwrap();
        StopRequest { stop: AbiHex(stop.clone()), signature: Bytes::copy_from_slice(signature.as_bytes()) }
    };
    assert_eq!(world.stop(&sign(&world.requester)).await, 404);
    let running = world.start().await;
    let stranger = SigningKey::generate().ok().unwrap();
    assert_eq!(world.stop(&sign(&stranger)).await, 403);
    assert_eq!(world.stop(&sign(&world.requester)).await, 200);
    world.until("delivery", delivered).await;
    let manifest = manifest_of(&world, running.signer);
    assert!((1..9).contains(&manifest.actualEpochs), "{} epochs", manifest.actualEpochs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_simulated_fault_says_so() {
    let config = json!({"simulatedFault": "compute", "chainId": 31337});
    let world = World::new(Setting { config, ..Setting::default() }).await;
    let running = world.start().await;
    let status = world.until("the report", failed).await;
    assert_eq!(reason(&world, &status, running.signer), Reason::ComputeTaskFailed);
    assert!(status.message.contains("SIMULATED FAULT"), "{}", status.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_do_not_survive_a_restart() {
    let world = World::new(Setting::default()).await;
    let other =
        licen_core::job::started(&world.job, 1, Address::repeat_byte(7), B256::repeat_byte(8), now() + 600);
    let (code, body) = world.put(&world.dispatch_of(other)).await;
    assert_eq!((code, &body["taskState"]), (200, &json!("Failed")));
    assert!(body["message"].as_str().unwrap().contains("keys of this attempt are gone"), "{body}");

    // That dispatch came to nothing, so it does not stand in the way of the job as it is.
    let running = world.start().await;
    let superseded = licen_core::job::started(
        &world.job,
        1,
        Address::repeat_byte(7),
        running.runtimeDataHash,
        now() + 600,
    );
    world.put(&world.dispatch_of(superseded)).await;
    world.until("delivery", delivered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_running_ends_nothing() {
    let world =
        World::new(Setting { epochs: 1, modes: vec![Mode::AsksTheChain; 3], ..Setting::default() }).await;
    let status = world.ticket().await;
    let running = world.running(&status);
    let forged = |run_deadline| {
        let start = status.start.as_ref().unwrap();
        licen_core::job::started(&world.job, 1, start.signer, start.runtime_data_hash, run_deadline)
    };
    for impossible in [now() + 2, running.runDeadline + 9_999] {
        let (code, body) = world.put(&world.dispatch_of(forged(impossible))).await;
        assert_eq!(code, 422, "{body}");
    }
    for early in [0, 5] {
        let claim = forged(running.runDeadline + early);
        assert_eq!(world.put(&world.dispatch_of(claim)).await.0, 200);
    }
    let told = world.until("a custodian's no", |status| status.message.contains("425")).await;
    assert!(
        told.failure.is_none() && told.start.is_some() && told.task_state == TaskState::SetUp,
        "{told:?}"
    );
    let other = licen_core::job::started(
        &world.job,
        1,
        Address::repeat_byte(7),
        running.runtimeDataHash,
        running.runDeadline,
    );
    assert_eq!(world.put(&world.dispatch_of(other)).await.0, 200);

    // The job starts, a moment later than was forged; and again somebody says otherwise.
    let truth = forged(running.runDeadline + 7);
    world.custodians.iter().for_each(|custodian| custodian.sees_running(&truth));
    assert_eq!(world.put(&world.dispatch_of(truth.clone())).await.0, 200);
    assert_eq!(world.put(&world.dispatch_of(forged(running.runDeadline + 9))).await.0, 200);
    world.until("delivery", delivered).await;
    manifest_of(&world, truth.signer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatch_that_contradicts_itself_is_refused() {
    let world = World::new(Setting::default()).await;
    let good = world.dispatch_of(world.job.clone());
    type Change = fn(&mut Dispatch);
    let changes: [(&str, Change); 14] = [
        ("jobId", |d| d.job.0.jobId = B256::ZERO),
        ("policyHash", |d| d.policy.0.version = 9),
        ("datasetUid", |d| d.chain_id = 1),
        ("unit", |d| d.job.0.unit = 2),
        ("royaltyPerUnit", |d| d.job.0.royaltyPerUnit += 1),
        ("units", |d| d.job.0.units += 1),
        ("units", |d| d.job.0.epochs -= 1),
        ("envelopeHash", |d| d.job.0.envelopeHash = B256::ZERO),
        ("resultKey", |d| d.job.0.resultKey = B256::ZERO),
        ("custodianUrls", |d| d.custodian_urls[1].id = d.custodian_urls[0].id),
        ("threshold", |d| d.threshold = 4),
        ("verifiers", |d| d.job.0.verifierSet = B256::repeat_byte(1)),
        ("verifiers", |d| {
            d.verifiers = Some(Verifiers { members: vec![], threshold: 1 });
        }),
        ("http", |d| d.blob_url = "file:///etc/passwd".into()),
    ];
    for (what, change) in changes {
        let mut dispatch = good.clone();
        change(&mut dispatch);
        let (code, body) = world.put(&dispatch).await;
        assert_eq!(code, 422, "{what}: {body}");
        assert!(body["detail"].as_str().unwrap().contains(what), "{what}: {body}");
    }
    let (code, _) = world.get(&format!("/v1/jobs/{}/1", world.job.jobId)).await;
    assert_eq!(code, 404, "a refused dispatch leaves nothing behind");
    let long = world.post(&format!("{}/stop", world.path()), vec![b' '; 300 * 1024]).await;
    assert_eq!(long.0, 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invented_dispatches_do_not_stand_in_the_way() {
    let world = World::new(Setting { epochs: 1, ..Setting::default() }).await;
    let good = world.dispatch_of(world.job.clone());
    type Change = fn(&mut Dispatch);
    let nowhere = "http://127.0.0.1:9";
    let changes: [Change; 5] = [
        // The same job at another deployment.
        |d| d.contract = Address::repeat_byte(0xdd),
        // The job itself, with addresses where nobody is.
        |d| d.blob_url = "http://127.0.0.1:9".into(),
        |d| d.custodian_urls.iter_mut().for_each(|c| c.url = "http://127.0.0.1:9".into()),
        // Another job under its id.
        |d| (d.job.0.resultKey, d.blob_url) = (B256::repeat_byte(9), "http://127.0.0.1:9".into()),
        |d| (d.job.0.jobSpecHash, d.job.0.epochs, d.job.0.units) = (B256::repeat_byte(9), 2, 2),
    ];
    for change in changes {
        let mut invented = good.clone();
        change(&mut invented);
        assert_eq!(world.put(&invented).await.0, 200);
    }
    for i in 0..40 {
        let mut invented = good.clone();
        (invented.job.0.resultKey, invented.blob_url) = (B256::repeat_byte(100 + i), nowhere.into());
        assert_eq!(world.put(&invented).await.0, 200);
    }
    let mut for_ever = good.clone();
    for_ever.job.0.startDeadline = u64::MAX;
    let (code, body) = world.put(&for_ever).await;
    assert!(code == 422 && body["detail"].as_str().unwrap().contains("startDeadline"), "{body}");

    let running = world.start().await;
    world.until("delivery", delivered).await;
    manifest_of(&world, running.signer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_signed_is_not_forgotten_for_what_was_invented() {
    let config = json!({"simulatedFault": "compute", "chainId": 31337});
    let world = World::new(Setting { config, ..Setting::default() }).await;
    world.start().await;
    let signed = world.until("the report", failed).await.failure.expect("a signed report");
    let (mut job, http) = (world.job.clone(), reqwest::Client::new());
    for i in 0..1_100u64 {
        // Said to run with keys that are not here, so each is over at once.
        job.jobId = B256::left_padding_from(&i.to_be_bytes());
        let invented =
            licen_core::job::started(&job, 1, Address::repeat_byte(7), B256::repeat_byte(8), now() + 600);
        let body = serde_json::to_vec(&world.dispatch_of(invented)).unwrap();
        let url = format!("{}/v1/jobs/{}/1", world.node_url, job.jobId);
        assert_eq!(http.put(url).body(body).send().await.unwrap().status(), 200);
    }
    let status = world.until("the same report", |status| status.failure.is_some()).await;
    assert_eq!(status.failure, Some(signed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_custodians_called_silent_ends_with_a_report() {
    let modes = vec![Mode::CallsSilent, Mode::Honest, Mode::CallsSilent];
    let world =
        World::new(Setting { modes, epochs: 9, config: json!({"aliveSeconds": 1}), ..Setting::default() })
            .await;
    let running = world.start().await;
    let status = world.until("the report", failed).await;
    assert_eq!(reason(&world, &status, running.signer), Reason::ComputeTaskFailed, "{status:?}");
    assert!(status.message.contains("2 of 3 custodians have called the attempt silent"), "{status:?}");
}

/// Another compute, or this one after it forgot its keys, takes the place of an attempt that is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_attempt_needs_as_many_verdicts_as_silence_and_has_keys_of_its_own() {
    let world = World::new(Setting { modes: vec![Mode::Honest; 4], ..Setting::default() }).await;
    // Of a compute that is gone: this one never had its keys.
    let gone = started(&world.job, 1, Address::repeat_byte(9), B256::repeat_byte(9), now() + 600);
    world.attempt.store(2, Ordering::Relaxed);
    let ahead = Job { attempt: 2, ..gone.clone() };
    assert_eq!(world.put(&world.dispatch_of(Job { attempt: 3, ..gone.clone() })).await.0, 422);
    assert_ne!(world.put(&world.dispatch_of(world.job.clone())).await.0, 200, "nothing runs that it follows");
    assert_eq!(world.put(&world.dispatch_of(gone.clone())).await.0, 200);
    let status = world.until("a ticket", |s| s.start.is_some()).await;
    let start = status.start.clone().unwrap();
    assert_eq!(start.verdicts.len(), 3, "t = 2 of n = 4: so many can call an attempt silent");
    assert!(start.verdicts.iter().all(|v| v.0.attempt == 2 && v.0.signer == start.signer));
    assert_ne!((start.signer, start.runtime_data_hash), (gone.signer, gone.runtimeDataHash));
    let running = Job { signer: start.signer, runtimeDataHash: start.runtime_data_hash, ..ahead };
    assert_eq!(world.put(&world.dispatch_of(running.clone())).await.0, 200);
    world.until("delivery", delivered).await;
    assert_eq!(manifest_of(&world, running.signer).attempt, 2);
}
