//! The confirmed reads of `licen_chain::view`, over the blocks of this world. Beside `chain` this is
//! the one place that makes proofs; nothing depends on this crate, so they cannot leave it.

use licen_core::abi::Job;
use licen_core::id::job_commitment;
use licen_core::job::JobState;
use licen_core::primitives::B256;
use licen_core::release::{ConfirmedRun, ConfirmedSettlement};

use super::Chain;
use crate::error::SimError;

/// Proof that exactly this job is Running at depth.
pub(crate) fn run_at_depth(chain: &Chain, job: &Job) -> Result<Option<ConfirmedRun>, SimError> {
    let deep = chain.deep();
    let (state, commitment) = chain.job_state(deep, job.jobId)?;
    let holds = state == Some(JobState::Running) && commitment == job_commitment(job);
    Ok(holds.then(|| ConfirmedRun::from_chain(chain.domain(), job.clone(), deep.number, deep.time)))
}

/// Proof that exactly this job is Completed at depth, with its result.
pub(crate) fn settlement_at_depth(
    chain: &Chain,
    job: &Job,
    since: u64,
) -> Result<Option<ConfirmedSettlement>, SimError> {
    let deep = chain.deep();
    let (state, commitment) = chain.job_state(deep, job.jobId)?;
    if state != Some(JobState::Completed) || commitment != job_commitment(job) {
        return Ok(None);
    }
    let completed = chain.history.ended(job.jobId).completed;
    let said = completed.filter(|(block, ..)| (since..=deep.number).contains(block));
    Ok(said.map(|(.., result)| ConfirmedSettlement::from_chain(chain.domain(), job.clone(), result)))
}

/// A lie that a custodian is told, for `Sabotage::RunForged`.
pub(crate) fn forged_run(chain: &Chain, job: &Job) -> ConfirmedRun {
    let deep = chain.deep();
    ConfirmedRun::from_chain(chain.domain(), job.clone(), deep.number, deep.time)
}

/// A lie that a custodian is told, for `Sabotage::SettlementForged`.
pub(crate) fn forged_settlement(chain: &Chain, job: &Job, result: B256) -> ConfirmedSettlement {
    ConfirmedSettlement::from_chain(chain.domain(), job.clone(), result)
}
