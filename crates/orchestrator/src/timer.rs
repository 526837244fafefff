//! When to ask again: a fixed poll while things go well, growing pauses with jitter while they do not.

use licen_core::primitives::{B256, keccak256};

/// How often, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two polls that go well.
    pub poll: u64,
    /// After the first failure; doubles with each.
    pub retry: u64,
    /// Never longer than this.
    pub retry_max: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { poll: 1_000, retry: 500, retry_max: 60_000 }
    }
}

/// One thing that is asked again and again, with at most one question on its way.
#[derive(Debug, Clone)]
pub(crate) struct Timer {
    due: u64,
    waiting: bool,
    tries: u32,
    seed: B256,
}

impl Timer {
    /// Due at once. `seed` spreads the pauses of different jobs.
    pub(crate) fn new(job_id: B256, name: &str) -> Self {
        Self {
            due: 0,
            waiting: false,
            tries: 0,
            seed: keccak256([job_id.as_slice(), name.as_bytes()].concat()),
        }
    }

    /// Whether to ask now; if so, the question counts as asked.
    pub(crate) fn fire(&mut self, now: u64) -> bool {
        let ready = !self.waiting && self.due <= now;
        self.waiting |= ready;
        ready
    }

    /// When it wants to fire; `None` while an answer is outstanding.
    pub(crate) fn deadline(&self) -> Option<u64> {
        (!self.waiting).then_some(self.due)
    }

    /// Answered; ask again after `pause`.
    pub(crate) fn answered(&mut self, now: u64, pause: u64) {
        self.waiting = false;
        self.tries = 0;
        self.due = now + pause;
    }

    /// Answered, but that is no progress yet: the failures before still count.
    pub(crate) fn answered_only(&mut self, now: u64, pause: u64) {
        self.waiting = false;
        self.due = now + pause;
    }

    /// Failed; ask again after a pause that grows.
    pub(crate) fn failed(&mut self, now: u64, pace: &Pace) {
        self.waiting = false;
        self.due = now + backoff(pace, self.tries, &self.seed);
        self.tries = self.tries.saturating_add(1);
    }

    /// Ask at once, if nothing is outstanding.
    pub(crate) fn hurry(&mut self, now: u64) {
        self.due = self.due.min(now);
    }

    /// Forget everything: what was asked is about something else now.
    pub(crate) fn reset(&mut self, now: u64) {
        self.waiting = false;
        self.tries = 0;
        self.due = now;
    }

    pub(crate) fn tries(&self) -> u32 {
        self.tries
    }
}

/// Between half and all of `retry * 2^tries`, capped. Deterministic, so a failing schedule replays;
/// different per job and per try, so that jobs which failed together do not come back together.
fn backoff(pace: &Pace, tries: u32, seed: &B256) -> u64 {
    let full = pace.retry.saturating_mul(1u64 << tries.min(20)).min(pace.retry_max);
    let byte = u64::from(seed[tries as usize % 32]);
    full / 2 + full * byte / 510
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_differ_between_jobs() {
        let pace = Pace { poll: 1, retry: 100, retry_max: 5_000 };
        let seed = keccak256("a job");
        for tries in 0..64 {
            let full = (100u64 << tries.min(20)).min(5_000);
            let pause = backoff(&pace, tries, &seed);
            assert!((full / 2..=full).contains(&pause), "{tries}: {pause}");
        }
        let other: Vec<u64> = (0..8).map(|t| backoff(&pace, t, &keccak256("another"))).collect();
        assert_ne!(other, (0..8).map(|t| backoff(&pace, t, &seed)).collect::<Vec<_>>());
    }

    #[test]
    fn one_question_at_a_time() {
        let mut timer = Timer::new(B256::ZERO, "x");
        assert!(timer.fire(0));
        assert!(!timer.fire(10));
        assert_eq!(timer.deadline(), None);
        timer.answered(10, 5);
        assert_eq!(timer.deadline(), Some(15));
        assert!(!timer.fire(14));
        assert!(timer.fire(15));
    }
}
