use alloc::vec::Vec;

use alloy_primitives::B256;

use super::frontier::{BATCH, Frontier};
use super::hasher::hash_pair;
use super::{Hasher, MerkleError, Scalar};

/// Builds the root over leaves that arrive one by one, holding one batch of them.
#[derive(Clone, Debug)]
pub struct RootBuilder<H = Scalar> {
    hasher: H,
    count: u64,
    pending: Vec<[u8; 32]>,
    frontier: Frontier,
}

impl Default for RootBuilder {
    fn default() -> Self {
        Self::new(Scalar)
    }
}

impl<H: Hasher> RootBuilder<H> {
    pub fn new(hasher: H) -> Self {
        Self { hasher, count: 0, pending: Vec::new(), frontier: Frontier::default() }
    }

    /// Leaves pushed so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn push(&mut self, leaf: B256) {
        self.count += 1;
        self.pending.push(leaf.0);
        if self.pending.len() == BATCH {
            self.flush();
        }
    }

    pub fn finish(mut self) -> Result<B256, MerkleError> {
        self.flush();
        self.frontier.root(&self.hasher).map(B256::from).ok_or(MerkleError::Empty)
    }

    fn flush(&mut self) {
        self.frontier.push_leaves(&self.hasher, &mut self.pending);
        self.pending.clear();
    }
}

/// Root over `leaves`. A single leaf is its own root.
pub fn tree_root(leaves: &[B256]) -> Result<B256, MerkleError> {
    let mut builder = RootBuilder::default();
    leaves.iter().for_each(|leaf| builder.push(*leaf));
    builder.finish()
}

/// Siblings of leaf `index`, from the bottom to the top.
pub fn prove(leaves: &[B256], index: u64) -> Result<Vec<B256>, MerkleError> {
    let count = leaves.len() as u64;
    if index >= count {
        return Err(MerkleError::OutOfRange { index, count });
    }
    let depth = path_to(index, count).len();
    let sibling = |depth| {
        let (first, end) = sibling_range(index, count, depth);
        tree_root(&leaves[first as usize..end as usize])
    };
    (0..depth).map(sibling).collect()
}

/// Accepts `leaf` only at position `index` of a tree of exactly `count` leaves with this root. The
/// count must come from where the root comes from: a tree alone does not commit to it.
pub fn verify(index: u64, count: u64, leaf: B256, proof: &[B256], root: B256) -> Result<(), MerkleError> {
    if index >= count {
        return Err(MerkleError::OutOfRange { index, count });
    }
    let path = path_to(index, count);
    if proof.len() != path.len() {
        return Err(MerkleError::ProofShape);
    }
    let node = proof.iter().zip(path).fold(leaf.0, |node, (sibling, is_left)| match is_left {
        true => hash_pair(&Scalar, &node, &sibling.0),
        false => hash_pair(&Scalar, &sibling.0, &node),
    });
    if node == root.0 { Ok(()) } else { Err(MerkleError::RootMismatch) }
}

/// The way from leaf `index` up to the root: whether the node on it is a left child.
pub(crate) fn path_to(index: u64, count: u64) -> Vec<bool> {
    let mut path: Vec<bool> = Descent::new(index, count).map(|step| step.is_left).collect();
    path.reverse();
    path
}

/// Leaves `first..end` under the sibling met `depth` levels above leaf `index`.
pub(crate) fn sibling_range(index: u64, count: u64, depth: usize) -> (u64, u64) {
    let steps: Vec<Step> = Descent::new(index, count).collect();
    steps[steps.len() - 1 - depth].sibling
}

struct Step {
    is_left: bool,
    sibling: (u64, u64),
}

/// Walks from the root of `first..end` down to `index`, splitting at the largest power of two that
/// is smaller than the number of leaves.
struct Descent {
    index: u64,
    first: u64,
    end: u64,
}

impl Descent {
    fn new(index: u64, count: u64) -> Self {
        debug_assert!(index < count);
        Self { index, first: 0, end: count }
    }
}

impl Iterator for Descent {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let count = self.end - self.first;
        if count <= 1 {
            return None;
        }
        let middle = self.first + (1 << (count - 1).ilog2());
        let is_left = self.index < middle;
        let sibling = if is_left { (middle, self.end) } else { (self.first, middle) };
        (self.first, self.end) = if is_left { (self.first, middle) } else { (middle, self.end) };
        Some(Step { is_left, sibling })
    }
}
