//! What a royalty is counted in.

use alloy_primitives::U256;
use core::time::Duration;

use crate::abi::{Job, ResultManifest};
use crate::fault::{Fault, Party};

/// The unit of `Job.royaltyPerUnit`; the value is the one in `Types.sol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// A whole pass over the training rows. The unit of every job without a license.
    Epoch = 1,
    /// A visit of one training row.
    Sample = 2,
    /// 1,000 tokens that a loss was computed for, begun ones counted whole.
    Kilotoken = 3,
    /// A second of the trainer's CPU time, a begun one counted whole.
    ComputeSecond = 4,
}

impl Unit {
    /// From the contract's number; `None` for others.
    #[must_use]
    pub fn from_chain(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Epoch,
            2 => Self::Sample,
            3 => Self::Kilotoken,
            4 => Self::ComputeSecond,
            _ => return None,
        })
    }

    /// The name people and GraphQL see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Epoch => "epoch",
            Self::Sample => "sample",
            Self::Kilotoken => "kilotoken",
            Self::ComputeSecond => "computeSecond",
        }
    }

    /// How many units `manifest` says were done.
    #[must_use]
    pub fn done(self, manifest: &ResultManifest) -> U256 {
        U256::from(match self {
            Self::Epoch => u64::from(manifest.actualEpochs),
            Self::Sample => manifest.samples,
            Self::Kilotoken => manifest.tokensTrained.div_ceil(1_000),
            Self::ComputeSecond => manifest.computeSeconds,
        })
    }
}

/// What a training does if nothing ends it sooner, as far as it is known: epochs from the job, samples
/// once rows are, tokens once these are text tokens. CPU time is known afterwards only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Planned {
    /// Epochs begun.
    pub epochs: u32,
    /// Visits of training rows.
    pub samples: Option<u64>,
    /// Tokens that a loss is computed for, at most.
    pub tokens_trained: Option<u64>,
}

/// A training needs more units than its job has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("training takes {needed} of the unit {}, the job has {units}", unit.name())]
pub struct OverUnits {
    /// Of the job.
    pub unit: Unit,
    /// What training takes.
    pub needed: u64,
    /// Of the job.
    pub units: u64,
}

impl Fault for OverUnits {
    fn fault(&self) -> Party {
        Party::Requester
    }
    fn retryable(&self) -> bool {
        false
    }
}

/// Whether another epoch may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextEpoch {
    /// It may.
    Begins,
    /// By the longest so far it would pass the job's units: what ran is settled.
    Ends,
}

/// The units of a job, which its training may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    unit: Unit,
    units: u64,
}

impl Allowance {
    /// Of `job`; `None` where its unit is unknown.
    #[must_use]
    pub fn of(job: &Job) -> Option<Self> {
        Unit::from_chain(job.unit).map(|unit| Self { unit, units: job.units })
    }

    /// Refuses a plan above the units, as soon as what they count is known.
    ///
    /// # Errors
    /// [`OverUnits`].
    pub fn check(&self, planned: &Planned) -> Result<(), OverUnits> {
        let needed = match self.unit {
            Unit::Epoch => Some(u64::from(planned.epochs)),
            Unit::Sample => planned.samples,
            Unit::Kilotoken => planned.tokens_trained.map(|tokens| tokens.div_ceil(1_000)),
            Unit::ComputeSecond => None,
        };
        self.within(needed.unwrap_or_default())
    }

    /// Refuses CPU time of a first epoch that passes the units; other units do not count it.
    ///
    /// # Errors
    /// [`OverUnits`].
    pub fn first_epoch(&self, spent: Duration) -> Result<(), OverUnits> {
        match self.unit {
            Unit::ComputeSecond => self.within(compute_seconds(spent)),
            Unit::Epoch | Unit::Sample | Unit::Kilotoken => Ok(()),
        }
    }

    /// Whether an epoch as long as the `longest` so far fits into what is left after `spent`.
    #[must_use]
    pub fn next_epoch(&self, spent: Duration, longest: Duration) -> NextEpoch {
        match self.first_epoch(spent.saturating_add(longest)) {
            Ok(()) => NextEpoch::Begins,
            Err(OverUnits { .. }) => NextEpoch::Ends,
        }
    }

    fn within(&self, needed: u64) -> Result<(), OverUnits> {
        let Self { unit, units } = *self;
        if needed > units { Err(OverUnits { unit, needed, units }) } else { Ok(()) }
    }
}

/// CPU time as a manifest says it: begun seconds count whole.
#[must_use]
pub fn compute_seconds(spent: Duration) -> u64 {
    spent.as_secs().saturating_add(u64::from(spent.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance(unit: Unit, units: u64) -> Allowance {
        Allowance::of(&Job { unit: unit as u8, units, ..Job::default() }).unwrap()
    }

    #[test]
    fn a_plan_above_the_units_is_refused_once_what_they_count_is_known() {
        assert_eq!(Allowance::of(&Job { unit: 5, ..Job::default() }), None);
        let known = Planned { epochs: 3, samples: Some(54), tokens_trained: Some(4_001) };
        let needs = [(Unit::Epoch, 3), (Unit::Sample, 54), (Unit::Kilotoken, 5)];
        for (unit, needed) in needs {
            assert_eq!(allowance(unit, needed).check(&known), Ok(()));
            let units = needed - 1;
            assert_eq!(allowance(unit, units).check(&known), Err(OverUnits { unit, needed, units }));
        }
        let begun = Planned { epochs: 3, ..Planned::default() };
        for unit in [Unit::Sample, Unit::Kilotoken, Unit::ComputeSecond] {
            assert_eq!(allowance(unit, 0).check(&begun), Ok(()), "nothing is known of {unit:?} yet");
        }
        assert_eq!(allowance(Unit::ComputeSecond, 0).check(&known), Ok(()));
    }

    #[test]
    fn cpu_time_ends_training_before_an_epoch_that_would_pass_the_units() {
        let (seconds, ms) = (Duration::from_secs, Duration::from_millis);
        let ten = allowance(Unit::ComputeSecond, 10);
        assert_eq!(ten.first_epoch(seconds(10)), Ok(()));
        let over = OverUnits { unit: Unit::ComputeSecond, needed: 11, units: 10 };
        assert_eq!(ten.first_epoch(ms(10_001)), Err(over));
        assert_eq!(ten.next_epoch(seconds(6), seconds(4)), NextEpoch::Begins);
        assert_eq!(ten.next_epoch(seconds(6), ms(4_001)), NextEpoch::Ends);
        assert_eq!(ten.next_epoch(Duration::MAX, Duration::MAX), NextEpoch::Ends);
        for unit in [Unit::Epoch, Unit::Sample, Unit::Kilotoken] {
            assert_eq!(allowance(unit, 0).first_epoch(Duration::MAX), Ok(()));
            assert_eq!(allowance(unit, 0).next_epoch(seconds(9), seconds(9)), NextEpoch::Begins);
        }
    }

    #[test]
    fn begun_seconds_count_whole() {
        let cases = [(0, 0), (1, 1), (999_999_999, 1), (1_000_000_000, 1), (1_000_000_001, 2)];
        for (nanos, seconds) in cases {
            assert_eq!(compute_seconds(Duration::from_nanos(nanos)), seconds);
        }
        assert_eq!(compute_seconds(Duration::MAX), u64::MAX);
    }

    #[test]
    fn each_unit_counts_its_own_field() {
        let manifest = ResultManifest {
            actualEpochs: 2,
            samples: 30,
            tokensTrained: 4_001,
            computeSeconds: 7,
            ..ResultManifest::default()
        };
        let done = |value| Unit::from_chain(value).map(|unit| unit.done(&manifest));
        assert_eq!(done(0), None);
        assert_eq!((done(1), done(2)), (Some(U256::from(2)), Some(U256::from(30))));
        assert_eq!((done(3), done(4)), (Some(U256::from(5)), Some(U256::from(7))));
        assert_eq!(done(5), None);
        for unit in (1..=4).filter_map(Unit::from_chain) {
            assert_eq!(Unit::from_chain(unit as u8), Some(unit));
        }
    }
}
