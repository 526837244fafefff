//! The TEE this node runs in, as far as an attempt cares: evidence, and what it is worth.

use licen_attest::{AttestError, ReferenceEntry, ReferenceValues, SimulatedTee, TeeType};
use licen_core::primitives::{Address, B256};
use licen_core::runtime_data::{self, LABEL_SIMULATED};
use licen_core::wire::custodian::Evidence;

/// What is measured, for people; with the measurement it makes the reference values of this program.
/// The same name stands in what `licen custodian appraisal` writes.
pub const PROGRAM: &str = "licen-compute";

/// The simulated TEE, measured once at the start.
pub(super) struct NodeTee {
    tee: SimulatedTee,
    entry: B256,
}

impl NodeTee {
    /// Measures the running program. `entry` is the root of the reference values it is listed
    /// under; without one it is that of [`PROGRAM`] with this measurement alone.
    ///
    /// # Errors
    /// See [`AttestError`].
    pub(super) fn measure(entry: Option<B256>) -> Result<Self, AttestError> {
        let tee = SimulatedTee::from_current_exe()?;
        let entry = match entry {
            Some(entry) => entry,
            None => {
                ReferenceEntry::new(&ReferenceValues::simulated(PROGRAM, vec![tee.measurement()]))?.root()
            }
        };
        Ok(Self { tee, entry })
    }

    pub(super) fn level(&self) -> u8 {
        TeeType::Simulated.level()
    }

    pub(super) fn label(&self) -> &'static str {
        LABEL_SIMULATED
    }

    /// Root of the reference values this program is listed under.
    pub(super) fn entry(&self) -> B256 {
        self.entry
    }

    pub(super) fn measurement(&self) -> B256 {
        self.tee.measurement()
    }

    pub(super) fn platform_id(&self) -> B256 {
        self.tee.platform_id()
    }

    /// Evidence, made now, for these runtime data and this signer.
    pub(super) fn evidence(&self, runtime_data: &[u8], signer: Address) -> Result<Evidence, String> {
        self.tee.evidence_for(&runtime_data::hash(runtime_data), signer).map_err(|e| e.to_string())
    }
}
