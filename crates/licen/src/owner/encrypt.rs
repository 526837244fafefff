//! One pass over a JSONL file: check every row, commit to it, encrypt, hash the ciphertext, write
//! it beside its place. Memory does not grow with the file, but for the leaves of a preview.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use licen_core::eip712::Domain;
use licen_core::merkle::FileTreeBuilder;
use licen_core::policy_manifest::PreviewRow;
use licen_core::primitives::B256;
use licen_core::rows::{RowError, RowScanner};
use licen_seal::rows::RowSalts;
use licen_seal::stream::{Encryptor, dataset_aad};
use licen_seal::{DatasetKey, SealError};
use licen_storage::keccak::Keccak;

use crate::codes;
use crate::error::{CliError, Outcome};
use crate::owner::commitment::Commitment;

const READ_BYTES: usize = 1024 * 1024;

/// What publishing needs to know about the encrypted file.
#[derive(Debug)]
pub struct Encrypted {
    /// The ciphertext.
    pub path: PathBuf,
    /// Its 0G file root.
    pub dataset_root: B256,
    /// Root over salted row leaves.
    pub rows_root: B256,
    /// Rows.
    pub row_count: u64,
    /// Plaintext bytes.
    pub byte_count: u64,
    /// Rows the owner shows to everybody.
    pub preview: Vec<PreviewRow>,
    /// Whether the first row has a shape that training takes.
    pub trainable: bool,
}

enum Stop {
    Row(RowError),
    Seal(SealError),
}

impl From<RowError> for Stop {
    fn from(error: RowError) -> Self {
        Self::Row(error)
    }
}

/// Writes through to a file while naming what is written.
struct Named {
    file: File,
    tree: FileTreeBuilder<Keccak>,
}

impl Write for Named {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.file.write_all(data)?;
        self.tree.update(data);
        Ok(data.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Encrypts `plain` into `out` under `key`; `progress` hears the plaintext bytes done.
///
/// # Errors
/// A line that is not a row (line and column), an unreadable or empty file, a full disk. `out` is
/// removed again.
pub fn encrypt(
    plain: &Path,
    out: &Path,
    key: &DatasetKey,
    domain: &Domain,
    dataset_uid: &B256,
    preview: u64,
    progress: &mut dyn FnMut(u64),
) -> Outcome<Encrypted> {
    let done = pass(plain, out, key, domain, dataset_uid, preview, progress);
    if done.is_err() {
        let _ = std::fs::remove_file(out);
    }
    done
}

fn pass(
    plain: &Path,
    out: &Path,
    key: &DatasetKey,
    domain: &Domain,
    dataset_uid: &B256,
    preview: u64,
    progress: &mut dyn FnMut(u64),
) -> Outcome<Encrypted> {
    let shown = plain.display();
    let reading =
        |e: &std::io::Error| CliError::environment(codes::FILE, format!("cannot read {shown}")).because(e);
    let writing = |e: &dyn std::error::Error| {
        CliError::environment(codes::FILE, format!("cannot write {}", out.display()))
            .because(e)
            .hint("nothing was published; licen config tells where `state` is, it needs the size of the file")
    };
    let mut input = File::open(plain).map_err(|e| reading(&e))?;
    let file = File::create(out).map_err(|e| writing(&e))?;
    let named = Named { file, tree: FileTreeBuilder::new(Keccak::detect()) };
    let mut encryptor =
        Encryptor::new(key, &dataset_aad(domain, dataset_uid), named).map_err(|e| writing(&e))?;
    let mut rows = Commitment::new(RowSalts::new(key, dataset_uid), preview);
    let mut scanner = RowScanner::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut bytes = 0;
    let stopped = |stop: Stop| match stop {
        Stop::Row(e) => {
            CliError::refused(codes::BAD_ROWS, format!("{shown}: {e}")).hint(mended(&e, &plain.display()))
        }
        Stop::Seal(e) => CliError::of(codes::SEAL, "cannot commit to a row", &e),
    };
    loop {
        let n = input.read(&mut buffer).map_err(|e| reading(&e))?;
        if n == 0 {
            break;
        }
        scanner.feed(&buffer[..n], &mut |i, row| rows.push(i, row).map_err(Stop::Seal)).map_err(stopped)?;
        encryptor.write_all(&buffer[..n]).map_err(|e| writing(&e))?;
        bytes += n as u64;
        progress(bytes);
    }
    let (row_count, byte_count) =
        scanner.finish(&mut |i, row| rows.push(i, row).map_err(Stop::Seal)).map_err(stopped)?;
    let named = encryptor.finish().map_err(|e| writing(&e))?;
    named.file.sync_all().map_err(|e| writing(&e))?;
    let tree = named.tree.finish().map_err(|e| writing(&e))?;
    let trainable = rows.trainable();
    let (rows_root, preview) = rows.finish(row_count)?;
    Ok(Encrypted {
        path: out.to_path_buf(),
        dataset_root: tree.root,
        rows_root,
        row_count,
        byte_count,
        preview,
        trainable,
    })
}

/// What to do about a line that is not a row.
fn mended(error: &RowError, file: &dyn std::fmt::Display) -> String {
    match error {
        RowError::NotUtf8 { .. } => format!("iconv -f latin1 -t utf-8 {file} > utf8.jsonl, if it is Latin-1"),
        RowError::TooLong { .. } => "split the row into several".into(),
        RowError::NotJson { line, .. } => format!("sed -n {line}p {file} shows the line"),
        RowError::Empty | RowError::NotObject { .. } => {
            "every line must be one JSON object, for example {\"text\": \"...\"}".into()
        }
    }
}
