//! The TEE this node runs in, as far as an attempt cares: evidence, and what it is worth.

use std::path::PathBuf;

use licen_attest::{
    AttestError, Collateral, ReferenceEntry, ReferenceValues, Tee, TeeChoice, TeeType, select,
};
use licen_core::primitives::{Address, B256, Bytes};
use licen_core::runtime_data;
use licen_core::wire::custodian::Evidence;

/// What is measured, for people; with the measurement it makes the reference values of this program.
/// The same name stands in what `licen custodian appraisal` writes.
pub const PROGRAM: &str = "licen-compute";

/// The TEE, taken into use once at the start.
pub(super) struct NodeTee {
    tee: Tee,
    entry: B256,
    collateral: Option<PathBuf>,
}

impl NodeTee {
    /// Takes the chosen TEE into use. `entry` is the root of the reference values it is listed
    /// under; a simulated TEE may leave it out for those of [`PROGRAM`] with its measurement alone.
    /// `collateral` is Intel's collateral (JSON), or the certificate of the AMD chip (DER).
    ///
    /// # Errors
    /// See [`AttestError`].
    pub(super) fn new(
        choice: TeeChoice,
        entry: Option<B256>,
        collateral: Option<PathBuf>,
    ) -> Result<Self, AttestError> {
        let vcek = match (choice, &collateral) {
            (TeeChoice::Snp, Some(path)) => Some(read(path)?),
            _ => None,
        };
        let tee = Tee::new(choice, vcek)?;
        let entry = match (entry, &tee) {
            (Some(entry), _) => entry,
            (None, Tee::Simulated(tee)) => {
                ReferenceEntry::new(&ReferenceValues::simulated(PROGRAM, vec![tee.measurement()]))?.root()
            }
            (None, Tee::Tdx(_) | Tee::Snp(..)) => {
                let reason = "referenceEntry is missing: hardware cannot know what it is listed under";
                return Err(AttestError::ReferenceValues(reason.to_owned()));
            }
        };
        Ok(Self { tee, entry, collateral })
    }

    /// The word in runtime data and `/v1/info`.
    pub(super) fn name(&self) -> &'static str {
        self.tee.tee_type().name()
    }

    pub(super) fn is_simulated(&self) -> bool {
        self.tee.tee_type() == TeeType::Simulated
    }

    pub(super) fn level(&self) -> u8 {
        self.tee.tee_type().level()
    }

    pub(super) fn label(&self) -> &'static str {
        self.tee.label()
    }

    /// The platform that evidence will name; zero on hardware, which says so only in evidence.
    pub(super) fn platform_id(&self) -> B256 {
        match &self.tee {
            Tee::Simulated(tee) => tee.platform_id(),
            Tee::Tdx(_) | Tee::Snp(..) => B256::ZERO,
        }
    }

    /// Root of the reference values this program is listed under.
    pub(super) fn entry(&self) -> B256 {
        self.entry
    }

    /// Evidence, made now, for these runtime data and this signer.
    pub(super) fn evidence(&self, runtime_data: &[u8], signer: Address) -> Result<Evidence, String> {
        self.tee.evidence_for(&runtime_data::hash(runtime_data), signer).map_err(|e| e.to_string())
    }

    /// The endorsements of this evidence, canonical JSON, for whoever judges it years later. The file
    /// is read anew: the operator renews it.
    pub(super) fn collateral(&self, evidence: &Evidence) -> Result<Bytes, String> {
        let held = match (&self.tee, &self.collateral) {
            (Tee::Tdx(_), Some(path)) => {
                let bytes = read(path).map_err(|e| e.to_string())?;
                Some(Collateral::from_file(&bytes).map_err(|e| format!("{}: {e}", path.display()))?)
            }
            _ => None,
        };
        let collateral = select(evidence, &held).map_err(|e| e.to_string())?;
        Ok(collateral.to_bytes().map_err(|e| e.to_string())?.into())
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, AttestError> {
    std::fs::read(path).map_err(|e| AttestError::Collateral(format!("{}: {e}", path.display())))
}
