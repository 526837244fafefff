//! The commitment to a dataset's rows, made as they pass. Rows wait in batches, because many are hashed
//! at once several times faster than one by one.

use licen_core::merkle::{RootBuilder, prove};
use licen_core::policy_manifest::PreviewRow;
use licen_core::primitives::B256;
use licen_core::rows::row_leaves;
use licen_seal::SealError;
use licen_seal::rows::RowSalts;
use licen_storage::keccak::Keccak;

use crate::codes;
use crate::error::{CliError, Outcome};

/// Bytes of rows that wait at most, but for one row.
const BATCH_BYTES: usize = 256 * 1024;
/// Leaves kept for preview proofs: 32 MiB of them.
const MAX_PREVIEW_LEAVES: usize = 1_000_000;

/// Rows so far.
pub struct Commitment {
    salts: RowSalts,
    hasher: Keccak,
    root: RootBuilder<Keccak>,
    /// Rows that wait: one behind the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Rows committed to.
    done: u64,
    leaves: Vec<B256>,
    previewed: u64,
    shown: Vec<(u64, String)>,
    trainable: bool,
}

impl Commitment {
    /// No row yet; the first `previewed` rows will be shown to everybody.
    pub fn new(salts: RowSalts, previewed: u64) -> Self {
        Self {
            salts,
            hasher: Keccak::detect(),
            root: RootBuilder::new(Keccak::detect()),
            text: Vec::new(),
            ends: Vec::new(),
            done: 0,
            leaves: Vec::new(),
            previewed,
            shown: Vec::new(),
            trainable: false,
        }
    }

    /// Takes the next row; `index` counts from 0.
    ///
    /// # Errors
    /// [`SealError::SecretKey`], which never comes.
    pub fn push(&mut self, index: u64, row: &[u8]) -> Result<(), SealError> {
        if index == 0 {
            self.trainable = trainable(row);
        }
        if index < self.previewed {
            self.shown.push((index, String::from_utf8_lossy(row).into_owned()));
        }
        self.text.extend_from_slice(row);
        self.ends.push(self.text.len());
        if self.text.len() >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), SealError> {
        let salts: Vec<B256> =
            (self.done..).take(self.ends.len()).map(|i| self.salts.salt(i)).collect::<Result<_, _>>()?;
        let mut start = 0;
        let rows: Vec<&[u8]> =
            self.ends.iter().map(|end| &self.text[std::mem::replace(&mut start, *end)..*end]).collect();
        for leaf in row_leaves(&self.hasher, &salts, &rows) {
            self.root.push(leaf);
            if self.previewed > 0 && self.leaves.len() < MAX_PREVIEW_LEAVES {
                self.leaves.push(leaf);
            }
        }
        self.done += self.ends.len() as u64;
        self.text.clear();
        self.ends.clear();
        Ok(())
    }

    /// Whether the first row has the fields of one of the trainer's shapes.
    #[must_use]
    pub fn trainable(&self) -> bool {
        self.trainable
    }

    /// The root over `row_count` rows, and the previews with their proofs.
    ///
    /// # Errors
    /// No rows, or a preview of more rows than proofs are kept for.
    pub fn finish(mut self, row_count: u64) -> Outcome<(B256, Vec<PreviewRow>)> {
        let cannot = |e: &dyn std::error::Error| {
            CliError::environment(codes::SEAL, "cannot commit to the rows").because(e)
        };
        self.flush().map_err(|e| cannot(&e))?;
        if !self.shown.is_empty() && self.leaves.len() as u64 != row_count {
            let message =
                format!("a preview needs at most {MAX_PREVIEW_LEAVES} rows, the file has {row_count}");
            return Err(CliError::refused(codes::USAGE, message).hint("leave out --preview"));
        }
        let mut preview = Vec::new();
        for (index, row) in std::mem::take(&mut self.shown) {
            let proof = prove(&self.leaves, index).map_err(|e| cannot(&e))?;
            let salt = self.salts.salt(index).map_err(|e| cannot(&e))?;
            preview.push(PreviewRow { index, row, salt, proof });
        }
        Ok((self.root.finish().map_err(|e| cannot(&e))?, preview))
    }
}

/// Whether a row has the fields of one of the trainer's shapes; what is in them only compute judges.
fn trainable(row: &[u8]) -> bool {
    let Ok(row) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(row) else {
        return false;
    };
    [&["text"][..], &["messages"], &["prompt", "completion"], &["instruction", "output"]]
        .iter()
        .any(|shape| shape.iter().all(|field| row.contains_key(*field)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use licen_core::merkle::tree_root;
    use licen_seal::DatasetKey;

    #[test]
    fn batches_do_not_change_the_root() {
        let (key, uid) = (DatasetKey::generate().unwrap(), B256::repeat_byte(1));
        let rows: Vec<Vec<u8>> = (0..700_u32).map(|i| vec![b'x'; 1 + (i as usize * 37) % 3_000]).collect();
        let salts = RowSalts::new(&key, &uid);
        let one_by_one: Vec<B256> = (0..).zip(&rows).map(|(i, row)| salts.leaf(i, row).unwrap()).collect();
        let mut commitment = Commitment::new(salts, 2);
        for (i, row) in (0..).zip(&rows) {
            commitment.push(i, row).unwrap();
        }
        assert!(commitment.done > 0 && !commitment.ends.is_empty(), "some are done, some wait");
        let (root, preview) = commitment.finish(700).unwrap();
        assert_eq!(root, tree_root(&one_by_one).unwrap());
        assert_eq!(preview.len(), 2);
        assert_eq!(preview[1].proof, prove(&one_by_one, 1).unwrap());
    }
}
