//! One JSON-RPC endpoint, pinned to the chain it was connected to. Every call has a deadline.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, Bytes, U64, U256};
use alloy::rpc::client::RpcClient;
use alloy::transports::{RpcError, TransportErrorKind};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::ChainError;
use crate::json::{JsonBlock, JsonLog, JsonReceipt};
use crate::revert::Revert;
use crate::rpcs::BlockRef;

/// How long an identity check holds while nothing went wrong. A private chain that restarts behind
/// the same URL is noticed within this time even if no call failed meanwhile.
const IDENTITY_HOLDS: Duration = Duration::from_secs(5);

/// What makes a chain this chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainIdentity {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of block 0: two chains with one id differ here.
    pub genesis_hash: B256,
}

impl fmt::Display for ChainIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chain {} with genesis {}", self.chain_id, self.genesis_hash)
    }
}

/// One endpoint.
pub struct Rpc {
    client: RpcClient,
    url: String,
    shown: String,
    deadline: Duration,
    identity: ChainIdentity,
    checked: Mutex<Option<Instant>>,
}

impl fmt::Debug for Rpc {
    /// Shows the host only: paths of RPC URLs hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc").field("url", &self.shown).field("identity", &self.identity).finish()
    }
}

impl Rpc {
    /// Connects by `http`, and pins the chain id and genesis hash: to `expected` where given, else to
    /// what answers now. Every call ends within `deadline`.
    ///
    /// # Errors
    /// [`ChainError::OtherChain`], an unusable URL, no answer.
    pub async fn connect(
        http: reqwest::Client,
        url: &str,
        expected: Option<ChainIdentity>,
        deadline: Duration,
    ) -> Result<Self, ChainError> {
        let parsed: reqwest::Url = url.parse().map_err(|e| ChainError::BadUrl { reason: format!("{e}") })?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(ChainError::BadUrl { reason: format!("scheme {} is not http(s)", parsed.scheme()) });
        }
        let host = parsed.host_str().unwrap_or_default().to_string();
        let port = parsed.port().map_or(String::new(), |p| format!(":{p}"));
        let shown = format!("{}://{host}{port}", parsed.scheme());
        let mut rpc = Self {
            client: RpcClient::new_http_with_client(http, parsed),
            url: url.to_string(),
            shown,
            deadline,
            identity: ChainIdentity { chain_id: 0, genesis_hash: B256::ZERO },
            checked: Mutex::new(None),
        };
        let found = rpc.ask_identity().await?;
        rpc.identity = expected.unwrap_or(found);
        rpc.compare(found)?;
        Ok(rpc)
    }

    /// The chain this endpoint is pinned to.
    #[must_use]
    pub fn identity(&self) -> ChainIdentity {
        self.identity
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Asks again which chain this is, whatever was known.
    ///
    /// # Errors
    /// [`ChainError::OtherChain`], no answer.
    pub async fn recheck(&self) -> Result<(), ChainError> {
        let found = self.ask_identity().await?;
        self.compare(found)
    }

    fn compare(&self, found: ChainIdentity) -> Result<(), ChainError> {
        if found != self.identity {
            self.forget_check();
            return Err(ChainError::OtherChain { url: self.shown.clone(), expected: self.identity, found });
        }
        *lock(&self.checked) = Some(Instant::now());
        Ok(())
    }

    fn forget_check(&self) {
        *lock(&self.checked) = None;
    }

    async fn ask_identity(&self) -> Result<ChainIdentity, ChainError> {
        let chain_id: U64 = self.raw("eth_chainId", json!([])).await?;
        let genesis: Option<JsonBlock> = self.raw("eth_getBlockByNumber", json!(["0x0", false])).await?;
        let genesis = genesis.ok_or(ChainError::BlockUnknown { number: 0 })?;
        Ok(ChainIdentity { chain_id: chain_id.to(), genesis_hash: genesis.hash })
    }

    /// One call, after making sure that this is still the pinned chain.
    pub(crate) async fn call<R: DeserializeOwned + fmt::Debug + Send + Sync + Unpin + 'static>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<R, ChainError> {
        let fresh = lock(&self.checked).is_some_and(|at| at.elapsed() < IDENTITY_HOLDS);
        if !fresh {
            self.recheck().await?;
        }
        self.raw(method, params).await
    }

    async fn raw<R: DeserializeOwned + fmt::Debug + Send + Sync + Unpin + 'static>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<R, ChainError> {
        let request = self.client.request::<Value, R>(method, params);
        match tokio::time::timeout(self.deadline, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.explain(method, error)),
            Err(_) => {
                self.forget_check();
                let (url, after) = (self.shown.clone(), self.deadline);
                Err(ChainError::Deadline { url, method, after })
            }
        }
    }

    fn explain(&self, method: &'static str, error: RpcError<TransportErrorKind>) -> ChainError {
        let redact = |text: String| text.replace(&self.url, &self.shown);
        match error {
            RpcError::ErrorResp(payload) => {
                let message = redact(payload.message.to_string());
                if let Some(data) = payload.as_revert_data() {
                    return ChainError::Reverted(Revert::decode(&data));
                }
                if message.contains("execution reverted") {
                    return ChainError::Reverted(Revert::decode(&[]));
                }
                ChainError::Refused { method, code: payload.code, message }
            }
            RpcError::NullResp => self.malformed(method, "null"),
            RpcError::DeserError { err, .. } => self.malformed(method, &err.to_string()),
            RpcError::SerError(err) => self.malformed(method, &err.to_string()),
            RpcError::UnsupportedFeature(what) => self.malformed(method, what),
            RpcError::LocalUsageError(err) => self.malformed(method, &redact(err.to_string())),
            RpcError::Transport(kind) => {
                self.forget_check();
                ChainError::Unreachable { url: self.shown.clone(), reason: redact(kind.to_string()) }
            }
        }
    }

    fn malformed(&self, method: &'static str, reason: &str) -> ChainError {
        ChainError::Malformed { url: self.shown.clone(), method, reason: reason.to_string() }
    }

    pub(crate) async fn head(&self) -> Result<JsonBlock, ChainError> {
        self.call("eth_getBlockByNumber", json!(["latest", false])).await
    }

    pub(crate) async fn logs(&self, filter: Value) -> Result<Vec<JsonLog>, ChainError> {
        self.call("eth_getLogs", json!([filter])).await
    }

    pub(crate) async fn block_receipts(&self, hash: B256) -> Result<Vec<JsonReceipt>, ChainError> {
        self.call("eth_getBlockReceipts", json!([hash])).await
    }

    pub(crate) async fn receipt(&self, hash: B256) -> Result<Option<JsonReceipt>, ChainError> {
        self.call("eth_getTransactionReceipt", json!([hash])).await
    }

    /// The number of transactions an account has sent, at `latest` or `pending`.
    pub(crate) async fn nonce(&self, account: Address, tag: &str) -> Result<u64, ChainError> {
        let count: U64 = self.call("eth_getTransactionCount", json!([account, tag])).await?;
        Ok(count.to())
    }

    /// Code at an address, at the head.
    ///
    /// # Errors
    /// No answer.
    pub async fn code(&self, address: Address) -> Result<Bytes, ChainError> {
        self.call("eth_getCode", json!([address, "latest"])).await
    }

    /// Native coin of an account, at the head.
    ///
    /// # Errors
    /// No answer.
    pub async fn balance(&self, address: Address) -> Result<U256, ChainError> {
        self.call("eth_getBalance", json!([address, "latest"])).await
    }

    /// Height of the head.
    ///
    /// # Errors
    /// No answer.
    pub async fn head_number(&self) -> Result<u64, ChainError> {
        let number: U64 = self.call("eth_blockNumber", json!([])).await?;
        Ok(number.to())
    }

    /// Chain time of the head, seconds.
    ///
    /// # Errors
    /// No answer.
    pub async fn head_ref(&self) -> Result<BlockRef, ChainError> {
        Ok(BlockRef::from(&self.head().await?))
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
