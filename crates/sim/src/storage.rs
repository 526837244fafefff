//! Storage: the real blob directory, in a folder of this run's own that is gone after it.

use std::fs;
use std::path::{Path, PathBuf};

use licen_core::primitives::{B256, hex};
use licen_storage::Blobs;
use licen_storage::blobs::Options;
use tempfile::TempDir;

use crate::error::SimError;

/// More than any blob here.
const LIMIT: u64 = 1 << 22;

/// A blob directory.
#[derive(Debug)]
pub(crate) struct Storage {
    blobs: Blobs,
    dir: TempDir,
}

impl Storage {
    pub(crate) fn new() -> Result<Self, SimError> {
        // Every put is synced; in memory that costs nothing, and nothing here outlives the run anyway.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let dir = dir.map_err(SimError::world)?;
        let blobs = Blobs::open(dir.path(), Options::default()).map_err(SimError::world)?;
        Ok(Self { blobs, dir })
    }

    /// Stores bytes under their root.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<B256, SimError> {
        Ok(self.blobs.put(None, bytes, |_| ()).map_err(SimError::world)?.root)
    }

    /// Bytes of a root, every one verified.
    pub(crate) fn get(&self, root: B256) -> Result<Vec<u8>, String> {
        self.blobs.read(root, LIMIT).map_err(|error| error.to_string())
    }

    /// The disk loses a blob, if it still has it.
    pub(crate) fn lose(&self, root: B256) -> Result<(), SimError> {
        let path = self.path(root);
        if path.exists() { fs::remove_file(path).map_err(SimError::world) } else { Ok(()) }
    }

    /// The disk changes one byte of a blob, if it still has it.
    pub(crate) fn damage(&self, root: B256) -> Result<(), SimError> {
        let path = self.path(root);
        if !path.exists() {
            return Ok(());
        }
        let mut bytes = fs::read(&path).map_err(SimError::world)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).map_err(SimError::world)
    }

    fn path(&self, root: B256) -> PathBuf {
        let name = hex::encode(root);
        self.dir.path().join("blobs").join(&name[..2]).join(name)
    }
}
