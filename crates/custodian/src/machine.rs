//! The custodian's decisions, without I/O: requests and answers go in, effects come out. A request
//! waits for one answer at a time, and for a bounded time.

pub(crate) use deliver::HeldCase;

mod alive;
mod challenge;
mod deliver;
mod manifest;
mod release;
mod result;
mod retire;
mod silence;
mod verdict;

use std::collections::BTreeMap;

use licen_attest::{Collateral, ReferenceEntry};
use licen_core::fault::Fault;
use licen_core::primitives::{Address, B256, Bytes};
use licen_core::wire::custodian::DeliverRequest;
use serde::Serialize;

use crate::audit::{Line, commit_reason};
use crate::denial::{self, Denial};
use crate::effect::{Effect, Reply, RequestId, Write};
use crate::event::{Answer, Ask, Event, Loaded, Reading};
use crate::judge::Identity;
use crate::limits::{Limits, Rates};
use crate::refusals::Refusals;
use crate::watch::Watch;

/// Most requests that wait at one time.
const MAX_PENDING: usize = 1024;
const PATIENCE_MS: u64 = 50_000;
/// A result has to be fetched and hashed meanwhile.
const DELIVER_PATIENCE_MS: u64 = 290_000;

/// What the decisions depend on beside chain and requests.
pub struct Settings {
    /// Keys and domain.
    pub identity: Identity,
    /// Reference values this custodian knows; a job's appraisal policy chooses among them.
    pub entries: Vec<ReferenceEntry>,
    /// Endorsements of platforms, its own copies; [`Event::Collateral`] renews them.
    pub collateral: Vec<Collateral>,
    /// How often may be asked.
    pub rates: Rates,
    /// Largest result blob it holds.
    pub max_result_bytes: u64,
    /// Seconds that must be left before the run deadline when a share is released.
    pub release_margin_seconds: u64,
    /// Seconds without a word of compute after which it may be called silent, at least.
    pub silence_seconds: u64,
}

/// The machine.
pub struct Machine {
    settings: Settings,
    limits: Limits,
    refusals: Refusals,
    watch: Watch,
    pending: BTreeMap<RequestId, Pending>,
}

struct Pending {
    step: Step,
    subject: Subject,
    deadline_ms: u64,
}

/// What a request is about.
#[derive(Debug, Clone, Copy)]
struct Subject {
    id: RequestId,
    what: &'static str,
    /// As the request names it; only a fetched result key and a dataset's end name none.
    contract: Option<Address>,
    job_id: B256,
    fresh: B256,
    body_hash: B256,
    now_ms: u64,
    /// Whether the peer has shown something that a stranger cannot make up.
    proven: bool,
}

/// What a request waits for.
enum Step {
    Challenge(challenge::Step),
    Verdict(Box<verdict::Step>),
    Release(Box<release::Step>),
    Share(Box<deliver::Step>),
    Manifest(Box<manifest::Step>),
    Result(Box<result::Step>),
    Retire(Box<retire::Step>),
    Alive(Box<alive::Step>),
    Silence(Box<silence::Step>),
    /// A denial is being written down.
    Denying(Reply),
}

/// What a step leads to.
enum Turn {
    Wait(Step, Effect),
    Reply(Reply),
}

type Outcome = Result<Turn, Denial>;

impl Machine {
    /// A machine without requests.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let limits = Limits::new(settings.rates);
        let watch = Watch::new(settings.silence_seconds);
        Self { settings, limits, refusals: Refusals::default(), watch, pending: BTreeMap::new() }
    }

    /// Keys, limits and reference values.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// When [`Event::Tick`] is due, milliseconds. A machine that is not woken takes itself for one that was
    /// down, so there is always such a time.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        let requests = self.pending.values().map(|pending| pending.deadline_ms).min();
        requests.unwrap_or(u64::MAX).min(self.watch.deadline())
    }

    /// Takes one event at `now_ms` (Unix milliseconds, the custodian's own clock).
    pub fn step(&mut self, now_ms: u64, event: Event, effects: &mut Vec<(RequestId, Effect)>) {
        self.watch.look(now_ms);
        match event {
            Event::Asked { id, caller, fresh, body_hash, ask } => {
                let (what, job_id, patience) = describe(&ask);
                if !self.limits.admit(now_ms, caller) {
                    // Its address may be that of many; what they asked too often is no silence of compute.
                    if self.limits.is_flooded(now_ms) || matches!(*ask, Ask::Alive(_)) {
                        self.watch.was_deaf(now_ms);
                    }
                    return effects.push((id, denial::slow_down().into()));
                }
                if self.pending.len() >= MAX_PENDING || self.pending.contains_key(&id) {
                    self.watch.was_deaf(now_ms);
                    return effects.push((id, denial::unavailable("too many requests wait").into()));
                }
                let contract = contract_of(&ask);
                let subject = Subject { id, what, contract, job_id, fresh, body_hash, now_ms, proven: false };
                let outcome = self.begin(subject, *ask);
                self.follow(subject, now_ms + patience, outcome, effects);
            }
            Event::Answered(id, answer) => {
                // A request that ran out of time was answered; what comes later changes nothing.
                let Some(pending) = self.pending.remove(&id) else { return };
                let subject = Subject { now_ms, proven: pending.step.is_proven(), ..pending.subject };
                // Only now: whoever asks before it is time must not use up what the job is due.
                if pending.step.is_due(&answer)
                    && !self.limits.admit_job(now_ms, (subject.job_id, subject.what))
                {
                    return effects.push((id, denial::slow_down().into()));
                }
                let outcome = self.advance(subject, pending.step, *answer);
                self.follow(subject, pending.deadline_ms, outcome, effects);
            }
            Event::Collateral(collateral) => self.settings.collateral = collateral,
            Event::Deaf => self.watch.was_deaf(now_ms),
            Event::Tick => {
                let late: Vec<RequestId> =
                    self.pending.iter().filter(|(_, p)| p.deadline_ms <= now_ms).map(|(id, _)| *id).collect();
                for id in late {
                    // A word that could not be judged in time was said all the same.
                    let pending = self.pending.remove(&id);
                    if pending.is_some_and(|p| matches!(p.step, Step::Alive(_) | Step::Share(_))) {
                        self.watch.was_deaf(now_ms);
                    }
                    effects.push((id, denial::unavailable("it took too long").into()));
                }
            }
        }
    }

    fn begin(&self, subject: Subject, ask: Ask) -> Outcome {
        if let Some(contract) = subject.contract {
            self.settings.identity.domain(contract)?;
        }
        match ask {
            Ask::Challenge(request) => challenge::begin(&self.settings, &request),
            Ask::Verdict(request) => verdict::begin(&self.settings, request),
            Ask::Release(request) => Ok(release::begin(request)),
            Ask::Deliver(request @ DeliverRequest::Share { .. }) => deliver::begin(&self.settings, request),
            Ask::Deliver(DeliverRequest::Manifest { job_id, attempt, enc, ct, .. }) => {
                Ok(manifest::begin(job_id, attempt, enc, ct))
            }
            Ask::Result { .. } => Ok(result::begin(subject.job_id)),
            Ask::ResultKey(request) => result::begin_change(&self.settings, request),
            Ask::Retire(request) => retire::begin(&self.settings, request),
            Ask::Alive(request) => Ok(alive::begin(request)),
            Ask::Silence { job_id, request } => silence::begin(job_id, request),
        }
    }

    fn advance(&mut self, subject: Subject, step: Step, answer: Answer) -> Outcome {
        let failed = matches!(answer, Answer::ReadFailed(_) | Answer::StoreFailed(_));
        if failed && matches!(step, Step::Alive(_)) {
            self.watch.was_deaf(subject.now_ms);
        }
        match answer {
            Answer::ReadFailed(_) => return Ok(Turn::Reply(denial::unavailable("the chain"))),
            Answer::StoreFailed(_) => return Ok(Turn::Reply(denial::unavailable("its records"))),
            // One answer for every cause: a peer names the address, and would learn from the cause what
            // this custodian's network can reach. The shell has logged it.
            Answer::FetchFailed(_) => {
                return Ok(Turn::Reply(denial::unavailable("a blob could not be fetched")));
            }
            Answer::NoRoom => return Ok(Turn::Reply(denial::unavailable("no room for another result"))),
            Answer::Conflict(reason) => return Err(conflict(subject, reason)),
            Answer::Retired(dataset_uid) => return Err(Denial::Retired(dataset_uid)),
            Answer::Read(_) | Answer::Loaded(_) | Answer::Wrote(_) | Answer::Fetched { .. } => {}
        }
        if !is_about(subject, &answer) {
            return unexpected();
        }
        let (settings, watch) = (&self.settings, &mut self.watch);
        match step {
            Step::Challenge(step) => step.on(settings, watch, subject, answer),
            Step::Verdict(step) => step.on(settings, watch, subject, answer),
            Step::Release(step) => step.on(settings, watch, subject, answer),
            Step::Share(step) => step.on(settings, watch, subject, answer),
            Step::Manifest(step) => step.on(settings, subject, answer),
            Step::Result(step) => step.on(settings, subject, answer),
            Step::Retire(step) => step.on(settings, subject, answer),
            Step::Alive(step) => step.on(settings, watch, subject, answer),
            Step::Silence(step) => step.on(settings, watch, subject, answer),
            Step::Denying(reply) => Ok(Turn::Reply(reply)),
        }
    }

    fn follow(
        &mut self,
        subject: Subject,
        deadline_ms: u64,
        outcome: Outcome,
        effects: &mut Vec<(RequestId, Effect)>,
    ) {
        let turn = outcome.unwrap_or_else(|denial| self.deny(subject, &denial));
        match turn {
            Turn::Reply(reply) => effects.push((subject.id, reply.into())),
            Turn::Wait(step, effect) => {
                self.pending.insert(subject.id, Pending { step, subject, deadline_ms });
                effects.push((subject.id, effect));
            }
        }
    }

    /// Where a reason would help an attacker, the peer hears `denied` and the log gets a commitment.
    /// That the chain does not show something yet is public and passes, so it is said. So is which contracts
    /// are served.
    fn deny(&mut self, subject: Subject, denial: &Denial) -> Turn {
        let too_early = matches!(
            denial,
            Denial::NotRunning
                | Denial::NotSettled
                | Denial::NotSilent { .. }
                | Denial::NotRegistered(_)
                | Denial::State(None)
        );
        let written =
            subject.proven && !too_early && self.refusals.is_written(subject.job_id, subject.what, denial);
        if written {
            tracing::info!(request = %subject.id, what = subject.what, job = %subject.job_id,
                fault = %denial.fault(), retryable = denial.retryable(), "refused");
        } else {
            self.refusals.count(subject.now_ms, subject.what, denial);
        }
        if too_early {
            return Turn::Reply(denial::too_early(denial.to_string()));
        }
        if matches!(denial, Denial::ForeignContract(_)) {
            return Turn::Reply(denial::refused(denial));
        }
        if !matches!(subject.what, "verdict" | "release") {
            let reply = match denial {
                Denial::NotHeld => denial::not_found(denial.to_string()),
                Denial::CalledSilent => denial::called_silent(denial),
                _ => denial::refused(denial),
            };
            return Turn::Reply(reply);
        }
        if !written {
            return Turn::Reply(denial::denied(subject.id));
        }
        let (reason, detail) = commit_reason(subject.fresh, &denial.to_string());
        let line = Line { what: Some(subject.what), reason: Some(reason), ..subject.line("denied") };
        let write = Write::Denial { request: subject.id.to_string(), detail, record: line.bytes() };
        Turn::Wait(Step::Denying(denial::denied(subject.id)), Effect::Write(Box::new(write)))
    }

    /// The reason of the latest refusal that was only counted.
    #[cfg(test)]
    pub(crate) fn last_counted(&self) -> &str {
        self.refusals.last()
    }
}

impl Step {
    /// Whether the peer used up a nonce, has a verdict of ours, or signed with the job's key.
    fn is_proven(&self) -> bool {
        match self {
            Self::Verdict(step) => step.is_proven(),
            Self::Release(step) => step.is_proven(),
            Self::Share(step) => step.is_proven(),
            Self::Denying(_) => true,
            Self::Challenge(_)
            | Self::Manifest(_)
            | Self::Result(_)
            | Self::Retire(_)
            | Self::Alive(_)
            | Self::Silence(_) => false,
        }
    }

    /// Whether the chain says with this answer that it is time for what was asked.
    fn is_due(&self, answer: &Answer) -> bool {
        let Answer::Read(reading) = answer else { return false };
        match self {
            Self::Challenge(step) => *reading == Reading::State(Some(step.due_state())),
            Self::Verdict(step) => {
                matches!(reading, Reading::Grant(facts) if facts.state == Some(step.due_state()))
            }
            Self::Release(_) | Self::Silence(_) => matches!(reading, Reading::Run(Some(_))),
            // Of these only the attested signer or the requester gets further than a look at the chain; a
            // sign of life that is turned away because strangers ask would make compute silent.
            // The owner, who alone gets further than a look at the chain, is never too early.
            Self::Share(_)
            | Self::Manifest(_)
            | Self::Result(_)
            | Self::Retire(_)
            | Self::Alive(_)
            | Self::Denying(_) => false,
        }
    }
}

/// The kind under which a verdict for these keys is stored.
pub(crate) fn verdict_kind(runtime_data_hash: &B256) -> String {
    verdict::kind_of(runtime_data_hash)
}

fn describe(ask: &Ask) -> (&'static str, B256, u64) {
    match ask {
        Ask::Challenge(request) => ("challenge", request.job_id, PATIENCE_MS),
        Ask::Verdict(request) => ("verdict", request.job.0.jobId, PATIENCE_MS),
        Ask::Release(request) => ("release", request.job.0.jobId, PATIENCE_MS),
        Ask::Deliver(DeliverRequest::Share { job, .. }) => ("deliver", job.0.jobId, DELIVER_PATIENCE_MS),
        Ask::Deliver(DeliverRequest::Manifest { job_id, .. }) => ("manifest", *job_id, PATIENCE_MS),
        Ask::Result { job_id } => ("result", *job_id, PATIENCE_MS),
        Ask::ResultKey(request) => ("resultKey", request.job.0.jobId, PATIENCE_MS),
        // About no job; its limits are those of its peer.
        Ask::Retire(_) => ("retire", B256::ZERO, PATIENCE_MS),
        Ask::Alive(request) => ("alive", request.job.0.jobId, PATIENCE_MS),
        Ask::Silence { job_id, .. } => ("silence", *job_id, PATIENCE_MS),
    }
}

fn contract_of(ask: &Ask) -> Option<Address> {
    match ask {
        Ask::Challenge(request) => Some(request.contract),
        Ask::Verdict(request) => Some(request.contract),
        Ask::Release(request) => Some(request.contract),
        Ask::Deliver(DeliverRequest::Share { contract, .. } | DeliverRequest::Manifest { contract, .. }) => {
            Some(*contract)
        }
        Ask::ResultKey(request) => Some(request.contract),
        Ask::Alive(request) => Some(request.contract),
        Ask::Silence { request, .. } => Some(request.contract),
        Ask::Result { .. } | Ask::Retire(_) => None,
    }
}

/// Whether a proof is of the contract that the request names. Reads name it, so another one is a defect of
/// the shell; nothing is decided on it.
fn is_about(subject: Subject, answer: &Answer) -> bool {
    match (subject.contract, answer) {
        (Some(asked), Answer::Read(Reading::Run(Some(facts)))) => facts.run.domain().contract == asked,
        _ => true,
    }
}

fn conflict(subject: Subject, reason: String) -> Denial {
    match subject.what {
        "verdict" | "release" => Denial::OtherKey,
        _ => Denial::Conflict(reason),
    }
}

impl Subject {
    fn line(&self, event: &'static str) -> Line {
        Line::new(event, self.now_ms, self.id, self.job_id)
    }

    /// Refuses what is recorded of a job where the request names another contract than the record: a job's
    /// id names its contract, so nothing is promised anew there.
    fn must_be_of(&self, recorded: Address) -> Result<(), Denial> {
        match self.contract {
            Some(asked) if asked != recorded => Err(Denial::ContractDiffers(recorded)),
            Some(_) | None => Ok(()),
        }
    }

    fn now_seconds(&self) -> u64 {
        self.now_ms / 1000
    }
}

/// An answer of another kind than the effect asked for: a defect of the shell, never of a peer.
fn unexpected() -> Outcome {
    Ok(Turn::Reply(denial::unavailable("an answer was of the wrong kind")))
}

fn write(step: Step, write: Write) -> Outcome {
    Ok(Turn::Wait(step, Effect::Write(Box::new(write))))
}

/// A body of ours always has a JSON form.
fn json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn json_reply<T: Serialize>(value: &T) -> Turn {
    Turn::Reply(Reply::Json(json(value)))
}
