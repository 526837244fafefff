//! The commitment to a dataset's rows. A row's leaf hides it behind a salt that only the dataset key
//! gives, so that a short row cannot be guessed from the tree; showing row and salt opens that leaf
//! alone. Owner and compute compute the same root with the same code.

use aws_lc_rs::hmac::{self, Context, HMAC_SHA256, Key};
use licen_core::merkle::{Hasher, RootBuilder};
use licen_core::primitives::B256;
use licen_core::rows::{RowError, RowScanner, row_leaf, row_leaves};
use zeroize::Zeroizing;

use crate::key::DatasetKey;

const LABEL: &[u8] = b"LICEN/rows/v1";
/// Bytes of rows that wait to be hashed together, at most.
const BATCH_BYTES: usize = 256 * 1024;

/// Makes the salts of one dataset: salt_i = HKDF-SHA256(ikm = dataset key, salt = datasetUid,
/// info = "LICEN/rows/v1" ‖ u64be i), 32 bytes; i counts from 0.
pub struct RowSalts(Key);

impl RowSalts {
    /// Derives what all salts of a dataset come from.
    #[must_use]
    pub fn new(key: &DatasetKey, dataset_uid: &B256) -> Self {
        // HKDF of RFC 5869 by its two HMACs: the key of the second is set up once, not once a row.
        let prk = hmac::sign(&Key::new(HMAC_SHA256, dataset_uid.as_slice()), key.0.bytes());
        Self(Key::new(HMAC_SHA256, prk.as_ref()))
    }

    /// The salt of row `index`.
    #[must_use]
    pub fn salt(&self, index: u64) -> B256 {
        let mut expand = Context::with_key(&self.0);
        expand.update(LABEL);
        expand.update(&index.to_be_bytes());
        expand.update(&[1]);
        B256::from_slice(expand.sign().as_ref())
    }

    /// The leaf of row `index`, keccak256(keccak256(salt ‖ keccak256(row))).
    #[must_use]
    pub fn leaf(&self, index: u64, row: &[u8]) -> B256 {
        row_leaf(&self.salt(index), row)
    }
}

/// Commits to rows as they pass. They wait in batches, because many are hashed at once several times
/// faster than one by one.
pub struct RowCommitter<H: Hasher> {
    salts: RowSalts,
    hasher: H,
    root: RootBuilder<H>,
    /// Rows that wait, one behind the other, and where each ends. Never grows, so that no copy of a
    /// row stays behind.
    text: Zeroizing<Vec<u8>>,
    ends: Vec<usize>,
    /// Rows that have their leaf.
    done: u64,
    kept: Vec<B256>,
    keep: usize,
}

impl<H: Hasher + Copy> RowCommitter<H> {
    /// No row yet. The first `keep` leaves are kept for proofs.
    pub fn new(salts: RowSalts, hasher: H, keep: usize) -> Self {
        Self {
            salts,
            hasher,
            root: RootBuilder::new(hasher),
            text: Zeroizing::new(Vec::with_capacity(BATCH_BYTES)),
            ends: Vec::new(),
            done: 0,
            kept: Vec::new(),
            keep,
        }
    }

    /// Takes the next row.
    pub fn push(&mut self, row: &[u8]) {
        if self.text.len() + row.len() > BATCH_BYTES {
            self.flush();
        }
        if row.len() > BATCH_BYTES {
            return self.leaf(self.salts.leaf(self.done, row));
        }
        self.text.extend_from_slice(row);
        self.ends.push(self.text.len());
    }

    fn leaf(&mut self, leaf: B256) {
        self.root.push(leaf);
        self.done += 1;
        if self.kept.len() < self.keep {
            self.kept.push(leaf);
        }
    }

    fn flush(&mut self) {
        let salts: Vec<B256> = (self.done..).take(self.ends.len()).map(|i| self.salts.salt(i)).collect();
        let mut start = 0;
        let rows: Vec<&[u8]> =
            self.ends.iter().map(|end| &self.text[std::mem::replace(&mut start, *end)..*end]).collect();
        for leaf in row_leaves(&self.hasher, &salts, &rows) {
            self.leaf(leaf);
        }
        self.text.clear();
        self.ends.clear();
    }

    /// The root over all rows, and the leaves that were kept.
    ///
    /// # Errors
    /// [`RowError::Empty`].
    pub fn finish(mut self) -> Result<(B256, Vec<B256>), RowError> {
        self.flush();
        let root = self.root.finish().map_err(|_| RowError::Empty)?;
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
pub fn commit<H: Hasher + Copy>(salts: RowSalts, hasher: H, text: &[u8]) -> Result<RowsCommitment, RowError> {
    let mut rows = RowCommitter::new(salts, hasher, 0);
    let mut sink = |_, row: &[u8]| {
        rows.push(row);
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
    use licen_core::merkle::{Scalar, tree_root};

    fn key(byte: u8) -> DatasetKey {
        DatasetKey::import(&mut [byte; 32])
    }

    #[test]
    fn salts_differ_by_row_dataset_and_key() {
        let uid = B256::repeat_byte(3);
        let salts = RowSalts::new(&key(1), &uid);
        let first = salts.salt(0);
        assert_ne!(first, salts.salt(1));
        assert_ne!(first, RowSalts::new(&key(2), &uid).salt(0));
        assert_ne!(first, RowSalts::new(&key(1), &B256::repeat_byte(4)).salt(0));
        assert_eq!(salts.leaf(0, b"{}"), row_leaf(&first, b"{}"));
        assert_ne!(salts.leaf(0, b"{}"), salts.leaf(0, b"{ }"));
    }

    #[test]
    fn batches_do_not_change_the_root() {
        let (key, uid) = (key(1), B256::repeat_byte(1));
        let mut rows: Vec<Vec<u8>> = (0..700_usize).map(|i| vec![b'x'; 1 + (i * 37) % 3_000]).collect();
        rows.insert(300, vec![b'y'; BATCH_BYTES + 1]);
        rows.insert(400, vec![b'z'; BATCH_BYTES]);
        let salts = RowSalts::new(&key, &uid);
        let one_by_one: Vec<B256> = (0..).zip(&rows).map(|(i, row)| salts.leaf(i, row)).collect();
        let mut rows_so_far = RowCommitter::new(salts, Scalar, 350);
        for row in &rows {
            rows_so_far.push(row);
        }
        assert!(rows_so_far.done > 0 && !rows_so_far.ends.is_empty(), "some are done, some wait");
        assert_eq!(rows_so_far.text.capacity(), BATCH_BYTES);
        let (root, kept) = rows_so_far.finish().unwrap();
        assert_eq!(root, tree_root(&one_by_one).unwrap());
        assert_eq!(kept, one_by_one[..350]);
    }

    #[test]
    fn a_file_is_its_rows() {
        let (key, uid) = (key(1), B256::repeat_byte(1));
        let text = b"{\"a\":1}\n\n{\"b\":2}";
        let done = commit(RowSalts::new(&key, &uid), Scalar, text).unwrap();
        let salts = RowSalts::new(&key, &uid);
        let leaves = [salts.leaf(0, b"{\"a\":1}"), salts.leaf(1, b"{\"b\":2}")];
        let rows_root = tree_root(&leaves).unwrap();
        assert_eq!(done, RowsCommitment { rows_root, row_count: 2, byte_count: 16 });
        assert_eq!(commit(salts, Scalar, b"\n"), Err(RowError::Empty));
    }
}
