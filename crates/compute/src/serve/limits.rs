//! What may be believed of a trainer's reports: numbers that a training of these rows and settings can have. A model that
//! took its trainer over can still say any of those, and put what it likes into the adapter; it cannot send the node
//! words, run up epochs, or publish more and finer losses than a training has.

use super::event::Event;
use super::losses::{Blocks, coarse};
use crate::folder;
use crate::{Metering, TrainingParams};

/// Files of a result, at most.
const FILES_MAX: usize = 32;

/// What is left to be said.
pub(super) struct Limits {
    epochs: u32,
    rows: u64,
    planned: u64,
    losses: u64,
    coarse: bool,
    last: (u32, u32, u64),
}

impl Limits {
    /// For `train` rows to learn and `held_out` to judge by.
    pub(super) fn new(params: &TrainingParams, (train, held_out): (u64, u64)) -> Self {
        let epochs = params.num_train_epochs;
        let a_mean_each = Blocks::count(train, params.rows_per_step() as u64);
        Self {
            epochs,
            rows: train,
            planned: params.planned_steps(train),
            losses: a_mean_each.saturating_mul(u64::from(epochs)),
            coarse: Blocks::are_few(held_out),
            last: (0, 0, 0),
        }
    }

    /// A progress that goes on where the last one was; `None` where it cannot be.
    pub(super) fn progress(
        &mut self,
        epoch: u32,
        epochs_done: u32,
        step: u64,
        loss: Option<f64>,
    ) -> Option<Event> {
        let (last_epoch, last_done, last_step) = self.last;
        let goes_on = epoch >= last_epoch && epochs_done >= last_done && step >= last_step;
        let possible = epoch <= self.epochs && epochs_done <= epoch && step <= self.planned;
        if !goes_on || !possible {
            return None;
        }
        self.last = (epoch, epochs_done, step);
        if let Some(loss) = loss {
            self.losses = self.losses.checked_sub(1)?;
            (loss == coarse(loss)).then_some(())?;
        }
        let part = step as f64 / self.planned.max(1) as f64;
        Some(Event::Progress { epoch, epochs_done, part, loss })
    }

    /// Metering that these rows and epochs can have.
    pub(super) fn metering(&self, metering: Metering) -> Option<Metering> {
        let most = self.rows.saturating_mul(u64::from(self.epochs));
        let least = self.rows.saturating_mul(u64::from(metering.epochs));
        let counted = (1..=self.epochs).contains(&metering.epochs)
            && (least..=most).contains(&metering.samples)
            && metering.tokens_trained <= metering.tokens_seen;
        let losses = [metering.eval_before, metering.eval_after];
        let losses_fit = losses
            .into_iter()
            .flatten()
            .all(|loss| loss.is_finite() && (!self.coarse || loss == coarse(loss)));
        (counted && losses_fit).then_some(metering)
    }
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

    fn limits() -> Limits {
        let text = r#"{"num_train_epochs": 2, "batch_size": 4, "gradient_accumulation_steps": 1}"#;
        Limits::new(&TrainingParams::parse(text).unwrap(), (18, 6))
    }

    #[test]
    fn a_trainer_that_was_taken_over_publishes_no_finer_losses() {
        assert!(limits().progress(1, 0, 1, Some(2.125)).is_some());
        for loss in [2.125_000_1, f64::NAN, f64::INFINITY, -1.0, 100.001] {
            assert!(limits().progress(1, 0, 1, Some(loss)).is_none(), "{loss}");
        }
        let mut limits = limits();
        assert!(limits.progress(1, 0, 5, Some(1.0)).is_some());
        assert!(limits.progress(2, 1, 10, Some(1.0)).is_some());
        assert!(limits.progress(2, 1, 10, Some(1.0)).is_none(), "a third mean of two epochs");
    }

    #[test]
    fn progress_goes_forward_and_ends() {
        for (epoch, done, step) in [(3, 0, 1), (1, 2, 1), (1, 0, 11)] {
            assert!(limits().progress(epoch, done, step, None).is_none());
        }
        let mut limits = limits();
        assert!(limits.progress(2, 1, 6, None).is_some());
        assert!(limits.progress(1, 1, 7, None).is_none());
        assert!(limits.progress(2, 1, 5, None).is_none());
    }

    #[test]
    fn epochs_that_were_not_bought_are_not_metered() {
        let good = Metering {
            samples: 36,
            tokens_seen: 10,
            tokens_trained: 9,
            epochs: 2,
            eval_before: Some(3.5),
            eval_after: None,
        };
        assert_eq!(limits().metering(good.clone()), Some(good.clone()));
        for bad in [
            Metering { epochs: 3, samples: 54, ..good.clone() },
            Metering { epochs: 0, ..good.clone() },
            Metering { samples: 35, ..good.clone() },
            Metering { samples: 37, ..good.clone() },
            Metering { tokens_trained: 11, ..good.clone() },
            Metering { eval_before: Some(3.500_01), ..good.clone() },
            Metering { eval_after: Some(f64::NAN), ..good.clone() },
        ] {
            assert_eq!(limits().metering(bad.clone()), None, "{bad:?}");
        }
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
