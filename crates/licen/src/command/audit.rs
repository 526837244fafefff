//! `licen audit JOB`: everything re-verified from the chain and storage, one line per check. The
//! node's index is used to find the job and then contradicted where it can be.

use licen_attest::{AppraisalPolicy, ReferenceEntry};
use licen_core::abi::{DataPolicy, Job, Policy, ResultManifest};
use licen_core::constraints::{Constraints, JobSpec, ProviderFacts, check};
use licen_core::eip712::Domain;
use licen_core::evidence_bundle::EvidenceBundle;
use licen_core::id::{dataset_uid, policy_hash};
use licen_core::job::JobState;
use licen_core::money::Settlement;
use licen_core::policy_manifest::PolicyManifest;
use licen_core::primitives::{B256, Bytes, U256};
use licen_core::runtime_data::{self, RuntimeData};
use licen_core::sol_types::SolCall;
use licen_seal::Envelope;
use serde_json::json;

use crate::cli::JobArg;
use crate::codes;
use crate::error::{CliError, Outcome};
use crate::session::Session;

/// Largest document read.
const MAX_DOCUMENT: u64 = 8 << 20;

/// What the chain says of one job, gathered from its logs and the settling transaction.
#[derive(Debug, Default)]
pub struct JobHistory {
    /// `JobCompleted`: actualEpochs, resultHash, attestationRef.
    pub completed: Option<(u32, B256, B256)>,
    /// `RoyaltySettled`.
    pub royalty: U256,
    /// `RefundIssued`.
    pub refund: U256,
    /// Input of the transaction that settled it.
    pub input: Bytes,
}

struct Audit<'a> {
    session: &'a Session,
    failed: Option<String>,
    checks: u32,
}

impl Audit<'_> {
    fn line(&mut self, name: &str, verdict: Result<String, String>) {
        self.checks += 1;
        let (word, detail) = match &verdict {
            Ok(detail) => ("ok", detail.clone()),
            Err(reason) => ("FAILED", reason.clone()),
        };
        self.session.ui.record(&json!({"check": name, "ok": verdict.is_ok(), "detail": detail}));
        self.session.ui.data(&format!("{word:<7} {name:<22} {detail}"));
        if verdict.is_err() && self.failed.is_none() {
            self.failed = Some(name.to_string());
        }
    }

    async fn blob(&mut self, name: &str, root: B256) -> Option<Vec<u8>> {
        match self.session.blob(root, MAX_DOCUMENT).await {
            Ok(bytes) => {
                self.line(name, Ok(format!("{} bytes hash to {root}", bytes.len())));
                Some(bytes)
            }
            Err(error) => {
                let cause = error.causes.first().cloned().unwrap_or(error.message);
                self.line(name, Err(format!("{root}: {cause}")));
                None
            }
        }
    }
}

fn holds(condition: bool, yes: impl Into<String>, no: impl Into<String>) -> Result<String, String> {
    if condition { Ok(yes.into()) } else { Err(no.into()) }
}

/// Audits one job.
///
/// # Errors
/// Some check does not hold.
pub async fn audit(session: &Session, args: &JobArg) -> Outcome {
    let indexed = session.node()?.job(&args.job).await?;
    let (job, policy) = (indexed.job.clone(), indexed.policy.clone());
    let chain = session.chain().await?;
    let domain = chain.domain();
    let mut audit = Audit { session, failed: None, checks: 0 };
    let state = chain.state(&job).await;
    let state_name = state.as_ref().map_or("unknown", |s| s.name());
    audit.line(
        "job on chain",
        state.as_ref().map(|s| format!("{} with this preimage", s.name())).map_err(|e| e.message.clone()),
    );
    audit.line(
        "policy",
        holds(
            policy_hash(&policy) == job.policyHash,
            "the job pins this policy",
            "the job pins another policy",
        ),
    );
    let uid = dataset_uid(&domain, policy.owner, policy.salt);
    audit.line(
        "dataset uid",
        holds(uid == job.datasetUid, format!("computed from owner and salt: {uid}"), "it is not the owner's"),
    );
    documents(&mut audit, &domain, &job, &policy).await;
    ciphertext(&mut audit, &policy).await;
    if matches!(state, Ok(JobState::Completed)) {
        let history = chain.history(&job).await?;
        settlement(&mut audit, &domain, &job, &history).await;
    } else {
        audit.line("settlement", Ok(format!("none: the job is {state_name}")));
    }
    let checks = audit.checks;
    match audit.failed {
        None => {
            session.ui.progress(&format!("{checks} checks, all hold"));
            Ok(())
        }
        Some(first) => {
            Err(CliError::refused(codes::AUDIT_FAILED, format!("the audit failed, first at: {first}"))
                .hint("licen explain LIC0903"))
        }
    }
}

async fn documents(audit: &mut Audit<'_>, domain: &Domain, job: &Job, policy: &Policy) {
    if let Some(bytes) = audit.blob("policy manifest", policy.manifestHash).await {
        let read = PolicyManifest::from_bytes(&bytes);
        let verdict =
            read.map(|m| format!("{} rows, preview proven", m.row_count())).map_err(|e| e.to_string());
        audit.line("rows and preview", verdict);
    }
    if let Some(bytes) = audit.blob("envelope", job.envelopeHash).await {
        let verdict = Envelope::decode(&bytes).map_err(|e| e.to_string()).and_then(|envelope| {
            let terms = envelope.terms();
            let same = terms.domain == *domain
                && terms.dataset_uid == job.datasetUid
                && terms.custodian_set == job.custodianSet
                && terms.set_version == job.setVersion;
            holds(
                same,
                format!("{} shares needed, bound to this dataset and set", terms.t),
                "it is bound to something else",
            )
        });
        audit.line("envelope terms", verdict);
    }
    let constraints = audit.blob("constraints", policy.constraintsHash).await;
    let spec = audit.blob("job specification", job.jobSpecHash).await;
    if let (Some(constraints), Some(spec)) = (constraints, spec) {
        let parsed = licen_core::canonical::json_from_slice::<Constraints>(&constraints)
            .and_then(|c| Ok((c, licen_core::canonical::json_from_slice::<JobSpec>(&spec)?)));
        let provider = ProviderFacts { provider_id: job.providerId, ..ProviderFacts::default() };
        let verdict = match parsed {
            Ok((constraints, spec)) => check(&constraints, &spec, &provider)
                .map(|()| "the job is inside the owner's constraints".to_string())
                .map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        audit.line("constraints kept", verdict);
    }
}

async fn ciphertext(audit: &mut Audit<'_>, policy: &Policy) {
    let path = match audit.session.config.state_dir() {
        Ok(dir) => dir.join(format!("audit-{}.bin", policy.datasetRoot)),
        Err(error) => return audit.line("dataset ciphertext", Err(error.message)),
    };
    let verdict = match audit.session.get_file(policy.datasetRoot, &path).await {
        Ok(bytes) => Ok(format!("{bytes} bytes hash to {}", policy.datasetRoot)),
        Err(error) => Err(error.causes.first().cloned().unwrap_or(error.message)),
    };
    let _ = std::fs::remove_file(path);
    audit.line("dataset ciphertext", verdict);
}

async fn settlement(audit: &mut Audit<'_>, domain: &Domain, job: &Job, history: &JobHistory) {
    let Some((epochs, result_hash, attestation_ref)) = history.completed else {
        return audit.line("settlement", Err("Completed, but no JobCompleted event".into()));
    };
    let call = DataPolicy::confirmTrainingCompleteCall::abi_decode(&history.input);
    match call {
        Ok(call) => {
            let signer = domain.signer_of(&call.manifest, &call.signature);
            let signed = holds(
                signer == Some(job.signer),
                format!("signed by the attested key {}", job.signer),
                "not signed by the key that custodians attested",
            );
            audit.line("result manifest", signed);
            audit.line(
                "manifest fields",
                same_as_event(&call.manifest, job, epochs, result_hash, attestation_ref),
            );
        }
        // Settled through another contract: the contract itself checked the same signature.
        Err(_) => {
            audit.line("result manifest", Ok("settled through another contract, which passed it on".into()))
        }
    }
    money(audit, job, epochs, history);
    if let Some(bytes) = audit.blob("evidence bundle", attestation_ref).await {
        evidence(audit, domain, job, &bytes).await;
    }
    match audit.session.blob_size(result_hash).await {
        Ok(Some(size)) => audit.line("result blob", Ok(format!("{size} bytes under {result_hash}"))),
        Ok(None) => audit.line("result blob", Err(format!("storage no longer has {result_hash}"))),
        Err(error) => audit.line("result blob", Err(error.message)),
    }
}

fn same_as_event(
    manifest: &ResultManifest,
    job: &Job,
    epochs: u32,
    result_hash: B256,
    attestation_ref: B256,
) -> Result<String, String> {
    let same = manifest.jobId == job.jobId
        && manifest.attempt == job.attempt
        && manifest.datasetRoot == job.datasetRoot
        && manifest.actualEpochs == epochs
        && manifest.resultHash == result_hash
        && manifest.attestationRef == attestation_ref;
    holds(
        same,
        format!(
            "{epochs} epochs, {} samples, {} text tokens trained",
            manifest.samples, manifest.tokensTrained
        ),
        "they are not what the event says",
    )
}

fn money(audit: &mut Audit<'_>, job: &Job, epochs: u32, history: &JobHistory) {
    let verdict = match Settlement::completed(job, epochs) {
        Some(s) if s.royalty == history.royalty && s.refund == history.refund => Ok(format!(
            "{} royalty + {} refund + {} compute = everything paid in",
            s.royalty, s.refund, s.compute_fee
        )),
        Some(s) => Err(format!(
            "the events say {} + {}, the terms say {} + {}",
            history.royalty, history.refund, s.royalty, s.refund
        )),
        None => Err("epochs outside the request".into()),
    };
    audit.line("money", verdict);
}

async fn evidence(audit: &mut Audit<'_>, domain: &Domain, job: &Job, bytes: &[u8]) {
    let bundle: EvidenceBundle = match licen_core::canonical::json_from_slice(bytes) {
        Ok(bundle) => bundle,
        Err(e) => return audit.line("evidence", Err(e.to_string())),
    };
    let hash = runtime_data::hash(&bundle.runtime_data);
    audit.line(
        "runtime data",
        holds(hash == job.runtimeDataHash, "its hash is the one on chain", "the chain names another"),
    );
    match RuntimeData::from_bytes(&bundle.runtime_data) {
        Ok(data) => {
            let verdict = data.mismatch(domain, job, job.attempt);
            audit.line(
                "runtime data fields",
                verdict.map_or(Ok("bound to this job".into()), |f| Err(format!("{f} differs"))),
            );
        }
        Err(e) => audit.line("runtime data fields", Err(e.to_string())),
    }
    verdicts(audit, domain, job, &bundle).await;
    let Some(values) = audit.blob("reference values", bundle.entry).await else { return };
    let verdict = ReferenceEntry::from_bytes(&values).map_err(|e| e.to_string()).and_then(|entry| {
        let policy = AppraisalPolicy {
            chain_id: domain.chain_id,
            entries: std::slice::from_ref(&entry),
            platforms: None,
        };
        licen_attest::appraise(&bundle.evidence, &bundle.runtime_data, &policy, bundle.recorded_at)
            .map(|result| format!("appraised at its time {}: level {}", bundle.recorded_at, result.level()))
            .map_err(|e| e.to_string())
    });
    audit.line("evidence", verdict);
}

async fn verdicts(audit: &mut Audit<'_>, domain: &Domain, job: &Job, bundle: &EvidenceBundle) {
    let custodians = match audit.session.chain().await {
        Ok(chain) => chain.custodians(job.custodianSet, job.setVersion).await,
        Err(error) => Err(error),
    };
    let (t, members) = match custodians {
        Ok(set) => set,
        Err(error) => return audit.line("verdicts", Err(error.message)),
    };
    let mut seen = std::collections::BTreeSet::new();
    for (verdict, signature) in bundle.verdicts.iter().zip(&bundle.signatures) {
        let member = members.get(usize::from(signature.0.index));
        let ours = verdict.0.jobId == job.jobId
            && verdict.0.signer == job.signer
            && verdict.0.runtimeDataHash == job.runtimeDataHash
            && verdict.0.custodianSet == job.custodianSet;
        if ours && member.is_some_and(|m| domain.member_of(&verdict.0, &signature.0) == Some(m.signer)) {
            seen.insert(signature.0.index);
        }
    }
    let enough = seen.len() >= usize::from(t);
    audit.line(
        "verdicts",
        holds(
            enough,
            format!("{} of {} custodians, {t} needed", seen.len(), members.len()),
            format!("only {} of {t} needed", seen.len()),
        ),
    );
}
