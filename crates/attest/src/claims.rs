//! What verified evidence says, in one form for every kind of TEE.

use aws_lc_rs::digest::{SHA256, digest};
use licen_core::primitives::{B256, FixedBytes};
use serde::{Deserialize, Serialize};

use crate::reference_values::TeeType;
use crate::rules::{AmdTcb, IntelTcb};

/// Label of [`platform_id`].
const PLATFORM_LABEL: &[u8] = b"LICEN/platform/v2";

/// Everything that a signature of the TEE's maker vouches for and a rule can ask about. Only
/// verified evidence becomes claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// The kind of TEE.
    pub tee_type: TeeType,
    /// The measured program and its image.
    pub measurement: Measurement,
    /// See [`platform_id`]; absent where the owner of the machine masks its chip.
    pub platform: Option<B256>,
    /// What the guest put into the evidence.
    pub report_data: FixedBytes<64>,
    /// SHA-256 of the signed bytes and of nothing else. Evidence is malleable outside of them, so
    /// this, and never a hash of the whole, may stand for it.
    pub identity: B256,
    /// The host may read the memory of the guest.
    pub debug: bool,
    /// The guest can be moved to another machine.
    pub migratable: bool,
    /// The privilege level of AMD that asked for the report; 0 is the highest, and all that Intel has.
    pub vmpl: u32,
    /// How well the platform is kept.
    pub tcb: Tcb,
}

/// State of the platform, in the words of its maker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tcb {
    /// Of a TDX or SGX quote.
    Intel(IntelTcb),
    /// Of an SEV-SNP report.
    Amd(AmdTcb),
}

/// Registers of one program. In reference values all given ones must match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Measurement {
    /// A TD: 48 bytes each.
    Tdx(TdxRegisters),
    /// An SNP guest.
    Snp(SnpRegisters),
    /// An SGX enclave.
    Sgx(SgxRegisters),
}

/// Measurement registers of a trust domain (Intel TDX module, TDREPORT), SHA-384.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TdxRegisters {
    /// The initial image.
    pub mrtd: FixedBytes<48>,
    /// Run-time measurements: firmware configuration, boot loader, kernel and initrd, program.
    pub rtmr: [FixedBytes<48>; 4],
}

/// Launch measurement of a guest (SEV-SNP ABI specification, table 23).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnpRegisters {
    /// The initial image, SHA-384.
    pub measurement: FixedBytes<48>,
    /// What the host passed at launch, 32 bytes; the image must make use of it.
    pub host_data: B256,
}

/// Identity of an enclave (Intel SGX, REPORT).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SgxRegisters {
    /// The code, SHA-256.
    pub mr_enclave: B256,
    /// The key that signed it.
    pub mr_signer: B256,
}

/// The name of one machine: SHA-256("LICEN/platform/v2" ‖ vendor ‖ 0 ‖ the vendor's identifier). A
/// vendor's identifier is a PCK platform instance id or PPID, or an AMD chip id.
#[must_use]
pub(crate) fn platform_id(vendor: &str, identifier: &[u8]) -> B256 {
    sha256(&[PLATFORM_LABEL, vendor.as_bytes(), &[0], identifier].concat())
}

pub(crate) fn sha256(bytes: &[u8]) -> B256 {
    B256::from_slice(digest(&SHA256, bytes).as_ref())
}
