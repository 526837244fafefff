//! Building the clients. Nothing else in this repository builds one; `cargo xtask tidy` sees to that.

use std::time::Duration;

use licen_core::fault::{Fault, Party};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

use crate::url;

/// Longest time to connect where nothing else is said.
const CONNECT: Duration = Duration::from_secs(5);

/// When to stop waiting for a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Longest time to connect.
    pub connect: Duration,
    /// Longest silence while an answer arrives; `None` is for calls that are short as a whole.
    pub idle: Option<Duration>,
    /// Longest time for a call with its answer; `None` is for calls that say it themselves.
    pub whole: Option<Duration>,
}

impl Timeouts {
    /// Every call ends within `deadline`.
    #[must_use]
    pub fn within(deadline: Duration) -> Self {
        Self { connect: CONNECT.min(deadline), idle: None, whole: Some(deadline) }
    }

    /// A call lasts as long as bytes move, with pauses of at most `idle`; who calls sets its end.
    #[must_use]
    pub fn streaming(idle: Duration) -> Self {
        Self { connect: CONNECT, idle: Some(idle), whole: None }
    }

    /// Each call says for itself how long it may take.
    #[must_use]
    pub fn of_each_call() -> Self {
        Self { connect: CONNECT, idle: None, whole: None }
    }
}

/// The HTTP client. Clones share connections.
///
/// *Invariants:* a redirect is an answer and never followed, because it would let a peer choose whom a
/// signed request goes to next; an address of this machine is never reached through a proxy.
#[derive(Debug, Clone)]
pub struct Http {
    direct: Client,
    /// As the environment says (`HTTP_PROXY` and the like); `None` where it names no proxy, or none may be used.
    proxied: Option<Client>,
}

impl Http {
    /// A client that reaches other machines as the environment says: by its proxy, where there is one.
    ///
    /// # Errors
    /// No HTTP client can be made on this machine.
    pub fn new(timeouts: Timeouts) -> Result<Self, HttpError> {
        let direct = Self::direct(timeouts)?;
        // Without a proxy both clients would be the same, and each reads every root of trust.
        let named = std::env::vars_os().any(|(name, _)| name.to_str().is_some_and(names_a_proxy));
        let proxied = if named { Some(build(builder(timeouts))?) } else { None };
        Ok(Self { proxied, ..direct })
    }

    /// A client that uses no proxy, whatever the environment says.
    ///
    /// # Errors
    /// No HTTP client can be made on this machine.
    pub fn direct(timeouts: Timeouts) -> Result<Self, HttpError> {
        Ok(Self { direct: build(builder(timeouts).no_proxy())?, proxied: None })
    }

    /// The client for what is at `url`, for crates that are handed one.
    #[must_use]
    pub fn to(&self, url: &str) -> Client {
        match &self.proxied {
            Some(proxied) if !url::is_local(url) => proxied.clone(),
            _ => self.direct.clone(),
        }
    }
}

/// Whether reqwest takes a proxy from an environment variable of this name.
fn names_a_proxy(variable: &str) -> bool {
    ["http_proxy", "https_proxy", "all_proxy"].iter().any(|name| name.eq_ignore_ascii_case(variable))
}

fn builder(timeouts: Timeouts) -> ClientBuilder {
    let Timeouts { connect, idle, whole } = timeouts;
    let mut builder = Client::builder().connect_timeout(connect).redirect(Policy::none());
    if let Some(idle) = idle {
        builder = builder.read_timeout(idle);
    }
    if let Some(whole) = whole {
        builder = builder.timeout(whole);
    }
    builder
}

fn build(builder: ClientBuilder) -> Result<Client, HttpError> {
    builder.build().map_err(|source| HttpError { source: source.without_url() })
}

/// No HTTP client can be made on this machine: no roots of trust, or no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client can be made on this machine")]
pub struct HttpError {
    source: reqwest::Error,
}

impl Fault for HttpError {
    fn fault(&self) -> Party {
        Party::Environment
    }

    fn retryable(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_client_is_built_for_a_proxy_alone() {
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            assert!(names_a_proxy(name), "{name}");
        }
        for name in ["NO_PROXY", "PATH", "MY_HTTP_PROXY", ""] {
            assert!(!names_a_proxy(name), "{name}");
        }
    }
}
