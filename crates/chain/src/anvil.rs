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

/// Where npm puts the native programs, below a directory that has `contracts/`. The launcher beside
/// them would leave a child behind when it is ended.
const PACKAGES: &str = "contracts/node_modules/@foundry-rs";
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
    /// Starts one and waits until it answers `http`.
    ///
    /// # Errors
    /// [`AnvilError`].
    pub async fn start(http: &reqwest::Client, options: &AnvilOptions) -> Result<Self, AnvilError> {
        let program = find()?;
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
            if Rpc::connect(http.clone(), &anvil.url, None, Duration::from_secs(2)).await.is_ok() {
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

/// `LICEN_ANVIL`, else `contracts/node_modules` in or above the working directory or the running
/// program, else `PATH`.
///
/// # Errors
/// [`AnvilError::NotFound`].
pub fn find() -> Result<PathBuf, AnvilError> {
    if let Some(path) = std::env::var_os("LICEN_ANVIL") {
        return Ok(path.into());
    }
    let places = [std::env::current_dir(), std::env::current_exe()];
    let installed = places
        .iter()
        .flatten()
        .find_map(|place| place.ancestors().find_map(|dir| native(&dir.join(PACKAGES))));
    let on_path = || {
        let paths = std::env::var_os("PATH")?;
        std::env::split_paths(&paths).map(|dir| dir.join("anvil")).find(|path| path.is_file())
    };
    installed.or_else(on_path).ok_or(AnvilError::NotFound)
}

/// The program of this machine's own package, of which npm installs one.
fn native(packages: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(packages).ok()?;
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("anvil-"))
        .map(|entry| entry.path().join("bin/anvil"))
        .find(|path| path.is_file())
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

    /// Moves chain time on with the next block.
    ///
    /// # Errors
    /// [`ChainError`]: no answer, or no private chain.
    pub async fn dev_pass_time(&self, seconds: u64) -> Result<(), ChainError> {
        self.dev("evm_increaseTime", json!([seconds])).await
    }

    /// Makes a block every so many seconds, from now on.
    ///
    /// # Errors
    /// [`ChainError`]: no answer, or no private chain.
    pub async fn dev_mine_every(&self, seconds: u64) -> Result<(), ChainError> {
        self.dev("evm_setIntervalMining", json!([seconds])).await
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
