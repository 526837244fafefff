//! `licen jobs`, `licen jobs stop`, and following one job.

use std::time::{Duration, Instant};

use licen_core::abi::{DataPolicy, Stop};
use licen_core::job::JobState;
use licen_core::money::format_units;
use licen_core::primitives::{B256, Bytes, U256};
use licen_core::wire::AbiHex;
use licen_core::wire::compute::StopRequest;
use licen_core::wire::custodian::SignedManifest;
use serde_json::json;

use crate::cli::{JobArg, JobsArgs};
use crate::codes;
use crate::command::search::short;
use crate::error::{CliError, Outcome};
use crate::node_client::IndexedJob;
use crate::session::Session;

const POLL: Duration = Duration::from_millis(300);

/// Lists jobs.
///
/// # Errors
/// The node does not answer.
pub async fn list(session: &Session, args: &JobsArgs) -> Outcome {
    let requester = if args.all { None } else { Some(session.wallet()?.address().to_string()) };
    for job in session.node()?.jobs(requester.as_deref(), 1000).await? {
        session.ui.record(&record(&job));
        let price = format_units(licen_core::money::total_escrow(&job.job), 18);
        session.ui.data(&format!(
            "{}  {:<9}  {} epochs  {price} escrow  {}",
            short(&job.job.jobId.to_string()),
            job.text("state"),
            job.job.epochs,
            job.text("failReason")
        ));
    }
    Ok(())
}

/// A job as NDJSON, with the GraphQL field names.
#[must_use]
pub fn record(job: &IndexedJob) -> serde_json::Value {
    let mut fields = job.fields.clone();
    if let Some(map) = fields.as_object_mut() {
        map.remove("jobAbi");
        map.remove("policyAbi");
        map.insert("jobId".into(), json!(job.job.jobId));
    }
    fields
}

/// Asks compute to end after the current epoch; what ran is settled.
///
/// # Errors
/// Not the requester's job, or not Running.
pub async fn stop(session: &Session, args: &JobArg) -> Outcome {
    let job = session.node()?.job(&args.job).await?;
    let wallet = session.wallet()?;
    if job.text("state") != JobState::Running.name() {
        let message = format!("the job is {}, only a Running job can be stopped", job.text("state"));
        return Err(CliError::refused(codes::JOB_STATE, message).hint(format!("licen cancel {}", args.job)));
    }
    let stop = Stop { jobId: job.job.jobId, attempt: job.job.attempt };
    let digest = session.chain().await?.domain().digest(&stop);
    let signature = wallet.sign_digest(&digest);
    let request = StopRequest { stop: AbiHex(stop), signature: Bytes::from(signature.to_vec()) };
    session.node()?.stop(job.job.jobId, &request).await?;
    session.ui.progress("Compute ends after the current epoch and settles what ran");
    session.ui.record(&json!({"jobId": job.job.jobId, "stopped": true}));
    Ok(())
}

/// Waits until a job has ended, saying what happens.
///
/// # Errors
/// The node does not answer, or the deadline passes first.
pub async fn follow(session: &Session, job: B256, within: Duration) -> Outcome<IndexedJob> {
    let deadline = Instant::now() + within;
    let node = session.node()?;
    let (mut state, mut line) = (String::new(), String::new());
    loop {
        let now = node.job(&job.to_string()).await;
        if let Ok(now) = now {
            if now.text("state") != state {
                state = now.text("state");
                session.ui.progress(&format!("job {} {state}", short(&job.to_string())));
            }
            if now.text("state") == JobState::Running.name()
                && let Ok(status) = node.task(job, now.job.attempt).await
            {
                let told = format!(
                    "epoch {} loss {}",
                    status.epoch,
                    status.loss.map_or("-".into(), |l| format!("{l:.4}"))
                );
                if status.epoch > 0 && told != line {
                    session.ui.progress(&told);
                    line = told;
                }
            }
            let ended = [JobState::Completed, JobState::Failed, JobState::Expired, JobState::Cancelled];
            if ended.iter().any(|s| s.name() == state) {
                return Ok(now);
            }
        }
        if Instant::now() > deadline {
            return Err(CliError::environment(codes::JOB_STATE, format!("the job is still {state}"))
                .hint(format!("licen cancel {job} gets the escrow back after the deadline")));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The manifest of a job, as any custodian of the deployment publishes it. Where it came from does
/// not matter: its signature does.
///
/// # Errors
/// No custodian has it yet.
pub async fn held_manifest(session: &Session, job: B256) -> Outcome<SignedManifest> {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build();
    let http = http.map_err(|e| CliError::environment(codes::CUSTODIANS, "no HTTP client").because(&e))?;
    for custodian in &session.deployment().await?.custodians {
        let url = format!("{}/v1/manifest/{job}", custodian.url.trim_end_matches('/'));
        let Ok(answer) = http.get(url).send().await else { continue };
        if let Ok(manifest) = answer.json::<SignedManifest>().await {
            return Ok(manifest);
        }
    }
    Err(CliError::environment(codes::CUSTODIANS, "no custodian publishes a manifest of this job"))
}

/// Settles a job with the manifest a custodian publishes: anybody may.
///
/// # Errors
/// No manifest yet, or the contract refuses it.
pub async fn settle_held(session: &Session, id: B256) -> Outcome<IndexedJob> {
    let indexed = session.node()?.job(&id.to_string()).await?;
    if JobState::from_name(&indexed.text("state")).is_some_and(JobState::is_terminal) {
        return Ok(indexed);
    }
    let held = held_manifest(session, id).await?;
    let contract = session.chain().await?.domain().contract;
    let call = DataPolicy::confirmTrainingCompleteCall {
        job: indexed.job.clone(),
        manifest: held.manifest.0,
        signature: held.signature,
    };
    session.send(&format!("confirm:{id}:{}", indexed.job.attempt), contract, &call, U256::ZERO).await?;
    follow(session, id, Duration::from_secs(60)).await
}

/// `licen jobs settle`.
///
/// # Errors
/// See [`settle_held`].
pub async fn settle(session: &Session, args: &JobArg) -> Outcome {
    let job = session.node()?.job(&args.job).await?;
    let ended = settle_held(session, job.job.jobId).await?;
    session.ui.record(&record(&ended));
    session.ui.data(&format!("job {} {}", short(&job.job.jobId.to_string()), ended.text("state")));
    Ok(())
}

/// Wei as whole coins, from a decimal string of the index.
#[must_use]
pub fn coins(text: &str) -> String {
    U256::from_str_radix(text, 10).map_or_else(|_| text.to_string(), |amount| format_units(amount, 18))
}
