//! The secp256k1 key that signs verdicts, manifests and receipts. Transaction keys live in `chain`.

use k256::Scalar;
use k256::ecdsa::hazmat::SignPrimitive;
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use licen_core::primitives::{Address, B256, keccak256};
use zeroize::Zeroize;

use crate::error::SealError;
use crate::secret::Secret;

/// Signs 32-byte EIP-712 digests.
pub struct SigningKey {
    secret: Secret,
    address: Address,
}

/// r ‖ s ‖ v with low s and v 27 or 28.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestSignature {
    bytes: [u8; 65],
}

impl SigningKey {
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
    /// [`SealError::SecretKey`] where it is 0 or not below the group order.
    pub fn import(bytes: &mut [u8; 32]) -> Result<Self, SealError> {
        Self::from_secret(Secret::take(bytes))
    }

    pub(crate) fn from_secret(secret: Secret) -> Result<Self, SealError> {
        let scalar = k256::SecretKey::from_slice(secret.bytes()).map_err(|_| SealError::SecretKey)?;
        let point = scalar.public_key().to_encoded_point(false);
        let address = Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..]);
        Ok(Self { secret, address })
    }

    /// The address that contracts recover from its signatures.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs `digest` deterministically (RFC 6979).
    ///
    /// # Errors
    /// [`SealError::SecretKey`], which a key that was made by this type never gives.
    pub fn sign(&self, digest: &B256) -> Result<DigestSignature, SealError> {
        let mut scalar = Option::<Scalar>::from(Scalar::from_repr((*self.secret.bytes()).into()))
            .ok_or(SealError::SecretKey)?;
        let signed = scalar.try_sign_prehashed_rfc6979::<k256::sha2::Sha256>(&digest.0.into(), &[]);
        scalar.zeroize();
        let (signature, recovery) = signed.map_err(|_| SealError::SecretKey)?;
        // A reduced x (probability 2^-127) has no v that contracts accept.
        let recovery = recovery.filter(|id| !id.is_x_reduced()).ok_or(SealError::SecretKey)?;
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        bytes[64] = 27 + u8::from(recovery.is_y_odd());
        Ok(DigestSignature { bytes })
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl DigestSignature {
    /// r ‖ s ‖ v.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 65] {
        &self.bytes
    }

    /// EIP-2098: (r, vs), where the parity stands in the top bit of s.
    #[must_use]
    pub fn compact(&self) -> (B256, B256) {
        let mut vs = B256::from_slice(&self.bytes[32..64]);
        if self.bytes[64] == 28 {
            vs[0] |= 0x80;
        }
        (B256::from_slice(&self.bytes[..32]), vs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};

    #[test]
    fn the_address_is_the_known_one() {
        // The first account of the well-known development mnemonic.
        let mut bytes = [0; 32];
        hex::decode_to_slice("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80", &mut bytes)
            .unwrap();
        let key = SigningKey::import(&mut bytes).ok().unwrap();
        assert_eq!(key.address().to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    }

    #[test]
    fn signatures_recover_to_the_address_with_low_s_in_both_forms() {
        let key = SigningKey::generate().ok().unwrap();
        for n in 0..64u8 {
            let digest = keccak256([n]);
            let signature = key.sign(&digest).unwrap();
            let bytes = signature.as_bytes();
            assert!(bytes[32] < 0x80 && matches!(bytes[64], 27 | 28));
            let parsed = Signature::from_slice(&bytes[..64]).unwrap();
            assert!(parsed.normalize_s().is_none(), "s is low");
            let id = RecoveryId::new(bytes[64] == 28, false);
            let recovered = VerifyingKey::recover_from_prehash(digest.as_slice(), &parsed, id).unwrap();
            let point = recovered.to_encoded_point(false);
            assert_eq!(&keccak256(&point.as_bytes()[1..])[12..], key.address().as_slice());
            let (r, vs) = signature.compact();
            assert_eq!(r.as_slice(), &bytes[..32]);
            assert_eq!(vs[0] >> 7, bytes[64] - 27);
            let compact = licen_core::eip712::compact(1, bytes).unwrap();
            assert_eq!((compact.r, compact.vs), (r, vs), "the same compact form as core's");
        }
    }

    #[test]
    fn bad_scalars_are_refused() {
        assert!(matches!(SigningKey::import(&mut [0; 32]), Err(SealError::SecretKey)));
        assert!(matches!(SigningKey::import(&mut [0xff; 32]), Err(SealError::SecretKey)));
    }
}
