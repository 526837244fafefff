//! The one place that knows revm: a state, and what one call does to it.

use licen_core::policy::LOCAL_CHAIN_ID;
use licen_core::primitives::{Address, Bytes, Log, TxKind, U256};
use revm::context::result::{ExecutionResult, Output};
use revm::context::{BlockEnv, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::database_interface::WrapDatabaseRef;
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, EvmState};
use revm::{Context, DatabaseCommit, ExecuteEvm, MainBuilder, MainContext};

use super::Transaction;
use crate::error::SimError;

/// More than any call of the contracts needs, less than a block holds.
const GAS_LIMIT: u64 = 16_000_000;

/// Accounts, code and storage.
pub(super) type State = CacheDB<EmptyDB>;

/// What a call came to.
#[derive(Debug)]
pub(super) enum Outcome {
    Done { output: Bytes, logs: Vec<Log> },
    Created(Address),
    Reverted(Bytes),
}

/// Runs `call` in the block (number, Unix seconds) on top of `state`, which stays as it is.
pub(super) fn execute(
    state: &State,
    (number, time): (u64, u64),
    call: &Transaction,
) -> Result<(Outcome, EvmState), SimError> {
    let block = BlockEnv {
        number: U256::from(number),
        timestamp: U256::from(time),
        basefee: 0,
        gas_limit: 2 * GAS_LIMIT,
        ..BlockEnv::default()
    };
    let mut evm = Context::mainnet()
        .with_db(WrapDatabaseRef(state))
        .with_block(block)
        .modify_cfg_chained(|cfg| {
            cfg.chain_id = LOCAL_CHAIN_ID;
            // Transactions are ordered by the world; nobody here forges a sender.
            cfg.disable_nonce_check = true;
            cfg.set_spec_and_mainnet_gas_params(SpecId::CANCUN);
        })
        .build_mainnet();
    let transaction = TxEnv::builder()
        .caller(call.from)
        .kind(call.to.map_or(TxKind::Create, TxKind::Call))
        .value(call.value)
        .data(call.data.clone())
        .gas_limit(GAS_LIMIT)
        .gas_price(0)
        .chain_id(Some(LOCAL_CHAIN_ID))
        .build()
        .map_err(|e| SimError::World(format!("a transaction without a form: {e:?}")))?;
    let done = evm.transact(transaction).map_err(|e| SimError::World(format!("revm: {e:?}")))?;
    let outcome = match done.result {
        ExecutionResult::Success { output: Output::Call(output), logs, .. } => Outcome::Done { output, logs },
        ExecutionResult::Success { output: Output::Create(_, Some(address)), .. } => {
            Outcome::Created(address)
        }
        ExecutionResult::Success { output: Output::Create(..), .. } => {
            return Err(SimError::World("a deployment without an address".into()));
        }
        ExecutionResult::Revert { output, .. } => Outcome::Reverted(output),
        ExecutionResult::Halt { reason, .. } => {
            return Err(SimError::World(format!("the contracts halted: {reason:?}")));
        }
    };
    Ok((outcome, done.state))
}

/// Makes what a call did part of the state.
pub(super) fn commit(state: &mut State, changes: EvmState) {
    state.commit(changes);
}

/// Gives accounts their first coins.
pub(super) fn fund(state: &mut State, funded: &[(Address, U256)]) {
    for (address, balance) in funded {
        state.insert_account_info(*address, AccountInfo { balance: *balance, ..AccountInfo::default() });
    }
}

/// Wei of an address.
pub(super) fn balance(state: &State, address: Address) -> U256 {
    state.cache.accounts.get(&address).map_or(U256::ZERO, |account| account.info.balance)
}

/// Wei of all addresses together.
pub(super) fn supply(state: &State) -> U256 {
    state.cache.accounts.values().map(|account| account.info.balance).sum()
}

/// Moves a wei without a transaction; from nowhere if `from` is none.
pub(super) fn conjure(state: &mut State, from: Option<Address>, to: Address) {
    if let Some(from) = from {
        let left = balance(state, from).saturating_sub(U256::ONE);
        put(state, from, left);
    }
    let more = balance(state, to) + U256::ONE;
    put(state, to, more);
}

fn put(state: &mut State, address: Address, balance: U256) {
    let known = state.cache.accounts.get(&address).map(|account| account.info.clone());
    state.insert_account_info(address, AccountInfo { balance, ..known.unwrap_or_default() });
}
