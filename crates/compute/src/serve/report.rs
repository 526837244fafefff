//! The report: what the job measured, for the public. Settings, rows and CPU time are the node's own; what a trainer said
//! of text tokens and losses is in it as far as `limits` let it pass.

use licen_core::abi::{Job, ResultManifest};
use licen_core::job::Reason;
use licen_core::report::{JobReport, VERSION};

use super::error::Broken;
use super::training::{Plan, Trained};

/// The bytes of the report that stands beside `manifest`.
///
/// # Errors
/// `COMPUTE_TASK_FAILED` where it would contradict the manifest or be too large.
pub(super) fn report(
    job: &Job,
    plan: &Plan,
    trained: &Trained,
    manifest: &ResultManifest,
) -> Result<Vec<u8>, Broken> {
    let report = JobReport {
        v: VERSION,
        job_id: job.jobId,
        attempt: job.attempt,
        settings: plan.params.used(),
        rows: trained.data.rows.clone(),
        per_epoch: trained.data.per_epoch,
        losses: trained.losses.clone(),
        compute_seconds: manifest.computeSeconds,
        more: serde_json::Map::new(),
    };
    let written = report.must_be_of(manifest).and_then(|()| report.to_bytes());
    written.map_err(Broken::because(Reason::ComputeTaskFailed))
}
