//! Deliberate breaches, never chosen by a seed: each makes one invariant false, and a test asserts that
//! the run ends with exactly that. A check that was never seen to fail proves nothing.

use licen_core::abi::DataPolicy;
use licen_core::job::{JobState, started};
use licen_core::primitives::{Address, U256};
use licen_core::sol_types::SolCall;
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::ReleaseRequest;
use licen_custodian::event::Ask;

use crate::compute::TaskKey;
use crate::error::SimError;
use crate::network::{Asker, Party, Question};
use crate::world::{Happening, Sent, World};

/// Between two tries of a breach, milliseconds.
const EVERY_MS: u64 = 1_000;
const ANSWER_MS: u64 = 15_000;

/// A breach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A wei appears in the contract.
    CoinAppears,
    /// A wei goes from the contract to a stranger.
    CoinMoves,
    /// Nobody takes the way out: no orchestrator, no requester who looks.
    NobodyActs,
    /// Custodians are told that a Granted job runs, and are asked for shares.
    RunForged,
    /// Custodians are told that a Running job is paid for, and are asked for its result.
    SettlementForged,
    /// The owner's custodians collude against a requester who named none of its own.
    OwnersCollude,
    /// Compute works and never says that it lives, while strangers ask whether it is silent.
    NeverAlive,
    /// Compute signs a manifest of a result that no custodian holds, and its host settles with it.
    SettledUnheld,
}

impl World {
    /// Begins the scenario's breach, if it has one.
    pub(crate) fn begin_sabotage(&mut self, first_request_ms: u64) {
        match self.scenario.sabotage {
            None | Some(Sabotage::SettledUnheld | Sabotage::OwnersCollude) => {}
            Some(Sabotage::NobodyActs) => self.orchestrator_down(),
            Some(
                Sabotage::CoinAppears
                | Sabotage::CoinMoves
                | Sabotage::RunForged
                | Sabotage::NeverAlive
                | Sabotage::SettlementForged,
            ) => self.agenda.at(first_request_ms, Happening::Sabotage),
        }
    }

    /// The breach is tried, again and again until it is noticed.
    pub(crate) fn sabotage(&mut self) -> Result<(), SimError> {
        let contract = self.chain.contracts.data_policy;
        match self.scenario.sabotage {
            Some(Sabotage::CoinAppears) => self.chain.conjure(None, contract),
            Some(Sabotage::CoinMoves) if self.chain.balance(self.chain.head(), contract) > U256::ZERO => {
                self.chain.conjure(Some(contract), Address::repeat_byte(0x57));
            }
            Some(Sabotage::RunForged) => self.ask_too_early()?,
            Some(Sabotage::SettlementForged) => {
                for id in self.chain.history.opened.clone() {
                    let question = Question::Custodian(Box::new(Ask::Result { job_id: id }));
                    self.ask(Party::Custodian(0), question, Asker::Nobody, ANSWER_MS);
                }
            }
            Some(Sabotage::NeverAlive) => {
                for index in 0..self.requesters.len() {
                    self.ask_for_silence(index);
                }
            }
            Some(
                Sabotage::CoinMoves
                | Sabotage::NobodyActs
                | Sabotage::SettledUnheld
                | Sabotage::OwnersCollude,
            )
            | None => {}
        }
        self.after(EVERY_MS, Happening::Sabotage);
        Ok(())
    }

    /// Compute's host asks for shares as soon as there is a ticket, without starting the job.
    fn ask_too_early(&mut self) -> Result<(), SimError> {
        for id in self.chain.history.opened.clone() {
            let Some(job) = self.chain.history.job(id).cloned() else { continue };
            if self.state_of(id)? != Some(JobState::Granted) {
                continue;
            }
            let Some((signer, hash)) = self.ticket_of((id, 1)) else { continue };
            let deadline = self.now_seconds() + u64::from(job.runWindow);
            let job = AbiHex(started(&job, 1, signer, hash, deadline));
            for custodian in 0..self.custodians.len() {
                let contract = self.chain.contracts.data_policy;
                let ask = Ask::Release(ReleaseRequest { contract, job: job.clone() });
                let question = Question::Custodian(Box::new(ask));
                self.ask(Party::Custodian(custodian), question, Asker::Nobody, ANSWER_MS);
            }
        }
        Ok(())
    }

    /// The host settles a manifest that it should never have seen.
    pub(crate) fn settle_unheld(&mut self, key: TaskKey) {
        let Some((manifest, signature)) = self.signed_of(key) else { return };
        let Some(job) = self.chain.history.job(key.0).cloned() else { return };
        let call = DataPolicy::confirmTrainingCompleteCall { job, manifest, signature }.abi_encode();
        self.send(self.accounts.orchestrator, call, U256::ZERO, Sent::WayOut);
    }
}
