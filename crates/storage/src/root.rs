//! The file root of a file or reader, in one pass and constant memory.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use licen_core::merkle::{FileTree, FileTreeBuilder, SEGMENT_BYTES};

use crate::error::{Error, Result};
use crate::keccak::Keccak;

/// Whole segments, so that they are hashed where they were read.
const READ_BYTES: usize = 4 * SEGMENT_BYTES;

/// The tree over everything `reader` yields. `progress` hears the bytes read so far. `name` stands
/// in errors.
pub fn of_reader(mut reader: impl Read, name: &Path, mut progress: impl FnMut(u64)) -> Result<FileTree> {
    let mut builder = FileTreeBuilder::new(Keccak::detect());
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let filled = fill(&mut reader, &mut buffer).map_err(|source| Error::io(name, source))?;
        builder.update(&buffer[..filled]);
        progress(builder.bytes());
        if filled < buffer.len() {
            break;
        }
    }
    builder.finish().map_err(|_| Error::Empty)
}

/// The tree over the file at `path`.
pub fn of_path(path: impl AsRef<Path>, progress: impl FnMut(u64)) -> Result<FileTree> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    of_reader(file, path, progress)
}

/// Reads until `buffer` is full or the input ends.
pub(crate) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
