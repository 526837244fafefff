//! The owner's recovery file: the dataset key under a passphrase. With it the owner can re-seal to
//! other custodians when the old ones are gone.
//!
//! JSON, mode 0600. key = argon2id(passphrase, salt, parameters inside the file); AES-256-GCM with
//! AAD = "LICEN/recovery/v2" ‖ u256be chainId ‖ datasetUid ‖ u32be m ‖ u32be t ‖ u32be p ‖ salt,
//! so that no field can be changed.

use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use licen_core::primitives::{B256, Bytes, U256};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::SealError;
use crate::key::DatasetKey;
use crate::key_file::{create_private, read_private, refused};
use crate::secret::Secret;

const TYPE: &str = "licen-recovery";
const VERSION: u32 = 2;
const KDF: &str = "argon2id";
const CIPHER: &str = "AES-256-GCM";
const NONCE_BYTES: usize = 12;
const SEALED_BYTES: usize = 32 + 16;
/// Most work that a file may ask for: 1 GiB, 16 passes.
const MAX_MEMORY_KIB: u32 = 1 << 20;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;

/// Cost of guessing a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryCost {
    /// KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for RecoveryCost {
    /// RFC 9106's second recommendation: 64 MiB, 3 passes, 4 lanes.
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 }
    }
}

/// A dataset key from a recovery file, and what it is the key of.
pub struct Recovered {
    /// The key.
    pub key: DatasetKey,
    /// The chain.
    pub chain_id: u64,
    /// The dataset.
    pub dataset_uid: B256,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RecoveryFile {
    #[serde(rename = "type")]
    kind: String,
    v: u32,
    chain_id: u64,
    dataset_uid: B256,
    kdf: Kdf,
    cipher: String,
    nonce: Bytes,
    ciphertext: Bytes,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kdf {
    name: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: B256,
}

/// Writes a recovery file; refuses to replace one, and an empty passphrase.
///
/// # Errors
/// [`SealError::KeyFile`]; randomness or writing.
pub fn save_recovery(
    path: &Path,
    key: &DatasetKey,
    chain_id: u64,
    dataset_uid: &B256,
    passphrase: &[u8],
    cost: RecoveryCost,
) -> Result<(), SealError> {
    if passphrase.is_empty() {
        return Err(refused(path, "the passphrase is empty"));
    }
    let mut salt = B256::ZERO;
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(salt.as_mut_slice()).map_err(|_| SealError::Random)?;
    getrandom::fill(&mut nonce).map_err(|_| SealError::Random)?;
    let kdf = Kdf {
        name: KDF.to_owned(),
        memory_kib: cost.memory_kib,
        passes: cost.passes,
        lanes: cost.lanes,
        salt,
    };
    let cipher = cipher_of(path, passphrase, &kdf)?;
    let mut sealed = Zeroizing::new(Vec::with_capacity(SEALED_BYTES));
    sealed.extend_from_slice(key.0.bytes());
    let aad = Aad::from(aad_of(chain_id, dataset_uid, &kdf));
    cipher
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut *sealed)
        .map_err(|_| SealError::SecretKey)?;
    let file = RecoveryFile {
        kind: TYPE.to_owned(),
        v: VERSION,
        chain_id,
        dataset_uid: *dataset_uid,
        kdf,
        cipher: CIPHER.to_owned(),
        nonce: nonce.to_vec().into(),
        ciphertext: sealed.to_vec().into(),
    };
    let mut json = serde_json::to_vec_pretty(&file).map_err(|_| refused(path, "it cannot be encoded"))?;
    json.push(b'\n');
    create_private(path, &json)
}

/// Reads a recovery file.
///
/// # Errors
/// [`SealError::KeyFile`] for a bad file, [`SealError::Passphrase`] for a wrong passphrase.
pub fn load_recovery(path: &Path, passphrase: &[u8]) -> Result<Recovered, SealError> {
    let json = read_private(path)?;
    let file: RecoveryFile =
        serde_json::from_slice(&json).map_err(|_| refused(path, "it is not a recovery file"))?;
    if file.kind != TYPE {
        return Err(refused(path, "it is not a recovery file"));
    }
    if file.v != VERSION || file.kdf.name != KDF || file.cipher != CIPHER {
        return Err(refused(path, "it is of an unknown version"));
    }
    if file.ciphertext.len() != SEALED_BYTES {
        return Err(refused(path, "the ciphertext does not have 48 bytes"));
    }
    let nonce = Nonce::try_assume_unique_for_key(&file.nonce)
        .map_err(|_| refused(path, "the nonce does not have 12 bytes"))?;
    let cipher = cipher_of(path, passphrase, &file.kdf)?;
    let mut plain = Zeroizing::new(file.ciphertext.to_vec());
    let aad = Aad::from(aad_of(file.chain_id, &file.dataset_uid, &file.kdf));
    cipher.open_in_place(nonce, aad, &mut plain).map_err(|_| SealError::Passphrase)?;
    let mut bytes = Zeroizing::new([0; 32]);
    bytes.copy_from_slice(&plain[..32]);
    let (chain_id, dataset_uid) = (file.chain_id, file.dataset_uid);
    Ok(Recovered { key: DatasetKey(Secret::take(&mut bytes)), chain_id, dataset_uid })
}

fn cipher_of(path: &Path, passphrase: &[u8], kdf: &Kdf) -> Result<LessSafeKey, SealError> {
    let too_costly = kdf.memory_kib > MAX_MEMORY_KIB || kdf.passes > MAX_PASSES || kdf.lanes > MAX_LANES;
    if too_costly {
        return Err(refused(path, "it asks for more work than any file of ours"));
    }
    let params = Params::new(kdf.memory_kib, kdf.passes, kdf.lanes, Some(32))
        .map_err(|_| refused(path, "its argon2id parameters are invalid"))?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, kdf.salt.as_slice(), key.as_mut_slice())
        .map_err(|_| refused(path, "the passphrase is too long"))?;
    UnboundKey::new(&AES_256_GCM, key.as_slice()).map(LessSafeKey::new).map_err(|_| SealError::SecretKey)
}

fn aad_of(chain_id: u64, dataset_uid: &B256, kdf: &Kdf) -> Vec<u8> {
    [
        b"LICEN/recovery/v2".as_slice(),
        &U256::from(chain_id).to_be_bytes::<32>(),
        dataset_uid.as_slice(),
        &kdf.memory_kib.to_be_bytes(),
        &kdf.passes.to_be_bytes(),
        &kdf.lanes.to_be_bytes(),
        kdf.salt.as_slice(),
    ]
    .concat()
}
