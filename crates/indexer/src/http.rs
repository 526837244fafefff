//! `POST /graphql`. Every answer carries, beside `data` and `errors`, what it stands on:
//! `extensions.licen = {ready, block, lagBlocks}`. An index that is behind or halted still answers,
//! with status 200 and `ready: false`: old facts that say they are old beat an outage.

use std::sync::Arc;

use async_graphql::{Request, Value, value};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};

use crate::graphql::Schema;
use crate::status::{Freshness, Status};

/// Largest request body, bytes.
const MAX_BODY: usize = 64 * 1024;

const USAGE: &str = "LICEN's index. POST {\"query\": \"{ _meta { ready } }\"} here.\n";

struct Shared {
    schema: Schema,
    freshness: Freshness,
}

/// The `/graphql` route.
pub fn router(schema: Schema, freshness: Freshness) -> Router {
    Router::new()
        .route("/graphql", post(answer).get(|| async { USAGE }))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(Shared { schema, freshness }))
}

async fn answer(State(shared): State<Arc<Shared>>, Json(request): Json<Request>) -> Response {
    let response = shared.schema.execute(request).await;
    Json(response.extension("licen", standing(&shared.freshness.get()))).into_response()
}

fn standing(status: &Status) -> Value {
    value!({
        "ready": status.ready(),
        "block": status.indexed,
        "lagBlocks": status.lag(),
        "problem": status.problem.clone(),
    })
}
