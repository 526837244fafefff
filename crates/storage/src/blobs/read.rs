use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use licen_core::merkle::{
    FileTreeBuilder, Geometry, SEGMENT_BYTES, SegmentProof, fold_segment_roots, segment_root,
};
use licen_core::primitives::B256;

use super::write::write_synced;
use super::{Blobs, sidecar};
use crate::error::{Error, Result};
use crate::keccak::Keccak;
use crate::root::fill;

/// A stored blob, open for verified reading.
///
/// Invariant: `segment_roots` fold to `root`, so a segment that has its root is what the name says.
#[derive(Debug)]
pub struct Blob {
    root: B256,
    file: File,
    path: PathBuf,
    geometry: Geometry,
    segment_roots: Vec<B256>,
}

impl Blob {
    pub(super) fn open(blobs: &Blobs, root: B256) -> Result<Self> {
        if let Some(blob) = Self::matching(blobs, root)? {
            return Ok(blob);
        }
        let changed = Error::Corrupt { root, reason: "its length changed" };
        {
            // A longer form of the blob may have taken its place between the two looks: nobody can now.
            let _lock = blobs.lock()?;
            let sidecar = sidecar::load(&blobs.sidecar_path(root), root)?;
            let stored = blobs.size(root)?;
            if sidecar.is_some_and(|(geometry, _)| stored.is_some_and(|len| len != geometry.bytes())) {
                set_aside(&blobs.path(root));
                return Err(changed);
            }
        }
        Self::matching(blobs, root)?.ok_or(changed)
    }

    /// `None` where blob and sidecar have different lengths.
    fn matching(blobs: &Blobs, root: B256) -> Result<Option<Self>> {
        let path = blobs.path(root);
        let at = |source| Error::io(&path, source);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::NotFound { root }),
            Err(source) => return Err(at(source)),
        };
        let len = file.metadata().map_err(at)?.len();
        let (geometry, segment_roots) = match sidecar::load(&blobs.sidecar_path(root), root)? {
            Some((geometry, _)) if geometry.bytes() != len => return Ok(None),
            Some(loaded) => loaded,
            None => rebuild(blobs, root, &mut file)?,
        };
        Ok(Some(Self { root, file, path, geometry, segment_roots }))
    }

    pub fn root(&self) -> B256 {
        self.root
    }

    /// Length in bytes; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a blob is never empty")]
    pub fn len(&self) -> u64 {
        self.geometry.bytes()
    }

    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The proof that a storage node gives with segment `index`.
    pub fn proof(&self, index: u64) -> Result<SegmentProof> {
        let end = self.geometry.padded_segments();
        SegmentProof::create(&self.segment_roots, index).map_err(|_| Error::Range {
            start: index,
            end: index + 1,
            len: end,
        })
    }

    /// The bytes of segment `index`, hashed and compared.
    pub fn segment(&mut self, index: u64) -> Result<Vec<u8>> {
        let len = self.geometry.segment_bytes(index) as usize;
        if len == 0 {
            return Err(Error::Range { start: index, end: index + 1, len: self.geometry.data_segments() });
        }
        let mut segment = vec![0; len];
        let at = |source| Error::io(&self.path, source);
        self.file.seek(SeekFrom::Start(index * SEGMENT_BYTES as u64)).map_err(at)?;
        let filled = fill(&mut self.file, &mut segment).map_err(at)?;
        let actual = segment_root(&Keccak::detect(), &self.geometry, index, &segment[..filled]);
        if actual.ok().as_ref() != self.segment_roots.get(index as usize) {
            set_aside(&self.path);
            return Err(Error::Corrupt { root: self.root, reason: "a segment does not have its root" });
        }
        Ok(segment)
    }

    /// All bytes.
    pub fn reader(self) -> BlobReader {
        let end = self.len();
        BlobReader { blob: self, next: 0, end, ready: Vec::new(), taken: 0 }
    }

    /// The bytes of `range`, which must not be empty or reach beyond the end.
    pub fn range(self, range: Range<u64>) -> Result<BlobReader> {
        let (Range { start, end }, len) = (range, self.len());
        if start >= end || end > len {
            return Err(Error::Range { start, end, len });
        }
        Ok(BlobReader { blob: self, next: start, end, ready: Vec::new(), taken: 0 })
    }
}

/// Reads whole segments, verifies each, and hands out what was asked for.
#[derive(Debug)]
pub struct BlobReader {
    blob: Blob,
    /// The next byte to load; `ready[taken..]` comes before it.
    next: u64,
    end: u64,
    ready: Vec<u8>,
    taken: usize,
}

impl BlobReader {
    /// The rest of the current segment; `None` at the end.
    pub fn next_slice(&mut self) -> Result<Option<Vec<u8>>> {
        if self.taken < self.ready.len() {
            let rest = self.ready.split_off(self.taken);
            self.ready.clear();
            self.taken = 0;
            return Ok(Some(rest));
        }
        if self.next == self.end {
            return Ok(None);
        }
        let size = SEGMENT_BYTES as u64;
        let (index, skip) = (self.next / size, (self.next % size) as usize);
        let mut segment = self.blob.segment(index)?;
        let until = self.end.min((index + 1) * size);
        segment.truncate((until - index * size) as usize);
        self.next = until;
        Ok(Some(segment.split_off(skip)))
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.ready.len() {
            match self.next_slice().map_err(Error::into_io)? {
                Some(slice) => (self.ready, self.taken) = (slice, 0),
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.ready.len() - self.taken);
        buffer[..count].copy_from_slice(&self.ready[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

/// Takes the name from a damaged blob but keeps its bytes: it can be put again, and looked at.
fn set_aside(path: &Path) {
    let _ = fs::rename(path, path.with_extension("damaged"));
}

/// Hashes the whole blob to get a lost sidecar back, or finds out that the blob is damaged.
fn rebuild(blobs: &Blobs, root: B256, file: &mut File) -> Result<(Geometry, Vec<B256>)> {
    let path = blobs.path(root);
    let mut builder = FileTreeBuilder::new(Keccak::detect()).with_segment_roots();
    let mut buffer = vec![0; 4 * SEGMENT_BYTES];
    loop {
        let filled = fill(file, &mut buffer).map_err(|source| Error::io(&path, source))?;
        builder.update(&buffer[..filled]);
        if filled < buffer.len() {
            break;
        }
    }
    let tree = builder.finish().map_err(|_| Error::Corrupt { root, reason: "it is empty" })?;
    if tree.root != root {
        set_aside(&path);
        return Err(Error::Corrupt { root, reason: "its bytes have another file root" });
    }
    let roots = tree.segment_roots.expect("the builder keeps them");
    debug_assert_eq!(fold_segment_roots(Keccak::detect(), &tree.geometry, &roots), Ok(root));
    // Not being able to write it down (a read-only disk) only costs the next reader the same work.
    let fresh = blobs.incoming(&format!("seg-{}", licen_core::primitives::hex::encode(root)));
    let _lock = blobs.lock()?;
    let saved = write_synced(&fresh, &sidecar::encode(&tree.geometry, &roots));
    if saved.is_err() || fs::rename(&fresh, blobs.sidecar_path(root)).is_err() {
        let _ = fs::remove_file(&fresh);
    }
    Ok((tree.geometry, roots))
}
