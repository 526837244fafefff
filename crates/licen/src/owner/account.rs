//! `licen withdraw`.

use licen_core::abi::DataPolicy;
use licen_core::primitives::{Address, U256};
use serde_json::json;

use crate::cli::WithdrawArgs;
use crate::owner::payees::must_receive;
use crate::session::error::{CliError, Outcome};
use crate::session::ledger::{address, token_address};
use crate::session::{Session, codes};

/// Withdraws everything credited, from every contract that owes. Anybody may send this, only the account is
/// paid; `--to` sends the wallet's own credit elsewhere.
///
/// # Errors
/// Nothing to withdraw, or an address that could never take it out again.
pub async fn withdraw(session: &Session, args: &WithdrawArgs) -> Outcome {
    let token = token_address(args.token.as_deref())?;
    let to = args.to.as_deref().map(|text| address("--to", text)).transpose()?;
    let account = match &args.account {
        Some(text) => address("--account", text)?,
        None => session.wallet()?.address(),
    };
    if let Some(to) = to {
        must_receive(session, to).await?;
    }
    let words = session.token(token).await?;
    let (mut paid, receiver) = (U256::ZERO, to.unwrap_or(account));
    for chain in session.chains().await? {
        let credit = chain.credit(account, token).await?;
        if credit.is_zero() {
            continue;
        }
        let (contract, shown) = (chain.contract(), words.shown(credit));
        if to.is_some() && !session.ui.confirm(&format!("send {shown} of {account} to {receiver}?")) {
            return Err(CliError::environment(codes::NOT_CONFIRMED, "nothing was withdrawn")
                .hint("--yes confirms it in a script"));
        }
        session.ui.progress(&format!("Withdrawing {shown} to {receiver}"));
        let label = label(contract, account, to, token, credit, chain.now().await?);
        let mined = match to {
            Some(to) => {
                session.send(&label, contract, &DataPolicy::withdrawToCall { to, token }, U256::ZERO).await?
            }
            None => {
                let call = DataPolicy::withdrawCall { account, token };
                session.send(&label, contract, &call, U256::ZERO).await?
            }
        };
        session.indexed(&mined).await;
        session.ui.record(&words.beside_record(json!({"account": account.to_string(), "to": receiver,
            "contract": contract, "amount": credit.to_string()})));
        paid += credit;
    }
    if paid.is_zero() {
        let hint = "licen earnings shows an account; --wallet FILE or --account ADDRESS chooses another";
        return Err(CliError::refused(codes::FUNDS, format!("{account} has nothing to withdraw")).hint(hint));
    }
    session.ui.data(&format!("{} withdrawn to {receiver}", words.shown(paid)));
    Ok(())
}

/// A later withdrawal of the same amount is another transaction.
fn label(
    contract: Address,
    account: Address,
    to: Option<Address>,
    token: Address,
    credit: U256,
    now: u64,
) -> String {
    let to = to.map(|to| format!(":to:{to}")).unwrap_or_default();
    format!("withdraw:{contract}:{account}{to}:{token}:{credit}:{now}")
}
