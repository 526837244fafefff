//! Eight lanes in 512-bit registers. Only AVX-512F: rotation and three-operand logic are in it.
//!
//! The operations are a macro over the module that the instructions come from, so that the tests run
//! exactly this code on an emulation of them where the processor has none.

pub(super) const LANES: usize = 8;

macro_rules! operations {
    ($(#[$feature:meta])*) => {
        type V = __m512i;

        $(#[$feature])*
        #[inline]
        fn splat(word: u64) -> V {
            _mm512_set1_epi64(word as i64)
        }

        $(#[$feature])*
        #[inline]
        fn xor(a: V, b: V) -> V {
            _mm512_xor_si512(a, b)
        }

        /// Truth table 0x96: a ^ b ^ c.
        $(#[$feature])*
        #[inline]
        fn xor5(a: V, b: V, c: V, d: V, e: V) -> V {
            let abc = _mm512_ternarylogic_epi64::<0x96>(a, b, c);
            _mm512_ternarylogic_epi64::<0x96>(abc, d, e)
        }

        /// Truth table 0xd2: a ^ (!b & c).
        $(#[$feature])*
        #[inline]
        fn chi(a: V, b: V, c: V) -> V {
            _mm512_ternarylogic_epi64::<0xd2>(a, b, c)
        }

        $(#[$feature])*
        #[inline]
        fn rol<const L: i32, const R: i32>(a: V) -> V {
            _mm512_rol_epi64::<L>(a)
        }

        $(#[$feature])*
        #[inline]
        fn load(bytes: &[u8; 64]) -> V {
            // SAFETY: the reference covers the 64 bytes that are read; the load needs no alignment.
            unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
        }

        $(#[$feature])*
        #[inline]
        fn store_digest(row: V, out: &mut [u8; 32]) {
            let digest = _mm512_castsi512_si256(row);
            // SAFETY: the reference covers the 32 bytes that are written; the store needs no alignment.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), digest) }
        }

        /// Word j of row i becomes word i of row j: 2x2 blocks of words, then 4x4 of pairs of words.
        $(#[$feature])*
        #[inline]
        fn transpose(r: [V; 8]) -> [V; 8] {
            let even = [
                _mm512_unpacklo_epi64(r[0], r[1]),
                _mm512_unpacklo_epi64(r[2], r[3]),
                _mm512_unpacklo_epi64(r[4], r[5]),
                _mm512_unpacklo_epi64(r[6], r[7]),
            ];
            let odd = [
                _mm512_unpackhi_epi64(r[0], r[1]),
                _mm512_unpackhi_epi64(r[2], r[3]),
                _mm512_unpackhi_epi64(r[4], r[5]),
                _mm512_unpackhi_epi64(r[6], r[7]),
            ];
            let [w0, w2, w4, w6] = transpose_pairs(even);
            let [w1, w3, w5, w7] = transpose_pairs(odd);
            [w0, w1, w2, w3, w4, w5, w6, w7]
        }

        /// 0x88 takes the even 128-bit lanes of both operands, 0xdd the odd ones.
        $(#[$feature])*
        #[inline]
        fn transpose_pairs(r: [V; 4]) -> [V; 4] {
            let even01 = _mm512_shuffle_i64x2::<0x88>(r[0], r[1]);
            let odd01 = _mm512_shuffle_i64x2::<0xdd>(r[0], r[1]);
            let even23 = _mm512_shuffle_i64x2::<0x88>(r[2], r[3]);
            let odd23 = _mm512_shuffle_i64x2::<0xdd>(r[2], r[3]);
            [
                _mm512_shuffle_i64x2::<0x88>(even01, even23),
                _mm512_shuffle_i64x2::<0x88>(odd01, odd23),
                _mm512_shuffle_i64x2::<0xdd>(even01, even23),
                _mm512_shuffle_i64x2::<0xdd>(odd01, odd23),
            ]
        }
    };
}
#[cfg(test)]
pub(super) use operations;

use std::arch::x86_64::*;

operations!(#[target_feature(enable = "avx512f")]);
super::kernel::keccak_kernel!(#[target_feature(enable = "avx512f")]);
