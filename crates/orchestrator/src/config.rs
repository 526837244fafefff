//! What the orchestrator is told by whoever runs it.

use std::path::PathBuf;

use licen_core::primitives::B256;
use licen_core::wire::compute::CustodianUrl;
use serde::{Deserialize, Serialize};

use crate::timer::Pace;

/// A compute node it may dispatch to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ComputeUrl {
    /// Base URL.
    pub url: String,
    /// Its id in `Custody`; jobs that name another provider are not sent there. Left out, where it is the only
    /// one, all are, and compute refuses those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<B256>,
}

impl ComputeUrl {
    /// Whether it may be the one for a job that names `provider`; zero names none.
    #[must_use]
    pub fn serves(&self, provider: B256) -> bool {
        provider.is_zero() || self.provider_id.is_none_or(|own| own == provider)
    }

    /// Of several, each has to name its provider: what a compute says of itself could take jobs, stops and
    /// prices from the others, and one without a name would be asked about everybody's. Machines of one
    /// provider share its id.
    ///
    /// # Errors
    /// Which one does not, for whoever wrote the file.
    pub fn check(all: &[Self]) -> Result<(), String> {
        if let Some(unnamed) = all.iter().find(|c| all.len() > 1 && c.provider_id.is_none()) {
            return Err(format!(
                "of several computes each names its providerId, and {} does not",
                unnamed.url
            ));
        }
        match all.iter().find(|c| c.provider_id.is_some_and(|id| id.is_zero())) {
            Some(zero) => Err(format!("the providerId of compute {} is 0, which is no provider's", zero.url)),
            None => Ok(()),
        }
    }
}

/// The orchestrator's configuration. Orchestrators over one database share one wallet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Where jobs are sent; they pass [`ComputeUrl::check`].
    pub compute: Vec<ComputeUrl>,
    /// Where custodians listen; who they are is what the chain says.
    pub custodians: Vec<CustodianUrl>,
    /// Where compute reads and writes blobs.
    pub blob_url: String,
    /// Key file of the wallet that pays gas. It needs coins and no rights.
    pub wallet: PathBuf,
    /// Milliseconds between polls that go well.
    #[serde(default = "poll")]
    pub poll_ms: u64,
    /// Milliseconds after the first failure; doubles with each.
    #[serde(default = "retry")]
    pub retry_ms: u64,
    /// Never longer than this, milliseconds.
    #[serde(default = "retry_max")]
    pub retry_max_ms: u64,
    /// Milliseconds a job is this orchestrator's without a sign of life.
    #[serde(default = "lease")]
    pub lease_ms: u64,
    /// Jobs looked after at once.
    #[serde(default = "jobs")]
    pub max_jobs: u32,
    /// Questions to others that are open at once.
    #[serde(default = "requests")]
    pub max_requests: usize,
}

fn poll() -> u64 {
    1_000
}
fn retry() -> u64 {
    500
}
fn retry_max() -> u64 {
    60_000
}
fn lease() -> u64 {
    30_000
}
fn jobs() -> u32 {
    256
}
fn requests() -> usize {
    32
}

impl Config {
    /// Everything but who to talk to at its default.
    #[must_use]
    pub fn new(wallet: PathBuf, blob_url: String) -> Self {
        Self {
            compute: Vec::new(),
            custodians: Vec::new(),
            blob_url,
            wallet,
            poll_ms: poll(),
            retry_ms: retry(),
            retry_max_ms: retry_max(),
            lease_ms: lease(),
            max_jobs: jobs(),
            max_requests: requests(),
        }
    }

    /// How often the machines ask.
    #[must_use]
    pub fn pace(&self) -> Pace {
        Pace { poll: self.poll_ms, retry: self.retry_ms, retry_max: self.retry_max_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_fill_in_and_typing_errors_are_refused() {
        let text = r#"{"compute":[{"url":"http://c"}],"custodians":[],"blobUrl":"http://n","wallet":"w"}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        assert_eq!(config.pace(), Pace::default());
        assert!(serde_json::from_str::<Config>(&text.replace("blobUrl", "blobURL")).is_err());
        assert_eq!(Config::new("w".into(), "http://n".into()).lease_ms, config.lease_ms);
    }

    #[test]
    fn of_several_computes_each_names_its_provider() {
        let at = |url: &str, provider_id| ComputeUrl { url: url.into(), provider_id };
        let (one, two) = (Some(B256::repeat_byte(1)), Some(B256::repeat_byte(2)));
        assert_eq!(ComputeUrl::check(&[at("http://a", None)]), Ok(()), "compute says itself who it is");
        assert_eq!(ComputeUrl::check(&[at("http://a", one), at("http://b", two)]), Ok(()));
        assert_eq!(ComputeUrl::check(&[at("http://a", one), at("http://b", one)]), Ok(()), "two machines");
        let unnamed = ComputeUrl::check(&[at("http://a", one), at("http://b", None)]).unwrap_err();
        assert!(unnamed.ends_with("http://b does not"), "{unnamed}");
        assert!(ComputeUrl::check(&[at("http://a", Some(B256::ZERO))]).unwrap_err().contains("is 0"));
    }
}
