//! What a job costs and where every wei of it goes. Amounts are base units of the job's token (wei
//! for the native coin); each function gives parts that sum exactly to what came in.

use alloc::format;
use alloc::string::{String, ToString};
use alloy_primitives::U256;

use crate::abi::{Job, ResultManifest};
use crate::unit::Unit;

/// Basis points of the whole.
pub const BPS: u64 = 10_000;

/// royaltyPerUnit × units: what is at stake for the owner.
#[must_use]
pub fn escrow(job: &Job) -> U256 {
    U256::from(job.royaltyPerUnit) * U256::from(job.units)
}

/// computeFeePerEpoch × epochs: what is at stake for the provider.
#[must_use]
pub fn compute_escrow(job: &Job) -> U256 {
    U256::from(job.computeFeePerEpoch) * U256::from(job.epochs)
}

/// Everything the requester locks.
#[must_use]
pub fn total_escrow(job: &Job) -> U256 {
    escrow(job) + compute_escrow(job)
}

/// Where the escrow of an ended job goes. `royalty` is gross: the protocol fee is part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// royaltyPerUnit × the units that were done, those beyond the job's left out.
    pub royalty: U256,
    /// The protocol's part of `royalty`, rounded down.
    pub protocol_fee: U256,
    /// What the provider earned.
    pub compute_fee: U256,
    /// What goes back to the requester, compute escrow included.
    pub refund: U256,
}

impl Settlement {
    /// A job with this result; `None` unless 1 ≤ actualEpochs ≤ epochs, or where the job's unit is
    /// unknown.
    #[must_use]
    pub fn completed(job: &Job, manifest: &ResultManifest) -> Option<Self> {
        if manifest.actualEpochs == 0 || manifest.actualEpochs > job.epochs {
            return None;
        }
        let units = Unit::from_chain(job.unit)?.done(manifest).min(U256::from(job.units));
        let royalty = U256::from(job.royaltyPerUnit) * units;
        let compute_fee = U256::from(job.computeFeePerEpoch) * U256::from(manifest.actualEpochs);
        let protocol_fee = royalty * U256::from(job.protocolFeeBps) / U256::from(BPS);
        Some(Self { royalty, protocol_fee, compute_fee, refund: total_escrow(job) - royalty - compute_fee })
    }

    /// A job that failed by the requester's own job specification after `epochs_done` epochs: the
    /// provider is paid for them, the owner for nothing. `None` where epochs_done > epochs.
    #[must_use]
    pub fn invalid_spec(job: &Job, epochs_done: u32) -> Option<Self> {
        if epochs_done > job.epochs {
            return None;
        }
        let compute_fee = U256::from(job.computeFeePerEpoch) * U256::from(epochs_done);
        let refund = total_escrow(job) - compute_fee;
        Some(Self { royalty: U256::ZERO, protocol_fee: U256::ZERO, compute_fee, refund })
    }

    /// Every other end: all of it goes back.
    #[must_use]
    pub fn refunded(job: &Job) -> Self {
        let zero = U256::ZERO;
        Self { royalty: zero, protocol_fee: zero, compute_fee: zero, refund: total_escrow(job) }
    }

    /// What the payee is credited.
    #[must_use]
    pub fn payee(&self) -> U256 {
        self.royalty - self.protocol_fee
    }

    /// The refund of the royalty escrow alone (without unused compute fees).
    #[must_use]
    pub fn royalty_refund(&self, job: &Job) -> U256 {
        escrow(job) - self.royalty
    }
}

/// Formats wei as a decimal number of whole coins, exactly, without trailing zeros.
#[must_use]
pub fn format_units(amount: U256, decimals: u8) -> String {
    let unit = U256::from(10u64).pow(U256::from(decimals));
    let (whole, rest) = (amount / unit, amount % unit);
    if rest.is_zero() {
        return whole.to_string();
    }
    let rest = format!("{rest:0>width$}", width = usize::from(decimals));
    format!("{whole}.{}", rest.trim_end_matches('0'))
}

/// Parses a decimal number of whole coins; `None` where it is not one, or has more places than the
/// token. Nothing is rounded: money that cannot be said exactly is refused.
#[must_use]
pub fn parse_units(text: &str, decimals: u8) -> Option<U256> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(rest) || rest.len() > usize::from(decimals) {
        return None;
    }
    if text.ends_with('.') {
        return None;
    }
    let digits = format!("{whole}{rest:0<width$}", width = usize::from(decimals));
    U256::from_str_radix(&digits, 10).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn job(royalty: u128, epochs: u32, fee: u128, bps: u16) -> Job {
        Job {
            royaltyPerUnit: royalty,
            unit: Unit::Epoch as u8,
            units: u64::from(epochs),
            epochs,
            computeFeePerEpoch: fee,
            protocolFeeBps: bps,
            ..Job::default()
        }
    }

    proptest! {
        #[test]
        fn sum_in_is_sum_out(
            royalty: u128, epochs in 1u32.., fee: u128, bps in 0u16..=10_000, part in 0.0f64..=1.0,
            unit in 1u8..=4, units: Option<u64>, done: u64,
        ) {
            let job = Job { unit, units: units.unwrap_or(epochs.into()), ..job(royalty, epochs, fee, bps) };
            let actual = ((f64::from(epochs) * part) as u32).clamp(1, epochs);
            let done = ResultManifest {
                actualEpochs: actual,
                samples: done,
                tokensTrained: done,
                computeSeconds: done,
                ..ResultManifest::default()
            };
            let s = Settlement::completed(&job, &done).unwrap();
            prop_assert!(s.royalty <= escrow(&job));
            prop_assert_eq!(s.payee() + s.protocol_fee + s.compute_fee + s.refund, total_escrow(&job));
            prop_assert!(s.protocol_fee <= s.royalty);
            let s = Settlement::invalid_spec(&job, actual).unwrap();
            prop_assert_eq!(s.compute_fee + s.refund, total_escrow(&job));
            prop_assert_eq!(Settlement::refunded(&job).refund, total_escrow(&job));
        }

        #[test]
        fn units_round_trip(amount: u128, decimals in 0u8..=18) {
            let amount = U256::from(amount);
            prop_assert_eq!(parse_units(&format_units(amount, decimals), decimals), Some(amount));
        }
    }

    #[test]
    fn epochs_outside_the_request_settle_nothing() {
        let job = job(10, 3, 0, 0);
        let done = |actual| ResultManifest { actualEpochs: actual, ..ResultManifest::default() };
        assert_eq!(Settlement::completed(&job, &done(0)), None);
        assert_eq!(Settlement::completed(&job, &done(4)), None);
        assert_eq!(Settlement::completed(&Job { unit: 0, ..job.clone() }, &done(1)), None);
        assert_eq!(Settlement::invalid_spec(&job, 4), None);
    }

    #[test]
    fn money_that_is_not_exact_is_refused() {
        for text in ["", ".", "1.", ".5", "-1", "1e18", "1,5", "0.0000000000000000001", " 1", "0x1"] {
            assert_eq!(parse_units(text, 18), None, "{text}");
        }
        assert_eq!(parse_units("0.01", 18), Some(U256::from(10_000_000_000_000_000u64)));
        assert_eq!(format_units(U256::from(10_000_000_000_000_000u64), 18), "0.01");
    }
}
