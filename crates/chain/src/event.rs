//! Every event of `DataPolicy` (its `Ledger` part included) and `Custody`, decoded.

use alloy::primitives::{Address, B256, Bytes};
use licen_core::abi::{Custody, DataPolicy};
use licen_core::sol_types::{SolEvent, sol};

sol! {
    #![sol(alloy_sol_types = licen_core::sol_types)]

    /// Events that only indexes and auditors read.
    #[derive(Debug, PartialEq, Eq)]
    interface Rest {
        event AppraisalPolicyCreated(bytes32 indexed appraisalPolicy, address indexed creator, bytes32[] entries);
        event AppraisalEntryAdded(bytes32 indexed appraisalPolicy, bytes32 indexed entry, uint64 liveAt);
        event AppraisalEntryRevoked(bytes32 indexed appraisalPolicy, bytes32 indexed entry);
        event AppraisalPolicyEnded(bytes32 indexed appraisalPolicy);
    }
}

/// A log as the chain gave it, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawLog {
    /// The contract.
    pub contract: Address,
    /// Topics; the first names the event.
    pub topics: Vec<B256>,
    /// Data.
    pub data: Bytes,
    /// Height of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Its block's time, seconds.
    pub timestamp: u64,
    /// Its transaction.
    pub tx_hash: B256,
    /// Its place in the block.
    pub log_index: u64,
}

/// A decoded event and where it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainEvent {
    /// What happened.
    pub kind: EventKind,
    /// The contract that said so.
    pub contract: Address,
    /// Height of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Chain time, seconds.
    pub timestamp: u64,
    /// Its transaction.
    pub tx_hash: B256,
    /// Its place in the block.
    pub log_index: u64,
}

/// Bytes under one of our topics that do not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {name} in transaction {tx_hash} does not decode: {reason}")]
pub struct EventError {
    /// The event its topic names.
    pub name: &'static str,
    /// Its transaction.
    pub tx_hash: B256,
    /// What is wrong.
    pub reason: String,
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident($event:ty);)*) => {
        /// What happened.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(clippy::large_enum_variant)] // one event at a time; a box would only cost
        pub enum EventKind {
            $($(#[$doc])* $name($event),)*
        }

        impl EventKind {
            /// Topics of all events, for filters.
            pub const TOPICS: &'static [B256] = &[$(<$event>::SIGNATURE_HASH),*];

            /// The event's name in the ABI.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                }
            }
        }

        /// Decodes a log; `None` where its topic is none of ours.
        ///
        /// # Errors
        /// [`EventError`] where the topic is ours but the rest is not.
        pub fn decode(log: &RawLog) -> Result<Option<ChainEvent>, EventError> {
            let Some(topic) = log.topics.first().copied() else { return Ok(None) };
            $(
                if topic == <$event>::SIGNATURE_HASH {
                    let event = <$event>::decode_raw_log_validate(log.topics.iter().copied(), &log.data)
                        .map_err(|e| EventError {
                            name: stringify!($name),
                            tx_hash: log.tx_hash,
                            reason: e.to_string(),
                        })?;
                    return Ok(Some(placed(log, EventKind::$name(event))));
                }
            )*
            Ok(None)
        }
    };
}

events! {
    /// A dataset was registered.
    DatasetRegistered(DataPolicy::DatasetRegistered);
    /// A dataset has a (new) policy, in full.
    PolicySet(DataPolicy::PolicySet);
    /// New requests are stopped.
    PolicyPaused(DataPolicy::PolicyPaused);
    /// New requests are open again.
    PolicyResumed(DataPolicy::PolicyResumed);
    /// A job was granted and paid.
    AccessGranted(DataPolicy::AccessGranted);
    /// The same job, in full.
    JobOpened(DataPolicy::JobOpened);
    /// An attempt is Running.
    JobStarted(DataPolicy::JobStarted);
    /// A job is Completed.
    JobCompleted(DataPolicy::JobCompleted);
    /// What compute stated about it, in full.
    ResultRecorded(DataPolicy::ResultRecorded);
    /// Its royalty was credited, gross.
    RoyaltySettled(DataPolicy::RoyaltySettled);
    /// Money went back to the requester.
    RefundIssued(DataPolicy::RefundIssued);
    /// A job is Failed.
    JobFailed(DataPolicy::JobFailed);
    /// A job is Expired.
    JobExpired(DataPolicy::JobExpired);
    /// A job is Cancelled.
    JobCancelled(DataPolicy::JobCancelled);
    /// An account's credit grew.
    Credited(DataPolicy::Credited);
    /// Money left the contract.
    Withdrawn(DataPolicy::Withdrawn);
    /// A split's money went to its payees' credit.
    Distributed(DataPolicy::Distributed);
    /// Somebody said what is behind a split's account.
    SplitAnnounced(DataPolicy::SplitAnnounced);
    /// An owner's signed registrations below this number are void.
    NonceRaised(DataPolicy::NonceRaised);
    /// A custodian set has a (new) version.
    CustodianSetVersion(Custody::CustodianSetVersion);
    /// A provider of compute was registered or changed.
    ProviderSet(Custody::ProviderSet);
    /// An appraisal policy was made.
    AppraisalPolicyCreated(Rest::AppraisalPolicyCreated);
    /// It will accept one more entry.
    AppraisalEntryAdded(Rest::AppraisalEntryAdded);
    /// It refuses an entry from now on.
    AppraisalEntryRevoked(Rest::AppraisalEntryRevoked);
    /// It refuses everything from now on.
    AppraisalPolicyEnded(Rest::AppraisalPolicyEnded);
    /// A custodian anchored the head of its log.
    AuditAnchored(Custody::AuditAnchored);
}

fn placed(log: &RawLog, kind: EventKind) -> ChainEvent {
    ChainEvent {
        kind,
        contract: log.contract,
        block_number: log.block_number,
        block_hash: log.block_hash,
        timestamp: log.timestamp,
        tx_hash: log.tx_hash,
        log_index: log.log_index,
    }
}
