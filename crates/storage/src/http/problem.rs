use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::UPLOAD_OFFSET;
use crate::error::Error;

/// RFC 9457 problem details with our code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub r#type: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    pub code: String,
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let status = status(error);
        let detail = match error {
            // Paths of this machine are nobody else's business.
            Error::Io { .. } => "the store cannot be read or written".into(),
            Error::DiskFull { .. } => "no space left in the store".into(),
            _ => error.to_string(),
        };
        let title = status.canonical_reason().unwrap_or("Error").into();
        let code = error.code();
        Self {
            r#type: format!("urn:licen:{code}"),
            title,
            status: status.as_u16(),
            detail,
            code: code.into(),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let problem = Problem::from(&self);
        let body = serde_json::to_vec(&problem).expect("strings and a number");
        let json = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status(&self), json, body).into_response();
        let headers = response.headers_mut();
        match self {
            Error::Offset { offset, .. } => {
                headers.insert(UPLOAD_OFFSET, offset.into());
            }
            Error::Range { len, .. } => {
                let range = HeaderValue::from_str(&format!("bytes */{len}")).expect("digits");
                headers.insert(header::CONTENT_RANGE, range);
            }
            Error::Busy { .. } | Error::TooManyUploads => {
                headers.insert(header::RETRY_AFTER, 1.into());
            }
            _ => {}
        }
        response
    }
}

fn status(error: &Error) -> StatusCode {
    match error {
        Error::Empty | Error::BadRequest { .. } => StatusCode::BAD_REQUEST,
        Error::NotFound { .. } => StatusCode::NOT_FOUND,
        Error::Offset { .. } | Error::Busy { .. } => StatusCode::CONFLICT,
        Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Range { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
        Error::RootMismatch { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Error::Corrupt { .. } | Error::Io { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        Error::Unreachable { .. } | Error::Untrue { .. } => StatusCode::BAD_GATEWAY,
        Error::Refused { .. } | Error::Protocol { .. } => StatusCode::BAD_GATEWAY,
        Error::TooManyUploads => StatusCode::SERVICE_UNAVAILABLE,
        Error::Deadline { .. } => StatusCode::GATEWAY_TIMEOUT,
        Error::DiskFull { .. } => StatusCode::INSUFFICIENT_STORAGE,
    }
}
