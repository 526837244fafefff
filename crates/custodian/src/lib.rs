//! A custodian holds one share of keys it never sees whole, and lets a share go only when the chain
//! says so and evidence says so.
//!
//! The story of one job, as one custodian lives it:
//!
//! 1. **Challenge.** Compute asks for a nonce. The chain must show the job as Granted.
//! 2. **Verdict.** Compute sends evidence about itself that binds the nonce, its keys and the job.
//!    The nonce is used up first; then every rule of [`judge`] has to hold, down to whether this
//!    custodian's own share opens. The verdict is written down, then signed for `startJob`. Nothing
//!    secret has left yet.
//! 3. **Release.** Enough verdicts made the job Running, and so the chain itself names one key for
//!    this attempt. Read at depth, that is a `ConfirmedRun`; with the evidence, appraised anew, it
//!    makes the `Warrant` without which `seal` does not re-seal. One attempt, one key, one stored
//!    answer.
//! 4. **Deliver.** Compute hands over a share of the result key, and signs with it which result, base model,
//!    adapter, evidence and report are to be held and where they lie. The custodian fetches the encrypted
//!    result itself, recomputes its root, compares what is said with the JobSpec and the result's header,
//!    opens its share against the commitment, and signs `Held`.
//!    With t such signatures compute signs the manifest, which every custodian publishes.
//! 5. **Result.** When the chain says Completed with exactly that result, a `ConfirmedSettlement`,
//!    the share goes to the researcher's key. Paid and delivered, or neither.
//!
//! One custodian serves several contracts over one store ([`contracts`]). Every request names its contract,
//! every read asks that one, and every statement about a job is signed for it; what an owner says about a
//! dataset holds at all of them.
//!
//! Each answer is on disk with its line of the hash-chained audit log before it leaves, so a crash
//! at any point and a retry give the same bytes. Refused verdicts and releases sound all the same
//! from outside; their reasons stay here. The log commits to those of peers that used up a nonce or
//! have a verdict; whatever anybody can cause is counted instead, so that no stranger fills the disk.
//!
//! What a custodian cannot do: read a dataset (it has no ciphertext and does not link `storage`),
//! make a whole key (it has one share of t), or call a released share back. What t of them together
//! can do stands in SECURITY.md.
//!
//! [`machine`] decides and does no I/O; [`run`] carries out its effects; [`http`] parses requests.
#![forbid(unsafe_code)]

pub mod anchor;
mod audit;
mod blobs;
mod chain;
mod collateral;
pub mod config;
pub mod contracts;
mod denial;
pub mod effect;
pub mod erase;
pub mod error;
pub mod event;
mod http;
pub mod judge;
mod ledger;
pub mod limits;
mod lock;
pub mod machine;
mod refusals;
pub mod run;
mod watch;

pub use config::Config;
pub use denial::Denial;
pub use error::Error;
pub use machine::{Machine, Settings};
pub use run::{Custodian, serve};

#[cfg(test)]
mod tests;
