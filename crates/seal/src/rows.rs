//! The commitment to a dataset's rows. A row's leaf hides it behind a salt that only the dataset key
//! gives, so that a short row cannot be guessed from the tree; showing row and salt opens that leaf
//! alone. Owner and compute compute the same root with the same code.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use licen_core::primitives::B256;
use licen_core::row_tree::{Hasher, Message, RowTreeBuilder, row_leaf, row_leaves};
use licen_core::rows::{RowError, RowScanner};
use zeroize::Zeroizing;

use crate::key::DatasetKey;
use crate::secret::Secret;
use crate::sha256::Sha256;

const LABEL: &[u8] = b"LICEN/rows/v2";
/// rowsKey ‖ u64be index.
const SALT_INPUT_BYTES: usize = 40;

/// What all salts of one dataset come from: HKDF-SHA256(ikm = dataset key, salt = datasetUid, info =
/// "LICEN/rows/v2"), 32 bytes. With it every row could be guessed from its leaf, so it is as secret as
/// the rows; it does not give the dataset key.
pub struct RowsKey(pub(crate) Secret);

impl RowsKey {
    /// Derives the rows key of a dataset.
    #[must_use]
    pub fn derive(key: &DatasetKey, dataset_uid: &B256) -> Self {
        let mut rows_key = Secret::zero();
        Salt::new(HKDF_SHA256, dataset_uid.as_slice())
            .extract(key.0.bytes())
            .expand(&[LABEL], HKDF_SHA256)
            .and_then(|okm| okm.fill(rows_key.bytes_mut()))
            .expect("32 bytes are one block of HKDF-SHA256");
        Self(rows_key)
    }

    /// SHA-256(rowsKey ‖ u64be index), the salt of row `index`; rows count from 0.
    #[must_use]
    pub fn salt(&self, index: u64) -> B256 {
        let mut input = Zeroizing::new([0; SALT_INPUT_BYTES]);
        self.salt_input(index, &mut input);
        B256::from_slice(digest(&SHA256, input.as_slice()).as_ref())
    }

    /// The salts of rows `first` and up, as many as `salts` has room for.
    fn salts(&self, hasher: &impl Hasher, first: u64, salts: &mut [B256]) {
        let mut inputs = Zeroizing::new(vec![[0; SALT_INPUT_BYTES]; salts.len()]);
        (first..).zip(inputs.iter_mut()).for_each(|(index, input)| self.salt_input(index, input));
        let messages: Vec<Message<'_>> = inputs.iter().map(|input| (&[][..], &input[..])).collect();
        hasher.hash_each(&messages, salts);
    }

    fn salt_input(&self, index: u64, input: &mut [u8; SALT_INPUT_BYTES]) {
        input[..32].copy_from_slice(self.0.bytes());
        input[32..].copy_from_slice(&index.to_be_bytes());
    }

    /// The leaf of row `index`, SHA-256(0x00 ‖ salt ‖ row).
    #[must_use]
    pub fn leaf(&self, index: u64, row: &[u8]) -> B256 {
        row_leaf(&self.salt(index), row)
    }
}

/// Commits to rows as they pass, without copying any.
pub struct RowCommitter {
    key: RowsKey,
    hasher: Sha256,
    tree: RowTreeBuilder<Sha256>,
    kept: Vec<B256>,
    keep: usize,
}

impl RowCommitter {
    /// No row yet. The first `keep` leaves are kept for proofs.
    #[must_use]
    pub fn new(key: RowsKey, keep: usize) -> Self {
        let hasher = Sha256::detect();
        Self { key, hasher, tree: RowTreeBuilder::new(hasher), kept: Vec::new(), keep }
    }

    /// Takes the next rows.
    pub fn push(&mut self, rows: &[&[u8]]) {
        let mut salts = vec![B256::ZERO; rows.len()];
        let mut leaves = vec![B256::ZERO; rows.len()];
        self.key.salts(&self.hasher, self.tree.count(), &mut salts);
        row_leaves(&self.hasher, &salts, rows, &mut leaves);
        leaves.iter().for_each(|leaf| self.tree.push(*leaf));
        self.kept.extend(leaves.iter().take(self.keep - self.kept.len()));
    }

    /// The salt of row `index`, for showing that row.
    #[must_use]
    pub fn salt(&self, index: u64) -> B256 {
        self.key.salt(index)
    }

    /// The root over all rows, and the leaves that were kept.
    ///
    /// # Errors
    /// [`RowError::Empty`].
    pub fn finish(self) -> Result<(B256, Vec<B256>), RowError> {
        let root = self.tree.finish().map_err(|_| RowError::Empty)?;
        Ok((root, self.kept))
    }
}

/// What an owner publishes about the rows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsCommitment {
    /// Root over the salted leaves.
    pub rows_root: B256,
    /// Rows.
    pub row_count: u64,
    /// Bytes of the file.
    pub byte_count: u64,
}

/// Commits to a whole file of JSON Lines.
///
/// # Errors
/// The first line that is not a row, or none is.
pub fn commit(key: RowsKey, text: &[u8]) -> Result<RowsCommitment, RowError> {
    let mut rows = RowCommitter::new(key, 0);
    let mut sink = |_, batch: &[&[u8]]| {
        rows.push(batch);
        Ok::<(), RowError>(())
    };
    let mut scanner = RowScanner::default();
    scanner.feed(text, &mut sink)?;
    let (row_count, byte_count) = scanner.finish(&mut sink)?;
    let (rows_root, _) = rows.finish()?;
    Ok(RowsCommitment { rows_root, row_count, byte_count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use licen_core::row_tree::root;

    fn rows_key(byte: u8, uid: u8) -> RowsKey {
        RowsKey::derive(&DatasetKey::import(&mut [byte; 32]), &B256::repeat_byte(uid))
    }

    #[test]
    fn salts_differ_by_row_dataset_and_key() {
        let key = rows_key(1, 3);
        let first = key.salt(0);
        assert_ne!(first, key.salt(1));
        assert_ne!(first, rows_key(2, 3).salt(0));
        assert_ne!(first, rows_key(1, 4).salt(0));
        assert_eq!(key.leaf(0, b"{}"), row_leaf(&first, b"{}"));
        assert_ne!(key.leaf(0, b"{}"), key.leaf(0, b"{ }"));
    }

    #[test]
    fn the_first_leaves_are_kept() {
        let rows: Vec<Vec<u8>> = (0..700_usize).map(|i| vec![b'x'; 1 + (i * 37) % 3_000]).collect();
        let key = rows_key(1, 1);
        let leaves: Vec<B256> = (0..).zip(&rows).map(|(i, row)| key.leaf(i, row)).collect();
        let mut rows_so_far = RowCommitter::new(key, 350);
        let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
        let (some, more) = rows.split_at(1);
        rows_so_far.push(some);
        more.chunks(64).for_each(|batch| rows_so_far.push(batch));
        let (found, kept) = rows_so_far.finish().unwrap();
        assert_eq!(found, root(&leaves).unwrap());
        assert_eq!(kept, leaves[..350]);
    }

    #[test]
    fn a_file_is_its_rows() {
        let text = b"{\"a\":1}\n\n{\"b\":2}";
        let done = commit(rows_key(1, 1), text).unwrap();
        let key = rows_key(1, 1);
        let leaves = [key.leaf(0, b"{\"a\":1}"), key.leaf(1, b"{\"b\":2}")];
        let rows_root = root(&leaves).unwrap();
        assert_eq!(done, RowsCommitment { rows_root, row_count: 2, byte_count: 16 });
        assert_eq!(commit(key, b"\n"), Err(RowError::Empty));
    }
}
