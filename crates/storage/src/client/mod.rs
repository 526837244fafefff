//! Moves blobs to and from a blob server, believing it nothing.
//!
//! *Invariant:* bytes reach the caller only after the file root over all of them was recomputed. A
//! server that serves anything else gets [`Error::Untrue`], and the bytes are gone.
//!
//! Every wait has an end: each part of an upload and the whole call here; connecting and each piece of a
//! download by the HTTP client, which is handed in (`licen-peers` builds it). A broken connection is taken up again where it broke; as long as bytes move the attempts do
//! not run out.

mod get;
mod put;

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use licen_core::primitives::{B256, hex};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};

use crate::error::{Error, Result};
use crate::http::{Problem, UPLOAD_OFFSET};

/// How patient a client is.
#[derive(Clone, Debug)]
pub struct Options {
    /// Longest time for one part of an upload, with its answer.
    pub part_timeout: Duration,
    /// Longest time for one call.
    pub deadline: Duration,
    /// Failures in a row, without a byte moving, before giving up.
    pub attempts: u32,
    /// Wait after the first failure; doubled after each further one.
    pub backoff: Duration,
    /// Bytes of an upload in one request, held in memory.
    pub part_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            part_timeout: Duration::from_secs(120),
            deadline: Duration::from_secs(6 * 3600),
            attempts: 6,
            backoff: Duration::from_millis(200),
            part_bytes: 2 << 20,
        }
    }
}

/// A blob server at one address. Clones share connections and the name of their uploads.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    options: Options,
    upload_id: String,
}

impl Client {
    /// `base` is what stands before `/v1/blobs`, such as `http://127.0.0.1:8080`. `http` follows no
    /// redirects, because a blob server answers itself and following it elsewhere would move the trust;
    /// it says how long to connect, and how long an answer may pause.
    pub fn new(http: reqwest::Client, base: &str, options: Options) -> Result<Self> {
        let bad =
            |reason: &str| Error::BadRequest { reason: format!("{base} is not a blob server: {reason}") };
        let url = Url::parse(base).map_err(|error| bad(&error.to_string()))?;
        let plain = url.query().is_none() && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !plain {
            return Err(bad("it must be a plain http:// or https:// address"));
        }
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| bad(&error.to_string()))?;
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { http, base, options, upload_id: hex::encode(id) })
    }

    /// Length of a blob, where the server says it has it.
    pub async fn size(&self, root: B256) -> Result<Option<u64>> {
        self.within_deadline("asking for a blob", async {
            let mut retry = Retry::new(&self.options);
            loop {
                match self.head(root).await {
                    Err(error) if error.retryable_now() => retry.wait(error).await?,
                    answer => return answer,
                }
            }
        })
        .await
    }

    async fn head(&self, root: B256) -> Result<Option<u64>> {
        let url = self.url(root);
        let response = self.send(self.request(Method::HEAD, &url)).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => Ok(Some(content_length(&url, &response)?)),
            _ => Err(self.refusal(response).await),
        }
    }

    fn url(&self, root: B256) -> String {
        format!("{}/v1/blobs/{root}", self.base)
    }

    fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        request.send().await.map_err(|source| self.unreachable(source))
    }

    fn unreachable(&self, source: reqwest::Error) -> Error {
        Error::Unreachable { url: self.base.clone(), source: source.without_url() }
    }

    /// What the server says is wrong, as far as it can be understood.
    async fn refusal(&self, response: Response) -> Error {
        const LIMIT: usize = 16 << 10;
        let status = response.status();
        let offset = upload_offset(&response);
        let body = Limited::new(reqwest::Body::from(response), LIMIT).collect().await;
        let problem = body.ok().and_then(|body| serde_json::from_slice::<Problem>(&body.to_bytes()).ok());
        let (code, detail) = match problem {
            Some(problem) => (printable(&problem.code), printable(&problem.detail)),
            None => (String::from("HTTP"), format!("status {status}")),
        };
        match (&code[..], offset) {
            ("LIC0606", Some(offset)) => Error::Offset { root: B256::ZERO, offset },
            _ => Error::Refused { url: self.base.clone(), status: status.as_u16(), code, detail },
        }
    }

    async fn within_deadline<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let deadline = self.options.deadline;
        let late = |_| Error::Deadline { what, seconds: deadline.as_secs() };
        tokio::time::timeout(deadline, work).await.map_err(late)?
    }
}

impl Error {
    fn retryable_now(&self) -> bool {
        licen_core::fault::Fault::retryable(self)
    }
}

/// Counts failures in a row and waits longer after each.
struct Retry<'a> {
    options: &'a Options,
    failures: u32,
}

impl<'a> Retry<'a> {
    fn new(options: &'a Options) -> Self {
        Self { options, failures: 0 }
    }

    /// Bytes moved: the next failure is the first again.
    fn progressed(&mut self) {
        self.failures = 0;
    }

    async fn wait(&mut self, error: Error) -> Result<()> {
        self.failures += 1;
        if self.failures >= self.options.attempts {
            return Err(error);
        }
        let doubled = self.options.backoff * 2u32.saturating_pow(self.failures.min(8) - 1);
        tokio::time::sleep(doubled.min(Duration::from_secs(10))).await;
        Ok(())
    }
}

fn content_length(url: &str, response: &Response) -> Result<u64> {
    let header = response.headers().get(reqwest::header::CONTENT_LENGTH);
    let length = header.and_then(|value| value.to_str().ok()?.parse().ok());
    length.ok_or_else(|| Error::Protocol { url: url.into(), reason: "the answer has no length" })
}

fn upload_offset(response: &Response) -> Option<u64> {
    response.headers().get(UPLOAD_OFFSET)?.to_str().ok()?.parse().ok()
}

/// Text from a stranger that ends up on a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}
