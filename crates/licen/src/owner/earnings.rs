//! `licen earnings`: an account's history from events alone, and whether the chain agrees with their sum.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use licen_core::abi::Split;
use licen_core::id::{account_of, address_of, split_account};
use licen_core::primitives::{Address, B256, U256};
use licen_core::split::{parts, vested};
use licen_core::wire::index::{PaymentKind, PaymentRow};
use serde_json::json;

mod upstream;

use self::upstream::{Coming, Holding, above, coming};
use crate::cli::EarningsArgs;
use crate::owner::payees::account;
use crate::session::Session;
use crate::session::chain_view::ChainView;
use crate::session::error::Outcome;
use crate::session::ledger::{Books, Token, token_address};
use crate::session::output::short;
use crate::session::when::shown;

/// The index shows the head, the chain is believed at its depth only: how long they may take to agree.
const AGREE_WITHIN: Duration = Duration::from_secs(15);
const AGREE_POLL: Duration = Duration::from_millis(500);

/// Where money of an account came from or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// A job credited it.
    Job(B256),
    /// A split that it is a payee of did.
    Split(B256),
    /// It was paid out.
    Withdrawn(Address),
    /// It went to the payees of the account, which is a split.
    Distributed,
}

impl Source {
    fn of(payment: &PaymentRow) -> Self {
        match payment.kind {
            PaymentKind::Withdrawn => Self::Withdrawn(payment.to.unwrap_or_default()),
            PaymentKind::Distributed => Self::Distributed,
            PaymentKind::Credited => match payment.job_id {
                Some(job) => Self::Job(job),
                None => Self::Split(payment.source.unwrap_or_default()),
            },
        }
    }

    fn adds(self) -> bool {
        matches!(self, Self::Job(_) | Self::Split(_))
    }

    /// Kind and counterpart, for people.
    fn words(self) -> (&'static str, String) {
        match self {
            Self::Job(job) => ("credited", format!("job {}", short(&job.to_string()))),
            Self::Split(split) => ("credited", format!("split {}", short(&split.to_string()))),
            Self::Withdrawn(to) => ("withdrawn", format!("to {to}")),
            Self::Distributed => ("distributed", "to the payees".into()),
        }
    }
}

/// Sums by source, of one token at one contract.
#[derive(Debug, Default, PartialEq, Eq)]
struct Account(BTreeMap<Source, U256>);

impl Account {
    fn add(&mut self, source: Source, amount: U256) {
        let sum = self.0.entry(source).or_default();
        *sum = sum.saturating_add(amount);
    }

    /// What came in and what went.
    fn sums(&self) -> (U256, U256) {
        let sum = |adds| {
            let of = self.0.iter().filter(move |(source, _)| source.adds() == adds);
            of.fold(U256::ZERO, |sum, (_, amount)| sum.saturating_add(*amount))
        };
        (sum(true), sum(false))
    }

    /// What is left by the events; nothing where more went than came.
    fn balance(&self) -> Option<U256> {
        let (came, went) = self.sums();
        came.checked_sub(went)
    }
}

/// Accounts by contract and token.
type Accounts = BTreeMap<(Address, Address), Account>;

/// Explains an account: its balance, every source, and what waits in the splits that pay it.
///
/// # Errors
/// The node or chain does not answer.
pub async fn earnings(session: &Session, args: &EarningsArgs) -> Outcome {
    let account = match &args.account {
        Some(text) => account("--account", text)?,
        None => account_of(session.wallet()?.address()),
    };
    let only = args.token.as_deref().map(|text| token_address(Some(text))).transpose()?;
    session.same_world().await?;
    let chains = session.chains().await?;
    let (accounts, credits) = agreed(session, &chains, account, only).await?;
    for ((contract, token), sums) in &accounts {
        if !chains.iter().any(|chain| chain.contract() == *contract) {
            continue;
        }
        let words = session.words(*token).await;
        let credit = credits.get(&(*contract, *token)).copied().unwrap_or_default();
        tell(session, account, *contract, &words, credit, sums);
    }
    own_split(session, &chains, account, &accounts).await?;
    let above = above(account, &session.node()?.splits().await?);
    let mut came = BTreeMap::new();
    for split in &above {
        let inside = split_account(split);
        came.insert(inside, session.node()?.payments(json!({"account": {"_eq": inside}})).await?);
    }
    for chain in &chains {
        waiting(session, chain, account, only, &above, &came, &accounts).await?;
    }
    Ok(())
}

/// The account by the index and its credits by the chain, asked until they agree or time is up.
async fn agreed(
    session: &Session,
    chains: &[ChainView],
    account: B256,
    only: Option<Address>,
) -> Outcome<(Accounts, BTreeMap<(Address, Address), U256>)> {
    let deadline = Instant::now() + AGREE_WITHIN;
    loop {
        let payments = session.node()?.payments(json!({"account": {"_eq": account}})).await?;
        let mut accounts = Accounts::new();
        // A token that nobody asked for by name is shown where it ever moved; the coin always.
        for chain in chains {
            accounts.entry((chain.contract(), only.unwrap_or_default())).or_default();
        }
        for payment in payments.iter().filter(|p| only.is_none_or(|token| p.token == token)) {
            let sums = accounts.entry((payment.contract, payment.token)).or_default();
            sums.add(Source::of(payment), payment.amount);
        }
        let mut credits = BTreeMap::new();
        for chain in chains {
            let contract = chain.contract();
            let tokens: Vec<Address> =
                accounts.keys().filter(|key| key.0 == contract).map(|key| key.1).collect();
            for token in tokens {
                credits.insert((contract, token), chain.account_credit(account, token).await?);
            }
        }
        let same = credits.iter().all(|(key, credit)| accounts[key].balance() == Some(*credit));
        if same || Instant::now() > deadline {
            return Ok((accounts, credits));
        }
        tokio::time::sleep(AGREE_POLL).await;
    }
}

/// One token at one contract.
fn tell(session: &Session, account: B256, contract: Address, words: &Token, credit: U256, sums: &Account) {
    let (ui, explained) = (&session.ui, sums.balance());
    let agrees = explained == Some(credit);
    ui.record(&json!({"kind": "balance", "account": account, "contract": contract,
        "amount": words.amount(credit), "explained": explained.map(|sum| words.amount(sum)), "agrees": agrees}));
    let verb = if address_of(account).is_some() { "to withdraw" } else { "in the split" };
    ui.data(&format!("balance       {} {verb}", words.shown(credit)));
    for (source, amount) in &sums.0 {
        let (kind, counterpart) = source.words();
        let mut record = json!({"kind": kind, "account": account, "contract": contract,
            "amount": words.amount(*amount)});
        match source {
            Source::Job(job) => record["jobId"] = json!(job),
            Source::Split(split) => record["split"] = json!(split),
            Source::Withdrawn(to) => record["to"] = json!(to),
            Source::Distributed => {}
        }
        ui.record(&record);
        ui.data(&format!("{kind:<13} {} {counterpart}", words.shown(*amount)));
    }
    if !agrees {
        let (came, went) = sums.sums();
        ui.warn(&format!(
            "the chain has {} at {contract}, the index explains {} in and {} out: it is behind, or wrong",
            words.shown(credit),
            words.shown(came),
            words.shown(went)
        ));
    }
}

/// What is due of an account that is a split itself.
async fn own_split(session: &Session, chains: &[ChainView], account: B256, accounts: &Accounts) -> Outcome {
    if address_of(account).is_some() {
        return Ok(());
    }
    let Some(split) = session.node()?.split(account).await? else {
        session
            .ui
            .warn("nobody announced what is behind this account: without that it cannot be distributed");
        return Ok(());
    };
    for (contract, token) in accounts.keys() {
        let Some(chain) = chains.iter().find(|chain| chain.contract() == *contract) else { continue };
        let (books, words) = (chain.books(&split, *token).await?, session.words(*token).await);
        // What is left over when all has vested waits for more to come in; nothing makes it due.
        let vested = books.at >= split.start.saturating_add(split.duration);
        let later = books.total_in.saturating_sub(books.paid).saturating_sub(books.due);
        let later = if vested { U256::ZERO } else { later };
        say_waiting(session, account, chain, &words, &split, (books.due, later));
    }
    Ok(())
}

/// What an account has to come of the splits above it at one contract; `came` are the payments of each.
async fn waiting(
    session: &Session,
    chain: &ChainView,
    account: B256,
    only: Option<Address>,
    above: &[Split],
    came: &BTreeMap<B256, Vec<PaymentRow>>,
    accounts: &Accounts,
) -> Outcome {
    let contract = chain.contract();
    let here = |p: &&PaymentRow| p.contract == contract && only.is_none_or(|token| p.token == token);
    for token in came.values().flatten().filter(here).map(|p| p.token).collect::<BTreeSet<_>>() {
        let (words, mut holdings, mut at) = (session.words(token).await, BTreeMap::new(), 0);
        let sums = accounts.get(&(contract, token));
        for split in above {
            let inside = split_account(split);
            let payments: Vec<&PaymentRow> =
                came[&inside].iter().filter(here).filter(|p| p.token == token).collect();
            if payments.is_empty() {
                continue;
            }
            let books = chain.books(split, token).await?;
            at = books.at.max(at);
            holdings.insert(inside, holding(&books, &payments));
            if split.accounts.contains(&account) {
                let got =
                    sums.and_then(|sums| sums.0.get(&Source::Split(inside))).copied().unwrap_or_default();
                say_waiting(session, account, chain, &words, split, to_come(split, account, &books, got));
            }
        }
        for (inside, coming) in coming(account, above, &holdings, at) {
            say_coming(session, account, chain, &words, (inside, coming), above);
        }
    }
    Ok(())
}

/// What a split holds, and what it got of the splits before it.
fn holding(books: &Books, payments: &[&PaymentRow]) -> Holding {
    let mut holding = Holding { total_in: books.total_in, ..Holding::default() };
    for payment in payments {
        if let Source::Split(before) = Source::of(payment) {
            let got: &mut U256 = holding.got.entry(before).or_default();
            *got = got.saturating_add(payment.amount);
        }
    }
    holding
}

/// What comes through the split `inside` once those before it are distributed, the outermost first.
fn say_coming(
    session: &Session,
    account: B256,
    chain: &ChainView,
    words: &Token,
    (inside, coming): (B256, Coming),
    splits: &[Split],
) {
    if coming == Coming::default() {
        return;
    }
    let before = above(inside, splits);
    let paid: BTreeSet<B256> = before.iter().flat_map(|split| split.accounts.iter().copied()).collect();
    let outermost: Vec<B256> =
        before.iter().map(split_account).filter(|split| !paid.contains(split)).collect();
    session.ui.record(&json!({"kind": "upstream", "account": account, "contract": chain.contract(),
        "split": inside, "outermost": outermost, "due": words.amount(coming.due), "later": words.amount(coming.later)}));
    let name = short(&inside.to_string());
    if !coming.due.is_zero() {
        let commands: Vec<String> =
            outermost.iter().map(|split| format!("licen distribute {split}")).collect();
        let (amount, commands) = (words.shown(coming.due), commands.join(", "));
        session.ui.data(&format!("upstream      {amount} comes by split {name}, due: {commands}"));
    }
    if !coming.later.is_zero() {
        let amount = words.shown(coming.later);
        session.ui.data(&format!("upstream      {amount} comes by split {name}, once it vests before it"));
    }
}

/// What is due to a payee that got `got` of the split so far, and what vests later.
fn to_come(split: &Split, account: B256, books: &Books, got: U256) -> (U256, U256) {
    let of = |amounts: Vec<U256>| {
        let mine = split.accounts.iter().zip(amounts).filter(|(payee, _)| **payee == account);
        mine.fold(U256::ZERO, |sum, (_, amount)| sum.saturating_add(amount))
    };
    let now = of(parts(split, vested(split, books.total_in, books.at)));
    let all = of(parts(split, books.total_in));
    (now.saturating_sub(got), all.saturating_sub(now))
}

fn say_waiting(
    session: &Session,
    account: B256,
    chain: &ChainView,
    words: &Token,
    split: &Split,
    (due, later): (U256, U256),
) {
    if due.is_zero() && later.is_zero() {
        return;
    }
    let inside = split_account(split);
    session.ui.record(&json!({"kind": "waiting", "account": account, "contract": chain.contract(),
        "split": inside, "due": words.amount(due), "later": words.amount(later), "start": split.start,
        "duration": split.duration}));
    if !due.is_zero() {
        let (amount, name) = (words.shown(due), short(&inside.to_string()));
        session.ui.data(&format!("waiting       {amount} in split {name}, due: licen distribute {inside}"));
    }
    if !later.is_zero() {
        let (amount, name) = (words.shown(later), short(&inside.to_string()));
        let end = shown(split.start.saturating_add(split.duration));
        session.ui.data(&format!("waiting       {amount} in split {name}, all of it vested by {end}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_has_a_source_and_more_out_than_in_is_no_balance() {
        let mut account = Account::default();
        account.add(Source::Job(B256::repeat_byte(1)), U256::from(7));
        account.add(Source::Job(B256::repeat_byte(1)), U256::from(2));
        account.add(Source::Split(B256::repeat_byte(2)), U256::from(1));
        account.add(Source::Withdrawn(Address::repeat_byte(3)), U256::from(4));
        assert_eq!((account.0.len(), account.balance()), (3, Some(U256::from(6))));
        account.add(Source::Distributed, U256::from(7));
        assert_eq!(account.balance(), None);
    }

    #[test]
    fn what_is_to_come_is_the_payees_own_part() {
        let (me, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let split = Split {
            accounts: vec![me, other, me],
            bps: vec![5_000, 4_000, 1_000],
            start: 100,
            duration: 100,
        };
        let books = |at| Books { total_in: U256::from(1_000), paid: U256::ZERO, due: U256::ZERO, at };
        let of = |at, got: u64| to_come(&split, me, &books(at), U256::from(got));
        assert_eq!(of(99, 0), (U256::ZERO, U256::from(600)));
        assert_eq!(of(150, 100), (U256::from(200), U256::from(300)));
        assert_eq!(of(500, 600), (U256::ZERO, U256::ZERO));
    }
}
