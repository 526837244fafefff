//! How a request is paid: what the wallet must have, and, of an ERC-20, that the contract may take exactly
//! the escrow. Coins go along with the request itself.

use licen_chain::{FileJournal, Journal};
use licen_core::policy::RequestContext;
use licen_core::primitives::{Address, U256};

use super::bill::Bill;
use crate::cli::RequestArgs;
use crate::researcher::refusal;
use crate::session::chain_view::ChainView;
use crate::session::error::{CliError, Outcome};
use crate::session::ledger::Erc20;
use crate::session::sending::send_error;
use crate::session::{Session, codes};

/// Gas of two approvals and a request, with the third that is kept on top of an estimate.
const GAS: u64 = 400_000;

/// Refuses what the wallet cannot pay: the escrow, and for a token the gas as well.
///
/// # Errors
/// Too little, with how much, and the number of epochs that it would pay for.
pub(super) async fn afford(session: &Session, args: &RequestArgs, who: Address, bill: &Bill) -> Outcome {
    let (chain, token, price) = (session.chain().await?, bill.token(), bill.total());
    let balance = match token.is_coin() {
        true => chain.balance(who).await?,
        false => chain.tokens_of(token.address, who).await?.ok_or_else(|| {
            let message = format!("the token {} does not tell balances: nobody can pay in it", token.address);
            CliError::refused(codes::FUNDS, message).hint("ask the owner for another token")
        })?,
    };
    if balance < price {
        let (has, needs) = (token.shown(balance), token.shown(price));
        let message = format!("the wallet {who} has {has}, the escrow is {needs}");
        let error = CliError::refused(codes::FUNDS, message);
        let fewer = balance / bill.per_epoch().max(U256::ONE);
        let what = if token.is_coin() { "coins" } else { "tokens" };
        return match u32::try_from(fewer) {
            Ok(epochs) if epochs > 0 => Err(error.hint(refusal::corrected(args, Some(epochs), None, None))),
            _ => Err(error.hint(format!("send {what} to {who}, then run the same command again"))),
        };
    }
    if token.is_coin() {
        return Ok(());
    }
    // Before anything is allowed: an approval alone would be gas for nothing.
    session.sender(chain.rpcs())?.can_pay_gas(GAS).await.map_err(send_error)
}

/// The coins that go along with a request.
pub(super) fn value(token: Address, price: U256) -> U256 {
    if token.is_zero() { price } else { U256::ZERO }
}

/// Lets the contract take exactly the escrow, where it may not take as much already; waits until it may.
/// What was sent and not heard of is finished, never sent twice: the job that is asked for and the amount
/// name it. An allowance that is too small is set to 0 first, since tokens like USDT change it in no other
/// way.
///
/// # Errors
/// The token refuses, or does not do what it says.
pub(super) async fn allow(
    session: &Session,
    chain: &ChainView,
    bill: &Bill,
    context: &RequestContext,
) -> Outcome {
    let (token, price) = (bill.token(), bill.total());
    if token.is_coin() {
        return Ok(());
    }
    let (address, spender) = (token.address, chain.contract());
    let wallet = context.requester;
    // To 0, then to the price: what is not right after these will not be by more.
    for _ in 0..2 {
        let allowed = chain.allowance(address, wallet, spender).await?;
        if allowed >= price {
            return Ok(());
        }
        let amount = if allowed.is_zero() { price } else { U256::ZERO };
        let label = format!("approve:{spender}:{address}:{}:{amount}", context.job_id);
        let label = unspent(session.sender(chain.rpcs())?.journal(), &label).await?;
        session.ui.progress(&format!("Allowing {spender} to take {}", token.shown(amount)));
        session.send(&label, address, &Erc20::approveCall { spender, amount }, U256::ZERO).await?;
    }
    if chain.allowance(address, wallet, spender).await? >= price {
        return Ok(());
    }
    let message = format!("the token {address} took the approval and does not say so: nothing was paid");
    Err(CliError::refused(codes::TRANSACTION, message).hint("ask the owner for another token"))
}

/// Says beside an error that the contract may still take the escrow: nothing was paid, and the wallet alone
/// can use that.
pub(super) fn still_allowed(bill: &Bill, mut error: CliError) -> CliError {
    if !bill.token().is_coin() {
        let amount = bill.shown(bill.total());
        error
            .causes
            .push(format!("{amount} stay allowed to the contract; the wallet's next request uses them"));
    }
    error
}

/// The label, or the next of its kind: one that has ended did not last, as its allowance was spent or taken
/// back since, or had no effect.
async fn unspent(journal: &FileJournal, label: &str) -> Outcome<String> {
    let mut key = label.to_string();
    for again in 1_u32.. {
        let kept = journal.load(&key).await.map_err(|e| send_error(e.into()))?;
        if kept.is_none_or(|(intent, _)| intent.outcome.is_none()) {
            break;
        }
        key = format!("{label}:{again}");
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::ledger::Token;
    use licen_chain::ChainIdentity;
    use licen_chain::sender::{End, Intent, Outcome as Ended};
    use licen_core::primitives::{B256, Bytes};

    /// What was sent and not heard of is gone on with; what was carried out and spent since is not taken for
    /// the one that is needed now.
    #[tokio::test]
    async fn an_approval_is_repeated_only_once_it_is_spent() {
        let dir = tempfile::tempdir().unwrap();
        let identity = ChainIdentity { chain_id: 31_337, genesis_hash: B256::repeat_byte(1) };
        let journal = FileJournal::open(dir.path(), &identity, Address::repeat_byte(2)).unwrap();
        let first = unspent(&journal, "approve:1").await.unwrap();
        let intent = Intent {
            idem_key: first.clone(),
            chain_id: 31_337,
            signer: Address::repeat_byte(2),
            nonce: 0,
            to: Some(Address::repeat_byte(3)),
            value: U256::ZERO,
            data: Bytes::new(),
            gas_limit: 60_000,
            created_ms: 0,
            outcome: None,
        };
        journal.reserve(&intent, 0).await.unwrap();
        assert_eq!(unspent(&journal, "approve:1").await.unwrap(), first, "it is under way");
        let done = Ended { end: End::Succeeded, mined: None, revert_data: None };
        journal.finish(&first, &done).await.unwrap();
        let second = unspent(&journal, "approve:1").await.unwrap();
        assert_ne!(second, first);
        assert_eq!(unspent(&journal, "approve:1").await.unwrap(), second);
        // One that reverted says nothing of the one that is needed now either.
        let again = Intent { idem_key: second.clone(), nonce: 1, ..intent };
        journal.reserve(&again, 1).await.unwrap();
        let reverted = Ended { end: End::Reverted, mined: None, revert_data: None };
        journal.finish(&second, &reverted).await.unwrap();
        let third = unspent(&journal, "approve:1").await.unwrap();
        assert!(third != first && third != second);
    }

    #[test]
    fn an_allowance_that_stays_is_told() {
        let refused = || CliError::refused(codes::NO_COMPUTE, "the provider asks for more now");
        let policy = licen_core::abi::Policy { royaltyPerEpoch: 5, ..Default::default() };
        let bill = |token| Bill::new(Token::unread(token), &policy, 2, None);
        assert!(still_allowed(&bill(Address::ZERO), refused()).causes.is_empty());
        let told = still_allowed(&bill(Address::repeat_byte(1)), refused()).causes;
        assert!(told[0].starts_with("10 base units of 0x0101"), "{told:?}");
    }

    #[test]
    fn coins_go_along_and_tokens_are_taken() {
        let price = U256::from(7);
        assert_eq!(value(Address::ZERO, price), price);
        assert_eq!(value(Address::repeat_byte(1), price), U256::ZERO);
    }
}
