//! Encrypting a stream.

use std::io::{self, Read, Write};

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::{HEADER_BYTES, SEGMENT_BYTES, SegmentCipher, StreamAad, StreamKey, TAG_BYTES};
use super::{MAX_SEGMENTS, segment_capacity};
use crate::error::SealError;

/// Encrypts what is written to it. [`Encryptor::finish`] writes the last segment; without it the
/// stream stays incomplete and no reader accepts it.
pub struct Encryptor<W: Write> {
    inner: W,
    cipher: SegmentCipher,
    buffer: Zeroizing<Vec<u8>>,
    len: usize,
    index: u64,
    failed: bool,
}

impl<W: Write> Encryptor<W> {
    /// Starts a stream: writes its header.
    ///
    /// # Errors
    /// Randomness or writing.
    pub fn new(key: &impl StreamKey, aad: &StreamAad, inner: W) -> Result<Self, SealError> {
        let mut header = [0; HEADER_BYTES];
        rand::fill(&mut header[1..]).map_err(|_| SealError::Random)?;
        header[0] = HEADER_BYTES as u8;
        Self::with_header(key, aad, inner, header)
    }

    /// With a given salt and nonce prefix, which must never be used twice under one key.
    pub(super) fn with_header(
        key: &impl StreamKey,
        aad: &StreamAad,
        mut inner: W,
        header: [u8; HEADER_BYTES],
    ) -> Result<Self, SealError> {
        let cipher = SegmentCipher::from_header(key.secret(), aad, &header)?;
        inner.write_all(&header)?;
        Ok(Self {
            inner,
            cipher,
            buffer: Zeroizing::new(vec![0; SEGMENT_BYTES]),
            len: 0,
            index: 0,
            failed: false,
        })
    }

    /// Encrypts all that `source` has left, reading straight into the segment buffer. Returns how
    /// many bytes that was.
    ///
    /// # Errors
    /// Reading, writing, or a stream beyond 2^32 segments.
    pub fn read_from(&mut self, source: &mut impl Read) -> Result<u64, SealError> {
        let mut total = 0;
        loop {
            // A full segment can only be closed when it is known whether another follows.
            if self.len == self.plain_capacity() {
                let mut next = [0];
                if read_some(source, &mut next)? == 0 {
                    return Ok(total);
                }
                self.write_all(&next)?;
                total += 1;
            }
            let capacity = self.plain_capacity();
            let n = read_some(source, &mut self.buffer[self.len..capacity])?;
            if n == 0 {
                return Ok(total);
            }
            self.len += n;
            total += n as u64;
        }
    }

    /// Writes the last segment and gives the writer back.
    ///
    /// # Errors
    /// Writing.
    pub fn finish(mut self) -> Result<W, SealError> {
        self.end_segment(true)?;
        self.inner.flush()?;
        Ok(self.inner)
    }

    fn plain_capacity(&self) -> usize {
        segment_capacity(self.index) - TAG_BYTES
    }

    pub(super) fn end_segment(&mut self, last: bool) -> Result<(), SealError> {
        if self.failed {
            return Err(SealError::StreamFailed);
        }
        // Set first: after a failed write the buffer holds ciphertext and this nonce is spent.
        self.failed = true;
        let index = u32::try_from(self.index).map_err(|_| SealError::StreamTooLong)?;
        if !last && self.index + 1 >= MAX_SEGMENTS {
            return Err(SealError::StreamTooLong);
        }
        self.cipher.seal(index, last, &mut self.buffer, self.len)?;
        self.inner.write_all(&self.buffer[..self.len + TAG_BYTES])?;
        self.index += 1;
        self.len = 0;
        self.failed = last;
        Ok(())
    }
}

impl<W: Write> Write for Encryptor<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.is_empty() {
            return Ok(0);
        }
        if self.len == self.plain_capacity() {
            self.end_segment(false)?;
        }
        let n = data.len().min(self.plain_capacity() - self.len);
        self.buffer[self.len..self.len + n].copy_from_slice(&data[..n]);
        self.len += n;
        Ok(n)
    }

    /// Flushes what is behind; a segment that is not full stays here.
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Encrypts `source` to `sink`; returns the plaintext length.
///
/// # Errors
/// See [`Encryptor`].
pub fn encrypt(
    key: &impl StreamKey,
    aad: &StreamAad,
    source: &mut impl Read,
    sink: &mut impl Write,
) -> Result<u64, SealError> {
    let mut encryptor = Encryptor::new(key, aad, sink)?;
    let total = encryptor.read_from(source)?;
    encryptor.finish()?;
    Ok(total)
}

pub(super) fn read_some(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
