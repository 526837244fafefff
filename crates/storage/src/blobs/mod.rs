//! Blobs in a local directory.
//!
//! ```text
//! DIR/blobs/ab/ab12…        the bytes, named by their file root
//! DIR/blobs/ab/ab12….seg    their length and segment roots (`sidecar`)
//! DIR/blobs/ab/ab12….damaged  bytes that lost the name because they changed on the disk
//! DIR/incoming/             what is being written; nothing here has a name yet
//! DIR/lock                  held while a name is given or the leftovers are cleared
//! ```
//!
//! *Invariant:* a name in `blobs/` was given by a rename of a complete, synced file whose root was
//! recomputed. *Invariant:* no byte leaves [`Blob`] before the segment it stands in was hashed and
//! compared, so damage on the disk is an error and never wrong bytes. A damaged blob is set aside, so
//! that whoever still has it can put it again.
//!
//! Several processes may share a directory: a file in `incoming/` is locked by its writer, and only
//! unlocked ones are cleared.

mod read;
mod sidecar;
#[cfg(test)]
mod tests;
mod write;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use licen_core::merkle::SEGMENT_BYTES;
use licen_core::primitives::{B256, hex};

use crate::error::{Error, Result};
use crate::root::fill;
pub use read::{Blob, BlobReader};
pub use write::BlobWriter;

/// What a store accepts and how long it remembers.
#[derive(Clone, Debug)]
pub struct Options {
    /// Longer blobs are refused.
    pub max_blob_bytes: u64,
    /// Unfinished uploads are forgotten after this long without a byte.
    pub stale_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_blob_bytes: 64 << 30, stale_after: Duration::from_secs(24 * 3600) }
    }
}

/// A blob that is durably stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub root: B256,
    pub bytes: u64,
    /// False where it was there before.
    pub created: bool,
}

/// A directory of blobs. Clones share it.
#[derive(Clone, Debug)]
pub struct Blobs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    options: Options,
    /// Bytes that may still be written before the disk plays full.
    #[cfg(test)]
    room: std::sync::atomic::AtomicU64,
}

impl Blobs {
    /// Opens or creates the directory and clears what earlier crashes left in it.
    pub fn open(dir: impl Into<PathBuf>, options: Options) -> Result<Self> {
        let dir = dir.into();
        for part in ["blobs", "incoming"] {
            let path = dir.join(part);
            fs::create_dir_all(&path).map_err(|source| Error::io(&path, source))?;
        }
        let blobs = Self(Arc::new(Inner {
            dir,
            options,
            #[cfg(test)]
            room: u64::MAX.into(),
        }));
        blobs.clear_leftovers()?;
        Ok(blobs)
    }

    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Starts a blob whose root is not known yet.
    pub fn writer(&self) -> Result<BlobWriter> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| Error::io(&self.0.dir, io::Error::other(error.to_string())))?;
        BlobWriter::create(self.clone(), &format!("put-{}", hex::encode(random)))
    }

    /// Stores everything `reader` yields. With `expected`, bytes of another root are refused and
    /// leave nothing behind. `progress` hears the bytes written so far.
    pub fn put(
        &self,
        expected: Option<B256>,
        mut reader: impl Read,
        mut progress: impl FnMut(u64),
    ) -> Result<Stored> {
        let mut writer = self.writer()?;
        let mut buffer = vec![0; 4 * SEGMENT_BYTES];
        loop {
            let filled =
                fill(&mut reader, &mut buffer).map_err(|source| Error::io(Path::new("the input"), source))?;
            writer.append(&buffer[..filled])?;
            progress(writer.bytes());
            if filled < buffer.len() {
                return writer.finish(expected);
            }
        }
    }

    /// Opens a blob for verified reading.
    pub fn get(&self, root: B256) -> Result<Blob> {
        Blob::open(self, root)
    }

    /// All bytes of a blob of at most `limit` bytes.
    pub fn read(&self, root: B256, limit: u64) -> Result<Vec<u8>> {
        let blob = self.get(root)?;
        if blob.len() > limit {
            return Err(Error::TooLarge { bytes: blob.len(), limit });
        }
        let mut bytes = Vec::with_capacity(blob.len() as usize);
        blob.reader().read_to_end(&mut bytes).map_err(|source| Error::io(self.path(root), source))?;
        Ok(bytes)
    }

    pub fn exists(&self, root: B256) -> Result<bool> {
        Ok(self.size(root)?.is_some())
    }

    /// Length in bytes, where there is such a blob.
    pub fn size(&self, root: B256) -> Result<Option<u64>> {
        let path = self.path(root);
        match fs::metadata(&path) {
            Ok(data) => Ok(Some(data.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::io(path, source)),
        }
    }

    /// A name is a root, printed by us: it cannot lead out of the directory.
    fn path(&self, root: B256) -> PathBuf {
        let name = hex::encode(root);
        self.0.dir.join("blobs").join(&name[..2]).join(name)
    }

    fn sidecar_path(&self, root: B256) -> PathBuf {
        self.path(root).with_extension("seg")
    }

    fn incoming(&self, name: &str) -> PathBuf {
        self.0.dir.join("incoming").join(format!("{name}.part"))
    }

    /// Excludes every other process and thread until dropped.
    fn lock(&self) -> Result<File> {
        let path = self.0.dir.join("lock");
        let locked = File::create(&path).and_then(|file| file.lock().map(|()| file));
        locked.map_err(|source| Error::io(path, source))
    }

    fn clear_leftovers(&self) -> Result<()> {
        let _lock = self.lock()?;
        let dir = self.0.dir.join("incoming");
        let at = |source| Error::io(&dir, source);
        for entry in fs::read_dir(&dir).map_err(at)? {
            let entry = entry.map_err(at)?;
            let resumable = entry.file_name().to_string_lossy().starts_with(write::RESUMABLE);
            if resumable && !self.is_stale(&entry.metadata().map_err(at)?) {
                continue;
            }
            let unlocked = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
            if unlocked {
                fs::remove_file(entry.path()).map_err(at)?;
            }
        }
        Ok(())
    }

    fn is_stale(&self, metadata: &fs::Metadata) -> bool {
        let age = metadata.modified().ok().and_then(|then| SystemTime::now().duration_since(then).ok());
        age.is_some_and(|age| age > self.0.options.stale_after)
    }

    #[cfg(test)]
    pub(crate) fn set_room(&self, bytes: u64) {
        self.0.room.store(bytes, std::sync::atomic::Ordering::SeqCst);
    }
}

/// Makes renames in `dir` survive a power cut.
fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| Error::io(dir, source))
}
