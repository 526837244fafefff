//! What a contract meant when it refused: the custom error by name with its arguments, a sentence,
//! and a hint what to do.

use std::fmt;
use std::sync::OnceLock;

use alloy::dyn_abi::{DynSolValue, ErrorExt};
use alloy::hex;
use alloy::json_abi::Error as AbiError;
use alloy::primitives::Bytes;
use licen_core::sol_types::{Panic, Revert as ErrorString, SolError};

use crate::artifacts;
use crate::sentences;

/// A refusal of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revert {
    /// Name of the custom error; `Error` or `Panic` for the compiler's own, `Unknown` for bytes that
    /// are none of these, `Empty` where the contract gave no reason.
    pub name: String,
    /// Its arguments by name, as people read them.
    pub args: Vec<(String, String)>,
    /// The bytes as the contract returned them.
    pub data: Bytes,
}

impl Revert {
    /// Decodes what a reverted call returned.
    #[must_use]
    pub fn decode(data: &[u8]) -> Self {
        let bytes = Bytes::copy_from_slice(data);
        let plain = |name: &str, args: Vec<(String, String)>| Self {
            name: name.to_string(),
            args,
            data: bytes.clone(),
        };
        if data.is_empty() {
            return plain("Empty", Vec::new());
        }
        if let Ok(error) = ErrorString::abi_decode(data) {
            return plain("Error", vec![("reason".into(), error.reason)]);
        }
        if let Ok(panic) = Panic::abi_decode(data) {
            return plain("Panic", vec![("code".into(), panic.code.to_string())]);
        }
        let decoded = known_errors().iter().find_map(|error| {
            let selector = error.selector();
            if data.get(..4) != Some(selector.as_slice()) {
                return None;
            }
            let values = error.decode_error(data).ok()?.body;
            let names = error.inputs.iter().map(|input| input.name.clone());
            Some(plain(&error.name, names.zip(values.iter().map(show)).collect()))
        });
        decoded.unwrap_or_else(|| plain("Unknown", vec![("data".into(), hex::encode_prefixed(data))]))
    }

    /// An argument by name.
    #[must_use]
    pub fn arg(&self, name: &str) -> Option<&str> {
        self.args.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// What happened, in words: lower case, no full stop.
    #[must_use]
    pub fn sentence(&self) -> String {
        match sentences::of(&self.name) {
            Some(entry) => self.fill(entry.sentence),
            None => {
                let args: Vec<String> = self.args.iter().map(|(n, v)| format!("{n} {v}")).collect();
                format!("{} ({})", self.name, args.join(", "))
            }
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        sentences::of(&self.name).and_then(|entry| entry.hint).map(|hint| self.fill(hint))
    }

    fn fill(&self, template: &str) -> String {
        let mut text = template.to_string();
        for (name, value) in &self.args {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }
}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence())
    }
}

/// The custom errors of all contracts, each once.
pub(crate) fn known_errors() -> &'static [AbiError] {
    static ERRORS: OnceLock<Vec<AbiError>> = OnceLock::new();
    ERRORS.get_or_init(|| {
        let all = [&artifacts::data_policy().abi, &artifacts::custody().abi];
        let mut errors: Vec<AbiError> = all.iter().flat_map(|abi| abi.errors()).cloned().collect();
        errors.sort_by_key(AbiError::selector);
        errors.dedup_by_key(|e| e.selector());
        errors
    })
}

fn show(value: &DynSolValue) -> String {
    match value {
        DynSolValue::Bool(b) => b.to_string(),
        DynSolValue::Int(i, _) => i.to_string(),
        DynSolValue::Uint(u, _) => u.to_string(),
        DynSolValue::FixedBytes(word, size) => hex::encode_prefixed(&word[..*size]),
        DynSolValue::Address(a) => a.to_string(),
        DynSolValue::Function(f) => hex::encode_prefixed(f),
        DynSolValue::Bytes(b) => hex::encode_prefixed(b),
        DynSolValue::String(s) => s.clone(),
        DynSolValue::Array(list) | DynSolValue::FixedArray(list) | DynSolValue::Tuple(list) => {
            let parts: Vec<String> = list.iter().map(show).collect();
            format!("[{}]", parts.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_the_contracts_has_a_sentence_that_uses_only_its_arguments() {
        let mut missing = Vec::new();
        for error in known_errors() {
            let Some(entry) = sentences::of(&error.name) else {
                missing.push(error.name.clone());
                continue;
            };
            let mut text = format!("{} {}", entry.sentence, entry.hint.unwrap_or_default());
            for input in &error.inputs {
                text = text.replace(&format!("{{{}}}", input.name), "");
            }
            assert!(!text.contains('{'), "{}: {text}", error.name);
            assert!(!entry.sentence.ends_with('.'), "{}", error.name);
        }
        assert!(missing.is_empty(), "no sentence for {missing:?}");
    }

    #[test]
    fn every_sentence_is_of_an_error_that_exists() {
        for name in sentences::names() {
            let compiler = matches!(name, "Empty" | "Error" | "Panic" | "Unknown");
            assert!(compiler || known_errors().iter().any(|e| e.name == name), "{name} is gone");
        }
    }

    #[test]
    fn a_custom_error_becomes_a_sentence_and_a_hint() {
        let error = known_errors().iter().find(|e| e.name == "EpochsOutOfRange").unwrap();
        let mut data = error.selector().to_vec();
        data.extend(alloy::primitives::U256::from(9).to_be_bytes::<32>());
        data.extend(alloy::primitives::U256::from(5).to_be_bytes::<32>());
        let revert = Revert::decode(&data);
        assert_eq!((revert.arg("epochs"), revert.arg("max")), (Some("9"), Some("5")));
        assert_eq!(revert.to_string(), "9 epochs asked, the policy allows 1 to 5 per run");
        assert!(revert.hint().unwrap().contains("--epochs 5"));
    }

    #[test]
    fn foreign_bytes_are_shown_as_they_are() {
        assert_eq!(Revert::decode(&[]).name, "Empty");
        assert_eq!(Revert::decode(&[1, 2, 3]).arg("data"), Some("0x010203"));
        let text = ErrorString { reason: "no".into() }.abi_encode();
        assert_eq!(Revert::decode(&text).to_string(), "the contract says: no");
        // A selector of ours with a truncated body is not decoded halfway.
        let error = known_errors().iter().find(|e| e.name == "EpochsOutOfRange").unwrap();
        assert_eq!(Revert::decode(error.selector().as_slice()).name, "Unknown");
    }
}
