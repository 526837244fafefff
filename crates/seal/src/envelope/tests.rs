//! Envelopes against an independent implementation, and against tampering.

use licen_core::canonical;
use serde::Deserialize;

use super::*;
use crate::release::combine;

#[derive(Deserialize)]
struct JavaScriptFile {
    envelopes: Vec<JavaScriptEnvelope>,
}

#[derive(Deserialize)]
struct JavaScriptEnvelope {
    suite: u8,
    key: String,
    secrets: Vec<String>,
    envelope: String,
}

fn terms() -> EnvelopeTerms {
    EnvelopeTerms {
        chain_id: 31337,
        dataset_uid: B256::repeat_byte(0x22),
        uses: Uses::Job,
        t: 2,
        required_level: 1,
        custodian_set: B256::repeat_byte(0x33),
        set_version: 7,
    }
}

fn bytes32(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn hpke_keys(n: u8) -> Vec<RecipientKey> {
    (1..=n).map(|i| RecipientKey::import(&mut [i; 32]).ok().unwrap()).collect()
}

fn members(keys: &[RecipientKey]) -> Vec<EnvelopeMember> {
    (0x41u8..)
        .zip(keys)
        .map(|(byte, key)| EnvelopeMember {
            custodian: Address::repeat_byte(byte),
            pk: MemberPublicKey::Hpke(key.public()),
        })
        .collect()
}

fn ecies_member(byte: u8) -> (EciesRecipientKey, EnvelopeMember) {
    let key = EciesRecipientKey::import(&mut [byte; 32]).ok().unwrap();
    let pk = MemberPublicKey::Ecies(key.public());
    (key, EnvelopeMember { custodian: Address::repeat_byte(byte), pk })
}

fn sample() -> (DatasetKey, Vec<RecipientKey>, Envelope) {
    let keys = hpke_keys(3);
    let key = DatasetKey::import(&mut [5; 32]);
    let envelope = seal_envelope(&key, &terms(), &members(&keys)).unwrap();
    (key, keys, envelope)
}

fn open_pair<K: OpensShare>(envelope: &Envelope, keys: &[K], pair: [u8; 2]) -> Vec<KeyShare> {
    pair.iter().map(|i| open_share(envelope, &keys[usize::from(*i) - 1], *i).ok().unwrap()).collect()
}

#[test]
fn envelopes_sealed_by_javascript_open_here() {
    let file: JavaScriptFile =
        serde_json::from_str(include_str!("../../tests/fixtures/javascript.json")).unwrap();
    for case in file.envelopes {
        let bytes = hex::decode(&case.envelope).unwrap();
        let envelope = Envelope::decode(&bytes).unwrap();
        assert_eq!((envelope.suite(), *envelope.terms()), (case.suite, terms()));
        assert_eq!(envelope.encode().unwrap(), bytes);
        let expected = DatasetKey::import(&mut bytes32(&case.key)).commitment(&terms().dataset_uid);
        for pair in [[1, 2], [2, 3], [3, 1]] {
            let secrets = case.secrets.iter().map(|s| bytes32(s));
            let shares = if case.suite == SUITE_HPKE {
                let keys: Vec<_> = secrets.map(|mut s| RecipientKey::import(&mut s).ok().unwrap()).collect();
                open_pair(&envelope, &keys, pair)
            } else {
                let keys: Vec<_> =
                    secrets.map(|mut s| EciesRecipientKey::import(&mut s).ok().unwrap()).collect();
                open_pair(&envelope, &keys, pair)
            };
            let key = combine(&envelope, &shares).ok().unwrap();
            assert_eq!(key.commitment(&terms().dataset_uid), expected);
        }
    }
}

#[test]
fn both_suites_round_trip() {
    let (key, keys, envelope) = sample();
    let decoded = Envelope::decode(&envelope.encode().unwrap()).unwrap();
    assert_eq!(decoded, envelope);
    let found = combine(&decoded, &open_pair(&decoded, &keys, [3, 1])).ok().unwrap();
    assert_eq!(found.0.bytes(), key.0.bytes());

    let (ecies_keys, ecies_members): (Vec<_>, Vec<_>) = (1..=3).map(ecies_member).unzip();
    let envelope = seal_envelope(&key, &terms(), &ecies_members).unwrap();
    assert_eq!(envelope.suite(), SUITE_ECIES);
    let found = combine(&envelope, &open_pair(&envelope, &ecies_keys, [2, 3])).ok().unwrap();
    assert_eq!(found.0.bytes(), key.0.bytes());
    assert!(envelope.hpke_members().is_err());
}

#[test]
fn one_of_one_is_the_same_code() {
    let keys = hpke_keys(1);
    let key = DatasetKey::import(&mut [5; 32]);
    let one = EnvelopeTerms { t: 1, ..terms() };
    let envelope = seal_envelope(&key, &one, &members(&keys)).unwrap();
    let share = open_share(&envelope, &keys[0], 1).ok().unwrap();
    assert_eq!(share.secret.bytes(), key.0.bytes());
    let found = combine(&envelope, &[share]).ok().unwrap();
    assert_eq!(found.0.bytes(), key.0.bytes());
}

#[test]
fn no_changed_byte_opens_to_anything() {
    let (_, keys, envelope) = sample();
    let good = envelope.encode().unwrap();
    for position in 0..good.len() {
        for bit in [0x01, 0x80] {
            let mut bytes = good.clone();
            bytes[position] ^= bit;
            let Ok(changed) = Envelope::decode(&bytes) else { continue };
            assert_ne!(changed, envelope);
            // A changed header opens for nobody, a changed share not for its member.
            let opened = (1..=3).filter(|i| open_share(&changed, &keys[usize::from(*i) - 1], *i).is_ok());
            assert!(opened.count() <= 2, "byte {position}");
            let all: Vec<_> =
                (1..=3).filter_map(|i| open_share(&changed, &keys[usize::from(i) - 1], i).ok()).collect();
            if changed.terms != envelope.terms || changed.dek_commit != envelope.dek_commit {
                assert!(all.is_empty(), "byte {position}: the header is bound");
            } else if all.len() == 2 {
                // The two that were not touched still make the one right key.
                assert!(combine(&changed, &all).is_ok());
            }
        }
    }
}

#[test]
fn every_term_is_bound() {
    let (_, keys, envelope) = sample();
    let changes: [fn(&mut Envelope); 9] = [
        |e| e.terms.chain_id = 1,
        |e| e.terms.dataset_uid = B256::repeat_byte(0x23),
        |e| e.terms.uses = Uses::Download,
        |e| e.terms.t = 1,
        |e| e.terms.required_level = 2,
        |e| e.terms.custodian_set = B256::ZERO,
        |e| e.terms.set_version = 8,
        |e| e.dek_commit = B256::ZERO,
        |e| e.shares.truncate(2),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut changed = envelope.clone();
        change(&mut changed);
        assert_ne!(changed, envelope);
        let error = open_share(&changed, &keys[0], 1).err().unwrap();
        assert!(matches!(error, SealError::Open(SealedBox::EnvelopeShare)), "change {number}: {error}");
    }
    // Suite 2 has no AAD of its own: the hash inside the plaintext does it.
    let (ecies_keys, ecies_members): (Vec<_>, Vec<_>) = (1..=3).map(ecies_member).unzip();
    let envelope = seal_envelope(&DatasetKey::import(&mut [5; 32]), &terms(), &ecies_members).unwrap();
    for change in changes {
        let mut changed = envelope.clone();
        change(&mut changed);
        assert!(matches!(open_share(&changed, &ecies_keys[0], 1), Err(SealError::Open(_))));
    }
}

#[test]
fn only_the_named_member_opens_a_share() {
    let (_, keys, envelope) = sample();
    assert!(matches!(open_share(&envelope, &keys[0], 2), Err(SealError::WrongRecipient(_))));
    for index in [0, 4, 255] {
        assert!(matches!(open_share(&envelope, &keys[0], index), Err(SealError::NotAMember { n: 3, .. })));
    }
    // Renaming the key in the envelope does not help either.
    let mut changed = envelope.clone();
    changed.shares[1].pk = changed.shares[0].pk.clone();
    assert!(matches!(open_share(&changed, &keys[0], 2), Err(SealError::Open(_))));
    assert_eq!(envelope.index_of(&Address::repeat_byte(0x42)), Some(2));
    assert_eq!(envelope.index_of(&Address::repeat_byte(0x44)), None);
    let (ecies_key, _) = ecies_member(1);
    assert!(matches!(open_share(&envelope, &ecies_key, 1), Err(SealError::WrongRecipient(_))));
}

#[test]
fn a_misdealt_share_is_the_owners_fault() {
    use licen_core::fault::Fault;
    let (_, keys, mut envelope) = sample();
    let aad = envelope.aad(1).unwrap();
    let (enc, ct) =
        seal_share(&MemberPublicKey::Hpke(keys[0].public()), &aad, &Secret::take(&mut [6; 32])).unwrap();
    (envelope.shares[0].enc, envelope.shares[0].ct) = (enc, ct);
    let error = open_share(&envelope, &keys[0], 1).err().unwrap();
    assert!(matches!(error, SealError::WrongShare { index: 1, from: Party::Owner, .. }), "{error}");
    assert_eq!(error.fault(), Party::Owner);
}

#[test]
fn shares_that_do_not_make_the_key_are_refused() {
    // An owner who deals shares of one key and commits to another.
    let keys = hpke_keys(2);
    let mut envelope = seal_envelope(&DatasetKey::import(&mut [5; 32]), &terms(), &members(&keys)).unwrap();
    let shares: Vec<_> =
        (1..=2).map(|i| open_share(&envelope, &keys[i - 1], i as u8).ok().unwrap()).collect();
    envelope.dek_commit = DatasetKey::import(&mut [6; 32]).commitment(&terms().dataset_uid);
    assert!(matches!(combine(&envelope, &shares), Err(SealError::WrongKey)));
}

#[test]
fn combining_needs_t_distinct_shares_of_this_dataset() {
    let (_, keys, envelope) = sample();
    let open = |i: u8| open_share(&envelope, &keys[usize::from(i) - 1], i).ok().unwrap();
    assert!(matches!(combine(&envelope, &[]), Err(SealError::TooFewShares { have: 0, need: 2 })));
    assert!(matches!(combine(&envelope, &[open(1)]), Err(SealError::TooFewShares { have: 1, need: 2 })));
    assert!(matches!(combine(&envelope, &[open(1), open(1)]), Err(SealError::DuplicateShare { index: 1 })));
    assert!(combine(&envelope, &[open(1), open(2), open(3)]).is_ok());

    let elsewhere = EnvelopeTerms { dataset_uid: B256::repeat_byte(0x99), ..terms() };
    let other = seal_envelope(&DatasetKey::import(&mut [5; 32]), &elsewhere, &members(&keys)).unwrap();
    let foreign = open_share(&other, &keys[1], 2).ok().unwrap();
    let error = combine(&envelope, &[open(1), foreign]).err().unwrap();
    assert!(matches!(error, SealError::ForeignShare { index: 2, what: "dataset", .. }), "{error}");

    // The same dataset dealt again: other shares, so this one is wrong here.
    let again = seal_envelope(&DatasetKey::import(&mut [5; 32]), &terms(), &members(&keys)).unwrap();
    let stale = open_share(&again, &keys[1], 2).ok().unwrap();
    let error = combine(&envelope, &[open(1), stale]).err().unwrap();
    assert!(matches!(error, SealError::WrongShare { index: 2, .. }), "{error}");
}

#[test]
fn bad_sets_are_refused() {
    let keys = hpke_keys(3);
    let key = DatasetKey::import(&mut [5; 32]);
    let good = members(&keys);
    let seal = |terms: &EnvelopeTerms, members: &[EnvelopeMember]| seal_envelope(&key, terms, members);
    assert!(matches!(seal(&EnvelopeTerms { t: 0, ..terms() }, &good), Err(SealError::Threshold { .. })));
    assert!(matches!(seal(&EnvelopeTerms { t: 4, ..terms() }, &good), Err(SealError::Threshold { .. })));
    for required_level in [0, 3] {
        let result = seal(&EnvelopeTerms { required_level, ..terms() }, &good);
        assert!(matches!(result, Err(SealError::Envelope(_))));
    }
    assert!(matches!(seal(&terms(), &[]), Err(SealError::Envelope(_))));
    let mut twice = good.clone();
    twice[1].custodian = twice[0].custodian;
    assert!(matches!(seal(&terms(), &twice), Err(SealError::Envelope(_))));
    let mut same_key = good.clone();
    same_key[1].pk = same_key[0].pk;
    assert!(matches!(seal(&terms(), &same_key), Err(SealError::Envelope(_))));
    let mut nobody = good.clone();
    nobody[1].custodian = Address::ZERO;
    assert!(matches!(seal(&terms(), &nobody), Err(SealError::Envelope(_))));
    let mut mixed = good;
    mixed[1] = ecies_member(9).1;
    assert!(matches!(seal(&terms(), &mixed), Err(SealError::Envelope(_))));
    let weak = EnvelopeMember {
        custodian: Address::repeat_byte(0x50),
        pk: MemberPublicKey::Hpke(RecipientPublicKey(B256::ZERO)),
    };
    let one = EnvelopeTerms { t: 1, ..terms() };
    assert!(matches!(seal(&one, &[weak]), Err(SealError::PublicKey)), "a low-order point is no key");
}

#[test]
fn only_the_canonical_form_is_read() {
    let (_, _, envelope) = sample();
    let good = envelope.encode().unwrap();
    assert_eq!(good[0], 0xac, "a map of 12");
    let trailing = [&good[..], &[0]].concat();
    // The first key is "n" with a value below 24; the same number in two bytes is not canonical.
    let at = good.windows(2).position(|w| w == b"an").unwrap() + 2;
    let long = [&good[..at], &[0x18], &good[at..]].concat();
    for bytes in [trailing, long] {
        assert!(matches!(Envelope::decode(&bytes), Err(SealError::Canonical(_))));
    }
    let huge = vec![0; MAX_ENVELOPE_BYTES + 1];
    assert!(matches!(Envelope::decode(&huge), Err(SealError::EnvelopeTooLarge { .. })));
}

#[test]
fn unknown_fields_versions_and_suites_are_refused() {
    let (_, _, envelope) = sample();
    let with = |change: &dyn Fn(&mut std::collections::BTreeMap<String, ciborium::Value>)| {
        let bytes = envelope.encode().unwrap();
        let mut map = canonical::cbor_from_slice(&bytes).unwrap();
        change(&mut map);
        Envelope::decode(&canonical::cbor_to_vec(&map).unwrap()).err()
    };
    assert!(with(&|_| ()).is_none());
    let changes = [("extra", 1), ("contract", 1), ("v", 1), ("v", 3)];
    for (name, value) in
        changes.into_iter().chain([("suite", 0), ("suite", 3), ("suite", 2), ("n", 2), ("t", 0)])
    {
        let error = with(&|map| drop(map.insert(name.into(), ciborium::Value::from(value))));
        assert!(error.is_some(), "{name} = {value}");
    }
    for name in ["v", "uses", "setVersion", "shares"] {
        assert!(with(&|map| drop(map.remove(name))).is_some(), "without {name}");
    }
    let error = with(&|map| drop(map.insert("uses".into(), ciborium::Value::from("both"))));
    assert!(matches!(error, Some(SealError::Canonical(_))));
}

#[test]
fn the_largest_sets_fit_and_larger_are_refused() {
    let key = DatasetKey::import(&mut [5; 32]);
    let address = |i: u16| Address::left_padding_from(&(i + 1).to_be_bytes());
    let hpke: Vec<_> = (0..=255u16)
        .map(|i| {
            let mut secret = [7; 32];
            secret[..2].copy_from_slice(&i.to_be_bytes());
            let key = RecipientKey::import(&mut secret).ok().unwrap();
            EnvelopeMember { custodian: address(i), pk: MemberPublicKey::Hpke(key.public()) }
        })
        .collect();
    let envelope = seal_envelope(&key, &terms(), &hpke[..255]).unwrap();
    let bytes = envelope.encode().unwrap();
    assert!(bytes.len() <= MAX_ENVELOPE_BYTES, "{}", bytes.len());
    assert_eq!(Envelope::decode(&bytes).unwrap(), envelope);
    assert!(matches!(seal_envelope(&key, &terms(), &hpke), Err(SealError::Threshold { n: 256, .. })));

    let ecies: Vec<_> = (1..=255u16)
        .map(|i| {
            let mut secret = [7; 32];
            secret[..2].copy_from_slice(&i.to_be_bytes());
            let key = EciesRecipientKey::import(&mut secret).ok().unwrap();
            EnvelopeMember { custodian: address(i), pk: MemberPublicKey::Ecies(key.public()) }
        })
        .collect();
    assert!(matches!(seal_envelope(&key, &terms(), &ecies), Err(SealError::EnvelopeTooLarge { .. })));
}

#[test]
fn the_aad_is_the_one_in_the_vectors() {
    let v: serde_json::Value = serde_json::from_str(include_str!("../../../../vectors/seal.json")).unwrap();
    let text = |name: &str| v[name].as_str().unwrap().to_owned();
    let pk = hex::decode(v["shareAad"]["pk"].as_str().unwrap()).unwrap();
    let share = SealedShare {
        custodian: Address::repeat_byte(0x41),
        pk: pk.into(),
        share_commit: B256::new(bytes32(&text("shareCommit"))),
        enc: Bytes::new(),
        ct: Bytes::new(),
    };
    let envelope = Envelope {
        terms: EnvelopeTerms { t: 3, ..terms() },
        suite: SUITE_HPKE,
        dek_commit: B256::new(bytes32(&text("dekCommit"))),
        shares: vec![share; 5],
    };
    assert_eq!(hex::encode(envelope.aad(1).unwrap()), v["shareAad"]["cbor"].as_str().unwrap());
}

/// Writes what `generate_js.mjs check` opens: `LICEN_FIXTURE=rust.json cargo test -- --ignored`.
#[test]
#[ignore = "writes a file for the JavaScript side"]
fn write_boxes_for_javascript() {
    use serde_json::json;
    let (key, keys, envelope) = sample();
    let (ecies_keys, ecies_members): (Vec<_>, Vec<_>) = (1..=3).map(ecies_member).unzip();
    let second = seal_envelope(&key, &terms(), &ecies_members).unwrap();
    let secrets = [
        keys.iter().map(|k| hex::encode(k.secret().bytes())).collect::<Vec<_>>(),
        ecies_keys.iter().map(|k| hex::encode(k.secret().bytes())).collect(),
    ];
    let envelopes: Vec<_> = [envelope, second]
        .iter()
        .zip(secrets)
        .map(|(envelope, secrets)| {
            let aads: Vec<_> = (1..=3).map(|i| hex::encode(envelope.aad(i).unwrap())).collect();
            let shares: Vec<_> = envelope
                .shares
                .iter()
                .map(|s| json!({"enc": s.enc, "ct": s.ct, "shareCommit": s.share_commit}))
                .collect();
            json!({
                "suite": envelope.suite, "secrets": secrets, "aads": aads, "shares": shares,
                "datasetUid": envelope.terms.dataset_uid, "dekCommit": envelope.dek_commit,
            })
        })
        .collect();
    let result_release = crate::result_share::tests::release_for_javascript();
    let file = json!({"envelopes": envelopes, "resultRelease": result_release});
    let path = std::env::var("LICEN_FIXTURE").unwrap();
    std::fs::write(path, serde_json::to_vec_pretty(&file).unwrap()).unwrap();
}
