//! The segment roots of a blob, so that a range can be verified without hashing the whole.
//!
//! Bytes: "LICENSEG", length of the blob (u64, big-endian), 32 bytes per padded segment. The file
//! proves itself: its roots must fold to the name of the blob, and a segment's root commits to the
//! padding behind the length. Losing it costs one pass over the blob, never a wrong answer.

use std::fs;
use std::io;
use std::path::Path;

use licen_core::merkle::{Geometry, fold_segment_roots};
use licen_core::primitives::B256;

use crate::error::{Error, Result};
use crate::keccak::Keccak;

const MAGIC: &[u8; 8] = b"LICENSEG";

pub(super) fn encode(geometry: &Geometry, segment_roots: &[B256]) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &geometry.bytes().to_be_bytes()].concat();
    segment_roots.iter().for_each(|root| bytes.extend_from_slice(&root.0));
    bytes
}

/// Length and segment roots of the blob `root`, or `None` if the file is missing, damaged, or about
/// something else.
pub(super) fn load(path: &Path, root: B256) -> Result<Option<(Geometry, Vec<B256>)>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::io(path, source)),
    };
    Ok(decode(&bytes, root))
}

fn decode(bytes: &[u8], root: B256) -> Option<(Geometry, Vec<B256>)> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (len, rest) = rest.split_first_chunk()?;
    let geometry = Geometry::new(u64::from_be_bytes(*len)).ok()?;
    let (roots, tail) = rest.as_chunks::<32>();
    if !tail.is_empty() {
        return None;
    }
    let roots: Vec<B256> = roots.iter().map(B256::from).collect();
    let folded = fold_segment_roots(Keccak::detect(), &geometry, &roots).ok()?;
    (folded == root).then_some((geometry, roots))
}
