//! Inputs of any lengths through a permutation of many lanes: a lane that has finished its input takes
//! the next one, so lanes stand idle only at the very end.

const RATE_BYTES: usize = 136;

/// `LANES` states, `state[w]` holding word w of every lane. `BYTES` is `LANES` words.
pub(super) fn hash_each<const BYTES: usize>(
    inputs: &[&[u8]],
    out: &mut [[u8; 32]],
    permute: impl Fn(&mut [[u8; BYTES]; 25]),
) {
    assert_eq!(inputs.len(), out.len());
    let mut state = [[0; BYTES]; 25];
    // What each lane works on: the input's number and what is left of it.
    let mut work: Vec<Option<(usize, &[u8])>> = vec![None; BYTES / 8];
    let mut waiting = inputs.iter().copied().enumerate();
    loop {
        let mut ending = [false; 8];
        let mut idle = true;
        for (lane, slot) in work.iter_mut().enumerate() {
            if slot.is_none() {
                *slot = waiting.next();
                state.iter_mut().for_each(|words| word_mut(words, lane).fill(0));
            }
            let Some((_, left)) = slot else { continue };
            idle = false;
            match left.split_at_checked(RATE_BYTES) {
                Some((block, rest)) => {
                    absorb(&mut state, lane, block);
                    *left = rest;
                }
                None => {
                    let mut block = [0; RATE_BYTES];
                    block[..left.len()].copy_from_slice(left);
                    block[left.len()] = 0x01;
                    block[RATE_BYTES - 1] |= 0x80;
                    absorb(&mut state, lane, &block);
                    ending[lane] = true;
                }
            }
        }
        if idle {
            return;
        }
        permute(&mut state);
        for (lane, slot) in work.iter_mut().enumerate().filter(|(lane, _)| ending[*lane]) {
            if let Some((number, _)) = slot.take() {
                for (words, digest) in state.iter_mut().zip(out[number].as_chunks_mut::<8>().0) {
                    digest.copy_from_slice(word_mut(words, lane));
                }
            }
        }
    }
}

fn word_mut<const BYTES: usize>(words: &mut [u8; BYTES], lane: usize) -> &mut [u8; 8] {
    &mut words.as_chunks_mut::<8>().0[lane]
}

fn absorb<const BYTES: usize>(state: &mut [[u8; BYTES]; 25], lane: usize, block: &[u8]) {
    for (words, new) in state.iter_mut().zip(block.as_chunks::<8>().0) {
        let word = word_mut(words, lane);
        *word = (u64::from_ne_bytes(*word) ^ u64::from_ne_bytes(*new)).to_ne_bytes();
    }
}
