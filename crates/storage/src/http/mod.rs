//! Serves a [`Blobs`] directory.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/blobs/{root}` | the bytes, each segment verified before it is sent; one `Range` is honoured |
//! | `HEAD /v1/blobs/{root}` | length and `ETag` |
//! | `PUT /v1/blobs/{root}` | stores a whole body, or with `Content-Range: bytes a-b/total` a part of it |
//! | `HEAD /v1/blobs/{root}?upload=ID` | 204 and `Upload-Offset`: where that upload continues |
//!
//! An upload is named by up to 32 hex digits that its client made up (`?upload=ID` on every part), so
//! nobody can put wrong bytes into somebody else's upload; parts without it share one upload per root.
//! A part is answered with 202 and `Upload-Offset`, the last one with 201 (200 if the blob was there
//! before) and `{root, bytes, created}`, after the server recomputed the root. `Content-Range: bytes
//! */total` ends an upload whose bytes are all there. Whatever arrived before
//! a connection broke is kept. A body of the wrong root is gone after a 422.
//!
//! Errors are RFC 9457 problems with the code of [`Error`](crate::Error).

mod download;
mod problem;
mod session;
#[cfg(test)]
mod tests;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use licen_core::primitives::B256;

use crate::blobs::Blobs;
use crate::error::{Error, Result};
pub use problem::Problem;
use session::Sessions;

/// Where an upload continues.
pub(crate) const UPLOAD_OFFSET: &str = "upload-offset";

/// What the server bears from its clients.
#[derive(Clone, Debug)]
pub struct Options {
    /// Uploads in progress at the same time.
    pub max_open_uploads: usize,
    /// An upload without a byte for this long may be dropped when room is needed.
    pub idle_after: Duration,
    /// A body that yields nothing for this long is given up; its bytes so far are kept.
    pub read_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_open_uploads: 64,
            idle_after: Duration::from_secs(600),
            read_timeout: Duration::from_secs(30),
        }
    }
}

/// The routes over `blobs`. Call it once per directory and process: uploads in progress live in it.
pub fn router(blobs: Blobs, options: Options) -> Router {
    let sessions = Sessions::new(blobs.clone(), &options);
    let state = Arc::new(State { blobs, options, sessions });
    let blob = get(download::get).head(download::head).put(upload::put);
    Router::new().route("/v1/blobs/{root}", blob).with_state(state)
}

struct State {
    blobs: Blobs,
    options: Options,
    sessions: Sessions,
}

/// Exactly `0x` and 64 lowercase hex digits: one name per blob.
fn parse_root(text: &str) -> Result<B256> {
    let digits = text.strip_prefix("0x").filter(|digits| is_lower_hex(digits) && digits.len() == 64);
    let root = digits.and_then(|digits| digits.parse().ok());
    root.ok_or_else(|| Error::BadRequest { reason: "a file root is 0x and 64 lowercase hex digits".into() })
}

/// The upload's name out of the query; nothing means the shared one.
fn parse_upload_id(query: Option<&str>) -> Result<Option<String>> {
    let mut pairs = query.unwrap_or_default().split('&');
    let Some(id) = pairs.find_map(|pair| pair.strip_prefix("upload=")) else {
        return Ok(None);
    };
    if id.is_empty() || id.len() > 32 || !is_lower_hex(id) {
        return Err(Error::BadRequest {
            reason: "an upload is named by 1 to 32 lowercase hex digits".into(),
        });
    }
    Ok(Some(id.into()))
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Work on files belongs on threads that may wait.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("storage work does not panic")
}
