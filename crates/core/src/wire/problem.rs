//! RFC 9457 problem details with the LIC code.

use alloc::format;
use alloc::string::{String, ToString};
use serde::{Deserialize, Serialize};

/// The body of every error answer (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:licen:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// One short sentence, the same for every occurrence.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What is special about this occurrence; empty where saying more would help an attacker.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// `LIC` and four digits.
    pub code: String,
}

impl Problem {
    /// A problem of the given status and code.
    #[must_use]
    pub fn new(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Self {
        let kind = format!("urn:licen:{code}");
        Self { kind, title: title.to_string(), status, detail: detail.into(), code: code.to_string() }
    }
}

impl core::fmt::Display for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.title)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        write!(f, " [{}]", self.code)
    }
}
