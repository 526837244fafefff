//! Announcing splits: without its preimage money in a split is stuck, so everybody is told it.

use licen_core::abi::{DataPolicy, Split};
use licen_core::id::split_account;
use licen_core::primitives::{Address, U256};

use crate::session::Session;
use crate::session::error::Outcome;
use crate::session::output::short;

/// Announces the splits that the node does not know, each before those inside it: the index keeps what
/// something it knows already names. `occasion` tells one naming of a split from another, so that a
/// repeated command sends nothing twice.
///
/// # Errors
/// The contract refuses, or chain or node do not answer.
pub async fn announce(session: &Session, contract: Address, splits: &[Split], occasion: &str) -> Outcome {
    for split in splits {
        let account = split_account(split);
        if session.node()?.split(account).await?.is_some() {
            continue;
        }
        let label = format!("announce:{contract}:{account}:{occasion}");
        let call = DataPolicy::announceCall { split: split.clone() };
        let mined = session.send(&label, contract, &call, U256::ZERO).await?;
        session.indexed(&mined).await;
        let (name, payees) = (short(&account.to_string()), split.accounts.len());
        session.ui.progress(&format!("Announced split {name} with {payees} payees"));
    }
    Ok(())
}
