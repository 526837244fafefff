use licen_core::row_tree::{Hasher, Message};
use sha2::Digest;

use super::*;

/// Every pair of lengths around the borders of blocks, in an order that leaves the lanes at different
/// blocks, against the `sha2` crate.
#[test]
fn many_messages_have_the_hashes_of_one_after_the_other() {
    let bytes: Vec<u8> = (0..1_000_u32).map(|i| (i * 31 + 7) as u8).collect();
    let firsts = [0, 1, 33, 55, 56, 63];
    let seconds = [0, 1, 7, 8, 22, 23, 30, 31, 32, 40, 55, 56, 63, 64, 65, 119, 120, 127, 128, 200, 1_000];
    let mut messages: Vec<Message<'_>> = Vec::new();
    for first in firsts {
        messages.extend(seconds.iter().map(|&second| (&bytes[..first], &bytes[..second])));
    }
    let expected: Vec<B256> = messages
        .iter()
        .map(|(first, second)| B256::from_slice(&sha2::Sha256::digest([*first, *second].concat())))
        .collect();
    let here = Sha256::detect();
    for sha256 in [here, Sha256 { sixteen: false, ..here }, Sha256 { pair: false, ..here }, Sha256::default()]
    {
        for count in (0..40).chain([messages.len()]) {
            for start in [0, messages.len() - count] {
                let mut out = vec![B256::ZERO; count];
                sha256.hash_each(&messages[start..start + count], &mut out);
                assert_eq!(out, expected[start..start + count], "{count} from {start}, {sha256:?}");
            }
        }
    }
}

#[test]
fn what_this_processor_lacks_is_said() {
    let Sha256 { pair, sixteen } = Sha256::detect();
    for (name, there) in [("SHA", pair), ("AVX-512BW", sixteen)] {
        if !there {
            eprintln!("SKIPPED: this processor has no {name}");
        }
    }
}
