//! Who is paid, out of what the owner typed: an account, and the splits behind it. Money in a split whose
//! preimage nobody knows is stuck, so every split inside has to be known before anything is registered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use licen_core::abi::Split;
use licen_core::id::{account_of, address_of, split_account};
use licen_core::money::parse_units;
use licen_core::policy_manifest::SplitTerms;
use licen_core::primitives::{Address, B256};
use licen_core::split::validate;

use crate::cli::PayeeArgs;
use crate::session::error::{CliError, Outcome};
use crate::session::ledger::read_address;
use crate::session::when::{duration, moment};
use crate::session::{Session, codes};

/// Most splits behind one account: each is a transaction to announce and to distribute.
pub const MAX_SPLITS: usize = 64;
/// Largest file with splits.
const MAX_FILE: u64 = 1 << 20;

/// Who is paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payees {
    /// The policy's payee.
    pub account: B256,
    /// The split behind it and every split inside, each before those inside it.
    pub splits: Vec<Split>,
}

/// Splits by their accounts.
pub type Known = BTreeMap<B256, Split>;

/// The payees that the flags name; nothing where they name none. Without a session only `--split` files
/// are known.
///
/// # Errors
/// Flags that do not fit together, accounts that money would be stuck in, splits that nobody knows.
pub async fn payees(session: Option<&Session>, args: &PayeeArgs) -> Outcome<Option<Payees>> {
    let Some((account, outer)) = outermost(args)? else { return Ok(None) };
    let files = read_splits(&args.splits)?;
    let mut known = files.clone();
    known.extend(outer.map(|split| (account, split)));
    let unknown = complete(session, account, &mut known).await?;
    if let Some(stuck) = unknown.first() {
        let asked = if session.is_some() { "the node does not know" } else { "no file has" };
        let message = format!("{asked} the split {stuck}: what it is paid could not be distributed");
        return Err(CliError::refused(codes::POLICY_INVALID, message)
            .hint("--split FILE with its {accounts, bps, start, duration}"));
    }
    let splits = ordered(account, &known);
    let accounts: BTreeSet<B256> = splits.iter().map(split_account).collect();
    if let Some(unused) = files.keys().find(|file| !accounts.contains(*file)) {
        let message = format!("--split has the split {unused}, which no payee names");
        return Err(CliError::environment(codes::USAGE, message)
            .hint("a split's account is the hash of exactly its accounts, bps, start and duration"));
    }
    let stuck = match session {
        Some(session) => contracts(session).await?,
        None => BTreeSet::new(),
    };
    check(account, &splits, &stuck)?;
    Ok(Some(Payees { account, splits }))
}

/// Accounts that could never take money out.
async fn contracts(session: &Session) -> Outcome<BTreeSet<B256>> {
    let contracts = &session.deployment().await?.contracts;
    Ok(contracts.data_policies.iter().chain([&contracts.custody]).copied().map(account_of).collect())
}

/// Refuses an address at which money would be stuck: a contract of the deployment, or 0.
///
/// # Errors
/// That.
pub async fn must_receive(session: &Session, to: Address) -> Outcome {
    let stuck = contracts(session).await?;
    check(account_of(to), &[], &stuck)
        .map_err(|e| e.hint("--to with an address that somebody has the key of"))
}

fn check(account: B256, splits: &[Split], stuck: &BTreeSet<B256>) -> Outcome {
    let refused = |message: String| {
        CliError::refused(codes::POLICY_INVALID, message)
            .hint("weights are percent and sum to 100; a payee is an address, or the account of a split")
    };
    if splits.len() > MAX_SPLITS {
        return Err(refused(format!("{} splits behind one account, at most {MAX_SPLITS}", splits.len())));
    }
    for split in splits {
        validate(split).map_err(|e| refused(e.to_string()))?;
    }
    let paid = splits.iter().flat_map(|split| &split.accounts).chain([&account]);
    for account in paid {
        if account.is_zero() {
            return Err(refused("the zero account is nobody's".into()));
        }
        if stuck.contains(account) {
            let address = Address::from_word(*account);
            return Err(refused(format!("{address} is a contract of LICEN: money there would be stuck")));
        }
    }
    Ok(())
}

/// The account that is paid, and the split that the flags make, if it is one.
fn outermost(args: &PayeeArgs) -> Outcome<Option<(B256, Option<Split>)>> {
    let named = args.payees.iter().map(|text| payee(text)).collect::<Outcome<Vec<_>>>()?;
    let vesting = vesting(args)?;
    let usage = |message: &str| {
        CliError::environment(codes::USAGE, message)
            .hint("--payee ADDRESS=60 --payee ADDRESS=40: a weight for each, together 100")
    };
    let split = match (named.as_slice(), vesting) {
        ([], _) => return Ok(None),
        ([(account, None | Some(10_000))], None) => return Ok(Some((*account, None))),
        ([(account, None)], Some((start, duration))) => {
            Split { accounts: vec![*account], bps: vec![10_000], start, duration }
        }
        (several, vesting) => {
            let bps: Option<Vec<u16>> = several.iter().map(|(_, weight)| *weight).collect();
            let bps = bps.ok_or_else(|| usage("a payee has no weight"))?;
            let accounts: Vec<B256> = several.iter().map(|(account, _)| *account).collect();
            if accounts.iter().collect::<BTreeSet<_>>().len() != accounts.len() {
                return Err(usage("a payee is named twice"));
            }
            let (start, duration) = vesting.unwrap_or_default();
            Split { accounts, bps, start, duration }
        }
    };
    check(split_account(&split), std::slice::from_ref(&split), &BTreeSet::new())?;
    Ok(Some((split_account(&split), Some(split))))
}

/// ACCOUNT or ACCOUNT=PERCENT; the weight in basis points.
fn payee(text: &str) -> Outcome<(B256, Option<u16>)> {
    let (name, weight) = text.split_once('=').map_or((text, None), |(name, weight)| (name, Some(weight)));
    let account = account("--payee", name)?;
    let Some(weight) = weight else { return Ok((account, None)) };
    let bps = parse_units(weight.trim_end_matches('%'), 2).and_then(|bps| u16::try_from(bps).ok());
    let bps = bps.filter(|bps| (1..=10_000).contains(bps)).ok_or_else(|| {
        CliError::environment(codes::USAGE, format!("--payee {text:?}: {weight:?} is no weight"))
            .hint("a weight is percent: 0.01 to 100, with up to two decimals")
    })?;
    Ok((account, Some(bps)))
}

/// An account out of an address, or of the 64 hex digits of a split's.
///
/// # Errors
/// Neither.
pub fn account(flag: &str, text: &str) -> Outcome<B256> {
    if let Ok(account) = text.parse::<B256>() {
        return Ok(account);
    }
    read_address(text).map(account_of).map_err(|what| {
        CliError::environment(codes::USAGE, format!("{flag} {what}, or a split's account"))
            .hint("an address is 0x and 40 hex digits, a split's account 0x and 64")
    })
}

/// Start and duration, where the flags say any.
fn vesting(args: &PayeeArgs) -> Outcome<Option<(u64, u64)>> {
    if let Some(text) = &args.vest {
        let usage = |message: String| {
            CliError::environment(codes::USAGE, message).hint("for example --vest 2026-12-01..2027-12-01")
        };
        let (start, end) =
            text.split_once("..").ok_or_else(|| usage(format!("--vest {text:?} is not START..END")))?;
        let (start, end) = (moment("--vest", start)?, moment("--vest", end)?);
        let duration = end.checked_sub(start);
        return Ok(Some((start, duration.ok_or_else(|| usage(format!("--vest {text:?} ends first")))?)));
    }
    let Some(start) = &args.vest_start else { return Ok(None) };
    let start = moment("--vest-start", start)?;
    Ok(Some((start, args.vest_for.as_deref().map_or(Ok(0), |text| duration("--vest-for", text))?)))
}

/// The splits in files: a split, or a list of them, as `licen:split` of a manifest has them.
///
/// # Errors
/// A file that is something else.
pub fn read_splits(files: &[PathBuf]) -> Outcome<Known> {
    let mut known = Known::new();
    for file in files {
        for terms in read_terms(file)? {
            let split = Split::from(terms);
            known.insert(split_account(&split), split);
        }
    }
    Ok(known)
}

fn read_terms(file: &Path) -> Outcome<Vec<SplitTerms>> {
    use std::io::Read;
    let bad = |e: &dyn std::error::Error| {
        CliError::environment(codes::FILE, format!("cannot read a split from {}", file.display()))
            .because(e)
            .hint(r#"{"accounts": ["0x..64 digits.."], "bps": [10000], "start": 0, "duration": 0}"#)
    };
    let mut text = String::new();
    let opened = std::fs::File::open(file).and_then(|f| f.take(MAX_FILE).read_to_string(&mut text));
    opened.map_err(|e| bad(&e))?;
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(&text).map_err(|e| bad(&e));
    }
    serde_json::from_str(&text).map(|terms| vec![terms]).map_err(|e| bad(&e))
}

/// Adds to `known` what the node knows of the splits behind `account`; gives the accounts of those that
/// stay unknown.
///
/// # Errors
/// The node does not answer.
pub async fn complete(session: Option<&Session>, account: B256, known: &mut Known) -> Outcome<Vec<B256>> {
    let (mut pending, mut seen, mut unknown) = (vec![account], BTreeSet::new(), Vec::new());
    while let Some(account) = pending.pop() {
        if address_of(account).is_some() || !seen.insert(account) {
            continue;
        }
        if seen.len() > MAX_SPLITS {
            let message = format!("more than {MAX_SPLITS} splits behind one account");
            return Err(CliError::refused(codes::POLICY_INVALID, message)
                .hint("licen distribute with the account of a split inside"));
        }
        if let (None, Some(session)) = (known.get(&account), session) {
            known.extend(session.node()?.split(account).await?.map(|split| (account, split)));
        }
        match known.get(&account) {
            Some(split) => pending.extend(&split.accounts),
            None => unknown.push(account),
        }
    }
    Ok(unknown)
}

/// The known splits behind `account`, each before those inside it. An account is the hash of what is in it,
/// so no split is inside itself.
#[must_use]
pub fn ordered(account: B256, known: &Known) -> Vec<Split> {
    fn visit(account: B256, known: &Known, seen: &mut BTreeSet<B256>, inner_first: &mut Vec<Split>) {
        let Some(split) = known.get(&account) else { return };
        if !seen.insert(account) {
            return;
        }
        split.accounts.iter().for_each(|inner| visit(*inner, known, seen, inner_first));
        inner_first.push(split.clone());
    }
    let mut splits = Vec::new();
    visit(account, known, &mut BTreeSet::new(), &mut splits);
    splits.reverse();
    splits
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0xa1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";
    const B: &str = "0xb2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2";

    fn args(payees: &[&str]) -> PayeeArgs {
        PayeeArgs { payees: payees.iter().map(ToString::to_string).collect(), ..PayeeArgs::default() }
    }

    fn outer(payees: &[String]) -> Outcome<Option<(B256, Option<Split>)>> {
        outermost(&PayeeArgs { payees: payees.to_vec(), ..PayeeArgs::default() })
    }

    #[test]
    fn one_payee_is_paid_directly_and_several_by_weight() {
        assert_eq!(outermost(&args(&[])).unwrap(), None);
        let direct = account_of(A.parse().unwrap());
        assert_eq!(outermost(&args(&[A])).unwrap(), Some((direct, None)));
        assert_eq!(outer(&[format!("{A}=100")]).unwrap(), Some((direct, None)));
        let (account, split) = outer(&[format!("{A}=66.67"), format!("{B}=33.33%")]).unwrap().unwrap();
        let split = split.unwrap();
        assert_eq!((split_account(&split), &split.bps[..]), (account, &[6_667, 3_333][..]));
    }

    #[test]
    fn weights_that_are_none_and_payees_that_are_nobody_are_refused() {
        let zero = Address::ZERO;
        for wrong in [
            vec![format!("{A}=60"), format!("{B}=30")],
            vec![format!("{A}=60"), format!("{B}=40.001")],
            vec![format!("{A}=60"), B.to_string()],
            vec![format!("{A}=60"), format!("{A}=40")],
            vec![format!("{A}=100"), format!("{B}=0")],
            vec![format!("{A}=655.36"), format!("{B}=100")],
            vec![format!("{A}=60"), format!("{zero}=40")],
            vec![format!("{A}=-60"), format!("{B}=160")],
            vec![format!("{A}=")],
            vec![format!("{A}=50")],
            vec!["0xa1".into()],
        ] {
            assert!(outer(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn vesting_makes_a_split_of_one_payee() {
        let vest = |from: &str| PayeeArgs { vest: Some(from.into()), ..args(&[A]) };
        let split = outermost(&vest("2026-12-01..2026-12-31")).unwrap().unwrap().1.unwrap();
        assert_eq!((split.bps, split.duration), (vec![10_000], 30 * 86_400));
        assert!(outermost(&vest("2026-12-31..2026-12-01")).is_err());
        assert!(outermost(&vest("2026-12-31")).is_err());
        let cliff = PayeeArgs { vest_start: Some("2026-12-01".into()), ..args(&[A]) };
        assert_eq!(outermost(&cliff).unwrap().unwrap().1.unwrap().duration, 0);
    }

    #[test]
    fn a_split_comes_before_every_split_inside_it_by_any_way() {
        let split = |accounts: Vec<B256>| {
            let bps = if accounts.len() == 1 { vec![10_000] } else { vec![5_000, 5_000] };
            Split { accounts, bps, start: 0, duration: 0 }
        };
        let last = split(vec![B256::left_padding_from(&[1])]);
        let middle = split(vec![split_account(&last)]);
        let first = split(vec![split_account(&last), split_account(&middle)]);
        let known: Known = [&last, &middle, &first].map(|s| (split_account(s), s.clone())).into();
        assert_eq!(ordered(split_account(&first), &known), [first, middle, last]);
    }

    #[test]
    fn money_is_never_sent_to_a_contract_that_keeps_it() {
        let contract = account_of(A.parse().unwrap());
        let (account, split) = outer(&[format!("{A}=60"), format!("{B}=40")]).unwrap().unwrap();
        let error = check(account, &[split.unwrap()], &[contract].into()).unwrap_err();
        assert!(error.message.contains("is a contract of LICEN"), "{error}");
        assert!(check(contract, &[], &[contract].into()).is_err());
    }
}
