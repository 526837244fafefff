//! What must hold whatever a seed chooses. `block` and `money` are looked at after every block,
//! `share` when something leaves a custodian, `end` once nothing can happen any more.

mod block;
mod end;
mod money;
mod share;

use std::collections::BTreeMap;

use licen_core::job::JobState;
use licen_core::primitives::{B256, U256};

/// What the checks remember from one block to the next.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// All coins there are, wei.
    supply: U256,
    states: BTreeMap<B256, JobState>,
    /// Shares that left custodians.
    pub(crate) dataset_shares: u64,
    pub(crate) result_shares: u64,
    /// Blocks that were looked at.
    pub(crate) blocks: u64,
}

impl Watcher {
    pub(crate) fn new(supply: U256) -> Self {
        let states = BTreeMap::new();
        Self { supply, states, dataset_shares: 0, result_shares: 0, blocks: 0 }
    }

    /// A job's state after the newest block.
    pub(crate) fn state(&self, job: B256) -> Option<JobState> {
        self.states.get(&job).copied()
    }
}
