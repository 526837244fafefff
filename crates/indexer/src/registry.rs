//! The events of `Custody`: sets, providers, appraisal policies, anchors.

use licen_chain::{ChainEvent, EventKind};
use licen_core::abi::Custody;
use licen_core::primitives::{Address, Bytes};
use licen_core::sol_types::SolValue;
use licen_store::{Change, CustodianSetRow, ProviderRow};
use serde_json::json;

use crate::ledger;
use crate::machine::audit;

/// Whether only `Custody` logs events of this kind; the others are of every `DataPolicy`.
pub(crate) fn of_custody(kind: &EventKind) -> bool {
    use EventKind as E;
    match kind {
        E::CustodianSetVersion(_)
        | E::ProviderSet(_)
        | E::AppraisalPolicyCreated(_)
        | E::AppraisalEntryAdded(_)
        | E::AppraisalEntryRevoked(_)
        | E::AppraisalPolicyEnded(_)
        | E::AuditAnchored(_) => true,
        E::DatasetRegistered(_)
        | E::PolicySet(_)
        | E::PolicyPaused(_)
        | E::PolicyResumed(_)
        | E::AccessGranted(_)
        | E::JobOpened(_)
        | E::JobStarted(_)
        | E::JobCompleted(_)
        | E::ResultRecorded(_)
        | E::RoyaltySettled(_)
        | E::RefundIssued(_)
        | E::JobFailed(_)
        | E::JobExpired(_)
        | E::JobCancelled(_)
        | E::Credited(_)
        | E::Withdrawn(_)
        | E::Distributed(_)
        | E::SplitAnnounced(_)
        | E::NonceRaised(_) => false,
    }
}

/// Applies an event of `Custody`; none other changes anything.
pub(crate) fn registered(at: &ChainEvent) -> Vec<Change> {
    use EventKind as E;
    let details = match &at.kind {
        E::CustodianSetVersion(e) => return custodian_set(at, e),
        E::ProviderSet(e) => return provider_set(at, e),
        E::AppraisalPolicyCreated(e) => {
            json!({ "appraisalPolicy": e.appraisalPolicy, "creator": e.creator, "entries": e.entries })
        }
        E::AppraisalEntryAdded(e) => {
            json!({ "appraisalPolicy": e.appraisalPolicy, "entry": e.entry, "liveAt": e.liveAt })
        }
        E::AppraisalEntryRevoked(e) => {
            json!({ "appraisalPolicy": e.appraisalPolicy, "entry": e.entry })
        }
        E::AppraisalPolicyEnded(e) => json!({ "appraisalPolicy": e.appraisalPolicy }),
        E::AuditAnchored(e) => {
            json!({ "setId": e.setId, "member": e.member, "sequence": e.sequence, "head": e.head })
        }
        _ => return Vec::new(),
    };
    vec![audit(at, None, None, &details)]
}

fn custodian_set(at: &ChainEvent, e: &Custody::CustodianSetVersion) -> Vec<Change> {
    let row = CustodianSetRow {
        set_id: e.setId,
        set_version: e.setVersion,
        creator: e.creator,
        t: e.t,
        members_abi: Bytes::from(e.members.abi_encode()),
        set_at: at.timestamp,
    };
    let members: Vec<Address> = e.members.iter().map(|m| m.signer).collect();
    let details = json!({ "setId": e.setId, "setVersion": e.setVersion, "t": e.t, "members": members });
    vec![Change::CustodianSet(Box::new(row)), audit(at, None, None, &details)]
}

fn provider_set(at: &ChainEvent, e: &Custody::ProviderSet) -> Vec<Change> {
    let row = ProviderRow {
        provider_id: e.providerId,
        creator: e.provider.creator,
        signer: e.provider.signer,
        payee: e.provider.payee,
        jurisdiction: e.provider.jurisdiction,
        provider_abi: Bytes::from(e.provider.abi_encode()),
        set_at: at.timestamp,
        set_block: at.block_number,
        set_tx: at.tx_hash,
    };
    let details = json!({ "providerId": e.providerId, "signer": e.provider.signer,
        "payee": e.provider.payee });
    let named = ledger::named(at, e.provider.payee);
    vec![Change::Provider(Box::new(row)), named, audit(at, None, None, &details)]
}
