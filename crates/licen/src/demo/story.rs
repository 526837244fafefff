//! What happens in the world, told as it happens.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use licen_core::abi::{Job, ResultManifest};
use licen_core::job::JobState;
use licen_core::money::{escrow, format_units};
use licen_core::primitives::U256;
use serde_json::{Value, json};

use super::world::{OPERATOR, OWNER, RESEARCHER, World};
use super::{Stage, fail, sample};
use crate::cli::{DemoArgs, FailMode, FetchArgs, PublishArgs, RequestArgs};
use crate::codes;
use crate::command::publish::Published;
use crate::command::search::short;
use crate::command::{fetch, jobs, publish, request};
use crate::error::{CliError, Outcome};
use crate::node_client::IndexedJob;

const PRICE: &str = "0.01";
const PURPOSE: &str = "medical-research";
const WITHIN: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(150);

/// Publishes, requests, follows, fetches, and adds everything up.
///
/// # Errors
/// The outcome is not the promised one.
pub async fn tell(stage: &Stage, world: &mut World, args: &DemoArgs) -> Outcome {
    let began = Instant::now();
    if let Some(mode) = args.fail {
        stage.heading(&format!("Made to fail: {}", fail::title(mode)));
    }
    let published = owner(stage, world, args).await?;
    let job = researcher(stage, world, args, &published).await?;
    if args.fail == Some(FailMode::Storage) {
        fail::vanish(world, published.policy.datasetRoot)?;
        stage.tell("fault", "The ciphertext has vanished from storage", json!({"mode": "storage"}));
    }
    let ended = follow(stage, world, args, &job).await?;
    let state = ended.text("state");
    let result = settle(stage, world, &ended).await?;
    if state == JobState::Completed.name() {
        delivered(stage, world, &ended).await?;
    }
    saw(stage, &result);
    next(stage, &ended);
    stage.ui.data(&format!("\nDone in {:.1} s", began.elapsed().as_secs_f64()));
    stage.ui.record(&result);
    let promised = fail::promised(args.fail);
    if state != promised {
        return Err(CliError::refused(
            codes::DEMO,
            format!("the job ended {state}, promised was {promised}"),
        ));
    }
    Ok(())
}

async fn owner(stage: &Stage, world: &World, args: &DemoArgs) -> Outcome<Published> {
    let session = world.session(OWNER, stage.ui)?;
    let file: PathBuf = match &args.data {
        Some(path) => path.clone(),
        None => sample::write_dataset(world.dir())?,
    };
    let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let (start_window, run_window) = fail::windows(args.fail);
    let options = PublishArgs {
        file,
        name: name.clone(),
        description: "Published by licen demo".into(),
        royalty: PRICE.into(),
        max_epochs: args.epochs.max(5),
        max_runs: 3,
        purposes: vec![PURPOSE.into()],
        payee: None,
        start_window,
        run_window,
        expires: 0,
        base_models: Vec::new(),
        max_rank: Some(16),
        max_steps: None,
        preview: 2,
        custodian_set: None,
        appraisal_policy: None,
        level: "software".into(),
        recovery: Some(world.dir().join("recovery.json")),
        passphrase_file: Some(passphrase(world)?),
    };
    let began = Instant::now();
    let published = publish::publish(&session, &options).await?;
    let policy = &published.policy;
    stage.heading(&format!("Owner publishes {name} ({} records, {} bytes)", published.rows, published.bytes));
    let took = began.elapsed().as_millis();
    stage.tell(
        "published",
        &format!("Encrypted, sealed to 3 custodians, stored and registered in {took} ms"),
        json!({"datasetRoot": policy.datasetRoot, "rows": published.rows, "bytes": published.bytes}),
    );
    stage.ui.data(&format!("  datasetRoot {}", short(&policy.datasetRoot.to_string())));
    stage.ui.data(&format!(
        "  Price {PRICE} per epoch, at most {} per run, purpose {PURPOSE}, LoRA rank at most 16",
        policy.maxEpochsPerRun
    ));
    Ok(published)
}

/// A passphrase for a world that is deleted on exit.
fn passphrase(world: &World) -> Outcome<PathBuf> {
    let path = world.dir().join("passphrase");
    std::fs::write(&path, "correct horse battery staple\n")
        .map_err(|e| CliError::environment(codes::FILE, "cannot write the passphrase").because(&e))?;
    Ok(path)
}

async fn researcher(stage: &Stage, world: &World, args: &DemoArgs, published: &Published) -> Outcome<Job> {
    let session = world.session(RESEARCHER, stage.ui)?;
    let node = session.node()?;
    let root = published.policy.datasetRoot.to_string();
    let deadline = Instant::now() + WITHIN;
    while node.dataset(&root).await.is_err() {
        if Instant::now() > deadline {
            return Err(CliError::environment(codes::NODE_NOT_READY, "the index never showed the dataset"));
        }
        tokio::time::sleep(POLL).await;
    }
    let options = RequestArgs {
        dataset: root,
        epochs: args.epochs,
        base: "tiny".into(),
        purpose: Some(PURPOSE.into()),
        config: Some(training_config(world)?),
        eval_fraction: 0.1,
        seed: 7,
        result_key: None,
        follow: false,
    };
    let job = request::request(&session, &options).await?;
    stage.heading(&format!("Researcher requests {} epochs", args.epochs));
    stage.tell(
        "requested",
        &format!(
            "Escrowed {}, job {} Granted",
            format_units(escrow(&job), 18),
            short(&job.jobId.to_string())
        ),
        json!({"jobId": job.jobId, "escrow": escrow(&job).to_string(), "requestedEpochs": job.epochs}),
    );
    Ok(job)
}

/// The settings of the demo's run, as a researcher would write them. Early stopping is on: where the
/// held-out loss stops falling, the epochs that did not run are refunded.
fn training_config(world: &World) -> Outcome<PathBuf> {
    let path = world.dir().join("train.json");
    let config = json!({
        "lora_r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "learning_rate": 0.002,
        "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "max_seq_length": 256,
        "early_stopping_patience": 1, "early_stopping_threshold": 0.0
    });
    std::fs::write(&path, config.to_string())
        .map_err(|e| CliError::environment(codes::FILE, "cannot write train.json").because(&e))?;
    Ok(path)
}

/// Watches the job until it ends, telling each change once.
async fn follow(stage: &Stage, world: &mut World, args: &DemoArgs, job: &Job) -> Outcome<IndexedJob> {
    let session = world.session(RESEARCHER, stage.ui)?;
    let node = session.node()?;
    let deadline = Instant::now() + WITHIN;
    let (mut state, mut told, mut broken) = (String::new(), String::new(), false);
    loop {
        if Instant::now() > deadline {
            return Err(CliError::environment(codes::DEMO, format!("the job is still {state}")));
        }
        if let Ok(status) = node.task(job.jobId, 1).await {
            let line = match (status.epoch, status.loss) {
                (0, _) | (_, None) => format!("Compute: {:?}", status.task_state),
                (epoch, Some(loss)) => format!("Training epoch {epoch} of {}, loss {loss:.4}", job.epochs),
            };
            let said = if status.message.is_empty() { line } else { format!("{line} ({})", status.message) };
            if said != told {
                let facts =
                    json!({"taskState": status.task_state, "epoch": status.epoch, "loss": status.loss});
                stage.tell("progress", &said, facts);
                told = said;
            }
            if status.epoch > 0 && !broken {
                broken = disturb(stage, world, args.fail);
            }
        }
        if let Ok(now) = node.job(&job.jobId.to_string()).await {
            if now.text("state") != state {
                state = now.text("state");
                stage.tell(
                    "state",
                    &format!("job {} {state}", short(&job.jobId.to_string())),
                    json!({"state": state}),
                );
            }
            if JobState::from_name(&state).is_some_and(JobState::is_terminal) {
                return Ok(now);
            }
        }
        if broken && args.fail == Some(FailMode::WithheldConfirm) {
            return stranger(stage, world, job, deadline).await;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Breaks what has to break while training runs.
fn disturb(stage: &Stage, world: &mut World, mode: Option<FailMode>) -> bool {
    match mode {
        Some(FailMode::Timeout) => {
            world.stop("compute");
            stage.tell("fault", "Compute is gone; its keys died with it", json!({"mode": "timeout"}));
            true
        }
        Some(FailMode::WithheldConfirm) => {
            // The node's storage stays: only the part that drives jobs is gone.
            if world.stop_orchestrator().is_err() {
                return false;
            }
            stage.tell(
                "fault",
                "The orchestrator is gone and will not settle",
                json!({"mode": "withheld-confirm"}),
            );
            true
        }
        None | Some(FailMode::Custodian | FailMode::Storage | FailMode::Compute) => true,
    }
}

/// Anybody can settle: a custodian hands the manifest to whoever asks.
async fn stranger(stage: &Stage, world: &mut World, job: &Job, deadline: Instant) -> Outcome<IndexedJob> {
    world.ready(stage).await?;
    let session = world.session(OWNER, stage.ui)?;
    loop {
        if let Ok(ended) = jobs::settle_held(&session, job.jobId).await {
            stage.tell(
                "state",
                "The owner fetched the manifest from a custodian and settled the job alone",
                json!({"state": ended.text("state")}),
            );
            return Ok(ended);
        }
        if Instant::now() > deadline {
            return Err(CliError::environment(codes::DEMO, "no custodian published the manifest"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The result object; every amount in wei.
async fn settle(stage: &Stage, world: &World, ended: &IndexedJob) -> Outcome<Value> {
    let job = &ended.job;
    let number = |name: &str| U256::from_str_radix(&ended.text(name), 10).unwrap_or_default();
    let royalty = number("royaltySettled");
    let refund = escrow(job) - royalty;
    let completed = ended.text("state") == JobState::Completed.name();
    let manifest: Option<ResultManifest> = if completed {
        let session = world.session(OPERATOR, stage.ui)?;
        Some(jobs::held_manifest(&session, job.jobId).await?.manifest.0)
    } else {
        None
    };
    let coins = |amount: U256| format_units(amount, 18);
    let line = format!("Settled: {} royalty, {} refund, escrow 0", coins(royalty), coins(refund));
    stage.tell("settled", &line, json!({"royalty": royalty.to_string(), "refund": refund.to_string()}));
    if let Some(m) = &manifest {
        let (before, after) = (m.evalBefore as f64 / 1e6, m.evalAfter as f64 / 1e6);
        let line = format!(
            "Trained {} of {} epochs, held-out loss {before:.4} -> {after:.4}, {} text tokens",
            m.actualEpochs, job.epochs, m.tokensTrained
        );
        stage.tell(
            "trained",
            &line,
            json!({"actualEpochs": m.actualEpochs, "evalBefore": before, "evalAfter": after}),
        );
    }
    let reason = ended.text("failReason");
    Ok(json!({
        "step": "result", "jobId": job.jobId, "state": ended.text("state"),
        "reason": if reason.is_empty() { Value::Null } else { json!(reason) },
        "royaltyPerEpoch": job.royaltyPerEpoch.to_string(), "escrow": escrow(job).to_string(),
        "royalty": royalty.to_string(), "refund": refund.to_string(),
        "computeFee": number("computeFee").to_string(), "protocolFee": number("protocolFee").to_string(),
        "requestedEpochs": job.epochs, "actualEpochs": manifest.as_ref().map(|m| m.actualEpochs),
        "resultHash": manifest.as_ref().map(|m| m.resultHash),
        "attestationRef": manifest.as_ref().map(|m| m.attestationRef),
        "evalBefore": manifest.as_ref().map(|m| m.evalBefore as f64 / 1e6),
        "evalAfter": manifest.as_ref().map(|m| m.evalAfter as f64 / 1e6)
    }))
}

async fn delivered(stage: &Stage, world: &World, ended: &IndexedJob) -> Outcome {
    let session = world.session(RESEARCHER, stage.ui)?;
    let options = FetchArgs {
        job: ended.job.jobId.to_string(),
        out: world.dir().join("adapter"),
        result_key: None,
        new_result_key: false,
    };
    let deadline = Instant::now() + WITHIN;
    let files = loop {
        // Custodians release once the settlement is two blocks deep.
        match fetch::fetch(&session, &options).await {
            Ok(files) => break files,
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    };
    let line =
        format!("Fetched and decrypted the adapter: {} files in {}", files.len(), options.out.display());
    stage.tell("fetched", &line, json!({"files": files, "out": options.out}));
    Ok(())
}

fn saw(stage: &Stage, result: &Value) {
    stage.heading("Who saw what");
    stage.ui.data("  plaintext    owner, compute (SIMULATED TEE)   ciphertext   storage, compute");
    stage.ui.data("  dataset key  owner, compute (custodians: one share each, never whole)");
    let amount = |name: &str| jobs::coins(result[name].as_str().unwrap_or("0"));
    let sums = format!(
        "  money        {} in = {} royalty + {} refund",
        amount("escrow"),
        amount("royalty"),
        amount("refund")
    );
    stage.ui.data(&sums);
}

fn next(stage: &Stage, ended: &IndexedJob) {
    let job = short(&ended.job.jobId.to_string()).split('…').next().unwrap_or_default().to_string();
    stage.heading("Next (after the export below, in another terminal)");
    stage.ui.data(&format!("  licen audit {job}            re-verify every step from public data"));
    stage.ui.data("  licen search                 what this node offers");
    stage.ui.data("  licen demo --fail custodian  a refused release, and the refund");
}
