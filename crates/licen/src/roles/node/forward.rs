//! Passing requests on to compute: status, stop, quote, info. The node decides nothing; compute checks every
//! signature itself. Which compute is whose, its operator says: a compute may say that it is anybody.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use licen_core::primitives::B256;
use licen_core::wire::Problem;
use licen_core::wire::compute::{ComputeInfo, QuoteRequest};
use licen_orchestrator::ComputeUrl;
use licen_peers::{Answer, CallError, Http, HttpError, Timeouts};
use tokio::sync::mpsc;

/// Longest that one compute may take for an answer.
const WITHIN: Duration = Duration::from_secs(15);
/// Longest that one may take to say who it is: the others wait for it.
const INFO_WITHIN: Duration = Duration::from_secs(3);

/// One compute.
#[derive(Debug, Clone)]
struct Compute {
    at: ComputeUrl,
    http: Http,
}

impl Compute {
    fn called(&self) -> Result<licen_peers::Compute, CallError> {
        licen_peers::Compute::new(&self.http, &self.at.url)
    }

    /// Nothing where it says that it is another than its operator does.
    async fn info(self) -> Option<ComputeInfo> {
        let said = self.called().ok()?.within(INFO_WITHIN).pass_get("/v1/info").await.ok()?;
        let said: ComputeInfo = serde_json::from_slice(&said.body).ok()?;
        self.at.provider_id.is_none_or(|own| own == said.provider_id).then_some(said)
    }

    async fn get(self, path: String) -> Response {
        pass(async { self.called()?.pass_get(&path).await }.await)
    }

    async fn post(self, path: String, body: Bytes) -> Response {
        pass(async { self.called()?.pass_post(&path, body).await }.await)
    }
}

/// Compute behind this node: one, or several.
#[derive(Debug, Clone)]
pub struct Computes {
    all: Vec<Compute>,
    blob_url: String,
}

impl Computes {
    /// Clients of `computes`, which [`ComputeUrl::check`] passed; quotes are told to read documents at
    /// `blob_url`.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(computes: &[ComputeUrl], blob_url: &str) -> Result<Self, HttpError> {
        let http = Http::new(Timeouts::within(WITHIN))?;
        let all = computes.iter().map(|at| Compute { at: at.clone(), http: http.clone() }).collect();
        Ok(Self { all, blob_url: blob_url.to_string() })
    }

    /// What each that answers says of itself.
    pub async fn infos(&self) -> Vec<ComputeInfo> {
        self.answering(B256::ZERO).await.into_iter().map(|(_, info)| info).collect()
    }

    /// Those that may be `provider`, asked side by side, in the order of the configuration.
    async fn answering(&self, provider: B256) -> Vec<(&Compute, ComputeInfo)> {
        let may_be = self.all.iter().filter(|compute| compute.at.serves(provider));
        let asked: Vec<_> = may_be.map(|compute| (compute, tokio::spawn(compute.clone().info()))).collect();
        let mut answering = Vec::new();
        for (compute, asked) in asked {
            answering.extend(asked.await.ok().flatten().map(|info| (compute, info)));
        }
        answering
    }

    /// The speed that the first of them measured; 0 where none answers.
    pub async fn tokens_per_second(&self) -> f64 {
        self.infos().await.first().map_or(0.0, |info| info.tokens_per_second)
    }

    /// Asks the provider that the request names, or the first provider, for its price. This node says
    /// where compute reads documents: a requester could send compute anywhere.
    pub async fn quote(&self, body: &[u8]) -> Response {
        let Ok(request) = serde_json::from_slice::<QuoteRequest>(body) else {
            return problem(StatusCode::BAD_REQUEST, "not a request for a quote");
        };
        let named = request.provider_id;
        let fits = |info: &ComputeInfo| match named.is_zero() {
            true => !info.prices.is_empty(),
            false => info.provider_id == named,
        };
        let Some((compute, _)) = self.answering(named).await.into_iter().find(|(_, info)| fits(info)) else {
            return problem(StatusCode::NOT_FOUND, "no compute of this node answers as that provider");
        };
        let request = QuoteRequest { blob_url: self.blob_url.clone(), ..request };
        match serde_json::to_vec(&request) {
            Ok(body) => compute.clone().post("/v1/quote".into(), body.into()).await,
            Err(_) => problem(StatusCode::BAD_REQUEST, "not a request for a quote"),
        }
    }

    /// What compute says about an attempt of a job of `provider`; everybody is asked where that is not known,
    /// or the job names none.
    pub async fn get(&self, path: &str, provider: Option<B256>) -> Response {
        let (whose, _) = self.whose(provider);
        if whose.is_empty() {
            return problem(StatusCode::NOT_FOUND, "no compute of this node is the job's provider");
        }
        best(whose.into_iter().map(|compute| compute.get(path.to_string()))).await
    }

    /// Brings an order to every compute, so that none can keep it from the others. The job's provider's answer
    /// counts; anybody's where that is not known or has no compute here.
    pub async fn post(&self, path: &str, body: &Bytes, provider: Option<B256>) -> Response {
        let order = |compute: Compute| compute.post(path.to_string(), body.clone());
        let (mut whose, mut others) = self.whose(provider);
        if whose.is_empty() {
            std::mem::swap(&mut whose, &mut others);
        }
        for other in others {
            tokio::spawn(order(other));
        }
        best(whose.into_iter().map(order)).await
    }

    /// The computes that may have an attempt of a job of `provider`, and the others.
    fn whose(&self, provider: Option<B256>) -> (Vec<Compute>, Vec<Compute>) {
        self.all.iter().cloned().partition(|compute| compute.at.serves(provider.unwrap_or_default()))
    }
}

/// The first success; without one, the best reason. All are asked at once and to the end, whether or not
/// somebody still waits.
async fn best<A: Future<Output = Response> + Send + 'static>(asked: impl Iterator<Item = A>) -> Response {
    let (tell, mut told) = mpsc::unbounded_channel();
    for answer in asked {
        let tell = tell.clone();
        tokio::spawn(async move { tell.send(answer.await) });
    }
    drop(tell);
    let mut best = nobody();
    while let Some(answer) = told.recv().await {
        if answer.status().is_success() {
            return answer;
        }
        if weight(answer.status()) > weight(best.status()) {
            best = answer;
        }
    }
    best
}

/// A compute that knows the attempt has a reason to refuse; one that answers 404 only says that it does not know it.
fn weight(refusal: StatusCode) -> u8 {
    match refusal {
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => 0,
        StatusCode::NOT_FOUND => 1,
        _ => 2,
    }
}

fn nobody() -> Response {
    problem(StatusCode::BAD_GATEWAY, "compute does not answer")
}

fn pass(said: Result<Answer, CallError>) -> Response {
    match said {
        Ok(Answer { status, body, .. }) => {
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(error) if error.status().is_some() => {
            problem(StatusCode::BAD_GATEWAY, "compute's answer broke off or is too large")
        }
        Err(_) => nobody(),
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

    /// What a compute says of itself.
    fn says(provider: B256) -> Router {
        let info = json!({"providerId": provider, "teeType": "tdx", "tokensPerSecond": 1.5,
            "prices": [{"perEpoch": "7"}]});
        Router::new().route("/v1/info", get(move || async move { Json(info) }))
    }

    /// A compute that answers a request for a price with that request, and knows one path.
    async fn compute(provider: u8, knows: &'static str) -> ComputeUrl {
        let id = B256::repeat_byte(provider);
        let router = says(id)
            .route("/v1/quote", post(|Json(asked): Json<Value>| async move { Json(asked) }))
            .route(knows, get(move || async move { Json(provider) }));
        ComputeUrl { url: listen(router).await, provider_id: Some(id) }
    }

    /// A compute that answers everything in one way, after a while.
    async fn always(provider: u8, status: StatusCode, code: &'static str, after: Duration) -> ComputeUrl {
        let said = Problem::new(status.as_u16(), code, "", "");
        let answer = move || async move {
            tokio::time::sleep(after).await;
            (status, Json(said))
        };
        let url = listen(Router::new().fallback(answer)).await;
        ComputeUrl { url, provider_id: Some(B256::repeat_byte(provider)) }
    }

    fn ask(provider: u8) -> QuoteRequest {
        QuoteRequest {
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
        }
    }

    async fn body(response: Response) -> (StatusCode, Value) {
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_price_is_asked_of_the_named_provider_and_read_from_this_node() {
        let dead = ComputeUrl { url: "http://127.0.0.1:9".into(), provider_id: Some(B256::repeat_byte(9)) };
        let all = [dead, compute(1, "/v1/jobs/a/1").await, compute(2, "/v1/jobs/b/1").await];
        let computes = Computes::new(&all, HERE).unwrap();
        let ids: Vec<B256> = computes.infos().await.iter().map(|info| info.provider_id).collect();
        assert_eq!(ids, [B256::repeat_byte(1), B256::repeat_byte(2)], "who does not answer is left out");
        let asked = async |request: &QuoteRequest| {
            body(computes.quote(&serde_json::to_vec(request).unwrap()).await).await
        };
        let (status, told) = asked(&ask(2)).await;
        assert_eq!((status, &told["blobUrl"]), (StatusCode::OK, &json!(HERE)));
        assert_eq!(told["providerId"], json!(B256::repeat_byte(2)));
        assert_eq!(asked(&ask(0)).await.0, StatusCode::OK, "the first provider");
        assert_eq!(asked(&ask(3)).await.0, StatusCode::NOT_FOUND);
        assert_eq!(body(computes.quote(b"{}").await).await.0, StatusCode::BAD_REQUEST);
        assert_eq!(body(computes.get("/v1/jobs/b/1", None).await).await, (StatusCode::OK, json!(2)));
        assert_ne!(computes.get("/v1/jobs/c/1", None).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_compute_that_says_it_is_everybody_swallows_nothing_of_others() {
        let (honest, lying) = (B256::repeat_byte(2), B256::repeat_byte(1));
        let lies = says(honest).fallback(|| async { Json("lie") });
        let lies = ComputeUrl { url: listen(lies).await, provider_id: Some(lying) };
        let (stops, mut stopped) = mpsc::unbounded_channel();
        let true_one = says(honest)
            .route("/v1/quote", post(|| async { Json("true") }))
            .route("/v1/jobs/a/1", get(|| async { Json("true") }))
            .route(
                "/v1/jobs/a/1/stop",
                post(move |body: String| async move {
                    let _ = stops.send(body);
                    (StatusCode::FORBIDDEN, Json("true"))
                }),
            );
        let true_one = ComputeUrl { url: listen(true_one).await, provider_id: Some(honest) };
        let computes = Computes::new(&[lies, true_one], HERE).unwrap();

        assert_eq!(computes.infos().await.len(), 1, "who says that it is another is left out");
        let quote = computes.quote(&serde_json::to_vec(&ask(2)).unwrap()).await;
        assert_eq!(body(quote).await.1, json!("true"));
        let status = computes.get("/v1/jobs/a/1", Some(honest)).await;
        assert_eq!(body(status).await.1, json!("true"));
        let nobody_s = computes.get("/v1/jobs/a/1", Some(B256::repeat_byte(3))).await;
        assert_eq!(nobody_s.status(), StatusCode::NOT_FOUND);

        let order = Bytes::from_static(b"stop");
        let stop = computes.post("/v1/jobs/a/1/stop", &order, Some(honest)).await;
        assert_eq!(body(stop).await, (StatusCode::FORBIDDEN, json!("true")), "its provider's answer counts");
        assert_eq!(stopped.recv().await.unwrap(), "stop");
        for unknown in [None, Some(B256::ZERO), Some(B256::repeat_byte(3))] {
            let stop = computes.post("/v1/jobs/a/1/stop", &order, unknown).await;
            assert_eq!(stop.status(), StatusCode::OK, "one says that it took it");
            let arrived = tokio::time::timeout(Duration::from_secs(5), stopped.recv()).await;
            assert_eq!(arrived.expect("the stop was swallowed").unwrap(), "stop");
        }
    }

    #[tokio::test]
    async fn a_reason_is_not_hidden_by_who_knows_nothing() {
        let at_once = Duration::ZERO;
        let later = Duration::from_millis(100);
        let dead = ComputeUrl { url: "http://127.0.0.1:9".into(), provider_id: Some(B256::repeat_byte(9)) };
        for (first, second) in [(at_once, later), (later, at_once)] {
            let refuses = always(1, StatusCode::FORBIDDEN, "LIC0814", first).await;
            let unknown = always(2, StatusCode::NOT_FOUND, "LIC0812", second).await;
            let computes = Computes::new(&[refuses, unknown.clone(), dead.clone()], HERE).unwrap();
            let (status, said) = body(computes.post("/stop", &Bytes::new(), None).await).await;
            assert_eq!((status, &said["code"]), (StatusCode::FORBIDDEN, &json!("LIC0814")));
            let computes = Computes::new(&[unknown, dead.clone()], HERE).unwrap();
            assert_eq!(body(computes.get("/status", None).await).await.1["code"], "LIC0812");
        }
        let computes = Computes::new(&[dead], HERE).unwrap();
        assert_eq!(computes.get("/status", None).await.status(), StatusCode::BAD_GATEWAY);
    }

    #[tokio::test]
    async fn computes_that_hang_keep_nobody_waiting() {
        let (hangs, slow) = (Duration::from_secs(60), Duration::from_millis(1_000));
        let mut all =
            vec![always(1, StatusCode::OK, "", hangs).await, always(2, StatusCode::OK, "", hangs).await];
        all.push(compute(3, "/v1/jobs/a/1").await);
        let computes = Computes::new(&all, HERE).unwrap();
        let begun = std::time::Instant::now();
        assert_eq!(computes.get("/v1/jobs/a/1", None).await.status(), StatusCode::OK);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let mut refusing = Vec::new();
        for provider in 1..=8 {
            refusing.push(always(provider, StatusCode::FORBIDDEN, "", slow).await);
        }
        let computes = Computes::new(&refusing, HERE).unwrap();
        let begun = std::time::Instant::now();
        assert_eq!(computes.get("/", None).await.status(), StatusCode::FORBIDDEN);
        assert!(begun.elapsed() < 6 * slow, "side by side, not one after another: {:?}", begun.elapsed());
    }
}
