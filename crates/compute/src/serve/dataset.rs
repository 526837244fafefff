//! The plaintext: decrypted into memory, held against what its owner published, wiped on drop. It is
//! never written anywhere.

use std::io::Read;

use licen_core::job::Reason;
use licen_core::policy_manifest::PolicyManifest;
use licen_core::primitives::B256;
use licen_core::rows::RowError;
use licen_seal::rows::{RowsCommitment, RowsKey, commit};
use licen_seal::stream::{Decryptor, StreamAad, ciphertext_len};
use licen_seal::{DatasetKey, SealError};
use zeroize::Zeroizing;

use super::error::Broken;

/// Rows of one dataset, verified.
pub(super) struct Rows {
    text: Zeroizing<Vec<u8>>,
    count: u64,
}

impl Rows {
    /// The JSON Lines file, byte for byte as the owner encrypted it.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Rows, blank lines not counted.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

/// How long the ciphertext of the published bytes is. The dataset's root does not say it: zeros that
/// storage appended or cut within the padding leave the root as it is.
///
/// # Errors
/// `DATASET_MISMATCH` where no stream holds so many bytes.
pub(super) fn published_len(published: &PolicyManifest) -> Result<u64, Broken> {
    let said = published.byte_count();
    ciphertext_len(said).ok_or_else(|| {
        Broken::new(Reason::DatasetMismatch, format!("no encrypted stream holds the {said} bytes published"))
    })
}

/// Decrypts as much of `ciphertext` as was published and recomputes rowsRoot, rowCount and byteCount.
///
/// # Errors
/// `STORAGE_DOWNLOAD_FAILED` where there is less of it, `DATASET_DECRYPT_FAILED` where it does not
/// open under the key, `DATASET_MISMATCH` where it opens and is not what the owner committed to.
pub(super) fn open_rows(
    key: &DatasetKey,
    (aad, dataset_uid): (&StreamAad, &B256),
    ciphertext: &mut impl Read,
    ciphertext_len: u64,
    published: &PolicyManifest,
) -> Result<Rows, Broken> {
    let wanted = published_len(published)?;
    if ciphertext_len < wanted {
        return Err(Broken::new(Reason::StorageDownloadFailed, too_short(ciphertext_len, wanted)));
    }
    let text = decrypt(key, aad, &mut ciphertext.take(wanted), published.byte_count())?;
    let mismatch = Broken::because::<String>(Reason::DatasetMismatch);
    let found = committed(key, dataset_uid, &text)?;
    let count = found.row_count;
    if count != published.row_count() {
        let said = published.row_count();
        return Err(mismatch(format!("the dataset has {count} rows, the owner published {said}")));
    }
    if found.rows_root != published.rows_root() {
        return Err(mismatch("the rows are not those under the published rowsRoot".into()));
    }
    Ok(Rows { text, count })
}

/// What is said of a blob that ends before its ciphertext does.
pub(super) fn too_short(have: u64, wanted: u64) -> String {
    format!("storage gave {have} bytes of a ciphertext of {wanted}")
}

fn decrypt(
    key: &DatasetKey,
    aad: &StreamAad,
    ciphertext: &mut impl Read,
    length: u64,
) -> Result<Zeroizing<Vec<u8>>, Broken> {
    let failed = |error: SealError| match error {
        SealError::Io(error) => Broken::new(Reason::StorageDownloadFailed, error),
        other => Broken::new(Reason::DatasetDecryptFailed, other),
    };
    let length = usize::try_from(length).map_err(Broken::because(Reason::ComputeTaskFailed))?;
    // Exactly as much as is needed, so that growing never leaves a copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(length));
    let mut stream = Decryptor::new(key, aad, ciphertext).map_err(failed)?;
    while let Some(segment) = stream.next_segment().map_err(failed)? {
        if text.len() + segment.len() > length {
            return Err(Broken::new(Reason::DatasetDecryptFailed, "the stream is longer than its file"));
        }
        text.extend_from_slice(segment);
    }
    Ok(text)
}

/// What publishing committed to. Messages name lines, never what stands in them.
fn committed(key: &DatasetKey, dataset_uid: &B256, text: &[u8]) -> Result<RowsCommitment, Broken> {
    commit(RowsKey::derive(key, dataset_uid), text)
        .map_err(|error| Broken::new(Reason::DatasetMismatch, without_content(&error)))
}

fn without_content(error: &RowError) -> String {
    match error {
        RowError::Empty => "the dataset holds no rows".into(),
        RowError::NotUtf8 { line, .. }
        | RowError::NotJson { line, .. }
        | RowError::NotObject { line, .. }
        | RowError::TooLong { line, .. } => format!("line {line} is not a row of JSON Lines"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use licen_core::abi::Policy;
    use licen_core::policy_manifest::{Description, Facts};
    use licen_seal::stream::{dataset_aad, encrypt};

    const TEXT: &[u8] = b"{\"text\":\"one\"}\n\n{\"text\":\"two\"}\r\n{\"text\":\"three\"}";

    fn published(rows_root: B256, row_count: u64, byte_count: u64) -> PolicyManifest {
        let facts = Facts { rows_root, row_count, byte_count, ..Facts::default() };
        PolicyManifest::build(&Description::default(), facts, 1, &Policy::default(), &[]).unwrap()
    }

    fn open(text: &[u8], published: impl Fn(B256) -> PolicyManifest) -> Result<Rows, Broken> {
        let (key, uid) = (DatasetKey::generate().ok().unwrap(), B256::repeat_byte(3));
        let aad = dataset_aad(31_337, &uid);
        let mut ciphertext = Vec::new();
        encrypt(&key, &aad, &mut &text[..], &mut ciphertext).unwrap();
        let root = committed(&key, &uid, TEXT).ok().unwrap().rows_root;
        let length = ciphertext.len() as u64;
        open_rows(&key, (&aad, &uid), &mut &ciphertext[..], length, &published(root))
    }

    #[test]
    fn what_was_published_opens() {
        let rows = open(TEXT, |root| published(root, 3, TEXT.len() as u64)).ok().unwrap();
        assert_eq!((rows.count(), rows.text()), (3, TEXT));
    }

    #[test]
    fn an_owner_cannot_sell_what_is_not_there() {
        let bytes = TEXT.len() as u64;
        let reason = |text: &[u8], f: &dyn Fn(B256) -> PolicyManifest| open(text, f).err().unwrap().reason;
        assert_eq!(reason(TEXT, &|root| published(root, 3, bytes - 1)), Reason::DatasetDecryptFailed);
        assert_eq!(reason(TEXT, &|root| published(root, 4, bytes)), Reason::DatasetMismatch);
        assert_eq!(reason(TEXT, &|_| published(B256::ZERO, 3, bytes)), Reason::DatasetMismatch);
        let other = [&TEXT[..TEXT.len() - 2], b"!}"].concat();
        let broken = open(&other, |root| published(root, 3, bytes)).err().unwrap();
        assert_eq!(broken.reason, Reason::DatasetMismatch);
        assert!(!broken.message.contains("three"), "{}", broken.message);
        assert_eq!(reason(b"\n\n", &|root| published(root, 0, 2)), Reason::DatasetMismatch);
    }

    #[test]
    fn what_storage_appends_or_cuts_is_not_the_owners_fault() {
        let (key, uid) = (DatasetKey::generate().ok().unwrap(), B256::repeat_byte(3));
        let aad = dataset_aad(1, &uid);
        let mut ciphertext = Vec::new();
        encrypt(&key, &aad, &mut &TEXT[..], &mut ciphertext).unwrap();
        let said = published(committed(&key, &uid, TEXT).ok().unwrap().rows_root, 3, TEXT.len() as u64);
        let open = |bytes: &[u8]| open_rows(&key, (&aad, &uid), &mut &bytes[..], bytes.len() as u64, &said);
        let padded = [&ciphertext[..], &[0; 100]].concat();
        assert_eq!(open(&padded).ok().unwrap().text(), TEXT);
        let broken = open(&ciphertext[..ciphertext.len() - 1]).err().unwrap();
        assert_eq!(broken.reason, Reason::StorageDownloadFailed);
    }

    #[test]
    fn another_key_or_a_changed_byte_opens_nothing() {
        let (key, other) = (DatasetKey::generate().ok().unwrap(), DatasetKey::generate().ok().unwrap());
        let uid = B256::repeat_byte(3);
        let aad = dataset_aad(1, &uid);
        let mut ciphertext = Vec::new();
        encrypt(&key, &aad, &mut &TEXT[..], &mut ciphertext).unwrap();
        let (said, length) = (published(B256::ZERO, 3, TEXT.len() as u64), ciphertext.len() as u64);
        let broken = open_rows(&other, (&aad, &uid), &mut &ciphertext[..], length, &said).err().unwrap();
        assert_eq!(broken.reason, Reason::DatasetDecryptFailed);
        ciphertext[60] ^= 1;
        let broken = open_rows(&key, (&aad, &uid), &mut &ciphertext[..], length, &said).err().unwrap();
        assert_eq!(broken.reason, Reason::DatasetDecryptFailed);
    }
}
