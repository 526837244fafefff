//! All RPCs together. A fact counts only when each of them says the same about the same block.

use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U64, U256};
use licen_core::sol_types::SolCall;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::ChainError;
use crate::json::{JsonBlock, JsonLog};
use crate::rpc::{ChainIdentity, Rpc};

/// The one chain id where a single RPC is enough: it runs on this machine.
pub const LOCAL_CHAIN_ID: u64 = 31_337;

/// How to ask.
#[derive(Clone, PartialEq, Eq)]
pub struct RpcOptions {
    /// Endpoints; off the local chain at least two.
    pub urls: Vec<String>,
    /// The chain they must be; `None` pins the first answer.
    pub expected: Option<ChainIdentity>,
    /// How long one call may take.
    pub deadline: Duration,
    /// How deep a block must be before it counts.
    pub confirmations: u64,
    /// How far the RPCs' heads may be apart.
    pub max_spread: u64,
}

impl std::fmt::Debug for RpcOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RpcOptions")
            .field("urls", &self.urls.len())
            .field("expected", &self.expected)
            .field("confirmations", &self.confirmations)
            .finish_non_exhaustive()
    }
}

impl Default for RpcOptions {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            expected: None,
            deadline: Duration::from_secs(10),
            confirmations: 2,
            max_spread: 32,
        }
    }
}

/// A block by height and hash, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockRef {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Chain time, seconds.
    pub timestamp: u64,
}

impl From<&JsonBlock> for BlockRef {
    fn from(block: &JsonBlock) -> Self {
        Self { number: block.number.to(), hash: block.hash, timestamp: block.timestamp.to() }
    }
}

/// Several endpoints of one chain.
#[derive(Debug)]
pub struct Rpcs {
    all: Vec<Rpc>,
    confirmations: u64,
    max_spread: u64,
}

impl Rpcs {
    /// Connects to all of them; each must be the same chain. `http` gives the client for what is at a URL
    /// (`licen-peers` builds it): which proxy leads there is not decided here.
    ///
    /// # Errors
    /// [`ChainError::TooFewRpcs`], [`ChainError::OtherChain`], no answer.
    pub async fn connect(
        http: impl Fn(&str) -> reqwest::Client,
        options: &RpcOptions,
    ) -> Result<Self, ChainError> {
        let mut all: Vec<Rpc> = Vec::new();
        for url in &options.urls {
            let expected = options.expected.or_else(|| all.first().map(Rpc::identity));
            all.push(Rpc::connect(http(url), url, expected, options.deadline).await?);
        }
        let chain_id = all.first().map_or(0, |rpc| rpc.identity().chain_id);
        let mut distinct: Vec<&String> = options.urls.iter().collect();
        distinct.sort_unstable();
        distinct.dedup();
        let needed = if chain_id == LOCAL_CHAIN_ID { 1 } else { 2 };
        if distinct.len() < needed {
            return Err(ChainError::TooFewRpcs { chain_id, given: distinct.len() });
        }
        Ok(Self { all, confirmations: options.confirmations, max_spread: options.max_spread })
    }

    /// The chain they are pinned to.
    #[must_use]
    pub fn identity(&self) -> ChainIdentity {
        self.primary().identity()
    }

    /// The depth at which a block counts.
    #[must_use]
    pub fn confirmations(&self) -> u64 {
        self.confirmations
    }

    /// The first endpoint: for sending, and for what is only shown.
    #[must_use]
    pub fn primary(&self) -> &Rpc {
        // `connect` refuses an empty list.
        &self.all[0]
    }

    pub(crate) async fn lowest_head(&self) -> Result<u64, ChainError> {
        let mut low = u64::MAX;
        for rpc in &self.all {
            low = low.min(rpc.head_number().await?);
        }
        Ok(low)
    }

    /// Asks every endpoint again which chain it is.
    ///
    /// # Errors
    /// [`ChainError::OtherChain`], no answer.
    pub async fn recheck(&self) -> Result<(), ChainError> {
        for rpc in &self.all {
            rpc.recheck().await?;
        }
        Ok(())
    }

    /// The newest block that is deep enough on every endpoint, which all know by the same hash.
    ///
    /// # Errors
    /// [`ChainError::Behind`], [`ChainError::Disagree`], no answer.
    pub async fn confirmed_head(&self) -> Result<BlockRef, ChainError> {
        let (mut low, mut high) = (u64::MAX, 0);
        for rpc in &self.all {
            let head = rpc.head_number().await?;
            (low, high) = (low.min(head), high.max(head));
        }
        if high - low > self.max_spread {
            return Err(ChainError::Behind { blocks: high - low, limit: self.max_spread });
        }
        self.block(low.saturating_sub(self.confirmations)).await
    }

    /// A block by height, the same on every endpoint.
    ///
    /// # Errors
    /// [`ChainError::BlockUnknown`], [`ChainError::Disagree`], no answer.
    pub async fn block(&self, number: u64) -> Result<BlockRef, ChainError> {
        let params = json!([U64::from(number), false]);
        let block: Option<JsonBlock> = self.agreed("eth_getBlockByNumber", params).await?;
        block.as_ref().map(BlockRef::from).ok_or(ChainError::BlockUnknown { number })
    }

    /// Runs a view at a block, by its hash.
    ///
    /// # Errors
    /// [`ChainError::NoContract`], [`ChainError::Reverted`], [`ChainError::Disagree`], no answer.
    pub async fn view<C: SolCall>(
        &self,
        at: &BlockRef,
        to: Address,
        call: &C,
    ) -> Result<C::Return, ChainError> {
        let data = Bytes::from(call.abi_encode());
        let params = json!([{"to": to, "data": data}, {"blockHash": at.hash}]);
        let answer: Bytes = self.agreed("eth_call", params).await?;
        if answer.is_empty() {
            return Err(ChainError::NoContract { address: to });
        }
        C::abi_decode_returns(&answer).map_err(|e| ChainError::Malformed {
            url: self.primary().shown().to_string(),
            method: "eth_call",
            reason: format!("{}: {e}", C::SIGNATURE),
        })
    }

    /// Native coin of an account at a block.
    ///
    /// # Errors
    /// [`ChainError::Disagree`], no answer.
    pub async fn balance(&self, at: &BlockRef, account: Address) -> Result<U256, ChainError> {
        self.agreed("eth_getBalance", json!([account, {"blockHash": at.hash}])).await
    }

    /// Code at an address at a block.
    ///
    /// # Errors
    /// [`ChainError::Disagree`], no answer.
    pub async fn code(&self, at: &BlockRef, address: Address) -> Result<Bytes, ChainError> {
        self.agreed("eth_getCode", json!([address, {"blockHash": at.hash}])).await
    }

    pub(crate) async fn agreed_logs(&self, filter: Value) -> Result<Vec<JsonLog>, ChainError> {
        // Nodes differ in optional fields of a log (its block's time); what it says is the same.
        let mut first: Option<Vec<JsonLog>> = None;
        for rpc in &self.all {
            let logs = rpc.logs(filter.clone()).await?;
            let bare = |logs: &[JsonLog]| -> Vec<JsonLog> {
                logs.iter().map(|l| JsonLog { block_timestamp: None, ..l.clone() }).collect()
            };
            match &first {
                Some(known) if bare(known) != bare(&logs) => {
                    return Err(ChainError::Disagree { what: "eth_getLogs".into() });
                }
                Some(_) => {}
                None => first = Some(logs),
            }
        }
        Ok(first.unwrap_or_default())
    }

    /// One call on every endpoint; the answer counts only if all are equal.
    pub(crate) async fn agreed<R>(&self, method: &'static str, params: Value) -> Result<R, ChainError>
    where
        R: DeserializeOwned + PartialEq + std::fmt::Debug + Send + Sync + Unpin + 'static,
    {
        let first: R = self.primary().call(method, params.clone()).await?;
        for rpc in &self.all[1..] {
            let other: R = rpc.call(method, params.clone()).await?;
            if other != first {
                return Err(ChainError::Disagree { what: method.to_string() });
            }
        }
        Ok(first)
    }
}
