//! A job as the chain's logs tell it.

use licen_core::abi::ResultManifest;
use licen_core::primitives::{Address, B256, Bytes, U256};

/// What the chain says of one job, gathered from its logs and the settling transaction.
#[derive(Debug, Default)]
pub struct JobHistory {
    /// `JobOpened`: its block and transaction.
    pub opened: Option<(u64, B256)>,
    /// `JobStarted` of the last attempt: its block and that block's time.
    pub started: Option<(u64, u64)>,
    /// What compute stated, as `ResultRecorded` has it.
    pub result: Option<ResultManifest>,
    /// `JobFailed`: the reason's number.
    pub failed: Option<u8>,
    /// `RoyaltySettled`.
    pub royalty: U256,
    /// `RefundIssued`.
    pub refund: U256,
    /// Whom the settling transaction called, and with what.
    pub settled_by: Option<(Option<Address>, Bytes)>,
}
