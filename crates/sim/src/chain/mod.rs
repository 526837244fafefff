//! A chain in memory: the contracts' committed bytecode on revm, blocks when the world says so, and
//! every block's state kept, so that reads at depth see the past and not the present.
//!
//! The newest blocks may be taken back, as many as lie above what is believed. Left out on purpose: gas
//! has no price.

mod evm;
mod history;
mod proof;

use std::rc::Rc;

use licen_chain::{Revert, artifacts};
use licen_core::abi::{Custody, DataPolicy};
use licen_core::eip712::Domain;
use licen_core::job::JobState;
use licen_core::policy::LOCAL_CHAIN_ID;
use licen_core::primitives::{Address, B256, Bytes, Log, U256};
use licen_core::sol_types::{SolCall, SolValue};

use crate::error::SimError;
use evm::{Outcome, State};
pub(crate) use history::History;
pub(crate) use proof::{forged_run, forged_settlement, run_at_depth, settlement_at_depth};

/// What is sent to the chain.
#[derive(Debug, Clone)]
pub(crate) struct Transaction {
    pub(crate) from: Address,
    /// `None` deploys.
    pub(crate) to: Option<Address>,
    /// Wei.
    pub(crate) value: U256,
    pub(crate) data: Bytes,
}

/// A block with everything that was true after it.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) number: u64,
    /// Unix seconds.
    pub(crate) time: u64,
    pub(crate) logs: Vec<Log>,
    /// What was sent and what became of it, in order.
    mined: Vec<((u64, Transaction), Receipt)>,
    state: Rc<State>,
}

/// What became of one transaction of a block.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    /// The sender's own number for it.
    pub(crate) ticket: u64,
    /// What the contracts said, or why they refused.
    pub(crate) result: Result<Vec<Log>, Revert>,
}

/// Addresses of the two contracts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contracts {
    pub(crate) data_policy: Address,
    pub(crate) custody: Address,
}

/// The chain with its two contracts.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) contracts: Contracts,
    /// Blocks that must lie on top of what is believed.
    pub(crate) confirmations: u64,
    pub(crate) history: History,
    blocks: Vec<Block>,
}

impl Chain {
    /// Block 0 with `funded` accounts, then both contracts in block 1.
    pub(crate) fn deploy(
        time: u64,
        confirmations: u64,
        funded: &[(Address, U256)],
        fee: (Address, u16),
    ) -> Result<Self, SimError> {
        let mut state = State::default();
        evm::fund(&mut state, funded);
        let deployer = funded.first().map(|(account, _)| *account).unwrap_or_default();
        let mut create = |code: &Bytes, arguments: Vec<u8>| {
            let data: Bytes = [code.as_ref(), &arguments].concat().into();
            let call = Transaction { from: deployer, to: None, value: U256::ZERO, data };
            let (outcome, changes) = evm::execute(&state, (1, time), &call)?;
            evm::commit(&mut state, changes);
            match outcome {
                Outcome::Created(address) => Ok(address),
                other => Err(SimError::World(format!("a contract was not deployed: {other:?}"))),
            }
        };
        let custody = create(&artifacts::custody().bytecode, Vec::new())?;
        let arguments = (custody, Address::ZERO, fee.0, U256::from(fee.1)).abi_encode_params();
        let data_policy = create(&artifacts::data_policy().bytecode, arguments)?;
        let first = Block { number: 0, time, logs: Vec::new(), mined: Vec::new(), state: Rc::new(state) };
        let contracts = Contracts { data_policy, custody };
        Ok(Self { contracts, confirmations, history: History::default(), blocks: vec![first] })
    }

    /// The domain of every signature here.
    pub(crate) fn domain(&self) -> Domain {
        Domain { chain_id: LOCAL_CHAIN_ID, contract: self.contracts.data_policy }
    }

    /// The newest block.
    pub(crate) fn head(&self) -> &Block {
        // `deploy` makes the first one, and that is never taken back.
        &self.blocks[self.blocks.len() - 1]
    }

    /// The newest block that counts.
    pub(crate) fn deep(&self) -> &Block {
        let last = self.blocks.len() - 1;
        &self.blocks[last.saturating_sub(usize::try_from(self.confirmations).unwrap_or(last))]
    }

    /// Adds a block with these transactions, in this order.
    pub(crate) fn produce(
        &mut self,
        time: u64,
        transactions: Vec<(u64, Transaction)>,
    ) -> Result<(), SimError> {
        let head = self.head();
        let (number, time) = (head.number + 1, time.max(head.time + 1));
        let mut state = head.state.clone();
        let mut mined = Vec::new();
        let mut logs = Vec::new();
        for (ticket, call) in transactions {
            let (outcome, changes) = evm::execute(&state, (number, time), &call)?;
            evm::commit(Rc::make_mut(&mut state), changes);
            let result = match outcome {
                Outcome::Done { logs: said, .. } => {
                    logs.extend(said.iter().cloned());
                    Ok(said)
                }
                Outcome::Created(_) => Ok(Vec::new()),
                Outcome::Reverted(data) => Err(Revert::decode(&data)),
            };
            mined.push(((ticket, call), Receipt { ticket, result }));
        }
        self.history.add(number, self.contracts.data_policy, &logs);
        self.blocks.push(Block { number, time, logs, mined, state });
        Ok(())
    }

    /// What became of the transactions of the block that has just become deep; final. Every block is that
    /// once, because none below it is ever taken back.
    pub(crate) fn final_receipts(&self) -> Vec<Receipt> {
        let deep = self.deep();
        let begins = self.head().number == self.confirmations + deep.number;
        let mined = if begins { deep.mined.as_slice() } else { &[] };
        mined.iter().map(|(_, receipt)| receipt.clone()).collect()
    }

    /// Takes the newest blocks back, none that is deep; their transactions wait again.
    pub(crate) fn take_back(&mut self, blocks: u64) -> Vec<(u64, Transaction)> {
        let mut waiting = Vec::new();
        for _ in 0..blocks.min(self.confirmations).min(self.head().number) {
            let Some(block) = self.blocks.pop() else { break };
            waiting.extend(block.mined.into_iter().map(|(sent, _)| sent));
        }
        self.history.take_back_to(self.head().number);
        waiting
    }

    /// Calls a view after `block`.
    pub(crate) fn view<C: SolCall>(
        &self,
        block: &Block,
        to: Address,
        call: &C,
    ) -> Result<C::Return, SimError> {
        let data = call.abi_encode().into();
        let call = Transaction { from: Address::ZERO, to: Some(to), value: U256::ZERO, data };
        match evm::execute(&block.state, (block.number, block.time), &call)?.0 {
            Outcome::Done { output, .. } => C::abi_decode_returns(&output).map_err(SimError::world),
            Outcome::Reverted(data) => Err(SimError::Refused(Revert::decode(&data))),
            Outcome::Created(_) => Err(SimError::World("a view deployed something".into())),
        }
    }

    /// What a transaction to `DataPolicy` would come to in a block of that time, Unix seconds.
    pub(crate) fn attempt(
        &self,
        from: Address,
        value: U256,
        data: Vec<u8>,
        time: u64,
    ) -> Result<Result<(), Revert>, SimError> {
        let head = self.head();
        let call = Transaction { from, to: Some(self.contracts.data_policy), value, data: data.into() };
        Ok(match evm::execute(&head.state, (head.number + 1, time), &call)?.0 {
            Outcome::Done { .. } | Outcome::Created(_) => Ok(()),
            Outcome::Reverted(data) => Err(Revert::decode(&data)),
        })
    }

    /// A job's state (`None`: no such job) and commitment after `block`.
    pub(crate) fn job_state(&self, block: &Block, job: B256) -> Result<(Option<JobState>, B256), SimError> {
        let call = DataPolicy::jobStateCall { jobId: job };
        let answer = self.view(block, self.contracts.data_policy, &call)?;
        Ok((JobState::from_chain(answer.state), answer.commitment))
    }

    /// A ledger account's credit in the native coin, wei.
    pub(crate) fn credit(&self, block: &Block, account: B256) -> Result<U256, SimError> {
        let call = DataPolicy::creditCall { account, token: Address::ZERO };
        self.view(block, self.contracts.data_policy, &call)
    }

    /// Whether an entry of an appraisal policy is live after `block`.
    pub(crate) fn entry_live(&self, block: &Block, policy: B256, entry: B256) -> Result<bool, SimError> {
        self.view(block, self.contracts.custody, &Custody::isEntryLiveCall { id: policy, entry })
    }

    /// Wei of an address after `block`.
    pub(crate) fn balance(&self, block: &Block, address: Address) -> U256 {
        evm::balance(&block.state, address)
    }

    /// Wei of everybody after `block`.
    pub(crate) fn supply(&self, block: &Block) -> U256 {
        evm::supply(&block.state)
    }

    /// Puts a wei where it does not belong, behind the contracts' back; from nowhere if `from` is none.
    pub(crate) fn conjure(&mut self, from: Option<Address>, to: Address) {
        let last = self.blocks.len() - 1;
        let state = Rc::make_mut(&mut self.blocks[last].state);
        evm::conjure(state, from, to);
    }

    /// Whether the newest block changed anything.
    pub(crate) fn changed(&self) -> bool {
        let Some(parent) = self.blocks.len().checked_sub(2).map(|index| &self.blocks[index]) else {
            return true;
        };
        !Rc::ptr_eq(&parent.state, &self.head().state)
    }
}
