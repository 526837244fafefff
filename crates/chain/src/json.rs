//! The parts of JSON-RPC answers that LICEN reads. Everything else in them is ignored, so that a
//! field or transaction type of a foreign chain cannot make a block unreadable.

use alloy::primitives::{Address, B256, Bloom, Bytes, U64, U256};
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JsonBlock {
    pub(crate) number: U64,
    pub(crate) hash: B256,
    pub(crate) parent_hash: B256,
    pub(crate) timestamp: U64,
    #[serde(default)]
    pub(crate) logs_bloom: Bloom,
    #[serde(default)]
    pub(crate) base_fee_per_gas: Option<U256>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JsonLog {
    pub(crate) address: Address,
    pub(crate) topics: Vec<B256>,
    pub(crate) data: Bytes,
    pub(crate) block_number: U64,
    pub(crate) block_hash: B256,
    #[serde(default)]
    pub(crate) block_timestamp: Option<U64>,
    pub(crate) transaction_hash: B256,
    pub(crate) log_index: U64,
    #[serde(default)]
    pub(crate) removed: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JsonReceipt {
    pub(crate) transaction_hash: B256,
    pub(crate) block_hash: B256,
    pub(crate) block_number: U64,
    pub(crate) status: U64,
    pub(crate) gas_used: U64,
    #[serde(default)]
    pub(crate) effective_gas_price: Option<U256>,
    #[serde(default)]
    pub(crate) contract_address: Option<Address>,
    #[serde(default)]
    pub(crate) logs: Vec<JsonLog>,
}
