//! What may be said of losses. The requester chooses the base model, so a loss may be any function of
//! the rows it is over, and the loss of one row may be the row. Only means over many rows leave, in few
//! digits and within bounds.

use licen_train::Outcome;

/// Rows that a published mean is over, unless the epoch has fewer.
const BLOCK_ROWS: u64 = 64;
const MOST: f64 = 100.0;

/// In thousandths, from 0 to 100.
pub(super) fn coarse(loss: f64) -> f64 {
    (loss.clamp(0.0, MOST) * 1e3).round() / 1e3
}

/// The same as a whole number of thousandths.
pub(super) fn thousandths(loss: f64) -> u32 {
    (coarse(loss) * 1e3).round() as u32
}

/// Consecutive blocks of steps that do not overlap: each of at least 64 rows, none across two epochs, so
/// that no difference of two means is about fewer rows.
#[derive(Debug)]
pub(crate) struct Blocks {
    epoch_rows: u64,
    step_rows: u64,
    /// Rows of the epoch that are not trained yet.
    left: u64,
    rows: u64,
    sum: f64,
}

impl Blocks {
    /// For epochs of `epoch_rows` rows in steps of at most `step_rows`.
    pub(crate) fn new(epoch_rows: u64, step_rows: u64) -> Self {
        Self { epoch_rows, step_rows, left: epoch_rows, rows: 0, sum: 0.0 }
    }

    /// Goes on behind the next block; gives its rows.
    pub(super) fn skip(&mut self) -> u64 {
        let before = self.rows;
        let mut rows = 0;
        loop {
            rows += self.step_rows.min(self.left);
            if self.step(0.0).is_some() {
                return before + rows;
            }
        }
    }

    /// Whether means over so many rows are said in few digits.
    pub(super) fn are_few(rows: u64) -> bool {
        rows < BLOCK_ROWS
    }

    /// Takes the loss of the next step; gives the mean of the block that it completes.
    pub(crate) fn step(&mut self, loss: f64) -> Option<f64> {
        let rows = self.step_rows.min(self.left);
        self.left -= rows;
        self.rows += rows;
        // Within bounds before it is added, so that one row cannot outshout the others.
        self.sum += loss.clamp(0.0, MOST) * rows as f64;
        let whole = self.left == 0 || (self.rows >= BLOCK_ROWS && self.left >= BLOCK_ROWS);
        if !whole {
            return None;
        }
        let mean = coarse(self.sum / self.rows.max(1) as f64);
        (self.rows, self.sum) = (0, 0.0);
        if self.left == 0 {
            self.left = self.epoch_rows;
        }
        Some(mean)
    }
}

/// Replaces the losses and gradient norms of single steps by means of their blocks, and says the loss of
/// few held-out rows in few digits.
pub(crate) fn coarsen(outcome: &mut Outcome, (epoch_rows, held_out): (u64, u64), step_rows: u64) {
    let (mut losses, mut norms) = (Blocks::new(epoch_rows, step_rows), Blocks::new(epoch_rows, step_rows));
    let (mut begun, mut last) = (0, (0.0, 0.0));
    for i in 0..outcome.steps.len() {
        let step = &outcome.steps[i];
        if let Some(means) = losses.step(step.loss).zip(norms.step(step.grad_norm)) {
            outcome.steps[begun..=i].iter_mut().for_each(|s| (s.loss, s.grad_norm) = means);
            (begun, last) = (i + 1, means);
        }
    }
    // `max_steps` may end a run within a block: those steps say what the block before them says.
    outcome.steps[begun..].iter_mut().for_each(|s| (s.loss, s.grad_norm) = last);
    if Blocks::are_few(held_out) {
        let metering = &mut outcome.metering;
        let of_epochs = outcome.epochs.iter_mut().map(|epoch| &mut epoch.held_out_loss);
        for loss in of_epochs.chain([&mut metering.eval_before, &mut metering.eval_after]) {
            *loss = loss.map(coarse);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The means published of epochs whose every row has the loss `loss(epoch, row)`.
    fn published(epoch_rows: u64, step_rows: u64, loss: impl Fn(u64, u64) -> f64) -> Vec<f64> {
        let mut blocks = Blocks::new(epoch_rows, step_rows);
        let mut means = Vec::new();
        for epoch in 0..2 {
            for first in (0..epoch_rows).step_by(step_rows as usize) {
                let rows = first..epoch_rows.min(first + step_rows);
                let count = (rows.end - rows.start) as f64;
                means.extend(blocks.step(rows.map(|row| loss(epoch, row)).sum::<f64>() / count));
            }
        }
        means
    }

    #[test]
    fn no_mean_is_over_fewer_rows_than_a_block_or_an_epoch() {
        for (rows, step, blocks) in
            [(18, 1, 1), (63, 4, 1), (64, 1, 1), (127, 1, 1), (128, 1, 2), (450, 8, 7)]
        {
            let means = published(rows, step, |epoch, _| epoch as f64);
            let mut skipped = Blocks::new(rows, step);
            let sizes: Vec<u64> = (0..2 * blocks).map(|_| skipped.skip()).collect();
            assert!(sizes[..blocks].iter().sum::<u64>() == rows && sizes[..blocks] == sizes[blocks..]);
            assert!(blocks == 1 || sizes.iter().all(|size| *size >= 64), "{sizes:?}");
            assert_eq!(means, [vec![0.0; blocks], vec![1.0; blocks]].concat(), "{rows} rows by {step}");
        }
    }

    #[test]
    fn a_single_row_cannot_be_read() {
        let loud = |row, loss| move |_, i| if i == row { loss } else { 0.0 };
        assert_eq!(
            published(64, 1, loud(3, 1e9)),
            [1.563; 2],
            "at most 100 of one row, a 64th of that, rounded"
        );
        assert_eq!(published(64, 1, loud(3, 0.031)), [0.0; 2]);
        assert_eq!(published(64, 1, |_, _| 1e9), [100.0; 2]);
        assert_eq!(published(64, 1, |_, _| -5.0), [0.0; 2]);
    }
}
