//! What goes wrong on a chain, for people.

use licen_chain::{ChainError, Revert};

use crate::session::codes;
use crate::session::error::CliError;

/// A chain error for people.
pub fn chain_error(error: ChainError) -> CliError {
    use licen_core::fault::Fault;
    let config = "licen config tells where `rpc` and `deployment` come from";
    match &error {
        ChainError::Reverted(revert) => crate::session::chain_error::contract_refuses(revert),
        ChainError::OtherChain { .. } => {
            CliError::environment(codes::WRONG_CHAIN, "the rpc is another chain than the deployment's")
                .because(&error)
                .hint(config)
        }
        ChainError::NoContract { .. } | ChainError::OtherContract { .. } => {
            CliError::environment(codes::WRONG_CHAIN, "the chain does not have the deployment's contracts")
                .because(&error)
                .hint(config)
        }
        ChainError::BadUrl { .. } | ChainError::TooFewRpcs { .. } => {
            CliError::environment(codes::CONFIG, "the setting rpc is not usable").because(&error).hint(config)
        }
        _ => {
            let shown = CliError::of(codes::CHAIN, "the chain did not answer as expected", &error);
            if error.retryable() {
                shown.hint("check `rpc` in `licen config`, then try again")
            } else {
                shown
            }
        }
    }
}

/// A refusal of the contract, for people.
pub fn contract_refuses(revert: &Revert) -> CliError {
    let error = CliError::refused(codes::TRANSACTION, format!("the contract refuses: {}", revert.sentence()));
    match revert.hint() {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
