//! Why evidence is not accepted, and why evidence could not be made.

use std::io;
use std::path::PathBuf;

use dcap_qvl::TcbStatus;
use licen_core::canonical::CanonicalError;
use licen_core::fault::{Fault, Party};
use licen_core::primitives::{B256, FixedBytes};

use crate::claims::Measurement;
use crate::rules::{AmdSvn, Product};

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
    #[error("malformed {tee}: {reason}")]
    Malformed {
        /// What it should have been.
        tee: &'static str,
        /// Which rule.
        reason: &'static str,
    },
    /// Evidence of another kind of TEE than it is given as, or than is accepted.
    #[error("evidence of another kind of TEE than this one")]
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
    /// There are no endorsements for this platform.
    #[error("no collateral for {tee} platforms of FMSPC {fmspc}")]
    NoCollateral {
        /// `tdx`, `sgx` or `snp`.
        tee: &'static str,
        /// Family, model and stepping; zeros for AMD, whose certificate is of one chip.
        fmspc: FixedBytes<6>,
    },
    /// Endorsements that cannot be read.
    #[error("collateral: {0}")]
    Collateral(String),
    /// Endorsements from the future.
    #[error("the collateral is valid only from {from} on (Unix seconds)")]
    CollateralEarly {
        /// Unix seconds.
        from: u64,
    },
    /// Endorsements that nobody may rely on any more.
    #[error("the collateral was valid until {until} (Unix seconds)")]
    CollateralExpired {
        /// Unix seconds.
        until: u64,
    },
    /// Endorsements older than the appraisal policy wants.
    #[error("the collateral was issued {seconds} s ago, the policy allows {max}")]
    CollateralAge {
        /// Age.
        seconds: u64,
        /// Allowed.
        max: u64,
    },
    /// A signature or a certificate that does not hold.
    #[error("{0}")]
    Signature(&'static str),
    /// A quote that does not verify up to its root.
    #[error("the quote does not verify: {0}")]
    Quote(String),
    /// The host may read the guest's memory.
    #[error("debugging or profiling is on: the host can look inside")]
    Debug,
    /// Asked for at a lower privilege level than the guest's own.
    #[error("made at VMPL {0}, not 0")]
    Vmpl(u32),
    /// The guest may be moved to another machine.
    #[error("the guest can be migrated")]
    Migratable,
    /// A platform state that the policy does not list.
    #[error("the platform's TCB status is {0}, which the policy does not accept")]
    TcbStatus(TcbStatus),
    /// Out of date for too long.
    #[error("the platform's TCB is {status} since {since} (Unix seconds), longer than the policy tolerates")]
    TcbGrace {
        /// The status.
        status: TcbStatus,
        /// Date of the TCB level, Unix seconds.
        since: u64,
    },
    /// A security advisory that the policy denies applies.
    #[error("advisory {0} applies, which the policy denies")]
    Advisory(String),
    /// Collateral from before an event that the policy wants counted.
    #[error("TCB evaluation data number {found}, the policy wants {min}")]
    EvaluationNumber {
        /// Of the collateral.
        found: u32,
        /// Wanted.
        min: u32,
    },
    /// A property of the machine that the policy does not allow.
    #[error("the platform has {0}, which the policy does not allow")]
    PlatformFlag(&'static str),
    /// A processor that the policy does not list.
    #[error("the policy does not accept {0:?} processors")]
    Product(Product),
    /// A report format that says too little.
    #[error("report version {found}, the policy wants {min}")]
    ReportVersion {
        /// Found.
        found: u32,
        /// Wanted.
        min: u32,
    },
    /// Firmware older than the policy wants.
    #[error("firmware reported {reported:?}, committed {committed:?}: older than the policy wants")]
    Svn {
        /// What runs.
        reported: AmdSvn,
        /// What it cannot be taken back behind.
        committed: AmdSvn,
    },
    /// The evidence binds other runtime data, or another signer.
    #[error("the evidence is about other runtime data or another signer")]
    ReportData,
    /// No live reference values name this program.
    #[error("{0:?} meets no live reference values")]
    Measurement(Box<Measurement>),
    /// The platform is not among those allowed, or hides which one it is.
    #[error("platform {} is not registered for this provider or not allowed by the reference values", shown(.0))]
    Platform(Option<B256>),
    /// The node says that it runs without its sandbox.
    #[error("the node runs without its sandbox, which the reference values do not allow")]
    Unsandboxed,
    /// Nothing that evidence could meet.
    #[error("no live reference values for this kind of TEE")]
    NoEntry,
}

fn shown(platform: &Option<B256>) -> String {
    platform.map_or_else(|| "(masked)".to_owned(), |id| id.to_string())
}

impl Refusal {
    /// A short name of the rule, for scripts.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "size",
            Self::Encoding { .. } => "encoding",
            Self::Malformed { .. } => "format",
            Self::TeeType => "tee-type",
            Self::Label(_) => "label",
            Self::Level { .. } => "level",
            Self::ChainId(_) => "chain-id",
            Self::NoCollateral { .. } | Self::Collateral(_) => "collateral",
            Self::CollateralEarly { .. } | Self::CollateralExpired { .. } => "collateral-validity",
            Self::CollateralAge { .. } => "collateral-age",
            Self::Signature(_) | Self::Quote(_) => "signature",
            Self::Debug => "debug",
            Self::Vmpl(_) => "vmpl",
            Self::Migratable => "migration",
            Self::TcbStatus(_) => "tcb-status",
            Self::TcbGrace { .. } => "tcb-grace",
            Self::Advisory(_) => "advisory",
            Self::EvaluationNumber { .. } => "evaluation-number",
            Self::PlatformFlag(_) => "platform-flag",
            Self::Product(_) => "product",
            Self::ReportVersion { .. } => "report-version",
            Self::Svn { .. } => "firmware",
            Self::ReportData => "report-data",
            Self::Measurement(_) => "measurement",
            Self::Platform(_) => "platform",
            Self::Unsandboxed => "sandbox",
            Self::NoEntry => "reference-values",
        }
    }

    /// Whether it is the verifier that lacks something, not the evidence.
    fn is_verifiers(&self) -> bool {
        matches!(
            self,
            Self::NoCollateral { .. }
                | Self::Collateral(_)
                | Self::CollateralEarly { .. }
                | Self::CollateralExpired { .. }
                | Self::CollateralAge { .. }
        )
    }
}

impl Fault for Refusal {
    fn fault(&self) -> Party {
        if self.is_verifiers() { Party::Custodian } else { Party::Compute }
    }
    fn retryable(&self) -> bool {
        // Collateral is renewed while evidence is not.
        self.is_verifiers()
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
    /// This machine offers no evidence of this kind.
    #[error("no {tee} here: {reason}")]
    NoTee {
        /// `tdx` or `snp`.
        tee: &'static str,
        /// What is missing.
        reason: String,
    },
    /// The kernel did not hand out evidence.
    #[error("{path}: {source}", path = .path.display())]
    Tsm {
        /// The file of the kernel's interface.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else used the same report entry in between.
    #[error("the report was made for somebody else's request (generation {0}, not 1)")]
    Generation(String),
    /// The system clock stands before 1970.
    #[error("the system clock stands before 1970")]
    Clock,
    /// The cryptographic library refused a key of ours.
    #[error("the cryptographic library refused a key")]
    Key,
    /// A document that is not canonical, or whose fields contradict each other.
    #[error("reference values: {0}")]
    ReferenceValues(String),
    /// Endorsements that cannot be read.
    #[error("collateral: {0}")]
    Collateral(String),
    /// A document could not be encoded.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl Fault for AttestError {
    fn fault(&self) -> Party {
        match self {
            Self::Measure { .. }
            | Self::NoTee { .. }
            | Self::Tsm { .. }
            | Self::Generation(_)
            | Self::Clock
            | Self::Key
            | Self::ReferenceValues(_)
            | Self::Collateral(_)
            | Self::Canonical(_) => Party::Environment,
        }
    }
    fn retryable(&self) -> bool {
        match self {
            Self::Measure { .. } | Self::Tsm { .. } | Self::Generation(_) => true,
            Self::NoTee { .. }
            | Self::Clock
            | Self::Key
            | Self::ReferenceValues(_)
            | Self::Collateral(_)
            | Self::Canonical(_) => false,
        }
    }
}
