//! A share of a key that was checked against its commitment.

use licen_core::eip712::Domain;
use licen_core::primitives::{Address, B256};
use subtle::ConstantTimeEq;

use crate::envelope::EnvelopeTerms;
use crate::error::SealError;
use crate::key::sha256;
use crate::secret::Secret;
use crate::shamir;

/// One custodian's share of a dataset key. It exists only after it matched the envelope's
/// commitment, and it remembers which envelope that was.
pub struct KeyShare {
    pub(crate) secret: Secret,
    pub(crate) index: u8,
    pub(crate) custodian: Address,
    pub(crate) terms: EnvelopeTerms,
}

impl KeyShare {
    /// The member's index, from 1.
    #[must_use]
    pub fn index(&self) -> u8 {
        self.index
    }

    /// Whose share it is.
    #[must_use]
    pub fn custodian(&self) -> Address {
        self.custodian
    }

    /// The terms of the envelope it came from.
    #[must_use]
    pub fn terms(&self) -> &EnvelopeTerms {
        &self.terms
    }
}

/// One custodian's share of a result key, checked against the commitment in the result's header.
pub struct ResultKeyShare {
    pub(crate) secret: Secret,
    pub(crate) index: u8,
    pub(crate) custodian: Address,
    pub(crate) domain: Domain,
    pub(crate) job_id: B256,
    pub(crate) attempt: u32,
    pub(crate) result_hash: B256,
}

impl ResultKeyShare {
    /// The member's index, from 1.
    #[must_use]
    pub fn index(&self) -> u8 {
        self.index
    }

    /// Whose share it is.
    #[must_use]
    pub fn custodian(&self) -> Address {
        self.custodian
    }

    /// The job whose result it opens.
    #[must_use]
    pub fn job_id(&self) -> B256 {
        self.job_id
    }
}

/// SHA-256("LICEN/share/v2" ‖ datasetUid ‖ u8 i ‖ share).
pub(crate) fn share_commitment(dataset_uid: &B256, index: u8, share: &Secret) -> B256 {
    sha256(&[b"LICEN/share/v2", dataset_uid.as_slice(), &[index], share.bytes()])
}

/// SHA-256("LICEN/result-share/v2" ‖ jobId ‖ u32be attempt ‖ u8 i ‖ share).
pub(crate) fn result_share_commitment(job_id: &B256, attempt: u32, index: u8, share: &Secret) -> B256 {
    let label = b"LICEN/result-share/v2";
    sha256(&[label, job_id.as_slice(), &attempt.to_be_bytes(), &[index], share.bytes()])
}

/// Equal, in time that does not depend on where they differ.
pub(crate) fn same(a: &B256, b: &B256) -> bool {
    a.as_slice().ct_eq(b.as_slice()).into()
}

/// Combines shares: `t` of them, all distinct. The caller checks the result's commitment.
pub(crate) fn combine_points<'a>(
    points: impl Iterator<Item = (u8, &'a Secret)>,
    t: u8,
) -> Result<Secret, SealError> {
    let mut chosen: Vec<(u8, &Secret)> = Vec::new();
    for (index, secret) in points {
        if chosen.iter().any(|(held, _)| *held == index) {
            return Err(SealError::DuplicateShare { index });
        }
        chosen.push((index, secret));
    }
    let need = usize::from(t);
    if need == 0 || chosen.len() < need {
        return Err(SealError::TooFewShares { have: chosen.len(), need });
    }
    Ok(shamir::interpolate(&chosen[..need]))
}
