//! What evidence has to show. One document is one *entry* of an appraisal policy: the contract holds
//! its file root, so what custodians compare with is public and cannot be changed under a running
//! job.

use licen_core::canonical::{json_from_slice, json_to_vec};
use licen_core::merkle::file_tree;
use licen_core::policy::{LEVEL_HARDWARE, LEVEL_SOFTWARE};
use licen_core::primitives::B256;
use serde::{Deserialize, Serialize};

use crate::claims::{Claims, Measurement, Tcb};
use crate::refusal::{AttestError, Refusal};
use crate::rules::{AmdRules, AmdSvn, IntelRules};

const VERSION: u8 = 2;
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
    /// Intel SGX. Its quotes are appraised; no job runs in an enclave.
    Sgx,
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
            Self::Sgx => "sgx",
            Self::Simulated => "simulated",
        }
    }

    /// The level that evidence of this kind is worth.
    #[must_use]
    pub fn level(self) -> u8 {
        match self {
            Self::Tdx | Self::Snp | Self::Sgx => LEVEL_HARDWARE,
            Self::Simulated => LEVEL_SOFTWARE,
        }
    }

    fn is_intel(self) -> bool {
        self != Self::Snp
    }
}

/// Programs, machines, and demands on their platforms; canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReferenceValues {
    /// Version of this format, 2.
    pub v: u8,
    /// What is measured, for people: `licen-compute 0.1.0`.
    pub name: String,
    /// Accepted kinds of TEE, all worth the same level.
    pub tee_types: Vec<TeeType>,
    /// Accepted programs; any one of them. Empty leaves programs unappraised, which an entry on
    /// chain may not.
    #[serde(default)]
    pub measurements: Vec<Measurement>,
    /// Accepted machines; empty leaves it to the provider's registration.
    #[serde(default)]
    pub platforms: Vec<B256>,
    /// Whether a node may train without its sandbox (`licen-compute serve --no-sandbox`).
    #[serde(default)]
    pub allow_unsandboxed: bool,
    /// Demands on Intel's platforms, the simulated one included.
    #[serde(default)]
    pub intel: IntelRules,
    /// Demands on AMD's platforms.
    #[serde(default)]
    pub amd: AmdRules,
}

impl ReferenceValues {
    /// Reference values of the simulated TEE for these programs, on any platform.
    #[must_use]
    pub fn simulated(name: &str, measurements: Vec<Measurement>) -> Self {
        Self {
            v: VERSION,
            name: name.to_owned(),
            tee_types: vec![TeeType::Simulated],
            measurements,
            platforms: Vec::new(),
            allow_unsandboxed: false,
            intel: IntelRules::default(),
            amd: AmdRules::default(),
        }
    }

    /// The level a match is worth.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.tee_types.iter().map(|tee| tee.level()).min().unwrap_or(0)
    }

    /// Canonical JSON, as it is stored and hashed.
    ///
    /// # Errors
    /// Fields that contradict each other, or that leave programs unappraised.
    pub fn to_bytes(&self) -> Result<Vec<u8>, AttestError> {
        self.check()?;
        if self.measurements.is_empty() {
            return refuse("no measurement: every program would be accepted");
        }
        Ok(json_to_vec(self)?)
    }

    /// Whether the fields agree with each other.
    ///
    /// # Errors
    /// [`AttestError::ReferenceValues`].
    pub fn check(&self) -> Result<(), AttestError> {
        if self.v != VERSION {
            return refuse("unknown version");
        }
        let levels = self.tee_types.iter().map(|tee| tee.level());
        if self.tee_types.is_empty() || levels.clone().min() != levels.max() {
            return refuse("teeTypes must be of one level, and at least one");
        }
        let snp = self.tee_types.contains(&TeeType::Snp);
        if snp && self.amd.products.is_empty() {
            return refuse("snp without amd.products: nothing could ever match");
        }
        if snp && self.amd.min_tcb == AmdSvn::default() {
            return refuse("snp without amd.minTcb: every firmware would do, whatever is known about it");
        }
        if self.tee_types.iter().any(|tee| tee.is_intel()) && self.intel.statuses.is_empty() {
            return refuse("no intel.statuses: nothing could ever match");
        }
        let fits = |measurement: &Measurement| match measurement {
            Measurement::Tdx(_) => {
                self.tee_types.iter().any(|tee| matches!(tee, TeeType::Tdx | TeeType::Simulated))
            }
            Measurement::Snp(_) => snp,
            Measurement::Sgx(_) => self.tee_types.contains(&TeeType::Sgx),
        };
        if !self.measurements.iter().all(fits) {
            return refuse("a measurement of a TEE that teeTypes does not list");
        }
        Ok(())
    }

    /// Holds verified claims against every rule but the report data's, in the order of
    /// docs/protocol.md §5. `registered` are the machines of the job's provider, where it names one.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn appraise(&self, claims: &Claims, registered: Option<&[B256]>, now: u64) -> Result<(), Refusal> {
        if !self.tee_types.contains(&claims.tee_type) {
            return Err(Refusal::TeeType);
        }
        if claims.debug {
            return Err(Refusal::Debug);
        }
        if claims.vmpl != 0 {
            return Err(Refusal::Vmpl(claims.vmpl));
        }
        if claims.migratable {
            return Err(Refusal::Migratable);
        }
        match &claims.tcb {
            Tcb::Intel(tcb) => self.intel.check(tcb, now)?,
            Tcb::Amd(tcb) => self.amd.check(tcb)?,
        }
        if !self.measurements.is_empty() && !self.measurements.contains(&claims.measurement) {
            return Err(Refusal::Measurement(Box::new(claims.measurement.clone())));
        }
        let lists = [(!self.platforms.is_empty()).then_some(self.platforms.as_slice()), registered];
        for list in lists.into_iter().flatten() {
            let known = claims.platform.is_some_and(|platform| list.contains(&platform));
            if !known {
                return Err(Refusal::Platform(claims.platform));
            }
        }
        Ok(())
    }
}

fn refuse<T>(reason: &str) -> Result<T, AttestError> {
    Err(AttestError::ReferenceValues(reason.to_owned()))
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
        if bytes.len() > MAX_BYTES {
            return refuse(&format!("{} bytes, more than {MAX_BYTES}", bytes.len()));
        }
        let values: ReferenceValues =
            json_from_slice(bytes).map_err(|e| AttestError::ReferenceValues(e.to_string()))?;
        if values.to_bytes()? != bytes {
            return refuse("members are missing: write them out with `licen attest policy`");
        }
        let root = file_tree(bytes).map_err(|e| AttestError::ReferenceValues(e.to_string()))?.root;
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
    use crate::rules::Product;

    #[test]
    fn firmware_of_amd_is_never_left_to_chance() {
        let mut values = ReferenceValues::simulated("test", Vec::new());
        values.tee_types = vec![TeeType::Snp];
        values.amd.products = vec![Product::Milan];
        let refused = values.check().unwrap_err().to_string();
        assert!(refused.contains("minTcb"), "{refused}");
        values.amd.min_tcb.microcode = 115;
        assert!(values.check().is_ok());
    }
}
