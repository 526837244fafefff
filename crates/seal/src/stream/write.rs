//! Encrypting a stream.

use std::io::{self, Read, Write};

use super::segment::{Segment, read_some};
use super::{HEADER_BYTES, MAX_SEGMENTS, SegmentCipher, StreamAad, StreamKey, TAG_BYTES};
use crate::error::SealError;

/// Encrypts what is written to it. [`Encryptor::finish`] writes the last segment; without it the
/// stream stays incomplete and no reader accepts it.
pub struct Encryptor<W: Write> {
    inner: W,
    cipher: SegmentCipher,
    /// Closed only when it is known whether another follows.
    segment: Segment,
    failed: bool,
}

impl<W: Write> Encryptor<W> {
    /// Starts a stream: writes its header.
    ///
    /// # Errors
    /// Randomness or writing.
    pub fn new(key: &impl StreamKey, aad: &StreamAad, inner: W) -> Result<Self, SealError> {
        let mut header = [0; HEADER_BYTES];
        getrandom::fill(&mut header[1..]).map_err(|_| SealError::Random)?;
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
        Ok(Self { inner, cipher, segment: Segment::default(), failed: false })
    }

    /// Encrypts all that `source` has left, reading straight into the segment buffer. Returns how
    /// many bytes that was.
    ///
    /// # Errors
    /// Reading, writing, or a stream beyond 2^32 segments.
    pub fn read_from(&mut self, source: &mut impl Read) -> Result<u64, SealError> {
        let mut total = 0;
        loop {
            if self.segment.is_full() {
                let mut next = [0];
                if read_some(source, &mut next)? == 0 {
                    return Ok(total);
                }
                self.write_all(&next)?;
                total += 1;
            }
            let n = self.segment.read_from(source, usize::MAX)?.len();
            if n == 0 {
                return Ok(total);
            }
            total += n as u64;
        }
    }

    /// Takes over the next segment as it is, and gives the room of the one before for another.
    ///
    /// # Errors
    /// Writing, or a stream beyond 2^32 segments. [`SealError::StreamFailed`] where it is empty or not the
    /// next one, or the one before it is not full.
    pub fn take(&mut self, next: Segment) -> Result<Segment, SealError> {
        if next.is_empty() {
            return Err(SealError::StreamFailed);
        }
        if self.segment.is_full() {
            self.end_segment(false)?;
        }
        if self.failed || !self.segment.is_empty() || next.index != self.segment.index {
            self.failed = true;
            return Err(SealError::StreamFailed);
        }
        Ok(std::mem::replace(&mut self.segment, next))
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

    pub(super) fn end_segment(&mut self, last: bool) -> Result<(), SealError> {
        if self.failed {
            return Err(SealError::StreamFailed);
        }
        // Set first: after a failed write the buffer holds ciphertext and this nonce is spent.
        self.failed = true;
        let Segment { bytes, len, index } = &mut self.segment;
        let (len, next) = (*len, *index + 1);
        let index = u32::try_from(*index).map_err(|_| SealError::StreamTooLong)?;
        if !last && next >= MAX_SEGMENTS {
            return Err(SealError::StreamTooLong);
        }
        self.cipher.seal(index, last, bytes, len)?;
        self.inner.write_all(&bytes[..len + TAG_BYTES])?;
        self.segment.restart(next);
        self.failed = last;
        Ok(())
    }
}

impl<W: Write> Write for Encryptor<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.is_empty() {
            return Ok(0);
        }
        if self.segment.is_full() {
            self.end_segment(false)?;
        }
        Ok(self.segment.copy_from(data))
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
