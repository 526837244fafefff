//! `licen distribute`: what is due of a split goes to its payees' credit, of the splits inside as well.

use licen_core::abi::{DataPolicy, Split};
use licen_core::id::{address_of, split_account};
use licen_core::primitives::{B256, U256};
use licen_core::wire::index::PaymentKind;
use serde_json::json;

use crate::cli::DistributeArgs;
use crate::owner::payees::{complete, ordered, read_splits};
use crate::owner::publish::announce_payees;
use crate::session::chain_view::ChainView;
use crate::session::error::{CliError, Outcome};
use crate::session::ledger::{Books, Token, token_address};
use crate::session::manifest::manifest;
use crate::session::node_client::IndexedDataset;
use crate::session::output::short;
use crate::session::when::shown;
use crate::session::{Session, codes};

/// Distributes at every contract where something is due, each split before those inside it.
///
/// # Errors
/// A split that nobody knows, or one of which nothing is due.
pub async fn distribute(session: &Session, args: &DistributeArgs) -> Outcome {
    session.same_world().await?;
    let token = token_address(args.token.as_deref())?;
    let words = session.token(token).await?;
    let (account, splits) = target(session, args).await?;
    let (mut moved, mut waiting) = (false, Vec::new());
    for chain in session.chains().await? {
        for split in &splits {
            let books = chain.books(split, token).await?;
            if books.due.is_zero() {
                waiting.extend(waits(split, &books, &words));
            } else {
                pay(session, &chain, split, &books, &words).await?;
                moved = true;
            }
        }
    }
    if moved {
        waiting.iter().for_each(|line| session.ui.progress(line));
        return Ok(());
    }
    let name = short(&account.to_string());
    let mut error = CliError::refused(codes::NOTHING_DUE, format!("nothing of split {name} is due now"));
    if waiting.is_empty() {
        waiting.push(format!("nothing came in that was not distributed, of {}", token_name(&words)));
    }
    error.causes = waiting;
    Err(error.hint(format!("licen earnings --account {account} shows what came in")))
}

fn token_name(words: &Token) -> String {
    if words.address.is_zero() { "the native coin".into() } else { words.address.to_string() }
}

/// The split that is meant and those inside it, as far as they are known.
async fn target(session: &Session, args: &DistributeArgs) -> Outcome<(B256, Vec<Split>)> {
    let mut known = read_splits(&args.splits)?;
    let named: Option<B256> = args.target.parse().ok();
    let direct = match named {
        Some(account) => known.contains_key(&account) || session.node()?.split(account).await?.is_some(),
        None => false,
    };
    let account = match (named, direct) {
        (Some(account), true) => account,
        _ => {
            let dataset = session.dataset(&args.target).await.map_err(|error| match named {
                Some(_) => error.hint("a split that nobody announced: --split FILE with its preimage"),
                None => error,
            })?;
            let account = payee(&dataset)?;
            told(session, &dataset, &mut known).await?;
            account
        }
    };
    for unknown in complete(Some(session), account, &mut known).await? {
        if unknown == account {
            let message = format!("nobody announced what is behind the split {account}");
            return Err(CliError::refused(codes::POLICY_INVALID, message)
                .hint("--split FILE with its {accounts, bps, start, duration}"));
        }
        let name = short(&unknown.to_string());
        session.ui.warn(&format!("split {name} inside was never announced: its part waits there"));
    }
    Ok((account, ordered(account, &known)))
}

/// The split that a dataset pays.
fn payee(dataset: &IndexedDataset) -> Outcome<B256> {
    let account = dataset.policy.payee;
    match address_of(account) {
        None => Ok(account),
        Some(address) => Err(CliError::refused(
            codes::POLICY_INVALID,
            format!("the dataset pays {address}, there is no split to distribute"),
        )
        .hint(format!("licen withdraw --account {address}"))),
    }
}

/// Adds what a dataset's manifest says of its splits, and announces it where that is still to be done.
async fn told(
    session: &Session,
    dataset: &IndexedDataset,
    known: &mut std::collections::BTreeMap<B256, Split>,
) -> Outcome {
    let account = dataset.policy.payee;
    if complete(Some(session), account, known).await?.is_empty() {
        return Ok(());
    }
    for terms in &manifest(session, dataset).await?.facts().split {
        let split = Split::from(terms.clone());
        known.insert(split_account(&split), split);
    }
    let splits = ordered(account, known);
    announce_payees(session, dataset.contract, &dataset.policy, &splits).await;
    Ok(())
}

/// Sends one distribution and says what each payee was credited.
async fn pay(session: &Session, chain: &ChainView, split: &Split, books: &Books, words: &Token) -> Outcome {
    let (account, contract, token) = (split_account(split), chain.contract(), words.address);
    // What was paid so far grows with every distribution, so it names this one, sent again or not.
    let label = format!("distribute:{contract}:{account}:{token}:{}", books.paid);
    let call = DataPolicy::distributeCall { split: split.clone(), token };
    let mined = session.send(&label, contract, &call, U256::ZERO).await?;
    session.indexed(&mined).await;
    let filter = json!({"txHash": {"_eq": mined.tx_hash}, "ref": {"_eq": account}});
    let payments = session.node()?.payments(filter).await?;
    let name = short(&account.to_string());
    for payment in payments.iter().filter(|p| p.kind == PaymentKind::Credited && p.source == Some(account)) {
        let amount = payment.amount;
        session.ui.record(&json!({"split": account, "contract": contract, "account": payment.account,
            "amount": words.amount(amount), "txHash": mined.tx_hash}));
        session.ui.data(&format!(
            "{} from split {name} to {}",
            words.shown(amount),
            payee_name(payment.account)
        ));
    }
    if payments.is_empty() {
        session.ui.warn(&format!("distributed by {}, which the index does not have yet", mined.tx_hash));
    }
    Ok(())
}

/// An account as people know it.
#[must_use]
pub fn payee_name(account: B256) -> String {
    address_of(account).map_or_else(|| format!("split {account}"), |address| address.to_string())
}

/// What waits in a split of which nothing is due, and for what; nothing where it is empty.
fn waits(split: &Split, books: &Books, words: &Token) -> Option<String> {
    let left = books.total_in.saturating_sub(books.paid);
    if left.is_zero() {
        return None;
    }
    let end = split.start.saturating_add(split.duration);
    let why = if books.at < split.start {
        format!("vests from {}", shown(split.start))
    } else if books.at < end {
        format!("vests until {}", shown(end))
    } else {
        "is too little for its payees, and waits for more".into()
    };
    let name = short(&split_account(split).to_string());
    Some(format!("{} in split {name} {why}", words.shown(left)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_says_until_when() {
        let split =
            Split { accounts: vec![B256::repeat_byte(1)], bps: vec![10_000], start: 100, duration: 50 };
        let words = Token::coin();
        let books =
            |at, total_in| Books { total_in: U256::from(total_in), paid: U256::ZERO, due: U256::ZERO, at };
        let said = |at, total| waits(&split, &books(at, total), &words);
        assert_eq!(said(99, 0_u64), None);
        assert!(said(99, 7).unwrap().ends_with("vests from 1970-01-01 00:01:40 UTC"));
        assert!(said(100, 7).unwrap().ends_with("vests until 1970-01-01 00:02:30 UTC"));
        assert!(said(150, 7).unwrap().ends_with("waits for more"));
    }
}
