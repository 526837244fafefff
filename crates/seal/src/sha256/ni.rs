//! The compression function of SHA-256 by the processor's own instructions, for two messages side by
//! side: one alone waits for each round's result, two fill the wait.

use std::arch::x86_64::*;

use super::{Block, INITIAL, K, Kernel, State};

const LANES: usize = 2;

/// The state of each message.
#[derive(Clone, Copy)]
pub(super) struct Pair([State; LANES]);

impl Default for Pair {
    fn default() -> Self {
        Self([INITIAL; LANES])
    }
}

impl Kernel<LANES> for Pair {
    fn begin(&mut self, lane: usize) {
        self.0[lane] = INITIAL;
    }

    fn state(&self, lane: usize) -> State {
        self.0[lane]
    }

    unsafe fn compress(&mut self, messages: &[&[Block]; LANES], count: usize) {
        // SAFETY: the caller asked the processor for the instructions.
        unsafe { compress(&mut self.0, messages, count) }
    }
}

#[target_feature(enable = "sse2")]
#[inline]
fn load_words(words: &[u32; 4]) -> __m128i {
    // SAFETY: the reference covers the 16 bytes that are read; the load needs no alignment.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}

#[target_feature(enable = "sse2")]
#[inline]
fn store_words(value: __m128i, words: &mut [u32; 4]) {
    // SAFETY: the reference covers the 16 bytes that are written; the store needs no alignment.
    unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), value) }
}

/// The big-endian words of a block.
#[target_feature(enable = "sse2,ssse3")]
#[inline]
fn load_block(block: &Block) -> [__m128i; 4] {
    let order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    let mut words = [_mm_setzero_si128(); 4];
    for (words, bytes) in words.iter_mut().zip(block.as_chunks::<16>().0) {
        // SAFETY: the reference covers the 16 bytes that are read; the load needs no alignment.
        *words = _mm_shuffle_epi8(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }, order);
    }
    words
}

/// Four rounds of every message. `w` holds the last sixteen words of each one's schedule; the next four
/// take the place of the oldest, number `AT`: a constant, so that they all stay in registers.
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
#[inline]
fn rounds<const AT: usize>(
    abef: &mut [__m128i; LANES],
    cdgh: &mut [__m128i; LANES],
    w: &mut [[__m128i; 4]; LANES],
    constants: __m128i,
    scheduled: bool,
) {
    for lane in 0..LANES {
        let w = &mut w[lane];
        if scheduled {
            let (before, last) = (w[(AT + 2) % 4], w[(AT + 3) % 4]);
            let sum = _mm_sha256msg1_epu32(w[AT], w[(AT + 1) % 4]);
            w[AT] = _mm_sha256msg2_epu32(_mm_add_epi32(sum, _mm_alignr_epi8::<4>(last, before)), last);
        }
        let sum = _mm_add_epi32(w[AT], constants);
        cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], sum);
        abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], _mm_shuffle_epi32::<0x0e>(sum));
    }
}

#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn compress(states: &mut [State; LANES], messages: &[&[Block]; LANES], count: usize) {
    let (mut abef, mut cdgh) = ([_mm_setzero_si128(); LANES], [_mm_setzero_si128(); LANES]);
    for lane in 0..LANES {
        let [low, high] = states[lane].as_chunks::<4>().0 else { unreachable!("a state has eight words") };
        let low = _mm_shuffle_epi32::<0xb1>(load_words(low));
        let high = _mm_shuffle_epi32::<0x1b>(load_words(high));
        abef[lane] = _mm_alignr_epi8::<8>(low, high);
        cdgh[lane] = _mm_blend_epi16::<0xf0>(high, low);
    }
    for number in 0..count {
        let (abef_before, cdgh_before) = (abef, cdgh);
        let mut w = messages.map(|blocks| load_block(&blocks[number]));
        for (sixteen, constants) in K.as_chunks::<16>().0.iter().enumerate() {
            let [k0, k1, k2, k3] = constants.as_chunks::<4>().0 else {
                unreachable!("sixteen are four times four")
            };
            let scheduled = sixteen > 0;
            rounds::<0>(&mut abef, &mut cdgh, &mut w, load_words(k0), scheduled);
            rounds::<1>(&mut abef, &mut cdgh, &mut w, load_words(k1), scheduled);
            rounds::<2>(&mut abef, &mut cdgh, &mut w, load_words(k2), scheduled);
            rounds::<3>(&mut abef, &mut cdgh, &mut w, load_words(k3), scheduled);
        }
        for lane in 0..LANES {
            abef[lane] = _mm_add_epi32(abef[lane], abef_before[lane]);
            cdgh[lane] = _mm_add_epi32(cdgh[lane], cdgh_before[lane]);
        }
    }
    for (lane, state) in states.iter_mut().enumerate() {
        let [low, high] = state.as_chunks_mut::<4>().0 else { unreachable!("a state has eight words") };
        let feba = _mm_shuffle_epi32::<0x1b>(abef[lane]);
        let dchg = _mm_shuffle_epi32::<0xb1>(cdgh[lane]);
        store_words(_mm_blend_epi16::<0xf0>(feba, dchg), low);
        store_words(_mm_alignr_epi8::<8>(dchg, feba), high);
    }
}
