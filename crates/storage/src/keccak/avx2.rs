//! Four lanes in 256-bit registers.

use std::arch::x86_64::*;

pub(super) const LANES: usize = 4;
type V = __m256i;

#[target_feature(enable = "avx2")]
#[inline]
fn splat(word: u64) -> V {
    _mm256_set1_epi64x(word as i64)
}

#[target_feature(enable = "avx2")]
#[inline]
fn xor(a: V, b: V) -> V {
    _mm256_xor_si256(a, b)
}

#[target_feature(enable = "avx2")]
#[inline]
fn xor5(a: V, b: V, c: V, d: V, e: V) -> V {
    xor(xor(xor(a, b), xor(c, d)), e)
}

#[target_feature(enable = "avx2")]
#[inline]
fn chi(a: V, b: V, c: V) -> V {
    _mm256_xor_si256(a, _mm256_andnot_si256(b, c))
}

/// There is no rotation. Whole bytes are one shuffle, and doubling is an addition: both leave the two
/// shifters, which are the bottleneck, to the rest.
#[target_feature(enable = "avx2")]
#[inline]
fn rol<const L: i32, const R: i32>(a: V) -> V {
    match L {
        1 => _mm256_or_si256(_mm256_add_epi64(a, a), _mm256_srli_epi64::<R>(a)),
        8 => {
            let order = _mm_setr_epi8(7, 0, 1, 2, 3, 4, 5, 6, 15, 8, 9, 10, 11, 12, 13, 14);
            _mm256_shuffle_epi8(a, _mm256_broadcastsi128_si256(order))
        }
        56 => {
            let order = _mm_setr_epi8(1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 11, 12, 13, 14, 15, 8);
            _mm256_shuffle_epi8(a, _mm256_broadcastsi128_si256(order))
        }
        _ => _mm256_or_si256(_mm256_slli_epi64::<L>(a), _mm256_srli_epi64::<R>(a)),
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(bytes: &[u8; 32]) -> V {
    // SAFETY: the reference covers the 32 bytes that are read; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store_digest(row: V, out: &mut [u8; 32]) {
    // SAFETY: the reference covers the 32 bytes that are written; the store needs no alignment.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), row) }
}

/// Word j of row i becomes word i of row j.
#[target_feature(enable = "avx2")]
#[inline]
fn transpose(r: [V; 4]) -> [V; 4] {
    let even01 = _mm256_unpacklo_epi64(r[0], r[1]);
    let odd01 = _mm256_unpackhi_epi64(r[0], r[1]);
    let even23 = _mm256_unpacklo_epi64(r[2], r[3]);
    let odd23 = _mm256_unpackhi_epi64(r[2], r[3]);
    [
        _mm256_permute2x128_si256::<0x20>(even01, even23),
        _mm256_permute2x128_si256::<0x20>(odd01, odd23),
        _mm256_permute2x128_si256::<0x31>(even01, even23),
        _mm256_permute2x128_si256::<0x31>(odd01, odd23),
    ]
}

super::kernel::keccak_kernel!(#[target_feature(enable = "avx2")]);
