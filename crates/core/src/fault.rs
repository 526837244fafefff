//! Whose fault an error is, and whether trying again can help.

use core::fmt;

/// The party that has to act, or that loses standing, when something fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// The dataset owner.
    Owner,
    /// The researcher who asked for the job.
    Requester,
    /// A custodian.
    Custodian,
    /// The compute node.
    Compute,
    /// Whoever stores blobs.
    Storage,
    /// The chain or the RPC that speaks for it.
    Chain,
    /// Whoever runs the orchestrator and the indexer.
    Operator,
    /// The machine the program runs on: disk, network, configuration.
    Environment,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::Requester => "requester",
            Self::Custodian => "custodian",
            Self::Compute => "compute",
            Self::Storage => "storage",
            Self::Chain => "chain",
            Self::Operator => "operator",
            Self::Environment => "environment",
        })
    }
}

/// Every library error answers these two questions; matches have no default arm, so that a new
/// variant has to answer them too.
pub trait Fault {
    /// The party at fault.
    fn fault(&self) -> Party;
    /// Whether the same call may succeed later without anybody changing anything.
    fn retryable(&self) -> bool;
}
