//! The one function that turns evidence into an [`AttestationResult`].

use licen_core::policy::LOCAL_CHAIN_ID;
use licen_core::primitives::{B256, Bytes, FixedBytes};
use licen_core::release::AttestationResult;
use licen_core::runtime_data::{self, LABEL, LABEL_SIMULATED, RuntimeData};
use licen_core::wire::custodian::Evidence;
use subtle::ConstantTimeEq;

use crate::claims::Claims;
use crate::collateral::{Collateral, is_der};
use crate::reference_values::{ReferenceEntry, TeeType};
use crate::refusal::Refusal;
use crate::{amd, intel, simulated};

/// Largest evidence anybody reads, bytes.
pub const MAX_EVIDENCE_BYTES: usize = 64 * 1024;

/// What evidence is appraised against: the entries of one appraisal policy that are live now.
#[derive(Debug, Clone, Copy)]
pub struct AppraisalPolicy<'a> {
    /// The chain that the appraiser serves.
    pub chain_id: u64,
    /// Reference values whose entry the caller has found live on chain (or live at the time that is
    /// re-verified).
    pub entries: &'a [ReferenceEntry],
    /// Platforms registered for the provider; `None` where the job names no provider.
    pub platforms: Option<&'a [B256]>,
}

/// Appraises evidence about `runtime_data` (canonical CBOR) at `now` (Unix seconds), with the
/// endorsements that [`select`] found.
///
/// Whether the runtime data is about the right job, and holds the appraiser's nonce, is for the
/// caller: it knows the chain.
///
/// # Errors
/// The first rule that does not hold; there is no partial acceptance. Where several entries are
/// live, the refusal is that of the last one which accepts this kind of TEE.
pub fn appraise(
    evidence: &Evidence,
    runtime_data: &[u8],
    collateral: &Collateral,
    policy: &AppraisalPolicy<'_>,
    now: u64,
) -> Result<AttestationResult, Refusal> {
    check_size(evidence)?;
    let encoding = |reason| Refusal::Encoding { what: "the runtime data", reason };
    let data = RuntimeData::from_bytes(runtime_data).map_err(encoding)?;
    let tee = tee_type(evidence);
    check_labels(&data, tee, policy.chain_id)?;
    let claims = verify(evidence, collateral, now)?;
    let entry = met_entry(&claims, data.sandboxed, policy, now)?;
    let hash = runtime_data::hash(runtime_data);
    let expected = runtime_data::report_data(&hash, data.signer);
    if !bool::from(expected.ct_eq(&claims.report_data.0)) {
        return Err(Refusal::ReportData);
    }
    Ok(AttestationResult::from_appraisal(hash, data.signer, data.hpke_key, tee.level(), entry.root()))
}

/// The endorsements for evidence: out of those the appraiser holds, or what needs no fetching: the
/// simulated root's own, and a chip's certificate behind a report, which AMD's signature makes as
/// good as a fetched one.
///
/// # Errors
/// [`Refusal::NoCollateral`], and evidence that cannot be read.
pub fn select<'a>(
    evidence: &Evidence,
    held: impl IntoIterator<Item = &'a Collateral>,
) -> Result<Collateral, Refusal> {
    check_size(evidence)?;
    match evidence {
        Evidence::Simulated { .. } => Ok(simulated::collateral().clone()),
        Evidence::Tdx { quote } => {
            let fmspc = intel::fmspc(&intel::parse(quote)?).unwrap_or_default();
            let fits = |collateral: &&Collateral| match collateral {
                Collateral::Intel(intel) => intel.is_tdx() && intel.fmspc() == fmspc,
                Collateral::Amd(_) => false,
            };
            let newest =
                held.into_iter().filter(fits).max_by_key(|c| c.window().ok().flatten().map(|w| w.until));
            newest.cloned().ok_or(Refusal::NoCollateral { tee: "tdx", fmspc })
        }
        Evidence::Snp { report } => {
            let certificate = report.get(amd::REPORT_BYTES..).unwrap_or_default();
            if !is_der(certificate) {
                return Err(Refusal::NoCollateral { tee: "snp", fmspc: FixedBytes::ZERO });
            }
            Ok(Collateral::Amd(Bytes::copy_from_slice(certificate)))
        }
    }
}

/// What evidence says, once its signatures hold. Which kind it is decides the root: what is given as
/// simulated can verify under the simulated root only, and nothing else can.
pub(crate) fn verify(evidence: &Evidence, collateral: &Collateral, now: u64) -> Result<Claims, Refusal> {
    match (evidence, collateral) {
        (Evidence::Tdx { quote }, Collateral::Intel(intel)) => {
            intel::verify(quote, intel, &intel::Root::Intel, TeeType::Tdx, now)
        }
        (Evidence::Simulated { quote }, Collateral::Intel(intel)) => {
            intel::verify(quote, intel, &simulated::root(), TeeType::Simulated, now)
        }
        (Evidence::Snp { report }, Collateral::Amd(vcek)) => amd::verify(report, vcek, now),
        (Evidence::Tdx { .. } | Evidence::Simulated { .. }, Collateral::Amd(_))
        | (Evidence::Snp { .. }, Collateral::Intel(_)) => {
            Err(Refusal::Collateral("it is of another maker than the evidence".to_owned()))
        }
    }
}

fn met_entry<'a>(
    claims: &Claims,
    sandboxed: bool,
    policy: &AppraisalPolicy<'a>,
    now: u64,
) -> Result<&'a ReferenceEntry, Refusal> {
    let mut refusal = Refusal::NoEntry;
    for entry in policy.entries {
        match entry.values().appraise(claims, policy.platforms, now) {
            // It is the measured program's word, so it counts for nothing before the measurement does.
            Ok(()) if !sandboxed && !entry.values().allow_unsandboxed => refusal = Refusal::Unsandboxed,
            Ok(()) => return Ok(entry),
            Err(Refusal::TeeType) => {}
            Err(other) => refusal = other,
        }
    }
    Err(refusal)
}

pub(crate) fn tee_type(evidence: &Evidence) -> TeeType {
    match evidence {
        Evidence::Tdx { .. } => TeeType::Tdx,
        Evidence::Snp { .. } => TeeType::Snp,
        Evidence::Simulated { .. } => TeeType::Simulated,
    }
}

fn check_size(evidence: &Evidence) -> Result<(), Refusal> {
    let bytes = evidence.bytes().len();
    if bytes > MAX_EVIDENCE_BYTES {
        return Err(Refusal::TooLarge { bytes, max: MAX_EVIDENCE_BYTES });
    }
    Ok(())
}

fn check_labels(data: &RuntimeData, tee: TeeType, chain_id: u64) -> Result<(), Refusal> {
    if data.tee_type != tee.name() {
        return Err(Refusal::TeeType);
    }
    let label = if tee == TeeType::Simulated { LABEL_SIMULATED } else { LABEL };
    if data.label != label {
        return Err(Refusal::Label("the runtime data"));
    }
    if data.level != tee.level() {
        return Err(Refusal::Level { found: data.level, worth: tee.level() });
    }
    if tee == TeeType::Simulated
        && let Some(public) = [chain_id, data.chain_id].into_iter().find(|id| *id != LOCAL_CHAIN_ID)
    {
        return Err(Refusal::ChainId(public));
    }
    Ok(())
}
