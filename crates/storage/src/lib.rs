//! Puts and gets blobs by their 0G file root.
pub mod keccak;
