//! The symmetric keys: one per dataset, one per result.

use aws_lc_rs::digest;
use licen_core::primitives::B256;

use crate::error::SealError;
use crate::secret::Secret;

/// The key of a dataset. It exists in the owner's command line and in attested compute, nowhere
/// else; custodians hold shares of it.
pub struct DatasetKey(pub(crate) Secret);

/// The fresh key of one result. It exists in compute and, after settlement, at the researcher.
pub struct ResultKey(pub(crate) Secret);

impl DatasetKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn generate() -> Result<Self, SealError> {
        Secret::random().map(Self)
    }

    /// Takes over a key made elsewhere and wipes the source.
    #[must_use]
    pub fn import(bytes: &mut [u8; 32]) -> Self {
        Self(Secret::take(bytes))
    }

    /// The commitment that an envelope carries, SHA-256("LICEN/dek/v2" ‖ datasetUid ‖ key). It is
    /// needed because AES-GCM does not commit to its key: without it shares could be dealt so that
    /// different custodians' shares make different keys.
    #[must_use]
    pub fn commitment(&self, dataset_uid: &B256) -> B256 {
        sha256(&[b"LICEN/dek/v2", dataset_uid.as_slice(), self.0.bytes()])
    }

    /// Whether `bytes` (a log, a core file) contain this key, raw or in hexadecimal. For tests that
    /// prove nothing leaked.
    #[must_use]
    pub fn appears_in(&self, bytes: &[u8]) -> bool {
        secret_appears_in(&self.0, bytes)
    }
}

impl ResultKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn generate() -> Result<Self, SealError> {
        Secret::random().map(Self)
    }

    /// SHA-256("LICEN/result-key/v2" ‖ jobId ‖ u32be attempt ‖ key).
    #[must_use]
    pub fn commitment(&self, job_id: &B256, attempt: u32) -> B256 {
        sha256(&[b"LICEN/result-key/v2", job_id.as_slice(), &attempt.to_be_bytes(), self.0.bytes()])
    }

    /// See [`DatasetKey::appears_in`].
    #[must_use]
    pub fn appears_in(&self, bytes: &[u8]) -> bool {
        secret_appears_in(&self.0, bytes)
    }
}

pub(crate) fn sha256(parts: &[&[u8]]) -> B256 {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    B256::from_slice(context.finish().as_ref())
}

fn secret_appears_in(secret: &Secret, bytes: &[u8]) -> bool {
    let raw = secret.bytes();
    let lower = zeroize::Zeroizing::new(hex::encode(raw));
    let upper = zeroize::Zeroizing::new(hex::encode_upper(raw));
    [raw.as_slice(), lower.as_bytes(), upper.as_bytes()]
        .iter()
        .any(|needle| bytes.windows(needle.len()).any(|window| window == *needle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commitments_depend_on_key_and_context() {
        let key = DatasetKey::import(&mut [1; 32]);
        let other = DatasetKey::import(&mut [2; 32]);
        let (a, b) = (B256::repeat_byte(0xaa), B256::repeat_byte(0xbb));
        assert_ne!(key.commitment(&a), key.commitment(&b));
        assert_ne!(key.commitment(&a), other.commitment(&a));
        let result = ResultKey(Secret::take(&mut [1; 32]));
        assert_ne!(result.commitment(&a, 1), result.commitment(&a, 2));
    }

    #[test]
    fn a_leak_is_found_in_every_form() {
        let key = DatasetKey::import(&mut [0xab; 32]);
        assert!(key.appears_in(&[&b"log: "[..], &[0xab; 32]].concat()));
        assert!(key.appears_in(format!("x{}", "ab".repeat(32)).as_bytes()));
        assert!(key.appears_in(format!("x{}", "AB".repeat(32)).as_bytes()));
        assert!(!key.appears_in(b"nothing"));
    }
}
