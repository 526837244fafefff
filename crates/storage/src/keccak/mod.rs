//! Keccak-256 of many inputs at once: eight lanes with AVX-512, four with AVX2, one anywhere
//! else, chosen when the program runs.
//!
//! Hashing bounds publishing (encryption is an order of magnitude faster), and the tree hashes
//! nothing but 256-byte chunks and 64-byte pairs, so the lanes can always be filled. The permutation
//! is written once, over lane operations (`kernel`); the instruction sets differ only in those
//! operations. This module is the one place of the crate with `unsafe`.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod kernel;
#[cfg(test)]
mod tests;

use licen_core::merkle::{CHUNK_BYTES, Hasher, Scalar};

/// A pair of tree nodes.
const PAIR_BYTES: usize = 64;
/// The widest kernel.
const MAX_LANES: usize = 8;

/// A Keccak-256 implementation that this machine can run.
///
/// Invariant: the field names an instruction set only if the processor was asked for it, so a value
/// of this type is the permission to call the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keccak(Lanes);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lanes {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Keccak {
    /// The fastest one here.
    pub fn detect() -> Self {
        Self::avx512().or_else(Self::avx2).unwrap_or_else(Self::scalar)
    }

    /// One input after the other.
    pub fn scalar() -> Self {
        Self(Lanes::Scalar)
    }

    /// Four inputs at once, where the processor has AVX2.
    pub fn avx2() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Some(Self(Lanes::Avx2));
        }
        None
    }

    /// Eight inputs at once, where the processor has AVX-512F.
    pub fn avx512() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f") {
            return Some(Self(Lanes::Avx512));
        }
        None
    }

    /// `scalar`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Lanes::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Lanes::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Lanes::Avx512 => "avx512",
        }
    }
}

impl Default for Keccak {
    fn default() -> Self {
        Self::detect()
    }
}

impl Hasher for Keccak {
    fn hash_chunks(&self, chunks: &[u8], out: &mut [[u8; 32]]) {
        match self.0 {
            Lanes::Scalar => Scalar.hash_chunks(chunks, out),
            #[cfg(target_arch = "x86_64")]
            Lanes::Avx2 => in_groups::<{ avx2::LANES }, CHUNK_BYTES>(chunks, out, |chunks, out| {
                // SAFETY: `Lanes::Avx2` exists only where the processor reported AVX2.
                unsafe { avx2::hash_chunks(chunks, out) }
            }),
            #[cfg(target_arch = "x86_64")]
            Lanes::Avx512 => in_groups::<{ avx512::LANES }, CHUNK_BYTES>(chunks, out, |chunks, out| {
                // SAFETY: `Lanes::Avx512` exists only where the processor reported AVX-512F.
                unsafe { avx512::hash_chunks(chunks, out) }
            }),
        }
    }

    fn hash_pairs(&self, nodes: &[[u8; 32]], out: &mut [[u8; 32]]) {
        match self.0 {
            Lanes::Scalar => Scalar.hash_pairs(nodes, out),
            #[cfg(target_arch = "x86_64")]
            Lanes::Avx2 => {
                in_groups::<{ avx2::LANES }, PAIR_BYTES>(nodes.as_flattened(), out, |pairs, out| {
                    // SAFETY: `Lanes::Avx2` exists only where the processor reported AVX2.
                    unsafe { avx2::hash_pairs(pairs, out) }
                })
            }
            #[cfg(target_arch = "x86_64")]
            Lanes::Avx512 => {
                in_groups::<{ avx512::LANES }, PAIR_BYTES>(nodes.as_flattened(), out, |pairs, out| {
                    // SAFETY: `Lanes::Avx512` exists only where the processor reported AVX-512F.
                    unsafe { avx512::hash_pairs(pairs, out) }
                })
            }
        }
    }
}

/// Feeds `kernel` exactly `LANES` inputs of `SIZE` bytes at a time. Inputs that do not fill the lanes
/// are hashed beside zeros: a permutation costs the same however many of its lanes are used.
fn in_groups<const LANES: usize, const SIZE: usize>(
    input: &[u8],
    out: &mut [[u8; 32]],
    kernel: impl Fn(&[u8], &mut [[u8; 32]; LANES]),
) {
    assert_eq!(input.len(), out.len() * SIZE);
    let (groups, tail) = out.as_chunks_mut::<LANES>();
    let (whole, rest) = input.split_at(groups.len() * LANES * SIZE);
    for (input, out) in whole.chunks_exact(LANES * SIZE).zip(groups) {
        kernel(input, out);
    }
    if !tail.is_empty() {
        let mut input = [0; MAX_LANES * CHUNK_BYTES];
        input[..rest.len()].copy_from_slice(rest);
        let mut digests = [[0; 32]; LANES];
        kernel(&input[..LANES * SIZE], &mut digests);
        tail.copy_from_slice(&digests[..tail.len()]);
    }
}
