//! What permits a custodian to let a share go. A warrant is made only from proofs that the chain was
//! read at depth and that evidence was appraised, and it names the one key that may receive.

use licen_core::abi::ResultKeyChange;
use licen_core::eip712::Domain;
use licen_core::fault::{Fault, Party};
use licen_core::policy::{LEVEL_HARDWARE, LEVEL_SOFTWARE, LOCAL_CHAIN_ID};
use licen_core::primitives::B256;
use licen_core::release::{AttestationResult, ConfirmedRun, ConfirmedSettlement};

use crate::envelope::{EnvelopeTerms, Uses};
use crate::error::SealError;
use crate::recipient::RecipientPublicKey;
use crate::share::ResultKeyShare;

/// Why there is no warrant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WarrantError {
    /// The chain names no attempt: the job does not run.
    #[error("the job names no running attempt")]
    NotRunning,
    /// The block's time is past the run deadline.
    #[error("the run deadline {deadline} has passed, the chain says {now}")]
    Late {
        /// Seconds.
        deadline: u64,
        /// Seconds.
        now: u64,
    },
    /// Evidence and chain name different things.
    #[error("the evidence has another {0} than the chain")]
    Mismatch(&'static str),
    /// The evidence is weaker than the job's policy demands, or of no known level.
    #[error("the evidence has level {found}, the job requires {required}")]
    Level {
        /// Of the evidence.
        found: u8,
        /// Of the job.
        required: u8,
    },
    /// Simulated evidence away from a local chain.
    #[error("simulated evidence counts on the local chain only, this is chain {0}")]
    Simulated(u64),
    /// No key to seal to.
    #[error("there is no recipient key")]
    NoRecipient,
}

impl Fault for WarrantError {
    fn fault(&self) -> Party {
        match self {
            Self::NotRunning | Self::Late { .. } => Party::Operator,
            Self::Mismatch(_) | Self::Level { .. } | Self::Simulated(_) => Party::Compute,
            Self::NoRecipient => Party::Requester,
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::NotRunning => true,
            Self::Late { .. }
            | Self::Mismatch(_)
            | Self::Level { .. }
            | Self::Simulated(_)
            | Self::NoRecipient => false,
        }
    }
}

/// Which words bind a release: a simulated release opens nowhere as a real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReleaseDomain {
    /// Evidence of level HARDWARE.
    Production,
    /// The simulated TEE, level SOFTWARE.
    Simulated,
}

impl ReleaseDomain {
    /// The domain that evidence of `level` releases under; `None` for an unknown level.
    #[must_use]
    pub fn of_level(level: u8) -> Option<Self> {
        match level {
            LEVEL_HARDWARE => Some(Self::Production),
            LEVEL_SOFTWARE => Some(Self::Simulated),
            _ => None,
        }
    }

    pub(crate) fn info(self) -> &'static [u8] {
        match self {
            Self::Production => b"LICEN/release/v2",
            Self::Simulated => b"LICEN-SIMULATED/release/v2",
        }
    }
}

/// What a release is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleaseTerms {
    /// The attested key that receives.
    pub recipient: RecipientPublicKey,
    /// SHA-256 of the runtime data, as on chain.
    pub runtime_data_hash: B256,
    /// Real or simulated.
    pub domain: ReleaseDomain,
}

/// Permits re-sealing shares of one dataset key to one attested key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warrant {
    release: ReleaseTerms,
    domain: Domain,
    dataset_uid: B256,
    custodian_set: B256,
    set_version: u32,
    level: u8,
}

impl Warrant {
    /// For a training job: the chain says it runs, and the evidence is of exactly that run. The
    /// runtime data names job and attempt, so that equal hashes mean equal attempts.
    ///
    /// # Errors
    /// See [`WarrantError`].
    pub fn compute(run: &ConfirmedRun, evidence: &AttestationResult) -> Result<Self, WarrantError> {
        let job = run.job();
        if job.attempt == 0 || job.signer.is_zero() || job.runtimeDataHash.is_zero() {
            return Err(WarrantError::NotRunning);
        }
        if run.now() > job.runDeadline {
            return Err(WarrantError::Late { deadline: job.runDeadline, now: run.now() });
        }
        if evidence.signer() != job.signer {
            return Err(WarrantError::Mismatch("signer"));
        }
        if evidence.runtime_data_hash() != job.runtimeDataHash {
            return Err(WarrantError::Mismatch("runtime data hash"));
        }
        let level = evidence.level();
        let refused = WarrantError::Level { found: level, required: job.requiredLevel };
        let domain = ReleaseDomain::of_level(level).ok_or(refused.clone())?;
        if level < job.requiredLevel || ReleaseDomain::of_level(job.requiredLevel).is_none() {
            return Err(refused);
        }
        let chain_id = run.domain().chain_id;
        if domain == ReleaseDomain::Simulated && chain_id != LOCAL_CHAIN_ID {
            return Err(WarrantError::Simulated(chain_id));
        }
        if evidence.recipient_key().is_zero() {
            return Err(WarrantError::NoRecipient);
        }
        Ok(Self {
            release: ReleaseTerms {
                recipient: RecipientPublicKey(evidence.recipient_key()),
                runtime_data_hash: evidence.runtime_data_hash(),
                domain,
            },
            domain: *run.domain(),
            dataset_uid: job.datasetUid,
            custodian_set: job.custodianSet,
            set_version: job.setVersion,
            level,
        })
    }

    /// Who receives, and under which words.
    #[must_use]
    pub fn release(&self) -> &ReleaseTerms {
        &self.release
    }

    pub(crate) fn covers(&self, terms: &EnvelopeTerms) -> Result<(), SealError> {
        let checks = [
            (terms.uses == Uses::Job, "use"),
            (terms.chain_id == self.domain.chain_id, "chain"),
            (terms.dataset_uid == self.dataset_uid, "dataset"),
            (terms.custodian_set == self.custodian_set, "custodian set"),
            (terms.set_version == self.set_version, "custodian set version"),
            (terms.required_level <= self.level, "attestation level"),
        ];
        all_hold(&checks)
    }
}

/// Permits re-sealing shares of one result key to the requester who paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultWarrant {
    recipient: RecipientPublicKey,
    domain: Domain,
    job_id: B256,
    attempt: u32,
    result_hash: B256,
}

impl ResultWarrant {
    /// The job is Completed with this result: to the key that the request named.
    ///
    /// # Errors
    /// [`WarrantError::NoRecipient`], [`WarrantError::NotRunning`] where the job never ran.
    pub fn settled(settlement: &ConfirmedSettlement) -> Result<Self, WarrantError> {
        Self::to_key(settlement, settlement.job().resultKey)
    }

    /// As [`Self::settled`], to a key that replaces a lost one. The caller has verified that the
    /// requester signed `change` (EIP-712 or EIP-1271) and that its nonce is new.
    ///
    /// # Errors
    /// As [`Self::settled`], and [`WarrantError::Mismatch`] for another job's change.
    pub fn settled_with_new_key(
        settlement: &ConfirmedSettlement,
        change: &ResultKeyChange,
    ) -> Result<Self, WarrantError> {
        if change.jobId != settlement.job().jobId {
            return Err(WarrantError::Mismatch("job"));
        }
        Self::to_key(settlement, change.newKey)
    }

    fn to_key(settlement: &ConfirmedSettlement, key: B256) -> Result<Self, WarrantError> {
        let job = settlement.job();
        if job.attempt == 0 {
            return Err(WarrantError::NotRunning);
        }
        if key.is_zero() {
            return Err(WarrantError::NoRecipient);
        }
        Ok(Self {
            recipient: RecipientPublicKey(key),
            domain: *settlement.domain(),
            job_id: job.jobId,
            attempt: job.attempt,
            result_hash: settlement.result_hash(),
        })
    }

    /// Who receives.
    #[must_use]
    pub fn recipient(&self) -> &RecipientPublicKey {
        &self.recipient
    }

    pub(crate) fn covers(&self, share: &ResultKeyShare) -> Result<(), SealError> {
        let checks = [
            (share.domain == self.domain, "chain or contract"),
            (share.job_id == self.job_id, "job"),
            (share.attempt == self.attempt, "attempt"),
            (share.result_hash == self.result_hash, "result"),
        ];
        all_hold(&checks)
    }
}

fn all_hold(checks: &[(bool, &'static str)]) -> Result<(), SealError> {
    match checks.iter().find(|(holds, _)| !holds) {
        Some((_, what)) => Err(SealError::NotWarranted(what)),
        None => Ok(()),
    }
}
