//! The job runs: t custodians release their shares, the shares make the dataset key. Compute cannot
//! read the chain; that custodians released to the key in its runtime data is its proof.

use std::time::Duration;

use licen_core::abi::Job;
use licen_core::job::Reason;
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::{ReleaseRequest, ReleaseResponse};
use licen_seal::release::{combine, open_released};
use licen_seal::{DatasetKey, KeyShare};
use tokio::time::Instant;

use super::custodians::{CallError, Patience, ask_all, post};
use super::error::Broken;
use super::node::Node;
use super::setup::Prepared;

const CALL_LIMIT: Duration = Duration::from_secs(20);

/// Collects shares and combines them. The caller bounds the time by the release window.
///
/// # Errors
/// `KEY_RELEASE_FAILED` with what each custodian said.
pub(super) async fn unlock(
    node: &Node,
    prepared: &Prepared,
    job: &Job,
    note: impl Fn(String),
) -> Result<DatasetKey, Broken> {
    let documents = &prepared.documents;
    let need = usize::from(documents.envelope.terms().t);
    let request = ReleaseRequest { job: AbiHex(job.clone()) };
    // One day is more than any release window: the machine's deadline ends this.
    let patience =
        Patience { need, grace: Duration::ZERO, until: Instant::now() + Duration::from_secs(86_400) };
    let shares = ask_all(&documents.members, patience, |member| {
        let (request, note) = (&request, &note);
        async move {
            let answer: Result<ReleaseResponse, CallError> =
                post(&node.http, &member.url, "/v1/release", request, CALL_LIMIT).await;
            let share = match answer {
                Ok(answer) => answer.share,
                Err(error) => {
                    note(format!("custodian {} ({}): {}", member.i, member.id, error.message));
                    return Err(error);
                }
            };
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
        return Err(Broken::new(Reason::KeyReleaseFailed, message));
    }
    let shares: Vec<KeyShare> = shares.good.into_iter().map(|(_, share)| share).collect();
    combine(&documents.envelope, &shares).map_err(Broken::because(Reason::KeyReleaseFailed))
}
