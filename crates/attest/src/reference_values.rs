//! The programs and platforms that evidence is compared with. One document is one *entry* of an
//! appraisal policy: the contract holds its file root, so what custodians compare with is public
//! and cannot be changed under a running job.

use licen_core::canonical::{json_from_slice, json_to_vec};
use licen_core::merkle::file_tree;
use licen_core::policy::{LEVEL_HARDWARE, LEVEL_SOFTWARE};
use licen_core::primitives::B256;
use serde::{Deserialize, Serialize};

use crate::refusal::AttestError;

const VERSION: u8 = 1;
/// Largest document, bytes.
const MAX_BYTES: usize = 64 * 1024;

/// The kind of TEE that evidence comes from; the names of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TeeType {
    /// Intel TDX.
    Tdx,
    /// AMD SEV-SNP.
    Snp,
    /// Our own simulator.
    Simulated,
}

impl TeeType {
    /// The name on the wire and in runtime data.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tdx => "tdx",
            Self::Snp => "snp",
            Self::Simulated => "simulated",
        }
    }

    /// The level that evidence of this kind is worth.
    #[must_use]
    pub fn level(self) -> u8 {
        match self {
            Self::Tdx | Self::Snp => LEVEL_HARDWARE,
            Self::Simulated => LEVEL_SOFTWARE,
        }
    }
}

/// What evidence has to show; canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReferenceValues {
    /// Version of this format, 1. Registers of real hardware come with a version of their own.
    pub v: u8,
    /// What is measured, for people: `licen-compute 0.1.0`.
    pub name: String,
    /// The level a match is worth.
    pub level: u8,
    /// The kind of TEE.
    pub tee_type: TeeType,
    /// Accepted programs; for the simulated TEE SHA-256 of the executable file.
    pub measurements: Vec<B256>,
    /// Accepted platforms; empty leaves it to the provider's registration.
    pub platforms: Vec<B256>,
}

impl ReferenceValues {
    /// Reference values of the simulated TEE for these programs, on any platform.
    #[must_use]
    pub fn simulated(name: &str, measurements: Vec<B256>) -> Self {
        Self {
            v: VERSION,
            name: name.to_owned(),
            level: LEVEL_SOFTWARE,
            tee_type: TeeType::Simulated,
            measurements,
            platforms: Vec::new(),
        }
    }

    /// Canonical JSON, as it is stored and hashed.
    ///
    /// # Errors
    /// Fields that contradict each other.
    pub fn to_bytes(&self) -> Result<Vec<u8>, AttestError> {
        self.check()?;
        Ok(json_to_vec(self)?)
    }

    fn check(&self) -> Result<(), AttestError> {
        let refuse = |reason: &str| Err(AttestError::ReferenceValues(reason.to_owned()));
        if self.v != VERSION {
            return refuse("unknown version");
        }
        if self.level != self.tee_type.level() {
            return refuse("the level is not what this kind of TEE is worth");
        }
        if self.measurements.is_empty() {
            return refuse("no measurement: nothing could ever match");
        }
        Ok(())
    }
}

/// Reference values with the name that stands on chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceEntry {
    root: B256,
    values: ReferenceValues,
}

impl ReferenceEntry {
    /// Reads canonical bytes and computes their root.
    ///
    /// # Errors
    /// Bytes that are too many, not canonical, or contradict themselves.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AttestError> {
        let refuse = |reason: String| AttestError::ReferenceValues(reason);
        if bytes.len() > MAX_BYTES {
            return Err(refuse(format!("{} bytes, more than {MAX_BYTES}", bytes.len())));
        }
        let values: ReferenceValues = json_from_slice(bytes).map_err(|e| refuse(e.to_string()))?;
        values.check()?;
        let root = file_tree(bytes).map_err(|e| refuse(e.to_string()))?.root;
        Ok(Self { root, values })
    }

    /// Wraps values made here.
    ///
    /// # Errors
    /// Fields that contradict each other.
    pub fn new(values: &ReferenceValues) -> Result<Self, AttestError> {
        Self::from_bytes(&values.to_bytes()?)
    }

    /// The `entry` of an appraisal policy on chain.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.root
    }

    /// What evidence has to show.
    #[must_use]
    pub fn values(&self) -> &ReferenceValues {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_named_by_its_canonical_bytes() {
        let values = ReferenceValues::simulated("licen-compute 0.1.0", vec![B256::repeat_byte(1)]);
        let bytes = values.to_bytes().unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.starts_with(r#"{"level":1,"measurements":["0x0101"#), "{text}");
        let entry = ReferenceEntry::from_bytes(&bytes).unwrap();
        assert_eq!(entry.values(), &values);
        assert_eq!(entry.root(), file_tree(&bytes).unwrap().root);
        let spaced = text.replacen(':', ": ", 1);
        assert!(ReferenceEntry::from_bytes(spaced.as_bytes()).is_err());
        let unknown = text.replacen('{', r#"{"a":1,"#, 1);
        assert!(ReferenceEntry::from_bytes(unknown.as_bytes()).is_err());
    }

    #[test]
    fn a_document_that_contradicts_itself_is_refused() {
        let good = ReferenceValues::simulated("x", vec![B256::ZERO]);
        for bad in [
            ReferenceValues { level: LEVEL_HARDWARE, ..good.clone() },
            ReferenceValues { tee_type: TeeType::Tdx, ..good.clone() },
            ReferenceValues { measurements: vec![], ..good.clone() },
            ReferenceValues { v: 2, ..good.clone() },
        ] {
            assert!(bad.to_bytes().is_err());
            assert!(ReferenceEntry::from_bytes(&json_to_vec(&bad).unwrap()).is_err());
        }
    }
}
