//! One call to one peer.

use std::time::Duration;

use bytes::Bytes;
use licen_core::fault::Party;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, RequestBuilder};
use serde::Serialize;

use crate::answer::Answer;
use crate::body::Body;
use crate::error::{CallError, Why};
use crate::http::Http;
use crate::url::BaseUrl;

/// Longest answer of a custodian or a compute, bytes.
pub(crate) const MAX_ANSWER: u64 = 1 << 20;

/// Another program at its address. Clones share connections.
#[derive(Debug, Clone)]
pub struct Peer {
    http: Client,
    base: BaseUrl,
    whom: Party,
    limit: u64,
    within: Option<Duration>,
}

impl Peer {
    /// What plays the part of `whom` at `base` and gives answers of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Why::Address`].
    pub fn new(http: &Http, base: &str, whom: Party, limit: u64) -> Result<Self, CallError> {
        let base = BaseUrl::parse(base).map_err(|error| CallError { whom, why: Why::Address(error) })?;
        Ok(Self { http: http.to(base.as_str()), base, whom, limit, within: None })
    }

    /// The same peer, each call of which ends within `deadline`, whatever its client says.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self { within: Some(deadline), ..self }
    }

    /// Asks.
    ///
    /// # Errors
    /// No answer, or none of bounded length; any status is an answer.
    pub async fn get(&self, path: &str) -> Result<Answer, CallError> {
        self.call(self.request(Method::GET, path)?).await
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// As [`Self::get`], and [`Why::Request`].
    pub async fn post<Q: Serialize + ?Sized>(&self, path: &str, body: &Q) -> Result<Answer, CallError> {
        self.post_bytes(path, self.encoded(body)?).await
    }

    /// Puts JSON.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub async fn put<Q: Serialize + ?Sized>(&self, path: &str, body: &Q) -> Result<Answer, CallError> {
        let body = self.encoded(body)?;
        self.send(Method::PUT, path, body).await
    }

    /// Posts what is JSON already.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn post_bytes(&self, path: &str, body: Bytes) -> Result<Answer, CallError> {
        self.send(Method::POST, path, body).await
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, CallError> {
        let json = HeaderValue::from_static("application/json");
        self.call(self.request(method, path)?.header(CONTENT_TYPE, json).body(body)).await
    }

    fn encoded<Q: Serialize + ?Sized>(&self, body: &Q) -> Result<Bytes, CallError> {
        serde_json::to_vec(body).map(Bytes::from).map_err(|error| self.failed(Why::Request(error)))
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, CallError> {
        let url = self.base.join(path).map_err(|error| self.failed(Why::Address(error)))?;
        let request = self.http.request(method, url);
        Ok(match self.within {
            Some(deadline) => request.timeout(deadline),
            None => request,
        })
    }

    async fn call(&self, request: RequestBuilder) -> Result<Answer, CallError> {
        let response = request.send().await.map_err(|error| self.failed(Why::of_sending(error)))?;
        let status = response.status();
        let body = async { Body::of(response, self.limit)?.all().await };
        match body.await {
            Ok(body) => Ok(Answer { whom: self.whom, status, body }),
            Err(error) => Err(self.failed(Why::of_body(status, error))),
        }
    }

    fn failed(&self, why: Why) -> CallError {
        CallError { whom: self.whom, why }
    }
}
