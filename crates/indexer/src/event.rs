//! What an event needs known before it can be applied.

use licen_chain::{ChainEvent, EventKind};
use licen_core::primitives::{Address, B256};

/// A row that has to be in the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    None,
    /// The job with this id.
    Job(B256),
    /// The dataset with this uid at this contract.
    Dataset(Address, B256),
}

/// What has to be looked up before this event is applied.
#[must_use]
pub fn need(event: &ChainEvent) -> Need {
    use EventKind as E;
    match &event.kind {
        E::JobOpened(e) => Need::Job(e.jobId),
        E::JobStarted(e) => Need::Job(e.jobId),
        E::JobCompleted(e) => Need::Job(e.jobId),
        E::ResultRecorded(e) => Need::Job(e.jobId),
        E::RoyaltySettled(e) => Need::Job(e.jobId),
        E::RefundIssued(e) => Need::Job(e.jobId),
        E::JobFailed(e) => Need::Job(e.jobId),
        E::JobExpired(e) => Need::Job(e.jobId),
        E::JobCancelled(e) => Need::Job(e.jobId),
        E::PolicyPaused(e) => Need::Dataset(event.contract, e.datasetUid),
        E::PolicyResumed(e) => Need::Dataset(event.contract, e.datasetUid),
        // Of a distribution it is the split, which no job has for an id.
        E::Credited(e) => Need::Job(e.r#ref),
        E::DatasetRegistered(_)
        | E::PolicySet(_)
        | E::AccessGranted(_)
        | E::Withdrawn(_)
        | E::Distributed(_)
        | E::SplitAnnounced(_)
        | E::NonceRaised(_)
        | E::CustodianSetVersion(_)
        | E::ProviderSet(_)
        | E::AppraisalPolicyCreated(_)
        | E::AppraisalEntryAdded(_)
        | E::AppraisalEntryRevoked(_)
        | E::AppraisalPolicyEnded(_)
        | E::AuditAnchored(_) => Need::None,
    }
}
