//! The signed manifest on its way to a custodian: whoever forwards it can neither read it, nor hand
//! the result over unpaid, nor settle alone.

use licen_core::primitives::{Address, B256, Bytes};
use zeroize::Zeroizing;

use crate::error::{SealError, SealedBox};
use crate::hpke;
use crate::recipient::{RecipientKey, RecipientPublicKey};

const INFO: &[u8] = b"LICEN/manifest/v2";
const BOX: SealedBox = SealedBox::Manifest;

/// Which delivery it is, and to whom. AAD = jobId ‖ u32be attempt ‖ custodianId.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryTerms {
    /// The job.
    pub job_id: B256,
    /// The attempt.
    pub attempt: u32,
    /// The custodian it goes to.
    pub custodian: Address,
}

impl DeliveryTerms {
    fn aad(&self) -> Vec<u8> {
        [self.job_id.as_slice(), &self.attempt.to_be_bytes(), self.custodian.as_slice()].concat()
    }
}

/// Seals a manifest; returns the encapsulated key and the ciphertext.
///
/// # Errors
/// [`SealError::PublicKey`].
pub fn seal_manifest(
    manifest: &[u8],
    terms: &DeliveryTerms,
    to: &RecipientPublicKey,
) -> Result<(Bytes, Bytes), SealError> {
    let boxed = hpke::seal(to, INFO, &terms.aad(), manifest)?;
    Ok((boxed.enc.to_vec().into(), boxed.ct.into()))
}

/// Opens a manifest.
///
/// # Errors
/// [`SealError::Open`].
pub fn open_manifest(
    enc: &[u8],
    ct: &[u8],
    terms: &DeliveryTerms,
    key: &RecipientKey,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    hpke::open(key, INFO, &terms.aad(), (enc, ct), BOX)
}
