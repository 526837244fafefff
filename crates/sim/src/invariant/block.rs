//! After every block: states move along allowed edges only, nothing outlives its deadline, nobody is
//! paid without a manifest.

use licen_core::abi::{DataPolicy, Job};
use licen_core::id::{job_commitment, result_commitment};
use licen_core::job::JobState;
use licen_core::primitives::B256;
use licen_core::sol_types::SolEvent;

use crate::error::SimError;
use crate::world::World;

/// How long after a deadline the requester, alone, needs to get out: patience, a look, a block or two,
/// and time for a message. Seconds.
const WAY_OUT_SECONDS: u64 = 180;

impl World {
    /// Everything that must hold after each block.
    pub(crate) fn check_block(&mut self) -> Result<(), SimError> {
        self.watcher.blocks += 1;
        for id in self.chain.history.opened.clone() {
            let Some(job) = self.chain.history.job(id).cloned() else { continue };
            self.check_job(&job)?;
        }
        if self.chain.changed() {
            self.check_settlements()?;
            self.check_money()?;
        }
        Ok(())
    }

    /// After blocks were taken back: states as they are on the branch that is left.
    pub(crate) fn restore_states(&mut self) -> Result<(), SimError> {
        let mut states = std::collections::BTreeMap::new();
        for id in self.chain.history.opened.clone() {
            if let Some(state) = self.state_of(id)? {
                states.insert(id, state);
            }
        }
        self.watcher.states = states;
        Ok(())
    }

    fn check_job(&mut self, job: &Job) -> Result<(), SimError> {
        let head = self.chain.head();
        let name = self.job_name(job.jobId);
        let (state, commitment) = match self.watcher.states.get(&job.jobId) {
            // Nothing can have changed.
            Some(state) if !self.chain.changed() => (Some(*state), self.committed(job, *state)),
            Some(_) | None => self.chain.job_state(head, job.jobId)?,
        };
        let Some(state) = state else { return SimError::violation(format!("{name} is gone")) };
        if commitment != self.committed(job, state) {
            return SimError::violation(format!("{name} is not what its events say"));
        }
        let before = self.watcher.states.insert(job.jobId, state);
        if before != Some(state) {
            if !allowed(before, state) {
                return SimError::violation(format!("{name} went from {before:?} to {state:?}"));
            }
            self.say(format!("chain, {name}: {}", state.name()));
        }
        let deadline = match state {
            JobState::Granted => job.startDeadline,
            JobState::Running => job.runDeadline,
            JobState::Completed | JobState::Failed | JobState::Expired | JobState::Cancelled => return Ok(()),
        };
        let late = self.chain.head().time.saturating_sub(deadline);
        if late > WAY_OUT_SECONDS {
            return SimError::violation(format!("{name} is {} {late} s after its deadline", state.name()));
        }
        Ok(())
    }

    /// What the contract must have committed to: the job, and its result once that is paid.
    pub(crate) fn committed(&self, job: &Job, state: JobState) -> B256 {
        match (state, self.chain.history.ended(job.jobId).result) {
            (JobState::Completed, Some((_, manifest))) => result_commitment(job, &manifest),
            _ => job_commitment(job),
        }
    }

    /// A royalty goes with `ResultRecorded` of a result that t custodians hold, in the same block, for
    /// exactly the epochs of the manifest.
    fn check_settlements(&self) -> Result<(), SimError> {
        let logs = &self.chain.head().logs;
        for log in logs {
            let Ok(settled) = DataPolicy::RoyaltySettled::decode_log(log) else { continue };
            let completed = logs.iter().find_map(|log| {
                let event = DataPolicy::ResultRecorded::decode_log(log).ok()?;
                (event.jobId == settled.jobId).then_some(event.data.manifest)
            });
            let Some(completed) = completed else {
                return SimError::violation("a royalty without a completed job");
            };
            let Some(job) = self.chain.history.job(settled.jobId) else {
                return SimError::violation("a royalty of no job");
            };
            let split = licen_core::money::Settlement::completed(job, &completed);
            if split.map(|s| s.royalty) != Some(settled.amount) {
                return SimError::violation("a royalty that the manifest does not say");
            }
            let held = self.custodians.iter().filter(|c| c.records.holds(job.jobId, completed.resultHash));
            let (held, need) = (held.count(), usize::from(self.scenario.t));
            if held < need {
                return SimError::violation(format!(
                    "paid while {held} of {need} custodians hold the result"
                ));
            }
        }
        Ok(())
    }
}

/// The edges of docs/protocol.md §4.
fn allowed(before: Option<JobState>, after: JobState) -> bool {
    match before {
        // A job may be opened and taken back within one block.
        None => matches!(after, JobState::Granted | JobState::Cancelled | JobState::Failed),
        Some(JobState::Granted) => {
            matches!(after, JobState::Running | JobState::Failed | JobState::Expired | JobState::Cancelled)
        }
        Some(JobState::Running) => {
            matches!(after, JobState::Completed | JobState::Failed | JobState::Expired)
        }
        Some(JobState::Completed | JobState::Failed | JobState::Expired | JobState::Cancelled) => false,
    }
}
