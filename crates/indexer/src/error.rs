//! Why the index does not follow.

use licen_chain::fetch::FollowError;
use licen_core::fault::{Fault, Party};
use licen_store::StoreError;

use crate::machine::ApplyError;

/// The follower could not take a step.
#[derive(Debug, thiserror::Error)]
pub enum IndexerError {
    /// The chain.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// An event that cannot be right.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for IndexerError {
    fn fault(&self) -> Party {
        match self {
            Self::Follow(error) => error.fault(),
            Self::Apply(error) => error.fault(),
            Self::Store(error) => error.fault(),
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Follow(error) => error.retryable(),
            Self::Apply(error) => error.retryable(),
            Self::Store(error) => error.retryable(),
        }
    }
}
