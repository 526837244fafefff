//! Encrypts a dataset, splits its key, seals the shares to custodians, and re-seals a share to
//! attested compute. The only crate that sees key bytes.
//!
//! The walk of a dataset key: [`DatasetKey::generate`] -> [`stream::encrypt`] (ciphertext) ->
//! [`envelope::seal_envelope`] (one sealed share per custodian) -> on chain, only hashes. A custodian:
//! [`envelope::open_share`] -> [`Warrant::compute`] -> [`release::reseal`]. Compute:
//! [`release::open_released`] -> [`release::combine`] -> [`stream::decrypt`].
//!
//! The walk of a result key goes back: compute deals shares ([`result_share::ResultShares`]), each
//! custodian opens its own and, once the chain says Completed, [`result_share::reseal_result`]s it
//! to the researcher, who combines.
//!
//! Invariants:
//! - No public function returns key bytes, except into a key file or a recovery file.
//! - A [`KeyShare`] or [`ResultKeyShare`] exists only after its commitment was checked, so a wrong
//!   share is named where it is opened and a wrong key is never used.
//! - Plaintext leaves a stream segment by segment, each verified, and a stream without its last
//!   segment is an error.
//! - Errors hold indexes, addresses and reasons, never secrets.

pub mod delivery;
pub mod envelope;
pub mod error;
pub mod key;
pub mod key_file;
pub mod legacy;
pub mod process;
pub mod recipient;
pub mod recovery;
pub mod release;
pub mod result;
pub mod result_share;
pub mod rows;
pub mod share;
pub mod signing;
pub mod stream;
pub mod tar;
pub mod warrant;

mod hpke;
mod page;
mod secret;
mod sha256;
mod shamir;
#[cfg(test)]
mod vectors;

pub use envelope::Envelope;
pub use error::SealError;
pub use key::{DatasetKey, ResultKey};
pub use recipient::{EciesPublicKey, EciesRecipientKey, RecipientKey, RecipientPublicKey};
pub use share::{KeyShare, ResultKeyShare};
pub use signing::SigningKey;
pub use warrant::{ResultWarrant, Warrant, WarrantError};
