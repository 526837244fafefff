//! Opening the dataset: ciphertext by root, the real stream, and everything the owner published
//! recomputed, with the reasons that the chain knows.

use licen_core::eip712::Domain;
use licen_core::job::Reason;
use licen_core::merkle::RootBuilder;
use licen_core::policy_manifest::PolicyManifest;
use licen_core::primitives::B256;
use licen_core::rows::{RowError, RowScanner};
use licen_seal::DatasetKey;
use licen_seal::rows::RowSalts;
use licen_seal::stream::{Decryptor, dataset_aad};

/// Why there is nothing to train on.
pub(super) type Broken = (Reason, String);

/// Decrypts, and compares rowsRoot, rowCount and byteCount.
pub(super) fn open(
    key: &DatasetKey,
    (domain, uid): (&Domain, &B256),
    ciphertext: &[u8],
    published: &PolicyManifest,
) -> Result<Vec<u8>, Broken> {
    let undecrypted = |error: licen_seal::SealError| (Reason::DatasetDecryptFailed, error.to_string());
    let mut text = Vec::new();
    let mut stream = Decryptor::new(key, &dataset_aad(domain, uid), ciphertext).map_err(undecrypted)?;
    while let Some(segment) = stream.next_segment().map_err(undecrypted)? {
        text.extend_from_slice(segment);
    }
    let mismatch = |what: &str| (Reason::DatasetMismatch, format!("the owner published another {what}"));
    let (root, rows, bytes) =
        commit(key, uid, &text).map_err(|e| (Reason::DatasetMismatch, e.to_string()))?;
    match () {
        () if bytes != published.byte_count() => Err(mismatch("byteCount")),
        () if rows != published.row_count() => Err(mismatch("rowCount")),
        () if root != published.rows_root() => Err(mismatch("rowsRoot")),
        () => Ok(text),
    }
}

fn commit(key: &DatasetKey, uid: &B256, text: &[u8]) -> Result<(B256, u64, u64), RowError> {
    let salts = RowSalts::new(key, uid);
    let mut tree = RootBuilder::default();
    let mut sink = |index, row: &[u8]| {
        // A leaf that cannot be made makes another root, which is refused.
        tree.push(salts.leaf(index, row).unwrap_or_default());
        Ok::<(), RowError>(())
    };
    let mut scanner = RowScanner::default();
    scanner.feed(text, &mut sink)?;
    let (rows, bytes) = scanner.finish(&mut sink)?;
    Ok((tree.finish().unwrap_or_default(), rows, bytes))
}
