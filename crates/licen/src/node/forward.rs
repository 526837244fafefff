//! Passing requests on to compute: status, stop, quote, info. The node decides nothing; compute checks every
//! signature itself.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use licen_core::wire::Problem;
use licen_core::wire::compute::{ComputeInfo, QuoteRequest};

use crate::http;

/// Longest answer passed on.
const MAX_ANSWER: usize = 1 << 20;
/// Longest that one compute may take for an answer.
const WITHIN: Duration = Duration::from_secs(15);
/// Longest that one may take to say who it is: the others wait for it.
const INFO_WITHIN: Duration = Duration::from_secs(3);

/// One compute.
#[derive(Debug, Clone)]
struct Compute {
    base: String,
    http: reqwest::Client,
}

impl Compute {
    async fn info(&self) -> Option<ComputeInfo> {
        let asked = self.http.get(format!("{}/v1/info", self.base)).timeout(INFO_WITHIN).send().await;
        serde_json::from_slice(&http::body(asked.ok()?, MAX_ANSWER).await.ok()?).ok()
    }

    async fn get(&self, path: &str) -> Response {
        pass(self.http.get(format!("{}{path}", self.base))).await
    }

    async fn post(&self, path: &str, body: Bytes) -> Response {
        let request =
            self.http.post(format!("{}{path}", self.base)).header(header::CONTENT_TYPE, "application/json");
        pass(request.body(body)).await
    }
}

/// Compute behind this node: one, or several.
#[derive(Debug, Clone)]
pub struct Computes {
    all: Vec<Compute>,
    blob_url: String,
}

impl Computes {
    /// Clients of compute at each of `bases`; quotes are told to read documents at `blob_url`.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(bases: &[String], blob_url: &str) -> Result<Self, reqwest::Error> {
        let compute = |base: &String| {
            let http = http::client(base, WITHIN)?;
            Ok(Compute { base: base.trim_end_matches('/').to_string(), http })
        };
        let all = bases.iter().map(compute).collect::<Result<_, reqwest::Error>>()?;
        Ok(Self { all, blob_url: blob_url.to_string() })
    }

    /// What each that answers says of itself.
    pub async fn infos(&self) -> Vec<ComputeInfo> {
        self.answering().await.into_iter().map(|(_, info)| info).collect()
    }

    /// Asked side by side, in the order of the configuration.
    async fn answering(&self) -> Vec<(&Compute, ComputeInfo)> {
        let ask = |compute: &Compute| {
            let compute = compute.clone();
            tokio::spawn(async move { compute.info().await })
        };
        let asked: Vec<_> = self.all.iter().map(ask).collect();
        let mut answering = Vec::new();
        for (compute, asked) in self.all.iter().zip(asked) {
            answering.extend(asked.await.ok().flatten().map(|info| (compute, info)));
        }
        answering
    }

    /// The speed that the first of them measured; 0 where none answers.
    pub async fn tokens_per_second(&self) -> f64 {
        self.infos().await.first().map_or(0.0, |info| info.tokens_per_second)
    }

    /// Asks the provider that the request names, or the first provider, for its price. Where documents are
    /// read is this node's to say: who asks could send compute anywhere.
    pub async fn quote(&self, body: &[u8]) -> Response {
        let Ok(request) = serde_json::from_slice::<QuoteRequest>(body) else {
            return problem(StatusCode::BAD_REQUEST, "not a request for a quote");
        };
        let named = request.provider_id;
        let fits = |info: &ComputeInfo| match named.is_zero() {
            true => !info.prices.is_empty(),
            false => info.provider_id == named,
        };
        let Some((compute, _)) = self.answering().await.into_iter().find(|(_, info)| fits(info)) else {
            return problem(StatusCode::NOT_FOUND, "no compute of this node answers as that provider");
        };
        let request = QuoteRequest { blob_url: self.blob_url.clone(), ..request };
        match serde_json::to_vec(&request) {
            Ok(body) => compute.post("/v1/quote", body.into()).await,
            Err(_) => problem(StatusCode::BAD_REQUEST, "not a request for a quote"),
        }
    }

    /// The answer of the first that has one: only the compute that took an attempt knows it.
    pub async fn get(&self, path: &str) -> Response {
        let mut last = None;
        for compute in &self.all {
            let answer = compute.get(path).await;
            if answer.status().is_success() {
                return answer;
            }
            last = Some(answer);
        }
        last.unwrap_or_else(nobody)
    }

    /// The same for a POST.
    pub async fn post(&self, path: &str, body: Bytes) -> Response {
        let mut last = None;
        for compute in &self.all {
            let answer = compute.post(path, body.clone()).await;
            if answer.status().is_success() {
                return answer;
            }
            last = Some(answer);
        }
        last.unwrap_or_else(nobody)
    }
}

fn nobody() -> Response {
    problem(StatusCode::BAD_GATEWAY, "compute does not answer")
}

async fn pass(request: reqwest::RequestBuilder) -> Response {
    let Ok(answer) = request.send().await else { return nobody() };
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    match http::body(answer, MAX_ANSWER).await {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(_) => problem(StatusCode::BAD_GATEWAY, "compute's answer broke off or is too large"),
    }
}

/// An RFC 9457 answer.
pub fn problem(status: StatusCode, title: &str) -> Response {
    let problem = Problem::new(status.as_u16(), "LIC0901", title, "");
    (status, [(header::CONTENT_TYPE, "application/problem+json")], axum::Json(problem)).into_response()
}
