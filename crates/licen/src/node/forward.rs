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

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use axum::{Json, Router};
    use licen_core::abi::Policy;
    use licen_core::primitives::{Address, B256, U256};
    use licen_core::wire::AbiHex;
    use serde_json::{Value, json};

    use super::*;

    const HERE: &str = "http://127.0.0.1:8080";

    async fn listen(router: Router) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    /// A compute that says who it is, and answers a request for a price with that request.
    async fn compute(provider: u8, knows: &'static str) -> String {
        let info = json!({"providerId": B256::repeat_byte(provider), "teeType": "tdx", "tokensPerSecond": 1.5,
            "prices": [{"perEpoch": "7"}]});
        let router = Router::new()
            .route("/v1/info", get(move || async move { Json(info) }))
            .route("/v1/quote", post(|Json(asked): Json<Value>| async move { Json(asked) }))
            .route(knows, get(move || async move { Json(provider) }));
        listen(router).await
    }

    async fn body(response: Response) -> (StatusCode, Value) {
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), MAX_ANSWER).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_price_is_asked_of_the_named_provider_and_read_from_this_node() {
        let dead = "http://127.0.0.1:9".to_string();
        let bases = [dead, compute(1, "/v1/jobs/a/1").await, compute(2, "/v1/jobs/b/1").await];
        let computes = Computes::new(&bases, HERE).unwrap();
        let ids: Vec<B256> = computes.infos().await.iter().map(|info| info.provider_id).collect();
        assert_eq!(ids, [B256::repeat_byte(1), B256::repeat_byte(2)], "who does not answer is left out");
        let ask = |provider: u8| QuoteRequest {
            chain_id: 31_337,
            contract: Address::ZERO,
            provider_id: B256::repeat_byte(provider),
            job_id: B256::ZERO,
            policy: AbiHex(Policy::default()),
            job_spec: licen_core::primitives::Bytes::new(),
            epochs: 1,
            license_id: U256::ZERO,
            // Compute would fetch from there.
            blob_url: "http://169.254.169.254".into(),
        };
        let asked = async |request: &QuoteRequest| {
            body(computes.quote(&serde_json::to_vec(request).unwrap()).await).await
        };
        let (status, told) = asked(&ask(2)).await;
        assert_eq!((status, &told["blobUrl"]), (StatusCode::OK, &json!(HERE)));
        assert_eq!(told["providerId"], json!(B256::repeat_byte(2)));
        assert_eq!(asked(&ask(0)).await.0, StatusCode::OK, "the first provider");
        assert_eq!(asked(&ask(3)).await.0, StatusCode::NOT_FOUND);
        assert_eq!(body(computes.quote(b"{}").await).await.0, StatusCode::BAD_REQUEST);
        assert_eq!(body(computes.get("/v1/jobs/b/1").await).await, (StatusCode::OK, json!(2)));
        assert_ne!(computes.get("/v1/jobs/c/1").await.status(), StatusCode::OK);
    }
}
