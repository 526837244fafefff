//! What an event needs known before it can be applied.

use licen_chain::EventKind;
use licen_core::primitives::B256;

/// A row that has to be in the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    None,
    /// The job with this id.
    Job(B256),
    /// The dataset with this uid.
    Dataset(B256),
}

/// What has to be looked up before this event is applied.
#[must_use]
pub fn need(event: &EventKind) -> Need {
    use EventKind as E;
    match event {
        E::JobStarted(e) => Need::Job(e.jobId),
        E::JobCompleted(e) => Need::Job(e.jobId),
        E::RoyaltySettled(e) => Need::Job(e.jobId),
        E::RefundIssued(e) => Need::Job(e.jobId),
        E::JobFailed(e) => Need::Job(e.jobId),
        E::JobExpired(e) => Need::Job(e.jobId),
        E::JobCancelled(e) => Need::Job(e.jobId),
        E::PolicyPaused(e) => Need::Dataset(e.datasetUid),
        E::PolicyResumed(e) => Need::Dataset(e.datasetUid),
        E::DatasetRegistered(_)
        | E::PolicySet(_)
        | E::AccessGranted(_)
        | E::JobOpened(_)
        | E::Credited(_)
        | E::Withdrawn(_)
        | E::Distributed(_)
        | E::CustodianSetVersion(_)
        | E::ProviderSet(_)
        | E::ProviderStruck(_)
        | E::AppraisalPolicyCreated(_)
        | E::AppraisalEntryAdded(_)
        | E::AppraisalEntryRevoked(_)
        | E::AppraisalPolicyEnded(_)
        | E::AuditAnchored(_) => Need::None,
    }
}
