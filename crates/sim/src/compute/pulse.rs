//! Signs of life, as the node's `alive` sends them: from asking for shares until a statement is signed.

use licen_compute::serve::Event;
use licen_core::job::Reason;
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::{AliveRequest, alive};
use licen_custodian::effect::Reply;
use licen_custodian::event::Ask;

use super::TaskKey;
use crate::error::SimError;
use crate::network::{Answer, Asker, Party, Question};
use crate::sabotage::Sabotage;
use crate::world::{Happening, World};

/// Windows here are minutes, so signs come faster than the protocol's minute; a lost one is said anew.
const EVERY_MS: u64 = 15_000;
const ANSWER_MS: u64 = 10_000;

impl World {
    /// Begins, once for an attempt.
    pub(super) fn begin_pulse(&mut self, key: TaskKey) -> Result<(), SimError> {
        let Some(task) = self.compute.tasks.get(&key) else { return Ok(()) };
        let (life, number) = (self.compute.life, task.number);
        if task.pulses > 0 { Ok(()) } else { self.pulse(life, key, number) }
    }

    /// Says it to everybody.
    pub(crate) fn pulse(&mut self, life: u64, key: TaskKey, number: u64) -> Result<(), SimError> {
        if self.compute.life != life || self.scenario.sabotage == Some(Sabotage::NeverAlive) {
            return Ok(());
        }
        let Some(task) = self.compute.tasks.get_mut(&key).filter(|task| task.number == number) else {
            return Ok(());
        };
        if task.statements > 0 || task.machine.is_over() {
            return Ok(());
        }
        task.pulses += 1;
        let (name, seq, job) = (task.key_name(), task.pulses, task.job.clone());
        if let Some(job) = job {
            let signature = self.sign(&name, &alive(&job, seq))?;
            for index in 0..self.custodians.len() {
                let (contract, job) = (self.chain.contracts.data_policy, AbiHex(job.clone()));
                let ask = AliveRequest { contract, job, seq, signature: signature.clone() };
                let asker = Asker::Pulse { task: key, number, member: index as u8 + 1 };
                let question = Question::Custodian(Box::new(Ask::Alive(ask)));
                self.ask(Party::Custodian(index), question, asker, ANSWER_MS);
            }
        }
        self.after(EVERY_MS, Happening::Pulse(life, key, number));
        Ok(())
    }

    /// A custodian has called the attempt silent: where so many have that too few are left to hold its
    /// result, it ends.
    pub(crate) fn pulse_heard(
        &mut self,
        key: TaskKey,
        number: u64,
        member: u8,
        answer: &Answer,
    ) -> Result<(), SimError> {
        let Answer::Reply(Reply::Problem(problem)) = answer else { return Ok(()) };
        let (t, n) = (usize::from(self.scenario.t), usize::from(self.scenario.n));
        let Some(task) = self.compute.tasks.get_mut(&key).filter(|task| task.number == number) else {
            return Ok(());
        };
        if problem.code != "LIC0718" {
            return Ok(());
        }
        task.silenced.insert(member);
        if task.silenced.len() + t <= n || task.job.is_none() {
            return Ok(());
        }
        let message = format!("{} of {n} custodians have called the attempt silent", task.silenced.len());
        self.task_step(key, Event::Broke { reason: Reason::ComputeTaskFailed, message })
    }
}
