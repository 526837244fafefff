//! Rows of a dataset: JSONL lines. row_i is the line's bytes without the line end, blank lines skipped.
//! How a dataset commits to them without showing them is [`crate::row_tree`].

use alloc::string::String;
use alloc::vec::Vec;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

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
    let kind = serde_json::from_str::<Kind>(text).map_err(|e| {
        let full = alloc::format!("{e}");
        // serde_json appends " at line 1 column N"; the line is ours, the column is its.
        let reason = full.split(" at line ").next().unwrap_or("not JSON").into();
        RowError::NotJson { line, column: e.column().max(1), reason }
    })?;
    match kind {
        Kind("an object") => Ok(()),
        Kind(found) => Err(RowError::NotObject { line, found }),
    }
}

/// What a JSON text is. Reading one checks every string and number in it, as reading it into a value
/// would, and keeps nothing.
struct Kind(&'static str);

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind("null"))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Kind, E> {
        Ok(Kind("a boolean"))
    }
    fn visit_u64<E>(self, _: u64) -> Result<Kind, E> {
        Ok(Kind("a number"))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Kind, E> {
        Ok(Kind("a number"))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Kind, E> {
        Ok(Kind("a number"))
    }
    fn visit_str<E>(self, _: &str) -> Result<Kind, E> {
        Ok(Kind("a string"))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        while seq.next_element::<Kind>()?.is_some() {}
        Ok(Kind("an array"))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        while map.next_entry::<Kind, Kind>()?.is_some() {}
        Ok(Kind("an object"))
    }
}

/// Rows that are passed on together, at most.
const BATCH: usize = 64;

/// Splits a stream of bytes into checked rows, in memory of one row: one that is cut between two calls is
/// copied, every other is passed on where it lies.
#[derive(Debug, Default)]
pub struct RowScanner {
    partial: Vec<u8>,
    line: u64,
    rows: u64,
    bytes: u64,
}

impl RowScanner {
    /// Takes the next bytes; `sink` gets complete rows where they lie, a batch at a time, with the index of
    /// the first, from 0.
    ///
    /// # Errors
    /// The first line that is not a row, or what `sink` fails with.
    pub fn feed<E: From<RowError>>(
        &mut self,
        mut data: &[u8],
        sink: &mut impl FnMut(u64, &[&[u8]]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.bytes += data.len() as u64;
        if !self.partial.is_empty() {
            let end = memchr::memchr(b'\n', data).map_or(data.len(), |end| end + 1);
            let (line, rest) = data.split_at(end);
            self.partial.extend_from_slice(line);
            data = rest;
            if line.ends_with(b"\n") {
                let whole = core::mem::take(&mut self.partial);
                self.line(&whole)?.map_or(Ok(()), |row| self.pass(&[row], sink))?;
            }
        }
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(end) = memchr::memchr(b'\n', data) {
            let (line, rest) = data.split_at(end + 1);
            data = rest;
            batch.extend(self.line(line)?);
            if batch.len() == BATCH {
                self.pass(&batch, sink)?;
                batch.clear();
            }
        }
        self.pass(&batch, sink)?;
        self.partial.extend_from_slice(data);
        if self.partial.len() > MAX_ROW_BYTES {
            return Err(RowError::TooLong { line: self.line + 1, bytes: self.partial.len() }.into());
        }
        Ok(())
    }

    /// Ends the stream: the last line may lack its end. Gives rows and bytes.
    ///
    /// # Errors
    /// The last line is not a row, or there was none at all.
    pub fn finish<E: From<RowError>>(
        mut self,
        sink: &mut impl FnMut(u64, &[&[u8]]) -> Result<(), E>,
    ) -> Result<(u64, u64), E> {
        let last = core::mem::take(&mut self.partial);
        if !last.is_empty() {
            self.line(&last)?.map_or(Ok(()), |row| self.pass(&[row], sink))?;
        }
        if self.rows == 0 {
            return Err(RowError::Empty.into());
        }
        Ok((self.rows, self.bytes))
    }

    /// The row of the next line, checked, where there is one.
    fn line<'a>(&mut self, line: &'a [u8]) -> Result<Option<&'a [u8]>, RowError> {
        self.line += 1;
        row_bytes(line).map(|row| check_row(row, self.line).map(|()| row)).transpose()
    }

    fn pass<E>(
        &mut self,
        rows: &[&[u8]],
        sink: &mut impl FnMut(u64, &[&[u8]]) -> Result<(), E>,
    ) -> Result<(), E> {
        let first = self.rows;
        self.rows += rows.len() as u64;
        if rows.is_empty() { Ok(()) } else { sink(first, rows) }
    }
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
    fn rows_do_not_depend_on_how_the_bytes_arrive() {
        let data = b"{\"a\":1}\r\n\n{\"b\":2}\n{\"c\":3}";
        for step in 1..=data.len() {
            let mut rows: Vec<Vec<u8>> = Vec::new();
            let mut sink = |first: u64, batch: &[&[u8]]| {
                assert_eq!(first, rows.len() as u64);
                rows.extend(batch.iter().map(|row| row.to_vec()));
                Ok::<(), RowError>(())
            };
            let mut scanner = RowScanner::default();
            for part in data.chunks(step) {
                scanner.feed(part, &mut sink).unwrap();
            }
            assert_eq!(scanner.finish(&mut sink), Ok((3, data.len() as u64)));
            assert_eq!(rows, [&b"{\"a\":1}"[..], b"{\"b\":2}", b"{\"c\":3}"]);
        }
        let none = RowScanner::default().finish(&mut |_, _| Ok::<(), RowError>(()));
        assert_eq!(none, Err(RowError::Empty));
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

    #[test]
    fn a_row_passes_exactly_where_a_reader_can_hold_it() {
        let deep = alloc::format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        let rows = [
            r#"{"a":1e999}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\u0000\n"}"#,
            r#"{"a":-0.5e-7,"a":null}"#,
            r#"{"a"}"#,
            r#"{"a":[true,{"b":"c"}]} x"#,
            r#"{"a":18446744073709551616}"#,
            r#"{1:2}"#,
            "{\"a\":\"\t\"}",
            &deep,
        ];
        for row in rows {
            let held = serde_json::from_str::<serde_json::Value>(row);
            assert_eq!(check_row(row.as_bytes(), 1).is_ok(), held.is_ok(), "{row}");
        }
    }
}
