//! Splits: one account, many payees, optional linear vesting. Money moves in whole multiples of
//! 10,000 base units, so that every payee's part is exact and nothing is ever rounded away.

use alloc::vec::Vec;
use alloy_primitives::{Address, U256};

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
    #[error("payee {0} is the zero address")]
    ZeroPayee(usize),
}

/// Checks what the contract checks before it moves money.
///
/// # Errors
/// The first rule the split breaks.
pub fn validate(split: &Split) -> Result<(), SplitError> {
    let (payees, weights) = (split.payees.len(), split.bps.len());
    if payees == 0 || payees > MAX_PAYEES {
        return Err(SplitError::Payees(payees));
    }
    if payees != weights {
        return Err(SplitError::Lengths { payees, weights });
    }
    if let Some(i) = split.payees.iter().position(|p| *p == Address::ZERO) {
        return Err(SplitError::ZeroPayee(i));
    }
    let sum: u64 = split.bps.iter().map(|b| u64::from(*b)).sum();
    if sum != BPS {
        return Err(SplitError::Sum(sum));
    }
    Ok(())
}

/// How much of `total_in` (everything that ever came in) has vested at `now`.
#[must_use]
pub fn vested(split: &Split, total_in: U256, now: u64) -> U256 {
    let vesting = &split.vesting;
    let elapsed = now.saturating_sub(vesting.start);
    if vesting.duration == 0 || elapsed >= vesting.duration {
        return total_in;
    }
    // With total_in = q x duration + r, as the contract computes it: no product can overflow.
    let (duration, elapsed) = (U256::from(vesting.duration), U256::from(elapsed));
    total_in / duration * elapsed + total_in % duration * elapsed / duration
}

/// How much of the vested money moves now: whole multiples of 10,000 base units.
#[must_use]
pub fn movable(vested: U256, released: U256) -> U256 {
    let unit = U256::from(BPS);
    (vested.saturating_sub(released)) / unit * unit
}

/// Each payee's part of `amount`, which is a multiple of 10,000.
#[must_use]
pub fn parts(split: &Split, amount: U256) -> Vec<U256> {
    split.bps.iter().map(|bps| amount / U256::from(BPS) * U256::from(*bps)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Vesting;
    use alloc::vec;
    use proptest::prelude::*;

    fn split(bps: Vec<u16>, start: u64, duration: u64) -> Split {
        let payees = (1..=bps.len()).map(|i| Address::repeat_byte(i as u8)).collect();
        Split { payees, bps, vesting: Vesting { start, duration } }
    }

    proptest! {
        #[test]
        fn parts_sum_to_what_moves(a in 0u16..=10_000, total: u128, elapsed in 0u64..2_000, released_part in 0.0f64..=1.0) {
            let split = split(vec![a, 10_000 - a], 100, 1_000);
            let total = U256::from(total);
            let vested = vested(&split, total, 100 + elapsed);
            prop_assert!(vested <= total);
            let released = U256::from((vested.to::<u128>() as f64 * released_part) as u128).min(vested);
            let moved = movable(vested, released);
            prop_assert!(moved + released <= vested || released > vested);
            prop_assert_eq!(parts(&split, moved).into_iter().sum::<U256>(), moved);
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
        assert_eq!(
            vested(&split(vec![10_000], 1_000, 0), all, 5),
            all,
            "no duration: at once, before the start too"
        );
        assert_eq!(vested(&split(vec![10_000], 1_000, 10), all, 1_000), U256::ZERO);
        assert_eq!(vested(&split(vec![10_000], 1_000, 10), all, 1_010), all);
        let half = vested(&split(vec![10_000], 1_000, 10), all, 1_005);
        assert_eq!(half, all / U256::from(2), "no product of {all} and 5 is made");
    }

    #[test]
    fn broken_splits_are_refused() {
        assert_eq!(validate(&split(vec![], 0, 0)), Err(SplitError::Payees(0)));
        assert_eq!(validate(&split(vec![9_999], 0, 0)), Err(SplitError::Sum(9_999)));
        let mut lopsided = split(vec![10_000], 0, 0);
        lopsided.bps.push(0);
        assert!(matches!(validate(&lopsided), Err(SplitError::Lengths { .. })));
        let mut nobody = split(vec![10_000], 0, 0);
        nobody.payees[0] = Address::ZERO;
        assert_eq!(validate(&nobody), Err(SplitError::ZeroPayee(0)));
        assert_eq!(validate(&split(vec![10_000], 0, 0)), Ok(()));
    }
}
