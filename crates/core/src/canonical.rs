//! Canonical encodings: JSON by RFC 8785 (JCS) and CBOR by RFC 8949 §4.2.1 (core deterministic).
//! Two equal values have equal bytes, so that the bytes can be hashed, signed and compared.

use alloc::string::String;
use alloc::vec::Vec;
use ciborium::value::Value as Cbor;
use core::fmt::Write as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::fault::{Fault, Party};

/// Deepest nesting accepted from outside; our own documents stay below 12.
const MAX_DEPTH: usize = 32;

/// Why bytes are not a canonical encoding of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// The bytes do not parse as the wanted type.
    #[error("not a valid {format}: {reason}")]
    Malformed {
        /// `JSON` or `CBOR`.
        format: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// The bytes parse, but another encoding of the same value is the canonical one.
    #[error("{0} is not in canonical form")]
    NotCanonical(&'static str),
    /// A number that has no canonical form (NaN, infinity, or an integer beyond 2^53).
    #[error("number has no canonical JSON form: {0}")]
    Number(String),
    /// Nested deeper than any document of ours.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

impl Fault for CanonicalError {
    fn fault(&self) -> Party {
        Party::Environment
    }
    fn retryable(&self) -> bool {
        false
    }
}

/// Encodes as RFC 8785 JSON.
///
/// # Errors
/// A value serde cannot express, a non-finite number, an integer beyond ±2^53, or deep nesting.
pub fn json_to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let value = serde_json::to_value(value).map_err(|e| malformed("JSON", &e))?;
    let mut out = String::new();
    write_json(&mut out, &value, 0)?;
    Ok(out.into_bytes())
}

/// Decodes JSON and refuses bytes that are not the RFC 8785 form of what they say.
///
/// # Errors
/// See [`CanonicalError`].
pub fn json_from_slice<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, CanonicalError> {
    let value: Json = serde_json::from_slice(bytes).map_err(|e| malformed("JSON", &e))?;
    let mut out = String::new();
    write_json(&mut out, &value, 0)?;
    if out.as_bytes() != bytes {
        return Err(CanonicalError::NotCanonical("JSON"));
    }
    serde_json::from_value(value).map_err(|e| malformed("JSON", &e))
}

/// Encodes as RFC 8949 §4.2.1 CBOR: shortest integers, definite lengths, map keys sorted by their
/// encoded bytes.
///
/// # Errors
/// A value serde cannot express, or deep nesting.
pub fn cbor_to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let mut value = Cbor::serialized(value).map_err(|e| malformed("CBOR", &e))?;
    sort_cbor(&mut value, 0)?;
    cbor_bytes(&value)
}

/// Decodes CBOR and refuses bytes that are not the canonical encoding of what they say.
///
/// # Errors
/// See [`CanonicalError`].
pub fn cbor_from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CanonicalError> {
    let mut rest = bytes;
    let value: Cbor = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH)
        .map_err(|e| malformed("CBOR", &e))?;
    let mut sorted = value.clone();
    sort_cbor(&mut sorted, 0)?;
    if !rest.is_empty() || cbor_bytes(&sorted)? != bytes {
        return Err(CanonicalError::NotCanonical("CBOR"));
    }
    value.deserialized().map_err(|e| malformed("CBOR", &e))
}

/// The JSON in a blob that was fetched by its file root. The root does not say where a file ends, so
/// whoever serves it may append zeros within its padding; JSON text has none of its own.
#[must_use]
pub fn json_of_blob(blob: &[u8]) -> &[u8] {
    let end = blob.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &blob[..end]
}

/// The CBOR in a blob that was fetched by its file root, without the zeros behind the value.
///
/// # Errors
/// [`CanonicalError::Malformed`]; [`CanonicalError::NotCanonical`] where something else follows.
pub fn cbor_of_blob(blob: &[u8]) -> Result<&[u8], CanonicalError> {
    let mut rest = blob;
    ciborium::de::from_reader_with_recursion_limit::<Cbor, _>(&mut rest, MAX_DEPTH)
        .map_err(|e| malformed("CBOR", &e))?;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(CanonicalError::NotCanonical("CBOR"));
    }
    Ok(&blob[..blob.len() - rest.len()])
}

/// The document in a blob of either kind, or text: without the zeros behind it.
#[must_use]
pub fn document_of_blob(blob: &[u8]) -> &[u8] {
    match blob.first() {
        Some(first) if first >> 5 == 5 => cbor_of_blob(blob).unwrap_or(blob),
        _ => json_of_blob(blob),
    }
}

fn malformed(format: &'static str, reason: &impl core::fmt::Display) -> CanonicalError {
    CanonicalError::Malformed { format, reason: alloc::format!("{reason}") }
}

fn cbor_bytes(value: &Cbor) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).map_err(|e| malformed("CBOR", &e))?;
    Ok(out)
}

fn sort_cbor(value: &mut Cbor, depth: usize) -> Result<(), CanonicalError> {
    if depth > MAX_DEPTH {
        return Err(CanonicalError::TooDeep);
    }
    match value {
        Cbor::Array(items) => items.iter_mut().try_for_each(|v| sort_cbor(v, depth + 1)),
        Cbor::Map(entries) => {
            let mut keyed = Vec::with_capacity(entries.len());
            for (mut key, mut item) in core::mem::take(entries) {
                sort_cbor(&mut key, depth + 1)?;
                sort_cbor(&mut item, depth + 1)?;
                keyed.push((cbor_bytes(&key)?, key, item));
            }
            keyed.sort_by(|a, b| a.0.cmp(&b.0));
            if keyed.windows(2).any(|w| w[0].0 == w[1].0) {
                return Err(CanonicalError::NotCanonical("CBOR"));
            }
            *entries = keyed.into_iter().map(|(_, key, item)| (key, item)).collect();
            Ok(())
        }
        Cbor::Tag(_, _) | Cbor::Float(_) => Err(CanonicalError::NotCanonical("CBOR")),
        _ => Ok(()),
    }
}

fn write_json(out: &mut String, value: &Json, depth: usize) -> Result<(), CanonicalError> {
    if depth > MAX_DEPTH {
        return Err(CanonicalError::TooDeep);
    }
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Json::Number(n) => write_number(out, n)?,
        Json::String(s) => write_string(out, s),
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(out, item, depth + 1)?;
            }
            out.push(']');
        }
        Json::Object(map) => {
            // RFC 8785 §3.2.3 sorts by UTF-16 code units, which differs from UTF-8 order.
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(out, key);
                out.push(':');
                write_json(out, &map[key], depth + 1)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_number(out: &mut String, n: &serde_json::Number) -> Result<(), CanonicalError> {
    const EXACT: u64 = 1 << 53;
    let refused = || CanonicalError::Number(alloc::format!("{n}"));
    if let Some(i) = n.as_i64() {
        if i.unsigned_abs() > EXACT {
            return Err(refused());
        }
        let _ = write!(out, "{i}");
        return Ok(());
    }
    if n.is_u64() {
        return Err(refused());
    }
    let f = n.as_f64().filter(|f| f.is_finite()).ok_or_else(refused)?;
    out.push_str(ryu_js::Buffer::new().format_finite(f));
    Ok(())
}

fn write_string(out: &mut String, s: &str) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn json_follows_the_examples_of_rfc_8785() {
        let input = r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
            "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#;
        let value: Json = serde_json::from_str(input).unwrap();
        let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(String::from_utf8(json_to_vec(&value).unwrap()).unwrap(), expected);
    }

    #[test]
    fn json_keys_sort_by_utf16_units() {
        let value: Json = serde_json::from_str(r#"{"\ufb33":1,"\ud83d\ude00":2,"a":3}"#).unwrap();
        let text = String::from_utf8(json_to_vec(&value).unwrap()).unwrap();
        assert_eq!(text, "{\"a\":3,\"😀\":2,\"\u{fb33}\":1}");
    }

    #[test]
    fn json_that_is_not_canonical_is_refused() {
        assert_eq!(json_from_slice::<Json>(b"{\"a\": 1}"), Err(CanonicalError::NotCanonical("JSON")));
        assert_eq!(json_from_slice::<Json>(b"{\"a\":1,\"a\":1}"), Err(CanonicalError::NotCanonical("JSON")));
        assert!(json_from_slice::<Json>(b"{\"a\":9007199254740993}").is_err());
        assert_eq!(json_from_slice::<Json>(b"{\"a\":1}").unwrap()["a"], 1);
    }

    #[test]
    fn cbor_sorts_keys_by_encoded_bytes() {
        #[derive(Serialize)]
        struct T {
            bb: u8,
            a: u8,
            c: u64,
        }
        let bytes = cbor_to_vec(&T { bb: 1, a: 2, c: 256 }).unwrap();
        assert_eq!(hex::encode(bytes), "a3616102616319010062626201");
    }

    #[test]
    fn cbor_that_is_not_canonical_is_refused() {
        let long_int = hex::decode("a16161190001").unwrap();
        let unsorted = hex::decode("a2616201616102").unwrap();
        let indefinite = hex::decode("bf616101ff").unwrap();
        let trailing = hex::decode("a161610100").unwrap();
        let duplicate = hex::decode("a2616101616101").unwrap();
        for bytes in [long_int, unsorted, indefinite, trailing, duplicate] {
            assert!(cbor_from_slice::<Cbor>(&bytes).is_err(), "{}", hex::encode(&bytes));
        }
        assert_eq!(cbor_of_blob(&hex::decode("a1616100").unwrap()).unwrap().len(), 4, "a zero of its own");
        assert_eq!(cbor_of_blob(&hex::decode("a161610000").unwrap()).unwrap().len(), 4);
        assert!(cbor_of_blob(&hex::decode("a16161000001").unwrap()).is_err());
        assert_eq!((json_of_blob(b"{}\0\0"), json_of_blob(b"\0")), (&b"{}"[..], &b""[..]));
        let deep = vec![0x81u8; 64];
        assert!(cbor_from_slice::<Cbor>(&deep).is_err());
        assert!(CanonicalError::NotCanonical("CBOR").to_string().contains("canonical"));
    }

    #[test]
    fn zeros_behind_a_document_are_not_part_of_it() {
        let map = cbor_to_vec(&serde_json::json!({"a": [0, "b"], "z": 0})).unwrap();
        assert_eq!(map.last(), Some(&0), "the value itself ends with a zero byte");
        for document in [&b"{\"a\":1}"[..], b"terms in words\n", &map] {
            for zeros in [0, 1, 300] {
                let stored = [document, &vec![0; zeros]].concat();
                assert_eq!(document_of_blob(&stored), document);
            }
        }
        let more = [&map[..], &[0, 1]].concat();
        assert_eq!(document_of_blob(&more), more, "something else stands behind it");
        assert_eq!(document_of_blob(&[0, 0]), b"");
    }
}
