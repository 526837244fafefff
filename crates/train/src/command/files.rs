//! Where commands read and write.

use crate::{Error, Result};
use std::path::Path;

/// Writes one line of data to standard output. A closed pipe ends the program's output, not its work.
pub(super) fn line(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Reads a file, naming it in the error.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::Io { path: path.to_path_buf(), source })
}
