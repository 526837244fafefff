//! The chain as LICEN sees it. Every read that decides something is a *confirmed* read: at a block
//! `confirmations` deep, by its hash, on every RPC that is configured, all of which must agree.
//!
//! ```text
//! Rpc    one endpoint, pinned to chain id and genesis hash, every call with a deadline
//! Rpcs   all of them; disagreement denies
//! Chain  views of DataPolicy and Custody at depth -> ConfirmedRun, ConfirmedSettlement
//! Follower (pure) + fetch    blocks and logs, reorgs -> what to take back, what to add
//! Flight (pure) + Sender     an intent -> one transaction, whatever crashes in between
//! ```
//!
//! The follower and the flight do no I/O: they return rows to persist and bytes to send. The role
//! writes them through its store first. Transaction keys live here; no other key does.
#![forbid(unsafe_code)]

pub mod anvil;
pub mod artifacts;
pub mod deployment;
pub mod error;
pub mod event;
pub mod fetch;
mod history;
mod json;
pub mod revert;
pub mod rpc;
pub mod rpcs;
pub mod sender;
mod sentences;
pub mod stream;
pub mod view;
pub mod wallet;

pub use deployment::{Deployment, DeploymentError};
pub use error::ChainError;
pub use event::{ChainEvent, EventKind};
pub use history::KeyUse;
pub use revert::Revert;
pub use rpc::{ChainIdentity, Rpc};
pub use rpcs::{BlockRef, RpcOptions, Rpcs};
pub use sender::{Call, FileJournal, Journal, SendError, Sender, SenderOptions};
pub use stream::{Advance, Follower, StreamError};
pub use view::{Chain, Confirmed};
pub use wallet::{WalletError, WalletKey};
