//! The node: indexer, orchestrator, blobs and GraphQL over one database, one address.

pub mod access;
pub mod forward;
pub mod models;
pub mod serve;
