//! The pure part: one machine per job.
//!
//! ```text
//!             deep Granted           accepted            ticket, read             deep Running
//! Unconfirmed ------------> Dispatching -----> Preparing ------------> Starting ---------------+
//!      ^  \                                                                                    v
//!      |   \ deep Running                                            accepted                Resuming
//!      |    +------------------------------------------------------------------> Training <----+
//!  reorg drops it                                                                   | manifest or report, read
//!      |                   deadline passed at depth, read                           v
//!   any phase              any phase ------------------------> Expiring           Ending
//!                                                                  \    deep end    /
//!                                                                   +----> Ended <-+
//! ```
//!
//! Invariant: a transaction leaves only in the step that was told what the contract says now, and
//! only if what it says makes the transaction right. "Somebody else did it already" is success.
//!
//! Invariant: for one attempt at most one of confirm and fail ever leaves. Expiring leaves only when
//! the chain's own time, at the confirmation depth, is past the deadline up to which those two count.

mod restart;

use std::collections::HashMap;

use licen_core::abi::Job;
use licen_core::eip712::Domain;
use licen_core::fault::Party;
use licen_core::job::JobState;
use licen_core::primitives::B256;
use licen_core::wire::compute::{SignedFailure, StartTicket, TaskState, TaskStatus};
use licen_core::wire::custodian::SignedManifest;

use crate::check;
use crate::effect::{AttemptId, Call, CallKind, Effect, JobProgress, Phase};
use crate::event::{Deep, Event, Reading, TxOutcome};
use crate::timer::{Pace, Timer};

/// A transaction that the sender has.
#[derive(Debug, Clone, Copy)]
struct Sent {
    kind: CallKind,
    id: AttemptId,
    mined: bool,
}

/// Drives one job.
#[derive(Debug, Clone)]
pub struct Machine {
    pace: Pace,
    phase: Phase,
    deep: Option<Deep>,
    read: Timer,
    dispatch: Timer,
    status: Timer,
    manifest: Timer,
    send: Timer,
    accepted: Option<AttemptId>,
    ticket: Option<StartTicket>,
    decided: HashMap<AttemptId, Call>,
    sent: Option<Sent>,
    again: restart::Again,
    progress: JobProgress,
    reported: Option<JobProgress>,
}

impl Machine {
    /// Knows nothing but the job's name.
    #[must_use]
    pub fn new(job_id: B256, pace: Pace) -> Self {
        let timer = |name| Timer::new(job_id, name);
        let progress = JobProgress {
            job_id,
            phase: Phase::Unconfirmed,
            task_state: None,
            epoch: 0,
            progress: 0.0,
            loss: None,
            message: String::new(),
            waiting_for: None,
        };
        Self {
            pace,
            phase: Phase::Unconfirmed,
            deep: None,
            read: timer("read"),
            dispatch: timer("dispatch"),
            status: timer("status"),
            manifest: timer("manifest"),
            send: timer("send"),
            accepted: None,
            ticket: None,
            decided: HashMap::new(),
            sent: None,
            again: restart::Again::new(job_id),
            progress,
            reported: None,
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The attempt it is about; 0 while that is unknown.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.current().map_or(0, |id| id.attempt)
    }

    /// Failures in a row of whatever it waits for.
    #[must_use]
    pub fn tries(&self) -> u32 {
        [&self.read, &self.dispatch, &self.status, &self.manifest, &self.send]
            .into_iter()
            .map(Timer::tries)
            .max()
            .unwrap_or(0)
    }

    /// Why it waits; empty where it does not.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.progress.message
    }

    /// When `step` wants a `Wake`, in the clock of `now`; `None` while it waits for answers only.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        let again = match self.phase {
            Phase::Resuming | Phase::Training => self.again.timers(self.attempt()),
            Phase::Unconfirmed
            | Phase::Dispatching
            | Phase::Preparing
            | Phase::Starting
            | Phase::Ending
            | Phase::Expiring
            | Phase::Ended => vec![],
        };
        self.active().into_iter().chain(again).filter_map(Timer::deadline).min()
    }

    /// One event in, effects out. `now` is this machine's own clock in milliseconds and decides only
    /// when to ask again; deadlines are judged by chain time.
    pub fn step(&mut self, now: u64, event: Event, effects: &mut Vec<Effect>) {
        if !self.on_next(now, &event) {
            self.take(now, event, effects);
        }
        self.ask(now, effects);
        self.tell(effects);
    }

    fn take(&mut self, now: u64, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Wake => {}
            Event::Read(reading) => self.on_read(now, *reading, effects),
            Event::ReadFailed(why) => {
                self.read.failed(now, &self.pace);
                self.waits(Party::Chain, why);
            }
            Event::Accepted(id) => self.on_accepted(now, id),
            Event::DispatchFailed(id, why) => {
                if self.current() == Some(id) {
                    self.dispatch.failed(now, &self.pace);
                    self.waits(Party::Compute, why);
                    self.lost(now);
                }
            }
            Event::Status(id, status) => self.on_status(now, id, *status),
            Event::TaskUnknown(id) => {
                if self.current() == Some(id) {
                    self.status.answered(now, self.pace.poll);
                    self.dispatch_again(now);
                    self.lost(now);
                }
            }
            Event::StatusFailed(id, why) => {
                if self.current() == Some(id) {
                    self.status.failed(now, &self.pace);
                    self.waits(Party::Compute, why);
                    self.lost(now);
                }
            }
            Event::Manifest(id, signed) => self.on_manifest(now, id, &signed),
            Event::NoManifest(id, why) => {
                if self.current() == Some(id) {
                    self.manifest.answered(now, self.pace.poll);
                    if !why.is_empty() {
                        self.waits(Party::Custodian, why);
                    } else if self.progress.waiting_for == Some(Party::Custodian) {
                        self.waits_no_more();
                    }
                }
            }
            Event::Silent(id, silences) => self.on_silent(now, id, silences),
            Event::NotSilent(id) => self.on_not_silent(now, id),
            Event::Tx(kind, outcome) => self.on_tx(now, kind, outcome),
        }
    }

    fn current(&self) -> Option<AttemptId> {
        self.deep.as_ref().map(|d| AttemptId::of(&d.job))
    }

    fn active(&self) -> Vec<&Timer> {
        match self.phase {
            Phase::Unconfirmed | Phase::Starting | Phase::Ending | Phase::Expiring => vec![&self.read],
            Phase::Dispatching | Phase::Resuming => vec![&self.read, &self.dispatch],
            Phase::Preparing => vec![&self.read, &self.status],
            Phase::Training => vec![&self.read, &self.status, &self.manifest],
            Phase::Ended => vec![],
        }
    }

    /// Asks whatever is due.
    fn ask(&mut self, now: u64, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Ended && self.read.fire(now) {
            effects.push(Effect::Read);
        }
        let Some(deep) = &self.deep else { return };
        let id = AttemptId::of(&deep.job);
        match self.phase {
            Phase::Dispatching | Phase::Resuming => {
                if self.dispatch.fire(now) {
                    effects.push(Effect::Dispatch(id, Box::new(deep.job.clone())));
                }
            }
            Phase::Preparing => {
                if self.status.fire(now) {
                    effects.push(Effect::PollStatus(id, Box::new(deep.job.clone())));
                }
            }
            Phase::Training => {
                if self.status.fire(now) {
                    effects.push(Effect::PollStatus(id, Box::new(deep.job.clone())));
                }
                if self.manifest.fire(now) {
                    effects.push(Effect::PollManifest(id, Box::new(deep.job.clone())));
                }
            }
            Phase::Unconfirmed | Phase::Starting | Phase::Ending | Phase::Expiring | Phase::Ended => {}
        }
        if let Some(job) = self.running_job() {
            self.ask_again(now, &job, effects);
        }
    }

    fn tell(&mut self, effects: &mut Vec<Effect>) {
        self.progress.phase = self.phase;
        if self.reported.as_ref() != Some(&self.progress) {
            self.reported = Some(self.progress.clone());
            effects.push(Effect::Report(self.progress.clone()));
        }
    }

    fn waits(&mut self, party: Party, why: String) {
        self.progress.message = why;
        self.progress.waiting_for = Some(party);
    }

    fn waits_no_more(&mut self) {
        self.progress.message.clear();
        self.progress.waiting_for = None;
    }

    fn enter(&mut self, phase: Phase) {
        if self.phase != phase {
            self.phase = phase;
            self.waits_no_more();
        }
    }
}

/* READING */

impl Machine {
    fn on_read(&mut self, now: u64, reading: Reading, effects: &mut Vec<Effect>) {
        if self.read.tries() > 0 {
            self.waits_no_more();
        }
        self.read.answered(now, self.pace.poll);
        if self.phase == Phase::Ended {
            return;
        }
        let before = self.current();
        self.deep.clone_from(&reading.deep);
        if self.current() != before {
            self.forget(now);
        }
        let Some(Deep { state, job, .. }) = &reading.deep else {
            self.enter(Phase::Unconfirmed);
            return;
        };
        match state {
            JobState::Granted => self.granted(now, job, &reading, effects),
            JobState::Running => self.running(now, job, &reading, effects),
            JobState::Completed | JobState::Failed | JobState::Expired | JobState::Cancelled => {
                self.enter(Phase::Ended);
                effects.push(Effect::Finish(*state));
            }
        }
    }

    /// Another attempt, or the same job on another branch: nothing said about the one before counts.
    fn forget(&mut self, now: u64) {
        self.accepted = None;
        self.ticket = None;
        self.sent = None;
        self.again.reset(now);
        for timer in [&mut self.dispatch, &mut self.status, &mut self.manifest, &mut self.send] {
            timer.reset(now);
        }
        self.progress.task_state = None;
        self.progress.epoch = 0;
        self.progress.progress = 0.0;
        self.progress.loss = None;
    }

    fn granted(&mut self, now: u64, job: &Job, reading: &Reading, effects: &mut Vec<Effect>) {
        // Anything but Granted at the newest block: somebody was faster; wait until it is deep.
        if reading.head != Some(JobState::Granted) {
            self.enter(Phase::Starting);
            return;
        }
        if reading.deep_time > job.startDeadline {
            self.enter(Phase::Expiring);
            self.push(now, Call::Expire { job: job.clone() }, effects);
            return;
        }
        if self.accepted.is_none() {
            self.enter(Phase::Dispatching);
            return;
        }
        let Some(ticket) = self.ticket.clone() else {
            self.enter(Phase::Preparing);
            return;
        };
        if reading.head_time > job.startDeadline {
            return;
        }
        match check::ticket(job, &ticket, 1, reading.head_time) {
            Ok(()) => {
                self.enter(Phase::Starting);
                self.push(now, Call::Start { job: job.clone(), ticket }, effects);
            }
            Err(why) => {
                self.ticket = None;
                self.enter(Phase::Preparing);
                self.dispatch_again(now);
                self.waits(Party::Compute, why.to_string());
            }
        }
    }

    fn running(&mut self, now: u64, job: &Job, reading: &Reading, effects: &mut Vec<Effect>) {
        if reading.head != Some(JobState::Running) {
            self.enter(Phase::Ending);
            return;
        }
        if reading.deep_time > job.runDeadline {
            self.enter(Phase::Expiring);
            self.push(now, Call::Expire { job: job.clone() }, effects);
            return;
        }
        if let Some(call) = self.decided.get(&AttemptId::of(job)).cloned() {
            self.enter(Phase::Ending);
            if reading.head_time <= job.runDeadline {
                self.push(now, call, effects);
            }
            return;
        }
        if self.go_on(now, job, reading, effects) {
            return;
        }
        self.enter(if self.accepted.is_some() { Phase::Training } else { Phase::Resuming });
    }

    /// Hands a transaction to the sender, unless it already has it.
    fn push(&mut self, now: u64, call: Call, effects: &mut Vec<Effect>) {
        let (kind, id) = (call.kind(), AttemptId::of(call.job()));
        if let Some(sent) = self.sent
            && sent.kind == kind
            && sent.id == id
        {
            // Mined, and yet the newest block does not show it: it was on a branch that is gone.
            if sent.mined {
                self.sent = None;
                self.send.failed(now, &self.pace);
            }
            return;
        }
        if self.send.deadline().is_some_and(|due| due > now) {
            return;
        }
        self.sent = Some(Sent { kind, id, mined: false });
        effects.push(Effect::Send(Box::new(call)));
    }
}

/* ANSWERS */

impl Machine {
    fn on_accepted(&mut self, now: u64, id: AttemptId) {
        if self.current() != Some(id) {
            return;
        }
        self.dispatch.answered_only(now, self.pace.poll);
        self.accepted = Some(id);
        match self.phase {
            Phase::Dispatching => self.enter(Phase::Preparing),
            Phase::Resuming => self.enter(Phase::Training),
            Phase::Unconfirmed
            | Phase::Preparing
            | Phase::Starting
            | Phase::Training
            | Phase::Ending
            | Phase::Expiring
            | Phase::Ended => return,
        }
        self.status.hurry(now);
        self.manifest.hurry(now);
    }

    fn dispatch_again(&mut self, now: u64) {
        self.accepted = None;
        let phase = match self.phase {
            Phase::Preparing => Phase::Dispatching,
            Phase::Training => Phase::Resuming,
            Phase::Unconfirmed
            | Phase::Dispatching
            | Phase::Starting
            | Phase::Resuming
            | Phase::Ending
            | Phase::Expiring
            | Phase::Ended => return,
        };
        self.dispatch.failed(now, &self.pace);
        self.enter(phase);
    }

    fn on_status(&mut self, now: u64, id: AttemptId, status: TaskStatus) {
        if self.current() != Some(id) {
            return;
        }
        self.status.answered(now, self.pace.poll);
        self.progress.task_state = Some(status.task_state);
        self.progress.epoch = status.epoch;
        self.progress.progress = status.progress;
        self.progress.loss = status.loss;
        self.progress.message.clone_from(&status.message);
        self.progress.waiting_for = (status.task_state == TaskState::Failed).then_some(Party::Compute);
        match self.phase {
            Phase::Preparing => {
                if let Some(ticket) = status.start {
                    self.ticket = Some(ticket);
                    self.read.hurry(now);
                } else if status.task_state == TaskState::Failed {
                    // Before the start nobody can fail a job but its owner: ask again, ever more
                    // rarely, until the start deadline ends it.
                    let message = std::mem::take(&mut self.progress.message);
                    self.dispatch_again(now);
                    self.waits(Party::Compute, message);
                }
            }
            Phase::Training => {
                if status.task_state >= TaskState::Training {
                    self.dispatch.reset(now);
                }
                // Failed without a word to the chain: the keys are gone.
                match status.task_state {
                    TaskState::Failed => self.lost(now),
                    _ => self.found(now),
                }
                if let Some(signed) = status.failure {
                    self.on_failure(now, &signed);
                } else if status.task_state <= TaskState::SetUp {
                    // It restarted, or has not heard that the job runs: say it again.
                    self.dispatch_again(now);
                }
            }
            Phase::Unconfirmed
            | Phase::Dispatching
            | Phase::Starting
            | Phase::Resuming
            | Phase::Ending
            | Phase::Expiring
            | Phase::Ended => {}
        }
    }

    fn on_failure(&mut self, now: u64, signed: &SignedFailure) {
        let Some((domain, job)) = self.run_at_depth() else { return };
        match check::failure(&domain, &job, signed) {
            Some(report) => {
                self.decide(now, Call::Fail { job, report, signature: signed.signature.clone() });
            }
            None => self.waits(Party::Compute, "compute's failure report does not fit this job".to_string()),
        }
    }

    fn on_manifest(&mut self, now: u64, id: AttemptId, signed: &SignedManifest) {
        if self.current() != Some(id) {
            return;
        }
        self.manifest.answered(now, self.pace.poll);
        let Some((domain, job)) = self.run_at_depth() else { return };
        match check::manifest(&domain, &job, signed) {
            Some(manifest) => {
                self.decide(now, Call::Confirm { job, manifest, signature: signed.signature.clone() });
            }
            None => self.waits(Party::Custodian, "a custodian's manifest does not fit this job".to_string()),
        }
    }

    fn run_at_depth(&self) -> Option<(Domain, Job)> {
        let running = self.deep.as_ref().filter(|d| d.state == JobState::Running);
        running.map(|d| (d.domain, d.job.clone()))
    }

    fn running_job(&self) -> Option<Job> {
        self.run_at_depth().map(|(_, job)| job)
    }

    /// The first statement about an attempt is the one that is sent; compute signs only one anyway.
    fn decide(&mut self, now: u64, call: Call) {
        self.decided.entry(AttemptId::of(call.job())).or_insert(call);
        self.read.hurry(now);
    }

    fn on_tx(&mut self, now: u64, kind: CallKind, outcome: TxOutcome) {
        let Some(sent) = self.sent.as_mut().filter(|s| s.kind == kind) else { return };
        match outcome {
            TxOutcome::Mined => sent.mined = true,
            TxOutcome::Refused(why) => {
                self.sent = None;
                self.send.failed(now, &self.pace);
                match kind {
                    CallKind::Start => self.ticket = None,
                    CallKind::Restart => self.restart_refused(now),
                    CallKind::Confirm | CallKind::Fail | CallKind::Silent | CallKind::Expire => {}
                }
                self.waits(Party::Chain, why);
            }
            TxOutcome::NotSent(why) => {
                self.sent = None;
                self.send.failed(now, &self.pace);
                self.waits(Party::Environment, why);
            }
        }
        self.read.hurry(now);
    }
}

#[cfg(test)]
mod tests;
