use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{self, Path, RawQuery};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use licen_core::primitives::B256;
use serde_json::json;
use tokio::sync::OwnedMutexGuard;

use super::session::Session;
use super::{State, UPLOAD_OFFSET, blocking, parse_root, parse_upload_id};
use crate::blobs::{BlobWriter, Stored};
use crate::error::{Error, Result};

/// Bytes collected before they are hashed and written.
const BATCH_BYTES: usize = 1 << 20;
/// What is read and thrown away so that a client hears the refusal instead of a broken connection.
const DRAIN_BYTES: usize = 16 << 20;

/// Bytes `start..end` of a blob of `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    start: u64,
    end: u64,
    total: u64,
}

enum Progress {
    Partial(u64),
    Done(Stored),
}

pub(super) async fn put(
    extract::State(state): extract::State<Arc<State>>,
    Path(root): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    mut body: Body,
) -> Result<Response> {
    let admitted = admit(&state, &root, query.as_deref(), &headers).await;
    let (root, part, writer) = match admitted {
        Ok(Admitted::Write { root, part, writer }) => (root, part, writer),
        Ok(Admitted::Exists(stored)) => {
            drain(&mut body, state.options.read_timeout).await;
            return Ok(answer(Progress::Done(stored)));
        }
        Err(error) => {
            drain(&mut body, state.options.read_timeout).await;
            return Err(error);
        }
    };
    // A task of its own: when the connection breaks this handler is dropped, and what has arrived
    // must still be written.
    let receiving = tokio::spawn(receive(state, root, part, writer, body));
    receiving.await.expect("receiving does not panic").map(answer)
}

enum Admitted {
    Exists(Stored),
    Write { root: B256, part: Part, writer: Target },
}

/// What a body is written to.
enum Target {
    /// An upload that outlives the request.
    Shared(OwnedMutexGuard<Session>),
    /// A whole body without a name, gone if it does not arrive.
    Single(BlobWriter),
}

/// Everything that can be refused before the body is read.
async fn admit(state: &State, root: &str, query: Option<&str>, headers: &HeaderMap) -> Result<Admitted> {
    let root = parse_root(root)?;
    let id = parse_upload_id(query)?;
    let (part, ranged) = parse_part(headers)?;
    let limit = state.blobs.options().max_blob_bytes;
    if part.total > limit {
        return Err(Error::TooLarge { bytes: part.total, limit });
    }
    let blobs = state.blobs.clone();
    if let Some(stored) = blocking(move || blobs.size(root)).await?.filter(|len| *len >= part.total) {
        return Ok(Admitted::Exists(Stored { root, bytes: stored, created: false }));
    }
    if id.is_none() && !ranged {
        let blobs = state.blobs.clone();
        let writer = Target::Single(blocking(move || blobs.writer()).await?);
        return Ok(Admitted::Write { root, part, writer });
    }
    let session = state.sessions.take(root, id.as_deref().unwrap_or_default()).await?;
    let offset = session.writer.as_ref().map_or(0, BlobWriter::bytes);
    if part.start != offset {
        return Err(Error::Offset { root, offset });
    }
    Ok(Admitted::Write { root, part, writer: Target::Shared(session) })
}

async fn receive(
    state: Arc<State>,
    root: B256,
    part: Part,
    mut target: Target,
    mut body: Body,
) -> Result<Progress> {
    let mut room = (part.end - part.start) as usize;
    let mut batch = Vec::with_capacity(BATCH_BYTES);
    let mut ended = Ok(());
    while room > 0 || !batch.is_empty() {
        match next_data(&mut body, state.options.read_timeout).await {
            Ok(Some(data)) => batch.extend_from_slice(&data),
            Ok(None) => ended = Err("the body ended too early"),
            Err(reason) => ended = Err(reason),
        }
        let complete = batch.len() >= room;
        if batch.len() < BATCH_BYTES && !complete && ended.is_ok() {
            continue;
        }
        batch.truncate(room);
        room -= batch.len();
        let data = std::mem::replace(&mut batch, Vec::with_capacity(BATCH_BYTES));
        target = blocking(move || target.append(&data).map(|()| target)).await?;
        if room == 0 {
            break;
        }
        ended.map_err(|reason| Error::BadRequest { reason: reason.into() })?;
    }
    if part.end < part.total {
        return Ok(Progress::Partial(part.end));
    }
    let writer = match &mut target {
        Target::Single(_) => None,
        Target::Shared(session) => session.writer.take(),
    };
    let session = match target {
        Target::Single(writer) => return finish(writer, root).await,
        Target::Shared(session) => session,
    };
    state.sessions.close(&session);
    finish(writer.expect("it was just written to"), root).await
}

async fn finish(writer: BlobWriter, root: B256) -> Result<Progress> {
    blocking(move || writer.finish(Some(root))).await.map(Progress::Done)
}

impl Target {
    fn append(&mut self, data: &[u8]) -> Result<()> {
        match self {
            Self::Single(writer) => writer.append(data),
            Self::Shared(session) => session.writer.as_mut().expect("taken with a writer").append(data),
        }
    }
}

async fn next_data(body: &mut Body, timeout: Duration) -> Result<Option<axum::body::Bytes>, &'static str> {
    loop {
        match tokio::time::timeout(timeout, body.frame()).await {
            Err(_) => return Err("the body stalled"),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => return Err("the body broke off"),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => return Ok(Some(data)),
                Err(_trailers) => {}
            },
        }
    }
}

async fn drain(body: &mut Body, timeout: Duration) {
    let mut left = DRAIN_BYTES;
    while let Ok(Some(data)) = next_data(body, timeout).await {
        match left.checked_sub(data.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

fn answer(progress: Progress) -> Response {
    match progress {
        Progress::Partial(offset) => {
            (StatusCode::ACCEPTED, [(UPLOAD_OFFSET, offset.to_string())]).into_response()
        }
        Progress::Done(Stored { root, bytes, created }) => {
            let status = if created { StatusCode::CREATED } else { StatusCode::OK };
            let headers = [(UPLOAD_OFFSET, bytes.to_string())];
            (status, headers, Json(json!({"root": root, "bytes": bytes, "created": created}))).into_response()
        }
    }
}

/// The part of the blob that the body holds, and whether it was named by a range.
fn parse_part(headers: &HeaderMap) -> Result<(Part, bool)> {
    let bad = |reason: &str| Error::BadRequest { reason: reason.into() };
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let length = text(header::CONTENT_LENGTH).map(|text| text.parse::<u64>()).transpose();
    let length = length.map_err(|_| bad("Content-Length must be a number"))?;
    let Some(range) = text(header::CONTENT_RANGE) else {
        let unknown = headers.contains_key(header::TRANSFER_ENCODING);
        let total = match length {
            Some(0) => return Err(Error::Empty),
            None if !unknown => return Err(Error::Empty),
            None => return Err(bad("Content-Length or Content-Range is needed")),
            Some(total) => total,
        };
        return Ok((Part { start: 0, end: total, total }, false));
    };
    let part = parse_content_range(range)
        .ok_or_else(|| bad("Content-Range must be bytes FIRST-LAST/TOTAL or bytes */TOTAL"))?;
    if length.is_some_and(|length| length != part.end - part.start) {
        return Err(bad("Content-Length and Content-Range differ"));
    }
    Ok((part, true))
}

fn parse_content_range(text: &str) -> Option<Part> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    if range == "*" {
        let total = number(total).filter(|total| *total > 0)?;
        return Some(Part { start: total, end: total, total });
    }
    let (first, last) = range.split_once('-')?;
    let part = Part { start: number(first)?, end: number(last)?.checked_add(1)?, total: number(total)? };
    (part.start < part.end && part.end <= part.total).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        let part = |start, end, total| Some(Part { start, end, total });
        assert_eq!(parse_content_range("bytes 0-9/10"), part(0, 10, 10));
        assert_eq!(parse_content_range("bytes 4-4/10"), part(4, 5, 10));
        assert_eq!(parse_content_range("bytes */10"), part(10, 10, 10));
        for bad in [
            "bytes 0-10/10",
            "bytes 5-4/10",
            "bytes */0",
            "bytes 0-9/*",
            "0-9/10",
            "bytes 0-9/+10",
            "bytes 0-18446744073709551615/18446744073709551615",
        ] {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }
}
