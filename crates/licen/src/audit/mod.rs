//! Anybody audits: every step of a job, or the custody of a dataset, re-verified from the chain and storage
//! alone. The node only says where to look. One file per part; `check` collects the verdicts.

mod admission;
mod check;
mod custody;
mod evidence;
mod job;
mod logs;
mod payees;
mod provider;
mod settlement;

use crate::cli::AuditArgs;
use crate::session::error::{CliError, Outcome};
use crate::session::{Session, codes};

/// Audits one job, or the custody of one dataset.
///
/// # Errors
/// Some check does not hold.
pub async fn audit(session: &Session, args: &AuditArgs) -> Outcome {
    match (&args.job, &args.dataset) {
        (_, Some(dataset)) => custody::audit(session, dataset).await,
        (Some(job), None) => job::audit(session, job).await,
        (None, None) => Err(CliError::environment(codes::USAGE, "neither a job nor --dataset was given")),
    }
}
