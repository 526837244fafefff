//! What the chain says of one job, for an auditor: its events, and the transaction that settled it.

use alloy::primitives::{B256, Bytes, U64};
use licen_core::abi::DataPolicy;
use licen_core::sol_types::SolEvent;
use serde::Deserialize;
use serde_json::json;

use crate::error::ChainError;
use crate::event::{ChainEvent, RawLog, decode};
use crate::view::Chain;

/// Most blocks of one question.
const SEARCH_RANGE: u64 = 2_000;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct JsonTransaction {
    input: Bytes,
}

impl Chain {
    /// Every confirmed event of `DataPolicy` about a job from block `since` on, in order.
    ///
    /// # Errors
    /// No answer, or the RPCs disagree.
    pub async fn job_events(&self, job_id: B256, since: u64) -> Result<Vec<ChainEvent>, ChainError> {
        let contract = self.contracts().data_policy;
        let last = self.confirmed_head().await?.number;
        let topics = [
            DataPolicy::AccessGranted::SIGNATURE_HASH,
            DataPolicy::JobOpened::SIGNATURE_HASH,
            DataPolicy::JobStarted::SIGNATURE_HASH,
            DataPolicy::JobCompleted::SIGNATURE_HASH,
            DataPolicy::RoyaltySettled::SIGNATURE_HASH,
            DataPolicy::RefundIssued::SIGNATURE_HASH,
            DataPolicy::JobFailed::SIGNATURE_HASH,
            DataPolicy::JobExpired::SIGNATURE_HASH,
            DataPolicy::JobCancelled::SIGNATURE_HASH,
        ];
        let (mut from, mut events) = (since, Vec::new());
        while from <= last {
            let to = last.min(from.saturating_add(SEARCH_RANGE - 1));
            let filter = json!({
                "address": contract, "topics": [topics, job_id],
                "fromBlock": U64::from(from), "toBlock": U64::from(to),
            });
            for log in self.rpcs().agreed_logs(filter).await? {
                let raw = RawLog {
                    contract: log.address,
                    topics: log.topics,
                    data: log.data,
                    block_number: log.block_number.to(),
                    block_hash: log.block_hash,
                    timestamp: log.block_timestamp.map_or(0, |t| t.to()),
                    tx_hash: log.transaction_hash,
                    log_index: log.log_index.to(),
                };
                let ours = raw.contract == contract && !log.removed;
                if let (true, Ok(Some(event))) = (ours, decode(&raw)) {
                    events.push(event);
                }
            }
            from = to + 1;
        }
        Ok(events)
    }

    /// The input of a transaction: what was called with which arguments; `None` where the RPC has no
    /// such transaction.
    ///
    /// # Errors
    /// No answer.
    pub async fn transaction_input(&self, hash: B256) -> Result<Option<Bytes>, ChainError> {
        let found: Option<JsonTransaction> =
            self.rpcs().primary().call("eth_getTransactionByHash", json!([hash])).await?;
        Ok(found.map(|t| t.input))
    }
}
