//! Read-only import of the original LICEN's envelope and dataset blob. Nothing writes this format:
//! one AES-GCM message over the whole file, bound to nothing.
//!
//! Envelope, in hexadecimal: 33-byte compressed ephemeral secp256k1 key ‖ 12-byte IV ‖ 16-byte tag ‖
//! ciphertext; key = HKDF-SHA256(x of the shared point, no salt, no info, 32 bytes), AES-256-GCM;
//! plaintext = 32-byte dataset key ‖ 12-byte dataset IV. Blob: AES-256-GCM ciphertext ‖ tag, no AAD.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::{Zeroize, Zeroizing};

use crate::error::SealError;
use crate::recipient::EciesRecipientKey;
use crate::secret::Secret;

const EPHEMERAL_BYTES: usize = 33;
const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const PLAIN_BYTES: usize = 32 + IV_BYTES;
const ENVELOPE_BYTES: usize = EPHEMERAL_BYTES + IV_BYTES + TAG_BYTES + PLAIN_BYTES;

/// The key of an original dataset blob, and the IV it was used with.
pub struct LegacyDatasetKey {
    secret: Secret,
    iv: [u8; IV_BYTES],
}

struct BoxKeyLen;

impl KeyType for BoxKeyLen {
    fn len(&self) -> usize {
        32
    }
}

/// Opens an original envelope.
///
/// # Errors
/// [`SealError::Legacy`] where it is not hexadecimal of 105 bytes or does not open under `key`.
pub fn open_legacy_envelope(envelope: &str, key: &EciesRecipientKey) -> Result<LegacyDatasetKey, SealError> {
    let text = envelope.trim();
    let bytes = hex::decode(text.strip_prefix("0x").unwrap_or(text))
        .map_err(|_| SealError::Legacy("envelope: not hexadecimal"))?;
    if bytes.len() != ENVELOPE_BYTES {
        return Err(SealError::Legacy("envelope: it does not have 105 bytes"));
    }
    let (ephemeral, rest) = bytes.split_at(EPHEMERAL_BYTES);
    let (iv, rest) = rest.split_at(IV_BYTES);
    let (tag, ciphertext) = rest.split_at(TAG_BYTES);
    let shared = key.shared_x(ephemeral)?;
    let mut box_key = Zeroizing::new([0; 32]);
    Salt::new(HKDF_SHA256, &[])
        .extract(shared.bytes())
        .expand(&[], BoxKeyLen)
        .and_then(|okm| okm.fill(box_key.as_mut_slice()))
        .map_err(|_| SealError::SecretKey)?;
    let mut plain = Zeroizing::new([ciphertext, tag].concat());
    open_in_place(&box_key, iv, &mut plain)
        .ok_or(SealError::Legacy("envelope: it was changed, or it is sealed to another key"))?;
    let mut dataset_key = [0; 32];
    dataset_key.copy_from_slice(&plain[..32]);
    let mut dataset_iv = [0; IV_BYTES];
    dataset_iv.copy_from_slice(&plain[32..PLAIN_BYTES]);
    let secret = Secret::take(&mut dataset_key);
    dataset_key.zeroize();
    Ok(LegacyDatasetKey { secret, iv: dataset_iv })
}

/// Decrypts an original dataset blob in place; `blob` holds the plaintext afterwards, or nothing.
///
/// # Errors
/// [`SealError::Legacy`].
pub fn open_legacy_blob(blob: &mut Vec<u8>, key: &LegacyDatasetKey) -> Result<(), SealError> {
    match open_in_place(key.secret.bytes(), &key.iv, blob) {
        Some(len) => {
            blob.truncate(len);
            Ok(())
        }
        None => {
            blob.zeroize();
            Err(SealError::Legacy("dataset: it was changed, or its key is another"))
        }
    }
}

fn open_in_place(key: &[u8; 32], iv: &[u8], message: &mut [u8]) -> Option<usize> {
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    let nonce = Nonce::try_assume_unique_for_key(iv).ok()?;
    cipher.open_in_place(nonce, Aad::empty(), message).ok().map(|plain| plain.len())
}
