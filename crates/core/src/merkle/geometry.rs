use super::{CHUNK_BYTES, MerkleError, SEGMENT_BYTES, SEGMENT_CHUNKS};

/// The sizes that follow from a file's length alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    bytes: u64,
    chunks: u64,
    padded_chunks: u64,
}

impl Geometry {
    /// Longer files would overflow the padded length; no disk holds one.
    pub const MAX_BYTES: u64 = 1 << 60;

    /// Lays out a file of `bytes` bytes; an empty file has no root anywhere in 0G.
    pub fn new(bytes: u64) -> Result<Self, MerkleError> {
        if bytes == 0 {
            return Err(MerkleError::Empty);
        }
        if bytes > Self::MAX_BYTES {
            return Err(MerkleError::TooLong { bytes });
        }
        let chunks = bytes.div_ceil(CHUNK_BYTES as u64);
        // Padding is to a sixteenth of the next power of two, which bounds the submission to four
        // nodes at a waste of at most an eighth.
        let unit = (chunks.next_power_of_two() / 16).max(1);
        Ok(Self { bytes, chunks, padded_chunks: chunks.next_multiple_of(unit) })
    }

    /// Length of the file in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Chunks that hold at least one byte of the file.
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Leaves of the file tree; 0G bills these.
    pub fn padded_chunks(&self) -> u64 {
        self.padded_chunks
    }

    /// Segments that hold at least one byte of the file; only these are transferred.
    pub fn data_segments(&self) -> u64 {
        self.bytes.div_ceil(SEGMENT_BYTES as u64)
    }

    /// Leaves of the tree over segments; the last ones may be all padding.
    pub fn padded_segments(&self) -> u64 {
        self.padded_chunks.div_ceil(SEGMENT_CHUNKS as u64)
    }

    /// Bytes of the file in segment `index`; 0 for a segment of padding.
    pub fn segment_bytes(&self, index: u64) -> u64 {
        let start = index.saturating_mul(SEGMENT_BYTES as u64);
        self.bytes.saturating_sub(start).min(SEGMENT_BYTES as u64)
    }

    /// Padded chunks in segment `index`: 1024 but for the last one.
    pub fn segment_chunks(&self, index: u64) -> u64 {
        let start = index.saturating_mul(SEGMENT_CHUNKS as u64);
        self.padded_chunks.saturating_sub(start).min(SEGMENT_CHUNKS as u64)
    }
}
