//! One pass over a JSONL file: check every row and commit to it on one thread; encrypt, hash the
//! ciphertext and write it beside its place on another. Rows stay where they are read to, in a segment
//! of the stream that is encrypted in place. Memory does not grow with the file, but for the leaves of
//! a preview.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use licen_core::merkle::FileTreeBuilder;
use licen_core::policy_manifest::PreviewRow;
use licen_core::primitives::B256;
use licen_core::rows::{RowError, RowScanner};
use licen_seal::rows::RowsKey;
use licen_seal::stream::{Encryptor, Segment, dataset_aad};
use licen_seal::{DatasetKey, SealError};
use licen_storage::keccak::Keccak;

use crate::owner::commitment::Commitment;
use crate::session::codes;
use crate::session::error::{CliError, Outcome};

/// Small enough that a piece is still in a core's cache when the next step takes it.
const PIECE_BYTES: usize = 256 * 1024;
/// Segments that may wait between the two threads: each has one in hand, and more would only take memory.
const WAITING: usize = 0;

/// What publishing needs to know about the encrypted file.
#[derive(Debug)]
pub struct Encrypted {
    /// The ciphertext.
    pub path: PathBuf,
    /// Its 0G file root.
    pub dataset_root: B256,
    /// Its length.
    pub stored_bytes: u64,
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

/// Writes through to a file while naming what is written.
struct Named {
    file: File,
    tree: FileTreeBuilder<Keccak>,
    bytes: u64,
}

impl Write for Named {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        for piece in data.chunks(PIECE_BYTES) {
            self.tree.update(piece);
            self.file.write_all(piece)?;
        }
        self.bytes += data.len() as u64;
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
    chain_id: u64,
    dataset_uid: &B256,
    preview: u64,
    progress: &mut dyn FnMut(u64),
) -> Outcome<Encrypted> {
    let done = pass(plain, out, key, chain_id, dataset_uid, preview, progress);
    if done.is_err() {
        let _ = std::fs::remove_file(out);
    }
    done
}

fn pass(
    plain: &Path,
    out: &Path,
    key: &DatasetKey,
    chain_id: u64,
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
    let input = File::open(plain).map_err(|e| reading(&e))?;
    let file = File::create(out).map_err(|e| writing(&e))?;
    let tree = FileTreeBuilder::new(Keccak::detect());
    let named = Named { file, tree, bytes: 0 };
    let encryptor =
        Encryptor::new(key, &dataset_aad(chain_id, dataset_uid), named).map_err(|e| writing(&e))?;
    let mut rows = Commitment::new(RowsKey::derive(key, dataset_uid), preview);
    let (read, written) = std::thread::scope(|scope| {
        let (filled, arriving) = sync_channel(WAITING);
        let (done, emptied) = channel();
        let writer = scope.spawn(move || write_segments(encryptor, &arriving, &done));
        let read = read_segments(input, &filled, &emptied, &mut rows, progress);
        drop(filled);
        (read, writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let (row_count, byte_count) = read.map_err(|stop| match stop {
        Stop::Row(e) => {
            CliError::refused(codes::BAD_ROWS, format!("{shown}: {e}")).hint(mended(&e, &plain.display()))
        }
        Stop::Read(e) => reading(&e),
    })?;
    let named = written.map_err(|e| writing(&e))?;
    let stored_bytes = named.bytes;
    let tree = named.tree.finish().map_err(|e| writing(&e))?;
    let trainable = rows.trainable();
    let (rows_root, preview) = rows.finish(row_count)?;
    Ok(Encrypted {
        path: out.to_path_buf(),
        dataset_root: tree.root,
        stored_bytes,
        rows_root,
        row_count,
        byte_count,
        preview,
        trainable,
    })
}

/// Why reading ends early.
enum Stop {
    Row(RowError),
    Read(io::Error),
}

impl From<RowError> for Stop {
    fn from(error: RowError) -> Self {
        Self::Row(error)
    }
}

/// Reads the file, commits to its rows and passes every segment on; gives rows and bytes. Where nobody
/// takes the segments any more it ends early with what was read: the writer has the error.
fn read_segments(
    mut input: File,
    filled: &SyncSender<Segment>,
    emptied: &Receiver<Segment>,
    rows: &mut Commitment,
    progress: &mut dyn FnMut(u64),
) -> Result<(u64, u64), Stop> {
    let mut scanner = RowScanner::default();
    let mut bytes = 0;
    let mut sink = |first, batch: &[&[u8]]| {
        rows.push(first, batch);
        Ok(())
    };
    for index in 0.. {
        let mut segment = emptied.try_recv().unwrap_or_default().begin(index);
        loop {
            let piece = segment.read_from(&mut input, PIECE_BYTES).map_err(Stop::Read)?;
            if piece.is_empty() {
                break;
            }
            bytes += piece.len() as u64;
            scanner.feed(piece, &mut sink)?;
        }
        let ended = !segment.is_full();
        if !segment.is_empty() && filled.send(segment).is_err() {
            return Ok((0, bytes));
        }
        progress(bytes);
        if ended {
            break;
        }
    }
    scanner.finish(&mut sink)
}

/// Encrypts and writes every segment, and gives its room back; the file is on disk at the end.
fn write_segments(
    mut encryptor: Encryptor<Named>,
    arriving: &Receiver<Segment>,
    done: &Sender<Segment>,
) -> Result<Named, SealError> {
    for segment in arriving {
        // The reader may have ended; then the room is not needed again.
        let _ = done.send(encryptor.take(segment)?);
    }
    let named = encryptor.finish()?;
    named.file.sync_all()?;
    Ok(named)
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
