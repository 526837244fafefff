//! Every way the node can fail or refuse, with whose fault it is.

use std::path::PathBuf;

use licen_core::fault::{Fault, Party};
use licen_core::job::Reason;

use super::check::DispatchError;

/// Why the node does not start or does not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The configuration file is refused.
    #[error("{}: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The working folder or the runtime is not to be had.
    #[error("{what}: {source}")]
    Environment {
        /// What was wanted.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The kernel cannot confine node or trainer, and nobody said to go without.
    #[error("no sandbox: {0}")]
    Sandbox(String),
    /// A dispatch that contradicts itself or is not for this node.
    #[error(transparent)]
    Dispatch(#[from] DispatchError),
    /// No such attempt here.
    #[error("no such attempt here")]
    Unknown,
    /// Too many attempts at once.
    #[error("{0} attempts are waiting already")]
    Busy(usize),
    /// The order to stop is not signed by the requester.
    #[error(
        "the order is not signed by the job's requester; contract wallets (EIP-1271) cannot order a stop here, since compute cannot read the chain"
    )]
    StopSignature,
    /// No key for quotes.
    #[error("this node gives no quotes: it is no provider, or has no signer key or no prices")]
    NoQuotes,
    /// It does not offer this job.
    #[error("no quote: {0}")]
    NotQuoted(String),
    /// The body is not what it should be.
    #[error("the body is refused: {0}")]
    Body(String),
    /// A key of ours failed.
    #[error("signing failed")]
    Signing,
}

impl ServeError {
    /// The stable code, `LIC08nn`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config { .. } => "LIC0801",
            Self::Listen { .. } => "LIC0802",
            Self::Environment { .. } => "LIC0803",
            Self::Sandbox(_) => "LIC0804",
            Self::Dispatch(_) => "LIC0810",
            Self::Unknown => "LIC0812",
            Self::Busy(_) => "LIC0813",
            Self::StopSignature => "LIC0814",
            Self::NoQuotes => "LIC0815",
            Self::Body(_) => "LIC0816",
            Self::Signing => "LIC0817",
            Self::NotQuoted(_) => "LIC0818",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Dispatch(_) | Self::NotQuoted(_) => 422,
            Self::Unknown | Self::NoQuotes => 404,
            Self::Busy(_) => 503,
            Self::StopSignature => 403,
            Self::Body(_) => 400,
            Self::Config { .. }
            | Self::Listen { .. }
            | Self::Environment { .. }
            | Self::Sandbox(_)
            | Self::Signing => 500,
        }
    }

    /// What to do next, one line.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Config { .. } => "every key is listed in the operator's guide; unknown keys are refused",
            Self::Listen { .. } => "choose another `listen` address",
            Self::Environment { .. } => "check that `workDir` can be written, and by nobody else",
            Self::Sandbox(_) => {
                "use Linux 6.7 or later with Landlock and seccomp, or say --no-sandbox to serve without one"
            }
            Self::Dispatch(_) | Self::Unknown | Self::Body(_) => {
                "send the policy and the job exactly as the chain emitted them"
            }
            Self::Busy(_) => "send it again later",
            Self::StopSignature => "sign with the wallet that requested the job",
            Self::NoQuotes => {
                "set `providerId`, `quoteKeyFile` and [[prices]], or request without a provider"
            }
            Self::NotQuoted(_) => "ask another provider, or change the request",
            Self::Signing => "restart the node",
        }
    }
}

impl Fault for ServeError {
    fn fault(&self) -> Party {
        match self {
            Self::Config { .. } | Self::Listen { .. } | Self::Environment { .. } | Self::Sandbox(_) => {
                Party::Environment
            }
            Self::Dispatch(_) | Self::Unknown | Self::Body(_) => Party::Operator,
            Self::Busy(_) | Self::NoQuotes | Self::Signing => Party::Compute,
            Self::StopSignature | Self::NotQuoted(_) => Party::Requester,
        }
    }
    fn retryable(&self) -> bool {
        match self {
            Self::Busy(_) => true,
            Self::Config { .. }
            | Self::Listen { .. }
            | Self::Environment { .. }
            | Self::Sandbox(_)
            | Self::Dispatch(_)
            | Self::Unknown
            | Self::StopSignature
            | Self::NoQuotes
            | Self::NotQuoted(_)
            | Self::Body(_)
            | Self::Signing => false,
        }
    }
}

/// A step of an attempt that failed: what the chain is told and what people are told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", reason.name())]
pub struct Broken {
    /// The chain's reason code; before Running nothing is reported, so it only classifies.
    pub reason: Reason,
    /// One sentence without secrets.
    pub message: String,
}

impl Broken {
    /// A failure for `reason`.
    pub fn new(reason: Reason, message: impl std::fmt::Display) -> Self {
        Self { reason, message: message.to_string() }
    }

    /// For `map_err`: the same reason for whatever error comes.
    pub fn because<E: std::fmt::Display>(reason: Reason) -> impl Fn(E) -> Self {
        move |error| Self::new(reason, error)
    }
}

impl Fault for Broken {
    fn fault(&self) -> Party {
        match self.reason {
            Reason::KeyReleaseFailed => Party::Custodian,
            Reason::StorageDownloadFailed => Party::Storage,
            Reason::ComputeDispatchFailed => Party::Operator,
            Reason::ComputeTaskFailed => Party::Compute,
            Reason::DatasetDecryptFailed | Reason::DatasetMismatch | Reason::OwnerWithdrew => Party::Owner,
            Reason::JobSpecInvalid => Party::Requester,
        }
    }
    fn retryable(&self) -> bool {
        false
    }
}
