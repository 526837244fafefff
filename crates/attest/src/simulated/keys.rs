//! The keys of the simulator. **They are public on purpose**: a simulator must be able to sign, so
//! whoever has this source can sign too.

use aws_lc_rs::digest::{SHA256, digest};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};

use crate::refusal::AttestError;

/// What each key is derived from. Not a secret: it says so itself.
const SEED: &str = "LICEN-SIMULATED/key/v2: this key is public, evidence under it proves nothing: ";

/// A P-256 key of the simulator. It signs deterministically (RFC 6979), so that a simulated world
/// repeats itself.
pub(super) struct SimulatedKey(SigningKey);

impl SimulatedKey {
    /// The key of this name, the same one every time.
    pub(super) fn named(name: &str) -> Result<Self, AttestError> {
        let seed = digest(&SHA256, format!("{SEED}{name}").as_bytes());
        SigningKey::from_slice(seed.as_ref()).map(Self).map_err(|_| AttestError::Key)
    }

    /// X ‖ Y, as quotes hold it.
    pub(super) fn public(&self) -> [u8; 64] {
        let point = self.0.verifying_key().to_encoded_point(false);
        let mut public = [0; 64];
        public.copy_from_slice(&point.as_bytes()[1..]);
        public
    }

    /// r ‖ s over SHA-256 of the message.
    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.0.sign(message);
        signature.to_bytes().into()
    }

    /// The same, as certificates hold it.
    #[cfg(test)]
    pub(super) fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.0.sign(message);
        signature.to_der().as_bytes().to_vec()
    }
}
