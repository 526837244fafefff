//! To the wei: what the contract has is what is in escrow and what is owed; no coin appears or goes.

use licen_core::id::account_of;
use licen_core::job::JobState;
use licen_core::money::total_escrow;
use licen_core::primitives::U256;

use crate::error::SimError;
use crate::world::World;

impl World {
    /// Balance = open escrows + credits, and the supply is what it was.
    pub(crate) fn check_money(&self) -> Result<(), SimError> {
        let head = self.chain.head();
        let (supply, first) = (self.chain.supply(head), self.watcher.supply);
        if supply != first {
            return SimError::violation(format!("{supply} wei exist, there were {first}"));
        }
        let balance = self.chain.balance(head, self.chain.contracts.data_policy);
        let (escrow, owed) = (self.open_escrow()?, self.owed()?);
        if balance != escrow + owed {
            return SimError::violation(format!(
                "the contract has {balance} wei, {escrow} are in escrow and {owed} are owed"
            ));
        }
        Ok(())
    }

    fn open_escrow(&self) -> Result<U256, SimError> {
        let mut escrow = U256::ZERO;
        for id in &self.chain.history.opened {
            let Some(job) = self.chain.history.job(*id) else { continue };
            escrow += match self.state_of(*id)? {
                Some(JobState::Granted | JobState::Running) => total_escrow(job),
                Some(JobState::Completed | JobState::Failed | JobState::Expired | JobState::Cancelled)
                | None => U256::ZERO,
            };
        }
        Ok(escrow)
    }

    fn owed(&self) -> Result<U256, SimError> {
        let head = self.chain.head();
        let mut owed = U256::ZERO;
        for party in self.parties() {
            owed += self.chain.credit(head, account_of(party))?;
        }
        Ok(owed + self.waiting_in_split()?)
    }

    /// What a split has and has not given to its payees.
    pub(crate) fn waiting_in_split(&self) -> Result<U256, SimError> {
        let split = self.published.as_ref().filter(|published| published.split.is_some());
        split.map_or(Ok(U256::ZERO), |p| self.chain.credit(self.chain.head(), p.policy.payee))
    }
}
