//! Why the orchestrator stops. What happens to one job never stops it.

use licen_core::fault::{Fault, Party};
use licen_store::StoreError;

/// It cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum OrchestratorError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration cannot be used.
    #[error("orchestrator configuration: {0}")]
    Config(String),
}

impl Fault for OrchestratorError {
    fn fault(&self) -> Party {
        match self {
            Self::Store(error) => error.fault(),
            Self::Config(_) => Party::Operator,
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.retryable(),
            Self::Config(_) => false,
        }
    }
}
