//! Keccak-256 of `LANES` inputs, written over lane operations.
//!
//! `keccak_kernel!` expands in a module that has the vector type `V` (one 64-bit word of each lane),
//! `LANES`, and the operations `splat`, `xor`, `xor5`, `chi` (a ^ (!b & c)), `rol::<L, R>` (rotate
//! left by L = 64 - R), `load`, `transpose` and `store_digest`. Its argument is the attribute that
//! lets the functions use the instruction set.

/// FIPS 202, iota.
pub(super) const ROUND_CONSTANTS: [u64; 24] = [
    0x0000_0000_0000_0001,
    0x0000_0000_0000_8082,
    0x8000_0000_0000_808a,
    0x8000_0000_8000_8000,
    0x0000_0000_0000_808b,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8009,
    0x0000_0000_0000_008a,
    0x0000_0000_0000_0088,
    0x0000_0000_8000_8009,
    0x0000_0000_8000_000a,
    0x0000_0000_8000_808b,
    0x8000_0000_0000_008b,
    0x8000_0000_0000_8089,
    0x8000_0000_0000_8003,
    0x8000_0000_0000_8002,
    0x8000_0000_0000_0080,
    0x0000_0000_0000_800a,
    0x8000_0000_8000_000a,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8080,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8008,
];

/// First and last byte of the padding of Keccak-256, as words of the last block.
pub(super) const PAD_FIRST: u64 = 0x01;
pub(super) const PAD_LAST: u64 = 0x80 << 56;
/// Words in one block: the rate of 136 bytes.
pub(super) const RATE_WORDS: usize = 17;

macro_rules! keccak_kernel {
    ($(#[$feature:meta])*) => {
        use super::kernel::{PAD_FIRST, PAD_LAST, RATE_WORDS, ROUND_CONSTANTS};

        /// One round from `a` to `e`: theta, rho and pi while a row is read, chi and iota while it
        /// is written. Reading and writing different arrays keeps a row in registers.
        $(#[$feature])*
        #[inline]
        fn round(a: &[V; 25], e: &mut [V; 25], constant: u64) {
            let c0 = xor5(a[0], a[5], a[10], a[15], a[20]);
            let c1 = xor5(a[1], a[6], a[11], a[16], a[21]);
            let c2 = xor5(a[2], a[7], a[12], a[17], a[22]);
            let c3 = xor5(a[3], a[8], a[13], a[18], a[23]);
            let c4 = xor5(a[4], a[9], a[14], a[19], a[24]);
            let d0 = xor(c4, rol::<1, 63>(c1));
            let d1 = xor(c0, rol::<1, 63>(c2));
            let d2 = xor(c1, rol::<1, 63>(c3));
            let d3 = xor(c2, rol::<1, 63>(c4));
            let d4 = xor(c3, rol::<1, 63>(c0));

            let b0 = xor(a[0], d0);
            let b1 = rol::<44, 20>(xor(a[6], d1));
            let b2 = rol::<43, 21>(xor(a[12], d2));
            let b3 = rol::<21, 43>(xor(a[18], d3));
            let b4 = rol::<14, 50>(xor(a[24], d4));
            e[0] = xor(chi(b0, b1, b2), splat(constant));
            e[1] = chi(b1, b2, b3);
            e[2] = chi(b2, b3, b4);
            e[3] = chi(b3, b4, b0);
            e[4] = chi(b4, b0, b1);

            let b0 = rol::<28, 36>(xor(a[3], d3));
            let b1 = rol::<20, 44>(xor(a[9], d4));
            let b2 = rol::<3, 61>(xor(a[10], d0));
            let b3 = rol::<45, 19>(xor(a[16], d1));
            let b4 = rol::<61, 3>(xor(a[22], d2));
            e[5] = chi(b0, b1, b2);
            e[6] = chi(b1, b2, b3);
            e[7] = chi(b2, b3, b4);
            e[8] = chi(b3, b4, b0);
            e[9] = chi(b4, b0, b1);

            let b0 = rol::<1, 63>(xor(a[1], d1));
            let b1 = rol::<6, 58>(xor(a[7], d2));
            let b2 = rol::<25, 39>(xor(a[13], d3));
            let b3 = rol::<8, 56>(xor(a[19], d4));
            let b4 = rol::<18, 46>(xor(a[20], d0));
            e[10] = chi(b0, b1, b2);
            e[11] = chi(b1, b2, b3);
            e[12] = chi(b2, b3, b4);
            e[13] = chi(b3, b4, b0);
            e[14] = chi(b4, b0, b1);

            let b0 = rol::<27, 37>(xor(a[4], d4));
            let b1 = rol::<36, 28>(xor(a[5], d0));
            let b2 = rol::<10, 54>(xor(a[11], d1));
            let b3 = rol::<15, 49>(xor(a[17], d2));
            let b4 = rol::<56, 8>(xor(a[23], d3));
            e[15] = chi(b0, b1, b2);
            e[16] = chi(b1, b2, b3);
            e[17] = chi(b2, b3, b4);
            e[18] = chi(b3, b4, b0);
            e[19] = chi(b4, b0, b1);

            let b0 = rol::<62, 2>(xor(a[2], d2));
            let b1 = rol::<55, 9>(xor(a[8], d3));
            let b2 = rol::<39, 25>(xor(a[14], d4));
            let b3 = rol::<41, 23>(xor(a[15], d0));
            let b4 = rol::<2, 62>(xor(a[21], d1));
            e[20] = chi(b0, b1, b2);
            e[21] = chi(b1, b2, b3);
            e[22] = chi(b2, b3, b4);
            e[23] = chi(b3, b4, b0);
            e[24] = chi(b4, b0, b1);
        }

        $(#[$feature])*
        fn permute(a: &mut [V; 25]) {
            let mut e = [splat(0); 25];
            for constants in ROUND_CONSTANTS.chunks_exact(2) {
                round(a, &mut e, constants[0]);
                round(&e, a, constants[1]);
            }
        }

        /// The words of `LANES` inputs of `WORDS` words: `words[w]` holds word w of every input.
        $(#[$feature])*
        #[inline]
        fn words<const WORDS: usize>(input: &[u8]) -> [V; WORDS] {
            assert_eq!(input.len(), LANES * WORDS * 8);
            let mut words = [splat(0); WORDS];
            for (group, words) in words.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                for (lane, row) in words.iter_mut().enumerate() {
                    let start = (lane * WORDS + group * LANES) * 8;
                    let row_bytes = input[start..].first_chunk().expect("the length was checked");
                    *row = load(row_bytes);
                }
                *words = transpose(*words);
            }
            words
        }

        /// The first four words of the state are the digest.
        $(#[$feature])*
        #[inline]
        fn squeeze(state: &[V; 25], out: &mut [[u8; 32]; LANES]) {
            let rows = transpose(*state.first_chunk().expect("the state is longer"));
            for (row, out) in rows.into_iter().zip(out) {
                store_digest(row, out);
            }
        }

        /// Chunks are two blocks: 136 bytes, then 120 bytes and the padding.
        $(#[$feature])*
        pub(super) fn hash_chunks(chunks: &[u8], out: &mut [[u8; 32]; LANES]) {
            let words: [V; 32] = words(chunks);
            let (first, second) = words.split_at(RATE_WORDS);
            let mut state = [splat(0); 25];
            state[..RATE_WORDS].copy_from_slice(first);
            permute(&mut state);
            for (state, word) in state.iter_mut().zip(second) {
                *state = xor(*state, *word);
            }
            state[second.len()] = xor(state[second.len()], splat(PAD_FIRST));
            state[RATE_WORDS - 1] = xor(state[RATE_WORDS - 1], splat(PAD_LAST));
            permute(&mut state);
            squeeze(&state, out);
        }

        /// Pairs are one block: 64 bytes and the padding.
        $(#[$feature])*
        pub(super) fn hash_pairs(pairs: &[u8], out: &mut [[u8; 32]; LANES]) {
            let words: [V; 8] = words(pairs);
            let mut state = [splat(0); 25];
            state[..8].copy_from_slice(&words);
            state[8] = splat(PAD_FIRST);
            state[RATE_WORDS - 1] = splat(PAD_LAST);
            permute(&mut state);
            squeeze(&state, out);
        }
    };
}
pub(super) use keccak_kernel;
