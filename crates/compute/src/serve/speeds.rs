//! How fast this node trains each base model, kept over restarts: what a price per compute second is turned
//! into a price per epoch with.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use licen_core::price::Speed;
use licen_core::primitives::B256;
use serde::{Deserialize, Serialize};

/// Trainings of a base model that count: a requester with a few odd trainings does not set the price.
const REMEMBERED: usize = 8;
/// Base models that are remembered; requesters choose them, so there has to be an end.
const MODELS: usize = 256;
/// Shorter trainings say little of the speed.
const LEAST_SECONDS: u64 = 60;
/// Fewer bytes are mostly held-out rows and writing the adapter.
const LEAST_BYTES: u64 = 1 << 20;

/// Measurements by base model, the model that was trained last at the end.
pub(super) struct Speeds {
    path: PathBuf,
    known: Mutex<Vec<Measured>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Measured {
    base_model: B256,
    speeds: Vec<Speed>,
}

impl Speeds {
    /// Reads what was measured before. A file that is not one is forgotten: all of it can be measured again.
    pub(super) fn open(work_dir: &Path) -> Self {
        let path = work_dir.join("speeds.json");
        let read = std::fs::read(&path).ok().map(|bytes| serde_json::from_slice(&bytes));
        let known = match read {
            Some(Err(error)) => {
                tracing::warn!(path = %path.display(), %error, "measured speeds are not readable, forgotten");
                Vec::new()
            }
            Some(Ok(known)) => known,
            None => Vec::new(),
        };
        Self { path, known: Mutex::new(known) }
    }

    /// Remembers a training of `base_model`.
    pub(super) fn add(&self, base_model: B256, speed: Speed) {
        if speed.seconds < LEAST_SECONDS || speed.bytes < LEAST_BYTES {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let at = known.iter().position(|m| m.base_model == base_model);
        let mut measured = at.map_or(Measured { base_model, speeds: Vec::new() }, |at| known.remove(at));
        measured.speeds.push(speed);
        let surplus = measured.speeds.len().saturating_sub(REMEMBERED);
        measured.speeds.drain(..surplus);
        known.push(measured);
        let surplus = known.len().saturating_sub(MODELS);
        known.drain(..surplus);
        if let Err(error) = self.write(&known) {
            tracing::warn!(path = %self.path.display(), %error, "the measured speed is not kept");
        }
    }

    /// The middle of the last measurements, the slower one of two; `None` before the first.
    pub(super) fn of(&self, base_model: B256) -> Option<Speed> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut speeds = known.iter().find(|m| m.base_model == base_model)?.speeds.clone();
        let across = |a: &Speed, b: &Speed| u128::from(a.bytes) * u128::from(b.seconds);
        speeds.sort_by(|a, b| across(a, b).cmp(&across(b, a)));
        speeds.get((speeds.len() - 1) / 2).copied()
    }

    fn write(&self, known: &[Measured]) -> std::io::Result<()> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let mut beside = tempfile::NamedTempFile::new_in(dir)?;
        beside.write_all(&serde_json::to_vec(known)?)?;
        beside.persist(&self.path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: B256 = B256::repeat_byte(1);

    /// Of thousands of mebibytes, so that bytes never are too few.
    fn speed(bytes: u64, seconds: u64) -> Speed {
        Speed { bytes: bytes << 20, seconds }
    }

    #[test]
    fn the_middle_of_the_last_trainings_counts_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let speeds = Speeds::open(dir.path());
        assert_eq!(speeds.of(MODEL), None);
        for bytes in [900, 100, 500] {
            speeds.add(MODEL, speed(bytes, 100));
        }
        assert_eq!(speeds.of(MODEL), Some(speed(500, 100)));
        speeds.add(MODEL, speed(400, 100));
        assert_eq!(speeds.of(MODEL), Some(speed(400, 100)), "the slower of the two in the middle");
        assert_eq!(Speeds::open(dir.path()).of(MODEL), Some(speed(400, 100)));
        for _ in 0..REMEMBERED {
            speeds.add(MODEL, speed(1_000, 100));
        }
        assert_eq!(speeds.of(MODEL), Some(speed(1_000, 100)), "old ones are forgotten");
        std::fs::write(dir.path().join("speeds.json"), "{").unwrap();
        assert_eq!(Speeds::open(dir.path()).of(MODEL), None);
    }

    /// Settings that cut every row to a few tokens make a node look fast: half of the last trainings would
    /// have to be such ones.
    #[test]
    fn a_few_odd_trainings_set_no_price() {
        let dir = tempfile::tempdir().unwrap();
        let speeds = Speeds::open(dir.path());
        (0..5).for_each(|_| speeds.add(MODEL, speed(1_000, 100)));
        (0..3).for_each(|_| speeds.add(MODEL, speed(1_000_000, 100)));
        assert_eq!(speeds.of(MODEL), Some(speed(1_000, 100)));
        speeds.add(B256::repeat_byte(2), speed(1_000_000, LEAST_SECONDS - 1));
        speeds.add(B256::repeat_byte(2), Speed { bytes: LEAST_BYTES - 1, seconds: 1_000_000 });
        assert_eq!(speeds.of(B256::repeat_byte(2)), None, "too short, or too little: no price for ever");
    }

    #[test]
    fn requesters_cannot_make_it_grow() {
        let dir = tempfile::tempdir().unwrap();
        let speeds = Speeds::open(dir.path());
        for n in 0..(MODELS as u64 + 3) {
            speeds.add(B256::left_padding_from(&n.to_be_bytes()), speed(1, 100));
        }
        assert_eq!(speeds.known.lock().unwrap().len(), MODELS);
        assert_eq!(speeds.of(B256::ZERO), None);
    }
}
