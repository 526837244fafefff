//! The simulated TEE: quotes of TDX's format under a root whose private key everybody has, verified
//! by the same code as real ones. `data/simulated` holds its public key infrastructure, which
//! `pki.rs` makes.

mod keys;
#[cfg(test)]
mod pki;
mod tee;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

pub use tee::{SimulatedPlatform, SimulatedTee, measure};

use crate::collateral::Collateral;
use crate::intel::Root;

/// Not Intel's: a certificate under it says so in its name.
pub(crate) const ROOT_DER: &[u8] = include_bytes!("../../data/simulated/root.der");
const COLLATERAL: &[u8] = include_bytes!("../../data/simulated/collateral.json");

pub(crate) fn root() -> Root {
    Root::Other(ROOT_DER)
}

/// What the simulated root says about its platforms; valid from 2020 to 2049.
pub(crate) fn collateral() -> &'static Collateral {
    static PARSED: LazyLock<Collateral> = LazyLock::new(|| {
        Collateral::from_file(COLLATERAL).expect("the committed collateral is what a test reads too")
    });
    &PARSED
}
