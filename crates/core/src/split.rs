//! Splits: one account, many payees, which are accounts themselves, so splits nest. Money vests over
//! time; each payee is paid the floor of its weight of everything vested so far, so nothing is rounded
//! away twice: fewer base units than the split has payees wait in it.

use alloc::vec::Vec;
use alloy_primitives::{B256, U256};

use crate::abi::Split;
use crate::money::BPS;

/// Most payees of one split: a distribution has to fit in a block.
pub const MAX_PAYEES: usize = 64;

/// Why a split is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// No payee, or more than [`MAX_PAYEES`].
    #[error("a split has 1 to {MAX_PAYEES} payees, this one has {0}")]
    Payees(usize),
    /// As many weights as payees.
    #[error("{payees} payees but {weights} weights")]
    Lengths {
        /// How many payees.
        payees: usize,
        /// How many weights.
        weights: usize,
    },
    /// Weights are basis points of the whole.
    #[error("weights sum to {0} basis points, not 10000")]
    Sum(u64),
    /// Money to nobody is lost.
    #[error("payee {0} is the zero account")]
    ZeroPayee(usize),
}

/// Checks what the contract checks before it moves money.
///
/// # Errors
/// The first rule the split breaks.
pub fn validate(split: &Split) -> Result<(), SplitError> {
    let (payees, weights) = (split.accounts.len(), split.bps.len());
    if payees == 0 || payees > MAX_PAYEES {
        return Err(SplitError::Payees(payees));
    }
    if payees != weights {
        return Err(SplitError::Lengths { payees, weights });
    }
    if let Some(i) = split.accounts.iter().position(B256::is_zero) {
        return Err(SplitError::ZeroPayee(i));
    }
    let sum: u64 = split.bps.iter().map(|b| u64::from(*b)).sum();
    if sum != BPS {
        return Err(SplitError::Sum(sum));
    }
    Ok(())
}

/// How much of `total_in` (everything that ever came in) has vested at `now`, Unix seconds. A duration
/// of 0 is a cliff at `start`.
#[must_use]
pub fn vested(split: &Split, total_in: U256, now: u64) -> U256 {
    if now < split.start {
        return U256::ZERO;
    }
    let elapsed = now - split.start;
    if elapsed >= split.duration {
        return total_in;
    }
    part(total_in, U256::from(elapsed), U256::from(split.duration))
}

/// What each payee has of `vested`, everything that ever vested, in the order of the split.
#[must_use]
pub fn parts(split: &Split, vested: U256) -> Vec<U256> {
    split.bps.iter().map(|bps| part(vested, U256::from(*bps), U256::from(BPS))).collect()
}

/// What a distribution moves to each payee now, where `before` had vested at the last one.
#[must_use]
pub fn movable(split: &Split, before: U256, now_vested: U256) -> Vec<U256> {
    let moved = |(after, before): (U256, U256)| after.saturating_sub(before);
    parts(split, now_vested).into_iter().zip(parts(split, before)).map(moved).collect()
}

/// floor(amount × share / whole) for share ≤ whole < 2^128, as the contract computes it: with amount =
/// q × whole + r no product can overflow.
fn part(amount: U256, share: U256, whole: U256) -> U256 {
    amount / whole * share + amount % whole * share / whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn split(bps: Vec<u16>, start: u64, duration: u64) -> Split {
        let accounts = (1..=bps.len()).map(|i| B256::repeat_byte(i as u8)).collect();
        Split { accounts, bps, start, duration }
    }

    proptest! {
        #[test]
        fn distributions_pay_what_vested_but_fewer_units_than_payees(
            a in 0u16..=5_000, b in 0u16..=5_000, sums in prop::collection::vec(any::<u64>(), 1..8), duration in 0u64..2_000,
        ) {
            let split = split(vec![a, b, 10_000 - a - b], 100, duration);
            let (mut total, mut last, mut paid) = (U256::ZERO, U256::ZERO, vec![U256::ZERO; 3]);
            for (step, sum) in sums.iter().enumerate() {
                total += U256::from(*sum);
                let now = vested(&split, total, 100 + 300 * step as u64);
                prop_assert!(now >= last && now <= total);
                for (paid, moved) in paid.iter_mut().zip(movable(&split, last, now)) {
                    *paid += moved;
                }
                last = now;
                prop_assert_eq!(&paid, &parts(&split, now));
                let left = now - paid.iter().copied().sum::<U256>();
                prop_assert!(left < U256::from(3));
            }
        }
    }

    #[test]
    fn the_case_of_the_mission_splits_exactly() {
        let ether = U256::from(10u64).pow(U256::from(18));
        let split = split(vec![6_000, 3_000, 1_000], 0, 0);
        let got = parts(&split, U256::from(500) * ether);
        assert_eq!(got, vec![U256::from(300) * ether, U256::from(150) * ether, U256::from(50) * ether]);
    }

    #[test]
    fn vesting_is_the_contracts() {
        let all = U256::MAX;
        let cliff = split(vec![10_000], 1_000, 0);
        assert_eq!((vested(&cliff, all, 999), vested(&cliff, all, 1_000)), (U256::ZERO, all));
        assert_eq!(vested(&split(vec![10_000], 0, 0), all, 0), all, "no start, no duration: at once");
        assert_eq!(vested(&split(vec![10_000], 1_000, 10), all, 1_000), U256::ZERO);
        assert_eq!(vested(&split(vec![10_000], 1_000, 10), all, 1_010), all);
        let half = vested(&split(vec![10_000], 1_000, 10), all, 1_005);
        assert_eq!(half, all / U256::from(2), "no product of {all} and 5 is made");
        assert_eq!(parts(&split(vec![9_999, 1], 0, 0), all)[1], all / U256::from(10_000));
    }

    #[test]
    fn broken_splits_are_refused() {
        assert_eq!(validate(&split(vec![], 0, 0)), Err(SplitError::Payees(0)));
        assert_eq!(validate(&split(vec![9_999], 0, 0)), Err(SplitError::Sum(9_999)));
        let mut lopsided = split(vec![10_000], 0, 0);
        lopsided.bps.push(0);
        assert!(matches!(validate(&lopsided), Err(SplitError::Lengths { .. })));
        let mut nobody = split(vec![10_000], 0, 0);
        nobody.accounts[0] = B256::ZERO;
        assert_eq!(validate(&nobody), Err(SplitError::ZeroPayee(0)));
        assert_eq!(validate(&split(vec![10_000], 0, 0)), Ok(()));
    }
}
