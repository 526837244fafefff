//! The life of one attempt, pure: no clock, no I/O, no keys. `step` takes what happened and says what
//! to do; `deadline` says when time alone changes something.
//!
//! ```text
//! Queued -> SettingUp -> SetUp -> Releasing -> Opening -> Training -> Sealing -> Handing -> Delivering -> Delivered
//!                          \________________ before Running: Failed, nothing signed
//!                                            \_____ from Running to Handing: Failing -> Failed with a signed report
//! ```
//!
//! What fails before Running has bound nobody: the same job, dispatched again as granted, begins anew
//! with new keys. Anybody may dispatch a job as Running, so only what custodians answer is taken for it:
//! where none sees it, the attempt waits on with its keys and signs nothing.
//!
//! Invariant: `SignFailure` and `SignManifest` are asked at most once each, whatever happens and in
//! whatever order, and the report only while no manifest is signed: after that nothing can fail the
//! job any more. The signing key itself is used up by the first statement (`keys`).

use std::time::Duration;

use licen_core::job::Reason;
use licen_core::unit::{Allowance, NextEpoch};
use licen_core::wire::compute::{SignedFailure, StartTicket, TaskState, TaskStatus};

use super::effect::Effect;
use super::event::Event;

/// Longest an attempt holds the training slot without verdicts, seconds: others wait for it.
const SET_UP_WINDOW: u64 = 600;
/// Seconds a start transaction may need after its verdicts expire on our clock.
const START_GRACE: u64 = 120;
/// Longest wait for shares once the job is Running, seconds.
const RELEASE_WINDOW: u64 = 600;
/// Bounds of the time kept free before the run deadline for sealing and delivering, seconds.
const MARGIN: (u64, u64) = (5, 300);
/// Longest wait for a custodian to take a signed manifest after the run deadline, seconds: late
/// confirmation is impossible, but a clock of ours may be ahead of the chain's.
const CLOCK_GRACE: u64 = 60;

/// What is fixed when the attempt is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Epochs the requester paid for.
    pub epochs: u32,
    /// Units the requester paid for.
    pub allowance: Allowance,
    /// Unix seconds until which the job may be started.
    pub start_deadline: u64,
    /// Seconds the run may take.
    pub run_window: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Queued,
    SettingUp { until: u64 },
    SetUp { verdicts_expire: u64 },
    Releasing { until: u64, verdicts_expire: u64 },
    Opening,
    Training { since: u64 },
    Sealing,
    Handing,
    Delivering { signed: bool },
    Delivered,
    Failing,
    Failed { again: bool },
}

/// One attempt at one job.
#[derive(Debug, Clone)]
pub struct Machine {
    terms: Terms,
    phase: Phase,
    ticket: Option<StartTicket>,
    failure: Option<SignedFailure>,
    run_deadline: u64,
    epoch: u32,
    epochs_done: u32,
    /// CPU time of the trainer when the last epoch ended, or training began.
    compute: Duration,
    /// CPU time of the longest epoch.
    longest: Duration,
    part: f64,
    loss: Option<f64>,
    stopping: bool,
    message: String,
}

impl Machine {
    /// A new attempt, to be qualified and to wait for the training slot.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            phase: Phase::Queued,
            ticket: None,
            failure: None,
            run_deadline: 0,
            epoch: 0,
            epochs_done: 0,
            compute: Duration::ZERO,
            longest: Duration::ZERO,
            part: 0.0,
            loss: None,
            stopping: false,
            message: "fetching documents".into(),
        }
    }

    /// An attempt that is said to run with keys that are not here. Should the chain think otherwise, a
    /// dispatch of the job as granted begins it anew.
    #[must_use]
    pub fn lost(terms: Terms) -> Self {
        let message = "the keys of this attempt are gone".into();
        Self { phase: Phase::Failed { again: true }, message, ..Self::new(terms) }
    }

    /// Takes in what happened at `now` (unix seconds) and appends what to do.
    pub fn step(&mut self, now: u64, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::SlotFree => self.on_slot(now, effects),
            Event::Ready { ticket, verdicts_expire } => self.on_ready(ticket, verdicts_expire),
            Event::Refused(message) => self.on_refused(message, effects),
            Event::Running { run_deadline } => self.on_running(now, run_deadline, effects),
            Event::Superseded => self.on_superseded(),
            Event::Unconfirmed(message) => self.on_unconfirmed(message),
            Event::KeyCombined { run_deadline } => self.on_key(run_deadline, effects),
            Event::Opened { compute } => self.on_opened(now, compute, effects),
            Event::Progress { epoch, epochs_done, part, loss, compute } => {
                if matches!(self.phase, Phase::Training { .. }) {
                    (self.part, self.loss) = (part.clamp(0.0, 1.0), loss.or(self.loss));
                }
                self.on_progress(now, (epoch, epochs_done), compute, effects);
            }
            Event::StopOrdered => {
                self.on_stop("stopping after this epoch, as the requester ordered", effects)
            }
            Event::Trained { epochs_done } => self.on_trained(epochs_done, effects),
            Event::Sealed => self.advance(Phase::Sealing, Phase::Handing, Effect::Hand, effects),
            Event::Held => {
                let next = Phase::Delivering { signed: false };
                self.advance(Phase::Handing, next, Effect::SignManifest, effects);
            }
            Event::ManifestSigned => {
                let (from, to) = (Phase::Delivering { signed: false }, Phase::Delivering { signed: true });
                self.advance(from, to, Effect::Deliver, effects);
            }
            Event::Accepted { custodians } => self.on_accepted(custodians, effects),
            Event::GaveUp(message) => self.on_gave_up(message, effects),
            Event::Broke { reason, message } => self.break_off(reason, message, effects),
            Event::FailureSigned(failure) => self.on_failure_signed(failure, effects),
            Event::Tick => {}
            Event::Note(message) => self.note(message),
        }
        self.on_time(now, effects);
    }

    /// When, in unix seconds, time alone changes something.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        match self.phase {
            Phase::Queued => Some(self.terms.start_deadline),
            Phase::SettingUp { until } => Some(until),
            Phase::SetUp { verdicts_expire } => Some(verdicts_expire + START_GRACE),
            Phase::Releasing { until, .. } => Some(until),
            Phase::Opening => Some(self.work_deadline()),
            Phase::Training { .. } if self.stopping => Some(self.work_deadline()),
            Phase::Training { .. } => Some(self.work_deadline().saturating_sub(self.margin())),
            Phase::Sealing | Phase::Handing => Some(self.run_deadline),
            Phase::Delivering { .. } => Some(self.run_deadline + CLOCK_GRACE),
            Phase::Delivered | Phase::Failing | Phase::Failed { .. } => None,
        }
    }

    /// What `GET` answers.
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        TaskStatus {
            task_state: self.task_state(),
            progress: self.part,
            epoch: self.epoch,
            loss: self.loss,
            start: self.ticket.clone(),
            failure: self.failure.clone(),
            message: self.message.clone(),
        }
    }

    /// Whether nothing can happen any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Delivered | Phase::Failed { .. })
    }

    /// Whether a new dispatch of the job as granted may begin the attempt again, with new keys.
    #[must_use]
    pub fn may_begin_again(&self) -> bool {
        matches!(self.phase, Phase::Failed { again: true })
    }

    fn task_state(&self) -> TaskState {
        match self.phase {
            Phase::Queued => TaskState::Init,
            Phase::SettingUp { .. } => TaskState::SettingUp,
            Phase::SetUp { .. } | Phase::Releasing { .. } => TaskState::SetUp,
            Phase::Opening | Phase::Training { .. } => TaskState::Training,
            Phase::Sealing => TaskState::Trained,
            Phase::Handing | Phase::Delivering { .. } => TaskState::Delivering,
            Phase::Delivered => TaskState::Delivered,
            Phase::Failing | Phase::Failed { .. } => TaskState::Failed,
        }
    }

    fn on_slot(&mut self, now: u64, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Queued {
            self.message = "asking custodians for verdicts".into();
            let until = self.terms.start_deadline.min(now + SET_UP_WINDOW);
            self.phase = Phase::SettingUp { until };
            effects.push(Effect::SetUp);
        }
    }

    fn on_ready(&mut self, ticket: StartTicket, verdicts_expire: u64) {
        if matches!(self.phase, Phase::SettingUp { .. }) {
            self.ticket = Some(ticket);
            self.message = "waiting for the job to be Running".into();
            self.phase = Phase::SetUp { verdicts_expire };
        }
    }

    fn on_refused(&mut self, message: String, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Queued | Phase::SettingUp { .. }) {
            self.give_up(true, message, effects);
        }
    }

    /// Another run deadline while shares are asked for is another claim about the same start: either may
    /// be the true one, so the second is asked for too. Neither lasts longer than a true one could.
    fn on_running(&mut self, now: u64, run_deadline: u64, effects: &mut Vec<Effect>) {
        let (verdicts_expire, asking) = match self.phase {
            Phase::SetUp { verdicts_expire } => (verdicts_expire, 0),
            Phase::Releasing { until, verdicts_expire } if run_deadline != self.run_deadline => {
                (verdicts_expire, until)
            }
            Phase::Queued
            | Phase::SettingUp { .. }
            | Phase::Releasing { .. }
            | Phase::Opening
            | Phase::Training { .. }
            | Phase::Sealing
            | Phase::Handing
            | Phase::Delivering { .. }
            | Phase::Delivered
            | Phase::Failing
            | Phase::Failed { .. } => return,
        };
        let latest =
            (verdicts_expire + START_GRACE + RELEASE_WINDOW).min(self.work_deadline_of(run_deadline));
        let until = (now + RELEASE_WINDOW).min(latest).max(asking);
        if until <= now {
            self.message = "a dispatch says that the job runs and leaves no time for it".into();
            return;
        }
        self.run_deadline = run_deadline;
        self.message = "asking custodians for key shares".into();
        self.phase = Phase::Releasing { until, verdicts_expire };
        effects.push(Effect::Unlock);
    }

    /// Anybody may say so; a custodian that was asked for a verdict or a share knows it.
    fn on_superseded(&mut self) {
        if matches!(self.phase, Phase::SetUp { .. }) {
            self.message = "a dispatch says that the job was started with another key".into();
        }
    }

    fn on_unconfirmed(&mut self, message: String) {
        if let Phase::Releasing { verdicts_expire, .. } = self.phase {
            self.message = message;
            self.phase = Phase::SetUp { verdicts_expire };
        }
    }

    fn on_key(&mut self, run_deadline: u64, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Releasing { .. }) {
            self.run_deadline = run_deadline;
            self.message = "fetching and verifying the dataset".into();
            self.phase = Phase::Opening;
            effects.push(Effect::Open);
        }
    }

    fn on_opened(&mut self, now: u64, compute: Duration, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Opening {
            self.compute = compute;
            self.message = "training".into();
            self.phase = Phase::Training { since: now };
            self.epoch = 1;
            effects.push(Effect::Train);
            if self.stopping {
                effects.push(Effect::StopAfterEpoch);
            }
        }
    }

    fn on_progress(
        &mut self,
        now: u64,
        (epoch, epochs_done): (u32, u32),
        compute: Duration,
        effects: &mut Vec<Effect>,
    ) {
        let Phase::Training { since } = self.phase else { return };
        let ended = epochs_done > self.epochs_done;
        (self.epoch, self.epochs_done) = (epoch, epochs_done.max(self.epochs_done));
        let in_first = self.epochs_done == u32::from(ended);
        if in_first && let Err(over) = self.terms.allowance.first_epoch(compute) {
            self.break_off(Reason::JobSpecInvalid, format!("in its first epoch {over}"), effects);
            return;
        }
        if ended {
            self.longest = self.longest.max(compute.saturating_sub(self.compute));
            self.compute = compute;
            self.on_epoch(now, since, effects);
        }
    }

    /// The trainer waits: another epoch, or the end.
    fn on_epoch(&mut self, now: u64, since: u64, effects: &mut Vec<Effect>) {
        if self.epochs_done >= self.terms.epochs {
            return;
        }
        let per_epoch = now.saturating_sub(since).div_ceil(u64::from(self.epochs_done.max(1)));
        if now + per_epoch > self.work_deadline() {
            self.on_stop("stopping: another epoch would not end before the run deadline", effects);
        }
        if self.terms.allowance.next_epoch(self.compute, self.longest) == NextEpoch::Ends {
            self.on_stop("stopping: another epoch would pass the job's units", effects);
        }
        if !self.stopping {
            effects.push(Effect::BeginEpoch { epoch: self.epochs_done + 1 });
        }
    }

    /// Before training starts an order is remembered: one epoch is the least that can be settled.
    fn on_stop(&mut self, message: &str, effects: &mut Vec<Effect>) {
        let training = matches!(self.phase, Phase::Training { .. });
        let before = matches!(self.phase, Phase::SetUp { .. } | Phase::Releasing { .. } | Phase::Opening);
        if (training || before) && !self.stopping {
            self.stopping = true;
            self.message = message.into();
            if training {
                effects.push(Effect::StopAfterEpoch);
            }
        }
    }

    fn on_trained(&mut self, epochs_done: u32, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Training { .. }) {
            return;
        }
        self.epochs_done = epochs_done;
        if epochs_done == 0 || epochs_done > self.terms.epochs {
            let message = format!("training ended after {epochs_done} of {} epochs", self.terms.epochs);
            self.break_off(Reason::JobSpecInvalid, message, effects);
            return;
        }
        self.part = 1.0;
        self.message = "sealing the result".into();
        self.phase = Phase::Sealing;
        effects.push(Effect::Seal);
    }

    fn on_accepted(&mut self, custodians: usize, effects: &mut Vec<Effect>) {
        if self.phase == (Phase::Delivering { signed: true }) {
            self.message = format!("{custodians} custodians hold the result and its manifest");
            self.phase = Phase::Delivered;
            effects.push(Effect::Wipe);
        }
    }

    fn on_gave_up(&mut self, message: String, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Delivering { signed: true } | Phase::Failing) {
            self.give_up(false, message, effects);
        }
    }

    fn on_failure_signed(&mut self, failure: SignedFailure, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Failing {
            self.failure = Some(failure);
            self.phase = Phase::Failed { again: false };
            effects.push(Effect::Wipe);
        }
    }

    fn note(&mut self, message: String) {
        if !self.is_over() && self.phase != Phase::Failing {
            self.message = message;
        }
    }

    fn on_time(&mut self, now: u64, effects: &mut Vec<Effect>) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.phase {
            Phase::SettingUp { .. } if now < self.terms.start_deadline => {
                let message = format!("not set up in time ({}); dispatch it again", self.message);
                self.give_up(true, message, effects);
            }
            Phase::Queued | Phase::SettingUp { .. } => {
                let message = "the start deadline passed before the attempt was set up";
                self.give_up(false, message.into(), effects);
            }
            Phase::SetUp { .. } => {
                let message = "the verdicts expired before the job was started; dispatch it again";
                self.give_up(true, message.into(), effects);
            }
            Phase::Releasing { .. } => {
                // Whoever asked has not even said what custodians answered, so nothing is known.
                self.on_unconfirmed(format!("too few key shares in time ({})", self.message));
                self.on_time(now, effects);
            }
            Phase::Opening => {
                let message = "the dataset was not here in time".into();
                self.break_off(Reason::StorageDownloadFailed, message, effects);
            }
            Phase::Training { .. } if !self.stopping => {
                self.on_stop("stopping after this epoch: the run deadline is near", effects);
                self.on_time(now, effects);
            }
            Phase::Training { .. } => {
                let message = "training did not end before the run deadline".into();
                self.break_off(Reason::ComputeTaskFailed, message, effects);
            }
            Phase::Sealing | Phase::Handing | Phase::Delivering { signed: false } => {
                let message = "the result was not delivered before the run deadline".into();
                self.break_off(Reason::ComputeTaskFailed, message, effects);
            }
            Phase::Delivering { signed: true } => {
                let message = "the run deadline passed before a custodian took the manifest".into();
                self.give_up(false, message, effects);
            }
            Phase::Delivered | Phase::Failing | Phase::Failed { .. } => {}
        }
    }

    /// After Running and before the manifest: the chain gets a signed report.
    fn break_off(&mut self, reason: Reason, message: String, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Releasing { .. }
            | Phase::Opening
            | Phase::Training { .. }
            | Phase::Sealing
            | Phase::Handing
            | Phase::Delivering { signed: false } => {
                self.message = message;
                self.phase = Phase::Failing;
                effects.push(Effect::SignFailure { reason, epochs_done: self.epochs_done });
            }
            Phase::Queued
            | Phase::SettingUp { .. }
            | Phase::SetUp { .. }
            | Phase::Delivering { signed: true }
            | Phase::Delivered
            | Phase::Failing
            | Phase::Failed { .. } => {}
        }
    }

    /// Ends without a statement.
    fn give_up(&mut self, again: bool, message: String, effects: &mut Vec<Effect>) {
        self.ticket = None;
        self.message = message;
        self.phase = Phase::Failed { again };
        effects.push(Effect::Wipe);
    }

    fn advance(&mut self, from: Phase, to: Phase, effect: Effect, effects: &mut Vec<Effect>) {
        if self.phase == from {
            self.phase = to;
            effects.push(effect);
        }
    }

    fn margin(&self) -> u64 {
        (u64::from(self.terms.run_window) / 20).clamp(MARGIN.0, MARGIN.1)
    }

    /// When work must have ended, so that the result can still be delivered and settled.
    fn work_deadline(&self) -> u64 {
        self.work_deadline_of(self.run_deadline)
    }

    fn work_deadline_of(&self, run_deadline: u64) -> u64 {
        run_deadline.saturating_sub(self.margin())
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
