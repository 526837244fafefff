//! At the end: every job is over, every wei that was paid in has gone where its end says, and a run
//! that nothing stood in the way of has been trained, paid and fetched.

use licen_core::abi::Job;
use licen_core::job::JobState;
use licen_core::money::{Settlement, total_escrow};
use licen_core::primitives::U256;

use crate::error::SimError;
use crate::requester::Requester;
use crate::world::World;

impl World {
    /// Everything that must hold when nothing can happen any more.
    pub(crate) fn check_end(&mut self) -> Result<(), SimError> {
        for index in 0..self.requesters.len() {
            let Some(id) = self.requesters[index].job else {
                return SimError::violation(format!("request {index} opened no job"));
            };
            let Some(job) = self.chain.history.job(id).cloned() else {
                return SimError::violation(format!("job {index} has no events"));
            };
            self.check_ended(index, &job)?;
        }
        self.check_paid_out()?;
        let completed =
            |r: &Requester| r.job.and_then(|job| self.watcher.state(job)) == Some(JobState::Completed);
        if self.scenario.must_fail() && self.requesters.iter().any(completed) {
            return SimError::violation("a job was paid that could not have been trained");
        }
        if let Some(broken) = self.custodians.iter().position(|c| !c.records.log_holds()) {
            return SimError::violation(format!("the log of custodian {broken} is not a chain"));
        }
        if let Some(liar) = self.custodians.iter().position(|c| c.records.breaks_its_word()) {
            return SimError::violation(format!("custodian {liar} holds a result that it called silent"));
        }
        if self.scenario.must_succeed() && !self.requesters.iter().all(|r| r.fetched) {
            return SimError::violation("nothing stood in the way, and the result was not fetched");
        }
        Ok(())
    }

    /// Royalty and fees + refund = escrow = what the requester paid.
    fn check_ended(&self, index: usize, job: &Job) -> Result<(), SimError> {
        let name = self.job_name(job.jobId);
        let ended = self.chain.history.ended(job.jobId);
        let state = self.state_of(job.jobId)?;
        let royalty = ended.royalty.unwrap_or_default();
        let expected = match state {
            Some(JobState::Completed) => {
                ended.result.and_then(|(_, manifest)| Settlement::completed(job, &manifest))
            }
            // The trainer here never blames the specification, so nobody is paid for a failure.
            Some(JobState::Failed | JobState::Expired | JobState::Cancelled) => {
                Some(Settlement::refunded(job))
            }
            Some(JobState::Granted | JobState::Running) | None => {
                return SimError::violation(format!("{name} ends as {state:?}"));
            }
        };
        let Some(expected) = expected else {
            return SimError::violation(format!("{name} was completed with impossible epochs"));
        };
        if (royalty, ended.refund) != (expected.royalty, expected.refund) {
            return SimError::violation(format!(
                "{name}: royalty {royalty} and refund {}, expected {expected:?}",
                ended.refund
            ));
        }
        let out = royalty + expected.compute_fee + ended.refund;
        let (escrow, paid) = (total_escrow(job), self.requesters[index].paid);
        if out != escrow || escrow != paid {
            return SimError::violation(format!(
                "{name}: {paid} wei paid, {escrow} in escrow, {out} came out"
            ));
        }
        Ok(())
    }

    /// Everybody has withdrawn: only what a split cannot divide may be left.
    fn check_paid_out(&self) -> Result<(), SimError> {
        let left = self.chain.balance(self.chain.head(), self.chain.contracts.data_policy);
        let dust = self.waiting_in_split()?;
        // The split has two payees: less than a wei for each.
        if left != dust || dust >= U256::from(2) {
            return SimError::violation(format!(
                "{left} wei are left in the contract, {dust} of them in a split"
            ));
        }
        Ok(())
    }
}
