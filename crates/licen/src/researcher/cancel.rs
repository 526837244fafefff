//! `licen cancel`: the requester's way out of every state, needing nobody else.

use licen_core::abi::DataPolicy;
use licen_core::job::JobState;
use licen_core::money::total_escrow;
use licen_core::primitives::U256;
use licen_core::wire::compute::TaskStatus;
use serde_json::json;

use crate::cli::JobArg;
use crate::session::error::{CliError, Outcome};
use crate::session::output::short;
use crate::session::{Session, codes};

/// Cancels a Granted job; expires an overdue one; sends a failure report compute has signed.
///
/// # Errors
/// The job has ended, or runs within its deadline.
pub async fn cancel(session: &Session, args: &JobArg) -> Outcome {
    let (indexed, state) = session.job(&args.job).await?;
    let job = indexed.job.clone();
    let contract = indexed.contract;
    let chain = session.chain_at(contract).await?;
    let now = chain.now().await?;
    // One label per act: an act that came too late must not stand for the one that fits now.
    let label = |act: &str| format!("{act}:{}:{}", job.jobId, job.attempt);
    let mined = match state {
        JobState::Granted if now <= job.startDeadline => {
            let call = DataPolicy::cancelJobCall { job: job.clone() };
            session.send(&label("cancel"), contract, &call, U256::ZERO).await?
        }
        JobState::Granted => {
            let call = DataPolicy::expireJobCall { job: job.clone() };
            session.send(&label("expire"), contract, &call, U256::ZERO).await?
        }
        JobState::Running if now > job.runDeadline => {
            let call = DataPolicy::expireJobCall { job: job.clone() };
            session.send(&label("expire"), contract, &call, U256::ZERO).await?
        }
        JobState::Running => {
            let held: Option<TaskStatus> = session.node()?.task(job.jobId, job.attempt).await.ok();
            let Some(failure) = held.and_then(|status| status.failure) else {
                let left = job.runDeadline - now;
                return Err(CliError::refused(
                    codes::JOB_STATE,
                    format!("the job is Running; it ends by itself within {left} s"),
                )
                .hint(format!("licen jobs stop {} ends it after the current epoch", args.job)));
            };
            let (report, signature) = (failure.report.0, failure.signature);
            let call = DataPolicy::markJobFailed_0Call { job: job.clone(), report, signature };
            session.send(&label("fail"), contract, &call, U256::ZERO).await?
        }
        JobState::Completed | JobState::Failed | JobState::Expired | JobState::Cancelled => {
            return Err(CliError::refused(codes::JOB_STATE, format!("the job is already {}", state.name()))
                .hint(format!("licen jobs show {} says where its escrow went", args.job)));
        }
    };
    session.indexed(&mined).await;
    let ended = chain.state(job.jobId).await?;
    let (name, escrow) = (ended.name(), total_escrow(&job));
    let token = session.words(job.token).await;
    session.ui.progress(&if token.is_coin() {
        format!("job {name}: the escrow of {} is refunded", token.shown(escrow))
    } else {
        format!("job {name}: of the escrow {}", token.came_back(escrow))
    });
    session.ui.record(&json!({"jobId": job.jobId, "state": name}));
    session.ui.data(&format!("job {} {name}", short(&job.jobId.to_string())));
    Ok(())
}
