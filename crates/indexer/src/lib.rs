//! Chain events -> tables -> GraphQL.
//!
//! The follower reads blocks in order, keeps an undo journal for as far back as the chain may change
//! its mind, and writes each step (rows, journal, cursor) in one transaction, so the tables are
//! always exactly one block's state. The chain is the truth and the index only says where to look:
//! it can be deleted and built again, and whoever acts on it (the orchestrator, the command line)
//! asks the contract first.
//!
//! Every `DataPolicy` of a deployment is followed at once, and an event counts for the contract that
//! logged it. Where that set changes the tables begin again: a contract that joins brings its past.
//!
//! It stops rather than guess. Another chain behind the same URL, a reorganisation deeper than what
//! is final, an event whose money does not add up: the tables stay as they are, every answer says
//! `ready: false` and why.
#![forbid(unsafe_code)]

mod error;
pub mod event;
#[cfg(test)]
mod fixture;
pub mod graphql;
mod guard;
mod http;
mod ledger;
pub mod machine;
mod registry;
mod run;
mod status;

pub use error::IndexerError;
pub use event::{Need, need};
pub use http::router;
pub use machine::{Applied, ApplyError, JobFacts, Origin, View, apply};
pub use run::{Config, batch, run};
pub use status::{Freshness, MAX_LAG, Status};
