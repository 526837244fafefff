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
use licen_peers::{CallError, Custodian, Http, Timeouts, Why};

use crate::session::Session;
use crate::session::output::line;

/// A custodian of the deployment.
#[derive(Debug)]
pub struct CustodianClient {
    base: String,
    custodian: Custodian,
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
    /// The address cannot be used; no HTTP client can be made on this machine.
    pub fn new(base: &str, deadline: Duration) -> Result<Self, NoAnswer> {
        let http = Http::new(Timeouts::within(deadline)).map_err(|e| NoAnswer::Silent(e.to_string()))?;
        let custodian = Custodian::new(&http, base).map_err(|e| no_answer(base, e))?;
        Ok(Self { base: base.trim_end_matches('/').to_string(), custodian })
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
        self.told(self.custodian.about().await)
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
        self.told(self.custodian.manifest(job).await)
    }

    /// Its share of a result key, sealed to the requester's.
    ///
    /// # Errors
    /// It refuses, or gives no answer.
    pub async fn result_share(&self, job: B256) -> Result<ResultShareResponse, NoAnswer> {
        self.told(self.custodian.result_share(job).await)
    }

    /// Tells it a requester's new result key.
    ///
    /// # Errors
    /// It refuses, or gives no answer.
    pub async fn replace_result_key(&self, request: &ResultKeyRequest) -> Result<(), NoAnswer> {
        self.told(self.custodian.replace_result_key(request).await)
    }

    /// Asks it to refuse a dataset for ever.
    ///
    /// # Errors
    /// It does not, or gives no answer.
    pub async fn retire(&self, request: &RetireRequest) -> Result<RefusalResponse, NoAnswer> {
        self.told(self.custodian.retire(request).await)
    }

    /// Records of its audit log from a sequence on, as many as it hands out at once.
    ///
    /// # Errors
    /// It gives no answer.
    pub async fn audit(&self, from: u64) -> Result<Vec<AuditRecord>, NoAnswer> {
        self.told(self.custodian.audit(from).await)
    }

    /// Its statement that it refuses a dataset for ever.
    ///
    /// # Errors
    /// It made none, or gives no answer.
    pub async fn refusal(&self, dataset_uid: B256) -> Result<RefusalResponse, NoAnswer> {
        self.told(self.custodian.refusal(dataset_uid).await)
    }

    /// Its statement that it destroyed a key.
    ///
    /// # Errors
    /// It made none, or gives no answer.
    pub async fn erasure(&self, hpke_key: B256) -> Result<ErasureResponse, NoAnswer> {
        self.told(self.custodian.erasure(hpke_key).await)
    }

    fn told<T>(&self, said: Result<T, CallError>) -> Result<T, NoAnswer> {
        said.map_err(|error| no_answer(&self.base, error))
    }
}

fn no_answer(base: &str, error: CallError) -> NoAnswer {
    match error.why {
        Why::Address(_) | Why::Unreachable(_) | Why::Late(_) | Why::Broken(_) => {
            NoAnswer::Silent(format!("{base} does not answer"))
        }
        Why::Refused { problem: Some(problem), .. } => NoAnswer::Refused(*problem),
        Why::Refused { status, problem: None } => NoAnswer::Unreadable(format!("status {}", status.as_u16())),
        Why::Unreadable(source) => NoAnswer::Unreadable(source.to_string()),
        Why::Request(_) | Why::Cut { .. } | Why::TooLarge { .. } => NoAnswer::Unreadable(error.to_string()),
    }
}
