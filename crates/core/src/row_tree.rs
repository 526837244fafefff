//! The tree that commits to a dataset's rows: SHA-256 in the Merkle tree of RFC 9162 §2.1, so that any
//! library of certificate transparency verifies a row.
//!
//! leaf = SHA-256(0x00 ‖ salt ‖ row), node = SHA-256(0x01 ‖ left ‖ right). The first byte keeps a row
//! from being read as a node; the salt, which only the dataset key gives (`seal::rows`), keeps a short
//! row from being guessed from its leaf. A tree does not say how many leaves it has: the number comes
//! from where the root comes from, never from the proof.

use alloc::vec::Vec;

use alloy_primitives::B256;
use sha2::{Digest, Sha256};

use crate::merkle::{path_to, sibling_range};

/// Why there is no root, or a row is not the one at its position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowProofError {
    /// A dataset without rows has no root.
    #[error("there are no rows")]
    Empty,
    /// The position does not exist.
    #[error("row {index} is outside of {count} rows")]
    OutOfRange {
        /// Position, from 0.
        index: u64,
        /// Rows there are.
        count: u64,
    },
    /// Too few or too many siblings for this position among so many rows.
    #[error("the proof has {actual} siblings, this position has {expected}")]
    Length {
        /// Siblings that the position has.
        expected: usize,
        /// Siblings that were given.
        actual: usize,
    },
    /// Row, salt, position or a sibling is another.
    #[error("the proof does not end in the root")]
    RootMismatch,
}

/// What is hashed: two parts as if they were one, the first shorter than 64 bytes.
pub type Message<'a> = (&'a [u8], &'a [u8]);

/// SHA-256 of many messages at once: a faster implementation plugs in here without `core` knowing it.
pub trait Hasher {
    /// `out[i]` = SHA-256(`messages[i]`). `messages.len() == out.len()`.
    fn hash_each(&self, messages: &[Message<'_>], out: &mut [B256]);
}

/// One hash after the other, on any machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scalar;

impl Hasher for Scalar {
    fn hash_each(&self, messages: &[Message<'_>], out: &mut [B256]) {
        assert_eq!(messages.len(), out.len());
        for ((first, second), out) in messages.iter().zip(out) {
            *out = B256::new(Sha256::new().chain_update(first).chain_update(second).finalize().into());
        }
    }
}

/// SHA-256(0x00 ‖ salt ‖ row).
#[must_use]
pub fn row_leaf(salt: &B256, row: &[u8]) -> B256 {
    let mut leaf = [B256::ZERO];
    row_leaves(&Scalar, &[*salt], &[row], &mut leaf);
    leaf[0]
}

/// The leaves of many rows, each as [`row_leaf`] makes it; all three have one length.
pub fn row_leaves(hasher: &impl Hasher, salts: &[B256], rows: &[&[u8]], leaves: &mut [B256]) {
    assert_eq!(salts.len(), rows.len());
    let mut starts = alloc::vec![[0; 33]; salts.len()];
    starts.iter_mut().zip(salts).for_each(|(start, salt)| start[1..].copy_from_slice(salt.as_slice()));
    let messages: Vec<Message<'_>> = starts.iter().zip(rows).map(|(start, row)| (&start[..], *row)).collect();
    hasher.hash_each(&messages, leaves);
}

/// SHA-256(0x01 ‖ left ‖ right).
fn node(left: &B256, right: &B256) -> B256 {
    let mut parent = [B256::ZERO];
    parents(&Scalar, &[*left, *right], &mut parent);
    parent[0]
}

/// `out[i]` = the node over `nodes[2i]` and `nodes[2i + 1]`.
fn parents(hasher: &impl Hasher, nodes: &[B256], out: &mut [B256]) {
    let inputs: Vec<[u8; 65]> = nodes
        .chunks_exact(2)
        .map(|pair| {
            let mut input = [1; 65];
            input[1..33].copy_from_slice(pair[0].as_slice());
            input[33..].copy_from_slice(pair[1].as_slice());
            input
        })
        .collect();
    let messages: Vec<Message<'_>> = inputs.iter().map(|input| (&[][..], &input[..])).collect();
    hasher.hash_each(&messages, out);
}

/// Leaves that are reduced together; a power of two.
const BATCH: usize = 256;

/// Builds the root over leaves that arrive one by one, in memory of one batch and one node for each power
/// of two.
#[derive(Debug, Clone)]
pub struct RowTreeBuilder<H> {
    hasher: H,
    count: u64,
    pending: Vec<B256>,
    /// The roots of the complete subtrees so far with their heights, largest first.
    subtrees: Vec<(u32, B256)>,
}

impl<H: Hasher> RowTreeBuilder<H> {
    /// No leaf yet.
    pub fn new(hasher: H) -> Self {
        Self { hasher, count: 0, pending: Vec::with_capacity(BATCH), subtrees: Vec::new() }
    }

    /// Appends the leaf of the next row.
    pub fn push(&mut self, leaf: B256) {
        self.count += 1;
        self.pending.push(leaf);
        if self.pending.len() == BATCH {
            self.flush();
        }
    }

    /// Leaves so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The root over all leaves.
    ///
    /// # Errors
    /// [`RowProofError::Empty`].
    pub fn finish(mut self) -> Result<B256, RowProofError> {
        self.flush();
        // A smaller subtree is the right sibling of everything before it.
        let roots = self.subtrees.iter().rev().map(|(_, root)| *root);
        roots.reduce(|right, left| node(&left, &right)).ok_or(RowProofError::Empty)
    }

    /// Whatever waits becomes subtrees, the largest first.
    fn flush(&mut self) {
        let mut leaves = core::mem::take(&mut self.pending);
        let mut rest = &mut leaves[..];
        while !rest.is_empty() {
            let height = rest.len().ilog2();
            let (subtree, more) = rest.split_at_mut(1 << height);
            let root = self.reduce(subtree);
            self.append(height, root);
            rest = more;
        }
        leaves.clear();
        self.pending = leaves;
    }

    /// The root over a power of two of leaves, level by level so that every level is one batch.
    fn reduce(&self, leaves: &mut [B256]) -> B256 {
        let mut above = [B256::ZERO; BATCH / 2];
        let mut width = leaves.len();
        while width > 1 {
            parents(&self.hasher, &leaves[..width], &mut above[..width / 2]);
            width /= 2;
            leaves[..width].copy_from_slice(&above[..width]);
        }
        leaves[0]
    }

    /// Puts a subtree behind everything so far. The leaves before it are a multiple of its own, so equal
    /// heights always meet as siblings.
    fn append(&mut self, mut height: u32, mut root: B256) {
        while let Some((_, left)) = self.subtrees.pop_if(|(top, _)| *top == height) {
            root = node(&left, &root);
            height += 1;
        }
        self.subtrees.push((height, root));
    }
}

/// The root over `leaves`. A single leaf is its own root.
///
/// # Errors
/// [`RowProofError::Empty`].
pub fn root(leaves: &[B256]) -> Result<B256, RowProofError> {
    let mut builder = RowTreeBuilder::new(Scalar);
    leaves.iter().for_each(|leaf| builder.push(*leaf));
    builder.finish()
}

/// The siblings of leaf `index`, from the bottom to the top.
///
/// # Errors
/// There is no such leaf.
pub fn prove(leaves: &[B256], index: u64) -> Result<Vec<B256>, RowProofError> {
    let count = leaves.len() as u64;
    if index >= count {
        return Err(RowProofError::OutOfRange { index, count });
    }
    let sibling = |depth| {
        let (first, end) = sibling_range(index, count, depth);
        root(&leaves[first as usize..end as usize])
    };
    (0..path_to(index, count).len()).map(sibling).collect()
}

/// Accepts `leaf` only as leaf `index` of the tree of exactly `count` leaves under `root`.
///
/// # Errors
/// See [`RowProofError`].
pub fn verify(index: u64, count: u64, leaf: B256, proof: &[B256], root: B256) -> Result<(), RowProofError> {
    if index >= count {
        return Err(RowProofError::OutOfRange { index, count });
    }
    let path = path_to(index, count);
    if proof.len() != path.len() {
        return Err(RowProofError::Length { expected: path.len(), actual: proof.len() });
    }
    let top = proof.iter().zip(path).fold(leaf, |below, (sibling, is_left)| match is_left {
        true => node(&below, sibling),
        false => node(sibling, &below),
    });
    if top == root { Ok(()) } else { Err(RowProofError::RootMismatch) }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// RFC 9162 §2.1.1 as it is written there, sharing nothing with the code above but the hash function.
    fn tree_hash(leaves: &[B256]) -> B256 {
        match leaves {
            [] => panic!("no leaves"),
            [leaf] => *leaf,
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(k);
                let mut input = alloc::vec![1];
                input.extend_from_slice(tree_hash(left).as_slice());
                input.extend_from_slice(tree_hash(right).as_slice());
                B256::from_slice(&Sha256::digest(&input))
            }
        }
    }

    /// A dataset of `count` rows: its leaves, salts and rows.
    fn dataset(count: u64) -> (Vec<B256>, Vec<B256>, Vec<Vec<u8>>) {
        let rows: Vec<Vec<u8>> =
            (0..count).map(|i| alloc::format!("{{\"text\":\"{i}\"}}").into_bytes()).collect();
        let salts: Vec<B256> =
            (0..count).map(|i| B256::from_slice(&Sha256::digest(i.to_be_bytes()))).collect();
        let leaves = salts.iter().zip(&rows).map(|(salt, row)| row_leaf(salt, row)).collect();
        (leaves, salts, rows)
    }

    #[test]
    fn every_size_has_the_root_of_the_rfc_and_proves_every_row() {
        for count in (1..70).chain([255, 256, 257, 300, 513]) {
            let (leaves, ..) = dataset(count);
            let top = root(&leaves).unwrap();
            assert_eq!(top, tree_hash(&leaves), "{count}");
            for (index, leaf) in (0..).zip(&leaves) {
                let proof = prove(&leaves, index).unwrap();
                assert_eq!(verify(index, count, *leaf, &proof, top), Ok(()), "{index} of {count}");
            }
        }
    }

    #[test]
    fn no_rows_have_no_root() {
        assert_eq!(root(&[]), Err(RowProofError::Empty));
        assert_eq!(prove(&[], 0), Err(RowProofError::OutOfRange { index: 0, count: 0 }));
        let nothing = verify(0, 0, B256::ZERO, &[], B256::ZERO);
        assert_eq!(nothing, Err(RowProofError::OutOfRange { index: 0, count: 0 }));
    }

    #[test]
    fn a_node_cannot_be_shown_as_a_row() {
        let (leaves, ..) = dataset(2);
        let top = root(&leaves).unwrap();
        // Without the first byte the two leaves, read as salt and row, would be a row of a dataset of one.
        assert_ne!(row_leaf(&leaves[0], leaves[1].as_slice()), top);
    }

    proptest! {
        #[test]
        fn every_changed_byte_of_what_is_shown_is_refused(
            count in 1_u64..300, at in any::<prop::sample::Index>(), flip in 1_u8..=255,
        ) {
            let (leaves, salts, rows) = dataset(count);
            let top = root(&leaves).unwrap();
            let index = at.index(count as usize);
            let (index, salt, row) = (index as u64, salts[index], &rows[index]);
            let proof = prove(&leaves, index).unwrap();
            let shown = |index: u64, salt: &[u8], row: &[u8], proof: &[u8], root: B256| {
                let proof: Vec<B256> = proof.chunks_exact(32).map(B256::from_slice).collect();
                verify(index, count, row_leaf(&B256::from_slice(salt), row), &proof, root)
            };
            let flat: Vec<u8> = proof.iter().flat_map(|node| node.0).collect();
            prop_assert_eq!(shown(index, salt.as_slice(), row, &flat, top), Ok(()));

            let changes = |bytes: &[u8]| -> Vec<Vec<u8>> {
                let mut all: Vec<Vec<u8>> = alloc::vec![bytes.to_vec(); bytes.len()];
                all.iter_mut().enumerate().for_each(|(i, changed)| changed[i] ^= flip);
                all
            };
            for changed in changes(row) {
                prop_assert!(shown(index, salt.as_slice(), &changed, &flat, top).is_err());
            }
            for changed in changes(salt.as_slice()) {
                prop_assert!(shown(index, &changed, row, &flat, top).is_err());
            }
            for changed in changes(&flat) {
                prop_assert!(shown(index, salt.as_slice(), row, &changed, top).is_err());
            }
            for changed in changes(top.as_slice()) {
                prop_assert!(shown(index, salt.as_slice(), row, &flat, B256::from_slice(&changed)).is_err());
            }
            for changed in changes(&index.to_be_bytes()) {
                let index = u64::from_be_bytes(changed.try_into().unwrap());
                prop_assert!(shown(index, salt.as_slice(), row, &flat, top).is_err());
            }
            let longer = [&flat[..], top.as_slice()].concat();
            prop_assert!(shown(index, salt.as_slice(), row, &longer, top).is_err());
            if let Some((_, shorter)) = flat.split_first_chunk::<32>() {
                prop_assert!(shown(index, salt.as_slice(), row, shorter, top).is_err());
            }
        }

        /// A path is the same in trees of several sizes, as in every tree of RFC 9162: why the number of
        /// rows must come from where the root comes from.
        #[test]
        fn another_count_is_refused_where_the_path_is_another(
            count in 1_u64..300, at in any::<prop::sample::Index>(), other in 0_u64..600,
        ) {
            let (leaves, ..) = dataset(count);
            let index = at.index(count as usize) as u64;
            let (leaf, proof) = (leaves[index as usize], prove(&leaves, index).unwrap());
            let accepted = verify(index, other, leaf, &proof, root(&leaves).unwrap()).is_ok();
            prop_assert_eq!(accepted, index < other && path_to(index, other) == path_to(index, count));
        }
    }
}
