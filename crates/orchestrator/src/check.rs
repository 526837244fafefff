//! What others say is compared with the job before it becomes a transaction. The contract checks all
//! of it again; checking here keeps a liar from costing gas, or from taking the place of the truth.

use licen_core::abi::{FailureReport, Job, ResultManifest, Silence};
use licen_core::eip712::Domain;
use licen_core::job::Reason;
use licen_core::result_roots::ResultRoots;
use licen_core::wire::compute::{SignedFailure, StartTicket};
use licen_core::wire::custodian::SignedManifest;

/// Seconds that a verdict must still live, so that it does not die in the mempool.
const VERDICT_MARGIN: u64 = 5;

/// Why a start ticket cannot start this attempt at a job; `now` is chain time.
pub(crate) fn ticket(job: &Job, ticket: &StartTicket, attempt: u32, now: u64) -> Result<(), &'static str> {
    if ticket.signer.is_zero() || ticket.runtime_data_hash.is_zero() {
        return Err("compute's ticket names no signer");
    }
    if ticket.verdicts.is_empty() || ticket.verdicts.len() != ticket.signatures.len() {
        return Err("compute's ticket has no verdicts");
    }
    for verdict in ticket.verdicts.iter().map(|v| &v.0) {
        let of_this_job = verdict.jobId == job.jobId
            && verdict.attempt == attempt
            && verdict.signer == ticket.signer
            && verdict.runtimeDataHash == ticket.runtime_data_hash;
        if !of_this_job {
            return Err("compute's ticket holds a verdict of something else");
        }
        if verdict.expiresAt < now + VERDICT_MARGIN {
            return Err("the verdicts have expired; compute has to ask again");
        }
    }
    Ok(())
}

/// What custodians sign who call the running attempt silent.
#[must_use]
pub fn silence(job: &Job) -> Silence {
    Silence { jobId: job.jobId, attempt: job.attempt }
}

/// The manifest, if it is compute's statement about this run of a started job.
#[must_use]
pub fn manifest(domain: &Domain, job: &Job, signed: &SignedManifest) -> Option<ResultManifest> {
    let m = &signed.manifest.0;
    let fits = m.jobId == job.jobId
        && m.attempt == job.attempt
        && m.datasetRoot == job.datasetRoot
        && (1..=job.epochs).contains(&m.actualEpochs)
        && ResultRoots::of(m).are_named();
    let by_compute = domain.signer_of(m, &signed.signature) == Some(job.signer);
    (fits && by_compute).then(|| m.clone())
}

/// The failure report, if it is compute's statement about this run and the contract takes it.
pub(crate) fn failure(domain: &Domain, job: &Job, signed: &SignedFailure) -> Option<FailureReport> {
    let r = &signed.report.0;
    let reason = Reason::from_chain(r.reasonCode)?;
    let fits = r.jobId == job.jobId
        && r.attempt == job.attempt
        && r.runtimeDataHash == job.runtimeDataHash
        && reason != Reason::OwnerWithdrew
        && (reason != Reason::JobSpecInvalid || r.epochsDone <= job.epochs);
    let by_compute = domain.signer_of(r, &signed.signature) == Some(job.signer);
    (fits && by_compute).then(|| r.clone())
}
