//! Puts and gets blobs by their 0G file root.
//!
//! Everything LICEN keeps off the chain is a blob: bytes with the name that [`licen_core::merkle`]
//! gives them. The name is the check. [`root`] computes it, [`blobs`] keeps blobs in a local
//! directory, [`http`] serves them and [`client`] moves them, and each of them recomputes the name
//! instead of believing the other side.
//!
//! A blob here is ciphertext or public: this crate never sees a key.
//!
//! A file root does not commit to the length of the file (see [`licen_core::merkle`]): the store
//! keeps the first length it saw and refuses others, and whoever depends on the length must know it.

pub mod blobs;
pub mod client;
mod error;
pub mod http;
pub mod keccak;
pub mod root;

pub use blobs::Blobs;
pub use error::{Error, Result};
