//! Batches given as token ids: one int64 tensor [steps, batch, seq].

use crate::error::{Error, Result};
use crate::sample::Sample;
use crate::weights::TensorStore;
use std::path::Path;

/// Reads the tensor `tokens` of a safetensors file: one batch per step, every token learned (labels are the inputs).
///
/// # Errors
/// [`Error::TokenFile`], [`Error::TokenOutOfRange`] for negative ids, [`Error::Io`].
pub fn read_batches(path: &Path) -> Result<Vec<Vec<Sample>>> {
    let refuse = |error: Error| match error {
        Error::Weights(reason) => Error::TokenFile(reason),
        other => other,
    };
    let (shape, ids) =
        TensorStore::open(path).and_then(|mut store| store.read_i64("tokens")).map_err(refuse)?;
    let [_, batch, length] = shape[..] else {
        return Err(Error::TokenFile(format!("`tokens` has shape {shape:?}, expected [steps, batch, seq]")));
    };
    if ids.is_empty() || length < 2 {
        return Err(Error::TokenFile(format!("`tokens` of shape {shape:?} has nothing to learn")));
    }
    let id =
        |id: &i64| u32::try_from(*id).map_err(|_| Error::TokenOutOfRange { id: *id, vocabulary: 1 << 32 });
    let rows: Result<Vec<Sample>> = ids
        .chunks_exact(length)
        .map(|row| row.iter().map(id).collect::<Result<_>>().map(Sample::all))
        .collect();
    Ok(rows?.chunks(batch).map(<[Sample]>::to_vec).collect())
}
