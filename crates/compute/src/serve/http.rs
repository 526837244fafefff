//! `:7201`. Reached through the node that dispatches; nobody is authenticated here, because whoever
//! asks, only custodians decide whether a key is released.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use licen_core::primitives::B256;
use licen_core::wire::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::ServeError;
use super::node::Node;

/// A dispatch is a policy, a job and a list of custodians.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// The routes of the node.
pub fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/v1/jobs/{job_id}/{attempt}", put(dispatch).get(status))
        .route("/v1/jobs/{job_id}/{attempt}/stop", post(stop))
        .route("/v1/info", get(info))
        .route("/v1/quote", post(quote))
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(node)
}

async fn dispatch(
    State(node): State<Arc<Node>>,
    Path((job_id, attempt)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    answer(ids(&job_id, &attempt).and_then(|(job, attempt)| node.dispatch(job, attempt, parse(&body)?)))
}

async fn status(State(node): State<Arc<Node>>, Path((job_id, attempt)): Path<(String, String)>) -> Response {
    answer(ids(&job_id, &attempt).and_then(|(job, attempt)| node.status(job, attempt)))
}

async fn stop(
    State(node): State<Arc<Node>>,
    Path((job_id, attempt)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    answer(ids(&job_id, &attempt).and_then(|(job, attempt)| node.stop(job, attempt, &parse(&body)?)))
}

async fn info(State(node): State<Arc<Node>>) -> Response {
    answer(Ok(node.info()))
}

async fn quote(State(node): State<Arc<Node>>, body: Bytes) -> Response {
    answer(match parse(&body) {
        Ok(request) => node.quote(&request).await,
        Err(error) => Err(error),
    })
}

async fn unknown() -> Response {
    answer::<()>(Err(ServeError::Unknown))
}

fn ids(job_id: &str, attempt: &str) -> Result<(B256, u32), ServeError> {
    let job_id = job_id.parse().map_err(|_| ServeError::Body("jobId is not 32 bytes of hex".into()))?;
    let attempt = attempt.parse().map_err(|_| ServeError::Body("attempt is not a number".into()))?;
    Ok((job_id, attempt))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ServeError> {
    serde_json::from_slice(body).map_err(|e| ServeError::Body(e.to_string()))
}

fn answer<T: Serialize>(outcome: Result<T, ServeError>) -> Response {
    let (status, kind, body) = match outcome {
        Ok(value) => (200, "application/json", serde_json::to_vec(&value)),
        Err(error) => {
            let problem = Problem::new(error.status(), error.code(), "refused by compute", error.to_string());
            (problem.status, "application/problem+json", serde_json::to_vec(&problem))
        }
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = body.unwrap_or_default();
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}
