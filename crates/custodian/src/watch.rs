//! How long an attempt's compute has not been heard. A custodian that was itself down, stopped, deaf or
//! under a clock that jumped has heard nothing either, so it counts from when it was there again.
//!
//! Only this process's own time counts: signs of life before it are older than its start anyway.

use std::collections::BTreeMap;

use licen_core::job::{first_started_at, silence_after};
use licen_core::primitives::B256;
use licen_core::release::ConfirmedRun;

use crate::denial::Denial;

/// How often the machine wants to be woken, so that a pause shows.
const LOOK_MS: u64 = 20_000;
/// A longer time without a look is time in which nothing could be heard. A clock that jumps looks the
/// same from here.
const GAP_MS: u64 = 60_000;
/// Most attempts that are remembered. Only jobs that the chain shows Running come here, each paid for.
const REMEMBERED: usize = 10_000;

/// Of which job, and which attempt.
pub(crate) type AttemptKey = (B256, u32);

/// What was heard.
#[derive(Debug)]
pub(crate) struct Watch {
    floor_seconds: u64,
    /// Since when nothing was missed.
    since_ms: u64,
    looked_ms: Option<u64>,
    /// The last sign of life, or, before the first one, when the attempt was first seen to run.
    heard: BTreeMap<AttemptKey, u64>,
}

/// How long nothing was heard, and how long that has to be, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quiet {
    pub(crate) seconds: u64,
    pub(crate) needed: u64,
}

impl From<Quiet> for Denial {
    fn from(Quiet { seconds, needed }: Quiet) -> Self {
        Self::NotSilent { seconds, needed }
    }
}

impl Quiet {
    pub(crate) fn is_silence(self) -> bool {
        self.seconds >= self.needed
    }
}

impl Watch {
    pub(crate) fn new(floor_seconds: u64) -> Self {
        Self { floor_seconds, since_ms: 0, looked_ms: None, heard: BTreeMap::new() }
    }

    /// When it has to look again; at once before the first time.
    pub(crate) fn deadline(&self) -> u64 {
        self.looked_ms.map_or(0, |looked| looked + LOOK_MS)
    }

    /// Time passes.
    pub(crate) fn look(&mut self, now_ms: u64) {
        let unbroken = self.looked_ms.is_some_and(|looked| (looked..=looked + GAP_MS).contains(&now_ms));
        if !unbroken {
            self.was_deaf(now_ms);
        }
        self.looked_ms = Some(now_ms);
    }

    /// Something that may have been a sign of life was not understood: everybody's time starts anew.
    pub(crate) fn was_deaf(&mut self, now_ms: u64) {
        self.since_ms = now_ms;
        self.heard.retain(|_, heard| *heard <= now_ms);
    }

    /// The attempt's compute showed itself.
    pub(crate) fn hear(&mut self, key: AttemptKey, now_ms: u64) {
        if !self.heard.contains_key(&key) && self.heard.len() >= REMEMBERED {
            self.forget_oldest();
        }
        self.heard.insert(key, now_ms);
    }

    /// The attempt was seen to run. Anybody can ask for a share again, so that is no sign of life.
    pub(crate) fn see(&mut self, key: AttemptKey, now_ms: u64) {
        if !self.heard.contains_key(&key) {
            self.hear(key, now_ms);
        }
    }

    /// Whoever is forgotten was heard no later than everybody is from now on taken to have been.
    fn forget_oldest(&mut self) {
        let oldest = self.heard.iter().min_by_key(|(_, heard)| **heard).map(|(key, at)| (*key, *at));
        if let Some((key, heard)) = oldest {
            self.heard.remove(&key);
            self.since_ms = self.since_ms.max(heard);
        }
    }

    /// How long the attempt of this run has been quiet. An attempt that was never heard is quiet since
    /// it began: the first since the chain started it, a later one since this custodian first saw it run,
    /// which is now or was at an earlier call.
    pub(crate) fn quiet(&mut self, run: &ConfirmedRun, now_ms: u64) -> Quiet {
        let job = run.job();
        self.quiet_at((job.jobId, job.attempt), job.runWindow, age_of_first(job, run.now()), now_ms)
    }

    /// As [`Self::quiet`]; `age_seconds` is how long ago the chain started a first attempt.
    pub(crate) fn quiet_at(
        &mut self,
        key: AttemptKey,
        run_window: u32,
        age_seconds: Option<u64>,
        now_ms: u64,
    ) -> Quiet {
        let heard = match (self.heard.get(&key), age_seconds) {
            (Some(heard), _) => *heard,
            (None, Some(age)) => now_ms.saturating_sub(age.saturating_mul(1000)),
            (None, None) => {
                self.see(key, now_ms);
                now_ms
            }
        };
        let seconds = now_ms.saturating_sub(heard.max(self.since_ms)) / 1000;
        Quiet { seconds, needed: silence_after(self.floor_seconds, run_window) }
    }

    /// As [`Self::quiet`] where nothing is known of the job but its name: `None` for one that was never
    /// heard. Whoever asks may have made the name up, so nothing is remembered.
    pub(crate) fn known_quiet(&self, key: AttemptKey, now_ms: u64) -> Option<u64> {
        let heard = self.heard.get(&key)?;
        Some(now_ms.saturating_sub((*heard).max(self.since_ms)) / 1000)
    }

    pub(crate) fn floor_seconds(&self) -> u64 {
        self.floor_seconds
    }
}

/// How long ago the chain started the first attempt; `None` for later ones, whose start no field names.
pub(crate) fn age_of_first(job: &licen_core::abi::Job, chain_now: u64) -> Option<u64> {
    (job.attempt == 1).then(|| chain_now.saturating_sub(first_started_at(job)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: AttemptKey = (B256::repeat_byte(1), 1);
    const START: u64 = 1_000_000_000;

    /// Looks as often as the shell does, until `to`.
    fn pass(watch: &mut Watch, from: u64, to: u64) {
        (from..=to).step_by(LOOK_MS as usize).for_each(|at| watch.look(at));
        watch.look(to);
    }

    fn is_silent(watch: &mut Watch, age_seconds: u64, now: u64) -> bool {
        watch.quiet_at(KEY, 3_600, Some(age_seconds), now).is_silence()
    }

    #[test]
    fn compute_is_silent_after_its_time_and_not_before() {
        let mut watch = Watch::new(600);
        pass(&mut watch, START, START + 100_000);
        watch.hear(KEY, START + 100_000);
        pass(&mut watch, START + 100_000, START + 699_999);
        assert!(!is_silent(&mut watch, 50_000, START + 699_999));
        watch.look(START + 700_000);
        assert!(is_silent(&mut watch, 50_000, START + 700_000));
        watch.hear(KEY, START + 700_000);
        assert!(!is_silent(&mut watch, 50_000, START + 700_000));
    }

    #[test]
    fn a_custodian_that_was_down_does_not_call_compute_silent() {
        let mut watch = Watch::new(600);
        pass(&mut watch, START, START + 100_000);
        assert!(!is_silent(&mut watch, 50_000, START + 100_000), "it has only just begun to listen");
        pass(&mut watch, START + 100_000, START + 600_000);
        assert!(is_silent(&mut watch, 50_000, START + 600_000));
        // Stopped, paused with its machine, or under a clock that somebody put forward.
        watch.look(START + 600_000 + GAP_MS + 1);
        assert!(!is_silent(&mut watch, 50_000, START + 600_000 + GAP_MS + 1));
    }

    #[test]
    fn a_clock_that_goes_back_starts_the_time_anew() {
        let mut watch = Watch::new(600);
        pass(&mut watch, START, START + 700_000);
        watch.hear(KEY, START + 700_000);
        watch.look(START);
        assert!(!is_silent(&mut watch, 50_000, START));
        pass(&mut watch, START, START + 600_000);
        assert!(is_silent(&mut watch, 50_000, START + 600_000), "and it is not ahead for ever");
    }

    #[test]
    fn a_young_first_attempt_is_not_silent_and_a_later_one_is_watched_first() {
        let mut watch = Watch::new(600);
        pass(&mut watch, START, START + 2_000_000);
        let now = START + 2_000_000;
        assert!(!is_silent(&mut watch, 599, now));
        assert!(is_silent(&mut watch, 600, now));
        let second = (KEY.0, 2);
        assert!(!watch.quiet_at(second, 3_600, None, now).is_silence());
        pass(&mut watch, now, now + 600_000);
        assert!(watch.quiet_at(second, 3_600, None, now + 600_000).is_silence());
    }

    #[test]
    fn a_long_run_may_be_quiet_for_longer() {
        let mut watch = Watch::new(600);
        pass(&mut watch, START, START + 5_000_000);
        let quiet = watch.quiet_at(KEY, 86_400, Some(4_319), START + 5_000_000);
        assert_eq!((quiet.needed, quiet.is_silence()), (4_320, false));
    }

    #[test]
    fn forgetting_makes_nobody_silent() {
        let mut watch = Watch::new(600);
        watch.look(START);
        for n in 0..=REMEMBERED as u64 {
            watch.hear((B256::left_padding_from(&n.to_be_bytes()), 1), START + n);
        }
        assert_eq!(watch.heard.len(), REMEMBERED);
        let forgotten = (B256::ZERO, 1);
        let quiet = watch.quiet_at(forgotten, 3_600, Some(1_000_000), START + 600_000);
        assert!(quiet.seconds <= 600);
        assert_eq!(watch.known_quiet(forgotten, START), None);
    }
}
