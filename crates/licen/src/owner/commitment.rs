//! The commitment to a dataset's rows as an owner makes it: with previews that prove themselves.

use licen_core::policy_manifest::PreviewRow;
use licen_core::primitives::B256;
use licen_core::row_tree::prove;
use licen_seal::rows::{RowCommitter, RowsKey};

use crate::session::codes;
use crate::session::error::{CliError, Outcome};

/// Leaves kept for preview proofs: 32 MiB of them.
const MAX_PREVIEW_LEAVES: usize = 1_000_000;

/// Rows so far.
pub struct Commitment {
    rows: RowCommitter,
    previewed: u64,
    shown: Vec<(u64, String)>,
    trainable: bool,
}

impl Commitment {
    /// No row yet; the first `previewed` rows will be shown to everybody.
    pub fn new(key: RowsKey, previewed: u64) -> Self {
        let keep = if previewed > 0 { MAX_PREVIEW_LEAVES } else { 0 };
        Self { rows: RowCommitter::new(key, keep), previewed, shown: Vec::new(), trainable: false }
    }

    /// Takes the next rows; `first` is the index of their first, from 0.
    pub fn push(&mut self, first: u64, rows: &[&[u8]]) {
        if first == 0 {
            self.trainable = rows.first().is_some_and(|row| trainable(row));
        }
        let shown = (first..self.previewed).zip(rows);
        self.shown.extend(shown.map(|(index, row)| (index, String::from_utf8_lossy(row).into_owned())));
        self.rows.push(rows);
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
    pub fn finish(self, row_count: u64) -> Outcome<(B256, Vec<PreviewRow>)> {
        let cannot = |e: &dyn std::error::Error| {
            CliError::environment(codes::SEAL, "cannot commit to the rows").because(e)
        };
        let salts: Vec<B256> = self.shown.iter().map(|(index, _)| self.rows.salt(*index)).collect();
        let (root, leaves) = self.rows.finish().map_err(|e| cannot(&e))?;
        if !self.shown.is_empty() && leaves.len() as u64 != row_count {
            let message =
                format!("a preview needs at most {MAX_PREVIEW_LEAVES} rows, the file has {row_count}");
            return Err(CliError::refused(codes::USAGE, message).hint("leave out --preview"));
        }
        let mut preview = Vec::new();
        for ((index, row), salt) in self.shown.into_iter().zip(salts) {
            let proof = prove(&leaves, index).map_err(|e| cannot(&e))?;
            preview.push(PreviewRow { index, row, salt, proof });
        }
        Ok((root, preview))
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
