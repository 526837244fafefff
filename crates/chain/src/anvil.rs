//! A private chain on this machine: the demo's, `licen deploy --network anvil`'s and the tests'.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, U256};
use serde_json::{Value, json};

use crate::error::ChainError;
use crate::rpc::Rpc;
use crate::rpcs::LOCAL_CHAIN_ID;

/// The native program inside the npm package, below a directory that has `contracts/`.
const NATIVE: &str = "contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";
const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// Why no private chain could be started.
#[derive(Debug, thiserror::Error)]
pub enum AnvilError {
    /// The program is not there.
    #[error("anvil was not found: run `npm ci` in contracts/, or set LICEN_ANVIL")]
    NotFound,
    /// It does not start.
    #[error("anvil at {path} does not start: {reason}")]
    NotStarted {
        /// The program.
        path: String,
        /// What went wrong.
        reason: String,
    },
}

/// How the private chain runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnvilOptions {
    /// Port; a free one where `None`.
    pub port: Option<u16>,
    /// Seconds per block; a block per transaction where `None`.
    pub block_time: Option<u64>,
    /// Chain id; the local one where `None`.
    pub chain_id: Option<u64>,
    /// More arguments.
    pub arguments: Vec<String>,
}

/// A running private chain. It ends when this is dropped.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    url: String,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Anvil {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// [`AnvilError`].
    pub async fn start(options: &AnvilOptions) -> Result<Self, AnvilError> {
        let program = find().ok_or(AnvilError::NotFound)?;
        let failed = |reason: String| AnvilError::NotStarted { path: program.display().to_string(), reason };
        let port = match options.port {
            Some(port) => port,
            None => free_port().map_err(|e| failed(e.to_string()))?,
        };
        let chain_id = options.chain_id.unwrap_or(LOCAL_CHAIN_ID);
        let mut command = Command::new(&program);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--chain-id", &chain_id.to_string(), "--hardfork", "cancun"]);
        if let Some(seconds) = options.block_time {
            command.args(["--block-time", &seconds.to_string()]);
        }
        command.args(&options.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|e| failed(e.to_string()))?;
        let mut anvil = Self { child, url: format!("http://127.0.0.1:{port}") };
        let started = Instant::now();
        loop {
            if let Ok(Some(status)) = anvil.child.try_wait() {
                return Err(failed(format!("it ended with {status}")));
            }
            if Rpc::connect(&anvil.url, None, Duration::from_secs(2)).await.is_ok() {
                return Ok(anvil);
            }
            if started.elapsed() > STARTS_WITHIN {
                return Err(failed("no answer in time".into()));
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Its RPC.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// `LICEN_ANVIL`, else `contracts/node_modules` in or above the working directory, the running
/// program or the source tree, else `PATH`.
#[must_use]
pub fn find() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("LICEN_ANVIL") {
        return Some(path.into());
    }
    let places = [
        std::env::current_dir().ok(),
        std::env::current_exe().ok(),
        Some(Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()),
    ];
    let above = |place: PathBuf| -> Option<PathBuf> {
        place.ancestors().map(|dir| dir.join(NATIVE)).find(|path| path.is_file())
    };
    places.into_iter().flatten().find_map(above).or_else(|| {
        let paths = std::env::var_os("PATH")?;
        std::env::split_paths(&paths).map(|dir| dir.join("anvil")).find(|path| path.is_file())
    })
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// What only a private chain can do.
impl Rpc {
    async fn dev(&self, method: &'static str, params: Value) -> Result<(), ChainError> {
        self.call::<Value>(method, params).await.map(|_| ())
    }

    /// Sets an account's native coin.
    ///
    /// # Errors
    /// [`ChainError`]: no answer, or no private chain.
    pub async fn dev_fund(&self, account: Address, wei: U256) -> Result<(), ChainError> {
        self.dev("anvil_setBalance", json!([account, wei])).await
    }

    /// Makes empty blocks.
    ///
    /// # Errors
    /// [`ChainError`]: no answer, or no private chain.
    pub async fn dev_mine(&self, blocks: u64) -> Result<(), ChainError> {
        self.dev("anvil_mine", json!([U256::from(blocks)])).await
    }

    /// Whether each transaction makes a block.
    ///
    /// # Errors
    /// [`ChainError`]: no answer, or no private chain.
    pub async fn dev_automine(&self, on: bool) -> Result<(), ChainError> {
        self.dev("evm_setAutomine", json!([on])).await
    }

    /// Replaces the newest blocks by empty ones.
    ///
    /// # Errors
    /// [`ChainError`]: no answer, or no private chain.
    pub async fn dev_reorg(&self, depth: u64) -> Result<(), ChainError> {
        self.dev("anvil_reorg", json!([depth, []])).await
    }

    /// Puts code at an address.
    ///
    /// # Errors
    /// [`ChainError`]: no answer, or no private chain.
    pub async fn dev_set_code(&self, address: Address, code: &[u8]) -> Result<(), ChainError> {
        self.dev("anvil_setCode", json!([address, alloy::primitives::Bytes::copy_from_slice(code)])).await
    }
}
