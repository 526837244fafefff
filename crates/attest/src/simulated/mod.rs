//! The simulated TEE: a document that looks like evidence and is signed like evidence, under a
//! root whose private key everybody has.

mod document;
mod root;
mod tee;
#[cfg(test)]
mod tests;

pub(crate) use document::Claims;
pub use tee::{SimulatedTee, measure};
