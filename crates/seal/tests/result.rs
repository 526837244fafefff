//! The result container.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use licen_core::abi::Member;
use licen_core::eip712::Domain;
use licen_core::merkle::{Scalar, file_tree};
use licen_core::primitives::{Address, B256};
use licen_seal::result::{ResultHeader, ResultTar, ResultTerms, ResultWriter, read_result, unpack_result};
use licen_seal::result_share::ResultShares;
use licen_seal::tar::archive_len;
use licen_seal::{RecipientKey, ResultKey, SealError};

const FILES: [(&str, usize); 3] =
    [("adapter_config.json", 40), ("adapter_model.safetensors", 1_500_000), ("card.md", 0)];

fn terms(attempt: u32) -> ResultTerms {
    let domain = Domain { chain_id: 31337, contract: Address::repeat_byte(0x11) };
    ResultTerms { domain, job_id: B256::repeat_byte(0x66), attempt }
}

fn tar() -> ResultTar {
    let files = FILES.map(|(path, len)| (path, content(len)));
    ResultTar::of(Scalar, files.iter().map(|(path, bytes)| (*path, &bytes[..]))).unwrap()
}

fn deal(key: &ResultKey, terms: &ResultTerms, n: u8) -> ResultHeader {
    deal_of(key, terms, n, tar())
}

fn deal_of(key: &ResultKey, terms: &ResultTerms, n: u8, tar: ResultTar) -> ResultHeader {
    let members: Vec<_> = (1..=n)
        .map(|i| (Address::repeat_byte(i), RecipientKey::import(&mut [i; 32]).ok().unwrap().public()))
        .collect();
    ResultShares::deal(key, terms, 2.min(n), &members, tar).ok().unwrap().header().clone()
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7) as u8).collect()
}

fn sample() -> (ResultKey, ResultHeader, Vec<u8>) {
    sample_of(3)
}

fn sample_of(n: u8) -> (ResultKey, ResultHeader, Vec<u8>) {
    let key = ResultKey::generate().ok().unwrap();
    let header = deal(&key, &terms(1), n);
    let mut writer = ResultWriter::new(&key, &header, Vec::new()).ok().unwrap();
    for (path, len) in FILES {
        writer.append(path, len as u64, &mut &content(len)[..]).unwrap();
    }
    let blob = writer.finish().unwrap();
    (key, header, blob)
}

#[test]
fn zeros_behind_the_stream_change_nothing_and_a_wrong_length_is_never_written() {
    let (key, header, blob) = sample();
    for zeros in [1, 255, 70_000] {
        let mut padded = blob.clone();
        padded.resize(blob.len() + zeros, 0);
        let mut source = &padded[..];
        let read = ResultHeader::read_from(&mut source).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let paths = unpack_result(&key, &read, source, &dir.path().join("out"), u64::MAX).unwrap();
        assert_eq!(paths, FILES.map(|(path, _)| path));
        for (path, mode) in [("out", 0o700), ("out/card.md", 0o600)] {
            let found = fs::metadata(dir.path().join(path)).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{path}: it was paid for, and is nobody else's");
        }
    }
    let writer = ResultWriter::new(&key, &header, Vec::new()).ok().unwrap();
    assert!(matches!(writer.finish(), Err(SealError::Result(_))), "no files, though the header has three");
}

/// Compute that names another adapter than the one in the result would sell what nobody can build on.
#[test]
fn a_header_that_names_another_adapter_is_not_written_and_its_result_not_unpacked() {
    let mut archive = licen_seal::tar::TarWriter::new(Vec::new());
    for (path, len) in FILES {
        archive.append(path, len as u64, &mut &content(len)[..]).unwrap();
    }
    let archive = archive.finish().ok().unwrap();
    let root = file_tree(&archive).unwrap().root;
    assert_eq!(tar(), ResultTar { bytes: archive.len() as u64, root });
    let (key, header, blob) = sample();
    assert_eq!((header.adapter_root(), header.tar_bytes()), (root, archive.len() as u64));

    let lying = deal_of(&key, &terms(1), 3, ResultTar { root: B256::repeat_byte(9), ..tar() });
    let mut writer = ResultWriter::new(&key, &lying, Vec::new()).ok().unwrap();
    for (path, len) in FILES {
        writer.append(path, len as u64, &mut &content(len)[..]).unwrap();
    }
    assert!(matches!(writer.finish(), Err(SealError::Result(_))));

    // A writer of its own: the stream is genuine, the header in front of it is not.
    let mut source = &blob[..];
    ResultHeader::read_from(&mut source).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let error = unpack_result(&key, &lying, source, &dir.path().join("out"), u64::MAX).unwrap_err();
    assert!(matches!(error, SealError::Result(_)), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing of it appears");
}

#[test]
fn files_come_back_and_the_header_says_who_holds_the_key() {
    let (key, header, blob) = sample();
    let mut source = &blob[..];
    let read = ResultHeader::read_from(&mut source).unwrap();
    assert_eq!(read, header);
    assert_eq!((read.t(), read.members().len(), *read.terms()), (2, 3, terms(1)));
    let mut files = read_result(&key, &read, source).ok().unwrap();
    for (path, len) in FILES {
        let entry = files.next_entry().unwrap().unwrap();
        assert_eq!((entry.path.as_str(), entry.len), (path, len as u64));
        let mut found = Vec::new();
        files.read_to_end(&mut found).unwrap();
        assert!(found == content(len));
    }
    assert!(files.next_entry().unwrap().is_none());
}

#[test]
fn unpacking_is_all_or_nothing() {
    let (key, header, blob) = sample();
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("adapter");
    let body = |blob: &[u8]| {
        let mut source = blob;
        ResultHeader::read_from(&mut source).unwrap();
        source.to_vec()
    };
    for cut in [1, 17, 5_000, 600_000] {
        let short = body(&blob[..blob.len() - cut]);
        let error = unpack_result(&key, &header, &short[..], &target, u64::MAX).unwrap_err();
        assert!(matches!(error, SealError::Segment { .. }), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
    let error = unpack_result(&key, &header, &body(&blob)[..], &target, 1_000_000).unwrap_err();
    assert!(matches!(error, SealError::Tar(_)));
    let paths = unpack_result(&key, &header, &body(&blob)[..], &target, 2_000_000).unwrap();
    assert_eq!(paths, FILES.map(|(path, _)| path));
    assert_eq!(fs::read(target.join(FILES[1].0)).unwrap(), content(FILES[1].1));
}

#[test]
fn another_key_or_job_opens_nothing() {
    let (key, header, blob) = sample();
    let mut source = &blob[..];
    ResultHeader::read_from(&mut source).unwrap();
    let other = ResultKey::generate().ok().unwrap();
    assert!(matches!(read_result(&other, &header, source).err(), Some(SealError::WrongKey)));
    let elsewhere = ResultTerms { job_id: B256::ZERO, ..terms(1) };
    let mut files = read_result(&key, &deal(&key, &elsewhere, 3), source).ok().unwrap();
    assert!(matches!(files.next_entry(), Err(SealError::Segment { index: 0, .. })));
    let header_of_another = deal(&other, &terms(1), 3);
    assert!(matches!(
        ResultWriter::new(&key, &header_of_another, Vec::new()).err(),
        Some(SealError::WrongKey)
    ));
}

#[test]
fn a_result_of_somebody_elses_making_is_not_the_jobs() {
    let (_, header, _) = sample();
    let members: Vec<Member> =
        header.members().iter().map(|m| Member { signer: m.custodian, hpkeKey: m.pk.0 }).collect();
    header.must_be_of(&terms(1), 2, &members).unwrap();
    let elsewhere = Domain { chain_id: 1, ..terms(1).domain };
    for (terms, t, members) in [
        (terms(2), 2, &members[..]),
        (ResultTerms { job_id: B256::ZERO, ..terms(1) }, 2, &members),
        (ResultTerms { domain: elsewhere, ..terms(1) }, 2, &members),
        (terms(1), 1, &members),
        (terms(1), 2, &members[..2]),
        (terms(1), 2, &[members[1].clone(), members[0].clone(), members[2].clone()]),
    ] {
        assert!(matches!(header.must_be_of(&terms, t, members), Err(SealError::Result(_))));
    }
}

#[test]
fn a_bad_header_is_refused() {
    let (_, header, blob) = sample();
    let length = u32::from_be_bytes(blob[8..12].try_into().unwrap()) as usize;
    for len in 0..12 + length {
        assert!(ResultHeader::read_from(&mut &blob[..len]).is_err(), "cut to {len}");
    }
    for position in 0..12 + length {
        let mut bytes = blob[..12 + length].to_vec();
        bytes[position] ^= 1;
        match ResultHeader::read_from(&mut &bytes[..]) {
            Ok(changed) => assert_ne!(changed, header, "byte {position}"),
            Err(error) => assert!(matches!(
                error,
                SealError::Result(_) | SealError::Canonical(_) | SealError::Threshold { .. }
            )),
        }
    }
    let mut huge = blob[..12].to_vec();
    huge[8..].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(ResultHeader::read_from(&mut &huge[..]), Err(SealError::Result(_))));
}

#[test]
fn the_largest_set_fits() {
    let (_, header, blob) = sample_of(255);
    assert_eq!(ResultHeader::read_from(&mut &blob[..]).unwrap(), header);
}

#[test]
fn a_tar_is_the_one_that_gnu_tar_writes() {
    // sha256sum of: tar --format=ustar -b1 --sort=name --mode=0644 --owner=0 --group=0
    // --numeric-owner --mtime=@0 -cf - a.txt d/b.bin <long>, contents as below.
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(90));
    let mut writer = licen_seal::tar::TarWriter::new(Vec::new());
    writer.append("a.txt", 5, &mut &b"hello"[..]).unwrap();
    writer.append("d/b.bin", 600, &mut &content(600)[..]).unwrap();
    writer.append(&long, 1, &mut &b"x"[..]).unwrap();
    let archive = writer.finish().ok().unwrap();
    assert_eq!(archive.len(), 4608);
    assert_eq!(archive_len([5, 600, 1]), 4608);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &archive);
    assert_eq!(hex::encode(hash), "d5f8e2e6fe8d54d6e852a1fe872054624cc05db916e570a0e9f85b1f152315ef");
}
