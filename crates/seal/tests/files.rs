//! Key files and recovery files.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use licen_core::primitives::B256;
use licen_seal::recovery::{RecoveryCost, load_recovery, save_recovery};
use licen_seal::{DatasetKey, EciesRecipientKey, RecipientKey, SealError, SigningKey};

const CHEAP: RecoveryCost = RecoveryCost { memory_kib: 64, passes: 1, lanes: 1 };
const UID: B256 = B256::repeat_byte(0x22);
const CHAIN: u64 = 31337;

fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.json");
    (dir, path)
}

fn reason(error: Option<SealError>) -> &'static str {
    match error {
        Some(SealError::KeyFile { reason, .. }) => reason,
        Some(other) => panic!("{other}"),
        None => "",
    }
}

fn rewrite(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    let changed = text.replace(from, to);
    assert_ne!(text, changed);
    fs::write(path, changed).unwrap();
}

#[test]
fn keys_come_back_from_private_files() {
    let (dir, path) = folder();
    let key = RecipientKey::generate().ok().unwrap();
    key.save(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(RecipientKey::load(&path).ok().unwrap().public(), key.public());
    assert!(reason(key.save(&path).err()).contains("exists"), "never replaced");
    assert!(reason(SigningKey::load(&path).err()).contains("another type"));

    let path = dir.path().join("signing.json");
    let key = SigningKey::generate().ok().unwrap();
    key.save(&path).unwrap();
    let loaded = SigningKey::load(&path).ok().unwrap();
    assert_eq!(loaded.address(), key.address());
    assert_eq!(loaded.sign(&UID).unwrap(), key.sign(&UID).unwrap());

    let path = dir.path().join("ecies.json");
    let key = EciesRecipientKey::generate().ok().unwrap();
    key.save(&path).unwrap();
    assert_eq!(EciesRecipientKey::load(&path).ok().unwrap().public(), key.public());
}

#[test]
fn files_that_others_may_read_are_refused() {
    let (_dir, path) = folder();
    RecipientKey::generate().ok().unwrap().save(&path).unwrap();
    for mode in [0o640, 0o604, 0o660, 0o644, 0o610, 0o601] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        assert!(reason(RecipientKey::load(&path).err()).contains("chmod 600"), "{mode:o}");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    assert!(RecipientKey::load(&path).is_ok());
}

#[test]
fn damaged_files_are_refused_without_naming_the_secret() {
    let (dir, path) = folder();
    RecipientKey::generate().ok().unwrap().save(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let secret = value["secret"].as_str().unwrap();
    let other = if secret.ends_with('0') { "1" } else { "0" };
    let changed = format!("{}{other}", &secret[..65]);
    rewrite(&path, secret, &changed);
    let error = RecipientKey::load(&path).err().unwrap();
    assert!(!error.to_string().contains(&secret[2..]) && !error.to_string().contains(&changed[2..]));
    assert!(reason(Some(error)).contains("public part"));
    fs::write(&path, "{}").unwrap();
    assert!(reason(RecipientKey::load(&path).err()).contains("not a key file"));
    fs::write(&path, text.replace(secret, "0x12")).unwrap();
    assert!(reason(RecipientKey::load(&path).err()).contains("32 bytes"));
    fs::write(&path, text.replace("\"type\"", "\"more\": 1,\n\"type\"")).unwrap();
    assert!(reason(RecipientKey::load(&path).err()).contains("not a key file"));
    fs::write(&path, vec![b' '; 70_000]).unwrap();
    assert!(reason(RecipientKey::load(&path).err()).contains("too large"));
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    assert!(reason(RecipientKey::load(dir.path()).err()).contains("regular file"));
    assert!(matches!(RecipientKey::load(&dir.path().join("none")).err(), Some(SealError::Io(_))));
}

#[test]
fn a_recovery_file_gives_the_key_back() {
    let (_dir, path) = folder();
    let key = DatasetKey::generate().ok().unwrap();
    assert!(reason(save_recovery(&path, &key, CHAIN, &UID, b"", CHEAP).err()).contains("empty"));
    save_recovery(&path, &key, CHAIN, &UID, b"correct horse", CHEAP).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!key.appears_in(&fs::read(&path).unwrap()));
    assert!(reason(save_recovery(&path, &key, CHAIN, &UID, b"x", CHEAP).err()).contains("exists"));

    let found = load_recovery(&path, b"correct horse").ok().unwrap();
    assert_eq!(found.key.commitment(&UID), key.commitment(&UID));
    assert_eq!((found.chain_id, found.dataset_uid), (CHAIN, UID));
    assert!(matches!(load_recovery(&path, b"correct house").err(), Some(SealError::Passphrase)));
}

#[test]
fn every_field_of_a_recovery_file_is_bound() {
    let (_dir, path) = folder();
    let key = DatasetKey::generate().ok().unwrap();
    save_recovery(&path, &key, CHAIN, &UID, b"pass", CHEAP).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("31337", "1"),
        (&"22".repeat(32), &"23".repeat(32)),
        ("\"memoryKib\": 64", "\"memoryKib\": 65"),
        ("\"passes\": 1", "\"passes\": 2"),
    ] {
        fs::write(&path, &good).unwrap();
        rewrite(&path, from, to);
        assert!(matches!(load_recovery(&path, b"pass").err(), Some(SealError::Passphrase)), "{to}");
    }
    for (from, to) in [
        ("\"memoryKib\": 64", "\"memoryKib\": 4294967295"),
        ("\"passes\": 1", "\"passes\": 1000"),
        ("\"lanes\": 1", "\"lanes\": 0"),
        ("\"v\": 2", "\"v\": 1"),
        ("argon2id", "argon2d"),
        ("licen-recovery", "licen-signing-key"),
    ] {
        fs::write(&path, &good).unwrap();
        rewrite(&path, from, to);
        assert!(!reason(load_recovery(&path, b"pass").err()).is_empty(), "{to}");
    }
    fs::write(&path, &good).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert!(reason(load_recovery(&path, b"pass").err()).contains("chmod"));
}
