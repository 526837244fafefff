//! Against Google Tink byte by byte, and against everything an attacker does to a file.

use std::io::{Cursor, Read, Write};

use licen_core::eip712::Domain;
use licen_core::primitives::B256;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct TinkFile {
    key: String,
    aad: String,
    cases: Vec<TinkCase>,
}

#[derive(Deserialize)]
struct TinkCase {
    size: usize,
    header: String,
    sha256: String,
    ciphertext: Option<String>,
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i.wrapping_mul(31) + (i >> 8) * 7 + (i >> 16)) as u8).collect()
}

fn key(byte: u8) -> DatasetKey {
    DatasetKey::import(&mut [byte; 32])
}

fn aad(byte: u8) -> StreamAad {
    dataset_aad(31337, &B256::repeat_byte(byte))
}

fn sealed(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encrypt(&key(1), &aad(1), &mut &plain[..], &mut out).unwrap();
    out
}

fn opened(cipher: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut out = Vec::new();
    decrypt(&key(1), &aad(1), &mut &cipher[..], &mut out)?;
    Ok(out)
}

/// Both readers must refuse, and what the first gave away before must be a prefix of the truth.
fn assert_refused(original: &[u8], plain: &[u8], mutated: &[u8]) {
    assert_ne!(original, mutated, "the mutation changed something");
    let mut out = Vec::new();
    let error = decrypt(&key(1), &aad(1), &mut &mutated[..], &mut out).unwrap_err();
    assert!(matches!(error, SealError::Segment { .. } | SealError::StreamHeader), "{error}");
    assert!(plain.starts_with(&out));
    let reader = SegmentReader::new(&key(1), &aad(1), Cursor::new(mutated));
    let all = reader.and_then(|mut reader| {
        let mut out = vec![0; reader.plaintext_len() as usize];
        reader.read_at(0, &mut out).map(|()| out)
    });
    assert!(matches!(all, Err(SealError::Segment { .. } | SealError::StreamHeader)));
}

#[test]
fn equal_to_google_tink_in_both_directions() {
    let file: TinkFile = serde_json::from_str(include_str!("../../tests/fixtures/tink.json")).unwrap();
    let mut bytes: [u8; 32] = hex::decode(file.key).unwrap().try_into().unwrap();
    let key = DatasetKey::import(&mut bytes);
    let aad = dataset_aad(31337, &B256::repeat_byte(0x22));
    assert_eq!(hex::encode(aad.as_bytes()), file.aad);
    for case in file.cases {
        let plain = pattern(case.size);
        let header: [u8; HEADER_BYTES] = hex::decode(&case.header).unwrap().try_into().unwrap();
        let mut encryptor = Encryptor::with_header(&key, &aad, Vec::new(), header).ok().unwrap();
        encryptor.read_from(&mut &plain[..]).unwrap();
        let ours = encryptor.finish().unwrap();
        let hash = crate::key::sha256(&[&ours]);
        assert_eq!(hex::encode(hash), case.sha256, "{} bytes", case.size);
        assert_eq!(ours.len() as u64, ciphertext_len(case.size as u64).unwrap());
        if let Some(theirs) = case.ciphertext {
            assert_eq!(hex::encode(&ours), theirs);
        }
        let mut out = Vec::new();
        assert_eq!(decrypt(&key, &aad, &mut &ours[..], &mut out).unwrap(), case.size as u64);
        assert!(out == plain);
    }
}

#[test]
fn every_bit_of_a_short_stream_counts() {
    let plain = pattern(20);
    let good = sealed(&plain);
    assert_eq!(opened(&good).unwrap(), plain);
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_refused(&good, &plain, &bytes);
    }
    for len in 0..good.len() {
        assert_refused(&good, &plain, &good[..len]);
    }
    assert_refused(&good, &plain, &[&good[..], &[0]].concat());
}

#[test]
fn segments_cannot_be_cut_moved_repeated_or_spliced() {
    let plain = pattern(3 * SEGMENT_BYTES);
    let good = sealed(&plain);
    assert_eq!(opened(&good).unwrap(), plain);
    let parts: Vec<&[u8]> = good.chunks(SEGMENT_BYTES).collect();
    assert_eq!(parts.len(), 4);
    let other = sealed(&plain);
    let foreign: Vec<&[u8]> = other.chunks(SEGMENT_BYTES).collect();
    let mut mutations = vec![
        good[..good.len() - 1].to_vec(),
        [&good[..], &[0]].concat(),
        good[..SEGMENT_BYTES].to_vec(),
        good[..2 * SEGMENT_BYTES].to_vec(),
        good[..3 * SEGMENT_BYTES].to_vec(),
        good[..3 * SEGMENT_BYTES + 16].to_vec(),
    ];
    for order in [
        &[0, 2, 1, 3][..],
        &[1, 0, 2, 3],
        &[0, 1, 3],
        &[0, 2, 3],
        &[1, 2, 3],
        &[0, 1, 1, 2, 3],
        &[0, 1, 2, 3, 3],
        &[0, 1, 2, 2],
    ] {
        mutations.push(order.iter().flat_map(|i| parts[*i]).copied().collect());
    }
    for replaced in 0..4 {
        let mut pieces = parts.clone();
        pieces[replaced] = foreign[replaced];
        mutations.push(pieces.concat());
    }
    for position in [0, 1, 20, 39, 40, SEGMENT_BYTES, 2 * SEGMENT_BYTES + 7, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[position] ^= 0x80;
        mutations.push(bytes);
    }
    for mutated in &mutations {
        assert_refused(&good, &plain, mutated);
    }
}

#[test]
fn another_key_or_context_opens_nothing() {
    let good = sealed(b"secret");
    let mut out = Vec::new();
    for (key, aad) in [(key(2), aad(1)), (key(1), aad(2))] {
        assert!(decrypt(&key, &aad, &mut &good[..], &mut out).is_err());
        assert!(SegmentReader::new(&key, &aad, Cursor::new(&good)).is_err());
    }
    let result = ResultKey(Secret::take(&mut [1; 32]));
    let domain = Domain { chain_id: 31337, contract: [0x11; 20].into() };
    let aad = result_aad(&domain, &B256::repeat_byte(1));
    assert!(decrypt(&result, &aad, &mut &good[..], &mut out).is_err());
    assert!(out.is_empty());
}

#[test]
fn an_unfinished_stream_is_refused() {
    let mut cipher = Vec::new();
    {
        let mut encryptor = Encryptor::new(&key(1), &aad(1), &mut cipher).ok().unwrap();
        encryptor.write_all(&pattern(2 * SEGMENT_BYTES)).unwrap();
    }
    assert!(cipher.len() >= SEGMENT_BYTES);
    assert!(matches!(opened(&cipher), Err(SealError::Segment { last: true, .. })));
}

#[test]
fn an_empty_last_segment_after_others_is_refused() {
    // A well-keyed writer of another shape: one plaintext would get two ciphertexts.
    let plain = pattern(FIRST_PLAIN as usize);
    let mut out = Vec::new();
    let mut encryptor = Encryptor::new(&key(1), &aad(1), &mut out).ok().unwrap();
    encryptor.write_all(&plain).unwrap();
    encryptor.end_segment(false).unwrap();
    encryptor.finish().unwrap();
    assert!(matches!(opened(&out), Err(SealError::Segment { index: 1, last: true })));
}

/// The stream of `plain` by whole segments, read in steps of `step` bytes.
fn taken(plain: &[u8], step: usize) -> Vec<u8> {
    let header: [u8; HEADER_BYTES] = std::array::from_fn(|i| if i == 0 { HEADER_BYTES as u8 } else { 7 });
    let mut encryptor = Encryptor::with_header(&key(1), &aad(1), Vec::new(), header).ok().unwrap();
    let mut source = plain;
    let mut room = Segment::default();
    for index in 0.. {
        room = room.begin(index);
        while !room.read_from(&mut source, step).unwrap().is_empty() {}
        if room.is_empty() {
            break;
        }
        room = encryptor.take(room).unwrap();
    }
    encryptor.finish().unwrap()
}

#[test]
fn segments_that_are_taken_make_the_stream_that_is_written() {
    let first = FIRST_PLAIN as usize;
    for len in [0, 1, first - 1, first, first + 1, first + OTHER_PLAIN as usize, 3 * SEGMENT_BYTES] {
        let plain = pattern(len);
        let header: [u8; HEADER_BYTES] = std::array::from_fn(|i| if i == 0 { HEADER_BYTES as u8 } else { 7 });
        let mut encryptor = Encryptor::with_header(&key(1), &aad(1), Vec::new(), header).ok().unwrap();
        encryptor.write_all(&plain).unwrap();
        let written = encryptor.finish().unwrap();
        for step in [SEGMENT_BYTES, 100_000] {
            assert!(taken(&plain, step) == written, "{len} bytes in steps of {step}");
        }
    }
}

#[test]
fn a_segment_out_of_its_place_ends_the_stream() {
    let filled = |index, mut bytes: &[u8]| {
        let mut segment = Segment::default().begin(index);
        segment.read_from(&mut bytes, usize::MAX).unwrap();
        segment
    };
    let whole = pattern(SEGMENT_BYTES);
    let open = || Encryptor::new(&key(1), &aad(1), Vec::new()).ok().unwrap();
    let refused = |mut encryptor: Encryptor<Vec<u8>>, segment| {
        assert!(matches!(encryptor.take(segment), Err(SealError::StreamFailed)));
        assert!(matches!(encryptor.finish(), Err(SealError::StreamFailed)));
    };
    refused(open(), filled(1, &whole));
    // A short one, and then another: there is one last segment.
    let mut short = open();
    short.take(filled(0, b"short")).unwrap();
    refused(short, filled(1, &whole));
    let mut twice = open();
    twice.take(filled(0, &whole)).unwrap();
    refused(twice, filled(0, &whole));
    assert!(matches!(open().take(Segment::default()), Err(SealError::StreamFailed)), "an empty one");
}

#[test]
fn a_failed_stream_stays_failed() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
            if data.len() == HEADER_BYTES {
                Ok(data.len())
            } else {
                Err(std::io::ErrorKind::StorageFull.into())
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut encryptor = Encryptor::new(&key(1), &aad(1), Full).ok().unwrap();
    let error = encryptor.read_from(&mut &pattern(SEGMENT_BYTES)[..]).unwrap_err();
    assert!(matches!(error, SealError::Io(e) if e.kind() == std::io::ErrorKind::StorageFull));
    assert!(matches!(encryptor.finish(), Err(SealError::StreamFailed)), "no nonce is used twice");

    let good = sealed(&pattern(100));
    let mut decryptor = Decryptor::new(&key(1), &aad(1), &good[..good.len() - 1]).ok().unwrap();
    assert!(matches!(decryptor.next_segment(), Err(SealError::Segment { .. })));
    assert!(matches!(decryptor.next_segment(), Err(SealError::StreamFailed)));
}

#[test]
fn errors_come_through_io_read_unchanged() {
    let good = sealed(b"some rows");
    let mut decryptor = Decryptor::new(&key(1), &aad(1), &good[..good.len() - 1]).ok().unwrap();
    let error = decryptor.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(matches!(SealError::from(error), SealError::Segment { index: 0, last: true }));
}

#[test]
fn any_range_can_be_read() {
    let plain = pattern(2 * SEGMENT_BYTES + 1000);
    let good = sealed(&plain);
    let mut reader = SegmentReader::new(&key(1), &aad(1), Cursor::new(&good)).ok().unwrap();
    assert_eq!((reader.plaintext_len(), reader.segments()), (plain.len() as u64, 3));
    let first = FIRST_PLAIN as usize;
    for (offset, len) in [(0, 10), (first - 1, 2), (first, 1), (first + 5, SEGMENT_BYTES), (0, plain.len())] {
        let mut out = vec![0; len];
        reader.read_at(offset as u64, &mut out).unwrap();
        assert!(out == plain[offset..offset + len]);
    }
    assert_eq!(reader.segment(1).unwrap().len(), OTHER_PLAIN as usize);
    assert!(matches!(reader.segment(3), Err(SealError::OutOfRange { .. })));
    let end = plain.len() as u64;
    assert!(matches!(reader.read_at(end, &mut [0]), Err(SealError::OutOfRange { .. })));
    assert!(matches!(reader.read_at(u64::MAX, &mut [0]), Err(SealError::OutOfRange { .. })));
    reader.read_at(end, &mut []).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_bytes_in_any_pieces_come_back(
        len in prop_oneof![0usize..5000, 1_048_500usize..1_048_600, 2_097_060usize..2_097_100],
        piece in 1usize..300_000,
    ) {
        let plain = pattern(len);
        let mut encryptor = Encryptor::new(&key(1), &aad(1), Vec::new()).ok().unwrap();
        for chunk in plain.chunks(piece) {
            encryptor.write_all(chunk).unwrap();
        }
        let cipher = encryptor.finish().unwrap();
        prop_assert_eq!(cipher.len() as u64, ciphertext_len(len as u64).unwrap());
        prop_assert_eq!(plaintext_len(cipher.len() as u64), Some(len as u64));
        let mut decryptor = Decryptor::new(&key(1), &aad(1), &cipher[..]).ok().unwrap();
        let mut out = Vec::new();
        let mut buffer = vec![0; piece];
        loop {
            let n = decryptor.read(&mut buffer).unwrap();
            if n == 0 { break }
            out.extend_from_slice(&buffer[..n]);
        }
        prop_assert!(out == plain);
    }
}
