//! What lets a stranger re-verify an attestation years later, at its recorded time.

use alloc::vec::Vec;
use alloy_primitives::{B256, Bytes};
use serde::{Deserialize, Serialize};

use crate::abi::{MemberSignature, Verdict};
use crate::wire::AbiHex;
use crate::wire::custodian::Evidence;

/// Canonical JSON, named by its root as `attestationRef`; stored before training ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvidenceBundle {
    /// The evidence, raw.
    pub evidence: Evidence,
    /// Endorsements as they were then, as `attest` writes them.
    pub collateral: Bytes,
    /// Canonical CBOR of `RuntimeData`.
    pub runtime_data: Bytes,
    /// Verdicts, in ascending member index.
    pub verdicts: Vec<AbiHex<Verdict>>,
    /// One signature each.
    pub signatures: Vec<AbiHex<MemberSignature>>,
    /// Unix seconds at which compute gathered it.
    pub recorded_at: u64,
    /// Root of the reference values it was appraised against.
    pub entry: B256,
}
