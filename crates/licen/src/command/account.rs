//! `licen earnings` and `licen withdraw`.

use licen_core::abi::DataPolicy;
use licen_core::money::format_units;
use licen_core::primitives::{Address, U256};
use serde_json::json;

use crate::cli::AccountArgs;
use crate::codes;
use crate::error::{CliError, Outcome};
use crate::session::Session;

/// What an account can withdraw, and what its datasets earned: the fee is part of the royalty.
///
/// # Errors
/// The node or chain does not answer.
pub async fn earnings(session: &Session, args: &AccountArgs) -> Outcome {
    let (account, token) = parse(session, args)?;
    let credit = session.chain().await?.credit(account, token).await?;
    let mine = json!({"owner": {"_eq": account.to_string()}, "token": {"_eq": token.to_string()}});
    let (mut royalties, mut fees) = (U256::ZERO, U256::ZERO);
    for job in session.node()?.jobs(mine).await? {
        let wei = |name: &str| U256::from_str_radix(&job.text(name), 10).unwrap_or_default();
        royalties += wei("royaltySettled");
        fees += wei("protocolFee");
    }
    session.ui.record(&json!({
        "account": account.to_string(), "token": token.to_string(), "credit": credit.to_string(), "royalties": royalties.to_string(),
        "protocolFees": fees.to_string()
    }));
    session.ui.data(&format!(
        "{} to withdraw; {} in royalties so far, {} of it protocol fee",
        format_units(credit, 18),
        format_units(royalties, 18),
        format_units(fees, 18)
    ));
    Ok(())
}

/// Withdraws everything credited; anybody may send this, only the account is paid.
///
/// # Errors
/// Nothing to withdraw.
pub async fn withdraw(session: &Session, args: &AccountArgs) -> Outcome {
    let (account, token) = parse(session, args)?;
    let chain = session.chain().await?;
    let credit = chain.credit(account, token).await?;
    if credit.is_zero() {
        return Err(CliError::refused(codes::FUNDS, format!("{account} has nothing to withdraw"))
            .hint("licen earnings shows an account; --wallet FILE or --account ADDRESS chooses another"));
    }
    let call = DataPolicy::withdrawCall { account, token };
    let label = format!("withdraw:{account}:{token}:{credit}:{}", chain.now().await?);
    session.ui.progress(&format!("Withdrawing {} to {account}", format_units(credit, 18)));
    session.send(&label, chain.domain().contract, &call, U256::ZERO).await?;
    session.ui.record(
        &json!({"account": account.to_string(), "token": token.to_string(), "amount": credit.to_string()}),
    );
    session.ui.data(&format!("{} withdrawn to {account}", format_units(credit, 18)));
    Ok(())
}

fn parse(session: &Session, args: &AccountArgs) -> Outcome<(Address, Address)> {
    let address = |text: &str| {
        text.parse::<Address>()
            .map_err(|_| CliError::environment(codes::USAGE, format!("{text:?} is not an address")))
            .map_err(|e| e.hint("an address is 0x and 40 hex digits"))
    };
    let account = match &args.account {
        Some(text) => address(text)?,
        None => session.wallet()?.address(),
    };
    let token = args.token.as_deref().map_or(Ok(Address::ZERO), address)?;
    Ok((account, token))
}
