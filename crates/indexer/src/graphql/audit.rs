//! `AuditLog`.

use async_graphql::{ComplexObject, SimpleObject};
use licen_store::AuditRow;

use super::LONG;
use super::filter::{IntExp, TextExp, inputs};

inputs! {
    AuditFilter as "AuditLog_bool_exp", AuditOrder as "AuditLog_order_by",
    id: TextExp => "id", Text;
    contract: TextExp => "contract", Account;
    dataset_root: TextExp => "dataset_root", Hash;
    job_id: TextExp => "job_id", Hash;
    event_type: TextExp => "event_type", Text;
    timestamp: IntExp => "timestamp", Text;
    block_number: IntExp => "block_number", Text;
    log_index: IntExp => "log_index", Text;
    tx_hash: TextExp => "tx_hash", Hash;
}

/// One line of the public history.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub(crate) struct AuditLog {
    /// Sorts in chain order.
    id: String,
    /// The contract that logged it.
    contract: String,
    /// The dataset, where there is one.
    dataset_root: Option<String>,
    /// The job, where there is one.
    job_id: Option<String>,
    /// Name of the event.
    event_type: String,
    /// Chain time, seconds.
    timestamp: u64,
    /// Its transaction.
    tx_hash: String,
    /// Its block.
    block_number: u64,
    /// Its place in the block.
    log_index: u64,
    #[graphql(skip)]
    details: String,
}

#[ComplexObject]
impl AuditLog {
    /// The event's values, JSON.
    #[graphql(complexity = "LONG")]
    async fn details(&self) -> &str {
        &self.details
    }
}

impl AuditLog {
    pub(crate) fn of(row: &AuditRow) -> Self {
        Self {
            id: row.id.clone(),
            contract: row.contract.to_string(),
            dataset_root: row.dataset_root.map(|r| r.to_string()),
            job_id: row.job_id.map(|j| j.to_string()),
            event_type: row.event_type.clone(),
            timestamp: row.timestamp,
            tx_hash: row.tx_hash.to_string(),
            block_number: row.block_number,
            log_index: row.log_index,
            details: row.details.clone(),
        }
    }
}
