//! The compiled contracts, as committed. `cargo build` needs no Node for them.

use std::sync::OnceLock;

use alloy::json_abi::JsonAbi;
use alloy::primitives::Bytes;
use serde::Deserialize;

/// A compiled contract.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Its name.
    pub contract_name: String,
    /// Its interface.
    pub abi: JsonAbi,
    /// What a deployment sends, before the constructor's arguments.
    pub bytecode: Bytes,
}

/// PUSH32, by which code reads an immutable value; 32 zeros stand behind it until the constructor ran.
const PUSH32: u8 = 0x7f;

impl Artifact {
    /// Whether code on the chain is what deploying this leaves there, whatever its constructor was given.
    /// The runtime code is the end of the bytecode.
    #[must_use]
    pub fn is_deployed_as(&self, code: &[u8]) -> bool {
        let Some(start) = self.bytecode.len().checked_sub(code.len()) else { return false };
        let compiled = &self.bytecode[start..];
        let mut at = 0;
        while at < code.len() {
            let immutable = compiled[at] == PUSH32 && compiled[at + 1..].starts_with(&[0; 32]);
            if compiled[at] != code[at] {
                return false;
            }
            at += if immutable { 33 } else { 1 };
        }
        !code.is_empty()
    }
}

const DATA_POLICY: &str = include_str!("../../../contracts/abi/DataPolicy.json");
const CUSTODY: &str = include_str!("../../../contracts/abi/Custody.json");

fn parse(text: &str) -> Artifact {
    // The text is part of the program and a test parses it.
    serde_json::from_str(text).expect("committed artifacts parse")
}

/// `DataPolicy`.
pub fn data_policy() -> &'static Artifact {
    static ARTIFACT: OnceLock<Artifact> = OnceLock::new();
    ARTIFACT.get_or_init(|| parse(DATA_POLICY))
}

/// `Custody`.
pub fn custody() -> &'static Artifact {
    static ARTIFACT: OnceLock<Artifact> = OnceLock::new();
    ARTIFACT.get_or_init(|| parse(CUSTODY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;
    use licen_core::abi::{Custody, DataPolicy};
    use licen_core::sol_types::SolInterface;
    use std::collections::BTreeSet;

    fn selectors(abi: &JsonAbi) -> BTreeSet<[u8; 4]> {
        abi.functions().map(|f| f.selector().0).collect()
    }

    #[test]
    fn every_call_in_core_is_a_call_of_the_contracts() {
        let known = selectors(&data_policy().abi);
        for selector in DataPolicy::DataPolicyCalls::selectors() {
            assert!(known.contains(&selector), "DataPolicy has no {}", hex::encode(selector));
        }
        let known = selectors(&custody().abi);
        for selector in Custody::CustodyCalls::selectors() {
            assert!(known.contains(&selector), "Custody has no {}", hex::encode(selector));
        }
    }

    #[test]
    fn every_event_of_the_contracts_is_decoded_and_no_other() {
        let abis = [&data_policy().abi, &custody().abi];
        let of_contracts: BTreeSet<_> =
            abis.iter().flat_map(|abi| abi.events()).map(|e| e.selector()).collect();
        let decoded: BTreeSet<_> = EventKind::TOPICS.iter().copied().collect();
        assert_eq!(decoded, of_contracts);
        assert_eq!(decoded.len(), EventKind::TOPICS.len());
    }

    #[test]
    fn views_return_what_core_expects() {
        let outputs = |abi: &JsonAbi, name: &str| -> Vec<String> {
            abi.function(name).unwrap()[0].outputs.iter().map(|o| o.selector_type().into_owned()).collect()
        };
        let abi = &data_policy().abi;
        assert_eq!(outputs(abi, "jobState"), ["uint8", "bytes32"]);
        assert_eq!(outputs(abi, "datasetState"), ["bytes32", "bool"]);
        assert_eq!(outputs(abi, "runsOf"), ["uint64", "uint32", "uint8"]);
        assert_eq!(outputs(abi, "credit"), ["uint256"]);
        assert_eq!(outputs(&custody().abi, "setOf"), ["uint8", "(address,bytes32)[]"]);
        assert_eq!(outputs(&custody().abi, "providerOf"), ["(address,address,bytes32,bytes32,bytes32[])"]);
    }
}
