//! Room for the plaintext of one segment, which becomes its ciphertext in place.

use std::io::{self, Read};

use zeroize::Zeroizing;

use super::{SEGMENT_BYTES, TAG_BYTES, segment_capacity};

/// One segment of a stream. A file is read straight into it and looked at there before
/// [`super::Encryptor::take`] encrypts it in place, so that no byte is copied on its way. Wiped on drop.
pub struct Segment {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) len: usize,
    pub(super) index: u64,
}

impl Default for Segment {
    fn default() -> Self {
        Self { bytes: Zeroizing::new(vec![0; SEGMENT_BYTES]), len: 0, index: 0 }
    }
}

impl Segment {
    /// Empties it for segment `index` of a stream, from 0: the first one has room for less.
    #[must_use]
    pub fn begin(mut self, index: u64) -> Self {
        self.restart(index);
        self
    }

    /// Reads at most `most` bytes more and gives them. None means that the source ends or the segment is full.
    ///
    /// # Errors
    /// Reading.
    pub fn read_from(&mut self, source: &mut impl Read, most: usize) -> io::Result<&[u8]> {
        let (start, end) = (self.len, self.plain_capacity().min(self.len.saturating_add(most)));
        self.len += read_some(source, &mut self.bytes[start..end])?;
        Ok(&self.bytes[start..self.len])
    }

    /// Whether there is no plaintext in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the next byte belongs to the next segment.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len == self.plain_capacity()
    }

    pub(super) fn restart(&mut self, index: u64) {
        (self.len, self.index) = (0, index);
    }

    /// Takes as much of `data` as there is room for; gives how much that was.
    pub(super) fn copy_from(&mut self, data: &[u8]) -> usize {
        let n = data.len().min(self.plain_capacity() - self.len);
        self.bytes[self.len..self.len + n].copy_from_slice(&data[..n]);
        self.len += n;
        n
    }

    fn plain_capacity(&self) -> usize {
        segment_capacity(self.index) - TAG_BYTES
    }
}

pub(super) fn read_some(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
