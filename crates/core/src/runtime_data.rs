//! What compute binds into its evidence: which job, which policy, which keys, whose nonces. Its
//! hash stands in the quote's report data and on chain, so one quote serves every custodian and
//! names the one key that may receive shares for one attempt.

use alloc::string::String;
use alloc::vec::Vec;
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::abi::Job;
use crate::canonical::{CanonicalError, cbor_from_slice, cbor_to_vec};
use crate::eip712::Domain;
use crate::id::{as_granted, job_hash};

/// Label of runtime data under real hardware.
pub const LABEL: &str = "LICEN/release/v2";
/// Label of runtime data under the simulated TEE: no byte of it verifies as the real one.
pub const LABEL_SIMULATED: &str = "LICEN-SIMULATED/release/v2";
/// Largest runtime data a custodian reads, bytes.
pub const MAX_BYTES: usize = 16 * 1024;

/// One custodian's single-use nonce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Challenge {
    /// The custodian's signing address.
    pub custodian_id: Address,
    /// 32 random bytes, valid once and for 120 s.
    pub nonce: B256,
}

/// The runtime data, canonical CBOR on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuntimeData {
    /// [`LABEL`] or [`LABEL_SIMULATED`].
    pub label: String,
    /// `LEVEL_SOFTWARE` or `LEVEL_HARDWARE`.
    pub level: u8,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The `DataPolicy` contract.
    pub contract: Address,
    /// The job.
    pub job_id: B256,
    /// keccak256(abi.encode(Job as granted)).
    pub job_hash: B256,
    /// The attempt that is asked for, from 1.
    pub attempt: u32,
    /// The dataset's uid.
    pub dataset_uid: B256,
    /// The dataset's root.
    pub dataset_root: B256,
    /// The policy the job pins.
    pub policy_hash: B256,
    /// The envelope compute will open shares of.
    pub envelope_hash: B256,
    /// What will be trained.
    pub job_spec_hash: B256,
    /// Who runs the node; zero for an unregistered one.
    pub provider_id: B256,
    /// X25519 key, made inside for this attempt, that shares are sealed to.
    pub hpke_key: B256,
    /// secp256k1 address, made inside for this attempt, that signs the manifest.
    pub signer: Address,
    /// `tdx`, `snp` or `simulated`.
    pub tee_type: String,
    /// Whether the kernel confines the node and its trainers. The measured program says so itself.
    pub sandboxed: bool,
    /// Nonces of every custodian asked.
    pub challenges: Vec<Challenge>,
}

impl RuntimeData {
    /// Canonical CBOR.
    ///
    /// # Errors
    /// Never for values of this type; kept so that nothing panics.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        cbor_to_vec(self)
    }

    /// Reads canonical CBOR and nothing else.
    ///
    /// # Errors
    /// See [`CanonicalError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CanonicalError> {
        if bytes.len() > MAX_BYTES {
            let reason = alloc::format!("{} bytes, at most {MAX_BYTES}", bytes.len());
            return Err(CanonicalError::Malformed { format: "CBOR", reason });
        }
        cbor_from_slice(bytes)
    }

    /// The first field that does not say what the chain says about this job, if any.
    #[must_use]
    pub fn mismatch(&self, domain: &Domain, job: &Job, attempt: u32) -> Option<&'static str> {
        let checks = [
            (self.chain_id == domain.chain_id, "chainId"),
            (self.contract == domain.contract, "contract"),
            (self.job_id == job.jobId, "jobId"),
            (self.job_hash == job_hash(&as_granted(job)), "jobHash"),
            (self.attempt == attempt, "attempt"),
            (self.dataset_uid == job.datasetUid, "datasetUid"),
            (self.dataset_root == job.datasetRoot, "datasetRoot"),
            (self.policy_hash == job.policyHash, "policyHash"),
            (self.envelope_hash == job.envelopeHash, "envelopeHash"),
            (self.job_spec_hash == job.jobSpecHash, "jobSpecHash"),
            (job.providerId.is_zero() || self.provider_id == job.providerId, "providerId"),
            (!self.hpke_key.is_zero(), "hpkeKey"),
            (!self.signer.is_zero(), "signer"),
        ];
        checks.into_iter().find(|(holds, _)| !holds).map(|(_, field)| field)
    }
}

/// SHA-256 of runtime data: `runtimeDataHash` on chain and in verdicts.
#[must_use]
pub fn hash(runtime_data: &[u8]) -> B256 {
    B256::from_slice(&Sha256::digest(runtime_data))
}

/// The 64 bytes a quote binds: SHA-256(runtimeData) ‖ 0^12 ‖ signer.
#[must_use]
pub fn report_data(runtime_data_hash: &B256, signer: Address) -> [u8; 64] {
    let mut out = [0u8; 64];
    out[..32].copy_from_slice(runtime_data_hash.as_slice());
    out[44..].copy_from_slice(signer.as_slice());
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    pub(crate) fn sample(domain: &Domain, job: &Job) -> RuntimeData {
        RuntimeData {
            label: LABEL_SIMULATED.to_string(),
            level: 1,
            chain_id: domain.chain_id,
            contract: domain.contract,
            job_id: job.jobId,
            job_hash: job_hash(&as_granted(job)),
            attempt: 1,
            dataset_uid: job.datasetUid,
            dataset_root: job.datasetRoot,
            policy_hash: job.policyHash,
            envelope_hash: job.envelopeHash,
            job_spec_hash: job.jobSpecHash,
            provider_id: job.providerId,
            hpke_key: B256::repeat_byte(1),
            signer: Address::repeat_byte(2),
            tee_type: "simulated".to_string(),
            sandboxed: true,
            challenges: vec![Challenge {
                custodian_id: Address::repeat_byte(3),
                nonce: B256::repeat_byte(4),
            }],
        }
    }

    #[test]
    fn every_field_is_held_against_the_chain() {
        let domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(9) };
        let job = Job { jobId: B256::repeat_byte(5), epochs: 3, ..Job::default() };
        let data = sample(&domain, &job);
        assert_eq!(data.mismatch(&domain, &job, 1), None);
        assert_eq!(data.mismatch(&domain, &job, 2), Some("attempt"));
        let other = Job { epochs: 4, ..job.clone() };
        assert_eq!(data.mismatch(&domain, &other, 1), Some("jobHash"));
        let elsewhere = Domain { chain_id: 1, ..domain };
        assert_eq!(data.mismatch(&elsewhere, &job, 1), Some("chainId"));
    }

    #[test]
    fn bytes_round_trip_and_nothing_else_parses() {
        let domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(9) };
        let data = sample(&domain, &Job::default());
        let bytes = data.to_bytes().unwrap();
        assert_eq!(RuntimeData::from_bytes(&bytes).unwrap(), data);
        let mut trailing = bytes.clone();
        trailing.push(0);
        assert!(RuntimeData::from_bytes(&trailing).is_err());
        assert!(RuntimeData::from_bytes(&vec![0; MAX_BYTES + 1]).is_err());
        let report = report_data(&hash(&bytes), data.signer);
        assert_eq!(&report[32..44], &[0; 12]);
    }
}
