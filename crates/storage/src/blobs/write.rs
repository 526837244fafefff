use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;

use licen_core::merkle::{FileTree, FileTreeBuilder, SEGMENT_BYTES};
use licen_core::primitives::B256;

use super::{Blobs, Stored, sidecar, sync_dir};
use crate::error::{Error, Result};
use crate::keccak::Keccak;
use crate::root::fill;

/// Files of this prefix in `incoming/` may be continued after a restart.
pub(super) const RESUMABLE: &str = "up-";

/// A blob being written. Dropped before [`BlobWriter::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct BlobWriter {
    blobs: Blobs,
    /// Invariant: holds exactly the bytes that went into `builder`, and is locked.
    file: File,
    path: PathBuf,
    builder: FileTreeBuilder<Keccak>,
    keep: bool,
}

impl BlobWriter {
    pub(super) fn create(blobs: Blobs, name: &str) -> Result<Self> {
        let path = blobs.incoming(name);
        let file = {
            let _lock = blobs.lock()?;
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create_new(true).open(&path);
            file.and_then(|file| file.lock().map(|()| file)).map_err(|source| Error::io(&path, source))?
        };
        let builder = FileTreeBuilder::new(Keccak::detect()).with_segment_roots();
        Ok(Self { blobs, file, path, builder, keep: false })
    }

    /// Starts or continues an upload. Its bytes survive the writer and the process, until it is
    /// finished, discarded or stale.
    pub(crate) fn resumable(blobs: Blobs, root: B256, name: &str) -> Result<Self> {
        let name = format!("{RESUMABLE}{name}");
        let path = blobs.incoming(&name);
        let file = {
            let lock = blobs.lock()?;
            match OpenOptions::new().read(true).write(true).open(&path) {
                Ok(file) => file.try_lock().map(|()| file).map_err(|_| Error::Busy { root })?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    drop(lock);
                    let mut writer = Self::create(blobs, &name)?;
                    writer.keep = true;
                    return Ok(writer);
                }
                Err(source) => return Err(Error::io(path, source)),
            }
        };
        let builder = FileTreeBuilder::new(Keccak::detect()).with_segment_roots();
        let mut writer = Self { blobs, file, path, builder, keep: true };
        writer.rehash()?;
        Ok(writer)
    }

    pub(crate) fn is_resumable(blobs: &Blobs, name: &str) -> bool {
        blobs.incoming(&format!("{RESUMABLE}{name}")).exists()
    }

    pub(crate) fn discard(mut self) {
        self.keep = false;
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.builder.bytes()
    }

    /// Writes and hashes. After an error the blob cannot be finished with other bytes than those
    /// counted by [`BlobWriter::bytes`].
    pub fn append(&mut self, data: &[u8]) -> Result<()> {
        let limit = self.blobs.0.options.max_blob_bytes;
        let bytes = self.bytes() + data.len() as u64;
        if bytes > limit {
            return Err(Error::TooLarge { bytes, limit });
        }
        let before = self.bytes();
        if let Err(source) = self.write_all(data) {
            // A partial write must not shift what comes after it.
            let restored = self.file.set_len(before).and_then(|()| self.file.seek(SeekFrom::Start(before)));
            self.keep &= restored.is_ok();
            return Err(Error::io(&self.path, source));
        }
        self.builder.update(data);
        Ok(())
    }

    /// Makes the blob durable and gives it its name. With `expected`, another root is refused.
    pub fn finish(mut self, expected: Option<B256>) -> Result<Stored> {
        self.keep = false;
        let blank = FileTreeBuilder::new(Keccak::detect());
        let tree = std::mem::replace(&mut self.builder, blank).finish().map_err(|_| Error::Empty)?;
        let (root, bytes) = (tree.root, tree.geometry.bytes());
        if let Some(expected) = expected.filter(|expected| *expected != root) {
            return Err(Error::RootMismatch { expected, actual: root });
        }
        let sidecar = self.write_sidecar(&tree)?;
        let published = self.file.sync_all().map_err(|source| Error::io(&self.path, source));
        let published = published.and_then(|()| self.publish(&sidecar, root, bytes));
        if !matches!(published, Ok(true)) {
            let _ = fs::remove_file(&sidecar);
        }
        // Renamed: whatever has the old name now is somebody else's.
        self.keep = matches!(published, Ok(true));
        Ok(Stored { root, bytes, created: published? })
    }

    /// Renames both files under the lock, so that two lengths of one root never mix. False if the
    /// blob was there already, as long or longer.
    fn publish(&self, sidecar: &PathBuf, root: B256, bytes: u64) -> Result<bool> {
        let _lock = self.blobs.lock()?;
        let (path, sidecar_path) = (self.blobs.path(root), self.blobs.sidecar_path(root));
        if let Some(stored) = self.blobs.size(root)?
            && sidecar::load(&sidecar_path, root)?.is_some_and(|(sizes, _)| sizes.bytes() == stored)
        {
            // A root says nothing about zeros behind a file: the longest form contains every other, and
            // readers know from elsewhere where what they want ends.
            if stored >= bytes {
                return Ok(false);
            }
        }
        let shard = path.parent().expect("a blob has a directory");
        let renamed = fs::create_dir_all(shard)
            .and_then(|()| fs::rename(sidecar, &sidecar_path))
            .and_then(|()| fs::rename(&self.path, &path));
        renamed.map_err(|source| Error::io(&path, source))?;
        sync_dir(shard)?;
        sync_dir(shard.parent().expect("a shard has a directory"))?;
        Ok(true)
    }

    fn write_sidecar(&mut self, tree: &FileTree) -> Result<PathBuf> {
        let path = self.path.with_extension("seg");
        let roots = tree.segment_roots.as_deref().expect("the builder keeps them");
        let written = write_synced(&path, &sidecar::encode(&tree.geometry, roots));
        written.inspect_err(|_| drop(fs::remove_file(&path)))?;
        Ok(path)
    }

    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        {
            use std::sync::atomic::Ordering::SeqCst;
            let room = self.blobs.0.room.load(SeqCst);
            if (data.len() as u64) > room {
                self.file.write_all(&data[..room as usize])?;
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.blobs.0.room.store(room - data.len() as u64, SeqCst);
        }
        self.file.write_all(data)
    }

    /// Brings the builder to where the file is.
    fn rehash(&mut self) -> Result<()> {
        let mut buffer = vec![0; 4 * SEGMENT_BYTES];
        loop {
            let filled = fill(&mut self.file, &mut buffer).map_err(|source| Error::io(&self.path, source))?;
            self.builder.update(&buffer[..filled]);
            if filled < buffer.len() {
                return Ok(());
            }
        }
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.keep {
            // After a rename there is nothing here any more.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Write for BlobWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.append(data).map_err(Error::into_io)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a small file and waits until it is on the disk.
pub(super) fn write_synced(path: &PathBuf, bytes: &[u8]) -> Result<()> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|source| Error::io(path, source))
}
