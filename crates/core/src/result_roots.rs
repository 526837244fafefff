//! What a result is, by its roots. Compute offers exactly these, every custodian holds exactly these, and
//! a manifest that names others is not published.

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

use crate::abi::{Delivery, Held, Job, ResultManifest};

/// The roots of one attempt's result and of what stands behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResultRoots {
    /// The result container.
    pub result_hash: B256,
    /// The base model that was trained, as the JobSpec names it.
    pub base_model_root: B256,
    /// The plaintext tar in the container: the name of the trained adapter.
    pub adapter_root: B256,
    /// The evidence bundle.
    pub attestation_ref: B256,
    /// The job's report.
    pub report_hash: B256,
}

impl ResultRoots {
    /// Those that `manifest` names.
    #[must_use]
    pub fn of(manifest: &ResultManifest) -> Self {
        Self {
            result_hash: manifest.resultHash,
            base_model_root: manifest.baseModelRoot,
            adapter_root: manifest.adapterRoot,
            attestation_ref: manifest.attestationRef,
            report_hash: manifest.reportHash,
        }
    }

    /// Whether none is 0, which the contract refuses.
    #[must_use]
    pub fn are_named(&self) -> bool {
        let roots = [
            self.result_hash,
            self.base_model_root,
            self.adapter_root,
            self.attestation_ref,
            self.report_hash,
        ];
        !roots.iter().any(B256::is_zero)
    }

    /// What the job's signer signs when it offers them; the blobs are served at `blob_url`.
    #[must_use]
    pub fn delivery(&self, job: &Job, blob_url: &str) -> Delivery {
        Delivery {
            jobId: job.jobId,
            attempt: job.attempt,
            resultHash: self.result_hash,
            baseModelRoot: self.base_model_root,
            adapterRoot: self.adapter_root,
            attestationRef: self.attestation_ref,
            reportHash: self.report_hash,
            blobUrlHash: keccak256(blob_url),
        }
    }

    /// What a custodian signs when it holds them.
    #[must_use]
    pub fn held(&self, job_id: B256, attempt: u32) -> Held {
        Held {
            jobId: job_id,
            attempt,
            resultHash: self.result_hash,
            baseModelRoot: self.base_model_root,
            adapterRoot: self.adapter_root,
            attestationRef: self.attestation_ref,
            reportHash: self.report_hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_root_is_said_each_time() {
        let roots = ResultRoots {
            result_hash: B256::repeat_byte(1),
            base_model_root: B256::repeat_byte(2),
            adapter_root: B256::repeat_byte(3),
            attestation_ref: B256::repeat_byte(4),
            report_hash: B256::repeat_byte(5),
        };
        let manifest = ResultManifest {
            resultHash: roots.result_hash,
            baseModelRoot: roots.base_model_root,
            adapterRoot: roots.adapter_root,
            attestationRef: roots.attestation_ref,
            reportHash: roots.report_hash,
            ..ResultManifest::default()
        };
        assert_eq!(ResultRoots::of(&manifest), roots);
        assert!(roots.are_named());
        for missing in 0..5 {
            let mut some = roots;
            let all = [
                &mut some.result_hash,
                &mut some.base_model_root,
                &mut some.adapter_root,
                &mut some.attestation_ref,
                &mut some.report_hash,
            ];
            *all.into_iter().nth(missing).unwrap() = B256::ZERO;
            assert!(!some.are_named(), "root {missing}");
        }
        let job = Job { jobId: B256::repeat_byte(6), attempt: 2, ..Job::default() };
        let (held, delivery) = (roots.held(job.jobId, job.attempt), roots.delivery(&job, "http://blobs"));
        let words = [1, 2, 3, 4, 5].map(B256::repeat_byte);
        let of_held =
            [held.resultHash, held.baseModelRoot, held.adapterRoot, held.attestationRef, held.reportHash];
        assert_eq!((of_held, held.jobId, held.attempt), (words, job.jobId, 2));
        let offered = [
            delivery.resultHash,
            delivery.baseModelRoot,
            delivery.adapterRoot,
            delivery.attestationRef,
            delivery.reportHash,
        ];
        assert_eq!((offered, delivery.blobUrlHash), (words, keccak256("http://blobs")));
    }
}
