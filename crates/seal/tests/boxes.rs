//! Boxes that other implementations sealed: a release by @hpke/core, and the original format.

use licen_seal::legacy::{open_legacy_blob, open_legacy_envelope};
use licen_seal::{EciesRecipientKey, SealError};

fn fixture(section: &str, field: &str) -> String {
    let file: serde_json::Value = serde_json::from_str(include_str!("fixtures/javascript.json")).unwrap();
    file[section][field].as_str().unwrap().to_owned()
}

fn key(hex_text: &str) -> EciesRecipientKey {
    let mut bytes: [u8; 32] = hex::decode(hex_text).unwrap().try_into().unwrap();
    EciesRecipientKey::import(&mut bytes).ok().unwrap()
}

#[test]
fn the_original_format_is_imported() {
    let envelope = fixture("legacy", "envelope");
    let blob = hex::decode(fixture("legacy", "blob")).unwrap();
    let owner = key(&fixture("legacy", "secret"));
    for text in [envelope.clone(), format!("0x{envelope}\n"), envelope.to_uppercase()] {
        let dataset = open_legacy_envelope(&text, &owner).ok().unwrap();
        let mut plain = blob.clone();
        open_legacy_blob(&mut plain, &dataset).unwrap();
        assert_eq!(String::from_utf8(plain).unwrap(), fixture("legacy", "plain"));
    }
}

#[test]
fn a_changed_original_is_refused() {
    let envelope = hex::decode(fixture("legacy", "envelope")).unwrap();
    let blob = hex::decode(fixture("legacy", "blob")).unwrap();
    let owner = key(&fixture("legacy", "secret"));
    // The x-coordinate does not tell a point from its negative: the format itself does not bind the
    // parity in byte 0, and the plaintext is the right one either way.
    for position in 1..envelope.len() {
        let mut bytes = envelope.clone();
        bytes[position] ^= 1;
        let error = open_legacy_envelope(&hex::encode(bytes), &owner).err().unwrap();
        assert!(matches!(error, SealError::Legacy(_) | SealError::PublicKey), "byte {position}");
    }
    for bad in ["", "zz", "0x", &hex::encode(&envelope[1..])] {
        assert!(matches!(open_legacy_envelope(bad, &owner), Err(SealError::Legacy(_))));
    }
    let other = key(&"01".repeat(32));
    assert!(matches!(open_legacy_envelope(&hex::encode(&envelope), &other), Err(SealError::Legacy(_))));
    let dataset = open_legacy_envelope(&hex::encode(&envelope), &owner).ok().unwrap();
    for position in 0..blob.len() {
        let mut changed = blob.clone();
        changed[position] ^= 1;
        assert!(matches!(open_legacy_blob(&mut changed, &dataset), Err(SealError::Legacy(_))));
        assert!(changed.is_empty(), "no wrong plaintext stays");
    }
}
