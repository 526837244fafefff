//! Why a custodian does not start, or stops.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use licen_attest::AttestError;
use licen_chain::{ChainError, DeploymentError};
use licen_core::fault::{Fault, Party};
use licen_core::primitives::B256;
use licen_peers::HttpError;
use licen_seal::SealError;
use licen_store::StoreError;

/// A custodian did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot be.
    #[error("configuration: {0}")]
    Config(String),
    /// A key file is missing, damaged, or open to others.
    #[error("key: {0}")]
    Key(#[from] SealError),
    /// Reference values that cannot be used.
    #[error("reference values {path}: {source}", path = .path.display())]
    ReferenceValues {
        /// The file.
        path: PathBuf,
        /// Why.
        source: AttestError,
    },
    /// Collateral that cannot be used.
    #[error("collateral {path}: {source}", path = .path.display())]
    Collateral {
        /// The file.
        path: PathBuf,
        /// Why.
        source: AttestError,
    },
    /// The deployment file cannot be used.
    #[error("deployment: {0}")]
    Deployment(#[from] DeploymentError),
    /// The chain is another, or too few RPCs speak for it.
    #[error("chain: {0}")]
    Chain(#[from] ChainError),
    /// Nobody could be asked from here.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The records cannot be used.
    #[error("records: {0}")]
    Store(#[from] StoreError),
    /// Somebody changed the audit log. The custodian does not go on as if nothing had happened.
    #[error("the audit log is broken at record {0}: it was changed after it was written")]
    AuditBroken(u64),
    /// A file or directory.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A key that something needs cannot be destroyed.
    #[error("key {key} is needed: {by}")]
    KeyNeeded {
        /// Its public part.
        key: B256,
        /// By what.
        by: String,
    },
    /// Another process works with these records.
    #[error("another process uses {}; a custodian has to be stopped first", .0.display())]
    Busy(PathBuf),
    /// This custodian signed that it destroyed a key which its configuration names.
    #[error("key {0} was destroyed, as this custodian signed: it cannot come back")]
    Erased(B256),
    /// The key file is not there, and no erasure of it was begun.
    #[error("there is no key file {}", .0.display())]
    NoKey(PathBuf),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
    /// The server broke.
    #[error("server: {0}")]
    Server(io::Error),
}

impl Fault for Error {
    fn fault(&self) -> Party {
        match self {
            Self::Config(_)
            | Self::Key(_)
            | Self::ReferenceValues { .. }
            | Self::Collateral { .. }
            | Self::Deployment(_)
            | Self::File { .. }
            | Self::Listen { .. }
            | Self::NoKey(_)
            | Self::Random
            | Self::Server(_) => Party::Environment,
            Self::Busy(_) => Party::Environment,
            Self::AuditBroken(_) | Self::KeyNeeded { .. } | Self::Erased(_) => Party::Custodian,
            Self::Chain(e) => e.fault(),
            Self::Http(e) => e.fault(),
            Self::Store(e) => e.fault(),
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Config(_)
            | Self::Key(_)
            | Self::ReferenceValues { .. }
            | Self::Collateral { .. }
            | Self::Deployment(_)
            | Self::File { .. }
            | Self::KeyNeeded { .. }
            | Self::Erased(_)
            | Self::NoKey(_)
            | Self::AuditBroken(_) => false,
            Self::Busy(_) | Self::Listen { .. } | Self::Random | Self::Server(_) => true,
            Self::Chain(e) => e.retryable(),
            Self::Http(e) => e.retryable(),
            Self::Store(e) => e.retryable(),
        }
    }
}
