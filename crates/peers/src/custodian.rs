//! A custodian's calls. What it answers is believed only as far as a signature or a commitment on
//! chain carries it.

use std::time::Duration;

use licen_core::fault::Party;
use licen_core::primitives::B256;
use licen_core::wire::custodian::{
    AliveRequest, AuditRecord, ChallengeRequest, ChallengeResponse, CustodianInfo, DeliverRequest,
    ErasureResponse, HeldResponse, RefusalResponse, ReleaseRequest, ReleaseResponse, ResultKeyRequest,
    ResultShareResponse, RetireRequest, SignedManifest, SilenceRequest, SilenceResponse, VerdictRequest,
    VerdictResponse,
};

use crate::error::CallError;
use crate::http::Http;
use crate::peer::{MAX_ANSWER, Peer};

/// A custodian at its address.
#[derive(Debug, Clone)]
pub struct Custodian(Peer);

impl Custodian {
    /// The custodian at `base`.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn new(http: &Http, base: &str) -> Result<Self, CallError> {
        Peer::new(http, base, Party::Custodian, MAX_ANSWER).map(Self)
    }

    /// The same custodian, each call to which ends within `deadline`.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self(self.0.within(deadline))
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// It gives no answer.
    pub async fn about(&self) -> Result<CustodianInfo, CallError> {
        self.0.get("/v1/custodian").await?.json()
    }

    /// A nonce for evidence.
    ///
    /// # Errors
    /// It refuses, or gives no answer.
    pub async fn challenge(&self, request: &ChallengeRequest) -> Result<ChallengeResponse, CallError> {
        self.0.post("/v1/challenge", request).await?.json()
    }

    /// Its verdict about an attempt.
    ///
    /// # Errors
    /// It refuses, or gives no answer.
    pub async fn verdict(&self, request: &VerdictRequest) -> Result<VerdictResponse, CallError> {
        self.0.post("/v1/verdict", request).await?.json()
    }

    /// Its share of a dataset key, sealed to compute.
    ///
    /// # Errors
    /// It refuses, or gives no answer.
    pub async fn release(&self, request: &ReleaseRequest) -> Result<ReleaseResponse, CallError> {
        self.0.post("/v1/release", request).await?.json()
    }

    /// Gives it the share of a result key; it says that it holds result and share.
    ///
    /// # Errors
    /// It refuses, or gives no answer.
    pub async fn deliver_share(&self, request: &DeliverRequest) -> Result<HeldResponse, CallError> {
        self.0.post("/v1/deliver", request).await?.json()
    }

    /// Gives it the manifest, which it publishes.
    ///
    /// # Errors
    /// It refuses, or gives no answer.
    pub async fn deliver_manifest(&self, request: &DeliverRequest) -> Result<(), CallError> {
        self.0.post("/v1/deliver", request).await?.good().map(drop)
    }

    /// Tells it that compute works on an attempt.
    ///
    /// # Errors
    /// It refuses, or gives no answer.
    pub async fn alive(&self, request: &AliveRequest) -> Result<(), CallError> {
        self.0.post("/v1/alive", request).await?.good().map(drop)
    }

    /// Its statement that an attempt is silent.
    ///
    /// # Errors
    /// It does not say so, or gives no answer.
    pub async fn silence(&self, job: B256, request: &SilenceRequest) -> Result<SilenceResponse, CallError> {
        self.0.post(&format!("/v1/silence/{job}"), request).await?.json()
    }

    /// The manifest it holds of a job.
    ///
    /// # Errors
    /// It has none, or gives no answer.
    pub async fn manifest(&self, job: B256) -> Result<SignedManifest, CallError> {
        self.0.get(&format!("/v1/manifest/{job}")).await?.json()
    }

    /// Its share of a result key, sealed to the requester's.
    ///
    /// # Errors
    /// It refuses, or gives no answer.
    pub async fn result_share(&self, job: B256) -> Result<ResultShareResponse, CallError> {
        self.0.get(&format!("/v1/result/{job}")).await?.json()
    }

    /// Tells it a requester's new result key.
    ///
    /// # Errors
    /// It refuses, or gives no answer.
    pub async fn replace_result_key(&self, request: &ResultKeyRequest) -> Result<(), CallError> {
        self.0.post("/v1/result-key", request).await?.good().map(drop)
    }

    /// Asks it to refuse a dataset for ever.
    ///
    /// # Errors
    /// It refuses, or gives no answer.
    pub async fn retire(&self, request: &RetireRequest) -> Result<RefusalResponse, CallError> {
        self.0.post("/v1/retire", request).await?.json()
    }

    /// Its statement that it refuses a dataset for ever.
    ///
    /// # Errors
    /// It made none, or gives no answer.
    pub async fn refusal(&self, dataset_uid: B256) -> Result<RefusalResponse, CallError> {
        self.0.get(&format!("/v1/refusal/{dataset_uid}")).await?.json()
    }

    /// Its statement that it destroyed a key.
    ///
    /// # Errors
    /// It made none, or gives no answer.
    pub async fn erasure(&self, hpke_key: B256) -> Result<ErasureResponse, CallError> {
        self.0.get(&format!("/v1/erasure/{hpke_key}")).await?.json()
    }

    /// Records of its audit log from a sequence on, as many as it hands out at once.
    ///
    /// # Errors
    /// It gives no answer.
    pub async fn audit(&self, from: u64) -> Result<Vec<AuditRecord>, CallError> {
        self.0.get(&format!("/v1/audit?from={from}")).await?.json()
    }
}
