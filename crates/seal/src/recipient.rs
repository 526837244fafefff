//! Keys that something can be sealed to: X25519 for HPKE (the default) and secp256k1 for ECIES
//! (suite 2 and the original LICEN format).

use k256::elliptic_curve::sec1::ToEncodedPoint;
use licen_core::primitives::B256;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::error::SealError;
use crate::hpke;
use crate::secret::Secret;

/// The X25519 public key of a custodian, of compute, or of a researcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecipientPublicKey(pub B256);

/// The X25519 private key of a custodian, of compute, or of a researcher.
pub struct RecipientKey {
    secret: Secret,
    public: RecipientPublicKey,
}

impl RecipientKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn generate() -> Result<Self, SealError> {
        Self::from_secret(Secret::random()?)
    }

    /// Takes over a key made elsewhere and wipes the source.
    ///
    /// # Errors
    /// [`SealError::SecretKey`].
    pub fn import(bytes: &mut [u8; 32]) -> Result<Self, SealError> {
        Self::from_secret(Secret::take(bytes))
    }

    pub(crate) fn from_secret(secret: Secret) -> Result<Self, SealError> {
        let public = RecipientPublicKey(B256::new(hpke::public_of(&secret)?));
        Ok(Self { secret, public })
    }

    /// What others seal to.
    #[must_use]
    pub fn public(&self) -> RecipientPublicKey {
        self.public
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }
}

/// A compressed secp256k1 public key, checked to be on the curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EciesPublicKey([u8; 33]);

impl EciesPublicKey {
    /// The 33-byte compressed point.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 33] {
        &self.0
    }

    fn of(key: &k256::PublicKey) -> Self {
        let point = key.to_encoded_point(true);
        Self(point.as_bytes().try_into().expect("a compressed point has 33 bytes"))
    }
}

/// A secp256k1 private key that opens ECIES boxes and original-format envelopes.
pub struct EciesRecipientKey {
    secret: Secret,
    public: EciesPublicKey,
}

impl EciesRecipientKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn generate() -> Result<Self, SealError> {
        // A random string is no valid scalar once in 2^128 tries; the caller then sees SecretKey.
        Self::from_secret(Secret::random()?)
    }

    /// Takes over a key made elsewhere and wipes the source.
    ///
    /// # Errors
    /// [`SealError::SecretKey`] where it is 0 or not below the group order.
    pub fn import(bytes: &mut [u8; 32]) -> Result<Self, SealError> {
        Self::from_secret(Secret::take(bytes))
    }

    pub(crate) fn from_secret(secret: Secret) -> Result<Self, SealError> {
        let scalar = k256::SecretKey::from_slice(secret.bytes()).map_err(|_| SealError::SecretKey)?;
        Ok(Self { public: EciesPublicKey::of(&scalar.public_key()), secret })
    }

    /// What others seal to.
    #[must_use]
    pub fn public(&self) -> EciesPublicKey {
        self.public
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The x-coordinate of the shared point, as the original format uses it.
    pub(crate) fn shared_x(&self, ephemeral: &[u8]) -> Result<Secret, SealError> {
        let ephemeral = k256::PublicKey::from_sec1_bytes(ephemeral).map_err(|_| SealError::PublicKey)?;
        let scalar = k256::SecretKey::from_slice(self.secret.bytes()).map_err(|_| SealError::SecretKey)?;
        let shared = k256::ecdh::diffie_hellman(scalar.to_nonzero_scalar(), ephemeral.as_affine());
        let mut x: [u8; 32] = (*shared.raw_secret_bytes()).into();
        let secret = Secret::take(&mut x);
        x.zeroize();
        Ok(secret)
    }
}
