//! Whether the key that signed the result was attested: evidence, verdicts and reference values, at
//! the time they were recorded.

use std::collections::BTreeSet;

use licen_attest::{AppraisalPolicy, Collateral, ReferenceEntry};
use licen_core::abi::{Job, Member, Verdict};
use licen_core::eip712::Domain;
use licen_core::evidence_bundle::EvidenceBundle;
use licen_core::job::silence_quorum;
use licen_core::primitives::B256;
use licen_core::runtime_data::{self, RuntimeData};

use super::check::{Audit, holds};
use crate::session::chain_view::VERDICT_SECONDS;
use crate::session::job_history::JobHistory;

#[cfg(test)]
mod tests;

/// How far clocks of two machines may differ, seconds.
const SKEW_SECONDS: u64 = 2 * 60;

/// A check's name and what it found.
type Link = (&'static str, Result<String, String>);

/// A custodian set as the chain has it.
struct Set {
    id: B256,
    version: u32,
    /// Verdicts that a start needs of it.
    needed: usize,
    members: Vec<Member>,
}

/// What the chain says of a start: with the bundle, all that its evidence is judged by. The time of day
/// is not among it, so the answer is the same years later.
struct Facts<'a> {
    domain: Domain,
    job: &'a Job,
    /// When this attempt started, by the chain's clock.
    started: u64,
    /// The owner's custodians, and behind them those of the requester's own, where it named any.
    sets: Vec<Set>,
}

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
    let Some((block, time)) = history.started else {
        return audit.line("recorded at", Err("the chain has no start of this attempt".into()));
    };
    let sets = match sets(audit, job).await {
        Ok(sets) => sets,
        Err(reason) => return audit.line("verdicts", Err(reason)),
    };
    let facts = Facts { domain: *domain, job, started: time, sets };
    for (name, found) in links(&bundle, &facts) {
        audit.line(name, found);
    }
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
    audit.line("evidence", appraised(&bundle, &facts, &values));
}

/// The sets whose verdicts started the job.
async fn sets(audit: &Audit<'_>, job: &Job) -> Result<Vec<Set>, String> {
    let pinned = (job.custodianSet, job.setVersion);
    let own = (job.verifierSet, job.verifierSetVersion);
    let also = (!job.verifierSet.is_zero() && own != pinned).then_some(own);
    let mut sets = Vec::new();
    for (id, version) in std::iter::once(pinned).chain(also) {
        let (t, members) = audit.set(id, version).await?;
        let t = usize::from(t);
        // Who restarts in the place of an attempt must also be able to say that it is dead.
        let restarts = job.attempt > 1 && sets.is_empty();
        let needed = if restarts { silence_quorum(t, members.len()) } else { t };
        sets.push(Set { id, version, needed, members });
    }
    Ok(sets)
}

/// Whether a bundle is about this start, in the order of the checks. Pure.
fn links(bundle: &EvidenceBundle, facts: &Facts<'_>) -> [Link; 4] {
    let hash = runtime_data::hash(&bundle.runtime_data);
    let named =
        holds(hash == facts.job.runtimeDataHash, "its hash is the one on chain", "the chain names another");
    let fields = match RuntimeData::from_bytes(&bundle.runtime_data) {
        Ok(data) => data
            .mismatch(&facts.domain, facts.job, facts.job.attempt)
            .map_or(Ok("bound to this job".into()), |field| Err(format!("{field} differs"))),
        Err(e) => Err(e.to_string()),
    };
    [
        ("runtime data", named),
        ("runtime data fields", fields),
        ("recorded at", recorded(bundle.recorded_at, facts.started)),
        ("verdicts", verdicts(bundle, facts)),
    ]
}

/// Appraises the evidence at the time it was recorded, against the reference values of that time. Pure.
fn appraised(bundle: &EvidenceBundle, facts: &Facts<'_>, values: &[u8]) -> Result<String, String> {
    let entry = ReferenceEntry::from_bytes(values).map_err(|e| e.to_string())?;
    let collateral = Collateral::from_bytes(&bundle.collateral).map_err(|e| e.to_string())?;
    let entries = std::slice::from_ref(&entry);
    let policy = AppraisalPolicy { chain_id: facts.domain.chain_id, entries, platforms: None };
    let (evidence, at, job) = (&bundle.evidence, bundle.recorded_at, facts.job);
    let result = licen_attest::appraise(evidence, &bundle.runtime_data, &collateral, &policy, at)
        .map_err(|e| e.to_string())?;
    if result.signer() != job.signer {
        return Err(format!("it attests {}, not the job's signer {}", result.signer(), job.signer));
    }
    holds(
        result.level() >= job.requiredLevel,
        format!("appraised at its time {at}: level {}", result.level()),
        format!("level {}, the owner demands {}", result.level(), job.requiredLevel),
    )
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

/// That enough custodians of each set accepted this start, and that nothing else stands beside their
/// verdicts: the contract took no other list.
fn verdicts(bundle: &EvidenceBundle, facts: &Facts<'_>) -> Result<String, String> {
    let (count, signatures) = (bundle.verdicts.len(), bundle.signatures.len());
    if count != signatures {
        return Err(format!("{count} verdicts, but {signatures} signatures"));
    }
    let mut seen = vec![BTreeSet::new(); facts.sets.len()];
    for (number, (verdict, signature)) in bundle.verdicts.iter().zip(&bundle.signatures).enumerate() {
        let (number, verdict, signature) = (number + 1, &verdict.0, &signature.0);
        let named = (verdict.custodianSet, verdict.setVersion);
        let set = facts.sets.iter().position(|set| (set.id, set.version) == named);
        let Some(set) = set.filter(|_| about(verdict, facts.job, facts.started)) else {
            return Err(format!("verdict {number} of {count} is not about this start"));
        };
        let member = facts.sets[set].members.get(usize::from(signature.index));
        let signer = facts.domain.member_of(verdict, signature);
        if member.is_none_or(|m| signer != Some(m.signer)) {
            return Err(format!("verdict {number} of {count} is not signed by its custodian"));
        }
        if !seen[set].insert(signature.index) {
            return Err(format!("verdict {number} of {count} is of a custodian that has spoken already"));
        }
    }
    let mut said = Vec::new();
    for (set, seen) in facts.sets.iter().zip(&seen) {
        let (of, needed) = (set.members.len(), set.needed);
        if seen.len() < needed {
            return Err(format!("only {} of {needed} needed are about this start", seen.len()));
        }
        said.push(format!("{} of {of} custodians, {needed} needed", seen.len()));
    }
    Ok(said.join("; of the requester's own "))
}

/// Whether a verdict is about this start of this job, under its appraisal policy; whose it is, is for
/// the caller.
fn about(verdict: &Verdict, job: &Job, started: u64) -> bool {
    verdict.jobId == job.jobId
        && (job.providerId.is_zero() || verdict.providerId == job.providerId)
        && verdict.attempt == job.attempt
        && verdict.signer == job.signer
        && verdict.runtimeDataHash == job.runtimeDataHash
        && verdict.appraisalPolicy == job.appraisalPolicy
        && verdict.level >= job.requiredLevel
        && (started..=started.saturating_add(VERDICT_SECONDS)).contains(&verdict.expiresAt)
}
