//! How a run ends badly.

use licen_chain::Revert;

/// An error.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The system under test did what it must never do.
    #[error("broken invariant: {0}")]
    Violation(String),
    /// The world itself cannot go on: a defect of the simulator, or of the host.
    #[error("the world broke: {0}")]
    World(String),
    /// A view was refused by the contract.
    #[error("a contract refused a view: {0:?}")]
    Refused(Revert),
}

impl SimError {
    /// Of whatever the world could not do.
    pub(crate) fn world(error: impl std::fmt::Display) -> Self {
        Self::World(error.to_string())
    }

    /// Of a promise that was not kept.
    pub(crate) fn violation<T>(what: impl Into<String>) -> Result<T, Self> {
        Err(Self::Violation(what.into()))
    }
}
