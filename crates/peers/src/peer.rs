//! One call to one peer.

use std::time::Duration;

use bytes::Bytes;
use licen_core::fault::Party;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
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
    party: Party,
    limit: u64,
    within: Option<Duration>,
}

impl Peer {
    /// What plays the part of `party` at `base` and gives answers of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Why::Address`].
    pub fn new(http: &Http, base: &str, party: Party, limit: u64) -> Result<Self, CallError> {
        let base = BaseUrl::parse(base).map_err(|error| CallError { party, why: Why::Address(error) })?;
        Ok(Self { http: http.to(base.as_str()), base, party, limit, within: None })
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
        let response = self.send(self.request(Method::GET, path)?).await?;
        self.read(response).await
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// As [`Self::get`], and [`Why::Request`].
    pub async fn post<Q: Serialize + ?Sized>(&self, path: &str, body: &Q) -> Result<Answer, CallError> {
        self.post_bytes(path, self.encoded(body)?).await
    }

    /// Puts JSON that is taken or refused; what a peer says beside that it took it is not read.
    ///
    /// # Errors
    /// As [`Self::post`], and [`Why::Refused`].
    pub async fn put<Q: Serialize + ?Sized>(&self, path: &str, body: &Q) -> Result<(), CallError> {
        let request = self.carrying(Method::PUT, path, self.encoded(body)?)?;
        let response = self.send(request).await?;
        if response.status().is_success() {
            return Ok(());
        }
        self.read(response).await?.good().map(drop)
    }

    /// Posts what is JSON already.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn post_bytes(&self, path: &str, body: Bytes) -> Result<Answer, CallError> {
        let response = self.send(self.carrying(Method::POST, path, body)?).await?;
        self.read(response).await
    }

    fn carrying(&self, method: Method, path: &str, body: Bytes) -> Result<RequestBuilder, CallError> {
        let json = HeaderValue::from_static("application/json");
        Ok(self.request(method, path)?.header(CONTENT_TYPE, json).body(body))
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

    /// Asks, and leaves it to the caller to read the body: of any status, piece by piece.
    ///
    /// # Errors
    /// No answer, or one that announces more than it may have.
    pub async fn open(&self, path: &str) -> Result<(StatusCode, Body), CallError> {
        let response = self.send(self.request(Method::GET, path)?).await?;
        self.body(response)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CallError> {
        request.send().await.map_err(|error| self.failed(Why::of_sending(error)))
    }

    fn body(&self, response: Response) -> Result<(StatusCode, Body), CallError> {
        let status = response.status();
        let body =
            Body::of(response, self.limit).map_err(|error| self.failed(Why::of_body(status, error)))?;
        Ok((status, body))
    }

    async fn read(&self, response: Response) -> Result<Answer, CallError> {
        let (status, body) = self.body(response)?;
        let body = body.all().await.map_err(|error| self.failed(Why::of_body(status, error)))?;
        Ok(Answer { party: self.party, status, body })
    }

    fn failed(&self, why: Why) -> CallError {
        CallError { party: self.party, why }
    }
}
