//! Drives a job from `AccessGranted` to the end of its money.
//!
//! ```text
//! AccessGranted -> dispatch to compute -> verdicts -> startJob -> dispatch as Running -> training
//!     -> confirmTrainingComplete | markJobFailed | restartJob | expireJob
//! ```
//!
//! The orchestrator has no authority. It holds a wallet that pays gas, and nothing else: no key, no
//! ciphertext, no signature that anything waits for. What it sends is valid because custodians or
//! compute signed it or because a deadline passed, so anybody else can send the same; it can be
//! late, and it can be replaced, but it can neither start a job that custodians refused, nor end one
//! otherwise than compute's statement or the clock says. It does not link `seal`, `attest` or
//! `storage`, so it could decrypt nothing even if it were given bytes to decrypt.
//!
//! The contract is the idempotency key. Every decision reads the contract again before it sends, and
//! finding the step already done is success. What the database holds (leases, tries, transaction
//! intents) makes a restart quick and keeps two orchestrators out of each other's way; losing it
//! costs time, not money.
#![forbid(unsafe_code)]

pub mod check;
mod config;
pub mod effect;
mod error;
pub mod event;
#[cfg(test)]
mod fixture;
mod journal;
mod live;
pub mod machine;
mod peers;
mod run;
mod timer;
mod transact;

pub use config::{ComputeUrl, Config};
pub use effect::{AttemptId, Call, CallKind, Effect, JobProgress, Phase};
pub use error::OrchestratorError;
pub use event::{Deep, Event, Reading, TxOutcome};
pub use journal::StoreJournal;
pub use live::{run, run_with};
pub use machine::Machine;
pub use peers::Peers;
pub use run::{Orchestrator, Ports, Settings};
pub use timer::Pace;
