//! A compute's calls. It says of itself what it likes: its operator says which compute is whose.

use std::time::Duration;

use bytes::Bytes;
use licen_core::fault::Party;
use licen_core::primitives::B256;
use licen_core::wire::compute::{ComputeInfo, Dispatch, TaskStatus};

use crate::answer::Answer;
use crate::error::CallError;
use crate::http::Http;
use crate::peer::{MAX_ANSWER, Peer};

/// A compute at its address.
#[derive(Debug, Clone)]
pub struct Compute(Peer);

impl Compute {
    /// The compute at `base`.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn new(http: &Http, base: &str) -> Result<Self, CallError> {
        Peer::new(http, base, Party::Compute, MAX_ANSWER).map(Self)
    }

    /// The same compute, each call to which ends within `deadline`.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self(self.0.within(deadline))
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// It gives no answer.
    pub async fn info(&self) -> Result<ComputeInfo, CallError> {
        self.0.get("/v1/info").await?.json()
    }

    /// Gives it an attempt of a job.
    ///
    /// # Errors
    /// It refuses, or gives no answer.
    pub async fn dispatch(&self, attempt: u32, dispatch: &Dispatch) -> Result<(), CallError> {
        let path = format!("/v1/jobs/{}/{attempt}", dispatch.job.0.jobId);
        self.0.put(&path, dispatch).await
    }

    /// How it stands with an attempt.
    ///
    /// # Errors
    /// It does not know the attempt, or gives no answer.
    pub async fn status(&self, job: B256, attempt: u32) -> Result<TaskStatus, CallError> {
        self.0.get(&format!("/v1/jobs/{job}/{attempt}")).await?.json()
    }

    /// Its answer to a question that somebody else asked, unread.
    ///
    /// # Errors
    /// It gives no answer.
    pub async fn pass_get(&self, path: &str) -> Result<Answer, CallError> {
        self.0.get(path).await
    }

    /// Its answer to what somebody else posted, unread.
    ///
    /// # Errors
    /// It gives no answer.
    pub async fn pass_post(&self, path: &str, body: Bytes) -> Result<Answer, CallError> {
        self.0.post_bytes(path, body).await
    }
}
