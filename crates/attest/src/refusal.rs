//! Why evidence is not accepted, and why evidence could not be made.

use std::io;
use std::path::PathBuf;

use licen_core::canonical::CanonicalError;
use licen_core::fault::{Fault, Party};
use licen_core::primitives::B256;

/// The rule that evidence breaks. For the audit log of whoever appraised it, not for the peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Larger than any evidence.
    #[error("the evidence has {bytes} bytes, more than {max}")]
    TooLarge {
        /// Found.
        bytes: usize,
        /// Allowed.
        max: usize,
    },
    /// Not the canonical encoding of what it claims to be.
    #[error("{what}: {reason}")]
    Encoding {
        /// Which document.
        what: &'static str,
        /// What the parser said.
        reason: CanonicalError,
    },
    /// A quote or report that breaks its own format.
    #[error("malformed {tee} evidence: {reason}")]
    Malformed {
        /// `TDX` or `SNP`.
        tee: &'static str,
        /// Which rule.
        reason: &'static str,
    },
    /// Well-formed evidence of hardware that this version cannot appraise.
    #[error("{0} evidence is not supported yet")]
    NotSupportedYet(&'static str),
    /// The runtime data names another kind of TEE than the evidence is of.
    #[error("the runtime data is about another kind of TEE")]
    TeeType,
    /// A label of another world: simulated where real is due, or the other way round.
    #[error("{0} carries the wrong label")]
    Label(&'static str),
    /// A level that this kind of evidence cannot have.
    #[error("level {found}, this evidence is worth {worth}")]
    Level {
        /// Claimed.
        found: u8,
        /// What the evidence is worth.
        worth: u8,
    },
    /// Simulated evidence outside a private chain.
    #[error("simulated evidence on chain {0}; it exists on 31337 only")]
    ChainId(u64),
    /// The platform certificate is not signed by the root.
    #[error("the platform certificate is not signed by the simulated root")]
    Root,
    /// The document is not signed by the certified platform key.
    #[error("the document is not signed by the certified platform key")]
    Signature,
    /// The platform id is not that of the certified key.
    #[error("the platform id is not that of the certified key")]
    PlatformId,
    /// Evidence made too long ago.
    #[error("the evidence is {seconds} s old, more than {max}")]
    Stale {
        /// Age.
        seconds: u64,
        /// Allowed.
        max: u64,
    },
    /// Evidence made in the future.
    #[error("the evidence was made {seconds} s in the future")]
    Early {
        /// How far ahead.
        seconds: u64,
    },
    /// The evidence binds other runtime data, or another signer.
    #[error("the evidence is about other runtime data or another signer")]
    ReportData,
    /// No live reference values name this program.
    #[error("measurement {0} meets no live reference values")]
    Measurement(B256),
    /// The platform is not among those allowed.
    #[error("platform {0} is not registered for this provider or not allowed by the reference values")]
    Platform(B256),
}

impl Fault for Refusal {
    fn fault(&self) -> Party {
        match self {
            Self::TooLarge { .. }
            | Self::Encoding { .. }
            | Self::Malformed { .. }
            | Self::NotSupportedYet(_)
            | Self::TeeType
            | Self::Label(_)
            | Self::Level { .. }
            | Self::ChainId(_)
            | Self::Root
            | Self::Signature
            | Self::PlatformId
            | Self::Stale { .. }
            | Self::Early { .. }
            | Self::ReportData
            | Self::Measurement(_)
            | Self::Platform(_) => Party::Compute,
        }
    }
    fn retryable(&self) -> bool {
        // Only time heals, and only the clock that runs behind.
        matches!(self, Self::Early { .. })
    }
}

/// Why evidence or reference values could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// The program could not be read.
    #[error("cannot measure {path}: {source}", path = .path.display())]
    Measure {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system clock stands before 1970.
    #[error("the system clock stands before 1970")]
    Clock,
    /// The cryptographic library refused a key of ours.
    #[error("the cryptographic library refused a key")]
    Key,
    /// A document that is not canonical, or whose fields contradict each other.
    #[error("reference values: {0}")]
    ReferenceValues(String),
    /// A document could not be encoded.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl Fault for AttestError {
    fn fault(&self) -> Party {
        match self {
            Self::Measure { .. }
            | Self::Clock
            | Self::Key
            | Self::ReferenceValues(_)
            | Self::Canonical(_) => Party::Environment,
        }
    }
    fn retryable(&self) -> bool {
        match self {
            Self::Measure { .. } => true,
            Self::Clock | Self::Key | Self::ReferenceValues(_) | Self::Canonical(_) => false,
        }
    }
}
