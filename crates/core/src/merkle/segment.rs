use alloc::vec;
use alloc::vec::Vec;

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

use super::binary::{path_to, sibling_range};
use super::frontier::Frontier;
use super::hasher::hash_pair;
use super::{CHUNK_BYTES, Geometry, Hasher, MerkleError, SEGMENT_CHUNKS, Scalar, prove, tree_root};

/// Proof that a segment stands at a position of a file, in the JSON shape of the 0G nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentProof {
    /// Segment root, siblings from the bottom to the top, file root. The file root alone where the
    /// file has one segment.
    pub lemma: Vec<B256>,
    /// From the bottom to the top: whether the node on the way is a left child.
    pub path: Vec<bool>,
}

impl SegmentProof {
    /// Proves segment `index` given the roots of all padded segments.
    pub fn create(segment_roots: &[B256], index: u64) -> Result<Self, MerkleError> {
        let count = segment_roots.len() as u64;
        let siblings = prove(segment_roots, index)?;
        let root = tree_root(segment_roots)?;
        if siblings.is_empty() {
            return Ok(Self { lemma: vec![root], path: vec![] });
        }
        let mut lemma = vec![segment_roots[index as usize]];
        lemma.extend(siblings);
        lemma.push(root);
        Ok(Self { lemma, path: path_to(index, count) })
    }

    /// Accepts `segment` only if it is segment `index` of the one file of this length and file root.
    pub fn verify<H: Hasher>(
        &self,
        hasher: &H,
        file_root: B256,
        geometry: &Geometry,
        index: u64,
        segment: &[u8],
    ) -> Result<(), MerkleError> {
        if index >= geometry.data_segments() {
            return Err(MerkleError::OutOfRange { index, count: geometry.data_segments() });
        }
        let leaf = segment_root(hasher, geometry, index, segment)?;
        self.verify_root(file_root, geometry, index, leaf)
    }

    /// The same for a segment whose root is known; `index` may be a segment of padding.
    pub fn verify_root(
        &self,
        file_root: B256,
        geometry: &Geometry,
        index: u64,
        segment_root: B256,
    ) -> Result<(), MerkleError> {
        let count = geometry.padded_segments();
        if index >= count {
            return Err(MerkleError::OutOfRange { index, count });
        }
        // The path follows from the position alone. Comparing it first also fixes the length of the
        // lemma, so no shorter proof can skip a comparison below.
        if self.path != path_to(index, count) {
            return Err(MerkleError::ProofShape);
        }
        let lemma_len = if count == 1 { 1 } else { self.path.len() + 2 };
        if self.lemma.len() != lemma_len {
            return Err(MerkleError::ProofShape);
        }
        if self.lemma[0] != segment_root {
            return Err(MerkleError::LeafMismatch);
        }
        if self.lemma[lemma_len - 1] != file_root {
            return Err(MerkleError::RootMismatch);
        }
        let mut node = segment_root.0;
        for (sibling, is_left) in self.lemma[1..].iter().zip(&self.path) {
            node = match is_left {
                true => hash_pair(&Scalar, &node, &sibling.0),
                false => hash_pair(&Scalar, &sibling.0, &node),
            };
        }
        if node != file_root.0 {
            return Err(MerkleError::RootMismatch);
        }
        self.verify_padding(geometry, index, segment_root)
    }

    /// Whatever lies wholly behind the file must be the hash of empty chunks: otherwise the root
    /// belongs to a longer file and the length we were told is wrong.
    fn verify_padding(&self, geometry: &Geometry, index: u64, leaf: B256) -> Result<(), MerkleError> {
        let count = geometry.padded_segments();
        let expect = |first: u64, end: u64, node: B256| {
            if first < geometry.data_segments() {
                return Ok(());
            }
            let end_chunk = (end * SEGMENT_CHUNKS as u64).min(geometry.padded_chunks());
            match empty_root(end_chunk - first * SEGMENT_CHUNKS as u64) == node.0 {
                true => Ok(()),
                false => Err(MerkleError::PaddingNotEmpty),
            }
        };
        expect(index, index + 1, leaf)?;
        for depth in 0..self.path.len() {
            let (first, end) = sibling_range(index, count, depth);
            expect(first, end, self.lemma[depth + 1])?;
        }
        Ok(())
    }
}

/// Root of segment `index` of a file from the file's bytes in it (no padding of any kind).
pub fn segment_root<H: Hasher>(
    hasher: &H,
    geometry: &Geometry,
    index: u64,
    segment: &[u8],
) -> Result<B256, MerkleError> {
    let expected = geometry.segment_bytes(index);
    let actual = segment.len() as u64;
    if expected != actual || expected == 0 {
        return Err(MerkleError::SegmentLength { index, expected, actual });
    }
    let mut leaves = vec![empty_root(1); geometry.segment_chunks(index) as usize];
    let (whole, tail) = segment.split_at(segment.len() / CHUNK_BYTES * CHUNK_BYTES);
    let whole_chunks = whole.len() / CHUNK_BYTES;
    hasher.hash_chunks(whole, &mut leaves[..whole_chunks]);
    if !tail.is_empty() {
        let mut chunk = [0; CHUNK_BYTES];
        chunk[..tail.len()].copy_from_slice(tail);
        leaves[whole_chunks] = keccak256(chunk).0;
    }
    Ok(root_of_leaves(hasher, &mut leaves).into())
}

/// The file root over the roots of all padded segments. The count must be the one that the length
/// demands; that the roots match the padding is for whoever compares the result.
pub fn fold_segment_roots<H: Hasher>(
    hasher: H,
    geometry: &Geometry,
    segment_roots: &[B256],
) -> Result<B256, MerkleError> {
    let (expected, actual) = (geometry.padded_segments(), segment_roots.len() as u64);
    if expected != actual {
        return Err(MerkleError::SegmentCount { expected, actual });
    }
    let mut builder = super::RootBuilder::new(hasher);
    segment_roots.iter().for_each(|root| builder.push(*root));
    builder.finish()
}

/// Root over at most a segment of leaves. Destroys `leaves`, which must not be empty.
pub(super) fn root_of_leaves<H: Hasher>(hasher: &H, leaves: &mut [[u8; 32]]) -> [u8; 32] {
    let mut frontier = Frontier::default();
    frontier.push_leaves(hasher, leaves);
    frontier.root(hasher).expect("a segment has at least one leaf")
}

/// Root over `count` > 0 empty chunks.
pub(super) fn empty_root(count: u64) -> [u8; 32] {
    let mut subtree = EMPTY_CHUNK;
    let mut root: Option<[u8; 32]> = None;
    for height in 0..=count.ilog2() {
        if count >> height & 1 == 1 {
            root = Some(root.map_or(subtree, |right| hash_pair(&Scalar, &subtree, &right)));
        }
        subtree = hash_pair(&Scalar, &subtree, &subtree);
    }
    root.expect("count is not zero")
}

/// keccak256 of 256 zero bytes.
const EMPTY_CHUNK: [u8; 32] = [
    0xd3, 0x97, 0xb3, 0xb0, 0x43, 0xd8, 0x7f, 0xcd, 0x6f, 0xad, 0x12, 0x91, 0xff, 0x0b, 0xfd, 0x16, 0x40,
    0x1c, 0x27, 0x48, 0x96, 0xd8, 0xc6, 0x3a, 0x92, 0x37, 0x27, 0xf0, 0x77, 0xb8, 0xe0, 0xb5,
];
