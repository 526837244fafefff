//! `Payment`.

use async_graphql::SimpleObject;
use licen_store::PaymentRow;

use super::filter::{IntExp, TextExp, inputs};

inputs! {
    PaymentFilter as "Payment_bool_exp", PaymentOrder as "Payment_order_by",
    id: TextExp => "id", Text;
    contract: TextExp => "contract", Account;
    kind: TextExp => "kind", Text;
    account: TextExp => "account", Hash;
    token: TextExp => "token", Account;
    amount: TextExp => "amount", Amount;
    r#ref: TextExp => "reference", Hash;
    job_id: TextExp => "job_id", Hash;
    to: TextExp => "receiver", Account;
    timestamp: IntExp => "timestamp", Text;
    block_number: IntExp => "block_number", Text;
    log_index: IntExp => "log_index", Text;
    tx_hash: TextExp => "tx_hash", Hash;
}

/// One move in a contract's ledger. What an account has there of a token is the sum of what was credited,
/// minus what was withdrawn and what was distributed.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct Payment {
    /// Sorts in chain order.
    id: String,
    /// The `DataPolicy` whose ledger it is.
    contract: String,
    /// credited, withdrawn or distributed.
    kind: String,
    /// The ledger account: an address in 32 bytes, or the hash of a split.
    account: String,
    /// The zero address is the native coin.
    token: String,
    /// Base units, decimal.
    amount: String,
    /// What a credit is for: a jobId, or the account of the split that it was distributed from.
    r#ref: Option<String>,
    /// The job, where that is what a credit is for.
    job_id: Option<String>,
    /// Where a withdrawal went.
    to: Option<String>,
    /// Chain time, seconds.
    timestamp: u64,
    /// Its transaction.
    tx_hash: String,
    /// Its block.
    block_number: u64,
    /// Its place in the block.
    log_index: u64,
}

impl Payment {
    pub(crate) fn of(row: &PaymentRow) -> Self {
        Self {
            id: row.id.clone(),
            contract: row.contract.to_string(),
            kind: row.kind.clone(),
            account: row.account.to_string(),
            token: row.token.to_string(),
            amount: row.amount.to_string(),
            r#ref: row.reference.map(|r| r.to_string()),
            job_id: row.job_id.map(|j| j.to_string()),
            to: row.receiver.map(|t| t.to_string()),
            timestamp: row.timestamp,
            tx_hash: row.tx_hash.to_string(),
            block_number: row.block_number,
            log_index: row.log_index,
        }
    }
}
