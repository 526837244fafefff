//! The confirmed reads of `licen_chain::view`, over the blocks of this world. Beside `chain` this is
//! the one place that makes proofs; nothing depends on this crate, so they cannot leave it.

use licen_core::abi::{Job, ResultManifest};
use licen_core::id::{job_commitment, result_commitment};
use licen_core::job::JobState;
use licen_core::release::{ConfirmedRun, ConfirmedSettlement};
use licen_core::result_roots::ResultRoots;

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
    let recorded = chain.history.ended(job.jobId).result;
    let recorded = recorded.filter(|(block, _)| (since..=deep.number).contains(block));
    let Some((_, manifest)) = recorded.filter(|_| state == Some(JobState::Completed)) else {
        return Ok(None);
    };
    let holds = commitment == result_commitment(job, &manifest);
    Ok(holds.then(|| ConfirmedSettlement::from_chain(chain.domain(), job.clone(), manifest)))
}

/// A lie that a custodian is told, for `Sabotage::RunForged`.
pub(crate) fn forged_run(chain: &Chain, job: &Job) -> ConfirmedRun {
    let deep = chain.deep();
    ConfirmedRun::from_chain(chain.domain(), job.clone(), deep.number, deep.time)
}

/// A lie that a custodian is told, for `Sabotage::SettlementForged`.
pub(crate) fn forged_settlement(chain: &Chain, job: &Job, roots: ResultRoots) -> ConfirmedSettlement {
    let manifest = ResultManifest {
        jobId: job.jobId,
        attempt: job.attempt,
        datasetRoot: job.datasetRoot,
        resultHash: roots.result_hash,
        actualEpochs: job.epochs,
        baseModelRoot: roots.base_model_root,
        adapterRoot: roots.adapter_root,
        attestationRef: roots.attestation_ref,
        reportHash: roots.report_hash,
        ..ResultManifest::default()
    };
    ConfirmedSettlement::from_chain(chain.domain(), job.clone(), manifest)
}
