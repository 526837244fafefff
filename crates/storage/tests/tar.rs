//! One set of files, one archive; and nothing is accepted that is not that archive.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};

use licen_storage::Error;
use licen_storage::tar::{Limits, Reader, Writer, pack, pack_dir, read_all, unpack_dir};
use proptest::prelude::*;

fn small() -> Vec<u8> {
    pack(&[("b/c.txt", b"hello"), ("a", b""), ("b.bin", &[7; 512])]).expect("packs")
}

fn refused(archive: &[u8]) -> String {
    match read_all(archive, Limits::default()) {
        Err(error @ Error::Tar { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The header fields of the first entry, changed and with the checksum made right again.
fn with_header(change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut archive = pack(&[("a", b"x")]).expect("packs");
    let header = &mut archive[..512];
    change(header);
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive
}

#[test]
fn bytes_are_those_of_other_tools() {
    // keccak256 of what GNU tar 1.34 writes: tar -c -b1 --format=ustar --mode=0644 --owner=0 --group=0
    // --numeric-owner --mtime=@0 a b.bin b/c.txt
    let archive = small();
    assert_eq!(archive.len(), 512 * (1 + 2 + 2 + 2));
    let digest = licen_core::primitives::keccak256(&archive);
    assert_eq!(digest.to_string(), "0x2f7d7c0d546d1c251aae68536f2dc8659aaad9cfe848a3cc8168b368dec7e54b");
}

#[test]
fn a_folder_survives_the_round_trip() {
    let dir = tempfile::tempdir().expect("a directory");
    let from = dir.path().join("from");
    fs::create_dir_all(from.join("deep/er")).expect("makes");
    fs::create_dir_all(from.join("empty")).expect("makes");
    fs::write(from.join("deep/er/file"), vec![1; 3000]).expect("writes");
    fs::write(from.join("deep-er"), b"sorts before deep/").expect("writes");
    fs::write(from.join("zero"), b"").expect("writes");
    let archive = pack_dir(&from, Vec::new()).expect("packs");
    let names: Vec<_> = read_all(&archive[..], Limits::default()).expect("reads");
    let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["deep-er", "deep/er/file", "zero"]);
    let to = dir.path().join("to");
    unpack_dir(&archive[..], &to, Limits::default()).expect("unpacks");
    assert_eq!(pack_dir(&to, Vec::new()).expect("packs"), archive);
    // Never into a folder that exists.
    assert!(matches!(unpack_dir(&archive[..], &to, Limits::default()), Err(Error::Io { .. })));
    // A bad archive leaves no folder, not even the good part of it.
    let bad = &archive[..archive.len() - 1];
    let nowhere = dir.path().join("nowhere");
    assert!(matches!(unpack_dir(bad, &nowhere, Limits::default()), Err(Error::Tar { .. })));
    let mut left: Vec<_> =
        fs::read_dir(dir.path()).expect("lists").map(|e| e.expect("entry").file_name()).collect();
    left.sort();
    assert_eq!(left, ["from", "to"]);
}

#[cfg(unix)]
#[test]
fn links_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).expect("links");
    assert!(matches!(pack_dir(dir.path(), Vec::new()), Err(Error::TarEntry { .. })));
}

#[test]
fn paths_that_lead_elsewhere_are_neither_written_nor_read() {
    for path in ["", "/a", "../a", "a/../b", "a//b", "a/", "./a", ".", "a\0b", "a\nb", "a\\b", "c:d"] {
        let written = pack(&[(path, b"x")]);
        assert!(matches!(written, Err(Error::TarEntry { .. })), "{path:?}: {written:?}");
        if path.len() < 100 && !path.contains('\0') {
            let archive = with_header(|header| {
                header[..100].fill(0);
                header[..path.len()].copy_from_slice(path.as_bytes());
            });
            refused(&archive);
        }
    }
    refused(&with_header(|header| header[0] = 0xff));
}

#[test]
fn order_and_names_are_strict() {
    let mut writer = Writer::new(Vec::new());
    writer.entry("b", 1, &b"x"[..]).expect("first");
    for path in ["b", "a"] {
        assert!(matches!(writer.entry(path, 0, &b""[..]), Err(Error::TarEntry { .. })), "{path}");
    }
    // `b` is a file: it cannot be a folder too, however far behind.
    writer.entry("b-", 0, &b""[..]).expect("second");
    assert!(matches!(writer.entry("b/c", 0, &b""[..]), Err(Error::TarEntry { .. })));
    let one = pack(&[("a", b"1")]).expect("packs");
    let two = pack(&[("b", b"2")]).expect("packs");
    let entries = |archive: &[u8]| archive[..1024].to_vec();
    let joined = |first: &[u8], second: &[u8]| [&entries(first)[..], &entries(second), &[0; 1024]].concat();
    assert_eq!(read_all(&joined(&one, &two)[..], Limits::default()).expect("reads").len(), 2);
    assert!(refused(&joined(&two, &one)).contains("ascend"));
    assert!(refused(&joined(&one, &one)).contains("ascend"));
}

#[test]
fn lengths_that_lie_are_refused() {
    for content in [&b"12345"[..], b"123"] {
        let mut writer = Writer::new(Vec::new());
        let refused = writer.entry("a", 4, content);
        assert!(matches!(refused, Err(Error::TarEntry { .. })), "{refused:?}");
    }
    let archive = small();
    for cut in [0, 1, 511, 512, 600, archive.len() - 1024, archive.len() - 512, archive.len() - 1] {
        refused(&archive[..cut]);
    }
    refused(&[&archive[..], &[0]].concat());
    refused(&[&archive[..], &[0; 512]].concat());
}

#[test]
fn other_kinds_of_tar_are_refused() {
    refused(&with_header(|header| header[156] = 0)); // old regular file
    refused(&with_header(|header| header[156] = b'1')); // hard link
    refused(&with_header(|header| header[156] = b'2')); // symbolic link
    refused(&with_header(|header| header[156] = b'5')); // folder
    refused(&with_header(|header| header[156] = b'x')); // pax extension
    refused(&with_header(|header| header[106] = b'5')); // mode 0645
    refused(&with_header(|header| header[136 + 10] = b'1')); // mtime 1
    refused(&with_header(|header| header[265] = b'r')); // uname
    refused(&with_header(|header| header[257..265].copy_from_slice(b"ustar  \0"))); // GNU
    refused(&with_header(|header| header[124] = 0x80)); // base-256 size
    refused(&with_header(|header| header[505] = 1)); // behind the prefix
    refused(&with_header(|header| header[50] = b'z')); // behind the name
    refused(&with_header(|header| header[345] = b'p')); // a prefix where the name would do
}

#[test]
fn limits_hold_before_anything_is_read() {
    let archive = small();
    let limits = Limits::default();
    for tight in [
        Limits { entries: 2, ..limits },
        Limits { entry_bytes: 511, ..limits },
        Limits { total_bytes: 516, ..limits },
    ] {
        assert!(matches!(read_all(&archive[..], tight), Err(Error::Tar { .. })), "{tight:?}");
    }
    read_all(&archive[..], Limits { entries: 3, entry_bytes: 512, total_bytes: 517 }).expect("exactly fits");
}

#[test]
fn long_paths_have_one_header() {
    let long = format!("{}/{}", "d".repeat(60), "e".repeat(60));
    let longest = format!("{}/{}", "d".repeat(155), "e".repeat(100));
    for path in ["x".repeat(100), long, longest] {
        let archive = pack(&[(&path, b"x")]).expect("packs");
        assert_eq!(read_all(&archive[..], Limits::default()).expect("reads")[0].0, path);
    }
    for path in ["x".repeat(101), format!("{}/{}", "d".repeat(156), "e".repeat(100))] {
        assert!(matches!(pack(&[(&path, b"x")]), Err(Error::TarEntry { .. })));
    }
    // The same path cut at another slash.
    let path = format!("aa/{}/{}", "d".repeat(49), "e".repeat(50));
    let mut archive = pack(&[(&path, b"x")]).expect("packs");
    let (prefix, name) = path.rsplit_once('/').expect("has one");
    archive[..100].fill(0);
    archive[..name.len()].copy_from_slice(name.as_bytes());
    archive[345..500].fill(0);
    archive[345..345 + prefix.len()].copy_from_slice(prefix.as_bytes());
    refused(&archive);
}

#[test]
fn entries_can_be_skipped_or_read_in_pieces() {
    let archive = small();
    let mut reader = Reader::new(Cursor::new(&archive), Limits::default());
    assert_eq!(reader.next_entry().expect("reads").expect("a").path, "a");
    assert_eq!(reader.next_entry().expect("reads").expect("b.bin").path, "b.bin");
    reader.read_exact(&mut [0; 100]).expect("reads");
    let last = reader.next_entry().expect("reads").expect("b/c.txt");
    assert_eq!((&last.path[..], last.size), ("b/c.txt", 5));
    assert_eq!(reader.next_entry().expect("reads"), None);
}

fn files() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let name = "[a-zA-Zäß0-9._ -]{1,60}".prop_filter("dots", |name| name != "." && name != "..");
    let path = proptest::collection::vec(name, 1..4).prop_map(|parts| parts.join("/"));
    let fits = path.prop_filter("long", |path| path.len() <= 100);
    proptest::collection::btree_map(fits, proptest::collection::vec(any::<u8>(), 0..1500), 0..8)
}

fn conflict(files: &BTreeMap<String, Vec<u8>>) -> bool {
    files.keys().any(|a| files.keys().any(|b| b.starts_with(&format!("{a}/"))))
}

proptest! {
    #[test]
    fn read_inverts_write(files in files()) {
        prop_assume!(!conflict(&files));
        let list: Vec<(&str, &[u8])> = files.iter().rev().map(|(k, v)| (&k[..], &v[..])).collect();
        let archive = pack(&list).expect("packs");
        prop_assert_eq!(archive.len() % 512, 0);
        let read = read_all(&archive[..], Limits::default()).expect("reads");
        prop_assert!(read.iter().map(|(k, v)| (k, v)).eq(files.iter()));
    }

    /// Whatever is accepted is what would be written: a changed byte is refused or is another file.
    #[test]
    fn one_layout_only(files in files(), at: prop::sample::Index, change in 1u8..) {
        prop_assume!(!conflict(&files));
        let list: Vec<(&str, &[u8])> = files.iter().map(|(k, v)| (&k[..], &v[..])).collect();
        let mut archive = pack(&list).expect("packs");
        let at = at.index(archive.len());
        archive[at] ^= change;
        if let Ok(read) = read_all(&archive[..], Limits::default()) {
            let list: Vec<(&str, &[u8])> = read.iter().map(|(k, v)| (&k[..], &v[..])).collect();
            prop_assert_eq!(pack(&list).expect("packs"), archive);
        }
    }
}
