//! A deterministic world. The contracts' committed bytecode runs on revm; the real machines of
//! orchestrator, custodians and compute are driven by carrying their effects out here; sealing,
//! attestation, roots and storage are the real code. One seed chooses prices, windows, thresholds,
//! weather and faults, and the same seed gives the same run.
//!
//! ```text
//! scenario   what a seed chooses                     random, keys
//! world      who is there, what happens next         agenda, trace
//!   chain      blocks, views at depth, proofs          revm
//!   network    delay, duplicates, reordering, loss
//!   owner      publish        requester   request, watch, ways out, fetch
//!   orchestrator, custodian, compute      the real machines, effects carried out
//!   storage    the real blob directory    records     a custodian's disk
//!   fault      what goes wrong, strangers, withdrawals
//!   trial      what `admit` predicts against what the contract does
//!   sabotage   what a test breaks on purpose, to see that it is noticed
//! invariant  after every block, whenever a share leaves, and at the end
//! ```
//!
//! Stand-ins, so that nobody believes more than was tested: training is a hash over the rows
//! (`compute::trainer`); the shells (`run`, `http`), the index, the databases and the transaction
//! sender are not run; compute's talk with custodians and the dispatch rules are written again here,
//! because the node's are bound to HTTP; blocks are never replaced; every token is the native coin.
#![forbid(unsafe_code)]

mod agenda;
mod chain;
mod collusion;
mod compute;
mod custodian;
mod error;
mod fault;
mod invariant;
mod keys;
mod network;
mod orchestrator;
mod owner;
mod random;
mod records;
mod requester;
mod sabotage;
mod scenario;
mod storage;
mod trace;
mod trial;
mod world;

pub use error::SimError;
pub use sabotage::Sabotage;
pub use scenario::{Fault, JobPlan, Role, Scenario, Walk};

use world::World;

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// How it ended.
    pub outcome: Result<Tally, SimError>,
    /// What happened, one line each.
    pub trace: Vec<String>,
}

/// Numbers of a run that broke nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Blocks.
    pub blocks: u64,
    /// Jobs that were requested.
    pub jobs: usize,
    /// Jobs whose result was paid for and opened by its requester.
    pub fetched: usize,
    /// Shares of dataset keys that left a custodian.
    pub dataset_shares: u64,
    /// Shares of result keys that left a custodian.
    pub result_shares: u64,
}

/// Runs one scenario to its end.
#[must_use]
pub fn run(scenario: Scenario) -> Report {
    let mut world = match World::new(scenario) {
        Ok(world) => world,
        Err(error) => return Report { outcome: Err(error), trace: Vec::new() },
    };
    let outcome = world.run().map(|()| Tally {
        blocks: world.watcher.blocks,
        jobs: world.requesters.len(),
        fetched: world.requesters.iter().filter(|r| r.fetched).count(),
        dataset_shares: world.watcher.dataset_shares,
        result_shares: world.watcher.result_shares,
    });
    Report { outcome, trace: world.trace.lines().to_vec() }
}
