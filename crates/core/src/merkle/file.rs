use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

use super::frontier::{Frontier, reduce};
use super::segment::{empty_root, root_of_leaves};
use super::{CHUNK_BYTES, Geometry, Hasher, MerkleError, SEGMENT_BYTES, SEGMENT_CHUNKS, Scalar};

/// A complete subtree of a file tree, as the 0G Flow contract takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmissionNode {
    pub height: u32,
    pub root: B256,
}

/// What one pass over a file yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTree {
    /// The file root: the name of these bytes.
    pub root: B256,
    /// One to four subtrees, highest first, that cover the padded chunks.
    pub nodes: Vec<SubmissionNode>,
    pub geometry: Geometry,
    /// Root of every padded segment, where the builder was asked for them.
    pub segment_roots: Option<Vec<B256>>,
}

impl FileTree {
    /// The second topic of the `Submit` event of 0G. It is *not* the file root (except, by accident,
    /// for two nodes); it only helps to find the event.
    pub fn submission_identity(&self) -> B256 {
        submission_identity(&self.nodes)
    }
}

/// keccak256 over the concatenated node roots.
pub fn submission_identity(nodes: &[SubmissionNode]) -> B256 {
    let roots: Vec<u8> = nodes.iter().flat_map(|node| node.root.0).collect();
    keccak256(roots)
}

/// Builds a [`FileTree`] from bytes that arrive in any slices, holding one segment.
#[derive(Clone, Debug)]
pub struct FileTreeBuilder<H = Scalar> {
    hasher: H,
    bytes: u64,
    /// The segment being filled; hashed and emptied as soon as it is full.
    pending: Vec<u8>,
    leaves: Box<[[u8; 32]]>,
    frontier: Frontier,
    segment_roots: Option<Vec<B256>>,
}

impl Default for FileTreeBuilder {
    fn default() -> Self {
        Self::new(Scalar)
    }
}

impl<H: Hasher> FileTreeBuilder<H> {
    pub fn new(hasher: H) -> Self {
        Self {
            hasher,
            bytes: 0,
            pending: Vec::new(),
            leaves: vec![[0; 32]; SEGMENT_CHUNKS].into_boxed_slice(),
            frontier: Frontier::default(),
            segment_roots: None,
        }
    }

    /// Also keeps the root of every segment (32 bytes per 256 KiB), for proofs and verified ranges.
    #[must_use]
    pub fn with_segment_roots(mut self) -> Self {
        self.segment_roots = Some(Vec::new());
        self
    }

    /// Bytes taken so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn update(&mut self, mut data: &[u8]) {
        self.bytes += data.len() as u64;
        if !self.pending.is_empty() {
            let (fill, rest) = data.split_at(data.len().min(SEGMENT_BYTES - self.pending.len()));
            self.pending.extend_from_slice(fill);
            data = rest;
            if self.pending.len() == SEGMENT_BYTES {
                let segment = core::mem::take(&mut self.pending);
                self.full_segment(&segment);
                self.pending = segment;
                self.pending.clear();
            }
        }
        let mut segments = data.chunks_exact(SEGMENT_BYTES);
        for segment in &mut segments {
            self.full_segment(segment);
        }
        self.pending.extend_from_slice(segments.remainder());
    }

    /// Hashes the rest, appends the padding, and closes the tree.
    pub fn finish(mut self) -> Result<FileTree, MerkleError> {
        let geometry = Geometry::new(self.bytes)?;
        let full = self.bytes / SEGMENT_BYTES as u64;
        if !self.pending.is_empty() {
            let leaves = geometry.segment_chunks(full) as usize;
            self.last_segment(leaves);
        }
        for index in geometry.data_segments()..geometry.padded_segments() {
            self.empty_segment(geometry.segment_chunks(index));
        }
        let root = self.frontier.root(&self.hasher).ok_or(MerkleError::Empty)?.into();
        let nodes = self.frontier.subtrees().iter();
        let nodes = nodes.map(|&(height, root)| SubmissionNode { height, root: root.into() });
        let nodes = nodes.collect();
        Ok(FileTree { root, nodes, geometry, segment_roots: self.segment_roots })
    }

    fn full_segment(&mut self, segment: &[u8]) {
        self.hasher.hash_chunks(segment, &mut self.leaves);
        let root = reduce(&self.hasher, &mut self.leaves);
        self.close_segment(SEGMENT_CHUNKS.ilog2(), root);
    }

    /// The last segment with data: zeros fill its last chunk, empty chunks the rest up to `leaves`.
    fn last_segment(&mut self, leaves: usize) {
        self.pending.resize(self.pending.len().next_multiple_of(CHUNK_BYTES), 0);
        let data = self.pending.len() / CHUNK_BYTES;
        self.hasher.hash_chunks(&self.pending, &mut self.leaves[..data]);
        self.leaves[data..leaves].fill(empty_root(1));
        if let Some(roots) = &mut self.segment_roots {
            roots.push(root_of_leaves(&self.hasher, &mut self.leaves[..leaves].to_vec()).into());
        }
        self.frontier.push_leaves(&self.hasher, &mut self.leaves[..leaves]);
    }

    fn empty_segment(&mut self, leaves: u64) {
        if leaves == SEGMENT_CHUNKS as u64 {
            self.close_segment(SEGMENT_CHUNKS.ilog2(), empty_root(leaves));
            return;
        }
        if let Some(roots) = &mut self.segment_roots {
            roots.push(empty_root(leaves).into());
        }
        self.leaves[..leaves as usize].fill(empty_root(1));
        self.frontier.push_leaves(&self.hasher, &mut self.leaves[..leaves as usize]);
    }

    fn close_segment(&mut self, height: u32, root: [u8; 32]) {
        if let Some(roots) = &mut self.segment_roots {
            roots.push(root.into());
        }
        self.frontier.push(&self.hasher, height, root);
    }
}

/// The tree of bytes that are already in memory, hashed one by one.
pub fn file_tree(data: &[u8]) -> Result<FileTree, MerkleError> {
    let mut builder = FileTreeBuilder::default();
    builder.update(data);
    builder.finish()
}
