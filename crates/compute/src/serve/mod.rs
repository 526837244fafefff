//! The node half of the measured binary: it attests itself, opens a dataset that only it may open,
//! trains on it, and hands the result over so that it is paid for or worthless.
//!
//! An attempt at a job goes through these modules in order:
//!
//! ```text
//! PUT /v1/jobs/{jobId}/{attempt}   http, node        the dispatch, of which nothing is believed
//!   check      contradictions inside it                                              pure
//!   documents  envelope, constraints, job specification, policy manifest, by root
//!   qualify    t custodians know the job as Granted; then a place, the base model's archive, the slot
//!   base       the base model, by root, loaded by a trainer (`crate::apart`)
//!   setup      keys, nonces, runtime data, evidence (tee), verdicts -> StartTicket
//! PUT again, Running with our signer
//!   unlock     shares -> DatasetKey
//!   open       evidence bundle stored, ciphertext by root, plaintext in memory (dataset), recomputed, to the trainer
//!   training   the trainer, watched (limits), epoch by epoch; a signed Stop ends it after the epoch
//!   losses     what of its losses may leave: means over many rows
//!   report     what the job measured, stored beside the evidence
//!   result     tar -> encrypted under a fresh key -> stored; the key dealt to the custodians
//!   alive      from asking for shares to the last word: a signed word to every custodian each minute
//!   deliver    shares -> t Held -> manifest signed (keys) -> manifest to all
//! ```
//!
//! Beside them `quote` prices a job before it is paid for, with what `speeds` remembers of trainings.
//!
//! `machine` decides all of it, pure, from `event`s to `effect`s; `run` carries the effects out. It
//! asks for at most one terminal statement per attempt, and `keys` can sign only one.
//!
//! Invariant: no plaintext row, no loss of a single row and no key is written to a file, a log, an
//! error or an answer. Files in the working folder are ciphertext or public.
//! Absent on purpose: a chain client, a wallet, a database, and any memory of an attempt beyond the
//! process. A restart loses the keys; another attempt, with keys of its own, takes its place.

mod alive;
mod base;
mod blobs;
mod check;
mod config;
mod custodians;
mod dataset;
mod deliver;
mod documents;
mod effect;
mod error;
mod event;
mod http;
mod keys;
mod limits;
pub(crate) mod losses;
mod machine;
mod node;
mod open;
mod qualify;
mod quote;
mod report;
mod result;
mod run;
mod setup;
mod speeds;
mod start;
mod tee;
mod training;
mod unlock;

pub use check::{DispatchError, Stage, check_dispatch};
pub use config::{Config, SimulatedFault};
pub use effect::Effect;
pub use error::{Broken, ServeError};
pub use event::Event;
pub use http::router;
pub use machine::{Machine, Terms};
pub use node::Node;
pub use start::{Arguments, run};
pub use tee::PROGRAM;
