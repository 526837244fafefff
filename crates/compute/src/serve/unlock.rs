//! The job runs: t custodians release their shares, the shares make the dataset key. Compute cannot
//! read the chain; that custodians released to the key in its runtime data is its proof.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use licen_core::abi::Job;
use licen_core::job::Reason;
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::{ReleaseRequest, ReleaseResponse};
use licen_seal::release::{combine, open_released};
use licen_seal::{DatasetKey, KeyShare};
use tokio::time::Instant;

use super::custodians::{Answers, CallError, Patience, ask_all};
use super::error::Broken;
use super::node::Node;
use super::setup::Prepared;

const CALL_LIMIT: Duration = Duration::from_secs(20);

/// Why there is no key.
pub(super) enum Locked {
    /// Nothing that was heard says that the job runs as dispatched, which anybody may have made up.
    Unconfirmed(String),
    /// The job runs, as far as one can tell, and the shares do not come: `KEY_RELEASE_FAILED` with what
    /// each custodian said.
    Broken(Broken),
}

/// Collects shares until `until` and combines them.
///
/// # Errors
/// See [`Locked`].
pub(super) async fn unlock(
    node: &Node,
    prepared: &Prepared,
    job: &Job,
    until: Instant,
    note: impl Fn(String),
) -> Result<DatasetKey, Locked> {
    let documents = &prepared.documents;
    let need = usize::from(documents.envelope.terms().t);
    let request = ReleaseRequest { contract: prepared.domain.contract, job: AbiHex(job.clone()) };
    let patience = Patience { need, grace: Duration::ZERO, until };
    // Custodians give shares, even wrong ones, of Running jobs only.
    let (begun, released) = (Instant::now(), AtomicBool::new(false));
    let shares = ask_all(&documents.members, patience, |member| {
        let (request, note, released) = (&request, &note, &released);
        async move {
            let asked = async { Ok(member.at(&node.http, CALL_LIMIT)?.release(request).await?) };
            let answer: Result<ReleaseResponse, CallError> = asked.await;
            let share = match answer {
                Ok(answer) => answer.share,
                Err(error) => {
                    note(format!("custodian {} ({}): {}", member.i, member.id, error.message));
                    return Err(error);
                }
            };
            released.store(true, Ordering::Relaxed);
            if share.custodian_id != member.id || share.i != member.i {
                return Err(CallError::lasting("the share is another custodian's"));
            }
            open_released(&share, &prepared.recipient, &documents.envelope, &prepared.release).map_err(|e| {
                tracing::warn!(custodian = %member.id, index = member.i, error = %e, "a share is refused");
                CallError::lasting(e)
            })
        }
    })
    .await;
    if shares.good.len() < need {
        let message = format!("{} of {need} key shares: {}", shares.good.len(), shares.complaints());
        if !released.into_inner() && says_nothing(&shares, begun.elapsed()) {
            return Err(Locked::Unconfirmed(message));
        }
        return Err(Locked::Broken(Broken::new(Reason::KeyReleaseFailed, message)));
    }
    let shares: Vec<KeyShare> = shares.good.into_iter().map(|(_, share)| share).collect();
    combine(&documents.envelope, &shares)
        .map_err(|error| Locked::Broken(Broken::new(Reason::KeyReleaseFailed, error)))
}

/// Whether the last words of custodians leave it open that the job is not Running at all: one says so,
/// or one keeps silent and was not given the time of a call.
fn says_nothing<T>(shares: &Answers<T>, asked: Duration) -> bool {
    let silent = |error: &CallError| !error.answered && asked < CALL_LIMIT;
    shares.failed.iter().any(|(_, error)| error.early || silent(error))
}
