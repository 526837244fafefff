//! The node's configuration: one file, TOML or JSON by its extension, every unknown key refused.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use licen_attest::TeeChoice;
use licen_core::policy::LOCAL_CHAIN_ID;
use licen_core::price::Price;
use licen_core::primitives::B256;
use serde::Deserialize;

use super::error::ServeError;

/// A fifth of the shortest time after which custodians call an attempt silent.
const MAX_ALIVE_SECONDS: u64 = 120;

/// A quote has to live until its transaction is mined.
const MIN_QUOTE_SECONDS: u64 = 60;
/// A price that binds for longer than a day is a gift to who waits for a better time.
const MAX_QUOTE_SECONDS: u64 = 86_400;

/// `licen-compute serve --config FILE`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Ciphertext and base models on their way; made with mode 0700, refused where others can write. Never plaintext rows, never keys.
    pub work_dir: PathBuf,
    /// Training threads; 0 takes every core.
    #[serde(default)]
    pub threads: usize,
    /// Id in `Custody`; left out by an unregistered node.
    #[serde(default)]
    pub provider_id: B256,
    /// ISO 3166 code it registered.
    #[serde(default)]
    pub jurisdiction: String,
    /// Base models this node trains, by root; empty takes any.
    #[serde(default)]
    pub base_models: Vec<B256>,
    /// Secp256k1 key file of the provider's signer, for quotes.
    #[serde(default)]
    pub quote_key_file: Option<PathBuf>,
    /// What it asks for, by base model and token; left out gives no quotes.
    #[serde(default)]
    pub prices: Vec<Price>,
    /// Whether to train jobs that name no provider as well, without a fee; left out: where there are no
    /// prices.
    #[serde(default)]
    pub unpaid_jobs: Option<bool>,
    /// Seconds a quote lives.
    #[serde(default = "default_quote_seconds")]
    pub quote_seconds: u64,
    /// Blob endpoint used instead of the one a dispatch names.
    #[serde(default)]
    pub blob_url: Option<String>,
    /// The TEE: `tdx`, `snp` or `simulated` (level SOFTWARE, for the local chain only).
    #[serde(default)]
    pub tee: TeeChoice,
    /// Root of the reference values this program is listed under; a simulated TEE may leave it out for
    /// those of the program's name and measurement alone.
    #[serde(default)]
    pub reference_entry: Option<B256>,
    /// Intel's collateral (JSON) for evidence bundles, read anew for each; or the certificate of the
    /// AMD chip (DER), for hosts that hand out none. In a folder of its own: the node may read all of it.
    #[serde(default)]
    pub collateral: Option<PathBuf>,
    /// Largest dataset ciphertext taken, bytes. It is decrypted into memory.
    #[serde(default = "default_dataset_bytes")]
    pub max_dataset_bytes: u64,
    /// Largest base model archive taken, bytes.
    #[serde(default = "default_model_bytes")]
    pub max_model_bytes: u64,
    /// Attempts accepted and not over; one trains, the others wait.
    #[serde(default = "default_tasks")]
    pub max_tasks: usize,
    /// Seconds between two signs of life of an attempt that asks for its key or has it; 1 to 120.
    #[serde(default = "default_alive")]
    pub alive_seconds: u64,
    /// For demonstrations: fail on purpose. Refused anywhere but on a simulated TEE and the local chain.
    #[serde(default)]
    pub simulated_fault: Option<SimulatedFault>,
    /// Bytes of memory a training may use; left out, what the machine has.
    #[serde(default)]
    pub max_memory_bytes: Option<u64>,
    /// Custodians and blob endpoints as `http://host:port`. Where it is given, dispatches that name others are refused
    /// and the kernel limits connections to these ports.
    #[serde(default)]
    pub peers: Vec<String>,
    /// `--no-sandbox`.
    #[serde(skip)]
    pub no_sandbox: bool,
    /// The program that trains: this one, but for tests that are another.
    #[serde(skip)]
    pub trainer_program: Option<PathBuf>,
    /// The chain this node serves; left out serves whatever a dispatch names.
    #[serde(default)]
    pub chain_id: Option<u64>,
}

/// A failure on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SimulatedFault {
    /// Training breaks in its first epoch.
    Compute,
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// [`ServeError::Config`] names the file and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, ServeError> {
        let refuse = |reason: String| ServeError::Config { path: path.to_path_buf(), reason };
        let text = std::fs::read_to_string(path).map_err(|e| refuse(e.to_string()))?;
        let json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
        let config = Self::parse(&text, json).map_err(refuse)?;
        config.check().map_err(refuse)?;
        Ok(config)
    }

    fn parse(text: &str, json: bool) -> Result<Self, String> {
        if json {
            serde_json::from_str(text).map_err(|e| e.to_string())
        } else {
            toml::from_str(text).map_err(|e| e.to_string())
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.max_tasks == 0 {
            return Err("maxTasks must be at least 1".into());
        }
        if !(1..=MAX_ALIVE_SECONDS).contains(&self.alive_seconds) {
            return Err(format!(
                "aliveSeconds must be 1 to {MAX_ALIVE_SECONDS}: custodians call others silent"
            ));
        }
        // A simulated TEE takes no dispatch of another chain, so leaving chainId out is the local chain.
        if self.simulated_fault.is_some() && self.tee != TeeChoice::Simulated {
            return Err("simulatedFault exists on a simulated TEE only".into());
        }
        if self.tee != TeeChoice::Simulated && self.reference_entry.is_none() {
            return Err("referenceEntry is missing: hardware cannot know what it is listed under".into());
        }
        if self.tee == TeeChoice::Tdx && self.collateral.is_none() {
            return Err("collateral is missing: nobody could judge a quote years later without it".into());
        }
        if self.simulated_fault.is_some() && self.chain_id.is_some_and(|id| id != LOCAL_CHAIN_ID) {
            return Err(format!("simulatedFault exists on the local chain id {LOCAL_CHAIN_ID} only"));
        }
        if let Some(url) = &self.blob_url {
            check_url(url)?;
        }
        self.check_prices()?;
        self.peer_ports().map(drop)
    }

    fn check_prices(&self) -> Result<(), String> {
        if self.prices.is_empty() {
            return Ok(());
        }
        if self.provider_id.is_zero() || self.quote_key_file.is_none() {
            return Err("prices need providerId and quoteKeyFile: a quote is signed for a provider".into());
        }
        if !(MIN_QUOTE_SECONDS..=MAX_QUOTE_SECONDS).contains(&self.quote_seconds) {
            return Err(format!("quoteSeconds must be {MIN_QUOTE_SECONDS} to {MAX_QUOTE_SECONDS}"));
        }
        let entry = |price: &Price| (price.base_model, price.token);
        let twice = |at: usize| self.prices[..at].iter().any(|p| entry(p) == entry(&self.prices[at]));
        match (0..self.prices.len()).find(|at| twice(*at)) {
            Some(at) => {
                Err(format!("prices: entry {} has the base model and token of an earlier one", at + 1))
            }
            None => Ok(()),
        }
    }

    /// Whether jobs that name no provider are trained here, without a fee.
    #[must_use]
    pub fn takes_unpaid_jobs(&self) -> bool {
        self.unpaid_jobs.unwrap_or(self.prices.is_empty())
    }

    /// Ports of the peers, where there is a list.
    pub(super) fn peer_ports(&self) -> Result<Option<Vec<u16>>, String> {
        if self.peers.is_empty() {
            return Ok(None);
        }
        let urls = self.peers.iter().chain(&self.blob_url);
        let mut ports = urls.map(|url| Ok(origin(url)?.1)).collect::<Result<Vec<u16>, String>>()?;
        ports.sort_unstable();
        ports.dedup();
        Ok(Some(ports))
    }

    /// Refuses an address that is on no list of peers.
    pub(super) fn check_peer(&self, url: &str) -> Result<(), String> {
        let known = |peer: &String| origin(peer).is_ok_and(|peer| origin(url) == Ok(peer));
        if self.peers.is_empty() || self.peers.iter().any(known) {
            return Ok(());
        }
        Err(format!("{url:?} is not among its peers"))
    }
}

/// Plain http only: what is secret travels under HPKE and what must be true is signed or hashed, so a
/// TLS stack inside the measured binary would add code and no safety.
pub(super) fn check_url(url: &str) -> Result<(), String> {
    if url.starts_with("http://") {
        return Ok(());
    }
    Err(format!("{url:?} is not a plain http:// address"))
}

/// Host and port of an address.
fn origin(url: &str) -> Result<(String, u16), String> {
    check_url(url)?;
    licen_peers::url::origin(url).map_err(|e| format!("{url:?}: {e}"))
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7201))
}

fn default_quote_seconds() -> u64 {
    15 * 60
}

fn default_dataset_bytes() -> u64 {
    1 << 30
}

fn default_model_bytes() -> u64 {
    16 << 30
}

fn default_alive() -> u64 {
    60
}

fn default_tasks() -> usize {
    4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_and_json_say_the_same() {
        let toml = "workDir = \"w\"\nthreads = 2\n[[prices]]\nperEpoch = \"1000000000000000000000\"\n";
        let json = r#"{"workDir":"w","threads":2,"prices":[{"perEpoch":"1000000000000000000000"}]}"#;
        let config = Config::parse(toml, false).unwrap();
        assert_eq!(config, Config::parse(json, true).unwrap());
        assert_eq!(config.prices[0].rate, licen_core::price::Rate::Epoch(10u128.pow(21)));
    }

    #[test]
    fn prices_belong_to_a_provider_and_each_is_said_once() {
        let price = "[[prices]]\nperEpoch = \"1\"\n";
        let provider = format!("providerId = \"0x{}\"\nquoteKeyFile = \"k\"\n", "11".repeat(32));
        let check = |text: String| Config::parse(&format!("workDir = \"w\"\n{text}"), false).unwrap().check();
        assert!(check(price.into()).unwrap_err().contains("providerId"));
        assert_eq!(check(format!("{provider}{price}")), Ok(()));
        assert!(check(format!("{provider}{price}{price}")).unwrap_err().contains("entry 2"));
        let dollars = format!("{price}token = \"0x{}\"\n", "22".repeat(20));
        assert_eq!(check(format!("{provider}{price}{dollars}")), Ok(()));
        for (seconds, fits) in [(59, false), (60, true), (86_400, true), (86_401, false)] {
            let text = format!("quoteSeconds = {seconds}\n{provider}{price}");
            assert_eq!(check(text).is_ok(), fits, "{seconds}");
        }
    }

    #[test]
    fn a_node_with_prices_trains_for_nothing_only_where_its_operator_says_so() {
        let takes = |text: &str| {
            Config::parse(&format!("workDir = \"w\"\n{text}"), false).unwrap().takes_unpaid_jobs()
        };
        let price = "[[prices]]\nperEpoch = \"1\"\n";
        assert!(takes("") && !takes(price) && takes(&format!("unpaidJobs = true\n{price}")));
        assert!(!takes("unpaidJobs = false\n"));
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(Config::parse("workDir = \"w\"\ndebug = true\n", false).unwrap_err().contains("debug"));
        assert!(Config::parse("workDir = \"w\"\ntee = \"nitro\"\n", false).is_err());
        assert!(Config::parse("threads = 1\n", false).unwrap_err().contains("workDir"));
    }

    #[test]
    fn hardware_says_what_it_is_listed_under_and_cannot_fail_on_purpose() {
        let tdx = "workDir = \"w\"\ntee = \"tdx\"\n";
        let entry = format!("referenceEntry = \"0x{}\"\n", "11".repeat(32));
        let check = |text: &str| Config::parse(text, false).unwrap().check();
        assert!(check(tdx).unwrap_err().contains("referenceEntry"));
        assert!(check(&format!("{tdx}{entry}")).unwrap_err().contains("collateral"));
        let whole = format!("{tdx}{entry}collateral = \"c.json\"\n");
        assert_eq!(check(&whole), Ok(()));
        assert!(
            check(&format!("{whole}simulatedFault = \"compute\"\n")).unwrap_err().contains("simulated TEE")
        );
    }

    #[test]
    fn peers_are_named_by_host_and_port() {
        let list = r#"["http://10.0.0.1:7101", "http://node:80", "http://10.0.0.2:7101"]"#;
        let config = Config::parse(&format!("workDir = \"w\"\npeers = {list}\n"), false).unwrap();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.peer_ports(), Ok(Some(vec![80, 7101])));
        for known in ["http://10.0.0.1:7101", "http://10.0.0.1:7101/", "http://node", "http://node/v1"] {
            assert_eq!(config.check_peer(known), Ok(()), "{known}");
        }
        for stranger in ["http://10.0.0.3:7101", "http://10.0.0.1:7102", "http://node:81", "http://x@evil:80"]
        {
            assert!(config.check_peer(stranger).unwrap_err().contains("peers"), "{stranger}");
        }
        let none = Config::parse("workDir = \"w\"\n", false).unwrap();
        assert_eq!((none.peer_ports(), none.check_peer("http://any:1")), (Ok(None), Ok(())));
        let tls = Config::parse("workDir = \"w\"\npeers = [\"https://a\"]\n", false).unwrap();
        assert!(tls.check().is_err());
    }

    #[test]
    fn a_sandbox_is_not_switched_off_by_a_file() {
        for key in ["noSandbox = true", "no_sandbox = true", "trainerProgram = \"/bin/sh\""] {
            assert!(Config::parse(&format!("workDir = \"w\"\n{key}\n"), false).is_err(), "{key}");
        }
    }

    #[test]
    fn a_node_that_would_be_called_silent_does_not_start() {
        for (seconds, fits) in [(0, false), (1, true), (120, true), (121, false)] {
            let text = format!("workDir = \"w\"\naliveSeconds = {seconds}\n");
            assert_eq!(Config::parse(&text, false).unwrap().check().is_ok(), fits, "{seconds}");
        }
    }

    #[test]
    fn faults_on_purpose_stay_on_the_local_chain() {
        let text = "workDir = \"w\"\nsimulatedFault = \"compute\"\n";
        assert_eq!(Config::parse(text, false).unwrap().check(), Ok(()));
        let local = format!("{text}chainId = 31337\n");
        assert_eq!(Config::parse(&local, false).unwrap().check(), Ok(()));
        let elsewhere = format!("{text}chainId = 16661\n");
        assert!(Config::parse(&elsewhere, false).unwrap().check().is_err());
    }
}
