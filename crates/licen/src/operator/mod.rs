//! Whoever runs a role acts here: deploy contracts, register custodians and providers, say what is demanded of
//! compute; and here are the tools that everybody needs once: keys, settings, blobs.

pub mod anchor;
pub mod attest;
pub mod custodian;
pub mod deploy;
pub mod info;
pub mod key;
pub mod provider;
pub mod storage;
