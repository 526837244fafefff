//! What may be believed of a trainer's reports: numbers that a training of these rows and settings can have, and that
//! agree with each other. A model that took its trainer over can still say any of those, and put what it likes into the
//! adapter; it cannot send the node words, run up or hide epochs, or publish more and finer losses than a training has.
//! Its CPU time it is not asked.

use std::time::Duration;

use licen_core::report::{BlockLoss, EpochCounts, Losses, RowCounts};

use super::event::Event;
use super::losses::{Blocks, coarse, thousandths};
use super::open::Data;
use super::training::Plan;
use licen_train::Metering;
use licen_train::folder;

/// Files of a result, at most.
const FILES_MAX: usize = 32;

/// What is left to be said.
pub(super) struct Limits<'a> {
    plan: &'a Plan,
    per_epoch: EpochCounts,
    planned: u64,
    coarse: bool,
    blocks: Blocks,
    losses: Losses,
    /// Visits that the losses are over.
    judged: u64,
    /// The last epoch that may be begun.
    epoch: u32,
    /// The trainer waits to hear about the epoch behind this one.
    asks: Option<u32>,
    last: (u32, u32, u64),
}

impl<'a> Limits<'a> {
    /// For these rows.
    pub(super) fn new(plan: &'a Plan, data: &Data) -> Self {
        let train = data.rows.train;
        Self {
            plan,
            per_epoch: data.per_epoch,
            planned: plan.params.planned_steps(train),
            coarse: Blocks::are_few(data.rows.held_out),
            blocks: Blocks::new(train, plan.params.rows_per_step() as u64),
            losses: Losses::default(),
            judged: 0,
            epoch: 1,
            asks: None,
            last: (1, 0, 0),
        }
    }

    /// A progress that goes on where the last one was; `None` where it cannot be.
    pub(super) fn progress(
        &mut self,
        (epoch, epochs_done): (u32, u32),
        step: u64,
        loss: Option<f64>,
        compute: Duration,
    ) -> Option<Event> {
        let (last_epoch, last_done, last_step) = self.last;
        let goes_on = epoch >= last_epoch && (last_done..=last_done + 1).contains(&epochs_done);
        let possible = epoch <= self.epoch && epochs_done <= epoch && epoch <= last_done + 1;
        if !goes_on || !possible || !(last_step..=self.planned).contains(&step) {
            return None;
        }
        self.last = (epoch, epochs_done, step);
        if let Some(loss) = loss {
            (loss == coarse(loss)).then_some(())?;
            let rows = self.blocks.skip();
            self.judged = self.judged.checked_add(rows)?;
            (self.judged <= self.plan.visits(self.per_epoch.samples, step)).then_some(())?;
            self.losses.push(rows, thousandths(loss));
        }
        let another = epochs_done > last_done && epochs_done < self.plan.params.num_train_epochs;
        self.asks = another.then_some(epochs_done + 1);
        let part = step as f64 / self.planned.max(1) as f64;
        Some(Event::Progress { epoch, epochs_done, part, loss, compute })
    }

    /// The epoch that the trainer waits to be told about.
    pub(super) fn asks(&self) -> Option<u32> {
        self.asks
    }

    /// Whether that epoch begins. Where it does not, nothing but the end may follow.
    pub(super) fn answer(&mut self, another: bool) {
        if let Some(next) = self.asks.take().filter(|_| another) {
            self.epoch = next;
        }
    }

    /// Metering that these rows, these epochs and what was said so far can have.
    pub(super) fn metering(&self, metering: Metering) -> Option<Metering> {
        let (each, epochs) = (&self.per_epoch, u64::from(metering.epochs));
        let whole = each.samples.checked_mul(epochs)?;
        // Only `max_steps` ends training within an epoch.
        let within = self.plan.visits(each.samples, self.planned);
        let part = metering.samples != whole;
        let ends = !part
            || (metering.samples == within && (whole..=whole.checked_add(each.samples)?).contains(&within));
        let tokens = |total: u64, each: u64| {
            let whole = each.checked_mul(epochs)?;
            let most = if part { whole.checked_add(each)? } else { whole };
            (whole..=most).contains(&total).then_some(())
        };
        tokens(metering.tokens_seen, each.tokens_seen)?;
        tokens(metering.tokens_trained, each.tokens_trained)?;
        let counted = metering.epochs >= 1
            && metering.epochs == self.last.1
            && (whole..=metering.samples).contains(&self.judged)
            && metering.tokens_trained <= metering.tokens_seen;
        let losses = [metering.eval_before, metering.eval_after];
        let losses_fit = losses
            .into_iter()
            .flatten()
            .all(|loss| loss.is_finite() && (!self.coarse || loss == coarse(loss)));
        (ends && counted && losses_fit).then_some(metering)
    }

    /// Mean losses, in the order of training.
    pub(super) fn losses(self) -> Vec<BlockLoss> {
        self.losses.into_vec()
    }
}

/// Text tokens that an epoch over these rows can have, of which at most `longest` of a row count; `counted` is how many
/// the rows have uncut, where that was compared with what the owner published.
pub(super) fn tokens(
    (tokens_seen, tokens_trained): (u64, u64),
    rows: &RowCounts,
    longest: usize,
    counted: Option<u64>,
) -> Option<EpochCounts> {
    let most = rows.train.checked_mul(longest as u64)?.min(counted.unwrap_or(u64::MAX));
    let known = rows.without_target <= rows.train.checked_add(rows.held_out)?;
    // A row with something to learn has at least one token of it, and one before it.
    let least = rows.train.saturating_sub(rows.without_target);
    let fits = tokens_seen <= most
        && tokens_trained >= least
        && tokens_seen - tokens_trained.min(tokens_seen) >= least;
    (known && fits).then_some(EpochCounts { samples: rows.train, tokens_seen, tokens_trained })
}

/// File names a result may have, in order, and together at most `most` bytes.
pub(super) fn names(files: Vec<(String, u64)>, most: u64) -> Option<Vec<(String, u64)>> {
    let total = files.iter().try_fold(0_u64, |sum, (_, length)| sum.checked_add(*length))?;
    let known = files.iter().all(|(name, _)| folder::is_file(name));
    let ascend = files.is_sorted_by(|a, b| a.0 < b.0);
    (known && ascend && total <= most && files.len() <= FILES_MAX).then_some(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use licen_core::constraints::{JobSpec, Learn};
    use licen_core::primitives::B256;
    use serde_json::{Value, json};

    fn plan(params: Value) -> Plan {
        let Value::Object(training_params) = params else { unreachable!() };
        let spec = JobSpec {
            base_model_root: B256::ZERO,
            training_params,
            eval_fraction: 0.25,
            seed: 7,
            learn: Learn::default(),
            parents: Vec::new(),
        };
        Plan::new(&spec, 2, 0).unwrap()
    }

    /// Two epochs of 18 rows, five steps each.
    fn two_epochs() -> Plan {
        plan(json!({"batch_size": 4, "gradient_accumulation_steps": 1}))
    }

    fn data() -> Data {
        let rows = RowCounts { train: 18, held_out: 6, ..RowCounts::default() };
        let per_epoch = EpochCounts { samples: 18, tokens_seen: 90, tokens_trained: 40 };
        Data { rows, per_epoch }
    }

    /// Says what an honest trainer says of so many epochs.
    fn say(limits: &mut Limits, epochs: u32) {
        for epoch in 1..=epochs {
            let step = 5 * u64::from(epoch);
            for said in [
                limits.progress((epoch, epoch - 1), step - 4, None, Duration::ZERO),
                limits.progress((epoch, epoch - 1), step, Some(2.125), Duration::ZERO),
                limits.progress((epoch, epoch), step, None, Duration::ZERO),
            ] {
                assert!(said.is_some());
            }
            assert_eq!(limits.asks(), (epoch < 2).then_some(epoch + 1));
            limits.answer(true);
        }
    }

    #[test]
    fn a_trainer_that_was_taken_over_publishes_no_finer_losses() {
        let plan = two_epochs();
        let say = |step, loss| {
            Limits::new(&plan, &data()).progress((1, 0), step, Some(loss), Duration::ZERO).is_some()
        };
        assert!(say(5, 2.125));
        for loss in [2.125_000_1, f64::NAN, f64::INFINITY, -1.0, 100.001] {
            assert!(!say(5, loss), "{loss}");
        }
        assert!(!say(4, 2.125), "a mean over rows that it has not met");
        let mut limits = Limits::new(&plan, &data());
        super::tests::say(&mut limits, 2);
        assert!(
            limits.progress((2, 2), 10, Some(1.0), Duration::ZERO).is_none(),
            "a third mean of two epochs"
        );
        let kept = vec![BlockLoss { rows: 18, loss: 2_125 }; 2];
        let mut limits = Limits::new(&plan, &data());
        super::tests::say(&mut limits, 2);
        assert_eq!(limits.losses(), kept);
    }

    #[test]
    fn progress_goes_forward_and_ends() {
        let plan = two_epochs();
        let begin = || Limits::new(&plan, &data());
        for (epochs, step) in [((3, 0), 1), ((1, 2), 1), ((1, 0), 11), ((2, 1), 6), ((0, 0), 1)] {
            assert!(begin().progress(epochs, step, None, Duration::ZERO).is_none(), "{epochs:?}");
        }
        let mut limits = begin();
        say(&mut limits, 1);
        assert!(limits.progress((2, 1), 6, None, Duration::ZERO).is_some());
        assert!(limits.progress((1, 1), 7, None, Duration::ZERO).is_none());
        assert!(limits.progress((2, 1), 5, None, Duration::ZERO).is_none());
    }

    /// Compute seconds and royalties end where the node says so, whatever a model makes of its trainer.
    #[test]
    fn a_trainer_that_goes_on_after_its_last_epoch_is_not_believed() {
        let plan = two_epochs();
        let mut limits = Limits::new(&plan, &data());
        say(&mut limits, 1);
        let mut limits = Limits { epoch: 1, asks: Some(2), ..limits };
        limits.answer(false);
        assert!(limits.progress((2, 1), 6, None, Duration::ZERO).is_none());
        assert_eq!(limits.metering(metered(2)), None);
        assert!(limits.metering(metered(1)).is_some());
    }

    fn metered(epochs: u32) -> Metering {
        let times = u64::from(epochs);
        Metering {
            samples: 18 * times,
            tokens_seen: 90 * times,
            tokens_trained: 40 * times,
            epochs,
            eval_before: Some(3.5),
            eval_after: None,
        }
    }

    #[test]
    fn metering_is_what_was_said_of_the_rows_and_epochs() {
        let plan = two_epochs();
        let mut limits = Limits::new(&plan, &data());
        say(&mut limits, 2);
        let good = metered(2);
        assert_eq!(limits.metering(good.clone()), Some(good.clone()));
        for bad in [
            metered(3),
            metered(1),
            Metering { epochs: 0, ..metered(0) },
            Metering { epochs: u32::MAX, ..good.clone() },
            Metering { samples: 35, ..good.clone() },
            Metering { samples: 37, ..good.clone() },
            Metering { tokens_seen: 181, ..good.clone() },
            Metering { tokens_seen: 179, ..good.clone() },
            Metering { tokens_trained: 79, ..good.clone() },
            Metering { tokens_trained: 81, ..good.clone() },
            Metering { eval_before: Some(3.500_01), ..good.clone() },
            Metering { eval_after: Some(f64::NAN), ..good.clone() },
        ] {
            assert_eq!(limits.metering(bad.clone()), None, "{bad:?}");
        }
        let unsaid = Limits::new(&plan, &data());
        assert_eq!(unsaid.metering(metered(2)), None, "epochs and losses that were never reported");
    }

    #[test]
    fn a_run_that_max_steps_ends_has_a_part_of_an_epoch() {
        let plan = plan(json!({"batch_size": 4, "gradient_accumulation_steps": 1, "max_steps": 7}));
        let mut limits = Limits::new(&plan, &data());
        say(&mut limits, 1);
        let good = Metering { samples: 26, tokens_seen: 130, tokens_trained: 50, ..metered(1) };
        assert!(limits.metering(good.clone()).is_some());
        assert!(limits.metering(metered(1)).is_some(), "stopped before");
        for bad in [
            Metering { samples: 27, ..good.clone() },
            Metering { tokens_seen: 181, ..good.clone() },
            Metering { tokens_trained: 39, ..good.clone() },
        ] {
            assert_eq!(limits.metering(bad.clone()), None, "{bad:?}");
        }
    }

    #[test]
    fn tokens_are_what_these_rows_can_have() {
        let rows = RowCounts { without_target: 3, ..data().rows };
        let tokens = |said, without_target, counted| {
            tokens(said, &RowCounts { without_target, ..rows.clone() }, 10, counted).is_some()
        };
        assert!(tokens((180, 15), 3, None) && tokens((30, 15), 3, Some(30)));
        assert!(!tokens((181, 15), 3, None), "more than ten of a row");
        assert!(!tokens((31, 15), 3, Some(30)), "more than the owner published");
        assert!(!tokens((180, 14), 3, None), "fewer than rows with a target");
        assert!(!tokens((29, 15), 3, None) && !tokens((14, 15), 3, None), "nothing before what is learned");
        assert!(!tokens((180, 15), 25, None), "more rows without a target than rows");
        assert!(!tokens((u64::MAX, u64::MAX), 0, None));
        let many = RowCounts { train: u64::MAX, ..rows.clone() };
        assert_eq!(super::tokens((1, 1), &many, 10, None), None);
    }

    #[test]
    fn a_result_holds_the_files_of_a_result() {
        let file = |name: &str, length| (name.to_owned(), length);
        let good = vec![file("README.md", 4), file("adapter_model.safetensors", 6)];
        assert_eq!(names(good.clone(), 10), Some(good.clone()));
        assert_eq!(names(good.clone(), 9), None);
        assert_eq!(names(vec![file("README.md", u64::MAX), file("adapter_config.json", 1)], u64::MAX), None);
        assert_eq!(names(vec![file("../keys", 1)], 10), None);
        assert_eq!(names(vec![file("README.md", 1), file("README.md", 1)], 10), None);
    }
}
