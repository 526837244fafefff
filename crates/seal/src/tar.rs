//! The deterministic tar: ustar, regular files only, ascending by UTF-8 path, mode 0644, uid, gid and
//! mtime 0, two zero blocks at the end. One set of files has one archive, and the reader refuses
//! every other. Byte for byte what `tar --format=ustar -b1 --sort=name --mode=0644 --owner=0 --group=0
//! --numeric-owner --mtime=@0` writes for files given by name.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::SealError;

const BLOCK: usize = 512;
const NAME_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;
/// Eleven octal digits.
const MAX_FILE_BYTES: u64 = 0o77_777_777_777;
/// Files that are unpacked from one archive: empty ones cost an archive little and a disk an inode each.
const MAX_FILES: usize = 4096;

/// Bytes of an archive of files with these lengths.
#[must_use]
pub fn archive_len(files: impl IntoIterator<Item = u64>) -> u64 {
    files.into_iter().fold(2 * BLOCK as u64, |sum, len| sum.saturating_add(entry_len(len)))
}

/// Bytes that a file of `len` bytes takes in an archive.
fn entry_len(len: u64) -> u64 {
    len.saturating_add((BLOCK + padding(len)) as u64)
}

/// Writes the archive.
pub struct TarWriter<W: Write> {
    sink: W,
    previous: Option<String>,
}

impl<W: Write> TarWriter<W> {
    /// An archive that goes to `sink`.
    pub fn new(sink: W) -> Self {
        Self { sink, previous: None }
    }

    /// Adds a file of exactly `len` bytes; paths must ascend.
    ///
    /// # Errors
    /// [`SealError::Tar`] for a path out of order or not portable, a content of another length, or
    /// more than 8 GiB; reading and writing.
    pub fn append(&mut self, path: &str, len: u64, content: &mut impl Read) -> Result<(), SealError> {
        check_path(path)?;
        if self.previous.as_deref().is_some_and(|previous| previous >= path) {
            return Err(SealError::Tar("paths do not ascend"));
        }
        self.sink.write_all(&header(path, len)?)?;
        let copied = std::io::copy(&mut content.by_ref().take(len), &mut self.sink)?;
        if copied != len || content.read(&mut [0])? != 0 {
            return Err(SealError::Tar("a file has another length than announced"));
        }
        self.sink.write_all(&[0; BLOCK][..padding(len)])?;
        self.previous = Some(path.to_owned());
        Ok(())
    }

    /// Ends the archive and gives the sink back.
    ///
    /// # Errors
    /// Writing.
    pub fn finish(mut self) -> Result<W, SealError> {
        self.sink.write_all(&[0; 2 * BLOCK])?;
        Ok(self.sink)
    }
}

/// Packs every file under `dir`; folders without files leave no trace.
///
/// # Errors
/// [`SealError::Tar`] for a link or another special file and for a name that is not portable UTF-8;
/// reading and writing.
pub fn pack<W: Write>(dir: &Path, sink: W) -> Result<W, SealError> {
    let mut files = Vec::new();
    collect(dir, "", &mut files)?;
    files.sort();
    let mut writer = TarWriter::new(sink);
    for (path, place) in files {
        let mut file = fs::File::open(place)?;
        let len = file.metadata()?.len();
        writer.append(&path, len, &mut file)?;
    }
    writer.finish()
}

fn collect(dir: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> Result<(), SealError> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().ok_or(SealError::Tar("a name is not UTF-8"))?;
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() {
            files.push((path, entry.path()));
        } else {
            return Err(SealError::Tar("something is neither a file nor a folder"));
        }
    }
    Ok(())
}

/// Reads an archive, strictly.
pub struct TarReader<R: Read> {
    source: R,
    previous: Option<String>,
    /// Content bytes of the current file not read yet, and the padding behind them.
    left: u64,
    padding: usize,
    ended: bool,
    /// Whether zeros may follow the end.
    padded: bool,
}

/// The head of a file; its content is read from the [`TarReader`] it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarEntry {
    /// Relative, with `/`, never leading out of the directory.
    pub path: String,
    /// Bytes of content.
    pub len: u64,
}

impl<R: Read> TarReader<R> {
    /// Reads from `source`.
    pub fn new(source: R) -> Self {
        Self { source, previous: None, left: 0, padding: 0, ended: false, padded: false }
    }

    /// Reads an archive that was fetched by its file root: the root does not say where a file ends, so
    /// zeros may stand behind the end, and some of the last ones may be missing.
    pub fn fetched(source: R) -> Self {
        Self { padded: true, ..Self::new(source) }
    }

    /// The next file, `None` after the end marker and nothing behind it. Content of the file before
    /// that was not read is skipped.
    ///
    /// # Errors
    /// [`SealError::Tar`] for anything but the deterministic form; reading.
    pub fn next_entry(&mut self) -> Result<Option<TarEntry>, SealError> {
        if self.ended {
            return Ok(None);
        }
        std::io::copy(self, &mut std::io::sink())?;
        self.skip_padding()?;
        let block = self.block()?;
        if block == [0; BLOCK] {
            if !self.is_end()? {
                return Err(SealError::Tar("it does not end with two zero blocks"));
            }
            self.ended = true;
            return Ok(None);
        }
        let entry = parse(&block)?;
        if self.previous.as_deref().is_some_and(|previous| previous >= entry.path.as_str()) {
            return Err(SealError::Tar("paths do not ascend"));
        }
        self.previous = Some(entry.path.clone());
        self.left = entry.len;
        self.padding = padding(entry.len);
        Ok(Some(entry))
    }

    /// Whether the second zero block and nothing else follows.
    fn is_end(&mut self) -> Result<bool, SealError> {
        if !self.padded {
            return Ok(self.block()? == [0; BLOCK] && self.source.read(&mut [0])? == 0);
        }
        let mut block = [0; BLOCK];
        loop {
            match self.source.read(&mut block)? {
                0 => return Ok(true),
                n if block[..n].iter().any(|byte| *byte != 0) => return Ok(false),
                _ => {}
            }
        }
    }

    fn block(&mut self) -> Result<[u8; BLOCK], SealError> {
        let mut block = [0; BLOCK];
        self.read_exact_or(&mut block)?;
        Ok(block)
    }

    fn skip_padding(&mut self) -> Result<(), SealError> {
        let mut block = [0; BLOCK];
        let padding = std::mem::take(&mut self.padding);
        self.read_exact_or(&mut block[..padding])?;
        if block != [0; BLOCK] {
            return Err(SealError::Tar("padding is not zero"));
        }
        Ok(())
    }

    fn read_exact_or(&mut self, buffer: &mut [u8]) -> Result<(), SealError> {
        self.source.read_exact(buffer).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => SealError::Tar("it is cut short"),
            _ => error.into(),
        })
    }
}

impl<R: Read> Read for TarReader<R> {
    /// Content of the current file.
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        if wanted == 0 {
            return Ok(0);
        }
        match self.source.read(&mut out[..wanted])? {
            0 => Err(SealError::Tar("it is cut short").into()),
            n => {
                self.left -= n as u64;
                Ok(n)
            }
        }
    }
}

/// Writes every file of `archive` into the new directory `target`, which appears, by a rename, only
/// when the archive was read to its end. Nobody else on the machine can enter it. Returns the paths.
///
/// # Errors
/// [`SealError::Tar`] where `target` exists, the content exceeds `max_bytes` or 4096 files, or the archive is not
/// the deterministic form; reading and writing. Nothing is left behind.
pub fn unpack<R: Read>(
    mut archive: TarReader<R>,
    target: &Path,
    max_bytes: u64,
) -> Result<Vec<String>, SealError> {
    if fs::symlink_metadata(target).is_ok() {
        return Err(SealError::Tar("the target exists"));
    }
    let partial = Partial::beside(target)?;
    let mut paths = Vec::new();
    let mut total = 0u64;
    while let Some(entry) = archive.next_entry()? {
        total = total.saturating_add(entry.len);
        if total > max_bytes {
            return Err(SealError::Tar("the content is larger than allowed"));
        }
        if paths.len() == MAX_FILES {
            return Err(SealError::Tar("it holds more files than allowed"));
        }
        let path = partial.0.join(&entry.path);
        if let Some(parent) = path.parent() {
            private_dirs().recursive(true).create(parent)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        std::io::copy(&mut archive, &mut file)?;
        file.sync_all()?;
        paths.push(entry.path);
    }
    fs::rename(&partial.0, target)?;
    Ok(paths)
}

fn private_dirs() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// A directory that is removed unless it was renamed away.
struct Partial(PathBuf);

impl Partial {
    fn beside(target: &Path) -> Result<Self, SealError> {
        let mut suffix = [0; 8];
        getrandom::fill(&mut suffix).map_err(|_| SealError::Random)?;
        let mut name = target.file_name().ok_or(SealError::Tar("the target has no name"))?.to_owned();
        name.push(format!(".partial-{}", hex::encode(suffix)));
        let path = target.with_file_name(name);
        private_dirs().create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename there is nothing here; before it, this is all that was written.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn padding(len: u64) -> usize {
    (BLOCK - (len % BLOCK as u64) as usize) % BLOCK
}

fn check_path(path: &str) -> Result<(), SealError> {
    let portable =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0', ':']);
    if !path.split('/').all(portable) || path.chars().any(char::is_control) {
        return Err(SealError::Tar("a path is not relative and portable"));
    }
    Ok(())
}

fn header(path: &str, len: u64) -> Result<[u8; BLOCK], SealError> {
    if len > MAX_FILE_BYTES {
        return Err(SealError::Tar("a file is larger than 8 GiB"));
    }
    let (prefix, name) = split_path(path)?;
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{len:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    put(345, prefix.as_bytes());
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

/// Splits a path that is longer than the name field at its last slash that leaves both parts fit.
fn split_path(path: &str) -> Result<(&str, &str), SealError> {
    if path.len() <= NAME_BYTES {
        return Ok(("", path));
    }
    let limit = path.len().min(PREFIX_BYTES + 1);
    let split = path.as_bytes()[..limit].iter().rposition(|byte| *byte == b'/');
    match split.map(|at| (&path[..at], &path[at + 1..])) {
        Some((prefix, name)) if name.len() <= NAME_BYTES => Ok((prefix, name)),
        _ => Err(SealError::Tar("a path is too long")),
    }
}

/// Reads a header by writing it again: whatever differs is refused.
fn parse(block: &[u8; BLOCK]) -> Result<TarEntry, SealError> {
    let refused = SealError::Tar("a header is not in the deterministic form");
    let text = |range: std::ops::Range<usize>| {
        let field = &block[range];
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        std::str::from_utf8(&field[..end]).ok()
    };
    let (Some(name), Some(prefix), Some(size)) = (text(0..100), text(345..500), text(124..135)) else {
        return Err(refused);
    };
    let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
    check_path(&path)?;
    let len = u64::from_str_radix(size, 8).map_err(|_| SealError::Tar("a size is not octal"))?;
    if header(&path, len)? != *block {
        return Err(refused);
    }
    Ok(TarEntry { path, len })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = TarWriter::new(Vec::new());
        for (path, content) in files {
            writer.append(path, content.len() as u64, &mut &content[..]).unwrap();
        }
        writer.finish().ok().unwrap()
    }

    fn refusal(bytes: &[u8]) -> &'static str {
        let mut reader = TarReader::new(bytes);
        loop {
            match reader.next_entry() {
                Ok(Some(_)) => {}
                Ok(None) => return "",
                Err(SealError::Tar(reason)) => return reason,
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn files_come_back() {
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(90));
        let bytes = archive(&[("a.txt", b"hello"), ("b/empty", b""), (&long, &[7; 512])]);
        let mut reader = TarReader::new(&bytes[..]);
        let mut found = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            assert_eq!(content.len() as u64, entry.len);
            found.push((entry.path, content));
        }
        assert_eq!(found[0], ("a.txt".into(), b"hello".to_vec()));
        assert_eq!(found[1], ("b/empty".into(), vec![]));
        assert_eq!(found[2], (long, vec![7; 512]));
    }

    #[test]
    fn paths_that_lead_out_or_do_not_ascend_are_refused() {
        for path in ["/abs", "../up", "a/../b", "", "a//b", "a/", "./a", "a\\b", "c:x", "a\nb"] {
            let result = TarWriter::new(Vec::new()).append(path, 0, &mut &b""[..]);
            assert!(matches!(result, Err(SealError::Tar(_))), "{path:?}");
        }
        let mut writer = TarWriter::new(Vec::new());
        writer.append("b", 0, &mut &b""[..]).unwrap();
        assert!(writer.append("a", 0, &mut &b""[..]).is_err());
        assert!(writer.append("b", 0, &mut &b""[..]).is_err());
    }

    #[test]
    fn a_content_of_another_length_is_refused() {
        for content in [&b"abc"[..], b"abcde"] {
            let mut writer = TarWriter::new(Vec::new());
            assert!(writer.append("a", 4, &mut &content[..]).is_err());
        }
    }

    #[test]
    fn every_other_form_is_refused() {
        let good = archive(&[("a", b"hello"), ("b", b"world")]);
        assert_eq!(refusal(&good), "");
        for position in 0..good.len() {
            let content = (512..517).contains(&position) || (1536..1541).contains(&position);
            let mut bytes = good.clone();
            bytes[position] ^= 1;
            assert_eq!(refusal(&bytes).is_empty(), content, "byte {position}");
        }
        for len in 0..good.len() {
            assert!(!refusal(&good[..len]).is_empty(), "cut to {len}");
        }
        assert!(!refusal(&[&good[..], &[0]].concat()).is_empty());
        let fetched = |bytes: &[u8]| {
            let mut reader = TarReader::fetched(bytes);
            while reader.next_entry()?.is_some() {}
            Ok::<_, SealError>(())
        };
        assert!(fetched(&[&good[..], &[0; 700]].concat()).is_ok());
        assert!(fetched(&good[..good.len() - BLOCK]).is_ok());
        assert!(fetched(&[&good[..], &[0, 1]].concat()).is_err());
        let swapped = [&good[1024..2048], &good[..1024], &good[2048..]].concat();
        assert_eq!(refusal(&swapped), "paths do not ascend");
    }

    #[test]
    fn a_packed_folder_comes_back_and_has_one_archive() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("d/empty")).unwrap();
        // "d.x" sorts before "d/b", which a walk of folders would not see.
        for path in ["d/b", "d.x", "a"] {
            fs::write(from.join(path), path).unwrap();
        }
        let bytes = pack(&from, Vec::new()).unwrap();
        assert_eq!(bytes, archive(&[("a", b"a"), ("d.x", b"d.x"), ("d/b", b"d/b")]));
        assert_eq!(unpack(TarReader::new(&bytes[..]), &to, 100).unwrap(), ["a", "d.x", "d/b"]);
        std::os::unix::fs::symlink("a", from.join("link")).unwrap();
        assert!(matches!(pack(&from, Vec::new()), Err(SealError::Tar(_))));
    }

    #[test]
    fn an_archive_of_countless_empty_files_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        let names: Vec<String> = (0..=MAX_FILES).map(|i| format!("{i:08}")).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        let refused = unpack(TarReader::new(&archive(&files)[..]), &target, 100);
        assert!(matches!(refused, Err(SealError::Tar("it holds more files than allowed"))));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn unpacking_is_all_or_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        let good = archive(&[("a", b"hello"), ("d/b", b"world")]);
        assert!(unpack(TarReader::new(&good[..good.len() - 1]), &target, 100).is_err());
        assert!(unpack(TarReader::new(&good[..]), &target, 9).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
        assert_eq!(unpack(TarReader::new(&good[..]), &target, 10).unwrap(), ["a", "d/b"]);
        assert_eq!(fs::read(target.join("d/b")).unwrap(), b"world");
        assert!(unpack(TarReader::new(&good[..]), &target, 10).is_err(), "an existing target stays");
    }
}
