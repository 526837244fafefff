//! What waits for an account in splits before those that pay it: of a split inside a split it is a payee,
//! but the money is still one holding above, or several.

use std::collections::{BTreeMap, BTreeSet};

use licen_core::abi::Split;
use licen_core::id::split_account;
use licen_core::primitives::{B256, U256};
use licen_core::split::{parts, vested};

/// The splits among `known` that pay an account, by any way, each before those that it pays. An account is the
/// hash of what is in it, so there is no circle.
#[must_use]
pub(super) fn above(account: B256, known: &[Split]) -> Vec<Split> {
    let mut paying: BTreeMap<B256, Vec<&Split>> = BTreeMap::new();
    for split in known {
        for payee in split.accounts.iter().collect::<BTreeSet<_>>() {
            paying.entry(*payee).or_default().push(split);
        }
    }
    let of = |account: &B256| paying.get(account).map(Vec::as_slice).unwrap_or_default();
    let (mut found, mut pending) = (BTreeMap::new(), vec![account]);
    while let Some(account) = pending.pop() {
        for split in of(&account) {
            let payer = split_account(split);
            if found.insert(payer, (*split).clone()).is_none() {
                pending.push(payer);
            }
        }
    }
    // How many of those that pay it still stand before it.
    let mut before: BTreeMap<B256, usize> = found.keys().map(|payer| (*payer, of(payer).len())).collect();
    let mut free: Vec<B256> =
        before.iter().filter(|(_, payers)| **payers == 0).map(|(account, _)| *account).collect();
    let mut ordered = Vec::new();
    while let Some(account) = free.pop() {
        let split = &found[&account];
        ordered.push(split.clone());
        for payee in split.accounts.iter().collect::<BTreeSet<_>>() {
            if let Some(left) = before.get_mut(payee) {
                *left -= 1;
                if *left == 0 {
                    free.push(*payee);
                }
            }
        }
    }
    ordered
}

/// What a split holds of a token at one contract, and what it got of each split that pays it.
#[derive(Debug, Clone, Default)]
pub(super) struct Holding {
    /// Everything that ever came in.
    pub total_in: U256,
    /// By the split that credited it.
    pub got: BTreeMap<B256, U256>,
}

/// What is still to come to one split, or to an account, from the splits above.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Coming {
    /// Where every split above is distributed now.
    pub due: U256,
    /// What vests after that.
    pub later: U256,
}

/// What comes to `account` through each split that pays it, beyond what that one has already. `splits` are
/// those of [`above`], `holdings` what they hold at chain time `at`.
#[must_use]
pub(super) fn coming(
    account: B256,
    splits: &[Split],
    holdings: &BTreeMap<B256, Holding>,
    at: u64,
) -> BTreeMap<B256, Coming> {
    // What will have come in where everything above is distributed: now, and in the end.
    let mut totals: BTreeMap<B256, (U256, U256)> = BTreeMap::new();
    let mut through = BTreeMap::new();
    for split in splits {
        let name = split_account(split);
        let holding = holdings.get(&name).cloned().unwrap_or_default();
        let (more_now, more_ever) = totals.get(&name).copied().unwrap_or_default();
        let now = holding.total_in.saturating_add(more_now);
        let ever = holding.total_in.saturating_add(more_ever);
        for payee in split.accounts.iter().collect::<BTreeSet<_>>() {
            let part = |vested| part_of(split, *payee, vested);
            if *payee == account {
                let has = (part(vested(split, holding.total_in, at)), part(holding.total_in));
                let due = part(vested(split, now, at)).saturating_sub(has.0);
                let later = part(ever).saturating_sub(has.1).saturating_sub(due);
                through.insert(name, Coming { due, later });
                continue;
            }
            let got =
                holdings.get(payee).and_then(|holding| holding.got.get(&name)).copied().unwrap_or_default();
            let sums = totals.entry(*payee).or_default();
            sums.0 = sums.0.saturating_add(part(vested(split, now, at)).saturating_sub(got));
            sums.1 = sums.1.saturating_add(part(ever).saturating_sub(got));
        }
    }
    through
}

fn part_of(split: &Split, payee: B256, vested: U256) -> U256 {
    let mine = split.accounts.iter().zip(parts(split, vested)).filter(|(account, _)| **account == payee);
    mine.fold(U256::ZERO, |sum, (_, amount)| sum.saturating_add(amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(accounts: &[B256], bps: &[u16], start: u64) -> Split {
        Split { accounts: accounts.to_vec(), bps: bps.to_vec(), start, duration: 0 }
    }

    #[test]
    fn what_waits_two_levels_above_is_seen_below() {
        let [me, other] = [1, 2].map(B256::repeat_byte);
        let inner = split(&[me, other], &[2_500, 7_500], 0);
        let middle = split(&[split_account(&inner), me], &[5_000, 5_000], 0);
        let outer = split(&[split_account(&middle), other], &[8_000, 2_000], 100);
        let stranger = split(&[other], &[10_000], 0);
        let known = [inner.clone(), stranger, outer.clone(), middle.clone()];
        let splits = above(me, &known);
        assert_eq!(splits, [outer.clone(), middle.clone(), inner.clone()]);
        let [of_outer, of_middle, of_inner] = [&outer, &middle, &inner].map(split_account);

        let holding = |total_in: u64| Holding { total_in: U256::from(total_in), ..Holding::default() };
        let holdings = BTreeMap::from([(of_outer, holding(1_000))]);
        let of = |due: u64, later: u64| Coming { due: U256::from(due), later: U256::from(later) };
        let before_the_cliff = coming(me, &splits, &holdings, 99);
        assert_eq!(before_the_cliff, BTreeMap::from([(of_middle, of(0, 400)), (of_inner, of(0, 100))]));
        let after = coming(me, &splits, &holdings, 100);
        assert_eq!(after, BTreeMap::from([(of_middle, of(400, 0)), (of_inner, of(100, 0))]));

        // The outermost is distributed: what it moved is the middle one's own, and waits there.
        let got = BTreeMap::from([(of_outer, U256::from(800))]);
        let holdings =
            BTreeMap::from([(of_outer, holding(1_000)), (of_middle, Holding { got, ..holding(800) })]);
        let moved = coming(me, &splits, &holdings, 100);
        assert_eq!(moved, BTreeMap::from([(of_middle, of(0, 0)), (of_inner, of(100, 0))]));
    }

    #[test]
    fn an_account_that_nothing_pays_has_nothing_above() {
        let other = split(&[B256::repeat_byte(2)], &[10_000], 0);
        assert_eq!(above(B256::repeat_byte(1), &[other]), []);
    }
}
