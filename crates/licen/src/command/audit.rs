//! `licen audit JOB`: everything re-verified from the chain and storage, one line per check. The
//! node's index is used to find the job and then contradicted where it can be.

use licen_core::abi::{Job, Member, Policy, ResultManifest};
use licen_core::id::{dataset_uid, policy_hash};
use licen_core::job::JobState;
use licen_core::policy_manifest::PolicyManifest;
use licen_core::primitives::{Address, B256, Bytes, U256, keccak256};
use licen_core::unit::Unit;
use licen_seal::Envelope;
use serde_json::json;

use crate::cli::AuditArgs;
use crate::codes;
use crate::error::{CliError, Outcome};
use crate::node_client::IndexedJob;
use crate::session::Session;

mod admission;
mod custody;
mod evidence;
mod logs;
mod payees;
mod provider;
mod settlement;

/// Largest document read.
const MAX_DOCUMENT: u64 = 8 << 20;

/// What the chain says of one job, gathered from its logs and the settling transaction.
#[derive(Debug, Default)]
pub struct JobHistory {
    /// `JobOpened`: its block and transaction.
    pub opened: Option<(u64, B256)>,
    /// `JobStarted` of the last attempt: its block and that block's time.
    pub started: Option<(u64, u64)>,
    /// What compute stated, as `ResultRecorded` has it.
    pub result: Option<ResultManifest>,
    /// `JobFailed`: the reason's number.
    pub failed: Option<u8>,
    /// `RoyaltySettled`.
    pub royalty: U256,
    /// `RefundIssued`.
    pub refund: U256,
    /// Whom the settling transaction called, and with what.
    pub settled_by: Option<(Option<Address>, Bytes)>,
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

    /// One line; whether it holds.
    fn checked(&mut self, name: &str, verdict: Result<String, String>) -> bool {
        let holds = verdict.is_ok();
        self.line(name, verdict);
        holds
    }

    fn finish(self) -> Outcome {
        let checks = self.checks;
        match self.failed {
            None => {
                self.session.ui.progress(&format!("{checks} checks, all hold"));
                Ok(())
            }
            Some(first) => {
                Err(CliError::refused(codes::AUDIT_FAILED, format!("the audit failed, first at: {first}"))
                    .hint("licen explain LIC0903"))
            }
        }
    }

    /// The members of the job's custodian set.
    async fn custodians(&self, job: &Job) -> Result<(u8, Vec<Member>), String> {
        self.set(job.custodianSet, job.setVersion).await
    }

    /// Threshold and members of a set.
    async fn set(&self, id: B256, version: u32) -> Result<(u8, Vec<Member>), String> {
        let chain = self.session.chain().await.map_err(|e| e.message)?;
        chain.custodians(id, version).await.map_err(|e| e.message)
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

/// Audits one job, or the custody of one dataset.
///
/// # Errors
/// Some check does not hold.
pub async fn audit(session: &Session, args: &AuditArgs) -> Outcome {
    match (&args.job, &args.dataset) {
        (_, Some(dataset)) => custody::audit(session, dataset).await,
        (Some(job), None) => of_job(session, job).await,
        (None, None) => Err(CliError::environment(codes::USAGE, "neither a job nor --dataset was given")),
    }
}

async fn of_job(session: &Session, job: &str) -> Outcome {
    let mut audit = Audit { session, failed: None, checks: 0 };
    let (indexed, state) = match session.job(job).await {
        Ok(found) => found,
        // The chain knows another job under this id, or none: nothing below could be trusted.
        Err(error) if error.code == codes::CHAIN && error.exit == crate::error::REFUSED => {
            let cause = error.causes.first().cloned().unwrap_or(error.message);
            audit.line("job on chain", Err(cause));
            return audit.finish();
        }
        Err(error) => return Err(error),
    };
    let (job, policy) = (&indexed.job, &indexed.policy);
    let chain = session.chain_at(indexed.contract).await?;
    let domain = chain.domain();
    audit.line("job on chain", Ok(format!("{} with this preimage", state.name())));
    audit.line(
        "policy",
        holds(
            policy_hash(policy) == job.policyHash,
            "the job pins this policy",
            "the job pins another policy",
        ),
    );
    audit.line("policy kept", policy_kept(job, policy));
    let uid = dataset_uid(domain.chain_id, policy.owner, policy.salt);
    audit.line(
        "dataset uid",
        holds(uid == job.datasetUid, format!("computed from owner and salt: {uid}"), "it is not the owner's"),
    );
    let history = chain.history(job).await?;
    documents(&mut audit, domain.chain_id, &indexed).await;
    provider::constraints_kept(&mut audit, &chain, &indexed, &history).await;
    stored(&mut audit, "dataset ciphertext", policy.datasetRoot).await;
    logs::anchored(&mut audit, job).await?;
    admission::admitted(&mut audit, &chain, &indexed, &history).await;
    match state {
        JobState::Completed => settlement::completed(&mut audit, &domain, job, &history).await,
        JobState::Failed | JobState::Expired | JobState::Cancelled => {
            settlement::refunded(&mut audit, job, state, &history).await;
        }
        JobState::Granted | JobState::Running => {
            audit.line("settlement", Ok(format!("none yet: the job is {}", state.name())));
        }
    }
    audit.finish()
}

/// What the contract checked when it took the money.
fn policy_kept(job: &Job, policy: &Policy) -> Result<String, String> {
    if job.epochs == 0 || job.epochs > policy.maxEpochsPerRun {
        return Err(format!("{} epochs, at most {} per run", job.epochs, policy.maxEpochsPerRun));
    }
    if !policy.purposes.contains(&job.purposeId) {
        return Err(format!("purpose {} is not among those allowed", job.purposeId));
    }
    let same = job.datasetUid == policy.datasetUid
        && job.datasetRoot == policy.datasetRoot
        && job.owner == policy.owner
        && job.payee == policy.payee
        && job.unit == Unit::Epoch as u8
        && job.royaltyPerUnit == policy.royaltyPerEpoch
        && job.units == u64::from(job.epochs)
        && job.token == policy.token
        && job.appraisalPolicy == policy.appraisalPolicy
        && job.requiredLevel == policy.requiredLevel
        && (job.custodianSet, job.setVersion) == (policy.custodianSet, policy.setVersion);
    holds(
        same,
        format!("{} of at most {}, price and payee are the policy's", job.epochs, policy.maxEpochsPerRun),
        "the job has other terms than its policy",
    )
}

async fn documents(audit: &mut Audit<'_>, chain_id: u64, indexed: &IndexedJob) {
    let IndexedJob { job, policy, .. } = indexed;
    if let Some(bytes) = audit.blob("policy manifest", policy.manifestHash).await {
        let read = PolicyManifest::from_bytes(&bytes);
        let verdict = read
            .as_ref()
            .map(|m| format!("{} rows, preview proven", m.row_count()))
            .map_err(|e| e.to_string());
        audit.line("rows and preview", verdict);
        if let Ok(manifest) = read {
            let offers = manifest.offers(policy).map_err(|e| e.to_string());
            audit.line("offer", offers.map(|()| "in words it is what the policy enforces".to_string()));
            audit.line("payees", payees::payees(policy.payee, &manifest.facts().split));
            if let Some(terms) = audit.blob("terms", policy.termsHash).await {
                let named = keccak256(terms) == manifest.facts().human_text_hash;
                audit.line(
                    "terms agreed to",
                    holds(named, "the manifest names this text", "the manifest names another text"),
                );
            }
        }
    }
    if let Some(bytes) = audit.blob("envelope", job.envelopeHash).await {
        let verdict = envelope_terms(audit, chain_id, job, &bytes).await;
        audit.line("envelope terms", verdict);
    }
}

async fn envelope_terms(audit: &Audit<'_>, chain_id: u64, job: &Job, bytes: &[u8]) -> Result<String, String> {
    let envelope = Envelope::decode(bytes).map_err(|e| e.to_string())?;
    let terms = envelope.terms();
    let bound = terms.chain_id == chain_id
        && terms.dataset_uid == job.datasetUid
        && terms.custodian_set == job.custodianSet
        && terms.set_version == job.setVersion
        && terms.required_level == job.requiredLevel;
    if !bound {
        return Err("it is bound to something else".into());
    }
    let (t, members) = audit.custodians(job).await?;
    let sealed = envelope.hpke_members().map_err(|e| e.to_string())?;
    let same = terms.t == t
        && sealed.len() == members.len()
        && sealed.iter().zip(&members).all(|((who, pk), m)| (*who, pk.0) == (m.signer, m.hpkeKey));
    holds(
        same,
        format!("sealed to the {} keys in Custody, {t} needed, bound to this dataset", members.len()),
        "it is sealed to other keys than those in Custody",
    )
}

/// That storage still has the bytes of a root.
async fn stored(audit: &mut Audit<'_>, name: &str, root: B256) {
    let path = match audit.session.config.state_dir() {
        Ok(dir) => dir.join(format!("audit-{root}.bin")),
        Err(error) => return audit.line(name, Err(error.message)),
    };
    let verdict = match audit.session.get_file(root, &path).await {
        Ok(bytes) => Ok(format!("{bytes} bytes hash to {root}")),
        Err(error) => Err(error.causes.first().cloned().unwrap_or(error.message)),
    };
    let _ = std::fs::remove_file(path);
    audit.line(name, verdict);
}
