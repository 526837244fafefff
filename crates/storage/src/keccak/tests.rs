use licen_core::merkle::Hasher;
use sha3::{Digest, Keccak256};

use super::*;

fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

fn reference(input: &[u8]) -> [u8; 32] {
    Keccak256::digest(input).into()
}

fn equals_sha3(hasher: &dyn Hasher, name: &str) {
    for count in (0..20).chain([63, 64, 65, 1000]) {
        let chunks = bytes(count * CHUNK_BYTES, count as u64 + 99);
        let expected: Vec<_> = chunks.chunks(CHUNK_BYTES).map(reference).collect();
        let mut out = vec![[0xaa; 32]; count];
        hasher.hash_chunks(&chunks, &mut out);
        assert_eq!(out, expected, "{name}: {count} chunks");

        let nodes: Vec<[u8; 32]> = bytes(count * 64, count as u64).as_chunks().0.to_vec();
        let expected: Vec<_> = nodes.as_flattened().chunks(64).map(reference).collect();
        let mut out = vec![[0xaa; 32]; count];
        hasher.hash_pairs(&nodes, &mut out);
        assert_eq!(out, expected, "{name}: {count} pairs");
    }
    // One set bit anywhere must come through every lane unharmed.
    for bit in 0..CHUNK_BYTES * 8 {
        let mut chunks = vec![0; MAX_LANES * CHUNK_BYTES];
        let lane = bit % MAX_LANES;
        chunks[lane * CHUNK_BYTES + bit / 8] = 1 << (bit % 8);
        let expected: Vec<_> = chunks.chunks(CHUNK_BYTES).map(reference).collect();
        let mut out = vec![[0; 32]; MAX_LANES];
        hasher.hash_chunks(&chunks, &mut out);
        assert_eq!(out, expected, "{name}: bit {bit}");
    }
}

#[test]
fn scalar_and_detected_equal_sha3() {
    equals_sha3(&Keccak::scalar(), "scalar");
    equals_sha3(&Keccak::detect(), Keccak::detect().name());
}

#[test]
fn avx2_equals_sha3() {
    match Keccak::avx2() {
        Some(keccak) => equals_sha3(&keccak, "avx2"),
        None => eprintln!("SKIPPED: this processor has no AVX2"),
    }
}

#[test]
fn avx512_equals_sha3() {
    match Keccak::avx512() {
        Some(keccak) => equals_sha3(&keccak, "avx512"),
        None => eprintln!("SKIPPED: this processor has no AVX-512F; only the emulated kernel ran"),
    }
}

/// The AVX-512 kernel, source for source, over a plain implementation of the instructions it uses.
/// What this leaves to a machine with AVX-512 is whether the processor agrees with the manual.
#[cfg(target_arch = "x86_64")]
mod emulated {
    use super::super::avx512::LANES;
    use super::super::in_groups;
    use super::*;

    #[allow(non_camel_case_types)]
    #[derive(Clone, Copy)]
    struct __m512i([u64; 8]);

    fn zip(a: __m512i, b: __m512i, f: impl Fn(u64, u64) -> u64) -> __m512i {
        __m512i(std::array::from_fn(|i| f(a.0[i], b.0[i])))
    }

    fn _mm512_set1_epi64(word: i64) -> __m512i {
        __m512i([word as u64; 8])
    }

    fn _mm512_xor_si512(a: __m512i, b: __m512i) -> __m512i {
        zip(a, b, |a, b| a ^ b)
    }

    /// Bit (a_i b_i c_i) of the table is bit i of the result.
    fn _mm512_ternarylogic_epi64<const TABLE: i32>(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        let pick = |word: u64, wanted: usize| if wanted & 1 == 1 { word } else { !word };
        let row = |j: usize, row: usize| pick(a.0[j], row >> 2) & pick(b.0[j], row >> 1) & pick(c.0[j], row);
        let rows = |j: usize| (0..8).filter(|i| TABLE >> i & 1 == 1).map(move |i| row(j, i));
        __m512i(std::array::from_fn(|j| rows(j).fold(0, |word, row| word | row)))
    }

    fn _mm512_rol_epi64<const BITS: i32>(a: __m512i) -> __m512i {
        __m512i(a.0.map(|word| word.rotate_left(BITS as u32)))
    }

    fn _mm512_unpacklo_epi64(a: __m512i, b: __m512i) -> __m512i {
        __m512i(std::array::from_fn(|i| if i % 2 == 0 { a.0[i] } else { b.0[i - 1] }))
    }

    fn _mm512_unpackhi_epi64(a: __m512i, b: __m512i) -> __m512i {
        __m512i(std::array::from_fn(|i| if i % 2 == 0 { a.0[i + 1] } else { b.0[i] }))
    }

    /// Two bits choose a 128-bit lane: the lower two lanes come from `a`, the upper two from `b`.
    fn _mm512_shuffle_i64x2<const ORDER: i32>(a: __m512i, b: __m512i) -> __m512i {
        let word = |i: usize| {
            let from = if i < 4 { a } else { b };
            let lane = (ORDER >> (i / 2 * 2) & 3) as usize;
            from.0[lane * 2 + i % 2]
        };
        __m512i(std::array::from_fn(word))
    }

    unsafe fn _mm512_loadu_si512(from: *const __m512i) -> __m512i {
        // SAFETY: the caller vouches for 64 readable bytes; the processor is little-endian.
        __m512i(unsafe { from.cast::<[u64; 8]>().read_unaligned() })
    }

    fn _mm512_castsi512_si256(a: __m512i) -> [u64; 4] {
        *a.0.first_chunk().expect("longer")
    }

    unsafe fn _mm256_storeu_si256(to: *mut [u64; 4], half: [u64; 4]) {
        // SAFETY: the caller vouches for 32 writable bytes.
        unsafe { to.write_unaligned(half) }
    }

    mod kernel {
        pub(super) use super::super::super::kernel::*;
    }

    mod lanes {
        use super::super::super::{avx512, kernel};
        use super::*;

        avx512::operations!();
        kernel::keccak_kernel!();
    }

    struct Emulated;

    impl Hasher for Emulated {
        fn hash_chunks(&self, chunks: &[u8], out: &mut [[u8; 32]]) {
            in_groups::<LANES, CHUNK_BYTES>(chunks, out, lanes::hash_chunks);
        }

        fn hash_pairs(&self, nodes: &[[u8; 32]], out: &mut [[u8; 32]]) {
            in_groups::<LANES, PAIR_BYTES>(nodes.as_flattened(), out, lanes::hash_pairs);
        }
    }

    #[test]
    fn avx512_kernel_equals_sha3() {
        equals_sha3(&Emulated, "emulated avx512");
    }
}
