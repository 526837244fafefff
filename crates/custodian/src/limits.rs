//! How often one peer and all of them may ask, checked before anything costs CPU, disk or an RPC; and
//! how often a job may be asked about, checked once the chain says that it is time for the question.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use licen_core::primitives::B256;
use licen_peers::Caller;

/// Most peers or jobs that are remembered.
const REMEMBERED: usize = 10_000;
const MINUTE_MS: u64 = 60_000;

/// Requests per minute; as many may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Of one peer (an IPv4 address or an IPv6 /64), about anything.
    pub per_peer: u32,
    /// About one job and of one kind, from anybody. Larger than `per_peer`, so that no single peer uses
    /// it up.
    pub per_job: u32,
    /// Of all peers together.
    pub total: u32,
}

/// Counts.
#[derive(Debug)]
pub(crate) struct Limits {
    callers: Buckets<IpAddr>,
    jobs: Buckets<(B256, &'static str)>,
    all: Buckets<()>,
}

impl Limits {
    pub(crate) fn new(rates: Rates) -> Self {
        Self {
            callers: Buckets::new(rates.per_peer),
            jobs: Buckets::new(rates.per_job),
            all: Buckets::new(rates.total),
        }
    }

    /// Whether this caller's request is looked at.
    pub(crate) fn admit(&mut self, now_ms: u64, caller: Caller) -> bool {
        self.callers.take(now_ms, network(caller)) && self.all.take(now_ms, ())
    }

    /// Whether nobody is looked at any more, whoever asks.
    pub(crate) fn is_flooded(&self, now_ms: u64) -> bool {
        self.all.levels.get(&()).is_some_and(|old| self.all.level(now_ms, *old) < 1000)
    }

    /// Whether a request of this kind about this job may go on.
    pub(crate) fn admit_job(&mut self, now_ms: u64, about: (B256, &'static str)) -> bool {
        self.jobs.take(now_ms, about)
    }
}

/// Whom a caller counts as: one machine has a whole IPv6 /64 to choose from.
fn network(caller: Caller) -> IpAddr {
    match caller.address() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
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

    fn peer(n: u32) -> Caller {
        Caller::direct(IpAddr::V4(Ipv4Addr::from(n)))
    }

    const MANY: Rates = Rates { per_peer: u32::MAX, per_job: u32::MAX, total: u32::MAX };

    #[test]
    fn a_peer_that_asks_too_often_waits() {
        let mut limits = Limits::new(Rates { per_peer: 2, ..MANY });
        assert!(limits.admit(0, peer(1)) && limits.admit(0, peer(1)));
        assert!(!limits.admit(29_999, peer(1)));
        assert!(limits.admit(0, peer(2)), "others are not affected");
        assert!(limits.admit(30_000, peer(1)));
        assert!(!limits.admit(30_000, peer(1)));
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_peer() {
        let mut limits = Limits::new(Rates { per_peer: 2, ..MANY });
        let mut admit = |text: &str| limits.admit(0, Caller::direct(text.parse().unwrap()));
        assert!(admit("2001:db8:0:1::1") && admit("2001:db8:0:1:ffff::2"));
        assert!(!admit("2001:db8:0:1:2:3:4:5"));
        assert!(admit("2001:db8:0:2::1"), "another network is another peer");
        assert!(admit("192.0.2.1") && admit("::ffff:192.0.2.1") && !admit("192.0.2.1"));
    }

    #[test]
    fn all_peers_together_are_limited() {
        let mut limits = Limits::new(Rates { per_peer: 2, total: 3, ..MANY });
        assert_eq!((0..9).filter(|n| limits.admit(0, peer(*n))).count(), 3);
        assert!(limits.admit(20_000, peer(20)));
    }

    #[test]
    fn a_job_is_not_asked_about_without_end() {
        let mut limits = Limits::new(Rates { per_job: 3, ..MANY });
        let job = B256::repeat_byte(1);
        assert_eq!((0..5).filter(|_| limits.admit_job(0, (job, "verdict"))).count(), 3);
        assert!(limits.admit_job(0, (job, "release")), "another question");
        assert!(limits.admit_job(0, (B256::repeat_byte(2), "verdict")));
    }

    #[test]
    fn memory_is_bounded_and_recovers() {
        let mut limits = Limits::new(Rates { per_peer: 60, ..MANY });
        let admitted = (0..20_000).filter(|n| limits.admit(0, peer(*n))).count();
        assert_eq!(admitted, REMEMBERED);
        assert!(limits.admit(2_000, peer(50_000)));
        assert!(limits.callers.levels.len() <= REMEMBERED);
    }
}
