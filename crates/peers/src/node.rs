//! A node's calls. What it says is a hint about where to look: the caller hashes it and compares it
//! with the chain.

use std::time::Duration;

use licen_core::fault::Party;
use licen_core::primitives::{Address, B256};
use licen_core::wire::compute::{ComputeInfo, QuoteRequest, QuoteResponse, StopRequest, TaskStatus};
use licen_core::wire::node::{AccessList, DeploymentInfo, ModelInfo, SignedAccessRequest, SignedApproval};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

use crate::error::CallError;
use crate::http::Http;
use crate::peer::Peer;

/// Longest answer of a node, bytes: a thousand jobs with their preimages are about 5 MB.
const MAX_ANSWER: u64 = 32 << 20;

/// A node at its address.
#[derive(Debug, Clone)]
pub struct Node(Peer);

impl Node {
    /// The node at `base`.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn new(http: &Http, base: &str) -> Result<Self, CallError> {
        Peer::new(http, base, Party::Operator, MAX_ANSWER).map(Self)
    }

    /// The same node, each call to which ends within `deadline`.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self(self.0.within(deadline))
    }

    /// Which world it serves.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn deployment(&self) -> Result<DeploymentInfo, CallError> {
        self.get("/v1/deployment").await
    }

    /// Base models it offers.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn models(&self) -> Result<Vec<ModelInfo>, CallError> {
        self.get("/v1/models").await
    }

    /// Adds a base model to its list; it takes one from its own machine only.
    ///
    /// # Errors
    /// The node does not answer or refuses.
    pub async fn add_model(&self, model: &ModelInfo) -> Result<(), CallError> {
        self.0.post("/v1/models", model).await?.json::<IgnoredAny>().map(drop)
    }

    /// How a job's training stands, as compute says.
    ///
    /// # Errors
    /// The node or compute does not answer, or does not know the attempt.
    pub async fn task(&self, job: B256, attempt: u32) -> Result<TaskStatus, CallError> {
        self.get(&format!("/v1/jobs/{job}/{attempt}")).await
    }

    /// Passes a requester's stop on to compute.
    ///
    /// # Errors
    /// The node does not answer or refuses.
    pub async fn stop(&self, job: B256, request: &StopRequest) -> Result<(), CallError> {
        let path = format!("/v1/jobs/{job}/{}/stop", request.stop.0.attempt);
        self.0.post(&path, request).await?.json::<IgnoredAny>().map(drop)
    }

    /// Who asked for access to a dataset and who was approved: for the caller to verify.
    ///
    /// # Errors
    /// The node does not answer, or does not know the dataset.
    pub async fn access(&self, contract: Address, uid: B256) -> Result<AccessList, CallError> {
        self.get(&format!("/v1/access/{contract}/{uid}")).await
    }

    /// Leaves a request for access, for the owner to find.
    ///
    /// # Errors
    /// The node does not answer or refuses.
    pub async fn ask_access(&self, request: &SignedAccessRequest) -> Result<(), CallError> {
        self.0.post("/v1/access", request).await?.json::<IgnoredAny>().map(drop)
    }

    /// Leaves an approval, for the requester to find.
    ///
    /// # Errors
    /// The node does not answer or refuses.
    pub async fn put_approval(&self, approval: &SignedApproval) -> Result<(), CallError> {
        self.0.post("/v1/approvals", approval).await?.json::<IgnoredAny>().map(drop)
    }

    /// What each compute behind it says of itself.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn compute_infos(&self) -> Result<Vec<ComputeInfo>, CallError> {
        self.get("/v1/compute/info").await
    }

    /// A provider's price for one job.
    ///
    /// # Errors
    /// The node does not answer; the provider does not, or offers no such job.
    pub async fn quote(&self, request: &QuoteRequest) -> Result<QuoteResponse, CallError> {
        self.0.post("/v1/compute/quote", request).await?.json()
    }

    /// The answer to one GraphQL query, with its `data` or its `errors`.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn graphql(&self, query: &str, variables: Value) -> Result<Value, CallError> {
        self.0.post("/graphql", &json!({"query": query, "variables": variables})).await?.json()
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.0.get(path).await?.json()
    }
}
