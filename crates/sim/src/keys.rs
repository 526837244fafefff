//! Keys that a run repeats. What `seal` draws from the operating system (result keys, HPKE and stream
//! salts) differs between two runs of a seed; no decision and no line of the trace depends on it.

use licen_core::primitives::keccak256;
use licen_seal::{DatasetKey, RecipientKey, SigningKey};

use crate::error::SimError;

fn secret(seed: u64, name: &str, purpose: &str) -> [u8; 32] {
    keccak256([&seed.to_be_bytes()[..], purpose.as_bytes(), b":", name.as_bytes()].concat()).0
}

/// A party's wallet, or the key it signs statements with.
pub(crate) fn signing_key(seed: u64, name: &str) -> Result<SigningKey, SimError> {
    SigningKey::import(&mut secret(seed, name, "signing")).map_err(SimError::world)
}

/// A party's key that others seal to.
pub(crate) fn recipient_key(seed: u64, name: &str) -> Result<RecipientKey, SimError> {
    RecipientKey::import(&mut secret(seed, name, "recipient")).map_err(SimError::world)
}

/// The owner's dataset key.
pub(crate) fn dataset_key(seed: u64) -> DatasetKey {
    DatasetKey::import(&mut secret(seed, "owner", "dataset"))
}
