use alloc::vec;
use alloc::vec::Vec;

use super::hasher::{Hasher, hash_pair};

/// Leaves that are reduced together. A power of two, so every batch but the last is one subtree.
pub(super) const BATCH: usize = super::SEGMENT_CHUNKS;

/// The roots of the complete subtrees seen so far, heights strictly descending: the binary
/// decomposition of the number of leaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Frontier {
    subtrees: Vec<(u32, [u8; 32])>,
}

impl Frontier {
    /// Appends a complete subtree behind everything pushed before.
    ///
    /// Invariant: the leaves before it are a multiple of its own size, so equal heights always meet
    /// as siblings.
    pub(super) fn push<H: Hasher>(&mut self, hasher: &H, mut height: u32, mut root: [u8; 32]) {
        while let Some(&(top, left)) = self.subtrees.last()
            && top == height
        {
            self.subtrees.pop();
            root = hash_pair(hasher, &left, &root);
            height += 1;
        }
        debug_assert!(self.subtrees.last().is_none_or(|&(top, _)| top > height));
        self.subtrees.push((height, root));
    }

    /// Appends at most [`BATCH`] leaves, largest subtree first. Destroys `leaves`.
    pub(super) fn push_leaves<H: Hasher>(&mut self, hasher: &H, mut leaves: &mut [[u8; 32]]) {
        while !leaves.is_empty() {
            let height = leaves.len().ilog2();
            let (block, rest) = leaves.split_at_mut(1 << height);
            self.push(hasher, height, reduce(hasher, block));
            leaves = rest;
        }
    }

    /// Folds from the right: a smaller subtree is the right sibling of everything before it.
    pub(super) fn root<H: Hasher>(&self, hasher: &H) -> Option<[u8; 32]> {
        let (&(_, last), before) = self.subtrees.split_last()?;
        Some(before.iter().rev().fold(last, |right, (_, left)| hash_pair(hasher, left, &right)))
    }

    pub(super) fn subtrees(&self) -> &[(u32, [u8; 32])] {
        &self.subtrees
    }
}

/// The root over a power of two of leaves, level by level so that every level is one batch.
pub(super) fn reduce<H: Hasher>(hasher: &H, leaves: &mut [[u8; 32]]) -> [u8; 32] {
    assert!(leaves.len().is_power_of_two());
    let mut scratch = vec![[0; 32]; leaves.len() / 2];
    let mut width = leaves.len();
    while width > 1 {
        let half = width / 2;
        hasher.hash_pairs(&leaves[..width], &mut scratch[..half]);
        leaves[..half].copy_from_slice(&scratch[..half]);
        width = half;
    }
    leaves[0]
}
