//! Whether the key that signed the result was attested: evidence, verdicts and reference values, at
//! the time they were recorded.

use std::collections::BTreeSet;

use licen_attest::{AppraisalPolicy, Collateral, ReferenceEntry};
use licen_core::abi::{Job, Member, Verdict};
use licen_core::eip712::Domain;
use licen_core::evidence_bundle::EvidenceBundle;
use licen_core::primitives::B256;
use licen_core::runtime_data::{self, RuntimeData};

use super::{Audit, JobHistory, holds};

/// A verdict is good for this long, seconds: evidence of a start cannot be older.
const VERDICT_SECONDS: u64 = 15 * 60;
/// How far clocks of two machines may differ, seconds.
const SKEW_SECONDS: u64 = 2 * 60;

pub(super) async fn evidence(
    audit: &mut Audit<'_>,
    domain: &Domain,
    job: &Job,
    history: &JobHistory,
    attestation_ref: B256,
) {
    let Some(bytes) = audit.blob("evidence bundle", attestation_ref).await else { return };
    let bundle: EvidenceBundle = match licen_core::canonical::json_from_slice(&bytes) {
        Ok(bundle) => bundle,
        Err(e) => return audit.line("evidence", Err(e.to_string())),
    };
    let hash = runtime_data::hash(&bundle.runtime_data);
    audit.line(
        "runtime data",
        holds(hash == job.runtimeDataHash, "its hash is the one on chain", "the chain names another"),
    );
    let fields = match RuntimeData::from_bytes(&bundle.runtime_data) {
        Ok(data) => data
            .mismatch(domain, job, job.attempt)
            .map_or(Ok("bound to this job".into()), |field| Err(format!("{field} differs"))),
        Err(e) => Err(e.to_string()),
    };
    audit.line("runtime data fields", fields);
    let Some((block, time)) = history.started else {
        return audit.line("recorded at", Err("the chain has no start of this attempt".into()));
    };
    audit.line("recorded at", recorded(bundle.recorded_at, time));
    let verdict = verdicts(audit, domain, job, &bundle, time).await;
    audit.line("verdicts", verdict);
    let live = match audit.session.chain().await {
        Ok(chain) => chain.entry_live_at(job.appraisalPolicy, bundle.entry, block, time).await,
        Err(error) => Err(error),
    };
    let live = live.map_err(|e| e.message).and_then(|live| {
        holds(
            live,
            "the policy's appraisal policy held them when the job started",
            format!("appraisal policy {} did not hold {} then", job.appraisalPolicy, bundle.entry),
        )
    });
    audit.line("appraisal policy", live);
    let Some(values) = audit.blob("reference values", bundle.entry).await else { return };
    let verdict = ReferenceEntry::from_bytes(&values).map_err(|e| e.to_string()).and_then(|entry| {
        let collateral = Collateral::from_bytes(&bundle.collateral).map_err(|e| e.to_string())?;
        let entries = std::slice::from_ref(&entry);
        let policy = AppraisalPolicy { chain_id: domain.chain_id, entries, platforms: None };
        let (evidence, at) = (&bundle.evidence, bundle.recorded_at);
        let result = licen_attest::appraise(evidence, &bundle.runtime_data, &collateral, &policy, at)
            .map_err(|e| e.to_string())?;
        if result.signer() != job.signer {
            return Err(format!("it attests {}, not the job's signer {}", result.signer(), job.signer));
        }
        holds(
            result.level() >= job.requiredLevel,
            format!("appraised at its time {}: level {}", bundle.recorded_at, result.level()),
            format!("level {}, the owner demands {}", result.level(), job.requiredLevel),
        )
    });
    audit.line("evidence", verdict);
}

/// Evidence from another time could have been made for another start.
fn recorded(at: u64, started: u64) -> Result<String, String> {
    let (early, late) = (started.saturating_sub(at), at.saturating_sub(started));
    holds(
        early <= VERDICT_SECONDS + SKEW_SECONDS && late <= SKEW_SECONDS,
        format!("{at}, the job started at {started}"),
        format!("{at}, but the job started at {started}"),
    )
}

async fn verdicts(
    audit: &Audit<'_>,
    domain: &Domain,
    job: &Job,
    bundle: &EvidenceBundle,
    started: u64,
) -> Result<String, String> {
    let (t, members) = audit.custodians(job).await?;
    let mut seen = BTreeSet::new();
    for (verdict, signature) in bundle.verdicts.iter().zip(&bundle.signatures) {
        let member: Option<&Member> = members.get(usize::from(signature.0.index));
        let signed = member.is_some_and(|m| domain.member_of(&verdict.0, &signature.0) == Some(m.signer));
        if signed && about(&verdict.0, job, started) {
            seen.insert(signature.0.index);
        }
    }
    holds(
        seen.len() >= usize::from(t),
        format!("{} of {} custodians, {t} needed", seen.len(), members.len()),
        format!("only {} of {t} needed are about this start", seen.len()),
    )
}

/// Whether a verdict is about this start of this job, under its appraisal policy.
fn about(verdict: &Verdict, job: &Job, started: u64) -> bool {
    verdict.jobId == job.jobId
        && verdict.attempt == job.attempt
        && verdict.signer == job.signer
        && verdict.runtimeDataHash == job.runtimeDataHash
        && (verdict.custodianSet, verdict.setVersion) == (job.custodianSet, job.setVersion)
        && verdict.appraisalPolicy == job.appraisalPolicy
        && verdict.level >= job.requiredLevel
        && verdict.expiresAt >= started
}

#[cfg(test)]
mod tests {
    use super::*;
    use licen_core::primitives::Address;

    #[test]
    fn evidence_of_another_time_is_not_of_this_start() {
        let started = 1_000_000;
        assert!(recorded(started, started).is_ok() && recorded(started - 900, started).is_ok());
        for at in [started - VERDICT_SECONDS - SKEW_SECONDS - 1, started + SKEW_SECONDS + 1, 0] {
            assert!(recorded(at, started).is_err(), "{at}");
        }
    }

    #[test]
    fn a_verdict_about_anything_else_does_not_count() {
        let job = Job { attempt: 1, setVersion: 1, requiredLevel: 2, ..Job::default() };
        let good = Verdict { attempt: 1, setVersion: 1, level: 2, expiresAt: 100, ..Verdict::default() };
        assert!(about(&good, &job, 100));
        type Change = fn(&mut Verdict);
        let changes: [Change; 9] = [
            |v| v.jobId = B256::repeat_byte(1),
            |v| v.attempt = 2,
            |v| v.signer = Address::repeat_byte(1),
            |v| v.runtimeDataHash = B256::repeat_byte(1),
            |v| v.custodianSet = B256::repeat_byte(1),
            |v| v.setVersion = 2,
            |v| v.appraisalPolicy = B256::repeat_byte(1),
            |v| v.level = 1,
            |v| v.expiresAt = 99,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut verdict = good.clone();
            change(&mut verdict);
            assert_ne!(verdict, good, "change {number} changed nothing");
            assert!(!about(&verdict, &job, 100), "change {number}");
        }
    }
}
