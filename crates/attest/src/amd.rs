//! SEV-SNP reports (SEV-SNP ABI specification, table 23): structure, signature by the chip's
//! certificate, and that certificate's chain up to AMD's root. Parsing and certificates are `sev`'s;
//! the signature is checked over the bytes as they came.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use licen_core::primitives::{B256, FixedBytes};
use sev::Generation;
use sev::certs::snp::{Certificate, Verifiable, builtin, ca};
use sev::firmware::guest::AttestationReport;
use sev::firmware::host::TcbVersion;
use sev::parser::ByteParser;
use x509_cert::der::Decode;
use x509_cert::der::asn1::Ia5StringRef;

use crate::claims::{Claims, Measurement, SnpRegisters, Tcb, platform_id, sha256};
use crate::reference_values::TeeType;
use crate::refusal::Refusal;
use crate::rules::{AmdSvn, AmdTcb, Product};

const VENDOR: &str = "amd";
pub(crate) const REPORT_BYTES: usize = 0x4a0;
/// The part of a report that its signature covers.
const SIGNED_BYTES: usize = 0x2a0;
/// R and S are 48 bytes each, little-endian, in fields of 72.
const SCALAR_BYTES: usize = 48;
const SCALAR_FIELD_BYTES: usize = 72;
const ALGORITHM_ECDSA_P384: u32 = 1;
/// KEY_INFO.SIGNING_KEY of a chip's own key; others belong to a cloud or to nobody.
const SIGNING_KEY_VCEK: u32 = 0;
/// Certificates that are known to be AMD's, at most.
const CACHE: usize = 64;

/// Extensions of a VCEK (AMD 57230, table 8).
mod oid {
    use x509_cert::der::asn1::ObjectIdentifier;

    const fn new(text: &str) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(text)
    }
    pub(super) const PRODUCT: ObjectIdentifier = new("1.3.6.1.4.1.3704.1.2");
    pub(super) const BOOTLOADER: ObjectIdentifier = new("1.3.6.1.4.1.3704.1.3.1");
    pub(super) const TEE: ObjectIdentifier = new("1.3.6.1.4.1.3704.1.3.2");
    pub(super) const SNP: ObjectIdentifier = new("1.3.6.1.4.1.3704.1.3.3");
    pub(super) const MICROCODE: ObjectIdentifier = new("1.3.6.1.4.1.3704.1.3.8");
    pub(super) const FMC: ObjectIdentifier = new("1.3.6.1.4.1.3704.1.3.9");
    pub(super) const HWID: ObjectIdentifier = new("1.3.6.1.4.1.3704.1.4");
}

/// A chip's certificate whose chain was checked up to AMD's root.
struct ChipCertificate {
    product: Product,
    /// SEC1, uncompressed.
    public_key: Vec<u8>,
    hwid: Vec<u8>,
    svn: AmdSvn,
    not_before: u64,
    not_after: u64,
}

/// Verifies a report with the certificate of its chip (DER) at `now` (Unix seconds). A report has no
/// date of its own: the certificate's validity bounds it, and nonces say that it is fresh.
pub(crate) fn verify(bytes: &[u8], vcek: &[u8], now: u64) -> Result<Claims, Refusal> {
    let bytes = bytes.get(..REPORT_BYTES).ok_or(malformed("shorter than 0x4a0 bytes"))?;
    let report = parse(bytes)?;
    let chip = chip_certificate(vcek)?;
    if now < chip.not_before {
        return Err(Refusal::CollateralEarly { from: chip.not_before });
    }
    if now > chip.not_after {
        return Err(Refusal::CollateralExpired { until: chip.not_after });
    }
    check_signature(bytes, &chip.public_key)?;
    let product = check_chip(&report, &chip)?;
    let reported = svn(&report.reported_tcb);
    let masked = report.key_info.mask_chip_key() || report.chip_id == [0; 64];
    Ok(Claims {
        tee_type: TeeType::Snp,
        measurement: Measurement::Snp(SnpRegisters {
            measurement: FixedBytes(report.measurement),
            host_data: B256::from(report.host_data),
        }),
        platform: (!masked).then(|| platform_id(VENDOR, &report.chip_id)),
        report_data: FixedBytes(report.report_data),
        identity: sha256(&bytes[..SIGNED_BYTES]),
        debug: report.policy.debug_allowed(),
        migratable: report.policy.migrate_ma_allowed(),
        vmpl: report.vmpl,
        tcb: Tcb::Amd(AmdTcb {
            product,
            report_version: report.version,
            reported,
            committed: svn(&report.committed_tcb),
            smt: report.plat_info.smt_enabled(),
        }),
    })
}

/// Reads a report, and refuses bytes that the parser would drop: reserved bytes that are not zero,
/// and padding of the signature.
pub(crate) fn parse(bytes: &[u8]) -> Result<AttestationReport, Refusal> {
    let report = AttestationReport::from_bytes(bytes).map_err(|_| malformed("it cannot be read"))?;
    let written = report.to_bytes().map_err(|_| malformed("it cannot be written again"))?;
    if written.as_slice() != bytes {
        return Err(malformed("reserved bytes are not zero"));
    }
    let padded = |scalar: &[u8; SCALAR_FIELD_BYTES]| scalar[SCALAR_BYTES..].iter().any(|byte| *byte != 0);
    if padded(report.signature.r()) || padded(report.signature.s()) {
        return Err(malformed("the signature's padding is not zero"));
    }
    if report.sig_algo != ALGORITHM_ECDSA_P384 {
        return Err(malformed("not signed with ECDSA P-384"));
    }
    if report.key_info.signing_key() != SIGNING_KEY_VCEK {
        return Err(malformed("not signed by the key of its chip"));
    }
    Ok(report)
}

fn check_signature(bytes: &[u8], public_key: &[u8]) -> Result<(), Refusal> {
    let (signed, signature) = bytes.split_at(SIGNED_BYTES);
    let scalar = |at: usize| signature[at..at + SCALAR_BYTES].iter().rev().copied();
    let fixed: Vec<u8> = scalar(0).chain(scalar(SCALAR_FIELD_BYTES)).collect();
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public_key)
        .verify(signed, &fixed)
        .map_err(|_| Refusal::Signature("the report is not signed by this chip's certificate"))
}

/// Whether the certificate is that of the chip and of the firmware which the report names.
fn check_chip(report: &AttestationReport, chip: &ChipCertificate) -> Result<Product, Refusal> {
    let refuse = |what| Err(Refusal::Signature(what));
    if let (Some(family), Some(model)) = (report.cpuid_fam_id, report.cpuid_mod_id)
        && !matches!(
            (chip.product, Generation::identify_cpu(family, model)),
            (Product::Milan, Ok(Generation::Milan))
                | (Product::Genoa, Ok(Generation::Genoa))
                | (Product::Turin, Ok(Generation::Turin))
        )
    {
        return refuse("the certificate is of another kind of processor than the report");
    }
    if svn(&report.reported_tcb) != chip.svn {
        return refuse("the certificate is of another firmware than the report");
    }
    let masked = report.key_info.mask_chip_key() || report.chip_id == [0; 64];
    if !masked && !report.chip_id.starts_with(&chip.hwid) {
        return refuse("the certificate is of another chip than the report");
    }
    Ok(chip.product)
}

fn svn(tcb: &TcbVersion) -> AmdSvn {
    AmdSvn {
        fmc: tcb.fmc.unwrap_or_default(),
        bootloader: tcb.bootloader,
        tee: tcb.tee,
        snp: tcb.snp,
        microcode: tcb.microcode,
    }
}

/// Checks a chip's certificate up to AMD's root, once for equal bytes: two RSA-4096 signatures cost
/// more than the rest of an appraisal.
fn chip_certificate(der: &[u8]) -> Result<Arc<ChipCertificate>, Refusal> {
    static CHECKED: OnceLock<Mutex<HashMap<B256, Arc<ChipCertificate>>>> = OnceLock::new();
    let checked = CHECKED.get_or_init(Mutex::default);
    let key = sha256(der);
    if let Some(chip) = checked.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Ok(Arc::clone(chip));
    }
    let chip = Arc::new(check_chain(der)?);
    let mut checked = checked.lock().unwrap_or_else(PoisonError::into_inner);
    if checked.len() >= CACHE {
        checked.clear();
    }
    checked.insert(key, Arc::clone(&chip));
    Ok(chip)
}

fn check_chain(der: &[u8]) -> Result<ChipCertificate, Refusal> {
    let vcek = Certificate::from_der(der).map_err(|_| malformed("the chip's certificate cannot be read"))?;
    let read = x509_cert::Certificate::from_der(der)
        .map_err(|_| malformed("the chip's certificate cannot be read"))?;
    let extensions = read.tbs_certificate.extensions.unwrap_or_default();
    let value = |oid| extensions.iter().find(|e| e.extn_id == oid).map(|e| e.extn_value.as_bytes());
    let product = product(value(oid::PRODUCT))?;
    let authority = authority(product)?;
    authority.verify().map_err(|_| Refusal::Signature("AMD's built-in certificates do not verify"))?;
    (&authority.ask, &vcek)
        .verify()
        .map_err(|_| Refusal::Signature("the chip's certificate is not signed by AMD"))?;
    let number = |oid| match value(oid) {
        Some(der) => u8::from_der(der).map_err(|_| malformed("the chip's certificate has no versions")),
        None => Ok(0),
    };
    let validity = read.tbs_certificate.validity;
    Ok(ChipCertificate {
        product,
        public_key: vcek.public_key_sec1().to_vec(),
        hwid: value(oid::HWID)
            .filter(|id| matches!(id.len(), 8 | 64))
            .ok_or(malformed("the chip's certificate has no chip id"))?
            .to_vec(),
        svn: AmdSvn {
            fmc: number(oid::FMC)?,
            bootloader: number(oid::BOOTLOADER)?,
            tee: number(oid::TEE)?,
            snp: number(oid::SNP)?,
            microcode: number(oid::MICROCODE)?,
        },
        not_before: validity.not_before.to_unix_duration().as_secs(),
        not_after: validity.not_after.to_unix_duration().as_secs(),
    })
}

/// The product's name stands with its stepping: `Milan-B0`.
fn product(extension: Option<&[u8]>) -> Result<Product, Refusal> {
    let name = extension.and_then(|der| Ia5StringRef::from_der(der).ok());
    match name.as_ref().and_then(|name| name.as_str().split('-').next()) {
        Some("Milan") => Ok(Product::Milan),
        Some("Genoa" | "Siena" | "Bergamo") => Ok(Product::Genoa),
        Some("Turin") => Ok(Product::Turin),
        _ => Err(malformed("the chip's certificate names no known product")),
    }
}

fn authority(product: Product) -> Result<ca::Chain, Refusal> {
    let (ark, ask) = match product {
        Product::Milan => (builtin::milan::ark(), builtin::milan::ask()),
        Product::Genoa => (builtin::genoa::ark(), builtin::genoa::ask()),
        Product::Turin => (builtin::turin::ark(), builtin::turin::ask()),
    };
    let unreadable = |_| Refusal::Signature("AMD's built-in certificates cannot be read");
    Ok(ca::Chain { ark: ark.map_err(unreadable)?, ask: ask.map_err(unreadable)? })
}

fn malformed(reason: &'static str) -> Refusal {
    Refusal::Malformed { tee: "SNP report", reason }
}
