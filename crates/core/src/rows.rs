//! Rows of a dataset: JSONL lines, and how a dataset commits to them without showing them.
//! row_i is the line's bytes without the line end, blank lines skipped; the leaf hides the row
//! behind a salt that only the dataset key gives (`seal::rows`), so a preview proof opens one row
//! and nothing else.

use alloc::string::String;
use alloy_primitives::{B256, keccak256};

use crate::fault::{Fault, Party};

/// Longest row taken, bytes: more than any model's context, small enough to hold in memory.
pub const MAX_ROW_BYTES: usize = 8 * 1024 * 1024;

/// Why a line is not a row. Lines and columns count from 1; columns count bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Nothing to train on.
    #[error("the file holds no rows")]
    Empty,
    /// Not text.
    #[error("line {line}, column {column}: not UTF-8")]
    NotUtf8 {
        /// Line, from 1.
        line: u64,
        /// Byte column, from 1.
        column: usize,
    },
    /// Not JSON.
    #[error("line {line}, column {column}: {reason}")]
    NotJson {
        /// Line, from 1.
        line: u64,
        /// Byte column, from 1.
        column: usize,
        /// What the parser expected.
        reason: String,
    },
    /// JSON, but not an object.
    #[error("line {line}: a row is a JSON object, this is {found}")]
    NotObject {
        /// Line, from 1.
        line: u64,
        /// What stands there.
        found: &'static str,
    },
    /// Longer than [`MAX_ROW_BYTES`].
    #[error("line {line}: the row has {bytes} bytes, at most {MAX_ROW_BYTES} are taken")]
    TooLong {
        /// Line, from 1.
        line: u64,
        /// Its length so far.
        bytes: usize,
    },
}

impl Fault for RowError {
    fn fault(&self) -> Party {
        Party::Owner
    }
    fn retryable(&self) -> bool {
        false
    }
}

/// Strips the line end, and says whether anything is left: blank lines are not rows.
#[must_use]
pub fn row_bytes(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    (!line.iter().all(u8::is_ascii_whitespace)).then_some(line)
}

/// Checks that one row is a JSON object.
///
/// # Errors
/// See [`RowError`].
pub fn check_row(row: &[u8], line: u64) -> Result<(), RowError> {
    if row.len() > MAX_ROW_BYTES {
        return Err(RowError::TooLong { line, bytes: row.len() });
    }
    let text =
        core::str::from_utf8(row).map_err(|e| RowError::NotUtf8 { line, column: e.valid_up_to() + 1 })?;
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| {
        let full = alloc::format!("{e}");
        // serde_json appends " at line 1 column N"; the line is ours, the column is its.
        let reason = full.split(" at line ").next().unwrap_or("not JSON").into();
        RowError::NotJson { line, column: e.column().max(1), reason }
    })?;
    let found = match value {
        serde_json::Value::Object(_) => return Ok(()),
        serde_json::Value::Array(_) => "an array",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Null => "null",
    };
    Err(RowError::NotObject { line, found })
}

/// leaf_i = keccak256(keccak256(salt_i ‖ keccak256(row_i))).
#[must_use]
pub fn row_leaf(salt: &B256, row: &[u8]) -> B256 {
    let mut inner = [0u8; 64];
    inner[..32].copy_from_slice(salt.as_slice());
    inner[32..].copy_from_slice(keccak256(row).as_slice());
    keccak256(keccak256(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_line_without_its_end() {
        assert_eq!(row_bytes(b"{}\r\n"), Some(&b"{}"[..]));
        assert_eq!(row_bytes(b"{}"), Some(&b"{}"[..]));
        assert_eq!(row_bytes(b" \t\r\n"), None);
        assert_eq!(row_bytes(b""), None);
    }

    #[test]
    fn bad_rows_name_line_and_column() {
        assert_eq!(check_row(b"{\"a\":\xff}", 7), Err(RowError::NotUtf8 { line: 7, column: 6 }));
        assert_eq!(check_row(b"[1]", 2), Err(RowError::NotObject { line: 2, found: "an array" }));
        let Err(RowError::NotJson { line: 3, column: 8, .. }) = check_row(b"{\"a\": nope}", 3) else {
            panic!("{:?}", check_row(b"{\"a\": nope}", 3));
        };
        assert_eq!(check_row(b"{\"a\":1}", 1), Ok(()));
    }
}
