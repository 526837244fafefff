//! Why the chain could not be asked, or what it refused.

use std::time::Duration;

use licen_core::fault::{Fault, Party};
use licen_core::primitives::{Address, B256};

use crate::revert::Revert;
use crate::rpc::ChainIdentity;

/// A call to the chain did not give an answer that may be acted on.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The RPC cannot be reached, or answers with an HTTP error.
    #[error("rpc {url} does not answer: {reason}")]
    Unreachable {
        /// Scheme, host and port; never the path, which may hold a credential.
        url: String,
        /// What the transport said.
        reason: String,
    },
    /// The RPC took too long.
    #[error("rpc {url} gave no answer to {method} within {after:?}")]
    Deadline {
        /// Scheme, host and port.
        url: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// The RPC answered with an error.
    #[error("rpc refused {method}: {message} (code {code})")]
    Refused {
        /// The JSON-RPC method.
        method: &'static str,
        /// JSON-RPC code.
        code: i64,
        /// Its message.
        message: String,
    },
    /// The answer does not have the form the method promises.
    #[error("rpc {url} answered {method} with something else: {reason}")]
    Malformed {
        /// Scheme, host and port.
        url: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The contract refused.
    #[error("the contract refuses: {0}")]
    Reverted(Revert),
    /// The URL leads to another chain than the one that was pinned.
    #[error("rpc {url} is another chain: expected {expected}, found {found}")]
    OtherChain {
        /// Scheme, host and port.
        url: String,
        /// The pinned identity.
        expected: ChainIdentity,
        /// What answers now.
        found: ChainIdentity,
    },
    /// The URL is not one.
    #[error("not an rpc url: {reason}")]
    BadUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// One RPC can lie; off the local chain at least two are needed.
    #[error("chain {chain_id} needs at least 2 rpc urls, {given} given")]
    TooFewRpcs {
        /// The chain.
        chain_id: u64,
        /// How many there are.
        given: usize,
    },
    /// The RPCs say different things about one block.
    #[error("the rpcs disagree about {what}")]
    Disagree {
        /// What was asked.
        what: String,
    },
    /// One RPC is too far behind the others to confirm anything.
    #[error("an rpc is {blocks} blocks behind, more than {limit}")]
    Behind {
        /// Distance of the lowest from the highest head.
        blocks: u64,
        /// What is tolerated.
        limit: u64,
    },
    /// The RPC does not have a transaction that the chain's logs name.
    #[error("transaction {hash} is not known to the rpc")]
    NoTransaction {
        /// The transaction.
        hash: B256,
    },
    /// There is another contract at the address than the one this program was built with.
    #[error("the contract at {address} is not the {name} that this program knows")]
    OtherContract {
        /// The address.
        address: Address,
        /// What it should be.
        name: &'static str,
    },
    /// There is no contract at the address.
    #[error("no contract at {address}")]
    NoContract {
        /// The address.
        address: Address,
    },
    /// The RPC does not have the block (any more).
    #[error("block {number} is not known to the rpc")]
    BlockUnknown {
        /// The height.
        number: u64,
    },
    /// The contract does not know the job.
    #[error("job {job_id} is not on the chain at the confirmation depth")]
    JobUnknown {
        /// The job.
        job_id: B256,
    },
    /// The job is another than the one given.
    #[error("the chain has other terms for job {job_id}")]
    JobMismatch {
        /// The job.
        job_id: B256,
    },
    /// The job is not in the state that the act needs.
    #[error("job {job_id} is {found} at block {block}, not {needed}")]
    JobState {
        /// The job.
        job_id: B256,
        /// Its state at the confirmation depth.
        found: &'static str,
        /// The state that was needed.
        needed: &'static str,
        /// That block.
        block: u64,
    },
    /// A log of the job's end is not there although the state says so.
    #[error("job {job_id} is Completed but its event was not found")]
    EventMissing {
        /// The job.
        job_id: B256,
    },
}

impl Fault for ChainError {
    fn fault(&self) -> Party {
        match self {
            Self::Unreachable { .. }
            | Self::Deadline { .. }
            | Self::Refused { .. }
            | Self::Malformed { .. }
            | Self::Disagree { .. }
            | Self::Behind { .. }
            | Self::BlockUnknown { .. }
            | Self::NoTransaction { .. }
            | Self::EventMissing { .. } => Party::Chain,
            Self::OtherChain { .. }
            | Self::BadUrl { .. }
            | Self::TooFewRpcs { .. }
            | Self::OtherContract { .. }
            | Self::NoContract { .. } => Party::Environment,
            Self::Reverted(_)
            | Self::JobUnknown { .. }
            | Self::JobMismatch { .. }
            | Self::JobState { .. } => Party::Requester,
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Deadline { .. }
            | Self::Refused { .. }
            | Self::Malformed { .. }
            | Self::Disagree { .. }
            | Self::Behind { .. }
            | Self::BlockUnknown { .. }
            | Self::JobUnknown { .. }
            | Self::JobState { .. }
            | Self::NoTransaction { .. }
            | Self::EventMissing { .. } => true,
            Self::Reverted(_)
            | Self::OtherChain { .. }
            | Self::BadUrl { .. }
            | Self::TooFewRpcs { .. }
            | Self::OtherContract { .. }
            | Self::NoContract { .. }
            | Self::JobMismatch { .. } => false,
        }
    }
}
