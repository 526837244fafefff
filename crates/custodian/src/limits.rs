//! How often a peer may ask, and how often a job may be asked about: checked before anything costs
//! CPU, disk or an RPC.

use std::collections::BTreeMap;
use std::net::IpAddr;

use licen_core::primitives::B256;

/// Most peers or jobs that are remembered.
const REMEMBERED: usize = 10_000;
const MINUTE_MS: u64 = 60_000;

/// Requests per minute; as many may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Of one peer, about anything.
    pub per_peer: u32,
    /// About one job, from anybody. Larger than `per_peer`, so that no single peer uses it up.
    pub per_job: u32,
}

/// Counts.
#[derive(Debug)]
pub(crate) struct Limits {
    peers: Buckets<IpAddr>,
    jobs: Buckets<B256>,
}

impl Limits {
    pub(crate) fn new(rates: Rates) -> Self {
        Self { peers: Buckets::new(rates.per_peer), jobs: Buckets::new(rates.per_job) }
    }

    /// Whether this request may go on.
    pub(crate) fn admit(&mut self, now_ms: u64, peer: IpAddr, job_id: B256) -> bool {
        self.peers.take(now_ms, peer) && self.jobs.take(now_ms, job_id)
    }
}

#[derive(Debug)]
struct Buckets<K> {
    per_minute: u64,
    /// Thousandths of requests left, and when that was true.
    levels: BTreeMap<K, (u64, u64)>,
}

impl<K: Ord + Copy> Buckets<K> {
    fn new(per_minute: u32) -> Self {
        Self { per_minute: u64::from(per_minute), levels: BTreeMap::new() }
    }

    fn level(&self, now_ms: u64, (level, at): (u64, u64)) -> u64 {
        let gained = now_ms.saturating_sub(at).saturating_mul(self.per_minute) * 1000 / MINUTE_MS;
        level.saturating_add(gained).min(self.per_minute * 1000)
    }

    fn take(&mut self, now_ms: u64, key: K) -> bool {
        let full = self.per_minute * 1000;
        let level = self.levels.get(&key).map_or(full, |old| self.level(now_ms, *old));
        if level < 1000 {
            return false;
        }
        if !self.levels.contains_key(&key) && self.levels.len() >= REMEMBERED {
            self.forget_full(now_ms);
            if self.levels.len() >= REMEMBERED {
                return false;
            }
        }
        self.levels.insert(key, (level - 1000, now_ms));
        true
    }

    fn forget_full(&mut self, now_ms: u64) {
        let full = self.per_minute * 1000;
        let mut levels = std::mem::take(&mut self.levels);
        levels.retain(|_, old| self.level(now_ms, *old) < full);
        self.levels = levels;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn peer(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(n))
    }

    #[test]
    fn a_peer_that_asks_too_often_waits() {
        let mut limits = Limits::new(Rates { per_peer: 2, per_job: 100 });
        let job = B256::repeat_byte(1);
        assert!(limits.admit(0, peer(1), job) && limits.admit(0, peer(1), job));
        assert!(!limits.admit(29_999, peer(1), job));
        assert!(limits.admit(0, peer(2), job), "others are not affected");
        assert!(limits.admit(30_000, peer(1), job));
        assert!(!limits.admit(30_000, peer(1), job));
    }

    #[test]
    fn a_job_is_not_asked_about_without_end() {
        let mut limits = Limits::new(Rates { per_peer: 100, per_job: 3 });
        let job = B256::repeat_byte(1);
        assert_eq!((0..5).filter(|n| limits.admit(0, peer(*n), job)).count(), 3);
        assert!(limits.admit(0, peer(9), B256::repeat_byte(2)));
    }

    #[test]
    fn memory_is_bounded_and_recovers() {
        let mut limits = Limits::new(Rates { per_peer: 60, per_job: u32::MAX });
        let job = B256::repeat_byte(1);
        let admitted = (0..20_000).filter(|n| limits.admit(0, peer(*n), job)).count();
        assert_eq!(admitted, REMEMBERED);
        assert!(limits.admit(2_000, peer(50_000), job));
        assert!(limits.peers.levels.len() <= REMEMBERED);
    }
}
