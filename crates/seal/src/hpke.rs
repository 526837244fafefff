//! HPKE base mode, DHKEM(X25519, HKDF-SHA256) with HKDF-SHA256 and AES-256-GCM: the one place that
//! names the suite.

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal};
use zeroize::Zeroizing;

use crate::error::{SealError, SealedBox};
use crate::recipient::{RecipientKey, RecipientPublicKey};
use crate::secret::Secret;

type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;

/// What HPKE makes of a plaintext: the encapsulated key, and the ciphertext with its tag behind it.
pub(crate) struct Boxed {
    pub(crate) enc: [u8; 32],
    pub(crate) ct: Vec<u8>,
}

pub(crate) fn public_of(secret: &Secret) -> Result<[u8; 32], SealError> {
    let private = private_key(secret)?;
    Ok(X25519HkdfSha256::sk_to_pk(&private).to_bytes().into())
}

pub(crate) fn seal(
    to: &RecipientPublicKey,
    info: &[u8],
    aad: &[u8],
    plain: &[u8],
) -> Result<Boxed, SealError> {
    let to = PublicKey::from_bytes(to.0.as_slice()).map_err(|_| SealError::PublicKey)?;
    let (enc, ct) =
        single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(&OpModeS::Base, &to, info, plain, aad)
            .map_err(|_| SealError::PublicKey)?;
    Ok(Boxed { enc: enc.to_bytes().into(), ct })
}

/// Opens a box; `what` names it in the error.
pub(crate) fn open(
    key: &RecipientKey,
    info: &[u8],
    aad: &[u8],
    (enc, ct): (&[u8], &[u8]),
    what: SealedBox,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let refused = |_| SealError::Open(what);
    let private = private_key(key.secret())?;
    let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(enc).map_err(refused)?;
    single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(&OpModeR::Base, &private, &enc, info, ct, aad)
        .map(Zeroizing::new)
        .map_err(refused)
}

/// Moves a plaintext of exactly 32 bytes into a page of its own.
pub(crate) fn into_secret(plain: &[u8], what: SealedBox) -> Result<Secret, SealError> {
    let mut bytes: [u8; 32] = plain.try_into().map_err(|_| SealError::Open(what))?;
    Ok(Secret::take(&mut bytes))
}

fn private_key(secret: &Secret) -> Result<PrivateKey, SealError> {
    PrivateKey::from_bytes(secret.bytes()).map_err(|_| SealError::SecretKey)
}
