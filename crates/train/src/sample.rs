//! Tokenized rows and what is counted over them.

use crate::error::{Error, Result};
use crate::random::Rng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// One row as text tokens. Token i is learned (predicted from those before it) where `learn[i]`. Wiped when
/// dropped.
#[derive(Debug, Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Sample {
    ids: Vec<u32>,
    learn: Vec<bool>,
}

impl Sample {
    /// A row whose every token is learned but the first, which nothing precedes.
    pub fn all(ids: Vec<u32>) -> Self {
        let learn = vec![true; ids.len()];
        Sample::new(ids, learn)
    }

    /// A row with a mask of the same length.
    pub fn new(ids: Vec<u32>, mut learn: Vec<bool>) -> Self {
        assert_eq!(ids.len(), learn.len(), "a mask is as long as its row");
        if let Some(first) = learn.first_mut() {
            *first = false;
        }
        Sample { ids, learn }
    }

    /// Keeps the first `most` tokens.
    pub fn truncate(&mut self, most: usize) {
        // What is behind them is wiped with the rest: zeroizing covers the capacity.
        self.ids.truncate(most);
        self.learn.truncate(most);
    }

    /// The text tokens.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Which of them are learned.
    pub fn learn(&self) -> &[bool] {
        &self.learn
    }

    /// Text tokens of the row: its part of `tokens_seen`.
    pub fn tokens_seen(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Tokens learned: its part of `tokens_trained`.
    pub fn tokens_trained(&self) -> u64 {
        self.learn.iter().filter(|l| **l).count() as u64
    }
}

/// Rows to train on and rows to judge by, which are never trained on.
#[derive(Debug, Clone, Default)]
pub struct Split {
    pub train: Vec<Sample>,
    pub held_out: Vec<Sample>,
}

impl Split {
    /// Holds out `fraction` of the rows, chosen by `seed`: rounded to the nearest row, at least one where the
    /// fraction is above 0 and there are two rows, never all. Both parts keep the order of the file.
    pub fn new(samples: Vec<Sample>, fraction: f64, seed: u64) -> Self {
        let count = samples.len();
        let held = Split::held_out_rows(count, fraction);
        let mut chosen = vec![false; count];
        for i in Rng::new(seed, "held-out").permutation(count).into_iter().take(held) {
            chosen[i] = true;
        }
        let mut split = Split::default();
        for (sample, held) in samples.into_iter().zip(chosen) {
            if held { split.held_out.push(sample) } else { split.train.push(sample) }
        }
        split
    }

    /// How many of `count` rows are held out.
    #[must_use]
    pub fn held_out_rows(count: usize, fraction: f64) -> usize {
        let wanted = (count as f64 * fraction).round() as usize;
        let least = usize::from(fraction > 0.0 && count > 1);
        wanted.max(least).min(count.saturating_sub(1))
    }

    /// Refuses rows that a model of this vocabulary cannot take, and data with nothing to learn.
    pub(crate) fn check(&self, vocabulary: usize) -> Result<()> {
        let ids = self.train.iter().chain(&self.held_out).flat_map(Sample::ids);
        if let Some(&id) = ids.into_iter().find(|id| **id as usize >= vocabulary) {
            return Err(Error::TokenOutOfRange { id: i64::from(id), vocabulary });
        }
        if self.train.iter().all(|s| s.tokens_trained() == 0) {
            return Err(Error::NothingToTrain);
        }
        Ok(())
    }
}

/// Counts over a data set, one visit of each row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenCount {
    pub rows: u64,
    /// Text tokens, prompts and end marks included.
    pub tokens: u64,
    /// Text tokens that are learned.
    pub tokens_trained: u64,
}

impl TokenCount {
    /// Counts rows exactly as a run's metering does for one epoch over all of them.
    pub fn of(samples: &[Sample]) -> Self {
        TokenCount {
            rows: samples.len() as u64,
            tokens: samples.iter().map(Sample::tokens_seen).sum(),
            tokens_trained: samples.iter().map(Sample::tokens_trained).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: u32) -> Vec<Sample> {
        (0..n).map(|i| Sample::all(vec![i, i, i])).collect()
    }

    #[test]
    fn a_split_is_seeded_and_loses_no_row() {
        let split = Split::new(rows(100), 0.1, 5);
        assert_eq!((split.train.len(), split.held_out.len()), (90, 10));
        let again = Split::new(rows(100), 0.1, 5);
        assert_eq!(split.held_out, again.held_out);
        assert_ne!(split.held_out, Split::new(rows(100), 0.1, 6).held_out);
        let mut all: Vec<u32> = split.train.iter().chain(&split.held_out).map(|s| s.ids()[0]).collect();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(Split::new(rows(1), 0.5, 1).train.len(), 1);
        assert_eq!(Split::new(rows(3), 0.01, 1).held_out.len(), 1);
        assert_eq!(Split::new(rows(3), 0.0, 1).held_out.len(), 0);
    }

    #[test]
    fn samples_are_wiped() {
        fn wiped_on_drop<T: ZeroizeOnDrop>() {}
        wiped_on_drop::<Sample>();
        let mut sample = rows(1).remove(0);
        sample.zeroize();
        assert!(sample.ids().is_empty() && sample.learn().is_empty());
    }

    #[test]
    fn counts_follow_the_mask() {
        let mut sample = Sample::new(vec![1, 2, 3, 4], vec![true, false, true, true]);
        assert_eq!((sample.tokens_seen(), sample.tokens_trained()), (4, 2));
        sample.truncate(3);
        let count = TokenCount::of(&[sample.clone(), sample]);
        assert_eq!(count, TokenCount { rows: 2, tokens: 6, tokens_trained: 2 });
    }
}
