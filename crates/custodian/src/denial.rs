//! Why a custodian says no, and what the peer hears of it.

use licen_attest::Refusal;
use licen_core::canonical::CanonicalError;
use licen_core::constraints::ConstraintBreach;
use licen_core::fault::{Fault, Party};
use licen_core::job::JobState;
use licen_core::primitives::{Address, B256};
use licen_core::report::ReportError;
use licen_core::wire::Problem;
use licen_seal::{SealError, WarrantError};

use crate::effect::{Reply, RequestId};

/// The reason of a refusal. It goes to the custodian's own records. A peer that asks for a verdict
/// or a release hears [`denied`] and nothing else, so that refusals answer no questions.
#[derive(Debug, thiserror::Error)]
pub enum Denial {
    /// The request names a contract that is none of those this custodian serves.
    #[error("this custodian does not serve contract {0}")]
    ForeignContract(Address),
    /// What is recorded of the job is about another contract than the request names.
    #[error("the job is one of contract {0}, not of the one that the request names")]
    ContractDiffers(Address),
    /// Larger than the protocol allows.
    #[error("{what}: {bytes} bytes, at most {max}")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Found.
        bytes: usize,
        /// Allowed.
        max: usize,
    },
    /// Not the canonical encoding of what it should be.
    #[error("{what}: {reason}")]
    Encoding {
        /// Which part.
        what: &'static str,
        /// What the parser said.
        reason: CanonicalError,
    },
    /// A document is another than the one the job or policy names.
    #[error("{what} has root {found}, {wanted} is due")]
    Root {
        /// Which document.
        what: &'static str,
        /// Its root.
        found: B256,
        /// What the chain names.
        wanted: B256,
    },
    /// The runtime data lack this custodian's nonce.
    #[error("the runtime data hold no nonce of this custodian")]
    NoNonce,
    /// The nonce was used, is too old, or was never given.
    #[error("the nonce was used before, has expired, or is not ours")]
    NonceUsed,
    /// A dataset that was retired.
    #[error("dataset {0} is retired")]
    Retired(B256),
    /// No such dataset.
    #[error("no contract that this custodian serves knows dataset {0} at the confirmation depth")]
    NotRegistered(B256),
    /// The job is in another state than the request needs.
    #[error("the job is {}, at the confirmation depth", .0.map_or("unknown", JobState::name))]
    State(Option<JobState>),
    /// The job is not the one the contract committed to.
    #[error("the job is not the one the contract committed to")]
    Commitment,
    /// The runtime data contradict the chain.
    #[error("the runtime data have another {0} than the chain")]
    RuntimeData(&'static str),
    /// Too late.
    #[error("the {what} deadline {deadline} is too near or past, the chain says {now}")]
    Deadline {
        /// `start` or `run`.
        what: &'static str,
        /// Seconds.
        deadline: u64,
        /// Seconds.
        now: u64,
    },
    /// The policy is not the one the job pins.
    #[error("the policy is not the one the job pins")]
    Policy,
    /// Nothing starts under this appraisal policy any more.
    #[error("the appraisal policy or its entry is not live")]
    AppraisalPolicy,
    /// This custodian has no part in the job.
    #[error("this custodian is in neither set of the job")]
    NotAMember,
    /// The chain names another key for this custodian.
    #[error("the set names another HPKE key for this custodian")]
    MemberKey,
    /// The provider cannot be this one.
    #[error("provider {0} is not registered")]
    Provider(B256),
    /// The envelope is for something else.
    #[error("the envelope has another {0} than the chain")]
    Envelope(&'static str),
    /// The job breaks the owner's constraints.
    #[error(transparent)]
    Constraints(#[from] ConstraintBreach),
    /// The evidence is not accepted.
    #[error(transparent)]
    Evidence(#[from] Refusal),
    /// The evidence is worth too little.
    #[error("level {found}, the job requires {required}")]
    Level {
        /// Found.
        found: u8,
        /// Required.
        required: u8,
    },
    /// The job does not run, or not like this.
    #[error("the job does not run with this signer and attempt at the confirmation depth")]
    NotRunning,
    /// No verdict of this custodian for these keys.
    #[error("this custodian gave no verdict for these keys")]
    NoVerdict,
    /// A share went to another key already.
    #[error("a share of this attempt went to another key already")]
    OtherKey,
    /// There is no warrant.
    #[error(transparent)]
    Warrant(#[from] WarrantError),
    /// Opening or sealing failed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Not signed by who should have signed.
    #[error("{what} is not signed by {by}")]
    Signature {
        /// What.
        what: &'static str,
        /// Who should have.
        by: Address,
    },
    /// The result is not what compute says it is.
    #[error("the result has another {0} than its delivery")]
    Result(&'static str),
    /// The report is none.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The manifest says something that cannot be.
    #[error("the manifest has a wrong {0}")]
    Manifest(&'static str),
    /// Too few members hold the result.
    #[error("{have} members hold the result, {need} are needed")]
    TooFewHeld {
        /// Valid signatures.
        have: usize,
        /// Needed.
        need: usize,
    },
    /// This custodian does not hold the result.
    #[error("this custodian holds no such result")]
    NotHeld,
    /// The job is not Completed with the held result.
    #[error("the job is not Completed with the held result at the confirmation depth")]
    NotSettled,
    /// A change that is not newer than the last.
    #[error("the nonce {found} is not above {last}")]
    OldNonce {
        /// Found.
        found: u64,
        /// The last one.
        last: u64,
    },
    /// Compute was heard too recently, or this custodian has not listened for long enough.
    #[error("compute is not silent: nothing heard for {seconds} s, {needed} s are needed")]
    NotSilent {
        /// Nothing was heard for so long.
        seconds: u64,
        /// So long it has to be.
        needed: u64,
    },
    /// This custodian has said that the attempt is silent, so it takes nothing of it any more.
    #[error("this custodian has called the attempt silent: it takes no result of it any more")]
    CalledSilent,
    /// A result of the attempt is held, so it is not silent.
    #[error("this custodian holds the result of the attempt: it is not silent")]
    HeldHere,
    /// An earlier, different answer stands in the way.
    #[error("{0}")]
    Conflict(String),
}

impl Fault for Denial {
    fn fault(&self) -> Party {
        match self {
            Self::TooLarge { .. }
            | Self::Encoding { .. }
            | Self::NoNonce
            | Self::NonceUsed
            | Self::RuntimeData(_)
            | Self::Provider(_)
            | Self::Level { .. }
            | Self::NoVerdict
            | Self::OtherKey
            | Self::Signature { .. }
            | Self::Result(_)
            | Self::Manifest(_)
            | Self::TooFewHeld { .. }
            | Self::CalledSilent
            | Self::Conflict(_) => Party::Compute,
            Self::ForeignContract(_)
            | Self::ContractDiffers(_)
            | Self::Root { .. }
            | Self::State(_)
            | Self::Commitment
            | Self::Deadline { .. }
            | Self::Policy
            | Self::NotSilent { .. }
            | Self::NotRunning => Party::Operator,
            Self::Retired(_) | Self::NotRegistered(_) | Self::AppraisalPolicy | Self::Envelope(_) => {
                Party::Owner
            }
            Self::NotAMember | Self::MemberKey | Self::NotHeld | Self::HeldHere => Party::Custodian,
            Self::NotSettled | Self::OldNonce { .. } => Party::Requester,
            Self::Constraints(e) => e.fault(),
            Self::Evidence(e) => e.fault(),
            Self::Warrant(e) => e.fault(),
            Self::Seal(e) => e.fault(),
            Self::Report(e) => e.fault(),
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::State(state) => state.is_none_or(|s| !s.is_terminal()),
            Self::NotRunning | Self::NotRegistered(_) | Self::NotSettled | Self::NotSilent { .. } => true,
            Self::Evidence(e) => e.retryable(),
            Self::Warrant(e) => e.retryable(),
            Self::Seal(e) => e.retryable(),
            Self::Report(e) => e.retryable(),
            Self::Constraints(e) => e.retryable(),
            Self::ForeignContract(_)
            | Self::ContractDiffers(_)
            | Self::TooLarge { .. }
            | Self::Encoding { .. }
            | Self::Root { .. }
            | Self::NoNonce
            | Self::NonceUsed
            | Self::Retired(_)
            | Self::Commitment
            | Self::RuntimeData(_)
            | Self::Deadline { .. }
            | Self::Policy
            | Self::AppraisalPolicy
            | Self::NotAMember
            | Self::MemberKey
            | Self::Provider(_)
            | Self::Envelope(_)
            | Self::Level { .. }
            | Self::NoVerdict
            | Self::OtherKey
            | Self::Signature { .. }
            | Self::Result(_)
            | Self::Manifest(_)
            | Self::TooFewHeld { .. }
            | Self::NotHeld
            | Self::CalledSilent
            | Self::HeldHere
            | Self::OldNonce { .. }
            | Self::Conflict(_) => false,
        }
    }
}

fn problem(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Reply {
    Reply::Problem(Box::new(Problem::new(status, code, title, detail)))
}

/// The one answer to a refused verdict or release: always the same size.
pub(crate) fn denied(id: RequestId) -> Reply {
    problem(403, "LIC0710", "denied", format!("request {id}"))
}

/// A body that is not what the endpoint takes.
pub(crate) fn malformed(detail: impl Into<String>) -> Reply {
    problem(400, "LIC0711", "the request is malformed", detail)
}

/// Too many requests of one peer or about one job.
pub(crate) fn slow_down() -> Reply {
    problem(429, "LIC0712", "too many requests", "")
}

/// Chain or records are out of reach; the same request may succeed later.
pub(crate) fn unavailable(detail: &str) -> Reply {
    problem(503, "LIC0713", "the custodian cannot decide now", detail)
}

/// The chain does not say so yet at the confirmation depth.
pub(crate) fn too_early(detail: impl Into<String>) -> Reply {
    problem(425, "LIC0714", "not at the confirmation depth", detail)
}

/// A refusal that may say why, because its reasons are public.
pub(crate) fn refused(denial: &Denial) -> Reply {
    problem(409, "LIC0715", "refused", denial.to_string())
}

/// The attempt was called silent: whoever works on it may stop.
pub(crate) fn called_silent(denial: &Denial) -> Reply {
    problem(409, "LIC0718", "the attempt was called silent", denial.to_string())
}

/// No such thing here.
pub(crate) fn not_found(detail: impl Into<String>) -> Reply {
    problem(404, "LIC0716", "not found", detail)
}
