//! The keys of one attempt. They are made here, live in memory only, and die with the attempt: a
//! restart loses them by design, and another attempt takes their place.

use licen_core::abi::{Alive, Delivery, FailureReport, Job, ResultManifest};
use licen_core::eip712::Domain;
use licen_core::job::Reason;
use licen_core::primitives::{Address, Bytes};
use licen_core::wire::AbiHex;
use licen_core::wire::compute::SignedFailure;
use licen_seal::{SealError, SigningKey};

/// Signs the one terminal statement of an attempt. Both statements take the key by value, so that
/// no attempt can sign two.
pub(super) struct StatementKey {
    key: SigningKey,
    domain: Domain,
}

impl StatementKey {
    /// A fresh key.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub(super) fn generate(domain: Domain) -> Result<Self, SealError> {
        Ok(Self { key: SigningKey::generate()?, domain })
    }

    /// The attested signer.
    pub(super) fn address(&self) -> Address {
        self.key.address()
    }

    /// Signs what custodians are asked to hold. It settles nothing.
    ///
    /// # Errors
    /// See [`SigningKey::sign`].
    pub(super) fn sign_delivery(&self, delivery: &Delivery) -> Result<Bytes, SealError> {
        let signature = self.key.sign(&self.domain.digest(delivery))?;
        Ok(Bytes::copy_from_slice(signature.as_bytes()))
    }

    /// Signs that the attempt lives. It settles nothing.
    ///
    /// # Errors
    /// See [`SigningKey::sign`].
    pub(super) fn sign_alive(&self, alive: &Alive) -> Result<Bytes, SealError> {
        let signature = self.key.sign(&self.domain.digest(alive))?;
        Ok(Bytes::copy_from_slice(signature.as_bytes()))
    }

    /// Signs that training ended with a result.
    ///
    /// # Errors
    /// See [`SigningKey::sign`].
    pub(super) fn sign_manifest(self, manifest: &ResultManifest) -> Result<Bytes, SealError> {
        let signature = self.key.sign(&self.domain.digest(manifest))?;
        Ok(Bytes::copy_from_slice(signature.as_bytes()))
    }

    /// Signs that the attempt failed.
    ///
    /// # Errors
    /// See [`SigningKey::sign`].
    pub(super) fn sign_failure(
        self,
        job: &Job,
        reason: Reason,
        epochs_done: u32,
    ) -> Result<SignedFailure, SealError> {
        let report = FailureReport {
            jobId: job.jobId,
            attempt: job.attempt,
            reasonCode: reason as u8,
            epochsDone: epochs_done,
            runtimeDataHash: job.runtimeDataHash,
        };
        let signature = self.key.sign(&self.domain.digest(&report))?;
        let signature = Bytes::copy_from_slice(signature.as_bytes());
        Ok(SignedFailure { report: AbiHex(report), signature })
    }
}
