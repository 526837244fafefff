//! Every way sealing and opening can fail. No variant holds a secret.

use std::path::PathBuf;
use std::{fmt, io};

use licen_core::canonical::CanonicalError;
use licen_core::fault::{Fault, Party};
use licen_core::primitives::Address;

/// Why something could not be sealed, opened or combined.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(io::Error),
    /// The system gave no randomness.
    #[error("the system gave no random bytes")]
    Random,
    /// A stream does not begin with the 40-byte header.
    #[error("not an encrypted stream: the header is missing or wrong")]
    StreamHeader,
    /// A segment does not authenticate.
    #[error("segment {index}{} does not authenticate: it was cut, moved or changed, or the key or its context is another", if *.last { " (the last)" } else { "" })]
    Segment {
        /// Counted from 0.
        index: u32,
        /// Whether the stream ended here, so that it was checked as the last segment.
        last: bool,
    },
    /// More than 2^32 segments, or a length that overflows.
    #[error("too long for one stream")]
    StreamTooLong,
    /// A stream was used again after it had failed.
    #[error("this stream already failed")]
    StreamFailed,
    /// A position beyond the end.
    #[error("position {offset} is beyond the end, {len} bytes")]
    OutOfRange {
        /// Wanted.
        offset: u64,
        /// Available.
        len: u64,
    },
    /// Bytes that are not canonical CBOR of the wanted type.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// An envelope larger than custodians accept.
    #[error("the envelope has {bytes} bytes, more than {max}")]
    EnvelopeTooLarge {
        /// Found.
        bytes: usize,
        /// Allowed.
        max: usize,
    },
    /// An envelope field that breaks a rule.
    #[error("bad envelope: {0}")]
    Envelope(&'static str),
    /// A threshold that no set of this size can meet.
    #[error("threshold {t} of {n} is impossible")]
    Threshold {
        /// Needed.
        t: u8,
        /// Members.
        n: usize,
    },
    /// Fewer distinct shares than the threshold.
    #[error("{have} shares, {need} needed")]
    TooFewShares {
        /// Distinct shares given.
        have: usize,
        /// The threshold.
        need: usize,
    },
    /// The same share twice.
    #[error("share {index} was given twice")]
    DuplicateShare {
        /// The member's index, from 1.
        index: u8,
    },
    /// A share of something else.
    #[error("share {index} of custodian {custodian} belongs to another {what}")]
    ForeignShare {
        /// The member's index, from 1.
        index: u8,
        /// Whose share it is.
        custodian: Address,
        /// What differs: `dataset`, `job`, ...
        what: &'static str,
    },
    /// A share that does not match its commitment.
    #[error("share {index} of custodian {custodian} does not match its commitment; it came from the {from}")]
    WrongShare {
        /// The member's index, from 1.
        index: u8,
        /// Whose share it is.
        custodian: Address,
        /// Who handed it over, and so is at fault.
        from: Party,
    },
    /// All shares match, yet they do not make the committed key: whoever dealt them lied.
    #[error("the shares match their commitments but do not make the committed key")]
    WrongKey,
    /// No such member.
    #[error("no member {index} in a set of {n}")]
    NotAMember {
        /// Wanted, from 1.
        index: u8,
        /// Members.
        n: usize,
    },
    /// Sealed to another recipient key than the one at hand.
    #[error("{0} is sealed to another recipient key")]
    WrongRecipient(SealedBox),
    /// The sealed box does not open: another key, another context, or changed bytes.
    #[error("{0} does not open: it was changed, or the key or its context is another")]
    Open(SealedBox),
    /// Not a point on the curve, or not a usable one.
    #[error("not a usable public key")]
    PublicKey,
    /// Not a usable secret scalar.
    #[error("not a usable secret key")]
    SecretKey,
    /// A re-seal that the warrant does not cover.
    #[error("the warrant does not cover this share: {0} differs")]
    NotWarranted(&'static str),
    /// A key or recovery file that is refused.
    #[error("{path}: {reason}", path = .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// The recovery file does not open under this passphrase.
    #[error("wrong passphrase, or the recovery file was changed")]
    Passphrase,
    /// A file of the original LICEN that breaks its format.
    #[error("bad original-format {0}")]
    Legacy(&'static str),
    /// A result container that breaks its format.
    #[error("bad result: {0}")]
    Result(&'static str),
    /// An archive that is not the deterministic tar.
    #[error("bad archive: {0}")]
    Tar(&'static str),
}

/// The kinds of sealed box, for errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SealedBox {
    /// A share in an envelope.
    EnvelopeShare,
    /// A share released to compute.
    ReleasedShare,
    /// A result-key share on its way to a custodian.
    ResultShare,
    /// A result-key share on its way to the researcher.
    ReleasedResultShare,
    /// A manifest on its way to a custodian.
    Manifest,
}

impl SealedBox {
    /// Who made it.
    #[must_use]
    pub fn sealed_by(self) -> Party {
        match self {
            Self::EnvelopeShare => Party::Owner,
            Self::ReleasedShare | Self::ReleasedResultShare => Party::Custodian,
            Self::ResultShare | Self::Manifest => Party::Compute,
        }
    }
}

impl fmt::Display for SealedBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EnvelopeShare => "the key share in the envelope",
            Self::ReleasedShare => "the released key share",
            Self::ResultShare => "the result-key share",
            Self::ReleasedResultShare => "the released result-key share",
            Self::Manifest => "the manifest",
        })
    }
}

impl From<io::Error> for SealError {
    /// An error of this crate that passed through `io::Read` comes back as itself.
    fn from(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::Io)
    }
}

impl From<SealError> for io::Error {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Io(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}

impl Fault for SealError {
    fn fault(&self) -> Party {
        match self {
            Self::Io(_)
            | Self::Random
            | Self::StreamTooLong
            | Self::StreamFailed
            | Self::OutOfRange { .. }
            | Self::TooFewShares { .. }
            | Self::DuplicateShare { .. }
            | Self::WrongRecipient(_)
            | Self::SecretKey
            | Self::PublicKey
            | Self::NotWarranted(_)
            | Self::KeyFile { .. }
            | Self::Passphrase
            | Self::NotAMember { .. } => Party::Environment,
            Self::StreamHeader
            | Self::Segment { .. }
            | Self::EnvelopeTooLarge { .. }
            | Self::Envelope(_)
            | Self::Threshold { .. }
            | Self::WrongKey
            | Self::Legacy(_) => Party::Owner,
            Self::ForeignShare { .. } => Party::Custodian,
            Self::WrongShare { from, .. } => *from,
            Self::Open(sealed) => sealed.sealed_by(),
            Self::Canonical(error) => error.fault(),
            Self::Result(_) | Self::Tar(_) => Party::Compute,
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::Interrupted | io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
            ),
            Self::Random | Self::TooFewShares { .. } => true,
            Self::StreamHeader
            | Self::Segment { .. }
            | Self::StreamTooLong
            | Self::StreamFailed
            | Self::OutOfRange { .. }
            | Self::Canonical(_)
            | Self::EnvelopeTooLarge { .. }
            | Self::Envelope(_)
            | Self::Threshold { .. }
            | Self::DuplicateShare { .. }
            | Self::ForeignShare { .. }
            | Self::WrongShare { .. }
            | Self::WrongKey
            | Self::NotAMember { .. }
            | Self::WrongRecipient(_)
            | Self::Open(_)
            | Self::PublicKey
            | Self::SecretKey
            | Self::NotWarranted(_)
            | Self::KeyFile { .. }
            | Self::Passphrase
            | Self::Legacy(_)
            | Self::Result(_)
            | Self::Tar(_) => false,
        }
    }
}
