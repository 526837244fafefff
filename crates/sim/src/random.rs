//! Every choice of a run, from one seed.

use licen_core::primitives::{B256, keccak256};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A stream of choices. ChaCha8 gives the same stream on every machine and in every version.
#[derive(Debug, Clone)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// The stream of a seed; `name` keeps streams apart, so that one more choice in one place does not
    /// change every other.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let named = keccak256([&seed.to_be_bytes()[..], name.as_bytes()].concat());
        Self(ChaCha8Rng::from_seed(named.0))
    }

    /// From `low` to `high`, both possible.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high.max(low))
    }

    /// True in `percent` of all cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.between(1, 100) <= percent
    }

    /// An index below `len`, which is not 0.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.0.random_range(0..len.max(1))
    }

    /// 32 bytes.
    pub(crate) fn word(&mut self) -> B256 {
        B256::from(self.0.random::<[u8; 32]>())
    }
}
