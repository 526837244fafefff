//! How fresh the tables are, for everybody who answers from them.

use std::sync::Arc;

use licen_core::primitives::B256;
use tokio::sync::watch;

/// Blocks the tables may be behind the chain and still count as its present.
pub const MAX_LAG: u64 = 16;

/// Where the tables stand against the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of block 0, pinned: another chain behind the same URL is refused.
    pub genesis_hash: B256,
    /// Newest block the RPC named; `None` before it answered.
    pub head: Option<u64>,
    /// Last block in the tables; `None` before the first.
    pub indexed: Option<u64>,
    /// Its time, seconds: the chain's clock as far as the tables know it.
    pub timestamp: u64,
    /// Why the tables cannot be taken for the present; empty while they follow.
    pub problem: String,
    /// Whether the problem ends only by a person's act.
    pub halted: bool,
}

impl Status {
    /// Blocks the tables are behind; `None` while one of both is unknown.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        Some(self.head?.saturating_sub(self.indexed?))
    }

    /// Whether the tables show the chain's present.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.problem.is_empty() && self.lag().is_some_and(|lag| lag <= MAX_LAG)
    }
}

/// Written by the follower, read by everybody. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Freshness(Arc<watch::Sender<Status>>);

impl Freshness {
    /// Not ready, until the follower says so.
    #[must_use]
    pub fn new(chain_id: u64, genesis_hash: B256) -> Self {
        let status = Status {
            chain_id,
            genesis_hash,
            head: None,
            indexed: None,
            timestamp: 0,
            problem: "starting".to_string(),
            halted: false,
        };
        Self(Arc::new(watch::Sender::new(status)))
    }

    /// As it stands.
    #[must_use]
    pub fn get(&self) -> Status {
        self.0.borrow().clone()
    }

    /// Told at every change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Status> {
        self.0.subscribe()
    }

    /// For the follower, and for tests of what answers from it.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        self.0.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }
}
