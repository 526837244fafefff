//! What a job measured: a public document beside the evidence bundle, named by its root as `reportHash`.
//!
//! The node that trained writes it; of what stands in it, nothing is a word of the trainer that the node did
//! not bound. Of what was learned it says means of the loss over many rows, and nothing else.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::abi::ResultManifest;
use crate::canonical::{CanonicalError, json_from_slice, json_of_blob, json_to_vec};
use crate::fault::{Fault, Party};

/// The version that is written and read.
pub const VERSION: u8 = 1;
/// Largest report, bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// Most losses in a report.
pub const MAX_LOSSES: usize = 1_024;
/// Largest loss that is said, in thousandths of a nat.
pub const MAX_LOSS: u32 = 100_000;

/// Canonical JSON. A reader takes members that it does not know for a later measure and ignores them, so
/// new ones need no new version; what a known member means never changes under version 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobReport {
    /// 1.
    pub v: u8,
    /// The job.
    pub job_id: B256,
    /// The attempt.
    pub attempt: u32,
    /// Training settings under 0G's names, with every default that was taken.
    pub settings: Map<String, Value>,
    /// The rows.
    pub rows: RowCounts,
    /// What one whole epoch visits; every epoch is the same in this.
    pub per_epoch: EpochCounts,
    /// Mean losses in the order of training.
    pub losses: Vec<BlockLoss>,
    /// CPU time of the trainer in whole seconds, as in the manifest.
    pub compute_seconds: u64,
    /// Members of later measures.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Rows of the dataset under the settings of the job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RowCounts {
    /// Rows that were trained on.
    pub train: u64,
    /// Rows that were held out.
    pub held_out: u64,
    /// All of them by shape; the names are those of the training engine.
    pub shapes: BTreeMap<String, u64>,
    /// Those without a token to learn, as the base model's tokenizer and `max_seq_length` leave them.
    pub without_target: u64,
}

/// What one visit of every training row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EpochCounts {
    /// Visits of rows.
    pub samples: u64,
    /// Text tokens.
    pub tokens_seen: u64,
    /// Tokens that a loss is computed for.
    pub tokens_trained: u64,
}

/// A mean loss over consecutive visits of rows: of at least 64 or, where an epoch has fewer, of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockLoss {
    /// Visits.
    pub rows: u64,
    /// In thousandths of a nat, 0 to 100,000.
    pub loss: u32,
}

/// A report that cannot be that of its job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Not canonical JSON of the members that must be there.
    #[error("the report: {0}")]
    Canonical(#[from] CanonicalError),
    /// Too large.
    #[error("the report has {0} bytes, at most {MAX_BYTES} are read")]
    TooLarge(usize),
    /// Of a version that is not read.
    #[error("the report has version {0}, read is {VERSION}")]
    Version(u8),
    /// A member contradicts another one, or the manifest.
    #[error("the report contradicts {0}")]
    Contradiction(&'static str),
}

impl Fault for ReportError {
    fn fault(&self) -> Party {
        Party::Compute
    }
    fn retryable(&self) -> bool {
        false
    }
}

impl JobReport {
    /// The bytes whose root is `reportHash`.
    ///
    /// # Errors
    /// A report that [`Self::from_blob`] would refuse.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ReportError> {
        self.check()?;
        let bytes = json_to_vec(self)?;
        if bytes.len() > MAX_BYTES { Err(ReportError::TooLarge(bytes.len())) } else { Ok(bytes) }
    }

    /// Reads a blob that was fetched by its root, without the zeros behind it.
    ///
    /// # Errors
    /// See [`ReportError`].
    pub fn from_blob(blob: &[u8]) -> Result<Self, ReportError> {
        let bytes = json_of_blob(blob);
        if bytes.len() > MAX_BYTES {
            return Err(ReportError::TooLarge(bytes.len()));
        }
        let report: Self = json_from_slice(bytes)?;
        report.check()?;
        Ok(report)
    }

    /// Whether it can stand beside `manifest`: of the same attempt, with sums that give its numbers.
    ///
    /// # Errors
    /// [`ReportError::Contradiction`].
    pub fn must_be_of(&self, manifest: &ResultManifest) -> Result<(), ReportError> {
        let (epochs, each) = (u64::from(manifest.actualEpochs), &self.per_epoch);
        // Behind the whole epochs at most a part of another one.
        let fits = |total: u64, each: u64| {
            let whole = each.checked_mul(epochs);
            whole.is_some_and(|whole| (whole..=whole.saturating_add(each)).contains(&total))
        };
        let checks = [
            (self.job_id == manifest.jobId && self.attempt == manifest.attempt, "the manifest's attempt"),
            (fits(manifest.samples, each.samples), "the manifest's samples"),
            (fits(manifest.tokensSeen, each.tokens_seen), "the manifest's tokensSeen"),
            (fits(manifest.tokensTrained, each.tokens_trained), "the manifest's tokensTrained"),
            (self.compute_seconds == manifest.computeSeconds, "the manifest's computeSeconds"),
            (
                self.loss_rows().is_some_and(|rows| rows <= manifest.samples),
                "the manifest's samples by its losses",
            ),
        ];
        holds(checks)
    }

    fn check(&self) -> Result<(), ReportError> {
        if self.v != VERSION {
            return Err(ReportError::Version(self.v));
        }
        let (rows, each) = (&self.rows, &self.per_epoch);
        let all = rows.train.checked_add(rows.held_out);
        let shaped = rows.shapes.values().try_fold(0_u64, |sum, count| sum.checked_add(*count));
        let losses = self.losses.iter().all(|block| block.rows > 0 && block.loss <= MAX_LOSS);
        let checks = [
            (all.is_some() && shaped == all, "its rows by shape"),
            (all.is_some_and(|all| rows.without_target <= all), "its rows without a target"),
            (each.samples == rows.train, "its samples of an epoch"),
            (each.tokens_trained <= each.tokens_seen, "its tokens of an epoch"),
            (losses && self.losses.len() <= MAX_LOSSES && self.loss_rows().is_some(), "the bounds of a loss"),
        ];
        holds(checks)
    }

    fn loss_rows(&self) -> Option<u64> {
        self.losses.iter().try_fold(0_u64, |sum, block| sum.checked_add(block.rows))
    }
}

fn holds<const N: usize>(checks: [(bool, &'static str); N]) -> Result<(), ReportError> {
    let broken = checks.into_iter().find(|(holds, _)| !holds);
    broken.map_or(Ok(()), |(_, what)| Err(ReportError::Contradiction(what)))
}

/// Gathers mean losses, however many there are: when [`MAX_LOSSES`] stand there, each two neighbors become
/// one mean over the rows of both, and from then on as many come together before they are kept.
#[derive(Debug, Clone, Default)]
pub struct Losses {
    kept: Vec<BlockLoss>,
    /// The last one kept is over fewer blocks than the others.
    open: u64,
    /// Blocks in one that is kept, less 1.
    together: u64,
}

impl Losses {
    /// Takes the next mean. One above [`MAX_LOSS`] counts as that.
    pub fn push(&mut self, rows: u64, loss: u32) {
        let next = BlockLoss { rows, loss: loss.min(MAX_LOSS) };
        if self.open > 0
            && let Some(last) = self.kept.last_mut()
        {
            *last = mean(*last, next);
            self.open -= 1;
            return;
        }
        if self.kept.len() == MAX_LOSSES {
            self.kept = self.kept.chunks_exact(2).map(|pair| mean(pair[0], pair[1])).collect();
            self.together = 2 * self.together + 1;
        }
        self.kept.push(next);
        self.open = self.together;
    }

    /// In the order of training.
    #[must_use]
    pub fn into_vec(self) -> Vec<BlockLoss> {
        self.kept
    }
}

/// The mean over the rows of both, rounded to a thousandth.
fn mean(a: BlockLoss, b: BlockLoss) -> BlockLoss {
    let sum = u128::from(a.rows) * u128::from(a.loss) + u128::from(b.rows) * u128::from(b.loss);
    let rows = u128::from(a.rows) + u128::from(b.rows);
    let loss = (sum + rows / 2) / rows.max(1);
    BlockLoss { rows: a.rows.saturating_add(b.rows), loss: u32::try_from(loss).unwrap_or(MAX_LOSS) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use proptest::prelude::*;

    fn report() -> JobReport {
        JobReport {
            v: VERSION,
            job_id: B256::repeat_byte(1),
            attempt: 1,
            settings: Map::from_iter([("learning_rate".to_string(), Value::from(0.0002))]),
            rows: RowCounts {
                train: 18,
                held_out: 6,
                shapes: BTreeMap::from([("text".to_string(), 20), ("messages".to_string(), 4)]),
                without_target: 2,
            },
            per_epoch: EpochCounts { samples: 18, tokens_seen: 100, tokens_trained: 40 },
            losses: vec![BlockLoss { rows: 18, loss: 2_125 }, BlockLoss { rows: 18, loss: 1_500 }],
            compute_seconds: 3,
            more: Map::new(),
        }
    }

    fn manifest() -> ResultManifest {
        ResultManifest {
            jobId: B256::repeat_byte(1),
            attempt: 1,
            actualEpochs: 2,
            samples: 36,
            tokensSeen: 200,
            tokensTrained: 80,
            computeSeconds: 3,
            ..ResultManifest::default()
        }
    }

    #[test]
    fn a_report_is_canonical_and_comes_back_with_zeros_behind_it() {
        let bytes = report().to_bytes().unwrap();
        let text = core::str::from_utf8(&bytes).unwrap();
        assert!(text.starts_with(r#"{"attempt":1,"computeSeconds":3,"jobId":"0x01"#), "{text}");
        let padded = [&bytes[..], &[0; 200]].concat();
        assert_eq!(JobReport::from_blob(&padded), Ok(report()));
        let spaced = text.replace(',', ", ");
        assert!(matches!(JobReport::from_blob(spaced.as_bytes()), Err(ReportError::Canonical(_))));
        assert_eq!(
            JobReport::from_blob(&vec![b' '; MAX_BYTES + 1]),
            Err(ReportError::TooLarge(MAX_BYTES + 1))
        );
    }

    #[test]
    fn a_later_measure_breaks_no_reader_and_is_kept() {
        let mut later = report();
        later.more.insert("leakScore".to_string(), Value::from(0.25));
        let bytes = later.to_bytes().unwrap();
        let read = JobReport::from_blob(&bytes).unwrap();
        assert_eq!(read, later);
        assert_eq!(read.to_bytes().unwrap(), bytes, "its root stays");
        let other = JobReport { v: 2, ..report() };
        assert_eq!(other.to_bytes(), Err(ReportError::Version(2)));
        let bytes = json_to_vec(&other).unwrap();
        assert_eq!(JobReport::from_blob(&bytes), Err(ReportError::Version(2)));
    }

    #[test]
    fn a_report_that_contradicts_itself_is_not_written_and_not_read() {
        type Change = fn(&mut JobReport);
        let changes: [(Change, &str); 9] = [
            (|r| r.rows.held_out += 1, "its rows by shape"),
            (|r| r.rows.train = u64::MAX, "its rows by shape"),
            (
                |r| {
                    r.rows.shapes.insert("text".to_string(), u64::MAX);
                },
                "its rows by shape",
            ),
            (|r| r.rows.without_target = 25, "its rows without a target"),
            (|r| r.per_epoch.samples = 19, "its samples of an epoch"),
            (|r| r.per_epoch.tokens_trained = 101, "its tokens of an epoch"),
            (|r| r.losses[0].loss = MAX_LOSS + 1, "the bounds of a loss"),
            (|r| r.losses[0].rows = 0, "the bounds of a loss"),
            (|r| r.losses = vec![BlockLoss { rows: 1, loss: 1 }; MAX_LOSSES + 1], "the bounds of a loss"),
        ];
        for (change, what) in changes {
            let mut bad = report();
            change(&mut bad);
            assert_eq!(bad.to_bytes(), Err(ReportError::Contradiction(what)));
            if let Ok(bytes) = json_to_vec(&bad) {
                assert_eq!(JobReport::from_blob(&bytes), Err(ReportError::Contradiction(what)));
            }
        }
        let mut huge = report();
        huge.more.insert("x".to_string(), "x".repeat(MAX_BYTES).into());
        assert!(matches!(huge.to_bytes(), Err(ReportError::TooLarge(_))));
    }

    #[test]
    fn a_report_stands_beside_its_own_manifest_only() {
        assert_eq!(report().must_be_of(&manifest()), Ok(()));
        let part = ResultManifest { samples: 40, tokensSeen: 223, tokensTrained: 90, ..manifest() };
        assert_eq!(report().must_be_of(&part), Ok(()), "`max_steps` ended it within the third epoch");
        type Change = fn(&mut ResultManifest);
        let changes: [(Change, &str); 8] = [
            (|m| m.jobId = B256::ZERO, "the manifest's attempt"),
            (|m| m.attempt = 2, "the manifest's attempt"),
            (|m| m.samples = 35, "the manifest's samples"),
            (|m| m.actualEpochs = 3, "the manifest's samples"),
            (|m| m.actualEpochs = u32::MAX, "the manifest's samples"),
            (|m| m.tokensSeen = 301, "the manifest's tokensSeen"),
            (|m| m.tokensTrained = 79, "the manifest's tokensTrained"),
            (|m| m.computeSeconds = 2, "the manifest's computeSeconds"),
        ];
        for (change, what) in changes {
            let mut bad = manifest();
            change(&mut bad);
            assert_eq!(report().must_be_of(&bad), Err(ReportError::Contradiction(what)));
        }
        let mut more = report();
        more.losses.push(BlockLoss { rows: 18, loss: 1 });
        assert!(more.must_be_of(&manifest()).is_err(), "a loss of rows that were not visited");
    }

    #[test]
    fn few_losses_are_kept_as_they_are() {
        let mut losses = Losses::default();
        losses.push(18, 2_125);
        losses.push(18, u32::MAX);
        let kept = [BlockLoss { rows: 18, loss: 2_125 }, BlockLoss { rows: 18, loss: MAX_LOSS }];
        assert_eq!(losses.into_vec(), kept);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_number_of_losses_has_room_and_no_row_is_lost(
            count in 0_usize..20_000, rows in 1_u64..1_000_000, loss in 0_u32..=MAX_LOSS,
        ) {
            let mut losses = Losses::default();
            for _ in 0..count {
                losses.push(rows, loss);
            }
            let kept = losses.into_vec();
            prop_assert!(kept.len() <= MAX_LOSSES && kept.len() >= count.min(MAX_LOSSES / 2));
            prop_assert_eq!(kept.iter().map(|block| block.rows).sum::<u64>(), count as u64 * rows);
            prop_assert!(kept.iter().all(|block| block.loss == loss));
        }
    }
}
