//! The documents a job names by root, and whether they fit the job. A root is a hash of the bytes, so
//! whoever serves them cannot choose what they say.

use licen_core::canonical::{cbor_of_blob, json_from_slice, json_of_blob};
use licen_core::constraints::{self, Constraints, JobSpec};
use licen_core::policy_manifest::{self, PolicyManifest};
use licen_core::primitives::Address;
use licen_core::wire::compute::Dispatch;
use licen_seal::RecipientPublicKey;
use licen_seal::envelope::{Envelope, MAX_ENVELOPE_BYTES, Uses};

use super::blobs::{BlobError, Blobs};
use super::config::Config;
use super::custodians::Member;
use super::quote::facts;
use super::training::Plan;

/// What custodians take of constraints and job specifications.
pub(super) const MAX_DOCUMENT_BYTES: u64 = 64 * 1024;

/// Everything small that a job names.
pub(super) struct Documents {
    pub(super) envelope: Envelope,
    pub(super) envelope_bytes: Vec<u8>,
    pub(super) constraints: Constraints,
    pub(super) constraints_bytes: Vec<u8>,
    pub(super) job_spec: JobSpec,
    pub(super) job_spec_bytes: Vec<u8>,
    pub(super) policy_manifest: PolicyManifest,
    /// Training settings, parsed from the job specification.
    pub(super) plan: Plan,
    /// Custodians of the envelope that the dispatch knows an address of, in ascending index.
    pub(super) members: Vec<Member>,
    /// HPKE keys of every custodian of the envelope, index 1 first.
    pub(super) hpke_members: Vec<(Address, RecipientPublicKey)>,
}

/// Why the documents do not make a job.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocumentError {
    /// Cannot be fetched (yet).
    #[error("{what}: {source}")]
    Fetch { what: &'static str, source: BlobError },
    /// Fetched, and refused for good.
    #[error("{0}")]
    Refused(String),
}

fn refused(reason: impl std::fmt::Display) -> DocumentError {
    DocumentError::Refused(reason.to_string())
}

impl Documents {
    /// Fetches, verifies and compares everything that needs no key.
    ///
    /// # Errors
    /// See [`DocumentError`].
    pub(super) async fn fetch(
        blobs: &Blobs,
        dispatch: &Dispatch,
        config: &Config,
    ) -> Result<Self, DocumentError> {
        let (policy, job) = (&dispatch.policy.0, &dispatch.job.0);
        let get = async |what: &'static str, root, cap| {
            blobs.get(root, cap).await.map_err(|source| DocumentError::Fetch { what, source })
        };
        let get_json =
            async |what, root, cap| get(what, root, cap).await.map(|bytes| json_of_blob(&bytes).to_vec());
        let envelope_bytes = get("the envelope", job.envelopeHash, MAX_ENVELOPE_BYTES as u64).await?;
        let envelope_bytes = cbor_of_blob(&envelope_bytes).map_err(refused)?.to_vec();
        let constraints_bytes =
            get_json("the constraints", policy.constraintsHash, MAX_DOCUMENT_BYTES).await?;
        let job_spec_bytes = get_json("the job specification", job.jobSpecHash, MAX_DOCUMENT_BYTES).await?;
        let cap = policy_manifest::MAX_BYTES as u64;
        let manifest_bytes = get_json("the policy manifest", policy.manifestHash, cap).await?;

        let envelope = Envelope::decode(&envelope_bytes).map_err(refused)?;
        check_envelope(&envelope, dispatch)?;
        let hpke_members = envelope.hpke_members().map_err(refused)?;
        let members = members(&envelope, dispatch)?;
        let constraints: Constraints = json_from_slice(&constraints_bytes).map_err(refused)?;
        let job_spec: JobSpec = json_from_slice(&job_spec_bytes).map_err(refused)?;
        constraints::check(&constraints, &job_spec, &facts(config)).map_err(refused)?;
        if !config.base_models.is_empty() && !config.base_models.contains(&job_spec.base_model_root) {
            return Err(refused("this node does not train the base model that the job names"));
        }
        let plan = Plan::new(&job_spec, job.epochs, config.threads).map_err(refused)?;
        let policy_manifest = PolicyManifest::from_bytes(&manifest_bytes).map_err(refused)?;
        let rows = policy_manifest.row_count();
        plan.check_epoch(rows).map_err(refused)?;
        plan.check_units(job, rows, None).map_err(refused)?;
        Ok(Self {
            envelope,
            envelope_bytes,
            constraints,
            constraints_bytes,
            job_spec,
            job_spec_bytes,
            policy_manifest,
            plan,
            members,
            hpke_members,
        })
    }
}

fn check_envelope(envelope: &Envelope, dispatch: &Dispatch) -> Result<(), DocumentError> {
    let (terms, job) = (envelope.terms(), &dispatch.job.0);
    let checks = [
        (terms.chain_id == dispatch.chain_id, "chain"),
        (terms.dataset_uid == job.datasetUid, "datasetUid"),
        (terms.uses == Uses::Job, "uses"),
        (terms.t == dispatch.threshold, "threshold"),
        (terms.required_level == job.requiredLevel, "requiredLevel"),
        (terms.custodian_set == job.custodianSet, "custodianSet"),
        (terms.set_version == job.setVersion, "setVersion"),
    ];
    let broken = checks.into_iter().find(|(holds, _)| !holds);
    broken.map_or(Ok(()), |(_, field)| Err(refused(format!("the envelope has another {field} than the job"))))
}

/// The envelope says who the custodians are; the dispatch only says where they listen.
fn members(envelope: &Envelope, dispatch: &Dispatch) -> Result<Vec<Member>, DocumentError> {
    let mut members = Vec::new();
    for custodian in &dispatch.custodian_urls {
        let i = envelope
            .index_of(&custodian.id)
            .ok_or_else(|| refused(format!("custodian {} is not in the envelope", custodian.id)))?;
        members.push(Member { i, id: custodian.id, url: custodian.url.clone() });
    }
    members.sort_by_key(|m| m.i);
    Ok(members)
}
