//! What only an owner's machine does: encrypt a dataset and describe it.

pub mod allow_list;
pub mod announce;
pub mod commitment;
pub mod describe;
pub mod encrypt;
pub mod members;
pub mod payees;
pub mod price;
pub mod recovery;
pub mod terms;
pub mod tokens;
pub mod when;

use licen_core::primitives::B256;

use crate::codes;
use crate::error::{CliError, Outcome};

/// 32 fresh bytes that name something for ever: a dataset together with its owner, an allow-list. No secret.
///
/// # Errors
/// The kernel has no randomness yet.
pub fn random_salt() -> Outcome<B256> {
    let mut salt = B256::ZERO;
    getrandom::fill(salt.as_mut_slice())
        .map_err(|e| CliError::environment(codes::PROCESS, "no randomness").because(&e))?;
    Ok(salt)
}
