//! The compression function of SHA-256 for sixteen messages, one word of each in a register.

use std::arch::x86_64::*;

use super::{Block, INITIAL, K, Kernel, State};

const LANES: usize = 16;
type V = __m512i;

/// `states[w]` holds word w of every message.
#[derive(Clone, Copy)]
pub(super) struct Sixteen([[u32; LANES]; 8]);

impl Default for Sixteen {
    fn default() -> Self {
        Self(INITIAL.map(|word| [word; LANES]))
    }
}

impl Kernel<LANES> for Sixteen {
    fn begin(&mut self, lane: usize) {
        self.0.iter_mut().zip(INITIAL).for_each(|(words, initial)| words[lane] = initial);
    }

    fn state(&self, lane: usize) -> State {
        std::array::from_fn(|word| self.0[word][lane])
    }

    unsafe fn compress(&mut self, messages: &[&[Block]; LANES], count: usize) {
        // SAFETY: the caller asked the processor for the instructions.
        unsafe { compress(&mut self.0, messages, count) }
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(words: &[u32; LANES]) -> V {
    // SAFETY: the reference covers the 64 bytes that are read; the load needs no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// The sixteen big-endian words of a block.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn load_block(block: &Block) -> V {
    let order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    // SAFETY: the reference covers the 64 bytes that are read; the load needs no alignment.
    let bytes = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
    _mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(order))
}

/// Word j of row i becomes word i of row j: by words, by pairs of words, then by four at a time.
#[target_feature(enable = "avx512f")]
#[inline]
fn transpose(rows: [V; LANES]) -> [V; LANES] {
    let mut words = rows;
    for i in 0..8 {
        words[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        words[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    let mut pairs = words;
    for i in [0, 4, 8, 12] {
        pairs[i] = _mm512_unpacklo_epi64(words[i], words[i + 2]);
        pairs[i + 1] = _mm512_unpackhi_epi64(words[i], words[i + 2]);
        pairs[i + 2] = _mm512_unpacklo_epi64(words[i + 1], words[i + 3]);
        pairs[i + 3] = _mm512_unpackhi_epi64(words[i + 1], words[i + 3]);
    }
    let mut columns = pairs;
    for i in 0..4 {
        // 0x88 takes the even 128 bits of both operands, 0xdd the odd ones.
        let even01 = _mm512_shuffle_i32x4::<0x88>(pairs[i], pairs[4 + i]);
        let odd01 = _mm512_shuffle_i32x4::<0xdd>(pairs[i], pairs[4 + i]);
        let even23 = _mm512_shuffle_i32x4::<0x88>(pairs[8 + i], pairs[12 + i]);
        let odd23 = _mm512_shuffle_i32x4::<0xdd>(pairs[8 + i], pairs[12 + i]);
        columns[i] = _mm512_shuffle_i32x4::<0x88>(even01, even23);
        columns[4 + i] = _mm512_shuffle_i32x4::<0x88>(odd01, odd23);
        columns[8 + i] = _mm512_shuffle_i32x4::<0xdd>(even01, even23);
        columns[12 + i] = _mm512_shuffle_i32x4::<0xdd>(odd01, odd23);
    }
    columns
}

#[target_feature(enable = "avx512f")]
#[inline]
fn add(a: V, b: V) -> V {
    _mm512_add_epi32(a, b)
}

/// Truth table 0x96: a ^ b ^ c.
#[target_feature(enable = "avx512f")]
#[inline]
fn xor3(a: V, b: V, c: V) -> V {
    _mm512_ternarylogic_epi32::<0x96>(a, b, c)
}

/// One round, FIPS 180-4 §6.2.2. The state moves on by one place.
#[target_feature(enable = "avx512f")]
#[inline]
fn round([a, b, c, d, e, f, g, h]: [V; 8], word: V, constant: u32) -> [V; 8] {
    let sum1 = xor3(_mm512_ror_epi32::<6>(e), _mm512_ror_epi32::<11>(e), _mm512_ror_epi32::<25>(e));
    // 0xca: f where e is set, else g. 0xe8: what at least two of three have.
    let choice = _mm512_ternarylogic_epi32::<0xca>(e, f, g);
    let input = add(add(h, word), _mm512_set1_epi32(constant as i32));
    let t1 = add(add(sum1, choice), input);
    let sum0 = xor3(_mm512_ror_epi32::<2>(a), _mm512_ror_epi32::<13>(a), _mm512_ror_epi32::<22>(a));
    let majority = _mm512_ternarylogic_epi32::<0xe8>(a, b, c);
    [add(t1, add(sum0, majority)), a, b, c, add(d, t1), e, f, g]
}

/// The word sixteen places on, from those 16, 15, 7 and 2 places before it.
#[target_feature(enable = "avx512f")]
#[inline]
fn next_word(w16: V, w15: V, w7: V, w2: V) -> V {
    let low = xor3(_mm512_ror_epi32::<7>(w15), _mm512_ror_epi32::<18>(w15), _mm512_srli_epi32::<3>(w15));
    let high = xor3(_mm512_ror_epi32::<17>(w2), _mm512_ror_epi32::<19>(w2), _mm512_srli_epi32::<10>(w2));
    add(add(w16, low), add(w7, high))
}

#[target_feature(enable = "avx512f,avx512bw")]
fn compress(states: &mut [[u32; LANES]; 8], messages: &[&[Block]; LANES], count: usize) {
    let mut state = [_mm512_setzero_si512(); 8];
    for (register, words) in state.iter_mut().zip(&*states) {
        *register = load(words);
    }
    for number in 0..count {
        let before = state;
        let mut rows = [_mm512_setzero_si512(); LANES];
        for (row, message) in rows.iter_mut().zip(messages) {
            *row = load_block(&message[number]);
        }
        let mut w = transpose(rows);
        // Written out, so that every place is a constant and every word a register.
        macro_rules! sixteen {
            ($from:expr, $scheduled:literal: $($t:literal)*) => {
                $(
                    if $scheduled {
                        w[$t] = next_word(w[$t], w[($t + 1) % 16], w[($t + 9) % 16], w[($t + 14) % 16]);
                    }
                    state = round(state, w[$t], K[$from + $t]);
                )*
            };
        }
        sixteen!(0, false: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        for from in [16, 32, 48] {
            sixteen!(from, true: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        }
        for (register, before) in state.iter_mut().zip(before) {
            *register = add(*register, before);
        }
    }
    for (register, words) in state.into_iter().zip(states) {
        // SAFETY: the reference covers the 64 bytes that are written; the store needs no alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), register) }
    }
}
