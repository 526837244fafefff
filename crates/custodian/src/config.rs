//! A custodian's settings. No secret stands in them: keys are files, named by path.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use licen_core::job::SILENCE_SECONDS;
use licen_core::policy::LOCAL_CHAIN_ID;
use licen_peers::TrustedProxies;
use serde::{Deserialize, Serialize};

use crate::contracts::{FormerContract, ServedContract};
use crate::limits::Rates;

const GIB: u64 = 1 << 30;

/// Settings, as a TOML file has them; unknown names are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Directory of records and held results; made with mode 0700.
    pub state_dir: PathBuf,
    /// Key file that signs verdicts and `Held`; its address names this custodian in `Custody`.
    pub signing_key_file: PathBuf,
    /// Key file that opens shares; its public key stands in `Custody`.
    pub recipient_key_file: PathBuf,
    /// Key files that older versions of its sets name. They open what is under way and what is held;
    /// `licen custodian erase` says when one is not needed any more.
    #[serde(default)]
    pub former_recipient_key_files: Vec<PathBuf>,
    /// RPCs of the chain. Off chain id 31337 at least two, which must agree.
    pub rpc_urls: Vec<String>,
    /// Blocks that must lie on top of what is believed.
    #[serde(default = "default_confirmations")]
    pub confirmations: u64,
    /// deployment.json: pins chain id, genesis and contracts.
    pub deployment: PathBuf,
    /// The `DataPolicy` contracts of deployment.json that it serves; all of them where none is named.
    #[serde(default)]
    pub contracts: Vec<ServedContract>,
    /// Contracts that it served once and does not serve any more. `licen custodian erase` alone reads them.
    #[serde(default)]
    pub former_contracts: Vec<FormerContract>,
    /// Files of reference values (canonical JSON); a job's appraisal policy chooses among them.
    pub reference_values: Vec<PathBuf>,
    /// Directory of collateral: Intel's as JSON, a file per FMSPC, kept fresh by the operator and read
    /// again every minute. Without it quotes of real hardware are denied.
    #[serde(default)]
    pub collateral_dir: Option<PathBuf>,
    /// Days that shares, manifests and results are kept; published.
    #[serde(default = "default_retention_days")]
    pub retention_days: u32,
    /// Largest result that is held, bytes; published.
    #[serde(default = "default_max_result_bytes")]
    pub max_result_bytes: u64,
    /// Most bytes of all held results and evidence together; beyond it no result is taken.
    #[serde(default = "default_max_held_bytes")]
    pub max_held_bytes: u64,
    /// Seconds that must be left before the run deadline when a share is released.
    #[serde(default = "default_release_margin")]
    pub release_margin_seconds: u64,
    /// Seconds without a word of compute after which this custodian may call it silent, at least; less
    /// than the protocol's 600 is for the local chain only.
    #[serde(default = "default_silence")]
    pub silence_seconds: u64,
    /// Reverse proxies whose `X-Forwarded-For` says who asks: addresses or networks. Without any, whoever
    /// connects is who asks.
    #[serde(default)]
    pub trusted_proxies: TrustedProxies,
    /// Requests per minute of one caller: an IPv4 address or an IPv6 /64.
    #[serde(default = "default_per_peer")]
    pub requests_per_peer_per_minute: u32,
    /// Requests of one kind per minute about one job, from anybody, once the chain says that it is time
    /// for them.
    #[serde(default = "default_per_job")]
    pub requests_per_job_per_minute: u32,
    /// Requests per minute of all peers together.
    #[serde(default = "default_total")]
    pub requests_per_minute: u32,
}

impl Config {
    /// What the requests are limited to.
    #[must_use]
    pub fn rates(&self) -> Rates {
        Rates {
            per_peer: self.requests_per_peer_per_minute,
            per_job: self.requests_per_job_per_minute,
            total: self.requests_per_minute,
        }
    }

    /// The rule that a setting breaks on the chain it serves.
    pub(crate) fn check_on(&self, chain_id: u64) -> Result<(), String> {
        if self.silence_seconds < SILENCE_SECONDS && chain_id != LOCAL_CHAIN_ID {
            return Err(format!("silenceSeconds is below {SILENCE_SECONDS}, which computes rely on"));
        }
        Ok(())
    }

    /// The rule of its own that a setting breaks, if any.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.rpc_urls.is_empty() {
            return Err("rpcUrls is empty".into());
        }
        if self.reference_values.is_empty() {
            return Err("referenceValues is empty: no evidence could ever be accepted".into());
        }
        if self.retention_days < 90 {
            return Err("retentionDays is below 90, which the protocol promises to researchers".into());
        }
        if self.max_held_bytes < self.max_result_bytes {
            return Err("maxHeldBytes is below maxResultBytes: the largest result could never be held".into());
        }
        let Rates { per_peer, per_job, total } = self.rates();
        if [per_peer, per_job, total].contains(&0) {
            return Err("a request limit of 0 answers nobody".into());
        }
        Ok(())
    }
}

fn default_listen() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7101)
}

fn default_confirmations() -> u64 {
    2
}

fn default_retention_days() -> u32 {
    90
}

fn default_max_result_bytes() -> u64 {
    4 * GIB
}

fn default_max_held_bytes() -> u64 {
    64 * GIB
}

fn default_release_margin() -> u64 {
    30
}

fn default_silence() -> u64 {
    SILENCE_SECONDS
}

fn default_per_peer() -> u32 {
    600
}

fn default_per_job() -> u32 {
    1800
}

fn default_total() -> u32 {
    12_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"{"stateDir":"s","signingKeyFile":"a","recipientKeyFile":"b",
        "rpcUrls":["http://127.0.0.1:8545"],"deployment":"d","referenceValues":["r"]}"#;

    #[test]
    fn a_minimal_file_is_enough_and_a_typing_error_is_not() {
        let config: Config = serde_json::from_str(MINIMAL).unwrap();
        assert_eq!((config.retention_days, config.confirmations, config.listen.port()), (90, 2, 7101));
        assert_eq!(config.check(), Ok(()));
        let typo = MINIMAL.replace("stateDir", "statedir");
        assert!(serde_json::from_str::<Config>(&typo).is_err());
    }

    #[test]
    fn a_proxy_is_an_address_or_a_network_and_nothing_else() {
        let with = |proxies: &str| MINIMAL.replacen('{', &format!("{{\"trustedProxies\":{proxies},"), 1);
        let config: Config = serde_json::from_str(&with(r#"["127.0.0.1","10.0.0.0/8"]"#)).unwrap();
        assert_ne!(config.trusted_proxies, TrustedProxies::default());
        for bad in [r#"["proxy.example"]"#, r#"["10.0.0.1/8"]"#, r#"["0.0.0.0/0"]"#, r#""127.0.0.1""#] {
            assert!(serde_json::from_str::<Config>(&with(bad)).is_err(), "{bad}");
        }
    }

    fn minimal() -> Config {
        serde_json::from_str(MINIMAL).unwrap()
    }

    #[test]
    fn settings_that_break_a_promise_are_refused() {
        let config: Config = serde_json::from_str(MINIMAL).unwrap();
        for bad in [
            Config { retention_days: 89, ..config.clone() },
            Config { rpc_urls: vec![], ..config.clone() },
            Config { max_held_bytes: config.max_result_bytes - 1, ..config.clone() },
            Config { reference_values: vec![], ..config.clone() },
            Config { requests_per_job_per_minute: 0, ..config.clone() },
            Config { requests_per_minute: 0, ..config },
        ] {
            assert!(bad.check().is_err());
        }
        let hasty = Config { silence_seconds: 599, ..minimal() };
        assert_eq!(hasty.check_on(LOCAL_CHAIN_ID), Ok(()));
        assert!(hasty.check_on(1).is_err() && minimal().check_on(1).is_ok());
    }
}
