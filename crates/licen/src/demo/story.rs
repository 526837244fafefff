//! What happens in the world, told as it happens.

use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Instant;

use licen_core::abi::Job;
use licen_core::job::JobState;
use licen_core::money::{compute_escrow, escrow, total_escrow};
use licen_core::primitives::U256;
use serde_json::{Value, json};

use super::follow::{POLL, WITHIN};
use super::stage::Stage;
use super::world::{OWNER, RESEARCHER, World};
use super::{fail, follow, sample};
use crate::cli::{
    AllowArgs, DemoArgs, DescriptionArgs, FailMode, FetchArgs, PayeeArgs, PublishArgs, RequestArgs,
};
use crate::owner::publish;
use crate::owner::publish::Published;
use crate::researcher::{fetch, request};
use crate::session::codes;
use crate::session::error::{CliError, Outcome};
use crate::session::ledger::Token;
use crate::session::node_client::IndexedJob;
use crate::session::output::short;
use licen_core::primitives::B256;

const PRICE: &str = "0.01";
const PURPOSE: &str = "medical-research";

/// Publishes, requests, follows, fetches, and adds everything up.
///
/// # Errors
/// The outcome is not the promised one.
pub async fn tell(stage: &Stage, world: &mut World, args: &DemoArgs) -> Outcome {
    let began = Instant::now();
    if let Some(mode) = args.fail {
        stage.heading(&format!("Made to fail: {}", fail::title(mode)));
    }
    if let Some(restart) = args.restart {
        stage.heading(&format!("Crash: {}", restart.title()));
    }
    let published = owner(stage, world, args).await?;
    let job = researcher(stage, world, args, &published).await?;
    if args.fail == Some(FailMode::Storage) {
        vanish(world, published.policy.datasetRoot)?;
        stage.tell("fault", "The ciphertext has vanished from storage", json!({"mode": "storage"}));
    }
    let ended = follow::follow(stage, world, args, &job).await?;
    let state = ended.state().name();
    let result = settle(stage, &ended);
    if ended.state() == JobState::Completed {
        delivered(stage, world, &ended).await?;
    }
    saw(stage, &ended, &result);
    next(stage, args, &ended);
    stage.ui.data(&format!("\nDone in {:.1} s", began.elapsed().as_secs_f64()));
    stage.ui.record(&result);
    let promised = fail::promised(args);
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
    let (start_window, run_window) = fail::windows(args);
    let options = PublishArgs {
        file,
        name: name.clone(),
        about: DescriptionArgs {
            description: "Published by licen demo".into(),
            languages: vec!["en".into()],
            ..DescriptionArgs::default()
        },
        royalty: PRICE.into(),
        token: None,
        max_epochs: args.epochs.max(5),
        max_runs: 3,
        purposes: vec![PURPOSE.into()],
        payee: PayeeArgs::default(),
        access: AllowArgs::default(),
        start_window,
        run_window,
        expires: 0,
        base_models: Vec::new(),
        max_rank: Some(16),
        max_steps: None,
        providers: Vec::new(),
        jurisdictions: Vec::new(),
        preview: 2,
        // The base model the researcher will name: compute counts again and must find the same.
        count_with: vec![world.dir().join("tiny")],
        dry_run: false,
        manifest: None,
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
        &format!(
            "Encrypted, sealed to {} custodians, stored and registered in {took} ms",
            world.custodians()
        ),
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
    let private = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    private
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"correct horse battery staple\n"))
        .map_err(|e| CliError::environment(codes::FILE, "cannot write the passphrase").because(&e))?;
    Ok(path)
}

async fn researcher(stage: &Stage, world: &World, args: &DemoArgs, published: &Published) -> Outcome<Job> {
    let session = world.session(RESEARCHER, stage.ui)?;
    let root = published.policy.datasetRoot.to_string();
    let deadline = Instant::now() + WITHIN;
    while session.dataset(&root).await.is_err() {
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
        verifier_set: None,
        provider: Some("cheapest".into()),
        max_fee: None,
        result_key: None,
        follow: false,
    };
    let job = request::request(&session, &options).await?;
    stage.heading(&format!("Researcher requests {} epochs", args.epochs));
    stage.tell(
        "requested",
        &format!(
            "Escrowed {} ({} royalty, {} compute fee), job {} Granted",
            Token::coin().shown(total_escrow(&job)),
            Token::coin().shown(escrow(&job)),
            Token::coin().shown(compute_escrow(&job)),
            short(&job.jobId.to_string())
        ),
        json!({"jobId": job.jobId, "escrow": total_escrow(&job).to_string(), "requestedEpochs": job.epochs,
            "providerId": job.providerId, "computeFeePerEpoch": job.computeFeePerEpoch.to_string()}),
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

/// The result object; every amount in wei.
fn settle(stage: &Stage, ended: &IndexedJob) -> Value {
    let job = &ended.job;
    let row = &ended.row;
    let (royalty, compute_fee) =
        (row.royalty_settled.unwrap_or_default(), row.compute_fee.unwrap_or_default());
    let (refund, fee) = (row.refund_issued.unwrap_or_default(), row.protocol_fee.unwrap_or_default());
    let manifest = ended.result.clone();
    let coins = |amount: U256| Token::coin().shown(amount);
    let of_it = if fee.is_zero() { String::new() } else { format!(" ({} of it protocol fee)", coins(fee)) };
    let line = format!(
        "Settled: {} royalty{of_it}, {} compute fee, {} refund, escrow 0",
        coins(royalty),
        coins(compute_fee),
        coins(refund)
    );
    let facts = json!({"royalty": royalty.to_string(), "computeFee": compute_fee.to_string(),
        "refund": refund.to_string()});
    stage.tell("settled", &line, facts);
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
    let reason = ended.fail_reason();
    json!({
        "step": "result", "jobId": job.jobId, "state": ended.state().name(),
        "reason": if reason.is_empty() { Value::Null } else { json!(reason) },
        "royaltyPerUnit": job.royaltyPerUnit.to_string(), "unit": ended.row.unit.name(), "units": job.units,
        "escrow": total_escrow(job).to_string(), "computeFeePerEpoch": job.computeFeePerEpoch.to_string(),
        "royalty": royalty.to_string(), "refund": refund.to_string(),
        "computeFee": compute_fee.to_string(), "protocolFee": fee.to_string(),
        "attempt": ended.job.attempt, "requestedEpochs": job.epochs, "actualEpochs": manifest.as_ref().map(|m| m.actualEpochs),
        "resultHash": manifest.as_ref().map(|m| m.resultHash),
        "attestationRef": manifest.as_ref().map(|m| m.attestationRef),
        "adapterRoot": manifest.as_ref().map(|m| m.adapterRoot),
        "reportHash": manifest.as_ref().map(|m| m.reportHash),
        "computeSeconds": manifest.as_ref().map(|m| m.computeSeconds),
        "evalBefore": manifest.as_ref().map(|m| m.evalBefore as f64 / 1e6),
        "evalAfter": manifest.as_ref().map(|m| m.evalAfter as f64 / 1e6)
    })
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

/// Read from the outcome: a job that never started had no key released, and where the ciphertext was
/// gone there was nothing to decrypt.
fn saw(stage: &Stage, ended: &IndexedJob, result: &Value) {
    stage.heading("Who saw what");
    let released = ended.row.attempt > 0;
    let fetched = released && result["reason"] != "STORAGE_DOWNLOAD_FAILED";
    let with = |compute: bool, note: &str| match compute {
        true => format!("owner, compute{note}"),
        false => "owner alone".to_string(),
    };
    let line = format!(
        "  plaintext    {:<33}ciphertext   {}",
        with(fetched, " (SIMULATED TEE)"),
        if fetched { "storage, compute" } else { "storage" }
    );
    stage.ui.data(&line);
    let note = " (custodians: one share each, never whole)";
    stage.ui.data(&format!("  dataset key  {}", with(released, note)));
    let amount = |name: &str| {
        result[name].as_str().and_then(|text| U256::from_str_radix(text, 10).ok()).unwrap_or_default()
    };
    let coins = |amount: U256| Token::coin().shown(amount);
    let sums = format!(
        "  money        {} in = {} to the owner + {} protocol fee + {} to compute + {} refund",
        coins(amount("escrow")),
        coins(amount("royalty").saturating_sub(amount("protocolFee"))),
        coins(amount("protocolFee")),
        coins(amount("computeFee")),
        coins(amount("refund"))
    );
    stage.ui.data(&sums);
}

fn next(stage: &Stage, args: &DemoArgs, ended: &IndexedJob) {
    let job = short(&ended.job.jobId.to_string()).split('…').next().unwrap_or_default().to_string();
    let place = if args.once { "without --once the world stays up for these" } else { "in another terminal" };
    stage.heading(&format!("Next ({place})"));
    for (command, what) in [
        (format!("licen audit {job}"), "re-verify every step from public data"),
        ("licen search".to_string(), "what this node offers"),
        ("licen demo --fail custodian".to_string(), "a refused release, and the refund"),
    ] {
        stage.ui.data(&format!("  {command:<28} {what}"));
    }
}

/// Removes every stored file of one blob from the node's directory.
///
/// # Errors
/// There was none: then nothing would be shown.
fn vanish(world: &World, root: B256) -> Outcome {
    let name = root.to_string();
    let digits = name.trim_start_matches("0x").to_string();
    let mut removed = 0;
    let mut dirs = vec![world.dir().join("node")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.display().to_string().contains(&digits) && std::fs::remove_file(&path).is_ok() {
                removed += 1;
            }
        }
    }
    if removed == 0 {
        return Err(CliError::environment(codes::DEMO, format!("no stored file of {name} was found")));
    }
    Ok(())
}
