//! `licen audit JOB`: everything re-verified from the chain and storage, one line per check. The
//! node's index is used to find the job and then contradicted where it can be.

use licen_core::abi::{Job, Policy};
use licen_core::id::{dataset_uid, policy_hash};
use licen_core::job::JobState;
use licen_core::policy_manifest::PolicyManifest;
use licen_core::primitives::keccak256;
use licen_core::unit::Unit;
use licen_seal::Envelope;

use super::check::{Audit, holds, stored};
use super::{admission, logs, payees, provider, settlement};
use crate::session::error::Outcome;
use crate::session::node_client::IndexedJob;
use crate::session::{Session, codes};

/// Audits one job.
///
/// # Errors
/// Some check does not hold.
pub(super) async fn audit(session: &Session, job: &str) -> Outcome {
    let mut audit = Audit { session, failed: None, checks: 0 };
    let (indexed, state) = match session.job(job).await {
        Ok(found) => found,
        // The chain knows another job under this id, or none: nothing below could be trusted.
        Err(error) if error.code == codes::CHAIN && error.exit == crate::session::error::REFUSED => {
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
