//! `licen run node`: one process, one database, one address.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use licen_core::wire::node::{DeploymentInfo, ModelInfo};
use serde::Deserialize;

use super::forward::{Computes, problem};
use super::models::{Models, NotAdded};
use crate::codes;
use crate::error::{CliError, Outcome};

/// The node's file. Secrets are named by path.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Database, blobs and the list of models.
    pub state: PathBuf,
    /// deployment.json.
    pub deployment: PathBuf,
    /// RPC URLs; two or more off the local chain.
    pub rpc: Vec<String>,
    /// Base URL of compute, or a list of several.
    #[serde(deserialize_with = "one_or_more")]
    pub compute: Vec<String>,
    /// Wallet that pays for startJob and settlement; it needs coins and no rights.
    pub wallet: PathBuf,
    /// Confirmation depth.
    pub confirmations: u64,
    /// Whether to drive jobs; false runs an index and blobs only.
    #[serde(default = "yes")]
    pub orchestrate: bool,
    /// Pause between looks at the chain and at compute, milliseconds.
    #[serde(default = "poll")]
    pub poll_ms: u64,
}

impl NodeConfig {
    /// Where compute reads and writes blobs.
    #[must_use]
    pub fn blob_url(&self) -> String {
        format!("http://{}", self.listen)
    }
}

/// A text, or a list of texts with at least one.
fn one_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Urls {
        One(String),
        More(Vec<String>),
    }
    match Urls::deserialize(deserializer)? {
        Urls::One(url) => Ok(vec![url]),
        Urls::More(urls) if !urls.is_empty() => Ok(urls),
        Urls::More(_) => Err(serde::de::Error::custom("compute names no address")),
    }
}

fn yes() -> bool {
    true
}

fn poll() -> u64 {
    500
}

/// What the routes share.
#[derive(Debug)]
pub struct Shared {
    /// What `GET /v1/deployment` says.
    pub deployment: DeploymentInfo,
    /// Base models.
    pub models: Models,
    /// Compute behind this node.
    pub compute: Computes,
}

/// The node's own routes; blobs and GraphQL are merged beside them.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/v1/deployment",
            get(|State(s): State<Arc<Shared>>| async move { Json(s.deployment.clone()) }),
        )
        .route("/v1/models", get(models).post(add_model))
        .route(
            "/v1/compute/info",
            get(|State(s): State<Arc<Shared>>| async move { Json(s.compute.infos().await) }),
        )
        .route("/v1/compute/quote", axum::routing::post(quote))
        .route("/v1/jobs/{job}/{attempt}", get(task))
        .route("/v1/jobs/{job}/{attempt}/stop", axum::routing::post(stop))
        .with_state(shared)
}

async fn models(State(shared): State<Arc<Shared>>) -> Response {
    let speed = shared.compute.tokens_per_second().await;
    Json(shared.models.all(speed)).into_response()
}

/// A name in this list decides what `--base NAME` means, so only the node's own machine adds one.
async fn add_model(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Json(model): Json<ModelInfo>,
) -> Response {
    if !peer.ip().is_loopback() {
        return problem(StatusCode::FORBIDDEN, "base models are added from the node's own machine");
    }
    match shared.models.add(model) {
        Ok(()) => Json(serde_json::json!({"added": true})).into_response(),
        Err(NotAdded::Taken(reason)) => problem(StatusCode::CONFLICT, &reason),
        Err(NotAdded::NoRoom(reason)) => problem(StatusCode::INSUFFICIENT_STORAGE, &reason),
    }
}

async fn quote(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    shared.compute.quote(&body).await
}

async fn task(State(shared): State<Arc<Shared>>, Path((job, attempt)): Path<(String, u32)>) -> Response {
    let Some(job) = hex_name(&job) else { return problem(StatusCode::BAD_REQUEST, "not a job id") };
    shared.compute.get(&format!("/v1/jobs/{job}/{attempt}")).await
}

/// Compute checks the signature, which names the attempt as well.
async fn stop(
    State(shared): State<Arc<Shared>>,
    Path((job, attempt)): Path<(String, u32)>,
    body: Bytes,
) -> Response {
    let Some(job) = hex_name(&job) else { return problem(StatusCode::BAD_REQUEST, "not a job id") };
    shared.compute.post(&format!("/v1/jobs/{job}/{attempt}/stop"), body).await
}

/// Only a 32-byte hex name goes into a path that is passed on.
fn hex_name(text: &str) -> Option<String> {
    text.parse::<licen_core::primitives::B256>().ok().map(|name| name.to_string())
}

/// Reads a role's TOML file; paths in it are relative to the working directory.
///
/// # Errors
/// Unreadable, not TOML, or an unknown or missing setting.
pub fn read_toml<T: serde::de::DeserializeOwned>(path: &std::path::Path) -> Outcome<T> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| CliError::environment(codes::CONFIG, format!("cannot read {shown}")).because(&e))?;
    toml::from_str(&text)
        .map_err(|e| CliError::environment(codes::CONFIG, format!("{shown} is not usable")).in_file(&e))
}
