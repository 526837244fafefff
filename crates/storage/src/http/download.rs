use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{self, Path, RawQuery};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use licen_core::primitives::B256;

use super::{State, UPLOAD_OFFSET, blocking, parse_root, parse_upload_id};
use crate::blobs::BlobReader;
use crate::error::{Error, Result};

/// Verified segments handed to the connection at once.
const SEGMENTS_AT_ONCE: usize = 4;

pub(super) async fn get(
    extract::State(state): extract::State<Arc<State>>,
    Path(root): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let root = parse_root(&root)?;
    let blobs = state.blobs.clone();
    let blob = blocking(move || blobs.get(root)).await?;
    let len = blob.len();
    // A range we do not understand is ignored, as RFC 9110 wants; one outside the blob is refused.
    let wanted = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let Some((start, end)) = wanted.and_then(|text| parse_range(text, len)) else {
        let body = body(blob.reader());
        return Ok((blob_headers(root, len), body).into_response());
    };
    let reader = blob.range(start..end)?;
    let range = [(header::CONTENT_RANGE, format!("bytes {start}-{}/{len}", end - 1))];
    let headers = blob_headers(root, end - start);
    Ok((StatusCode::PARTIAL_CONTENT, range, headers, body(reader)).into_response())
}

pub(super) async fn head(
    extract::State(state): extract::State<Arc<State>>,
    Path(root): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    let root = parse_root(&root)?;
    let upload = parse_upload_id(query.as_deref())?;
    let blobs = state.blobs.clone();
    if let Some(len) = blocking(move || blobs.size(root)).await? {
        return Ok(blob_headers(root, len).into_response());
    }
    let Some(id) = upload else {
        return Err(Error::NotFound { root });
    };
    let offset = state.sessions.offset(root, &id).await?;
    let headers = [(UPLOAD_OFFSET, offset.to_string()), ("cache-control", "no-store".into())];
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}

fn blob_headers(root: B256, len: u64) -> [(header::HeaderName, String); 5] {
    [
        (header::CONTENT_TYPE, "application/octet-stream".into()),
        (header::CONTENT_LENGTH, len.to_string()),
        (header::ACCEPT_RANGES, "bytes".into()),
        (header::ETAG, format!("\"{root}\"")),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable".into()),
    ]
}

/// Reads ahead only as fast as the connection takes it. An error cuts the body short of its announced
/// length, so nobody mistakes it for the blob.
fn body(reader: BlobReader) -> Body {
    let next = |mut reader: BlobReader| async move {
        let read = move || -> Result<Option<(Bytes, BlobReader)>> {
            let mut batch = Vec::new();
            for _ in 0..SEGMENTS_AT_ONCE {
                match reader.next_slice()? {
                    Some(slice) if batch.is_empty() => batch = slice,
                    Some(slice) => batch.extend_from_slice(&slice),
                    None => break,
                }
            }
            Ok((!batch.is_empty()).then(|| (batch.into(), reader)))
        };
        blocking(read).await
    };
    Body::from_stream(stream::try_unfold(reader, next))
}

/// `bytes=a-b`, `bytes=a-` or `bytes=-n` as a half-open range. `None` for anything else; a start
/// behind the end comes out as an empty range.
fn parse_range(text: &str, len: u64) -> Option<(u64, u64)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    if first.is_empty() {
        let count = number(last)?.min(len);
        return Some((len - count, len));
    }
    let start = number(first)?;
    let end = if last.is_empty() { len } else { number(last)?.checked_add(1)?.min(len) };
    if !last.is_empty() && number(last)? < start {
        return None;
    }
    Some((start, end))
}

#[cfg(test)]
mod tests {
    use super::parse_range;

    #[test]
    fn ranges() {
        let cases = [
            ("bytes=0-0", Some((0, 1))),
            ("bytes=3-", Some((3, 10))),
            ("bytes=-4", Some((6, 10))),
            ("bytes=-40", Some((0, 10))),
            ("bytes=2-99", Some((2, 10))),
            ("bytes=10-", Some((10, 10))),
            ("bytes=12-14", Some((12, 10))),
            ("bytes=5-4", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("bytes=-", None),
            ("items=0-1", None),
            ("bytes=99999999999999999999-", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_range(text, 10), expected, "{text}");
        }
    }
}
