//! Durable state of a role: one database per role, one writer, every step that must be atomic one
//! function that takes all of it.
//!
//! What the chain said ([`Batch`]: rows, cursor, undo journal, work) is written in one transaction
//! and can be taken back block by block while it is not final. What a role decided ([`WorkUpdate`],
//! [`TxIntent`], the custodian's records) is written before it is done, so a crash at any point
//! leaves either all of a step or none of it.
//!
//! SQLite only, so far. The SQL keeps to what PostgreSQL has too (`$1` parameters, `ON CONFLICT`,
//! BIGINT, TEXT, BLOB; 256-bit numbers as 32 big-endian bytes, which sort correctly), because the
//! second pool comes when one machine is not enough.
#![forbid(unsafe_code)]

mod access;
mod batch;
mod custody;
mod error;
mod journal;
mod retire;
mod row;
mod schema;
mod scope;
mod select;
mod silence;
mod store;
mod tables;
mod tx;
mod value;
mod work;

pub use access::{Access, AccessKind, AccessLimits, Kept};
pub use batch::{Batch, Change, Cursor, JobPatch, Position};
pub use custody::{AuditEntry, HeldResult, Release, ResultKeyRecord};
pub use error::StoreError;
pub use scope::{Followed, Scope};
pub use select::{Op, Select, Where};
pub use silence::{Heard, SILENCE};
pub use store::{Identity, Store};
pub use tables::{
    AuditRow, BlockRow, CustodianSetRow, DatasetRow, JobRow, PaymentRow, PolicyRow, ProviderRow, SplitRow,
};
pub use tx::{TxAttempt, TxIntent, TxOutcome};
pub use value::Value;
pub use work::{NewWork, Work, WorkUpdate};
