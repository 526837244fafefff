//! Questions and answers between parties. A message takes its time, may come twice, late, in another
//! order, or never; an asker that hears nothing gives up after its patience.

use std::collections::BTreeMap;
use std::rc::Rc;

use licen_core::primitives::B256;
use licen_core::wire::compute::{Dispatch, StopRequest, TaskStatus};
use licen_custodian::effect::Reply;
use licen_custodian::event::Ask;

use crate::error::SimError;
use crate::world::{Happening, World};

/// Who can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    Compute,
    Custodian(usize),
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    /// `PUT /v1/jobs/{jobId}/{attempt}`.
    Dispatch(u32, Box<Dispatch>),
    /// `GET /v1/jobs/{jobId}/{attempt}`.
    Status(B256, u32),
    /// `POST /v1/jobs/{jobId}/{attempt}/stop`.
    Stop(B256, u32, StopRequest),
    /// Whatever a custodian decides about.
    Custodian(Box<Ask>),
    /// `GET /v1/manifest/{jobId}`.
    Manifest(B256),
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Compute has it.
    Status(Box<TaskStatus>),
    /// 404.
    Unknown,
    /// Compute says no.
    No(String),
    /// A custodian's reply.
    Reply(Reply),
    /// Nobody answered in time.
    Silence,
}

/// Who waits for an answer, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The orchestrator's question about a job.
    Orchestrator { job: B256, life: u64, about: crate::orchestrator::About },
    /// Compute's errand for a task: which round, which member.
    Compute { task: (B256, u32), round: u64, member: u8 },
    /// The requester looks for a manifest.
    Watch { job: usize },
    /// The requester fetches.
    Fetch { job: usize },
    /// Compute says that it lives: whose answer that is.
    Pulse { task: (B256, u32), number: u64, member: u8 },
    /// Nobody: the answer only has to exist.
    Nobody,
}

impl Asker {
    fn is_compute(self) -> bool {
        matches!(self, Self::Compute { .. } | Self::Pulse { .. })
    }
}

/// Open questions.
#[derive(Debug, Default)]
pub(crate) struct Network {
    open: BTreeMap<u64, Asker>,
    asked: u64,
}

impl World {
    /// Sends a question.
    pub(crate) fn ask(&mut self, to: Party, question: Question, asker: Asker, patience_ms: u64) {
        self.network.asked += 1;
        let id = self.network.asked;
        self.network.open.insert(id, asker);
        let question = Rc::new(question);
        let cut = self.compute.cut_off && (to == Party::Compute || asker.is_compute());
        for delay in self.ways().into_iter().filter(|_| !cut) {
            self.after(delay, Happening::Asked(id, to, Rc::clone(&question)));
        }
        self.after(patience_ms, Happening::Answered(id, Rc::new(Answer::Silence)));
    }

    /// Sends an answer back.
    pub(crate) fn answer(&mut self, id: u64, answer: Answer) {
        let answer = Rc::new(answer);
        for delay in self.ways() {
            self.after(delay, Happening::Answered(id, Rc::clone(&answer)));
        }
    }

    /// How long each copy of a message takes: none, one or two copies.
    fn ways(&mut self) -> Vec<u64> {
        let (low, high) = self.scenario.delay_ms;
        let copies = match () {
            () if self.random.chance(self.scenario.losses) => 0,
            () if self.random.chance(self.scenario.duplicates) => 2,
            () => 1,
        };
        (0..copies).map(|_| self.random.between(low, high)).collect()
    }

    /// A question arrives.
    pub(crate) fn on_asked(&mut self, id: u64, to: Party, question: &Question) -> Result<(), SimError> {
        match to {
            Party::Compute => self.compute_asked(id, question),
            Party::Custodian(index) => self.custodian_asked(id, index, question),
        }
    }

    /// An answer arrives, or patience ends. What comes after the first is not heard.
    pub(crate) fn on_answered(&mut self, id: u64, answer: &Answer) -> Result<(), SimError> {
        let Some(asker) = self.network.open.remove(&id) else { return Ok(()) };
        match asker {
            Asker::Orchestrator { job, life, about } => self.orchestrator_heard(job, life, about, answer),
            Asker::Compute { task, round, member } => self.errand_heard(task, round, member, answer),
            Asker::Watch { job } => self.watch_heard(job, answer),
            Asker::Fetch { job } => self.fetch_heard(job, answer),
            Asker::Pulse { task, number, member } => self.pulse_heard(task, number, member, answer),
            Asker::Nobody => Ok(()),
        }
    }
}
