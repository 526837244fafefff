//! `licen jobs`, `licen jobs stop`, and following one job.

use std::time::{Duration, Instant};

use licen_core::abi::{DataPolicy, Job, ResultManifest, Stop};
use licen_core::job::JobState;
use licen_core::money::total_escrow;
use licen_core::primitives::{B256, Bytes, U256};
use licen_core::report::{self, JobReport};
use licen_core::wire::AbiHex;
use licen_core::wire::compute::StopRequest;
use serde_json::json;

use crate::cli::{JobArg, JobsArgs};
use crate::session::error::{CliError, Outcome};
use crate::session::held_manifest::held_manifest;
use crate::session::ledger::Token;
use crate::session::node_client::{IndexedJob, NodeClient};
use crate::session::output::short;
use crate::session::report::summary;
use crate::session::{Session, codes};

const POLL: Duration = Duration::from_millis(300);
/// The longest windows of any policy, one after the other.
const FOLLOW_WITHIN: Duration = Duration::from_secs(37 * 24 * 3_600);
/// Between two losses of one epoch.
const LOSS_EVERY: Duration = Duration::from_secs(5);
/// Between two looks at a job that only waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lists jobs.
///
/// # Errors
/// The node does not answer.
pub async fn list(session: &Session, args: &JobsArgs) -> Outcome {
    let requester = if args.all { None } else { Some(session.wallet()?.address().to_string()) };
    let filter = requester.as_ref().map_or(json!({}), |who| json!({"requester": {"_eq": who}}));
    let jobs = session.node()?.jobs(filter).await?;
    for job in &jobs {
        let token = session.words(job.job.token).await;
        session.ui.record(&record(job, &token));
        let price = token.shown(total_escrow(&job.job));
        let line = format!(
            "{}  {:<9}  {:<9}  {price} escrow  {}",
            short(&job.job.jobId.to_string()),
            job.state().name(),
            epochs(job.job.epochs),
            job.fail_reason()
        );
        session.ui.data(line.trim_end());
    }
    match requester {
        Some(who) if jobs.is_empty() => {
            session.ui.progress(&format!("{who} has requested no job; --all lists everybody's"));
        }
        _ => {}
    }
    Ok(())
}

/// `1 epoch`, `3 epochs`.
#[must_use]
pub fn epochs(n: u32) -> String {
    if n == 1 { "1 epoch".into() } else { format!("{n} epochs") }
}

/// `licen jobs show`: one job as the chain has it.
///
/// # Errors
/// No such job, or the node or chain does not answer.
pub async fn show(session: &Session, args: &JobArg) -> Outcome {
    let (indexed, state) = session.job(&args.job).await?;
    let now = session.chain().await?.now().await?;
    let job = &indexed.job;
    let token = session.words(job.token).await;
    session.ui.record(&record(&indexed, &token));
    let compute = training(&session.node()?, &indexed).await.unwrap_or_default();
    let row = &indexed.row;
    let amount = |amount: Option<U256>| token.shown(amount.unwrap_or_default());
    let root = |root: Option<B256>| root.map_or(String::new(), |root| root.to_string());
    let report = match &indexed.result {
        Some(result) => reported(session, result).await,
        None => String::new(),
    };
    let lines = [
        ("job", job.jobId.to_string()),
        ("dataset", job.datasetRoot.to_string()),
        ("requester", job.requester.to_string()),
        ("state", state.name().to_string()),
        ("reason", indexed.fail_reason().to_string()),
        ("compute", compute.trim_start_matches("compute: ").to_string()),
        ("asked", epochs(job.epochs)),
        ("trained", row.actual_epochs.map_or(String::new(), epochs)),
        ("provider", provider(job)),
        ("escrow", token.shown(total_escrow(job))),
        ("royalty", amount(row.royalty_settled)),
        ("compute fee", compute_fee(&indexed, &token)),
        ("refund", amount(row.refund_issued)),
        ("credit", credit(session, &indexed, &token).await),
        ("result", root(row.result_hash)),
        ("adapter", root(row.adapter_root)),
        ("measured", report),
        ("next", next(&indexed, state, now)),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        session.ui.data(&format!("{name:<13} {value}"));
    }
    Ok(())
}

/// The provider that a job names.
fn provider(job: &Job) -> String {
    if job.providerId.is_zero() { String::new() } else { job.providerId.to_string() }
}

/// What its compute earned, or may still earn; nothing where it asked for nothing.
fn compute_fee(indexed: &IndexedJob, token: &Token) -> String {
    match (indexed.job.computeFeePerEpoch, indexed.row.compute_fee) {
        (0, _) => String::new(),
        (_, Some(earned)) => token.shown(earned),
        (fee, None) => format!("{} per epoch", token.shown(U256::from(fee))),
    }
}

/// The report behind a result, in a line; why there is none where storage or custodians do not have it.
async fn reported(session: &Session, result: &ResultManifest) -> String {
    let read = session.blob(result.reportHash, report::MAX_BYTES as u64).await;
    match read.map(|bytes| JobReport::from_blob(&bytes)) {
        Ok(Ok(report)) => summary(&report),
        Ok(Err(error)) => format!("the report is not one: {error}"),
        Err(error) => format!("no report: {}", error.message),
    }
}

/// What the requester can do now.
fn next(indexed: &IndexedJob, state: JobState, now: u64) -> String {
    let id = short(&indexed.job.jobId.to_string());
    let (start, run) = (indexed.job.startDeadline, indexed.job.runDeadline);
    match state {
        JobState::Granted if now <= start => {
            format!("starts within {} s, or licen cancel {id}", start - now)
        }
        JobState::Running if now <= run => {
            format!("ends within {} s, or licen jobs stop {id}", run - now)
        }
        JobState::Granted | JobState::Running => format!("overdue: licen cancel {id}"),
        JobState::Completed => format!("licen fetch {id} --out adapter"),
        JobState::Failed | JobState::Expired | JobState::Cancelled => format!("licen audit {id}"),
    }
}

/// `licen jobs follow`.
///
/// # Errors
/// As [`follow`].
pub async fn watch(session: &Session, args: &JobArg) -> Outcome {
    let id = session.node()?.job(&args.job).await?.job.jobId;
    let ended = follow(session, id, FOLLOW_WITHIN).await?;
    self::ended(session, &ended).await
}

/// Says how a followed job ended.
///
/// # Errors
/// Refused where it did not complete, so that a script notices.
pub async fn ended(session: &Session, job: &IndexedJob) -> Outcome {
    let (id, state) = (short(&job.job.jobId.to_string()), job.state());
    let token = session.words(job.job.token).await;
    session.ui.record(&record(job, &token));
    session.ui.data(&format!("job {id} {}", state.name()));
    let refund = job.row.refund_issued.unwrap_or_default();
    if state == JobState::Completed {
        if !token.is_coin() && !refund.is_zero() {
            session.ui.progress(&format!("of the escrow {}", token.came_back(refund)));
        }
        session.ui.progress(&format!("licen fetch {id} --out adapter decrypts the adapter"));
        return Ok(());
    }
    let reason = job.fail_reason();
    let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    Err(CliError::refused(
        codes::JOB_STATE,
        format!("the job ended {}{why}, {}", state.name(), token.came_back(refund)),
    )
    .hint(format!("licen audit {id}")))
}

/// A job as NDJSON, with the GraphQL field names, and what its amounts are counted in.
#[must_use]
pub fn record(job: &IndexedJob, token: &Token) -> serde_json::Value {
    let mut record = json!(job.row);
    record["jobId"] = json!(job.job.jobId);
    token.beside_record(record)
}

/// Asks compute to end after the current epoch; what ran is settled.
///
/// # Errors
/// Not the requester's job, or not Running.
pub async fn stop(session: &Session, args: &JobArg) -> Outcome {
    let (job, state) = session.job(&args.job).await?;
    let wallet = session.wallet()?;
    if state != JobState::Running {
        let message = format!("the job is {}, only a Running job can be stopped", state.name());
        let hint = if state == JobState::Granted { "licen cancel" } else { "licen jobs show" };
        return Err(CliError::refused(codes::JOB_STATE, message).hint(format!("{hint} {}", args.job)));
    }
    if wallet.address() != job.job.requester {
        let message = format!("the job is {}'s, the wallet is {}", job.job.requester, wallet.address());
        return Err(
            CliError::refused(codes::JOB_STATE, message).hint("--wallet FILE with the requester's key")
        );
    }
    let stop = Stop { jobId: job.job.jobId, attempt: job.job.attempt };
    let digest = session.chain_at(job.contract).await?.domain().digest(&stop);
    let signature = wallet.sign_digest(&digest);
    let request = StopRequest { stop: AbiHex(stop), signature: Bytes::from(signature.to_vec()) };
    session.node()?.stop(job.job.jobId, &request).await?;
    session.ui.progress("Compute ends after the current epoch and settles what ran");
    session.ui.record(&json!({"jobId": job.job.jobId, "stopped": true}));
    session.ui.data(&format!("job {} stops", short(&job.job.jobId.to_string())));
    Ok(())
}

/// Waits until a job has ended, saying what happens.
///
/// # Errors
/// The node does not answer, or the deadline passes first.
pub async fn follow(session: &Session, job: B256, within: Duration) -> Outcome<IndexedJob> {
    let deadline = Instant::now() + within;
    let node = session.node()?;
    let (mut state, mut line) = (None, String::new());
    let mut spoken = Instant::now();
    loop {
        let now = node.job(&job.to_string()).await;
        if let Ok(now) = now {
            if state != Some(now.state()) {
                state = Some(now.state());
                let (said, reason) = (now.state().name(), now.fail_reason());
                session.ui.progress(format!("job {} {said} {reason}", short(&job.to_string())).trim_end());
                spoken = Instant::now();
            }
            // A loss of every step would bury the rest: each epoch and some in between are enough.
            let fresh = |told: &String| {
                let head = |line: &str| line.split(" loss ").next().unwrap_or_default().to_string();
                *told != line && (head(told) != head(&line) || spoken.elapsed() > LOSS_EVERY)
            };
            if let Some(told) = training(&node, &now).await.filter(fresh) {
                session.ui.progress(&told);
                (line, spoken) = (told, Instant::now());
            }
            // The node says so; where that is the end of a wait, the chain has to say it too.
            if now.state().is_terminal()
                && let Ok((indexed, found)) = session.job(&job.to_string()).await
                && found.is_terminal()
            {
                return Ok(indexed);
            }
        }
        if spoken.elapsed() > PATIENCE {
            session.ui.progress(&format!(
                "still {}; licen jobs show {} tells until when",
                state.map_or("", JobState::name),
                short(&job.to_string())
            ));
            spoken = Instant::now();
        }
        if Instant::now() > deadline {
            return Err(CliError::environment(
                codes::JOB_STATE,
                format!("the job is still {}", state.map_or("", JobState::name)),
            )
            .hint(format!("licen cancel {job} gets the escrow back after the deadline")));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// One line about a job's training, where there is one.
async fn training(node: &NodeClient, now: &IndexedJob) -> Option<String> {
    if !matches!(now.state(), JobState::Running | JobState::Granted) {
        return None;
    }
    let status = node.task(now.job.jobId, now.job.attempt).await.ok()?;
    match status.loss.filter(|_| status.epoch > 0) {
        Some(loss) => Some(format!("epoch {} of {} loss {loss:.4}", status.epoch, now.job.epochs)),
        None if status.message.is_empty() => None,
        None => Some(format!("compute: {}", status.message)),
    }
}

/// Settles a job with the manifest a custodian publishes: anybody may.
///
/// # Errors
/// No manifest yet, or the contract refuses it.
pub async fn settle_held(session: &Session, id: B256) -> Outcome<IndexedJob> {
    let (indexed, state) = session.job(&id.to_string()).await?;
    if state.is_terminal() {
        return Ok(indexed);
    }
    let contract = indexed.contract;
    let domain = session.chain_at(contract).await?.domain();
    let held = held_manifest(session, &domain, &indexed.job).await?;
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
    let (job, before) = session.job(&args.job).await?;
    if before.is_terminal() {
        session.ui.progress(&format!("It was {} already", before.name()));
    }
    let ended = settle_held(session, job.job.jobId).await?;
    let token = session.words(ended.job.token).await;
    session.ui.record(&record(&ended, &token));
    session.ui.data(&format!("job {} {}", short(&job.job.jobId.to_string()), ended.state().name()));
    Ok(())
}

/// What the requester can still withdraw of the job's token, once the job gave something back: an ERC-20
/// refund is a credit, beside those of other jobs.
async fn credit(session: &Session, indexed: &IndexedJob, token: &Token) -> String {
    if token.is_coin() || indexed.row.refund_issued.unwrap_or_default().is_zero() {
        return String::new();
    }
    let (requester, address) = (indexed.job.requester, token.address);
    let waits = match session.chain_at(indexed.contract).await {
        Ok(chain) => chain.credit(requester, address).await.unwrap_or_default(),
        Err(_) => U256::ZERO,
    };
    if waits.is_zero() {
        return String::new();
    }
    format!("{} wait for {requester}: licen withdraw --token {address}", token.shown(waits))
}
