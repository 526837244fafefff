//! Proofs that a check was made, as types. A custodian's `Warrant` (in `seal`) can be built only
//! from them, and each has one maker:
//!
//! ```text
//! chain  --confirmed read-->  ConfirmedRun        \
//!                                                  Warrant --> seal::reseal
//! attest --appraisal------->  AttestationResult   /
//! chain  --confirmed read-->  ConfirmedSettlement --> seal: result-key share to the requester
//! ```
//!
//! The makers are `from_chain` and `from_appraisal`; `xtask tidy` allows the first in `chain` and
//! the second in `attest` only, since Rust cannot name a friend crate.

use alloy_primitives::{Address, B256};

use crate::abi::{Job, ResultManifest};
use crate::eip712::Domain;

/// The chain, at the confirmation depth, says: this job is Running with this signer and attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmedRun {
    domain: Domain,
    job: Job,
    block: u64,
    now: u64,
}

impl ConfirmedRun {
    /// For `chain` only: `job` was compared with the contract's commitment in state Running at
    /// `block`, whose time is `now`.
    #[must_use]
    pub fn from_chain(domain: Domain, job: Job, block: u64, now: u64) -> Self {
        Self { domain, job, block, now }
    }

    /// Where the job lives.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The job as Running, signer and runtime data hash included.
    #[must_use]
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// The block it was read at.
    #[must_use]
    pub fn block(&self) -> u64 {
        self.block
    }

    /// That block's time, seconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }
}

/// The chain, at the confirmation depth, says: this job is Completed with this result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmedSettlement {
    domain: Domain,
    job: Job,
    manifest: ResultManifest,
}

impl ConfirmedSettlement {
    /// For `chain` only: the contract is in state Completed, and what it committed to is `job` as it ran
    /// and `manifest`.
    #[must_use]
    pub fn from_chain(domain: Domain, job: Job, manifest: ResultManifest) -> Self {
        Self { domain, job, manifest }
    }

    /// Where the job lives.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The job as it ran.
    #[must_use]
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// What was paid for.
    #[must_use]
    pub fn manifest(&self) -> &ResultManifest {
        &self.manifest
    }

    /// The result that was paid for.
    #[must_use]
    pub fn result_hash(&self) -> B256 {
        self.manifest.resultHash
    }
}

/// Evidence was appraised and accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationResult {
    runtime_data_hash: B256,
    signer: Address,
    recipient_key: B256,
    level: u8,
    entry: B256,
}

impl AttestationResult {
    /// For `attest` only: evidence bound `runtime_data_hash` and `signer`, met reference values
    /// `entry`, and its level is `level`.
    #[must_use]
    pub fn from_appraisal(
        runtime_data_hash: B256,
        signer: Address,
        recipient_key: B256,
        level: u8,
        entry: B256,
    ) -> Self {
        Self { runtime_data_hash, signer, recipient_key, level, entry }
    }

    /// SHA-256 of the runtime data.
    #[must_use]
    pub fn runtime_data_hash(&self) -> B256 {
        self.runtime_data_hash
    }

    /// The attested signing address.
    #[must_use]
    pub fn signer(&self) -> Address {
        self.signer
    }

    /// The attested X25519 key.
    #[must_use]
    pub fn recipient_key(&self) -> B256 {
        self.recipient_key
    }

    /// `LEVEL_SOFTWARE` or `LEVEL_HARDWARE`.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Root of the reference values it met.
    #[must_use]
    pub fn entry(&self) -> B256 {
        self.entry
    }
}
