//! What is kept about a transaction, and who keeps it.

use std::future::Future;

use alloy::primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};

/// A call to make, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Names the call for ever: the same key is the same transaction.
    pub idem_key: String,
    /// `None` deploys a contract.
    pub to: Option<Address>,
    /// Wei.
    pub value: U256,
    /// Calldata.
    pub data: Bytes,
}

/// A transaction that has to happen, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Names the intent for ever.
    pub idem_key: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Who signs.
    pub signer: Address,
    /// The nonce it has for ever.
    pub nonce: u64,
    /// `None` deploys a contract.
    pub to: Option<Address>,
    /// Wei.
    pub value: U256,
    /// Calldata.
    pub data: Bytes,
    /// Gas limit.
    pub gas_limit: u64,
    /// When it was decided, milliseconds.
    pub created_ms: u64,
    /// How it ended; `None` while open.
    pub outcome: Option<Outcome>,
}

/// What a unit of gas may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fees {
    /// maxFeePerGas, wei.
    pub max_fee: u128,
    /// maxPriorityFeePerGas, wei.
    pub max_priority_fee: u128,
}

/// One signed version of an intent; each next one pays more under the same nonce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Counts from 0.
    pub number: u32,
    /// Transaction hash.
    pub hash: B256,
    /// The signed transaction.
    pub raw: Bytes,
    /// What it pays.
    pub fees: Fees,
    /// When it was signed to be sent, milliseconds.
    pub sent_ms: u64,
}

/// How an intent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum End {
    /// Mined; did what it should.
    Succeeded,
    /// Mined; the contract refused.
    Reverted,
    /// Another transaction of the signer, sent by somebody else, took the nonce.
    Displaced,
}

impl End {
    /// The word that databases keep.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Reverted => "reverted",
            Self::Displaced => "displaced",
        }
    }

    /// The inverse of [`End::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Succeeded, Self::Reverted, Self::Displaced].into_iter().find(|e| e.name() == name)
    }
}

/// An attempt that is in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mined {
    /// Transaction hash.
    pub tx_hash: B256,
    /// Height of the block.
    pub block_number: u64,
    /// Hash of the block.
    pub block_hash: B256,
    /// Whether the contract accepted.
    pub success: bool,
    /// Gas used.
    pub gas_used: u64,
    /// Wei paid per unit of gas.
    pub gas_price: u128,
    /// The contract it deployed.
    pub contract: Option<Address>,
}

/// The end of an intent, at the confirmation depth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// How.
    pub end: End,
    /// Where, unless displaced.
    pub mined: Option<Mined>,
    /// What the contract said, where it reverted.
    pub revert_data: Option<Bytes>,
}

/// A journal did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The key names another transaction already.
    #[error("{key} is already another transaction")]
    Conflict {
        /// The idempotency key.
        key: String,
    },
    /// It cannot be read or written.
    #[error("transaction journal: {0}")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Keeps intents and attempts. Each function is one atomic, durable write or a read: when it
/// returns, the content survives a power cut.
pub trait Journal: Send + Sync {
    /// An intent and its attempts in order.
    fn load(
        &self,
        idem_key: &str,
    ) -> impl Future<Output = Result<Option<(Intent, Vec<Attempt>)>, JournalError>> + Send;

    /// Keeps an intent with its nonce: one above the highest of this signer here, or
    /// `pending_nonce`, whichever is higher (the field of `intent` is ignored). An intent with the same
    /// key and content comes back as it is; with other content it is a conflict.
    fn reserve(
        &self,
        intent: &Intent,
        pending_nonce: u64,
    ) -> impl Future<Output = Result<Intent, JournalError>> + Send;

    /// Keeps a signed version. The same again is no error; another one of the same number is a conflict.
    fn add_attempt(
        &self,
        idem_key: &str,
        attempt: &Attempt,
    ) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Keeps the end. The first one stays.
    fn finish(
        &self,
        idem_key: &str,
        outcome: &Outcome,
    ) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// The intent that has a nonce. It is asked for when a finished transaction vanished from the
    /// chain, in a change deeper than the confirmation depth, and its nonce has to be filled again.
    fn with_nonce(
        &self,
        chain_id: u64,
        signer: Address,
        nonce: u64,
    ) -> impl Future<Output = Result<Option<(Intent, Vec<Attempt>)>, JournalError>> + Send;

    /// The open intents of a signer in nonce order.
    fn open(
        &self,
        chain_id: u64,
        signer: Address,
    ) -> impl Future<Output = Result<Vec<Intent>, JournalError>> + Send;
}
