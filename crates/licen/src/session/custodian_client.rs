//! One custodian's HTTP API from the outside. What it answers is believed only as far as a signature
//! or a commitment on chain carries it; that is for the caller.

use std::fmt;
use std::time::Duration;

use licen_core::primitives::{Address, B256};
use licen_core::wire::Problem;
use licen_core::wire::custodian::{
    AuditRecord, CustodianInfo, ErasureResponse, RefusalResponse, ResultKeyRequest, ResultShareResponse,
    RetireRequest, SignedManifest,
};
use serde::de::DeserializeOwned;

use crate::session::output::line;
use crate::session::{Session, http};

/// No answer of a custodian is longer.
const MAX_ANSWER: usize = 1 << 20;

/// A custodian of the deployment.
#[derive(Debug)]
pub struct CustodianClient {
    base: String,
    http: reqwest::Client,
}

/// Why there is no answer to use.
#[derive(Debug)]
pub enum NoAnswer {
    /// Nothing came, or it broke off.
    Silent(String),
    /// It said no.
    Refused(Problem),
    /// Something came that the protocol does not know.
    Unreadable(String),
}

impl NoAnswer {
    /// Whether it refused with the code `LICnnnn`.
    #[must_use]
    pub fn has_code(&self, code: u16) -> bool {
        matches!(self, Self::Refused(problem) if problem.code == format!("LIC{code:04}"))
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(why) => f.write_str(why),
            Self::Refused(problem) => f.write_str(&line(&problem.to_string())),
            Self::Unreadable(why) => write!(f, "not an answer of a custodian ({why})"),
        }
    }
}

impl CustodianClient {
    /// A client of the custodian at `base`.
    ///
    /// # Errors
    /// No HTTP client can be made on this machine.
    pub fn new(base: &str, deadline: Duration) -> Result<Self, NoAnswer> {
        let http = http::client(base, deadline).map_err(|e| NoAnswer::Silent(e.to_string()))?;
        Ok(Self { base: base.trim_end_matches('/').to_string(), http })
    }

    /// The custodian `id` where the deployment names its address.
    ///
    /// # Errors
    /// The deployment does not name it.
    pub async fn of(session: &Session, id: Address, deadline: Duration) -> Result<Self, NoAnswer> {
        let deployment = session.deployment().await.map_err(|e| NoAnswer::Silent(e.message))?;
        let known = deployment.custodians.iter().find(|c| c.id == id);
        let known = known.ok_or_else(|| NoAnswer::Silent("the deployment has no address for it".into()))?;
        Self::new(&known.url, deadline)
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// It gives no answer.
    pub async fn about(&self) -> Result<CustodianInfo, NoAnswer> {
        self.get("/v1/custodian").await
    }

    /// Whether it answers at all.
    pub async fn is_alive(&self) -> bool {
        self.about().await.is_ok()
    }

    /// The manifest it holds of a job.
    ///
    /// # Errors
    /// It has none, or gives no answer.
    pub async fn manifest(&self, job: B256) -> Result<SignedManifest, NoAnswer> {
        self.get(&format!("/v1/manifest/{job}")).await
    }

    /// Its share of a result key, sealed to the requester's.
    ///
    /// # Errors
    /// It refuses, or gives no answer.
    pub async fn result_share(&self, job: B256) -> Result<ResultShareResponse, NoAnswer> {
        self.get(&format!("/v1/result/{job}")).await
    }

    /// Tells it a requester's new result key.
    ///
    /// # Errors
    /// It refuses, or gives no answer.
    pub async fn replace_result_key(&self, request: &ResultKeyRequest) -> Result<(), NoAnswer> {
        let sent = self.http.post(format!("{}/v1/result-key", self.base)).json(request).send().await;
        self.read(sent).await.map(|_| ())
    }

    /// Asks it to refuse a dataset for ever.
    ///
    /// # Errors
    /// It does not, or gives no answer.
    pub async fn retire(&self, request: &RetireRequest) -> Result<RefusalResponse, NoAnswer> {
        let sent = self.http.post(format!("{}/v1/retire", self.base)).json(request).send().await;
        let body = self.read(sent).await?;
        serde_json::from_slice(&body).map_err(|e| NoAnswer::Unreadable(e.to_string()))
    }

    /// Records of its audit log from a sequence on, as many as it hands out at once.
    ///
    /// # Errors
    /// It gives no answer.
    pub async fn audit(&self, from: u64) -> Result<Vec<AuditRecord>, NoAnswer> {
        self.get(&format!("/v1/audit?from={from}")).await
    }

    /// Its statement that it refuses a dataset for ever.
    ///
    /// # Errors
    /// It made none, or gives no answer.
    pub async fn refusal(&self, dataset_uid: B256) -> Result<RefusalResponse, NoAnswer> {
        self.get(&format!("/v1/refusal/{dataset_uid}")).await
    }

    /// Its statement that it destroyed a key.
    ///
    /// # Errors
    /// It made none, or gives no answer.
    pub async fn erasure(&self, hpke_key: B256) -> Result<ErasureResponse, NoAnswer> {
        self.get(&format!("/v1/erasure/{hpke_key}")).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, NoAnswer> {
        let sent = self.http.get(format!("{}{path}", self.base)).send().await;
        let body = self.read(sent).await?;
        serde_json::from_slice(&body).map_err(|e| NoAnswer::Unreadable(e.to_string()))
    }

    async fn read(&self, sent: Result<reqwest::Response, reqwest::Error>) -> Result<Vec<u8>, NoAnswer> {
        let response = sent.map_err(|_| NoAnswer::Silent(format!("{} does not answer", self.base)))?;
        let status = response.status();
        let body = http::body(response, MAX_ANSWER).await.map_err(NoAnswer::Unreadable)?;
        if status.is_success() {
            return Ok(body);
        }
        Err(serde_json::from_slice(&body)
            .map_or_else(|_| NoAnswer::Unreadable(format!("status {}", status.as_u16())), NoAnswer::Refused))
    }
}
