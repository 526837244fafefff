//! What can go wrong with durable state.

use licen_core::fault::{Fault, Party};
use licen_core::primitives::B256;

/// Why the store did not do what was asked. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database engine refused: disk full, locked by another process, damaged file.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The file is not readable as a LICEN database.
    #[error("database {path}: {reason}")]
    Open {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was written by a newer program.
    #[error("database has schema version {found}, this program knows {known}")]
    SchemaTooNew {
        /// Version in the file.
        found: i64,
        /// Newest version this program can read.
        known: i64,
    },
    /// The database belongs to another chain: the chain behind the URL was replaced.
    #[error("database belongs to {stored}, not to {given}")]
    OtherChain {
        /// What the database was made for.
        stored: String,
        /// What it was opened for.
        given: String,
    },
    /// A stored value does not have the form this program writes.
    #[error("stored {what} has an unexpected form")]
    Malformed {
        /// Table and column.
        what: &'static str,
    },
    /// The batch continues another position than the stored one.
    #[error("batch continues block {expected:?}, the store is at {found:?}")]
    CursorMoved {
        /// Where the batch thought the store was.
        expected: Option<u64>,
        /// Where it is.
        found: Option<u64>,
    },
    /// Blocks this old are final: what they changed cannot be taken back.
    #[error("cannot take back blocks above {to}: the oldest block that can is {oldest}")]
    UndoTooDeep {
        /// The block asked for.
        to: u64,
        /// The oldest block of the window.
        oldest: u64,
    },
    /// An event of a job the store has never seen.
    #[error("job {0} is not in the store")]
    JobUnknown(String),
    /// Somebody else holds the work by now.
    #[error("lease on {job} is lost: fence {fence} is not the current one")]
    FenceLost {
        /// The job.
        job: String,
        /// The fence number that was presented.
        fence: u64,
    },
    /// The key names something else already.
    #[error("{key} is already recorded with other content")]
    Conflict {
        /// The idempotency key.
        key: String,
    },
    /// The dataset is refused for ever.
    #[error("dataset {0} is refused for ever")]
    Retired(B256),
    /// Not a column that can be asked for.
    #[error("no column {column} in {table}")]
    ColumnUnknown {
        /// The table.
        table: &'static str,
        /// The column.
        column: String,
    },
}

impl Fault for StoreError {
    fn fault(&self) -> Party {
        match self {
            Self::Database(_) | Self::Open { .. } | Self::SchemaTooNew { .. } | Self::Malformed { .. } => {
                Party::Environment
            }
            Self::OtherChain { .. } | Self::UndoTooDeep { .. } => Party::Chain,
            Self::Retired(_) => Party::Owner,
            Self::CursorMoved { .. }
            | Self::JobUnknown(_)
            | Self::FenceLost { .. }
            | Self::Conflict { .. }
            | Self::ColumnUnknown { .. } => Party::Operator,
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Database(_) | Self::CursorMoved { .. } => true,
            Self::Open { .. }
            | Self::SchemaTooNew { .. }
            | Self::OtherChain { .. }
            | Self::Malformed { .. }
            | Self::UndoTooDeep { .. }
            | Self::JobUnknown(_)
            | Self::FenceLost { .. }
            | Self::Conflict { .. }
            | Self::Retired(_)
            | Self::ColumnUnknown { .. } => false,
        }
    }
}
