use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::{Limits, Reader, Writer};
use crate::error::{Error, Result};

/// Packs every file under `dir`. Links and other special files are refused; empty folders leave no
/// trace.
pub fn pack_dir<W: Write>(dir: &Path, out: W) -> Result<W> {
    let mut files = Vec::new();
    collect(dir, "", &mut files)?;
    files.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
    let mut writer = Writer::new(out);
    for (path, file) in files {
        let at = |source| Error::io(&file, source);
        let content = File::open(&file).map_err(at)?;
        let size = content.metadata().map_err(at)?.len();
        writer.entry(&path, size, content)?;
    }
    writer.finish()
}

fn collect(dir: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> Result<()> {
    let at = |source| Error::io(dir, source);
    for entry in fs::read_dir(dir).map_err(at)? {
        let entry = entry.map_err(at)?;
        let name = entry.file_name();
        let refuse = |reason| Error::TarEntry { path: name.to_string_lossy().into_owned(), reason };
        let name = name.to_str().ok_or_else(|| refuse("the name is not UTF-8"))?;
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().map_err(at)?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() {
            files.push((path, entry.path()));
        } else {
            return Err(Error::TarEntry { path, reason: "it is neither a file nor a folder" });
        }
    }
    Ok(())
}

/// Unpacks an archive into the new folder `dir`, which appears only when all of it was good.
pub fn unpack_dir(input: impl Read, dir: &Path, limits: Limits) -> Result<()> {
    if dir.exists() {
        return Err(Error::io(dir, io::ErrorKind::AlreadyExists.into()));
    }
    let name = dir.file_name().ok_or_else(|| Error::io(dir, io::ErrorKind::InvalidInput.into()))?;
    let fresh = dir.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
    fs::create_dir(&fresh).map_err(|source| Error::io(&fresh, source))?;
    let unpacked = unpack_into(input, &fresh, limits)
        .and_then(|()| fs::rename(&fresh, dir).map_err(|source| Error::io(dir, source)));
    unpacked.inspect_err(|_| drop(fs::remove_dir_all(&fresh)))
}

fn unpack_into(input: impl Read, fresh: &Path, limits: Limits) -> Result<()> {
    let mut reader = Reader::new(input, limits);
    while let Some(entry) = reader.next_entry()? {
        // The reader lets no path through that leads elsewhere, and the folder is ours alone.
        let path = fresh.join(&entry.path);
        let at = |source| Error::io(&path, source);
        fs::create_dir_all(path.parent().unwrap_or(fresh)).map_err(at)?;
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(at)?;
        io::copy(&mut reader, &mut file).and_then(|_| file.sync_all()).map_err(at)?;
    }
    Ok(())
}
