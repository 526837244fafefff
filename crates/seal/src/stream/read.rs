//! Decrypting a stream, in order or at any position.

use std::io::{self, Read, Seek, SeekFrom, Write};

use zeroize::Zeroizing;

use super::segment::read_some;
use super::{FIRST_PLAIN, HEADER_BYTES, OTHER_PLAIN, SEGMENT_BYTES};
use super::{SegmentCipher, StreamAad, StreamKey, plaintext_len, segment_capacity};
use crate::error::SealError;

/// Decrypts in order. Bytes come out only after their segment was verified; the end is reported
/// only after the segment that is marked as the last.
pub struct Decryptor<R: Read> {
    inner: R,
    cipher: SegmentCipher,
    /// One segment and the byte behind it, which tells whether the segment is the last.
    buffer: Zeroizing<Vec<u8>>,
    plain: std::ops::Range<usize>,
    index: u64,
    next_byte: Option<u8>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Complete,
    Failed,
}

impl<R: Read> Decryptor<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`SealError::StreamHeader`] or reading.
    pub fn new(key: &impl StreamKey, aad: &StreamAad, mut inner: R) -> Result<Self, SealError> {
        let header = read_header(&mut inner)?;
        Ok(Self {
            inner,
            cipher: SegmentCipher::from_header(key.secret(), aad, &header)?,
            buffer: Zeroizing::new(vec![0; SEGMENT_BYTES + 1]),
            plain: 0..0,
            index: 0,
            next_byte: None,
            state: State::Open,
        })
    }

    /// The next verified segment, `None` after the last.
    ///
    /// # Errors
    /// [`SealError::Segment`] or reading; after an error the stream stays failed.
    pub fn next_segment(&mut self) -> Result<Option<&[u8]>, SealError> {
        if self.advance()? {
            self.plain.start = self.plain.end;
            Ok(Some(&self.buffer[..self.plain.end]))
        } else {
            Ok(None)
        }
    }

    fn advance(&mut self) -> Result<bool, SealError> {
        match self.state {
            State::Complete => return Ok(false),
            State::Failed => return Err(SealError::StreamFailed),
            State::Open => self.state = State::Failed,
        }
        let capacity = segment_capacity(self.index);
        let filled = self.fill(capacity + 1)?;
        let last = filled <= capacity;
        let len = filled.min(capacity);
        self.next_byte = (!last).then(|| self.buffer[capacity]);
        let index = u32::try_from(self.index).map_err(|_| SealError::StreamTooLong)?;
        self.plain = 0..self.cipher.open(index, last, &mut self.buffer[..len])?;
        self.index += 1;
        self.state = if last { State::Complete } else { State::Open };
        Ok(true)
    }

    fn fill(&mut self, wanted: usize) -> Result<usize, SealError> {
        let mut filled = 0;
        if let Some(byte) = self.next_byte.take() {
            self.buffer[0] = byte;
            filled = 1;
        }
        while filled < wanted {
            match read_some(&mut self.inner, &mut self.buffer[filled..wanted])? {
                0 => break,
                n => filled += n,
            }
        }
        Ok(filled)
    }
}

impl<R: Read> Read for Decryptor<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if self.plain.is_empty() && !self.advance()? {
            return Ok(0);
        }
        let n = out.len().min(self.plain.len());
        out[..n].copy_from_slice(&self.buffer[self.plain.start..self.plain.start + n]);
        self.plain.start += n;
        Ok(n)
    }
}

/// Decrypts `source` to `sink`; returns the plaintext length. On an error `sink` holds only verified
/// segments, but not all of them: the caller must discard it.
///
/// # Errors
/// See [`Decryptor`].
pub fn decrypt(
    key: &impl StreamKey,
    aad: &StreamAad,
    source: &mut impl Read,
    sink: &mut impl Write,
) -> Result<u64, SealError> {
    let mut decryptor = Decryptor::new(key, aad, source)?;
    let mut total = 0;
    while let Some(segment) = decryptor.next_segment()? {
        sink.write_all(segment)?;
        total += segment.len() as u64;
    }
    sink.flush()?;
    Ok(total)
}

/// Reads any part of a stream. Opening verifies the last segment, so the length is authentic.
pub struct SegmentReader<R: Read + Seek> {
    inner: R,
    cipher: SegmentCipher,
    buffer: Zeroizing<Vec<u8>>,
    /// Which segment `buffer` holds, and how many plaintext bytes of it.
    held: Option<(u32, usize)>,
    ciphertext_len: u64,
    plaintext_len: u64,
}

impl<R: Read + Seek> SegmentReader<R> {
    /// Reads the header and verifies the last segment.
    ///
    /// # Errors
    /// [`SealError::StreamHeader`], [`SealError::Segment`] or reading.
    pub fn new(key: &impl StreamKey, aad: &StreamAad, mut inner: R) -> Result<Self, SealError> {
        let ciphertext_len = inner.seek(SeekFrom::End(0))?;
        inner.seek(SeekFrom::Start(0))?;
        let header = read_header(&mut inner)?;
        let cipher = SegmentCipher::from_header(key.secret(), aad, &header)?;
        let segments = ciphertext_len.div_ceil(SEGMENT_BYTES as u64);
        let last = u32::try_from(segments - 1).map_err(|_| SealError::StreamTooLong)?;
        let plaintext_len =
            plaintext_len(ciphertext_len).ok_or(SealError::Segment { index: last, last: true })?;
        let buffer = Zeroizing::new(vec![0; SEGMENT_BYTES]);
        let mut reader = Self { inner, cipher, buffer, held: None, ciphertext_len, plaintext_len };
        reader.segment(last)?;
        Ok(reader)
    }

    /// Bytes of plaintext.
    #[must_use]
    pub fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// Number of segments.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.ciphertext_len.div_ceil(SEGMENT_BYTES as u64)
    }

    /// The verified plaintext of segment `index`.
    ///
    /// # Errors
    /// [`SealError::OutOfRange`], [`SealError::Segment`] or reading.
    pub fn segment(&mut self, index: u32) -> Result<&[u8], SealError> {
        if self.held.map(|(held, _)| held) != Some(index) {
            self.load(index)?;
        }
        let len = self.held.map_or(0, |(_, len)| len);
        Ok(&self.buffer[..len])
    }

    /// Fills `out` with the plaintext at `offset`.
    ///
    /// # Errors
    /// [`SealError::OutOfRange`] where it reaches beyond the end; else as [`Self::segment`].
    pub fn read_at(&mut self, offset: u64, out: &mut [u8]) -> Result<(), SealError> {
        let end = offset.checked_add(out.len() as u64).filter(|end| *end <= self.plaintext_len);
        if end.is_none() {
            return Err(SealError::OutOfRange { offset, len: self.plaintext_len });
        }
        let mut done = 0;
        while done < out.len() {
            let (index, within) = locate(offset + done as u64);
            let segment = self.segment(index)?;
            let n = (segment.len() - within).min(out.len() - done);
            out[done..done + n].copy_from_slice(&segment[within..within + n]);
            done += n;
        }
        Ok(())
    }

    fn load(&mut self, index: u32) -> Result<(), SealError> {
        let last_index = self.segments() - 1;
        if u64::from(index) > last_index {
            let offset = u64::from(index) * SEGMENT_BYTES as u64;
            return Err(SealError::OutOfRange { offset, len: self.ciphertext_len });
        }
        self.held = None;
        let start = if index == 0 { HEADER_BYTES as u64 } else { u64::from(index) * SEGMENT_BYTES as u64 };
        let end = (u64::from(index) + 1) * SEGMENT_BYTES as u64;
        let len = usize::try_from(end.min(self.ciphertext_len) - start).expect("at most one segment");
        self.inner.seek(SeekFrom::Start(start))?;
        self.inner.read_exact(&mut self.buffer[..len])?;
        let plain = self.cipher.open(index, u64::from(index) == last_index, &mut self.buffer[..len])?;
        self.held = Some((index, plain));
        Ok(())
    }
}

/// Which segment holds plaintext byte `offset`, and where in it. The caller has checked `offset`
/// against the length, which fits 2^32 segments.
fn locate(offset: u64) -> (u32, usize) {
    let (index, within) = if offset < FIRST_PLAIN {
        (0, offset)
    } else {
        let rest = offset - FIRST_PLAIN;
        (1 + rest / OTHER_PLAIN, rest % OTHER_PLAIN)
    };
    (index as u32, within as usize)
}

fn read_header(inner: &mut impl Read) -> Result<[u8; HEADER_BYTES], SealError> {
    let mut header = [0; HEADER_BYTES];
    inner.read_exact(&mut header).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => SealError::StreamHeader,
        _ => SealError::Io(error),
    })?;
    Ok(header)
}
