//! `POST /graphql`. Every answer carries, beside `data` and `errors`, what it stands on:
//! `extensions.licen = {ready, block, lagBlocks}`. An index that is behind or halted still answers,
//! with status 200 and `ready: false`: old facts that say they are old beat an outage.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Request, Response, ServerError, Value, value};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};

use tokio::sync::Semaphore;

use crate::graphql::Schema;
use crate::guard;
use crate::status::{Freshness, Status};

/// Largest request body, bytes.
const MAX_BODY: usize = 64 * 1024;

/// Queries that are answered at a time; the others wait.
const MAX_RUNNING: usize = 4;

/// A query that waited and ran for so long is given up.
const WITHIN: Duration = Duration::from_secs(10);
const BUSY: &str = "the index is busy; ask again, or for less";

const USAGE: &str = "LICEN's index. POST {\"query\": \"{ _meta { ready } }\"} here.\n";

struct Shared {
    schema: Schema,
    freshness: Freshness,
    running: Semaphore,
}

/// The `/graphql` route.
pub fn router(schema: Schema, freshness: Freshness) -> Router {
    Router::new()
        .route("/graphql", post(answer).get(|| async { USAGE }))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(Shared { schema, freshness, running: Semaphore::new(MAX_RUNNING) }))
}

async fn answer(State(shared): State<Arc<Shared>>, Json(request): Json<Request>) -> impl IntoResponse {
    let response = match guard::check(&request) {
        Err(refused) => Response::from_errors(vec![ServerError::new(refused.to_string(), None)]),
        Ok(()) => {
            let answered = async {
                // The semaphore is never closed.
                let _running = shared.running.acquire().await;
                shared.schema.execute(request).await
            };
            let busy = |_| Response::from_errors(vec![ServerError::new(BUSY, None)]);
            tokio::time::timeout(WITHIN, answered).await.unwrap_or_else(busy)
        }
    };
    Json(response.extension("licen", standing(&shared.freshness.get())))
}

fn standing(status: &Status) -> Value {
    value!({
        "ready": status.ready(),
        "block": status.indexed,
        "lagBlocks": status.lag(),
        "problem": status.problem.clone(),
    })
}
