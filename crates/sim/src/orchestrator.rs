//! The orchestrator: one real machine per job. What it sends is kept by name in a journal that
//! outlives it, as `Transactor` keeps it, so another orchestrator goes on where this one stopped.

use std::collections::BTreeMap;

use licen_core::abi::{Job, MemberSignature};
use licen_core::job::silence_quorum;
use licen_core::primitives::B256;
use licen_core::wire::AbiHex;
use licen_core::wire::compute::{CustodianUrl, Dispatch, VerifierUrl, Verifiers};
use licen_core::wire::custodian::{SignedManifest, SilenceRequest, SilenceResponse};
use licen_custodian::effect::Reply;
use licen_custodian::event::Ask;
use licen_orchestrator::{AttemptId, Call, CallKind, Deep, Effect, Event, Machine, Pace, Reading, TxOutcome};

use crate::error::SimError;
use crate::network::{Answer, Asker, Party, Question};
use crate::scenario::Role;
use crate::world::{Happening, Sent, World};

const PACE: Pace = Pace { poll: 3_000, retry: 500, retry_max: 30_000 };
/// As `Peers` waits.
const PATIENCE_MS: u64 = 15_000;
/// As `Transactor` tries.
const MAX_REPEATS: u32 = 32;

/// The orchestrator.
#[derive(Debug, Default)]
pub(crate) struct Orchestrator {
    pub(crate) alive: bool,
    life: u64,
    machines: BTreeMap<B256, Machine>,
    /// Transactions by name: outlives a process.
    journal: BTreeMap<String, Entry>,
    /// Manifest questions under way: members still to answer.
    manifests: BTreeMap<B256, usize>,
    /// Questions for silence under way: members still to answer, and what the others said.
    silences: BTreeMap<B256, (usize, BTreeMap<u16, MemberSignature>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Open,
    Done,
    Void,
}

/// What a question of the orchestrator was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Dispatch(AttemptId),
    Status(AttemptId),
    Manifest(AttemptId),
    Silence(AttemptId),
}

impl World {
    /// A process begins: it looks after every job there is, from what the chain says.
    pub(crate) fn orchestrator_up(&mut self) -> Result<(), SimError> {
        self.orchestrator.alive = true;
        self.orchestrator.life += 1;
        self.orchestrator.machines.clear();
        self.orchestrator.manifests.clear();
        self.orchestrator.silences.clear();
        for job in self.chain.history.opened.clone() {
            self.look_after(job)?;
        }
        Ok(())
    }

    pub(crate) fn orchestrator_down(&mut self) {
        self.orchestrator.alive = false;
        self.orchestrator.machines.clear();
    }

    /// A job was opened.
    pub(crate) fn look_after(&mut self, job: B256) -> Result<(), SimError> {
        if !self.orchestrator.alive || self.orchestrator.machines.contains_key(&job) {
            return Ok(());
        }
        let machine = Machine::new(job, PACE);
        self.orchestrator.machines.insert(job, machine);
        let life = self.orchestrator.life;
        self.orchestrator_step(job, life, Event::Wake)
    }

    /// An event reaches the machine of a job; those of an earlier life reach nobody.
    pub(crate) fn orchestrator_step(&mut self, job: B256, life: u64, event: Event) -> Result<(), SimError> {
        if self.orchestrator.life != life {
            return Ok(());
        }
        let Some(machine) = self.orchestrator.machines.get_mut(&job) else { return Ok(()) };
        if event == Event::Wake && machine.deadline().is_none_or(|due| due > self.now_ms) {
            return Ok(());
        }
        let (before, mut effects) = (machine.phase(), Vec::new());
        machine.step(self.now_ms, event, &mut effects);
        let (after, due) = (machine.phase(), machine.deadline());
        if before != after {
            self.say(format!("orchestrator, {}: {}", self.job_name(job), after.text()));
        }
        if let Some(due) = due {
            // A timer that is due and unasked would wake it for ever at the same time.
            self.agenda
                .at(due.max(self.now_ms + 1), Happening::OrchestratorHears(job, life, Box::new(Event::Wake)));
        }
        for effect in effects {
            self.orchestrator_does(job, life, effect)?;
            if self.is_killed(Role::Orchestrator)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn orchestrator_does(&mut self, job: B256, life: u64, effect: Effect) -> Result<(), SimError> {
        let asker = |about| Asker::Orchestrator { job, life, about };
        match effect {
            Effect::Read => {
                let delay = self.random.between(1, 200);
                self.after(delay, Happening::OrchestratorReads(job, life));
            }
            Effect::Dispatch(id, running) => match self.dispatch_of(&running) {
                Some(dispatch) => {
                    let question = Question::Dispatch(id.attempt, Box::new(dispatch));
                    self.ask(Party::Compute, question, asker(About::Dispatch(id)), PATIENCE_MS);
                }
                None => {
                    let why = "the policy is unknown".to_owned();
                    let event = Event::DispatchFailed(id, why);
                    self.after(1, Happening::OrchestratorHears(job, life, Box::new(event)));
                }
            },
            Effect::PollStatus(id, _) => {
                let question = Question::Status(job, id.attempt);
                self.ask(Party::Compute, question, asker(About::Status(id)), PATIENCE_MS);
            }
            Effect::PollManifest(id, _) => {
                self.orchestrator.manifests.insert(job, self.custodians.len());
                for index in 0..self.custodians.len() {
                    let to = Party::Custodian(index);
                    self.ask(to, Question::Manifest(job), asker(About::Manifest(id)), PATIENCE_MS);
                }
            }
            Effect::AskSilence(id, running) => {
                self.orchestrator.silences.insert(job, (self.custodians.len(), BTreeMap::new()));
                let contract = self.chain.contracts.data_policy;
                let request = SilenceRequest { contract, job: AbiHex(*running) };
                for index in 0..self.custodians.len() {
                    let ask = Ask::Silence { job_id: job, request: request.clone() };
                    let question = Question::Custodian(Box::new(ask));
                    self.ask(Party::Custodian(index), question, asker(About::Silence(id)), PATIENCE_MS);
                }
            }
            Effect::Send(call) => self.orchestrator_sends(job, life, &call),
            Effect::Report(_) => {}
            Effect::Finish(state) => {
                self.say(format!("orchestrator, {}: finished as {}", self.job_name(job), state.name()));
                self.orchestrator.machines.remove(&job);
            }
        }
        Ok(())
    }

    /// The chain as the orchestrator reads it: newest block and depth.
    pub(crate) fn orchestrator_reads(&mut self, job: B256, life: u64) -> Result<(), SimError> {
        let (head, deep) = (self.chain.head(), self.chain.deep());
        let (state, commitment) = self.chain.job_state(deep, job)?;
        let known = self.chain.history.job_at(job, deep.number);
        let known = known.filter(|job| state.is_some_and(|state| self.committed(job, state) == commitment));
        let domain = self.chain.domain();
        let reading = Reading {
            head: self.chain.job_state(head, job)?.0,
            head_time: head.time,
            deep: state.zip(known.cloned()).map(|(state, job)| Deep { domain, state, job }),
            deep_time: deep.time,
        };
        self.orchestrator_step(job, life, Event::Read(Box::new(reading)))
    }

    /// An answer, or silence.
    pub(crate) fn orchestrator_heard(
        &mut self,
        job: B256,
        life: u64,
        about: About,
        answer: &Answer,
    ) -> Result<(), SimError> {
        let silence = || "no answer in time".to_owned();
        let event = match (about, answer) {
            (About::Dispatch(id), Answer::Status(_)) => Event::Accepted(id),
            (About::Dispatch(id), Answer::No(why)) => Event::DispatchFailed(id, why.clone()),
            (About::Dispatch(id), _) => Event::DispatchFailed(id, silence()),
            (About::Status(id), Answer::Status(status)) => Event::Status(id, status.clone()),
            (About::Status(id), Answer::Unknown) => Event::TaskUnknown(id),
            (About::Status(id), _) => Event::StatusFailed(id, silence()),
            (About::Silence(id), answer) => match self.silence_heard(job, id, answer) {
                Some(event) => event,
                None => return Ok(()),
            },
            (About::Manifest(id), answer) => {
                let Some(left) = self.orchestrator.manifests.get_mut(&job) else { return Ok(()) };
                *left -= 1;
                let none_left = *left == 0;
                let signed = match answer {
                    Answer::Reply(Reply::Json(body)) => serde_json::from_slice::<SignedManifest>(body).ok(),
                    Answer::Status(_)
                    | Answer::Unknown
                    | Answer::No(_)
                    | Answer::Reply(_)
                    | Answer::Silence => None,
                };
                if none_left || signed.is_some() {
                    self.orchestrator.manifests.remove(&job);
                }
                match signed {
                    Some(signed) => Event::Manifest(id, Box::new(signed)),
                    None if none_left => Event::NoManifest(id, String::new()),
                    None => return Ok(()),
                }
            }
        };
        self.orchestrator_step(job, life, event)
    }

    fn silence_heard(&mut self, job: B256, id: AttemptId, answer: &Answer) -> Option<Event> {
        let (left, said) = self.orchestrator.silences.get_mut(&job)?;
        *left -= 1;
        if let Answer::Reply(Reply::Json(body)) = answer
            && let Ok(SilenceResponse { silence, signature }) = serde_json::from_slice(body)
            && silence.0.attempt == id.attempt
        {
            said.insert(signature.0.index, signature.0);
        }
        if *left > 0 {
            return None;
        }
        let (_, said) = self.orchestrator.silences.remove(&job)?;
        let needed = silence_quorum(usize::from(self.scenario.t), usize::from(self.scenario.n));
        let enough = said.len() >= needed;
        Some(if enough { Event::Silent(id, said.into_values().collect()) } else { Event::NotSilent(id) })
    }

    /// Who is to do the job: everything in a dispatch can be checked by whoever gets it.
    pub(crate) fn dispatch_of(&self, job: &Job) -> Option<Dispatch> {
        let domain = self.chain.domain();
        let url = |index: usize| format!("http://custodian-{index}.example");
        let custodian_urls = self.pinned().iter().enumerate();
        let custodian_urls = custodian_urls.map(|(index, c)| CustodianUrl { id: c.id, url: url(index) });
        let others = (0u8..).zip(self.custodians.iter().skip(self.pinned().len()));
        let members = others.map(|(index, c)| VerifierUrl { index, id: c.id, url: url(usize::from(index)) });
        let verifiers =
            self.scenario.verifiers.map(|(threshold, _)| Verifiers { members: members.collect(), threshold });
        Some(Dispatch {
            chain_id: domain.chain_id,
            contract: domain.contract,
            policy: AbiHex(self.published.as_ref()?.policy.clone()),
            job: AbiHex(job.clone()),
            custodian_urls: custodian_urls.collect(),
            threshold: self.scenario.t,
            verifiers,
            blob_url: "http://node.example".to_owned(),
        })
    }

    /// One transaction for one decision: the journal goes before the call.
    fn orchestrator_sends(&mut self, job: B256, life: u64, call: &Call) {
        let (base, kind) = (call.idem_key(), call.kind());
        for repeat in 0..MAX_REPEATS {
            let key = if repeat == 0 { base.clone() } else { format!("{base}#{repeat}") };
            match self.orchestrator.journal.get(&key) {
                Some(Entry::Void) => {}
                Some(Entry::Done) => {
                    let event = Event::Tx(kind, TxOutcome::Mined);
                    return self.after(1, Happening::OrchestratorHears(job, life, Box::new(event)));
                }
                // Sent by an earlier life and not final: its end is this call's end too.
                Some(Entry::Open) => {
                    let event = Event::Tx(kind, TxOutcome::NotSent("it is under way".into()));
                    return self.after(2_000, Happening::OrchestratorHears(job, life, Box::new(event)));
                }
                None => {
                    self.orchestrator.journal.insert(key.clone(), Entry::Open);
                    self.say(format!("orchestrator, {}: sends {kind:?}", self.job_name(job)));
                    let from = self.accounts.orchestrator;
                    let sent = Sent::Orchestrator { job, life, kind, key };
                    return self.send(from, call.calldata(), Default::default(), sent);
                }
            }
        }
    }

    /// A transaction is final.
    pub(crate) fn orchestrator_mined(
        &mut self,
        (job, life, kind): (B256, u64, CallKind),
        key: String,
        refused: Option<String>,
    ) {
        let entry = if refused.is_some() { Entry::Void } else { Entry::Done };
        self.orchestrator.journal.insert(key, entry);
        let event = Event::Tx(kind, refused.map_or(TxOutcome::Mined, TxOutcome::Refused));
        self.after(1, Happening::OrchestratorHears(job, life, Box::new(event)));
    }
}
