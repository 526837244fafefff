//! The one tar of a set of files: ustar, regular files only, sorted by the bytes of their path, mode
//! 0644, uid, gid and mtime 0, two zero blocks at the end and nothing behind them.
//!
//! GNU tar writes the same bytes with `-b1 --format=ustar --mode=0644 --owner=0 --group=0
//! --numeric-owner --mtime=@0`, given the paths in order (none of them longer than 100 bytes).
//!
//! Equal sets of files give equal bytes and therefore equal file roots, wherever they were packed. The
//! reader keeps that promise from its side: it writes each header again from the path and size it
//! read, and refuses the archive if a single byte differs. So whatever it accepts, [`Writer`] could
//! have written, and links, devices, absolute paths, `..`, extensions and padding tricks need no
//! rules of their own.

mod dir;
mod header;
mod read;

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::path::Path;

use crate::error::{Error, Result};
pub use dir::{pack_dir, unpack_dir};
pub use read::{Entry, Limits, Reader, read_all};

const BLOCK: usize = 512;
/// The largest size that eleven octal digits hold.
pub const MAX_ENTRY_BYTES: u64 = (1 << 33) - 1;

/// Writes entries, which must come in order.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    names: Names,
}

impl<W: Write> Writer<W> {
    pub fn new(out: W) -> Self {
        Self { out, names: Names::default() }
    }

    /// Adds a file of exactly `size` bytes; `content` must yield that many and no more.
    pub fn entry(&mut self, path: &str, size: u64, content: impl Read) -> Result<()> {
        let refuse = |reason| Error::TarEntry { path: path.into(), reason };
        self.names.admit(path).map_err(refuse)?;
        if size > MAX_ENTRY_BYTES {
            return Err(refuse("it is longer than ustar can say"));
        }
        let header = header::encode(path, size).ok_or_else(|| refuse("the path is too long for ustar"))?;
        let at = |source| Error::io(Path::new(path), source);
        self.out.write_all(&header).map_err(at)?;
        // One byte more than announced is enough to see that a file grew while it was read.
        let copied = io::copy(&mut content.take(size + 1), &mut Exact { out: &mut self.out, left: size });
        if copied.map_err(at)? != size {
            return Err(refuse("its length changed while it was read"));
        }
        self.out.write_all(&[0; BLOCK][..padding(size)]).map_err(at)
    }

    /// Ends the archive and hands the output back.
    pub fn finish(mut self) -> Result<W> {
        self.out.write_all(&[0; 2 * BLOCK]).map_err(|source| Error::io(Path::new("the archive"), source))?;
        Ok(self.out)
    }
}

/// Passes `left` bytes on and counts the rest without writing it.
struct Exact<'a, W> {
    out: &'a mut W,
    left: u64,
}

impl<W: Write> Write for Exact<'_, W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let wanted = data.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.out.write_all(&data[..wanted])?;
        self.left -= wanted as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Packs files that are in memory, in any order.
pub fn pack(files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut files: Vec<_> = files.iter().collect();
    files.sort_by_key(|(path, _)| path.as_bytes());
    let mut writer = Writer::new(Vec::new());
    for (path, content) in files {
        writer.entry(path, content.len() as u64, *content)?;
    }
    writer.finish()
}

/// The paths so far, and the rules for the next one.
#[derive(Debug, Default)]
struct Names {
    last: String,
    files: HashSet<String>,
}

impl Names {
    fn admit(&mut self, path: &str) -> Result<(), &'static str> {
        check_path(path)?;
        if path.as_bytes() <= self.last.as_bytes() {
            return Err("paths must ascend and not repeat");
        }
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        if parents.into_iter().any(|parent| self.files.contains(parent)) {
            return Err("a file and a folder have the same path");
        }
        self.last = path.into();
        self.files.insert(path.into());
        Ok(())
    }
}

/// Paths that mean the same file, inside the folder, on every system.
fn check_path(path: &str) -> Result<(), &'static str> {
    if path.chars().any(|c| c.is_control() || c == '\\' || c == ':') {
        return Err("the path has a control character, a backslash or a colon");
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("the path is absolute, or has an empty, `.` or `..` part");
    }
    Ok(())
}

/// Zeros that fill the last block of a file.
fn padding(size: u64) -> usize {
    (size.next_multiple_of(BLOCK as u64) - size) as usize
}
