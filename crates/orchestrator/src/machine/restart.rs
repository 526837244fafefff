//! What is done about a Running job whose compute is gone: the next attempt where some compute takes it,
//! the end by statements of silence where none does. Neither can hurry custodians: they agree to either
//! only when they have heard nothing for long enough, and hold nothing.

use licen_core::abi::{Job, MemberSignature};
use licen_core::job::MAX_ATTEMPTS;
use licen_core::primitives::B256;
use licen_core::wire::compute::{StartTicket, TaskState, TaskStatus};

use super::Machine;
use crate::check;
use crate::effect::{AttemptId, Call, Effect, Phase};
use crate::event::{Event, Reading};
use crate::timer::Timer;

/// How long compute has to be gone before anything is done about it, milliseconds.
const LOST_MS: u64 = 30_000;
/// Between two questions for silence: custodians need minutes.
const SILENCE_POLL_MS: u64 = 30_000;
/// How long nobody may take the next attempt before it counts as hopeless.
const HELPLESS_MS: u64 = 120_000;
/// How long a taken attempt may stay without verdicts once custodians have called the last one silent.
const VERDICTS_MS: u64 = 600_000;

/// The next attempt at a job, and why there may be one.
#[derive(Debug, Clone)]
pub(super) struct Again {
    /// Since when the running attempt's compute is gone.
    lost_ms: Option<u64>,
    /// When a compute last had the next attempt.
    taken_ms: Option<u64>,
    accepted: bool,
    ticket: Option<StartTicket>,
    /// Statements of enough members, and since when there are.
    silent: Option<(Vec<MemberSignature>, u64)>,
    pub(super) dispatch: Timer,
    pub(super) status: Timer,
    pub(super) silence: Timer,
}

impl Again {
    pub(super) fn new(job_id: B256) -> Self {
        let timer = |name| Timer::new(job_id, name);
        Self {
            lost_ms: None,
            taken_ms: None,
            accepted: false,
            ticket: None,
            silent: None,
            dispatch: timer("restart"),
            status: timer("restart status"),
            silence: timer("silence"),
        }
    }

    pub(super) fn reset(&mut self, now: u64) {
        (self.lost_ms, self.taken_ms, self.accepted) = (None, None, false);
        (self.ticket, self.silent) = (None, None);
        for timer in [&mut self.dispatch, &mut self.status, &mut self.silence] {
            timer.reset(now);
        }
    }

    fn is_due(&self, now: u64) -> bool {
        self.lost_ms.is_some_and(|lost| now >= lost + LOST_MS)
    }

    /// Whether waiting for another compute leads nowhere.
    fn is_helpless(&self, now: u64) -> bool {
        let since = self.taken_ms.or(self.lost_ms).unwrap_or(now);
        let slow = self.silent.as_ref().is_some_and(|(_, at)| now >= at + VERDICTS_MS);
        slow || (!self.accepted && now >= since + HELPLESS_MS)
    }

    /// What it waits for; a timer that nothing asks for would be due for ever.
    pub(super) fn timers(&self, attempt: u32) -> Vec<&Timer> {
        match (self.lost_ms, self.accepted) {
            (None, _) => vec![],
            (Some(_), _) if attempt >= MAX_ATTEMPTS => vec![&self.silence],
            (Some(_), true) => vec![&self.status, &self.silence],
            (Some(_), false) => vec![&self.dispatch, &self.silence],
        }
    }
}

/// The attempt that would follow the one that runs.
pub(super) fn next_of(job: &Job) -> AttemptId {
    AttemptId { attempt: job.attempt + 1, ..AttemptId::of(job) }
}

impl Machine {
    /// Compute cannot be asked about the running attempt, or has no keys of it.
    pub(super) fn lost(&mut self, now: u64) {
        if self.again.lost_ms.is_none() && self.running_job().is_some() {
            self.again.reset(now);
            self.again.lost_ms = Some(now);
            // What is asked then is due only then: a word that got lost is no loss.
            for timer in [&mut self.again.dispatch, &mut self.again.silence] {
                timer.answered(now, LOST_MS);
            }
        }
    }

    /// Compute works on the running attempt.
    pub(super) fn found(&mut self, now: u64) {
        self.again.reset(now);
    }

    fn is_next(&self, id: AttemptId) -> bool {
        self.running_job().is_some_and(|job| next_of(&job) == id) && self.again.lost_ms.is_some()
    }

    /// Asks whatever is due about the next attempt.
    pub(super) fn ask_again(&mut self, now: u64, job: &Job, effects: &mut Vec<Effect>) {
        let waits = matches!(self.phase, Phase::Resuming | Phase::Training);
        if !waits || !self.again.is_due(now) {
            return;
        }
        let next = next_of(job);
        if job.attempt < MAX_ATTEMPTS {
            if !self.again.accepted && self.again.dispatch.fire(now) {
                effects.push(Effect::Dispatch(next, Box::new(job.clone())));
            }
            if self.again.accepted && self.again.status.fire(now) {
                effects.push(Effect::PollStatus(next, Box::new(job.clone())));
            }
        }
        if self.again.silence.fire(now) {
            effects.push(Effect::AskSilence(AttemptId::of(job), Box::new(job.clone())));
        }
    }

    /// An answer about the next attempt; true where it was one.
    pub(super) fn on_next(&mut self, now: u64, event: &Event) -> bool {
        match event {
            Event::Accepted(id) if self.is_next(*id) => {
                self.again.dispatch.answered_only(now, self.pace.poll);
                (self.again.accepted, self.again.taken_ms) = (true, Some(now));
                self.again.status.hurry(now);
            }
            Event::DispatchFailed(id, _) if self.is_next(*id) => self.again.dispatch.failed(now, &self.pace),
            Event::TaskUnknown(id) | Event::StatusFailed(id, _) if self.is_next(*id) => {
                self.again.status.answered(now, self.pace.poll);
                self.dispatch_next_again(now);
            }
            Event::Status(id, status) if self.is_next(*id) => self.on_next_status(now, status),
            _ => return false,
        }
        true
    }

    fn on_next_status(&mut self, now: u64, status: &TaskStatus) {
        self.again.status.answered(now, self.pace.poll);
        self.progress.message.clone_from(&status.message);
        match &status.start {
            Some(ticket) => {
                self.again.ticket = Some(ticket.clone());
                self.again.taken_ms = Some(now);
                self.read.hurry(now);
            }
            None if status.task_state == TaskState::Failed => self.dispatch_next_again(now),
            None => self.again.taken_ms = Some(now),
        }
    }

    fn dispatch_next_again(&mut self, now: u64) {
        (self.again.accepted, self.again.ticket) = (false, None);
        self.again.dispatch.failed(now, &self.pace);
    }

    /// Enough members have called the running attempt silent.
    pub(super) fn on_silent(&mut self, now: u64, id: AttemptId, silences: Vec<MemberSignature>) {
        if self.current() == Some(id) {
            self.again.silence.answered(now, SILENCE_POLL_MS);
            self.again.silent.get_or_insert((silences, now));
            self.read.hurry(now);
        }
    }

    pub(super) fn on_not_silent(&mut self, now: u64, id: AttemptId) {
        if self.current() == Some(id) {
            self.again.silence.answered(now, SILENCE_POLL_MS);
        }
    }

    /// With the contract's word at hand: restarts the job, or ends it. True where it did either.
    pub(super) fn go_on(
        &mut self,
        now: u64,
        job: &Job,
        reading: &Reading,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if self.again.lost_ms.is_none() || reading.head_time > job.runDeadline {
            return false;
        }
        if let Some(ticket) = self.again.ticket.clone() {
            match check::ticket(job, &ticket, job.attempt + 1, reading.head_time) {
                Ok(()) => {
                    self.enter(Phase::Starting);
                    self.push(now, Call::Restart { job: job.clone(), ticket }, effects);
                    return true;
                }
                Err(_) => self.dispatch_next_again(now),
            }
        }
        let hopeless = job.attempt >= MAX_ATTEMPTS || self.again.is_helpless(now);
        if let Some((silences, _)) = self.again.silent.clone().filter(|_| hopeless) {
            let call = Call::Silent { job: job.clone(), silences };
            self.decided.entry(AttemptId::of(job)).or_insert(call.clone());
            self.enter(Phase::Ending);
            self.push(now, call, effects);
            return true;
        }
        false
    }

    /// The contract refused to restart.
    pub(super) fn restart_refused(&mut self, now: u64) {
        self.dispatch_next_again(now);
    }
}
