//! Salts of row commitments. A row's leaf hides it behind a salt that only the dataset key gives, so
//! that a short row cannot be guessed from the tree; showing row and salt opens that leaf alone.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use licen_core::primitives::B256;
use licen_core::rows::row_leaf;

use crate::error::SealError;
use crate::key::DatasetKey;

const LABEL: &[u8] = b"LICEN/rows/v1";

/// Makes the salts of one dataset: salt_i = HKDF-SHA256(ikm = dataset key, salt = datasetUid,
/// info = "LICEN/rows/v1" ‖ u64be i), 32 bytes; i counts from 0.
pub struct RowSalts(Prk);

/// What opens one row's leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowOpening {
    /// The row's number, from 0.
    pub index: u64,
    /// Its salt.
    pub salt: B256,
    /// Its leaf under the rowsRoot.
    pub leaf: B256,
}

struct SaltLen;

impl KeyType for SaltLen {
    fn len(&self) -> usize {
        32
    }
}

impl RowSalts {
    /// Derives what all salts of a dataset come from.
    #[must_use]
    pub fn new(key: &DatasetKey, dataset_uid: &B256) -> Self {
        Self(Salt::new(HKDF_SHA256, dataset_uid.as_slice()).extract(key.0.bytes()))
    }

    /// The salt of row `index`.
    ///
    /// # Errors
    /// [`SealError::SecretKey`], which HKDF never gives for 32 bytes.
    pub fn salt(&self, index: u64) -> Result<B256, SealError> {
        let mut salt = B256::ZERO;
        self.0
            .expand(&[LABEL, &index.to_be_bytes()], SaltLen)
            .and_then(|okm| okm.fill(salt.as_mut_slice()))
            .map_err(|_| SealError::SecretKey)?;
        Ok(salt)
    }

    /// The leaf of row `index`, keccak256(keccak256(salt ‖ keccak256(row))).
    ///
    /// # Errors
    /// See [`Self::salt`].
    pub fn leaf(&self, index: u64, row: &[u8]) -> Result<B256, SealError> {
        Ok(row_leaf(&self.salt(index)?, row))
    }

    /// What shows a chosen row to everybody: for previews, and nothing about other rows.
    ///
    /// # Errors
    /// See [`Self::salt`].
    pub fn open(&self, index: u64, row: &[u8]) -> Result<RowOpening, SealError> {
        let salt = self.salt(index)?;
        Ok(RowOpening { index, salt, leaf: row_leaf(&salt, row) })
    }
}

/// The leaf of one row; see [`RowSalts`] for many.
///
/// # Errors
/// See [`RowSalts::salt`].
pub fn row_leaf_of(key: &DatasetKey, dataset_uid: &B256, index: u64, row: &[u8]) -> Result<B256, SealError> {
    RowSalts::new(key, dataset_uid).leaf(index, row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_differ_by_row_dataset_and_key() {
        let key = DatasetKey::import(&mut [1; 32]);
        let other = DatasetKey::import(&mut [2; 32]);
        let uid = B256::repeat_byte(3);
        let salts = RowSalts::new(&key, &uid);
        let first = salts.salt(0).unwrap();
        assert_ne!(first, salts.salt(1).unwrap());
        assert_ne!(first, RowSalts::new(&other, &uid).salt(0).unwrap());
        assert_ne!(first, RowSalts::new(&key, &B256::repeat_byte(4)).salt(0).unwrap());
        let opening = salts.open(0, b"{}").unwrap();
        assert_eq!(opening.leaf, row_leaf(&first, b"{}"));
        assert_eq!(opening.leaf, row_leaf_of(&key, &uid, 0, b"{}").unwrap());
        assert_ne!(opening.leaf, salts.leaf(0, b"{ }").unwrap());
    }
}
