//! TDX and SGX quotes: structure, chain of signatures up to a root, and what they say. The
//! cryptography is `dcap-qvl`'s; what is refused beyond it stands here.

use dcap_qvl::config::Config;
use dcap_qvl::configs::RingConfig;
use dcap_qvl::quote::{AuthData, EnclaveReport, Quote, Report, TDAttributes, TDReport10};
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{PckIdentity, QuoteClaims, QuotePolicy};
use licen_core::primitives::{B256, FixedBytes};
use parity_scale_codec::Encode;

use crate::claims::{Claims, Measurement, SgxRegisters, Tcb, TdxRegisters, platform_id, sha256};
use crate::collateral::{IntelCollateral, Window, seconds};
use crate::reference_values::TeeType;
use crate::refusal::Refusal;
use crate::rules::IntelTcb;

const VENDOR: &str = "intel";
/// Certification data: a report of the quoting enclave, and in it the platform's certificates.
const QE_REPORT: u16 = 6;
const PCK_CERT_CHAIN: u16 = 5;
/// Off-TD debugging and profiling (Intel TDX module, ATTRIBUTES.TUD).
const TUD_DEBUG: u8 = 0b0111_0001;
/// SGX ATTRIBUTES.DEBUG.
const SGX_DEBUG: u8 = 0x02;

/// Where trust begins.
pub(crate) enum Root {
    /// Intel's own root certificate.
    Intel,
    /// Another root, DER.
    Other(&'static [u8]),
}

/// Verifies a quote against collateral at `now` (Unix seconds). `tee` is what its claims are filed
/// under: TDX, SGX, or the simulated TEE, which makes quotes of TDX's format.
pub(crate) fn verify(
    quote: &[u8],
    collateral: &IntelCollateral,
    root: &Root,
    tee: TeeType,
    now: u64,
) -> Result<Claims, Refusal> {
    verify_with::<RingConfig>(quote, collateral, root, tee, now)
}

/// As [`verify`], with a given backend: tests hold two against each other.
pub(crate) fn verify_with<C: Config>(
    quote: &[u8],
    collateral: &IntelCollateral,
    root: &Root,
    tee: TeeType,
    now: u64,
) -> Result<Claims, Refusal> {
    let parsed = parse(quote)?;
    if parsed.header.is_sgx() != (tee == TeeType::Sgx) {
        return Err(Refusal::TeeType);
    }
    let window = collateral.check_window(now)?;
    let verifier = match root {
        Root::Intel => QuoteVerifier::new_prod().with_config::<C>(),
        Root::Other(der) => QuoteVerifier::<C>::new_with_config(der.to_vec()),
    };
    // Debugging is refused by a rule of ours, so that it has a name; all else the library refuses.
    let claims = verifier
        .allow_debug(true)
        .verify_with_policy(quote, collateral.parts.clone(), now, &QuotePolicy::claims_only(now))
        .map_err(|error| Refusal::Quote(format!("{error:#}")))?;
    let signed = quote.get(..parsed.signed_length()).ok_or(malformed("cut short"))?;
    claims_of(&claims, tee, &window, sha256(signed))
}

/// Reads a quote, and refuses bytes that it would write otherwise: what is verified is then what
/// everybody else reads. Zeros may follow, since a quoting enclave hands out a buffer.
pub(crate) fn parse(bytes: &[u8]) -> Result<Quote, Refusal> {
    let quote = Quote::parse(bytes).map_err(|_| malformed("it cannot be read"))?;
    let canonical = quote.encode();
    let (body, padding) = bytes.split_at_checked(canonical.len()).ok_or(malformed("its lengths disagree"))?;
    if body != canonical {
        return Err(malformed("its framing is not canonical"));
    }
    if padding.iter().any(|byte| *byte != 0) {
        return Err(malformed("bytes after the signature data"));
    }
    let vouched = match &quote.auth_data {
        AuthData::V3(_) => true,
        AuthData::V4(data) => data.certification_data.cert_type == QE_REPORT,
    };
    if !vouched || quote.inner_cert_type() != PCK_CERT_CHAIN {
        return Err(malformed("it does not hold its platform's certificates"));
    }
    Ok(quote)
}

fn claims_of(claims: &QuoteClaims, tee: TeeType, window: &Window, identity: B256) -> Result<Claims, Refusal> {
    let pck = &claims.platform.pck;
    // The status is the worse of platform and quoting enclave, so the date is the older one.
    let enclave_date = seconds(&claims.qe.tcb_level.tcb_date).unwrap_or(0);
    let tcb = IntelTcb {
        status: claims.tcb.status,
        advisories: claims.tcb.advisory_ids.clone(),
        evaluation_number: claims.tcb.eval_data_number,
        tcb_date: claims.platform.tcb_date_tag.min(enclave_date),
        collateral_issued: window.issued,
        collateral_expires: window.until.min(claims.earliest_expiration_date),
        smt: pck.smt_enabled,
        dynamic_platform: pck.dynamic_platform,
        cached_keys: pck.cached_keys,
    };
    let (measurement, report_data, debug, migratable) = match &claims.report {
        Report::SgxEnclave(report) => enclave(report),
        Report::TD10(report) => domain(report)?,
        Report::TD15(report) => domain(&report.base)?,
        Report::TD15Ex(report) => domain(&report.base.base)?,
    };
    Ok(Claims {
        tee_type: tee,
        measurement,
        platform: Some(platform(pck)),
        report_data,
        identity,
        debug,
        migratable,
        vmpl: 0,
        tcb: Tcb::Intel(tcb),
    })
}

type Said = (Measurement, FixedBytes<64>, bool, bool);

fn domain(report: &TDReport10) -> Result<Said, Refusal> {
    let attributes = TDAttributes::parse(report.td_attributes).map_err(|_| malformed("its TD attributes"))?;
    let registers = TdxRegisters {
        mrtd: FixedBytes(report.mr_td),
        rtmr: [report.rt_mr0, report.rt_mr1, report.rt_mr2, report.rt_mr3].map(FixedBytes),
    };
    let debug = attributes.tud & TUD_DEBUG != 0;
    Ok((Measurement::Tdx(registers), FixedBytes(report.report_data), debug, attributes.sec.migratable))
}

fn enclave(report: &EnclaveReport) -> Said {
    let registers =
        SgxRegisters { mr_enclave: B256::from(report.mr_enclave), mr_signer: B256::from(report.mr_signer) };
    let debug = report.attributes[0] & SGX_DEBUG != 0;
    (Measurement::Sgx(registers), FixedBytes(report.report_data), debug, false)
}

/// A platform of several packages has an instance id; the others have their PPID only.
fn platform(pck: &PckIdentity) -> B256 {
    match &pck.platform_instance_id {
        Some(id) => platform_id(VENDOR, id),
        None => platform_id(VENDOR, &pck.ppid),
    }
}

/// The FMSPC of the platform that a quote says it comes from, 6 bytes; unverified, to find
/// collateral by.
pub(crate) fn fmspc(quote: &Quote) -> Option<FixedBytes<6>> {
    dcap_qvl::intel::quote_fmspc_with::<RingConfig>(quote).ok().map(FixedBytes)
}

fn malformed(reason: &'static str) -> Refusal {
    Refusal::Malformed { tee: "quote", reason }
}
