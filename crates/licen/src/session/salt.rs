//! Fresh names.

use licen_core::primitives::B256;

use crate::session::codes;
use crate::session::error::{CliError, Outcome};

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
