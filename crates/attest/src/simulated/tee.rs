//! The simulator's side that compute runs.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA384};
use dcap_qvl::INTEL_QE_VENDOR_ID;
use dcap_qvl::quote::{
    AuthData, AuthDataV4, CertificationData, Data, EnclaveReport, Header, QEReportCertificationData, Quote,
    Report, TDReport10,
};
use licen_core::primitives::{Address, B256, FixedBytes};
use licen_core::runtime_data::report_data;
use licen_core::wire::custodian::Evidence;
use parity_scale_codec::Encode;

use super::keys::SimulatedKey;
use crate::claims::{Measurement, TdxRegisters, platform_id, sha256};
use crate::refusal::AttestError;

const CURRENT_EXE: &str = "/proc/self/exe";
const READ_BYTES: usize = 256 * 1024;

const QUOTE_VERSION: u16 = 4;
const ATTESTATION_KEY_P256: u16 = 2;
const TEE_TYPE_TDX: u32 = 0x81;
/// Certification data: a report of the quoting enclave, and in it a chain of certificates.
const QE_REPORT: u16 = 6;
const PCK_CERT_CHAIN: u16 = 5;
/// TD ATTRIBUTES.SEPT_VE_DISABLE, without which nobody accepts a quote.
const SEPT_VE_DISABLE: u64 = 1 << 28;
/// Bytes of the quoting enclave's own that its report vouches for beside the key.
const QE_AUTH_DATA: [u8; 32] = *b"LICEN-SIMULATED quoting enclave.";

/// A machine that exists on paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimulatedPlatform {
    /// What compute runs on.
    Default,
    /// Another one.
    Other,
}

impl SimulatedPlatform {
    /// Name of its key.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Default => "pck-default",
            Self::Other => "pck-other",
        }
    }

    /// Its PPID, 16 bytes.
    pub(super) fn ppid(self) -> [u8; 16] {
        match self {
            Self::Default => *b"SIMULATED-PPID-0",
            Self::Other => *b"SIMULATED-PPID-1",
        }
    }

    /// Its id, as a provider registers it.
    #[must_use]
    pub fn id(self) -> B256 {
        platform_id("intel", &self.ppid())
    }

    /// Certificates from the platform's to the root, PEM.
    fn chain(self) -> &'static [u8] {
        match self {
            Self::Default => include_bytes!("../../data/simulated/pck-default.pem"),
            Self::Other => include_bytes!("../../data/simulated/pck-other.pem"),
        }
    }

    fn key(self) -> Result<SimulatedKey, AttestError> {
        SimulatedKey::named(self.name())
    }
}

/// A TEE that protects nothing: it measures the running program and signs with public keys.
pub struct SimulatedTee {
    registers: TdxRegisters,
    platform: SimulatedPlatform,
}

impl SimulatedTee {
    /// Measures the running executable.
    ///
    /// # Errors
    /// [`AttestError::Measure`].
    pub fn from_current_exe() -> Result<Self, AttestError> {
        let Measurement::Tdx(registers) = measure(Path::new(CURRENT_EXE))? else {
            return Err(AttestError::Key);
        };
        Ok(Self { registers, platform: SimulatedPlatform::Default })
    }

    /// Evidence for a program of the caller's choice, as anybody can make it. For tests and for the
    /// simulator.
    #[must_use]
    pub fn pretend(program: FixedBytes<48>, platform: SimulatedPlatform) -> Self {
        Self { registers: registers_of(program), platform }
    }

    /// What reference values have to name.
    #[must_use]
    pub fn measurement(&self) -> Measurement {
        Measurement::Tdx(self.registers.clone())
    }

    /// What a provider has to register.
    #[must_use]
    pub fn platform_id(&self) -> B256 {
        self.platform.id()
    }

    /// Evidence that binds runtime data (by its SHA-256) and the signing address.
    ///
    /// # Errors
    /// [`AttestError::Key`].
    pub fn evidence_for(&self, runtime_data_hash: &B256, signer: Address) -> Result<Evidence, AttestError> {
        let quote = self.quote(report_data(runtime_data_hash, signer), SEPT_VE_DISABLE)?;
        Ok(Evidence::Simulated { quote: quote.into() })
    }

    /// A quote with these report data and TD attributes.
    pub(super) fn quote(&self, report_data: [u8; 64], attributes: u64) -> Result<Vec<u8>, AttestError> {
        let header = Header {
            version: QUOTE_VERSION,
            attestation_key_type: ATTESTATION_KEY_P256,
            tee_type: TEE_TYPE_TDX,
            qe_svn: 0,
            pce_svn: 0,
            qe_vendor_id: INTEL_QE_VENDOR_ID,
            user_data: [0; 20],
        };
        let report = self.report(report_data, attributes);
        let signed = [header.encode(), report.encode()].concat();
        let attestation_key = SimulatedKey::named("attestation")?;
        let qe_report = qe_report(&attestation_key).encode();
        let quote = Quote {
            header,
            report: Report::TD10(report),
            auth_data: AuthData::V4(AuthDataV4 {
                ecdsa_signature: attestation_key.sign(&signed),
                ecdsa_attestation_key: attestation_key.public(),
                certification_data: CertificationData { cert_type: QE_REPORT, body: Data::new(Vec::new()) },
                qe_report_data: QEReportCertificationData {
                    qe_report_signature: self.platform.key()?.sign(&qe_report),
                    qe_report: qe_report.try_into().map_err(|_| AttestError::Key)?,
                    qe_auth_data: Data::new(QE_AUTH_DATA.to_vec()),
                    certification_data: CertificationData {
                        cert_type: PCK_CERT_CHAIN,
                        body: Data::new(self.platform.chain().to_vec()),
                    },
                },
            }),
        };
        Ok(quote.encode())
    }

    fn report(&self, report_data: [u8; 64], attributes: u64) -> TDReport10 {
        let rtmr = self.registers.rtmr.map(|register| register.0);
        TDReport10 {
            tee_tcb_svn: [0; 16],
            mr_seam: [0; 48],
            mr_signer_seam: [0; 48],
            seam_attributes: [0; 8],
            td_attributes: attributes.to_le_bytes(),
            xfam: [0; 8],
            mr_td: self.registers.mrtd.0,
            mr_config_id: [0; 48],
            mr_owner: [0; 48],
            mr_owner_config: [0; 48],
            rt_mr0: rtmr[0],
            rt_mr1: rtmr[1],
            rt_mr2: rtmr[2],
            rt_mr3: rtmr[3],
            report_data,
        }
    }
}

/// The quoting enclave vouches for the key that signs quotes.
fn qe_report(attestation_key: &SimulatedKey) -> EnclaveReport {
    let vouched = sha256(&[attestation_key.public().as_slice(), &QE_AUTH_DATA].concat());
    let mut report_data = [0; 64];
    report_data[..32].copy_from_slice(vouched.as_slice());
    EnclaveReport {
        cpu_svn: [0; 16],
        misc_select: 0,
        reserved1: [0; 28],
        attributes: [0; 16],
        mr_enclave: [0; 32],
        reserved2: [0; 32],
        mr_signer: [0; 32],
        reserved3: [0; 96],
        isv_prod_id: 0,
        isv_svn: 0,
        reserved4: [0; 60],
        report_data,
    }
}

fn registers_of(program: FixedBytes<48>) -> TdxRegisters {
    TdxRegisters { mrtd: program, rtmr: [FixedBytes::ZERO; 4] }
}

/// How the simulated TEE measures an executable: SHA-384 of the file as MRTD, the other registers
/// zero.
///
/// # Errors
/// [`AttestError::Measure`].
pub fn measure(path: &Path) -> Result<Measurement, AttestError> {
    let program = hash_file(path).map_err(|source| AttestError::Measure { path: path.to_owned(), source })?;
    Ok(Measurement::Tdx(registers_of(program)))
}

fn hash_file(path: &Path) -> io::Result<FixedBytes<48>> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA384);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(FixedBytes::from_slice(context.finish().as_ref())),
            Ok(n) => context.update(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
