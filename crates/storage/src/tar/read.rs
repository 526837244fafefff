use std::io::{self, Read};

use super::{BLOCK, Names, header, padding};
use crate::error::{Error, Result};
use crate::root::fill;

/// What a reader is willing to take from a stranger.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub entries: usize,
    pub entry_bytes: u64,
    pub total_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 10_000, entry_bytes: super::MAX_ENTRY_BYTES, total_bytes: 64 << 30 }
    }
}

/// A file of an archive. Its content is read from the [`Reader`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub path: String,
    pub size: u64,
}

/// Reads an archive that [`super::Writer`] could have written, and nothing else. That the *end* is
/// right is known only when [`Reader::next_entry`] has returned `None`.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    limits: Limits,
    names: Names,
    offset: u64,
    /// Content of the current file that was not read yet.
    left: u64,
    /// Zeros behind it.
    padding: usize,
    entries: usize,
    total: u64,
}

impl<R: Read> Reader<R> {
    pub fn new(input: R, limits: Limits) -> Self {
        let names = Names::default();
        Self { input, limits, names, offset: 0, left: 0, padding: 0, entries: 0, total: 0 }
    }

    /// Goes to the next file; what was left of the current one is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        self.skip()?;
        let mut block = [0; BLOCK];
        self.exact(&mut block)?;
        if block == [0; BLOCK] {
            self.end()?;
            return Ok(None);
        }
        let start = self.offset - BLOCK as u64;
        let refuse = |reason| Error::Tar { offset: start, reason };
        let (path, size) = header::decode(&block).ok_or_else(|| refuse("the header has no path or size"))?;
        self.names.admit(&path).map_err(refuse)?;
        if header::encode(&path, size) != Some(block) {
            return Err(refuse("the header is not the one for its path and size"));
        }
        self.entries += 1;
        self.total = self.total.saturating_add(size);
        let limits = &self.limits;
        if self.entries > limits.entries || size > limits.entry_bytes || self.total > limits.total_bytes {
            return Err(refuse("there are more or longer files than allowed"));
        }
        (self.left, self.padding) = (size, padding(size));
        Ok(Some(Entry { path, size }))
    }

    fn skip(&mut self) -> Result<()> {
        io::copy(self, &mut io::sink()).map_err(|source| Error::io("the archive", source))?;
        let mut zeros = [0; BLOCK];
        let zeros = &mut zeros[..std::mem::take(&mut self.padding)];
        self.exact(zeros)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(Error::Tar { offset: self.offset, reason: "the padding of a file is not zero" });
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let mut tail = [0; BLOCK + 1];
        let filled = fill(&mut self.input, &mut tail).map_err(|source| Error::io("the archive", source))?;
        if filled != BLOCK || tail != [0; BLOCK + 1] {
            let reason = "it must end with exactly two zero blocks";
            return Err(Error::Tar { offset: self.offset, reason });
        }
        Ok(())
    }

    fn exact(&mut self, bytes: &mut [u8]) -> Result<()> {
        let filled = fill(&mut self.input, bytes).map_err(|source| Error::io("the archive", source))?;
        self.offset += filled as u64;
        if filled < bytes.len() {
            return Err(Error::Tar { offset: self.offset, reason: "it ends too early" });
        }
        Ok(())
    }
}

/// The content of the current file.
impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.input.read(&mut buffer[..wanted])?;
        if count == 0 {
            let offset = self.offset;
            return Err(Error::Tar { offset, reason: "it ends inside a file" }.into_io());
        }
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// All files, in memory.
pub fn read_all(input: impl Read, limits: Limits) -> Result<Vec<(String, Vec<u8>)>> {
    let mut reader = Reader::new(input, limits);
    let mut files = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map_err(|source| Error::io(&entry.path, source))?;
        files.push((entry.path, content));
    }
    Ok(files)
}
