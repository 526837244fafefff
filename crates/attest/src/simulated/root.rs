//! The simulated root and the platform keys under it. **These keys are public on purpose**: a
//! simulator must be able to sign, so whoever has this source can sign too.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use licen_core::primitives::B256;

use crate::refusal::AttestError;

/// The seed of the root key. Not a secret: it says so itself.
const ROOT_SEED: &[u8] = b"LICEN-SIMULATED/root/v1: this key is public, evidence under it proves nothing";
const PLATFORM_SEED: &[u8] = b"LICEN-SIMULATED/platform/v1: ";
const PLATFORM_ID: &[u8] = b"LICEN-SIMULATED/platform-id/v1: ";

pub(super) const SIGNATURE_BYTES: usize = 64;

/// An Ed25519 key of the simulator.
pub(super) struct SimulatedKey(Ed25519KeyPair);

impl SimulatedKey {
    pub(super) fn root() -> Result<Self, AttestError> {
        Self::from_seed(ROOT_SEED)
    }

    /// The key of the platform of this name, the same one every time: a platform id that is
    /// registered for a provider stays right.
    pub(super) fn platform(name: &str) -> Result<Self, AttestError> {
        Self::from_seed(&[PLATFORM_SEED, name.as_bytes()].concat())
    }

    pub(super) fn from_seed(seed: &[u8]) -> Result<Self, AttestError> {
        let seed = digest(&SHA256, seed);
        Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).map(Self).map_err(|_| AttestError::Key)
    }

    pub(super) fn public(&self) -> B256 {
        B256::from_slice(self.0.public_key().as_ref())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let signature = self.0.sign(message);
        signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

/// Whether the key signed exactly this message.
pub(super) fn verifies(public: &B256, message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public.as_slice()).verify(message, signature).is_ok()
}

/// The name of a platform is made of its key, so a certificate cannot lend it to another key.
pub(super) fn platform_id(platform_key: &B256) -> B256 {
    B256::from_slice(digest(&SHA256, &[PLATFORM_ID, platform_key.as_slice()].concat()).as_ref())
}
