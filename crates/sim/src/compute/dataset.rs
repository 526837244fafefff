//! Opening the dataset: ciphertext by root, the real stream, and everything the owner published
//! recomputed, with the reasons that the chain knows.

use licen_core::job::Reason;
use licen_core::policy_manifest::PolicyManifest;
use licen_core::primitives::B256;
use licen_seal::DatasetKey;
use licen_seal::rows::{RowsKey, commit};
use licen_seal::stream::{Decryptor, dataset_aad};

/// Why there is nothing to train on.
pub(super) type Broken = (Reason, String);

/// Decrypts, and compares rowsRoot, rowCount and byteCount.
pub(super) fn open(
    key: &DatasetKey,
    (chain_id, uid): (u64, &B256),
    ciphertext: &[u8],
    published: &PolicyManifest,
) -> Result<Vec<u8>, Broken> {
    let undecrypted = |error: licen_seal::SealError| (Reason::DatasetDecryptFailed, error.to_string());
    let mut text = Vec::new();
    let mut stream = Decryptor::new(key, &dataset_aad(chain_id, uid), ciphertext).map_err(undecrypted)?;
    while let Some(segment) = stream.next_segment().map_err(undecrypted)? {
        text.extend_from_slice(segment);
    }
    let mismatch = |what: &str| (Reason::DatasetMismatch, format!("the owner published another {what}"));
    let found =
        commit(RowsKey::derive(key, uid), &text).map_err(|e| (Reason::DatasetMismatch, e.to_string()))?;
    match () {
        () if found.byte_count != published.byte_count() => Err(mismatch("byteCount")),
        () if found.row_count != published.row_count() => Err(mismatch("rowCount")),
        () if found.rows_root != published.rows_root() => Err(mismatch("rowsRoot")),
        () => Ok(text),
    }
}
