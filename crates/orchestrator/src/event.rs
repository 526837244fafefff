//! What the machine is told: answers to its effects, and that time passed.

use licen_core::abi::{Job, MemberSignature};
use licen_core::eip712::Domain;
use licen_core::job::JobState;
use licen_core::wire::compute::TaskStatus;
use licen_core::wire::custodian::SignedManifest;

use crate::effect::{AttemptId, CallKind};

/// The contract's word on one job, at two depths.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// State at the newest block; `None` where there is no such job.
    pub head: Option<JobState>,
    /// Time of the newest block, seconds.
    pub head_time: u64,
    /// At the confirmation depth; `None` where there is no such job there, or where the index does
    /// not yet hold the preimage that the contract commits to.
    pub deep: Option<Deep>,
    /// Time of the block at the confirmation depth, seconds.
    pub deep_time: u64,
}

/// A job whose preimage matched the contract's commitment at the confirmation depth.
#[derive(Debug, Clone, PartialEq)]
pub struct Deep {
    /// The deployment it lives at.
    pub domain: Domain,
    /// Its state.
    pub state: JobState,
    /// The preimage.
    pub job: Job,
}

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Time passed, or the index moved.
    Wake,
    /// The chain was read.
    Read(Box<Reading>),
    /// The chain could not be read.
    ReadFailed(String),
    /// Compute took the job.
    Accepted(AttemptId),
    /// Compute did not take the job, or could not be reached.
    DispatchFailed(AttemptId, String),
    /// What compute says about its task.
    Status(AttemptId, Box<TaskStatus>),
    /// Compute was reached and does not know the task.
    TaskUnknown(AttemptId),
    /// Compute could not be asked.
    StatusFailed(AttemptId, String),
    /// A custodian published a manifest.
    Manifest(AttemptId, Box<SignedManifest>),
    /// No custodian has published one; the text says who could not be asked, if anybody.
    NoManifest(AttemptId, String),
    /// So many members call the running attempt silent that the job can be failed; valid signatures.
    Silent(AttemptId, Vec<MemberSignature>),
    /// Too few do.
    NotSilent(AttemptId),
    /// The sender is done with a transaction.
    Tx(CallKind, TxOutcome),
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxOutcome {
    /// Mined, and it succeeded.
    Mined,
    /// The contract refuses it; decoded.
    Refused(String),
    /// It could not be sent: RPC, funds, the database.
    NotSent(String),
}
