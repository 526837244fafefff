//! What a refusal leaves behind. The audit log is kept for ever and every line costs the disk, so it has
//! only refusals of peers that showed something strangers do not have, and of these not without end.
//! The others are counted.

use std::collections::HashMap;
use std::mem::Discriminant;

use licen_core::primitives::B256;

use crate::denial::Denial;

/// Lines for one job, question and kind of reason: nonces of a granted job are there for the asking.
const LINES_PER_REASON: u32 = 8;
/// Most of these that are remembered; beyond it, nothing is written.
const REMEMBERED: usize = 10_000;
/// Between two log lines about refusals that are only counted.
const SUMMARY_MS: u64 = 60_000;

/// Counts, since the start.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    written: HashMap<(B256, &'static str, Discriminant<Denial>), u32>,
    counted: u64,
    last: String,
    said_ms: Option<u64>,
}

impl Refusals {
    /// Whether this refusal of a peer that proved something still gets a line of its own.
    pub(crate) fn is_written(&mut self, job_id: B256, what: &'static str, denial: &Denial) -> bool {
        let key = (job_id, what, std::mem::discriminant(denial));
        if !self.written.contains_key(&key) && self.written.len() >= REMEMBERED {
            return false;
        }
        let lines = self.written.entry(key).or_default();
        *lines += 1;
        *lines <= LINES_PER_REASON
    }

    /// Counts a refusal, and says so at most once per minute.
    pub(crate) fn count(&mut self, now_ms: u64, what: &'static str, denial: &Denial) {
        self.counted += 1;
        self.last = denial.to_string();
        if self.said_ms.is_none_or(|said| now_ms.saturating_sub(said) >= SUMMARY_MS) {
            tracing::info!(requests = self.counted, last = what, reason = self.last, "refused");
            (self.counted, self.said_ms) = (0, Some(now_ms));
        }
    }

    /// The reason of the latest that was only counted.
    #[cfg(test)]
    pub(crate) fn last(&self) -> &str {
        &self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_is_not_written_without_end_and_hides_no_other() {
        let mut refusals = Refusals::default();
        let job = B256::repeat_byte(1);
        let mut written = |what, denial| (0..100).filter(|_| refusals.is_written(job, what, &denial)).count();
        assert_eq!(written("verdict", Denial::Policy), 8);
        assert_eq!((written("verdict", Denial::Commitment), written("release", Denial::Policy)), (8, 8));
    }

    #[test]
    fn memory_is_bounded() {
        let mut refusals = Refusals::default();
        let jobs = (0..20_000u64).map(|n| B256::left_padding_from(&n.to_be_bytes()));
        assert_eq!(
            jobs.filter(|job| refusals.is_written(*job, "verdict", &Denial::Policy)).count(),
            REMEMBERED
        );
    }
}
