//! Merkle trees by Keccak-256: the 0G file tree that names every blob, and the plain binary tree that
//! commits to receipts. Rows have a tree of their own ([`crate::row_tree`]).
//!
//! A file is cut into *chunks* of 256 bytes (the last one filled with zeros), chunks are grouped in
//! *segments* of 1024, and the number of chunks is padded with empty ones to a coarse size
//! ([`Geometry`]). The tree over the padded chunks gives the *file root*. One streaming pass
//! ([`FileTreeBuilder`]) also yields the *submission nodes* that the 0G Flow contract takes, because
//! they are subtrees of the same tree.
//!
//! Both trees have one shape: the left subtree holds the largest power of two of leaves that is
//! smaller than their number. Nodes carry no domain separation (0G has none), so:
//!
//! - a file root does not say how long the file is: trailing zeros inside the padding change
//!   nothing. Whoever needs the length must learn it from elsewhere and compare;
//! - leaves of [`tree_root`] must be hashes of something that is never 64 bytes of two nodes, which
//!   is why receipts hash theirs twice.
//!
//! Both official 0G verifiers accept a forged proof for segment 0 (a lemma of one element skips
//! their root comparison). [`SegmentProof::verify`] derives the one possible path from the
//! position, so a proof of any other shape is refused before anything is hashed.

mod binary;
mod file;
mod frontier;
mod geometry;
mod hasher;
mod segment;
#[cfg(test)]
mod tests;

pub use binary::{RootBuilder, prove, tree_root, verify};
pub(crate) use binary::{path_to, sibling_range};
pub use file::{FileTree, FileTreeBuilder, SubmissionNode, file_tree, submission_identity};
pub use geometry::Geometry;
pub use hasher::{Hasher, Scalar};
pub use segment::{SegmentProof, fold_segment_roots, segment_root};

/// Bytes in one leaf of a file tree (0G: chunk, sector or entry).
pub const CHUNK_BYTES: usize = 256;
/// Chunks in one segment, the unit of transfer and of proofs.
pub const SEGMENT_CHUNKS: usize = 1024;
/// Bytes in one full segment.
pub const SEGMENT_BYTES: usize = CHUNK_BYTES * SEGMENT_CHUNKS;

/// Why a tree could not be built or a proof was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    #[error("nothing to hash: a tree needs at least one byte or leaf")]
    Empty,
    #[error("{bytes} bytes are more than a file tree can hold")]
    TooLong { bytes: u64 },
    #[error("position {index} is outside a tree of {count}")]
    OutOfRange { index: u64, count: u64 },
    #[error("segment {index} must be {expected} bytes, not {actual}")]
    SegmentLength { index: u64, expected: u64, actual: u64 },
    #[error("the number of segment roots is {actual}, a file of this size has {expected}")]
    SegmentCount { expected: u64, actual: u64 },
    #[error("the proof does not have the only shape possible for its position")]
    ProofShape,
    #[error("the proof is for other bytes")]
    LeafMismatch,
    #[error("the proof does not end in the expected file root")]
    RootMismatch,
    #[error("the padding behind the file is not empty")]
    PaddingNotEmpty,
}
