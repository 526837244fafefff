//! SHA-256 of many short messages: sixteen side by side with AVX-512, two with the processor's own
//! instructions for it, one after the other anywhere else. A commitment to rows is nothing but short
//! messages, and it bounds publishing.

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod lane;
#[cfg(target_arch = "x86_64")]
mod ni;
#[cfg(test)]
mod tests;

use licen_core::primitives::B256;
use licen_core::row_tree::{Hasher, Message, Scalar};
#[cfg(target_arch = "x86_64")]
use std::arch::is_x86_feature_detected;

#[cfg(target_arch = "x86_64")]
type Block = [u8; 64];
#[cfg(target_arch = "x86_64")]
type State = [u32; 8];

/// FIPS 180-4 §5.3.3.
#[cfg(target_arch = "x86_64")]
const INITIAL: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// FIPS 180-4 §4.2.2.
#[cfg(target_arch = "x86_64")]
const K: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// The compression function for `LANES` messages at once.
#[cfg(target_arch = "x86_64")]
trait Kernel<const LANES: usize>: Default {
    /// Another message begins in a lane.
    fn begin(&mut self, lane: usize);

    /// The state of a lane's message.
    fn state(&self, lane: usize) -> State;

    /// Takes the first `count` blocks of every lane.
    ///
    /// # Safety
    /// The processor has the instructions that the kernel is named after.
    unsafe fn compress(&mut self, messages: &[&[Block]; LANES], count: usize);
}

/// Fewer messages than this leave so many of sixteen lanes idle that two are faster.
#[cfg(target_arch = "x86_64")]
const WORTH_SIXTEEN: usize = 5;

/// A SHA-256 that this machine can run.
///
/// Invariant: a field is true only where the processor was asked for the instructions, so a value of this
/// type is the permission to call them.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "never true"))]
pub(crate) struct Sha256 {
    pair: bool,
    sixteen: bool,
}

impl Sha256 {
    /// The fastest one here.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        return Self {
            pair: is_x86_feature_detected!("sha")
                && is_x86_feature_detected!("ssse3")
                && is_x86_feature_detected!("sse4.1"),
            sixteen: is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw"),
        };
        #[cfg(not(target_arch = "x86_64"))]
        Self::default()
    }
}

impl Hasher for Sha256 {
    fn hash_each(&self, messages: &[Message<'_>], out: &mut [B256]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self { sixteen: true, pair } if messages.len() >= WORTH_SIXTEEN || !pair => {
                // SAFETY: `sixteen` is true only where the processor reported AVX-512F and AVX-512BW.
                unsafe { lane::hash_each::<16, avx512::Sixteen>(messages, out) }
            }
            #[cfg(target_arch = "x86_64")]
            Self { pair: true, .. } => {
                // SAFETY: `pair` is true only where the processor reported SHA, SSSE3 and SSE4.1.
                unsafe { lane::hash_each::<2, ni::Pair>(messages, out) }
            }
            _ => Scalar.hash_each(messages, out),
        }
    }
}
