//! The end of a job: who signed it, where every coin went, and that the result is still there.

use std::io::BufReader;

use licen_core::abi::{DataPolicy, Job, ResultManifest};
use licen_core::eip712::Domain;
use licen_core::job::{JobState, Reason};
use licen_core::money::{Settlement, total_escrow};
use licen_core::primitives::Bytes;
use licen_core::report::JobReport;
use licen_core::sol_types::SolCall;
use licen_seal::result::{ResultHeader, ResultTerms};

use super::check::{Audit, holds};
use super::evidence;
use crate::session::held_manifest::held_manifest;
use crate::session::job_history::JobHistory;
use crate::session::ledger::Token;
use crate::session::report::summary;

pub(super) async fn completed(audit: &mut Audit<'_>, domain: &Domain, job: &Job, history: &JobHistory) {
    let Some(result) = &history.result else {
        return audit.line("settlement", Err("Completed, but no ResultRecorded event".into()));
    };
    match signed_manifest(audit, domain, job, history).await {
        Some((manifest, signature)) => {
            let signer = domain.signer_of(&manifest, &signature);
            let signed = holds(
                signer == Some(job.signer),
                format!("signed by the attested key {}", job.signer),
                "not signed by the key that custodians attested",
            );
            audit.line("result manifest", signed);
            let same = same_as_event(&manifest, job, result);
            audit.line("manifest fields", same);
        }
        // Whoever settles chooses through whom, and custodians keep manifests for a while only: that must
        // not speak against the job. DataPolicy, whose code was compared, took no other signature.
        None => audit.line(
            "result manifest",
            Ok("checked by DataPolicy; settled through another contract, no custodian shows it now".into()),
        ),
    }
    let token = audit.session.words(job.token).await;
    audit.line("money", money(job, &token, result, history));
    evidence::evidence(audit, domain, job, history, result.attestationRef).await;
    report(audit, result).await;
    let verdict = result_blob(audit, domain, job, result).await;
    audit.line("result blob", verdict);
}

/// What settled the job: the transaction's own argument, or, where that called another contract, whose
/// arguments may be anything, what a custodian holds.
async fn signed_manifest(
    audit: &Audit<'_>,
    domain: &Domain,
    job: &Job,
    history: &JobHistory,
) -> Option<(ResultManifest, Bytes)> {
    if let Some((to, input)) = &history.settled_by
        && *to == Some(domain.contract)
        && let Ok(call) = DataPolicy::confirmTrainingCompleteCall::abi_decode(input)
    {
        return Some((call.manifest, call.signature));
    }
    let held = held_manifest(audit.session, domain, job).await.ok()?;
    Some((held.manifest.0, held.signature))
}

/// Every end without a result: the escrow went back.
pub(super) async fn refunded(audit: &mut Audit<'_>, job: &Job, state: JobState, history: &JobHistory) {
    let reason = history.failed.and_then(Reason::from_chain);
    if state == JobState::Failed {
        let verdict = match (history.failed, reason) {
            (_, Some(reason)) => Ok(reason.name().to_string()),
            (Some(number), None) => Err(format!("reason {number} is unknown")),
            (None, None) => Err("Failed, but no JobFailed event".into()),
        };
        audit.line("reason", verdict);
    }
    let token = audit.session.words(job.token).await;
    let beside = token.beside();
    let paid = total_escrow(job);
    let kept = paid.saturating_sub(history.refund);
    // A specification that cannot be trained is the requester's fault: compute is paid for what ran.
    let may_keep = reason == Some(Reason::JobSpecInvalid) && job.computeFeePerEpoch > 0;
    let fair = history.royalty.is_zero() && history.refund <= paid && (kept.is_zero() || may_keep);
    audit.line(
        "money",
        holds(
            fair,
            format!(
                "{} paid in, {} refunded, {} to compute{beside}",
                token.number(paid),
                token.number(history.refund),
                token.number(kept)
            ),
            format!(
                "{} paid in, but {} refunded and {} paid as royalty{beside}",
                token.number(paid),
                token.number(history.refund),
                token.number(history.royalty)
            ),
        ),
    );
}

fn same_as_event(manifest: &ResultManifest, job: &Job, result: &ResultManifest) -> Result<String, String> {
    let of_job = manifest.jobId == job.jobId
        && manifest.attempt == job.attempt
        && manifest.datasetRoot == job.datasetRoot;
    holds(
        of_job && manifest == result,
        format!(
            "{} epochs, {} samples, {} text tokens trained, {} compute seconds",
            manifest.actualEpochs, manifest.samples, manifest.tokensTrained, manifest.computeSeconds
        ),
        "they are not what the event says",
    )
}

fn money(job: &Job, token: &Token, result: &ResultManifest, history: &JobHistory) -> Result<String, String> {
    let beside = token.beside();
    let Some(due) = Settlement::completed(job, result) else {
        return Err("epochs outside the request".into());
    };
    holds(
        due.royalty == history.royalty && due.refund == history.refund,
        format!(
            "{} paid in = {} royalty ({} of it protocol fee) + {} refund + {} compute{beside}",
            token.number(total_escrow(job)),
            token.number(due.royalty),
            token.number(due.protocol_fee),
            token.number(due.refund),
            token.number(due.compute_fee)
        ),
        format!(
            "the events say {} royalty and {} refund, the terms say {} and {}{beside}",
            token.number(history.royalty),
            token.number(history.refund),
            token.number(due.royalty),
            token.number(due.refund)
        ),
    )
}

/// What the job measured: the report that the manifest names, of this attempt, and in line with the manifest.
async fn report(audit: &mut Audit<'_>, result: &ResultManifest) {
    let Some(bytes) = audit.blob("job report", result.reportHash).await else { return };
    let read = JobReport::from_blob(&bytes).and_then(|report| report.must_be_of(result).map(|()| report));
    audit.line("report fields", read.map(|report| summary(&report)).map_err(|e| e.to_string()));
}

/// Downloads the result, which checks its root, and reads whom its key is shared to.
async fn result_blob(
    audit: &Audit<'_>,
    domain: &Domain,
    job: &Job,
    result: &ResultManifest,
) -> Result<String, String> {
    let root = result.resultHash;
    let dir = audit.session.config.state_dir().map_err(|e| e.message)?;
    let path = dir.join(format!("audit-{root}.bin"));
    let got = audit.session.get_file(root, &path).await;
    let header = std::fs::File::open(&path)
        .map_err(|e| e.to_string())
        .and_then(|file| ResultHeader::read_from(&mut BufReader::new(file)).map_err(|e| e.to_string()));
    let _ = std::fs::remove_file(&path);
    let bytes = got.map_err(|e| e.causes.first().cloned().unwrap_or(e.message))?;
    let header = header?;
    let (t, members) = audit.custodians(job).await?;
    let terms = ResultTerms { domain: *domain, job_id: job.jobId, attempt: job.attempt };
    header.must_be_of(&terms, t, &members).map_err(|e| format!("{root}: {e}"))?;
    if header.adapter_root() != result.adapterRoot {
        return Err(format!("{root}: its header names another adapter than the manifest"));
    }
    Ok(format!("{bytes} bytes hash to {root}, key shared to the job's custodians, {t} needed"))
}
