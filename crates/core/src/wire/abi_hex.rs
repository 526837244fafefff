//! An ABI-encoded struct as a hex string.

use alloc::string::String;
use alloy_primitives::hex;
use alloy_sol_types::SolValue;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A struct of `abi.rs` on the wire: `0x` and the hex of `abi.encode`. Bytes that are not the exact
/// encoding of the value they decode to are refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AbiHex<T>(pub T);

impl<T: SolValue> Serialize for AbiHex<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode_prefixed(self.0.abi_encode()))
    }
}

impl<'de, T> Deserialize<'de> for AbiHex<T>
where
    T: SolValue + From<<T::SolType as alloy_sol_types::SolType>::RustType>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = hex::decode(text).map_err(|_| de::Error::custom("not hex"))?;
        let value = T::abi_decode(&bytes).map_err(|_| de::Error::custom("not the ABI encoding"))?;
        if value.abi_encode() != bytes {
            return Err(de::Error::custom("not the exact ABI encoding"));
        }
        Ok(Self(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{Policy, Verdict};
    use alloc::format;
    use alloy_primitives::B256;

    #[test]
    fn what_is_sent_is_what_is_hashed() {
        let policy = Policy { purposes: alloc::vec![B256::repeat_byte(1)], version: 7, ..Policy::default() };
        let json = serde_json::to_string(&AbiHex(policy.clone())).unwrap();
        assert_eq!(serde_json::from_str::<AbiHex<Policy>>(&json).unwrap().0, policy);
    }

    #[test]
    fn loose_encodings_are_refused() {
        let json = serde_json::to_string(&AbiHex(Verdict::default())).unwrap();
        let longer = format!("{}00\"", json.trim_end_matches('"'));
        assert!(serde_json::from_str::<AbiHex<Verdict>>(&longer).is_err());
        assert!(serde_json::from_str::<AbiHex<Verdict>>("\"0x12\"").is_err());
        assert!(serde_json::from_str::<AbiHex<Verdict>>("\"zz\"").is_err());
    }
}
