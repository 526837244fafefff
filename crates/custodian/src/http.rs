//! The endpoints: parses, caps sizes, and passes on to the machine. Public records are shown as
//! they are stored.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use licen_core::primitives::{B256, Bytes as Stored, keccak256};
use licen_core::wire::Problem;
use licen_core::wire::custodian::{AuditRecord, CustodianInfo};
use licen_peers::Caller;
use licen_store::{AuditEntry, StoreError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::io::ReaderStream;

use crate::denial;
use crate::effect::Reply;
use crate::event::Ask;
use crate::run::Handle;

/// Evidence, envelope, constraints and specification of 64 KiB each, in hex.
const MAX_VERDICT_BYTES: usize = 768 * 1024;
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Records per answer of the audit log.
const AUDIT_PAGE: u32 = 256;

type Shared = State<Arc<Handle>>;

/// The caller of a request, as far as the operator's proxies say it.
struct ByCaller(Caller);

impl FromRequestParts<Arc<Handle>> for ByCaller {
    type Rejection = <ConnectInfo<SocketAddr> as FromRequestParts<Arc<Handle>>>::Rejection;

    async fn from_request_parts(parts: &mut Parts, handle: &Arc<Handle>) -> Result<Self, Self::Rejection> {
        let ConnectInfo(peer) = ConnectInfo::<SocketAddr>::from_request_parts(parts, handle).await?;
        Ok(Self(Caller::of(peer.ip(), &parts.headers, &handle.trusted_proxies)))
    }
}

pub(crate) fn router(handle: Arc<Handle>) -> Router {
    Router::new()
        .route("/v1/verdict", post(verdict).layer(DefaultBodyLimit::max(MAX_VERDICT_BYTES)))
        .route("/v1/challenge", post(challenge))
        .route("/v1/release", post(release))
        .route("/v1/deliver", post(deliver))
        .route("/v1/alive", post(alive))
        .route("/v1/silence/{job_id}", post(silence))
        .route("/v1/manifest/{job_id}", get(manifest))
        .route("/v1/result/{job_id}", get(result))
        .route("/v1/result-key", post(result_key))
        .route("/v1/retire", post(retire))
        .route("/v1/refusal/{dataset_uid}", get(refusal))
        .route("/v1/erasure/{hpke_key}", get(erasure))
        .route("/v1/custodian", get(custodian))
        .route("/v1/audit", get(audit))
        .route("/v1/blobs/{root}", get(blob))
        .fallback(|| async { respond(denial::not_found("no such endpoint")) })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(handle)
}

async fn challenge(State(handle): Shared, ByCaller(caller): ByCaller, body: Bytes) -> Response {
    ask(&handle, caller, &body, Ask::Challenge).await
}

async fn verdict(State(handle): Shared, ByCaller(caller): ByCaller, body: Bytes) -> Response {
    ask(&handle, caller, &body, Ask::Verdict).await
}

async fn release(State(handle): Shared, ByCaller(caller): ByCaller, body: Bytes) -> Response {
    ask(&handle, caller, &body, Ask::Release).await
}

async fn deliver(State(handle): Shared, ByCaller(caller): ByCaller, body: Bytes) -> Response {
    ask(&handle, caller, &body, Ask::Deliver).await
}

async fn alive(State(handle): Shared, ByCaller(caller): ByCaller, body: Bytes) -> Response {
    ask(&handle, caller, &body, Ask::Alive).await
}

async fn silence(
    State(handle): Shared,
    ByCaller(caller): ByCaller,
    Path(job_id): Path<String>,
    body: Bytes,
) -> Response {
    match job_id.parse() {
        Ok(job_id) => ask(&handle, caller, &body, |request| Ask::Silence { job_id, request }).await,
        Err(_) => respond(denial::malformed("a job id is 0x and 64 hex digits")),
    }
}

async fn result_key(State(handle): Shared, ByCaller(caller): ByCaller, body: Bytes) -> Response {
    ask(&handle, caller, &body, Ask::ResultKey).await
}

async fn result(State(handle): Shared, ByCaller(caller): ByCaller, Path(job_id): Path<String>) -> Response {
    match job_id.parse() {
        Ok(job_id) => respond(handle.ask(caller, B256::ZERO, Ask::Result { job_id }).await),
        Err(_) => respond(denial::malformed("a job id is 0x and 64 hex digits")),
    }
}

async fn ask<T: DeserializeOwned>(
    handle: &Handle,
    caller: Caller,
    body: &[u8],
    make: impl FnOnce(T) -> Ask,
) -> Response {
    let request: T = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => return respond(denial::malformed(error.to_string())),
    };
    respond(handle.ask(caller, keccak256(body), make(request)).await)
}

async fn manifest(State(handle): Shared, Path(job_id): Path<String>) -> Response {
    let Ok(job_id) = job_id.parse() else {
        return respond(denial::malformed("a job id is 0x and 64 hex digits"));
    };
    let manifest = handle.store.held(job_id).await.map(|held| held.and_then(|held| held.manifest));
    respond(match manifest {
        Ok(Some(manifest)) => Reply::Json(manifest),
        Ok(None) => denial::not_found("no manifest of this job is here"),
        Err(error) => failed(&error),
    })
}

async fn retire(State(handle): Shared, ByCaller(caller): ByCaller, body: Bytes) -> Response {
    ask(&handle, caller, &body, Ask::Retire).await
}

async fn refusal(State(handle): Shared, Path(dataset_uid): Path<String>) -> Response {
    match dataset_uid.parse() {
        Ok(uid) => statement(handle.store.tombstone(uid).await, "this dataset is not refused here"),
        Err(_) => respond(denial::malformed("a dataset uid is 0x and 64 hex digits")),
    }
}

async fn erasure(State(handle): Shared, Path(hpke_key): Path<String>) -> Response {
    match hpke_key.parse() {
        Ok(key) => statement(handle.store.erasure(key).await, "no such key was destroyed here"),
        Err(_) => respond(denial::malformed("an HPKE key is 0x and 64 hex digits")),
    }
}

fn statement(stored: Result<Option<Stored>, StoreError>, absent: &str) -> Response {
    respond(match stored {
        Ok(Some(statement)) => Reply::Json(statement),
        Ok(None) => denial::not_found(absent),
        Err(error) => failed(&error),
    })
}

async fn custodian(State(handle): Shared) -> Response {
    let head = match handle.store.audit_head().await {
        Ok(head) => head.map_or(B256::ZERO, |entry| entry.hash),
        Err(error) => return respond(failed(&error)),
    };
    let about = &handle.about;
    respond(json(&CustodianInfo {
        custodian_id: about.custodian_id,
        hpke_key: about.hpke_key,
        key_signature: about.key_signature.clone(),
        former_hpke_keys: about.former_hpke_keys.clone(),
        chain_id: about.chain_id,
        contracts: about.contracts.clone(),
        retention_days: about.retention_days,
        max_result_bytes: about.max_result_bytes,
        audit_head: head,
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    #[serde(default)]
    from: u64,
}

async fn audit(
    State(handle): Shared,
    query: Result<Query<AuditQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Ok(Query(AuditQuery { from })) = query else {
        return respond(denial::malformed("from is a record's number, from 1"));
    };
    respond(match handle.store.audit_entries(from.max(1), AUDIT_PAGE).await {
        Ok(entries) => json(&entries.into_iter().map(record).collect::<Vec<_>>()),
        Err(error) => failed(&error),
    })
}

fn record(entry: AuditEntry) -> AuditRecord {
    AuditRecord {
        sequence: entry.seq,
        previous: entry.prev,
        hash: entry.hash,
        // Lines are JSON text, so nothing is lost here.
        entry: String::from_utf8_lossy(&entry.record).into_owned(),
    }
}

/// A held result, evidence bundle or report: ciphertext and public records, for a researcher whose storage
/// node has lost it. A custodian is a blob server for what it holds and nothing else.
async fn blob(State(handle): Shared, Path(root): Path<String>) -> Response {
    let Ok(root) = root.parse::<B256>() else {
        return respond(denial::malformed("a root is 0x and 64 hex digits"));
    };
    let Ok(file) = tokio::fs::File::open(handle.blobs.path(&root)).await else {
        return respond(denial::not_found("this custodian does not hold that blob"));
    };
    let Ok(metadata) = file.metadata().await else {
        return respond(denial::unavailable("its records"));
    };
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, metadata.len().to_string()),
        (header::ETAG, format!("\"{root}\"")),
    ];
    (headers, Body::from_stream(ReaderStream::new(file))).into_response()
}

fn failed(error: &StoreError) -> Reply {
    tracing::error!(%error, "the records cannot be read");
    denial::unavailable("its records")
}

fn json<T: Serialize>(value: &T) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => Reply::Json(body.into()),
        Err(_) => denial::unavailable("its records"),
    }
}

fn respond(reply: Reply) -> Response {
    match reply {
        Reply::Json(body) => {
            let body = Body::from(Bytes::from(body.to_vec()));
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Reply::Done => StatusCode::NO_CONTENT.into_response(),
        Reply::Problem(problem) => problem_response(&problem),
    }
}

fn problem_response(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
}
