//! The one function that turns evidence into an [`AttestationResult`].

use licen_core::policy::{LEVEL_SOFTWARE, LOCAL_CHAIN_ID};
use licen_core::primitives::B256;
use licen_core::release::AttestationResult;
use licen_core::runtime_data::{self, LABEL, LABEL_SIMULATED, RuntimeData};
use licen_core::wire::custodian::Evidence;
use subtle::ConstantTimeEq;

use crate::reference_values::{ReferenceEntry, TeeType};
use crate::refusal::Refusal;
use crate::simulated::Claims;
use crate::{snp, tdx};

/// Largest evidence anybody reads, bytes.
pub const MAX_EVIDENCE_BYTES: usize = 64 * 1024;
/// Oldest evidence that is appraised, seconds. The custodians' nonces say that it is fresh; this
/// bounds what a leaked nonce store is worth.
pub const MAX_EVIDENCE_AGE_SECONDS: u64 = 15 * 60;
/// How far clocks of two machines may differ, seconds.
const MAX_SKEW_SECONDS: u64 = 2 * 60;

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

/// Appraises evidence about `runtime_data` (canonical CBOR) at `now` (Unix seconds).
///
/// Whether the runtime data is about the right job, and holds the appraiser's nonce, is for the
/// caller: it knows the chain.
///
/// # Errors
/// The first rule that does not hold; there is no partial acceptance.
pub fn appraise(
    evidence: &Evidence,
    runtime_data: &[u8],
    policy: &AppraisalPolicy<'_>,
    now: u64,
) -> Result<AttestationResult, Refusal> {
    check_size(evidence)?;
    let encoding = |reason| Refusal::Encoding { what: "the runtime data", reason };
    let data = RuntimeData::from_bytes(runtime_data).map_err(encoding)?;
    match evidence {
        Evidence::Simulated { document } => simulated(document, runtime_data, &data, policy, now),
        Evidence::Tdx { quote } => {
            check_hardware(&data, TeeType::Tdx)?;
            tdx::Quote::parse(quote)?;
            Err(Refusal::NotSupportedYet("TDX"))
        }
        Evidence::Snp { report } => {
            check_hardware(&data, TeeType::Snp)?;
            snp::Report::parse(report)?;
            Err(Refusal::NotSupportedYet("SNP"))
        }
    }
}

fn simulated(
    document: &[u8],
    runtime_data: &[u8],
    data: &RuntimeData,
    policy: &AppraisalPolicy<'_>,
    now: u64,
) -> Result<AttestationResult, Refusal> {
    check_labels(data, TeeType::Simulated, LABEL_SIMULATED)?;
    for chain_id in [policy.chain_id, data.chain_id] {
        if chain_id != LOCAL_CHAIN_ID {
            return Err(Refusal::ChainId(chain_id));
        }
    }
    let claims = Claims::verified(document)?;
    check_age(claims.issued_at, now)?;
    let hash = runtime_data::hash(runtime_data);
    let expected = runtime_data::report_data(&hash, data.signer);
    if !bool::from(expected.ct_eq(&claims.report_data.0)) {
        return Err(Refusal::ReportData);
    }
    let entry = matching_entry(&claims, policy)?;
    Ok(AttestationResult::from_appraisal(hash, data.signer, data.hpke_key, LEVEL_SOFTWARE, entry.root()))
}

fn matching_entry<'a>(claims: &Claims, policy: &AppraisalPolicy<'a>) -> Result<&'a ReferenceEntry, Refusal> {
    let mut refusal = Refusal::Measurement(claims.measurement);
    let registered = policy.platforms.is_none_or(|known| known.contains(&claims.platform_id));
    for entry in policy.entries {
        let values = entry.values();
        if values.tee_type != TeeType::Simulated || !values.measurements.contains(&claims.measurement) {
            continue;
        }
        if registered && (values.platforms.is_empty() || values.platforms.contains(&claims.platform_id)) {
            return Ok(entry);
        }
        refusal = Refusal::Platform(claims.platform_id);
    }
    Err(refusal)
}

fn check_size(evidence: &Evidence) -> Result<(), Refusal> {
    let bytes = match evidence {
        Evidence::Tdx { quote } => quote.len(),
        Evidence::Snp { report } => report.len(),
        Evidence::Simulated { document } => document.len(),
    };
    if bytes > MAX_EVIDENCE_BYTES {
        return Err(Refusal::TooLarge { bytes, max: MAX_EVIDENCE_BYTES });
    }
    Ok(())
}

fn check_hardware(data: &RuntimeData, tee: TeeType) -> Result<(), Refusal> {
    check_labels(data, tee, LABEL)
}

fn check_labels(data: &RuntimeData, tee: TeeType, label: &str) -> Result<(), Refusal> {
    if data.tee_type != tee.name() {
        return Err(Refusal::TeeType);
    }
    if data.label != label {
        return Err(Refusal::Label("the runtime data"));
    }
    if data.level != tee.level() {
        return Err(Refusal::Level { found: data.level, worth: tee.level() });
    }
    Ok(())
}

fn check_age(issued_at: u64, now: u64) -> Result<(), Refusal> {
    let ahead = issued_at.saturating_sub(now);
    if ahead > MAX_SKEW_SECONDS {
        return Err(Refusal::Early { seconds: ahead });
    }
    let seconds = now.saturating_sub(issued_at);
    if seconds > MAX_EVIDENCE_AGE_SECONDS {
        return Err(Refusal::Stale { seconds, max: MAX_EVIDENCE_AGE_SECONDS });
    }
    Ok(())
}
