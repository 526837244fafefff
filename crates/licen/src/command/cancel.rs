//! `licen cancel`: the requester's way out of every state, needing nobody else.

use licen_core::abi::DataPolicy;
use licen_core::job::JobState;
use licen_core::primitives::U256;
use licen_core::wire::compute::TaskStatus;
use serde_json::json;

use crate::cli::JobArg;
use crate::codes;
use crate::error::{CliError, Outcome};
use crate::session::Session;

/// Cancels a Granted job; expires an overdue one; sends a failure report compute has signed.
///
/// # Errors
/// The job has ended, or runs within its deadline.
pub async fn cancel(session: &Session, args: &JobArg) -> Outcome {
    let chain = session.chain().await?;
    let indexed = session.node()?.job(&args.job).await?;
    let job = indexed.job.clone();
    let contract = chain.domain().contract;
    let now = chain.now().await?;
    let state = chain.state(&job).await?;
    let label = format!("cancel:{}:{}", job.jobId, job.attempt);
    match state {
        JobState::Granted if now <= job.startDeadline => {
            let call = DataPolicy::cancelJobCall { job: job.clone() };
            session.send(&label, contract, &call, U256::ZERO).await?;
        }
        JobState::Granted => {
            let call = DataPolicy::expireJobCall { job: job.clone() };
            session.send(&label, contract, &call, U256::ZERO).await?;
        }
        JobState::Running if now > job.runDeadline => {
            let call = DataPolicy::expireJobCall { job: job.clone() };
            session.send(&label, contract, &call, U256::ZERO).await?;
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
            session.send(&label, contract, &call, U256::ZERO).await?;
        }
        JobState::Completed | JobState::Failed | JobState::Expired | JobState::Cancelled => {
            return Err(CliError::refused(codes::JOB_STATE, format!("the job is already {}", state.name()))
                .hint("licen earnings, licen withdraw"));
        }
    }
    let ended = chain.state(&job).await?;
    session.ui.progress(&format!("job {}: the escrow is refunded", ended.name()));
    session.ui.record(&json!({"jobId": job.jobId, "state": ended.name()}));
    Ok(())
}
