//! Compute: the real machine of `licen_compute::serve` per attempt, one training slot, and what its
//! effects need. Talking to custodians is `errand`; the dataset is `dataset`; training is a stand-in.

mod dataset;
mod errand;
mod pulse;
mod statement;
mod task;
pub(crate) mod trainer;

use std::collections::{BTreeMap, VecDeque};

use licen_attest::SimulatedTee;
use licen_compute::serve::{Event, Machine, Terms};
use licen_core::id::{as_granted, dataset_uid, job_hash, policy_hash};
use licen_core::primitives::{B256, Bytes};
use licen_core::unit::Allowance;
use licen_core::wire::compute::{Dispatch, StopRequest};

use crate::error::SimError;
use crate::network::{Answer, Question};
use crate::world::{Happening, World};
pub(crate) use errand::Tick;
pub(crate) use task::{Step, Task};

/// Which attempt.
pub(crate) type TaskKey = (B256, u32);

/// The node.
pub(crate) struct Compute {
    /// False while nobody answers at its address.
    pub(crate) alive: bool,
    /// While nothing reaches it or leaves it.
    pub(crate) cut_off: bool,
    /// Rises with every start.
    pub(crate) life: u64,
    pub(crate) tee: SimulatedTee,
    tasks: BTreeMap<TaskKey, Task>,
    slot: Option<TaskKey>,
    queue: VecDeque<TaskKey>,
    /// Keys ever made, so that each has a name of its own.
    made: u64,
}

impl Compute {
    pub(crate) fn new(tee: SimulatedTee) -> Self {
        Self {
            alive: true,
            cut_off: false,
            life: 1,
            tee,
            tasks: BTreeMap::new(),
            slot: None,
            queue: VecDeque::new(),
            made: 0,
        }
    }

    /// Every key, plaintext and task is gone.
    pub(crate) fn forget(&mut self) {
        self.life += 1;
        self.tasks.clear();
        self.slot = None;
        self.queue.clear();
    }
}

impl World {
    /// A question reaches compute, or nobody.
    pub(crate) fn compute_asked(&mut self, id: u64, question: &Question) -> Result<(), SimError> {
        if !self.compute.alive {
            return Ok(());
        }
        let answer = match question {
            Question::Dispatch(attempt, dispatch) => self.dispatched(*attempt, dispatch)?,
            Question::Status(job, attempt) => self.task_answer((*job, *attempt)),
            Question::Stop(job, attempt, request) => self.stop_ordered((*job, *attempt), request)?,
            Question::Custodian(_) | Question::Manifest(_) => return Ok(()),
        };
        self.answer(id, answer);
        Ok(())
    }

    fn task_answer(&self, key: TaskKey) -> Answer {
        let task = self.compute.tasks.get(&key);
        task.map_or(Answer::Unknown, |task| Answer::Status(Box::new(task.machine.status())))
    }

    /// As `Node::dispatch`: begins the attempt, tells a waiting one that its job runs, or changes
    /// nothing where it was taken before.
    fn dispatched(&mut self, attempt: u32, dispatch: &Dispatch) -> Result<Answer, SimError> {
        let job = &dispatch.job.0;
        let policy = &dispatch.policy.0;
        let domain = self.chain.domain();
        if policy_hash(policy) != job.policyHash
            || dataset_uid(domain.chain_id, policy.owner, policy.salt) != job.datasetUid
        {
            return Ok(Answer::No("the dispatch contradicts itself".into()));
        }
        let running = job.attempt == attempt;
        let begins = if attempt == 1 { job.startDeadline } else { job.runDeadline };
        let deadline = if running { job.runDeadline } else { begins };
        if !running && job.attempt + 1 != attempt {
            return Ok(Answer::No("the attempt does not follow the job's".into()));
        }
        if deadline <= self.now_seconds() {
            return Ok(Answer::No("the deadline has passed".into()));
        }
        let key = (job.jobId, attempt);
        let identity = job_hash(&as_granted(job));
        if let Some(task) = self.compute.tasks.get(&key) {
            if task.identity != identity {
                return Ok(Answer::No("another job of this name is here".into()));
            }
            let again = task.machine.may_begin_again();
            if running {
                self.told_running(key, dispatch)?;
            }
            if running || !again {
                return Ok(self.task_answer(key));
            }
        }
        let Some(allowance) = Allowance::of(job) else {
            return Ok(Answer::No("the job's unit is unknown".into()));
        };
        let (epochs, run_window) = (job.epochs, job.runWindow);
        let terms = Terms { epochs, allowance, start_deadline: begins, run_window };
        let machine = if running { Machine::lost(terms) } else { Machine::new(terms) };
        self.compute.made += 1;
        let task = Task::new(machine, dispatch.clone(), identity, self.compute.made);
        let over = task.machine.is_over();
        self.compute.tasks.insert(key, task);
        if !over {
            self.compute.queue.retain(|waiting| *waiting != key);
            self.compute.queue.push_back(key);
            self.give_slot()?;
            self.wake_task(key);
        }
        Ok(self.task_answer(key))
    }

    fn told_running(&mut self, key: TaskKey, dispatch: &Dispatch) -> Result<(), SimError> {
        let Some(task) = self.compute.tasks.get_mut(&key) else { return Ok(()) };
        let job = &dispatch.job.0;
        let event = match &task.ticket {
            Some(t) if t.signer == job.signer && t.runtime_data_hash == job.runtimeDataHash => {
                task.job.get_or_insert_with(|| job.clone());
                Event::Running { run_deadline: job.runDeadline }
            }
            Some(_) | None => Event::Superseded,
        };
        self.task_step(key, event)
    }

    fn stop_ordered(&mut self, key: TaskKey, request: &StopRequest) -> Result<Answer, SimError> {
        let Some(task) = self.compute.tasks.get(&key) else { return Ok(Answer::Unknown) };
        let order = &request.stop.0;
        let signer = self.chain.domain().signer_of(order, &request.signature);
        if (order.jobId, order.attempt) != key || signer != Some(task.dispatch.job.0.requester) {
            return Ok(Answer::No("the order is not signed by the requester".into()));
        }
        self.task_step(key, Event::StopOrdered)?;
        Ok(self.task_answer(key))
    }

    /// The one training slot goes to whoever waits longest.
    pub(super) fn give_slot(&mut self) -> Result<(), SimError> {
        while self.compute.slot.is_none() {
            let Some(key) = self.compute.queue.pop_front() else { return Ok(()) };
            let waits = self.compute.tasks.get(&key).is_some_and(|task| !task.machine.is_over());
            if waits {
                self.compute.slot = Some(key);
                self.task_step(key, Event::SlotFree)?;
            }
        }
        Ok(())
    }

    /// Asks for a tick when the machine's deadline comes.
    pub(super) fn wake_task(&mut self, key: TaskKey) {
        let life = self.compute.life;
        let Some(due) = self.compute.tasks.get(&key).and_then(|task| task.machine.deadline()) else { return };
        let due = (due * 1000).max(self.now_ms + 1000);
        self.agenda.at(due, Happening::ComputeTick(life, key));
    }

    /// A document by its root.
    pub(super) fn document(&self, root: B256) -> Result<Bytes, String> {
        self.storage.get(root).map(Bytes::from)
    }
}
