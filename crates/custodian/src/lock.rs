//! One process per state directory: two would hear half of what is said each, and a key that one of them
//! destroys would stay in the other's memory.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::Error;

/// The state directory is this process's alone, until this is dropped or the process ends.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it.
    ///
    /// # Errors
    /// [`Error::Busy`] where another process has it.
    pub(crate) fn of(state_dir: &Path) -> Result<Self, Error> {
        let path = state_dir.join("lock");
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(|source| Error::File { path, source })?;
        file.try_lock().map_err(|_| Error::Busy(state_dir.to_owned()))?;
        Ok(Self { _file: file })
    }
}
