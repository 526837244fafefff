//! Passing requests on to compute: status, stop, quote, info. The node adds nothing and decides
//! nothing; compute checks every signature itself.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use licen_core::wire::Problem;
use licen_core::wire::compute::ComputeInfo;

use crate::http;

/// Longest answer passed on.
const MAX_ANSWER: usize = 1 << 20;

/// Compute behind this node.
#[derive(Debug, Clone)]
pub struct Compute {
    base: String,
    http: reqwest::Client,
}

impl Compute {
    /// A client of compute at `base`.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(base: &str) -> Result<Self, reqwest::Error> {
        let http = http::client(base, Duration::from_secs(15))?;
        Ok(Self { base: base.trim_end_matches('/').to_string(), http })
    }

    /// Passes on a GET.
    pub async fn get(&self, path: &str) -> Response {
        self.pass(self.http.get(format!("{}{path}", self.base))).await
    }

    /// Passes on a POST.
    pub async fn post(&self, path: &str, body: Bytes) -> Response {
        let request =
            self.http.post(format!("{}{path}", self.base)).header(header::CONTENT_TYPE, "application/json");
        self.pass(request.body(body)).await
    }

    /// The speed compute measured; 0 where it does not answer.
    pub async fn tokens_per_second(&self) -> f64 {
        let Ok(answer) = self.http.get(format!("{}/v1/info", self.base)).send().await else { return 0.0 };
        let Ok(body) = http::body(answer, MAX_ANSWER).await else { return 0.0 };
        serde_json::from_slice::<ComputeInfo>(&body).map_or(0.0, |info| info.tokens_per_second)
    }

    async fn pass(&self, request: reqwest::RequestBuilder) -> Response {
        let Ok(answer) = request.send().await else {
            return problem(StatusCode::BAD_GATEWAY, "compute does not answer");
        };
        let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
        match http::body(answer, MAX_ANSWER).await {
            Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Err(_) => problem(StatusCode::BAD_GATEWAY, "compute's answer broke off or is too large"),
        }
    }
}

/// An RFC 9457 answer.
pub fn problem(status: StatusCode, title: &str) -> Response {
    let problem = Problem::new(status.as_u16(), "LIC0901", title, "");
    (status, [(header::CONTENT_TYPE, "application/problem+json")], axum::Json(problem)).into_response()
}
