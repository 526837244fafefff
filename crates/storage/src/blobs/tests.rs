use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

use licen_core::fault::{Fault, Party};
use licen_core::merkle::{Scalar, file_tree};
use tempfile::TempDir;

use super::*;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + 7) as u8).collect()
}

fn store() -> (TempDir, Blobs) {
    let dir = TempDir::new().expect("a directory");
    let blobs = Blobs::open(dir.path(), Options::default()).expect("opens");
    (dir, blobs)
}

fn put(blobs: &Blobs, data: &[u8]) -> B256 {
    blobs.put(None, data, |_| {}).expect("stored").root
}

/// Names of files that are not locked, not blobs and not sidecars.
fn leftovers(dir: &TempDir) -> Vec<String> {
    let list = fs::read_dir(dir.path().join("incoming")).expect("lists");
    list.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).expect("opens");
    file.seek(SeekFrom::Start(at)).expect("seeks");
    file.write_all(bytes).expect("writes");
}

#[test]
fn what_is_put_is_read_whole_and_in_ranges() {
    let (dir, blobs) = store();
    for len in [1, 256, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 5 * SEGMENT_BYTES + 77] {
        let data = pattern(len);
        let expected = file_tree(&data).expect("not empty").root;
        let mut heard = 0;
        let stored = blobs.put(Some(expected), &data[..], |bytes| heard = bytes).expect("stored");
        assert_eq!(stored, Stored { root: expected, bytes: len as u64, created: true });
        assert_eq!(heard, len as u64);
        assert_eq!(blobs.size(expected).expect("a size"), Some(len as u64));
        assert_eq!(blobs.read(expected, len as u64).expect("reads"), data);
        let middle = len / 2;
        for (start, end) in [(0, 1), (0, len), (middle, len), (len - 1, len), (middle, middle + 1)] {
            let mut part = Vec::new();
            let blob = blobs.get(expected).expect("opens");
            let mut reader = blob.range(start as u64..end as u64).expect("inside");
            reader.read_to_end(&mut part).expect("reads");
            assert_eq!(part, data[start..end], "{start}..{end} of {len}");
        }
        let again = blobs.put(Some(expected), &data[..], |_| {}).expect("stored");
        assert!(!again.created);
    }
    assert_eq!(leftovers(&dir), [""; 0]);
}

#[test]
fn segments_come_with_strict_proofs() {
    let (_dir, blobs) = store();
    let data = pattern(17 * SEGMENT_BYTES - 9);
    let root = put(&blobs, &data);
    let mut blob = blobs.get(root).expect("opens");
    for index in [0, 7, 16] {
        let (segment, proof) = (blob.segment(index).expect("reads"), blob.proof(index).expect("proves"));
        proof.verify(&Scalar, root, blob.geometry(), index, &segment).expect("holds");
    }
    assert!(matches!(blob.segment(17), Err(Error::Range { .. })));
    assert!(matches!(blob.proof(18), Err(Error::Range { .. })));
    assert!(matches!(blob.range(5..5), Err(Error::Range { .. })));
}

#[test]
fn wrong_root_empty_and_too_large_leave_nothing() {
    let dir = TempDir::new().expect("a directory");
    let options = Options { max_blob_bytes: 1000, ..Options::default() };
    let blobs = Blobs::open(dir.path(), options).expect("opens");
    let wrong = blobs.put(Some(B256::ZERO), &pattern(10)[..], |_| {});
    assert!(matches!(wrong, Err(Error::RootMismatch { .. })), "{wrong:?}");
    assert!(matches!(blobs.put(None, &[][..], |_| {}), Err(Error::Empty)));
    let large = blobs.put(None, &pattern(1001)[..], |_| {});
    assert!(matches!(large, Err(Error::TooLarge { bytes: 1001, limit: 1000 })), "{large:?}");
    assert_eq!(leftovers(&dir), [""; 0]);
    assert!(matches!(blobs.get(B256::ZERO), Err(Error::NotFound { .. })));
    assert!(!blobs.exists(B256::ZERO).expect("asks"));
    let root = put(&blobs, &pattern(1000));
    assert!(matches!(blobs.read(root, 999), Err(Error::TooLarge { bytes: 1000, limit: 999 })));
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let (dir, blobs) = store();
    let data = pattern(3 * SEGMENT_BYTES);
    for room in [0, 1, SEGMENT_BYTES as u64, data.len() as u64 - 1] {
        blobs.set_room(room);
        let full = blobs.put(None, &data[..], |_| {}).expect_err("no room");
        assert!(matches!(full, Error::DiskFull { .. }), "{full:?}");
        assert_eq!((full.code(), full.fault(), full.retryable()), ("LIC0609", Party::Environment, false));
        assert_eq!(leftovers(&dir), [""; 0]);
    }
    blobs.set_room(u64::MAX);
    let root = put(&blobs, &data);
    assert_eq!(blobs.read(root, u64::MAX).expect("reads"), data);
}

#[test]
fn an_interrupted_upload_continues_after_a_full_disk_and_a_restart() {
    let (dir, blobs) = store();
    let data = pattern(2 * SEGMENT_BYTES + 5);
    let root = file_tree(&data).expect("not empty").root;
    let mut writer = BlobWriter::resumable(blobs.clone(), root, "a").expect("starts");
    writer.append(&data[..1000]).expect("room");
    blobs.set_room(10);
    assert!(matches!(writer.append(&data[1000..2000]), Err(Error::DiskFull { .. })));
    assert_eq!(writer.bytes(), 1000, "the ten bytes that fitted are gone again");
    // Somebody else is refused while it is open, in this process or another.
    let busy = BlobWriter::resumable(blobs.clone(), root, "a");
    assert!(matches!(busy, Err(Error::Busy { .. })), "{busy:?}");
    drop(writer);
    drop(blobs);

    let blobs = Blobs::open(dir.path(), Options::default()).expect("opens");
    let mut writer = BlobWriter::resumable(blobs.clone(), root, "a").expect("continues");
    assert_eq!(writer.bytes(), 1000);
    writer.append(&data[1000..]).expect("room");
    assert!(writer.finish(Some(root)).expect("stored").created);
    assert_eq!(blobs.read(root, u64::MAX).expect("reads"), data);
    assert_eq!(leftovers(&dir), [""; 0]);
}

#[test]
fn leftovers_of_a_crash_are_cleared_but_not_work_in_progress() {
    let (dir, blobs) = store();
    let working = blobs.writer().expect("starts");
    fs::write(dir.path().join("incoming/put-dead.part"), b"half").expect("writes");
    fs::write(dir.path().join("incoming/put-dead.seg"), b"half").expect("writes");
    fs::write(dir.path().join("incoming/up-young.part"), b"half").expect("writes");
    let second = Blobs::open(dir.path(), Options::default()).expect("opens");
    let mut left = leftovers(&dir);
    left.sort();
    let own = working_name(&left);
    assert_eq!(left, [own, "up-young.part".into()]);
    let options = Options { stale_after: Duration::ZERO, ..Options::default() };
    std::thread::sleep(Duration::from_millis(5));
    Blobs::open(dir.path(), options).expect("opens");
    assert_eq!(leftovers(&dir).len(), 1, "the young upload was stale now");
    drop(working);
    drop(second);
    assert_eq!(leftovers(&dir), [""; 0]);
}

fn working_name(left: &[String]) -> String {
    left.iter().find(|name| name.starts_with("put-")).expect("still there").clone()
}

#[test]
fn damage_is_an_error_and_can_be_repaired_by_putting_again() {
    let (_dir, blobs) = store();
    let data = pattern(3 * SEGMENT_BYTES);
    let root = put(&blobs, &data);
    overwrite(&blobs.path(root), SEGMENT_BYTES as u64 + 5, b"!");
    // The segments around the damage are still good, and only they come out.
    let mut blob = blobs.get(root).expect("opens");
    assert_eq!(blob.segment(0).expect("good"), data[..SEGMENT_BYTES]);
    assert!(matches!(blob.segment(1), Err(Error::Corrupt { .. })));
    assert!(matches!(blobs.get(root), Err(Error::NotFound { .. })), "the name is free again");
    assert_eq!(put(&blobs, &data), root);
    assert_eq!(blobs.read(root, u64::MAX).expect("reads"), data);
}

#[test]
fn a_lost_or_damaged_sidecar_is_rebuilt() {
    let (_dir, blobs) = store();
    let data = pattern(3 * SEGMENT_BYTES + 1);
    let root = put(&blobs, &data);
    let path = blobs.sidecar_path(root);
    let good = fs::read(&path).expect("reads");
    fs::remove_file(&path).expect("removes");
    assert_eq!(blobs.read(root, u64::MAX).expect("reads"), data);
    assert_eq!(fs::read(&path).expect("is back"), good);
    for at in [0, 8, 16, good.len() - 1] {
        overwrite(&path, at as u64, &[good[at] ^ 1]);
        assert_eq!(blobs.read(root, u64::MAX).expect("reads"), data);
        assert_eq!(fs::read(&path).expect("is back"), good);
    }
    // A length of its own making does not fold to the root, or is not the length of the blob.
    let longer = [&good[..8], &(data.len() as u64 + 1).to_be_bytes(), &good[16..]].concat();
    fs::write(&path, longer).expect("writes");
    assert!(matches!(blobs.get(root), Err(Error::Corrupt { .. })));
    fs::remove_file(&path).expect("removes");
    put(&blobs, &data);
    // Without a sidecar, damage is found by hashing the whole.
    fs::remove_file(&path).expect("removes");
    overwrite(&blobs.path(root), 0, b"!");
    assert!(matches!(blobs.get(root), Err(Error::Corrupt { .. })));
}

#[test]
fn the_longest_form_of_a_root_is_kept() {
    let (dir, blobs) = store();
    let data = pattern(1000);
    let root = put(&blobs, &data);
    let longer = [&data[..], &[0; 5]].concat();
    assert_eq!(file_tree(&longer).expect("not empty").root, root);
    assert!(blobs.put(Some(root), &longer[..], |_| {}).expect("stored").created);
    assert_eq!(blobs.read(root, u64::MAX).expect("reads"), longer);
    assert!(!blobs.put(Some(root), &data[..], |_| {}).expect("stored").created, "it holds the shorter");
    assert_eq!(blobs.read(root, u64::MAX).expect("reads"), longer);
    assert_eq!(leftovers(&dir), [""; 0]);
    // Nor may a file grow where it lies, although its root stays the same: the sidecar knows.
    let mut file = OpenOptions::new().append(true).open(blobs.path(root)).expect("opens");
    file.write_all(&[0; 3]).expect("writes");
    assert!(matches!(blobs.get(root), Err(Error::Corrupt { reason: "its length changed", .. })));
    assert!(blobs.put(Some(root), &data[..], |_| {}).expect("stored").created);
}

#[test]
fn many_writers_of_one_blob() {
    let (dir, blobs) = store();
    let data = pattern(2 * SEGMENT_BYTES);
    let created = std::thread::scope(|scope| {
        let writers: Vec<_> =
            (0..6).map(|_| scope.spawn(|| blobs.put(None, &data[..], |_| {}).expect("stored"))).collect();
        writers.into_iter().map(|w| w.join().expect("ends")).filter(|s| s.created).count()
    });
    assert_eq!(created, 1);
    assert_eq!(leftovers(&dir), [""; 0]);
}
