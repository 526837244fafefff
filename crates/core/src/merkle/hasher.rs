use alloy_primitives::keccak256;

use super::CHUNK_BYTES;

/// Keccak-256 over many inputs at once: a multi-lane implementation plugs in here without `core`
/// knowing about it.
pub trait Hasher {
    /// `out[i]` = keccak256 of the i-th 256 bytes. `chunks.len() == 256 * out.len()`.
    fn hash_chunks(&self, chunks: &[u8], out: &mut [[u8; 32]]);

    /// `out[i]` = keccak256(`nodes[2i]` ‖ `nodes[2i + 1]`). `nodes.len() == 2 * out.len()`.
    fn hash_pairs(&self, nodes: &[[u8; 32]], out: &mut [[u8; 32]]);
}

/// One hash after the other, on any machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scalar;

impl Hasher for Scalar {
    fn hash_chunks(&self, chunks: &[u8], out: &mut [[u8; 32]]) {
        assert_eq!(chunks.len(), out.len() * CHUNK_BYTES);
        for (chunk, out) in chunks.chunks_exact(CHUNK_BYTES).zip(out) {
            *out = keccak256(chunk).0;
        }
    }

    fn hash_pairs(&self, nodes: &[[u8; 32]], out: &mut [[u8; 32]]) {
        assert_eq!(nodes.len(), out.len() * 2);
        for (pair, out) in nodes.as_flattened().chunks_exact(64).zip(out) {
            *out = keccak256(pair).0;
        }
    }
}

impl<H: Hasher + ?Sized> Hasher for &H {
    fn hash_chunks(&self, chunks: &[u8], out: &mut [[u8; 32]]) {
        (**self).hash_chunks(chunks, out);
    }

    fn hash_pairs(&self, nodes: &[[u8; 32]], out: &mut [[u8; 32]]) {
        (**self).hash_pairs(nodes, out);
    }
}

/// keccak256(left ‖ right) with any hasher.
pub(super) fn hash_pair<H: Hasher>(hasher: &H, left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut out = [[0; 32]];
    hasher.hash_pairs(&[*left, *right], &mut out);
    out[0]
}
