//! Faults begin and end; strangers ask for what is not theirs; at the end everybody is paid out.

use licen_core::abi::DataPolicy;
use licen_core::id::account_of;
use licen_core::primitives::{Address, U256};
use licen_core::sol_types::SolCall;
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::{ReleaseRequest, SilenceRequest};
use licen_custodian::event::Ask;

use crate::error::SimError;
use crate::network::{Asker, Party, Question};
use crate::scenario::{Fault, Role};
use crate::world::{Happening, Sent, World};

const ANSWER_MS: u64 = 15_000;
/// How long a process that was killed is away, milliseconds.
const RESTART_MS: u64 = 2_000;

impl World {
    /// Puts a fault on the agenda; `start` is when the first request is sent.
    pub(crate) fn plan(&mut self, start: u64, fault: Fault) {
        let (begin, end) = match fault {
            Fault::CustodianDown { from_ms, until_ms, .. } | Fault::ComputeCutOff { from_ms, until_ms } => {
                (from_ms, Some(until_ms))
            }
            Fault::ComputeDies { at_ms }
            | Fault::ComputeRestarts { at_ms }
            | Fault::DatasetLost { at_ms }
            | Fault::DatasetDamaged { at_ms }
            | Fault::StrangerAsks { at_ms }
            | Fault::OwnerDeclines { at_ms } => (at_ms, None),
            Fault::OrchestratorDead { at_ms, replaced_ms } => (at_ms, replaced_ms),
            // These are so from the beginning.
            Fault::ComputeNeverStarts | Fault::CustodianRefuses { .. } | Fault::DatasetMislabelled => {
                (0, None)
            }
        };
        self.agenda.at(start + begin, Happening::Begin(fault));
        if let Some(end) = end {
            self.agenda.at(start + end, Happening::End(fault));
        }
    }

    pub(crate) fn begin_fault(&mut self, fault: Fault) -> Result<(), SimError> {
        self.say(format!("fault: {fault:?}"));
        let root = self.published.as_ref().map(|p| p.policy.datasetRoot).unwrap_or_default();
        match fault {
            Fault::CustodianDown { custodian, .. } => self.custodians[custodian].stop(),
            Fault::ComputeNeverStarts | Fault::ComputeDies { .. } => {
                self.compute.alive = false;
                self.compute.forget();
            }
            Fault::ComputeRestarts { .. } => self.compute.forget(),
            Fault::ComputeCutOff { .. } => self.compute.cut_off = true,
            Fault::DatasetLost { .. } => self.storage.lose(root)?,
            Fault::DatasetDamaged { .. } => self.storage.damage(root)?,
            Fault::OrchestratorDead { .. } => self.orchestrator_down(),
            Fault::OwnerDeclines { .. } => self.owner_declines(),
            Fault::StrangerAsks { .. } => {
                (0..self.requesters.len()).for_each(|index| self.ask_for_silence(index))
            }
            Fault::CustodianRefuses { .. } | Fault::DatasetMislabelled => {}
        }
        Ok(())
    }

    /// An effect of this role was carried out: whether its process ends with it, before it hears of that.
    pub(crate) fn is_killed(&mut self, role: Role) -> Result<bool, SimError> {
        let Some((_, at)) = self.scenario.kill.filter(|(killed, _)| *killed == role) else {
            return Ok(false);
        };
        self.effects += 1;
        if self.effects != at {
            return Ok(false);
        }
        self.say(format!("killed: {role:?} after effect {at}"));
        let (from_ms, until_ms) = (0, 0);
        let fault = match role {
            Role::Custodian(custodian) => Fault::CustodianDown { custodian, from_ms, until_ms },
            Role::Compute => Fault::ComputeRestarts { at_ms: 0 },
            Role::Orchestrator => Fault::OrchestratorDead { at_ms: 0, replaced_ms: Some(0) },
        };
        self.begin_fault(fault)?;
        self.after(RESTART_MS, Happening::End(fault));
        Ok(true)
    }

    pub(crate) fn end_fault(&mut self, fault: Fault) -> Result<(), SimError> {
        self.say(format!("over: {fault:?}"));
        match fault {
            Fault::CustodianDown { custodian, .. } => self.custodian_up(custodian),
            Fault::ComputeCutOff { .. } => {
                self.compute.cut_off = false;
                Ok(())
            }
            Fault::OrchestratorDead { .. } => self.orchestrator_up(),
            Fault::CustodianRefuses { .. }
            | Fault::ComputeNeverStarts
            | Fault::ComputeDies { .. }
            | Fault::ComputeRestarts { .. }
            | Fault::DatasetLost { .. }
            | Fault::DatasetDamaged { .. }
            | Fault::DatasetMislabelled
            | Fault::StrangerAsks { .. }
            | Fault::OwnerDeclines { .. } => Ok(()),
        }
    }

    /// A stranger asks for the shares of a job at whatever time this is. What leaves, if anything does,
    /// goes through the same checks as every answer.
    pub(crate) fn probe(&mut self, index: usize) -> Result<(), SimError> {
        let Some(id) = self.requesters[index].job else { return Ok(()) };
        let Some(job) = self.chain.history.job(id).cloned() else { return Ok(()) };
        if self.random.chance(50) {
            self.ask_for_silence(index);
            return Ok(());
        }
        let custodian = Party::Custodian(self.random.index(self.custodians.len()));
        let ask = match self.random.chance(50) {
            true => {
                let contract = self.chain.contracts.data_policy;
                Ask::Release(ReleaseRequest { contract, job: AbiHex(job) })
            }
            false => Ask::Result { job_id: id },
        };
        self.ask(custodian, Question::Custodian(Box::new(ask)), Asker::Nobody, ANSWER_MS);
        Ok(())
    }

    /// Anybody may ask every custodian whether a job's compute is silent.
    pub(crate) fn ask_for_silence(&mut self, index: usize) {
        let known = self.requesters[index].job.and_then(|id| self.chain.history.job(id));
        let Some(job) = known.cloned().filter(|job| job.attempt > 0) else { return };
        for custodian in 0..self.custodians.len() {
            let contract = self.chain.contracts.data_policy;
            let request = SilenceRequest { contract, job: AbiHex(job.clone()) };
            let ask = Ask::Silence { job_id: job.jobId, request };
            self.ask(
                Party::Custodian(custodian),
                Question::Custodian(Box::new(ask)),
                Asker::Nobody,
                ANSWER_MS,
            );
        }
    }

    /// A split gives its payees what it has; less than a wei for each waits for more to come in.
    pub(crate) fn distribute(&mut self) {
        if let Some(split) = self.published.as_ref().and_then(|p| p.split.clone()) {
            let call = DataPolicy::distributeCall { split, token: Address::ZERO }.abi_encode();
            self.send(self.accounts.partner, call, U256::ZERO, Sent::WayOut);
        }
    }

    /// Everybody takes out what they are owed.
    pub(crate) fn withdraw_all(&mut self) -> Result<(), SimError> {
        for account in self.parties() {
            if !self.chain.credit(self.chain.head(), account_of(account))?.is_zero() {
                let call = DataPolicy::withdrawCall { account, token: Address::ZERO }.abi_encode();
                self.send(account, call, U256::ZERO, Sent::Withdrawal);
            }
        }
        Ok(())
    }

    /// Everybody who may be owed something.
    pub(crate) fn parties(&self) -> Vec<Address> {
        let accounts = &self.accounts;
        let mut parties = vec![
            accounts.owner,
            accounts.partner,
            accounts.orchestrator,
            accounts.fee_recipient,
            accounts.compute_payee,
        ];
        parties.extend(self.requesters.iter().map(|r| r.address));
        parties
    }
}
