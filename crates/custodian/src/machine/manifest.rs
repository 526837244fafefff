//! `POST /v1/deliver`, second step: the signed manifest, which this custodian publishes only with
//! signatures of t members that hold the result, and only where it holds it itself: with exactly the
//! roots that the manifest names.

use licen_core::abi::{Job, ResultManifest};
use licen_core::canonical::json_from_slice;
use licen_core::eip712::Domain;
use licen_core::primitives::{B256, Bytes};
use licen_core::result_roots::ResultRoots;
use licen_core::wire::custodian::SignedManifest;
use licen_seal::delivery::{DeliveryTerms, open_manifest};
use licen_seal::result::ResultHeader;
use licen_store::HeldResult;

use super::deliver::HeldCase;
use super::{Loaded, Outcome, Settings, Subject, Turn, unexpected, write};
use crate::audit::Line;
use crate::denial::Denial;
use crate::effect::{Effect, Load, Reply, Write};
use crate::event::{Answer, Wrote};
use crate::judge::encoding;

pub(super) enum Step {
    Loading { attempt: u32, enc: Bytes, ct: Bytes },
    Writing,
}

pub(super) fn begin(job_id: B256, attempt: u32, enc: Bytes, ct: Bytes) -> Turn {
    let load = Load::Held { job_id, attempt: Some(attempt) };
    Turn::Wait(super::Step::Manifest(Box::new(Step::Loading { attempt, enc, ct })), Effect::Load(load))
}

impl Step {
    pub(super) fn on(self, settings: &Settings, subject: Subject, answer: Answer) -> Outcome {
        match (self, answer) {
            (Self::Loading { attempt, enc, ct }, Answer::Loaded(Loaded::Held { held, case, .. })) => {
                let held = held.ok_or(Denial::NotHeld)?;
                subject.must_be_of(held.contract)?;
                let case: HeldCase =
                    case.and_then(|c| serde_json::from_slice(&c).ok()).ok_or(Denial::NotHeld)?;
                let identity = &settings.identity;
                let custodian = identity.signing.address();
                let terms = DeliveryTerms { job_id: subject.job_id, attempt, custodian };
                let header = ResultHeader::read_from(&mut &case.head[..])?;
                let own = header.members().iter().find(|member| member.custodian == custodian);
                let key = identity.key_of(&own.ok_or(Denial::NotAMember)?.pk.0)?;
                let plain = open_manifest(&enc, &ct, &terms, key)?;
                take(settings, subject, &held, &case, &plain)
            }
            (Self::Writing, Answer::Wrote(Wrote::Done)) => Ok(Turn::Reply(Reply::Done)),
            _ => unexpected(),
        }
    }
}

fn take(settings: &Settings, subject: Subject, held: &HeldResult, case: &HeldCase, plain: &[u8]) -> Outcome {
    let signed: SignedManifest = json_from_slice(plain).map_err(encoding("the manifest"))?;
    let (domain, job) = (settings.identity.domain(held.contract)?, &case.job.0);
    check_fields(&signed.manifest.0, job, held)?;
    if domain.signer_of(&signed.manifest.0, &signed.signature) != Some(job.signer) {
        return Err(Denial::Signature { what: "the manifest", by: job.signer });
    }
    check_held(&domain, case, held, &signed)?;
    if let Some(known) = &held.manifest {
        // Published once; a retry may list other holders of the same thing.
        let known = serde_json::from_slice::<SignedManifest>(known).ok();
        return match known.filter(|known| known.manifest == signed.manifest) {
            Some(_) => Ok(Turn::Reply(Reply::Done)),
            None => Err(Denial::Conflict("another manifest of this attempt is published".to_owned())),
        };
    }
    let line =
        Line { attempt: Some(held.attempt), result_hash: Some(held.result_hash), ..subject.line("manifest") };
    let manifest = Write::Manifest {
        job_id: held.job_id,
        attempt: held.attempt,
        manifest: Bytes::copy_from_slice(plain),
        signature: signed.signature,
        record: line.bytes(),
    };
    write(super::Step::Manifest(Box::new(Step::Writing)), manifest)
}

fn check_fields(manifest: &ResultManifest, job: &Job, held: &HeldResult) -> Result<(), Denial> {
    let (named, roots) = (ResultRoots::of(manifest), held.roots());
    let checks = [
        (manifest.jobId == held.job_id, "jobId"),
        (manifest.attempt == held.attempt, "attempt"),
        (manifest.datasetRoot == job.datasetRoot, "datasetRoot"),
        (named.result_hash == roots.result_hash, "resultHash"),
        (named.base_model_root == roots.base_model_root, "baseModelRoot"),
        (named.adapter_root == roots.adapter_root, "adapterRoot"),
        (named.attestation_ref == roots.attestation_ref, "attestationRef"),
        (named.report_hash == roots.report_hash, "reportHash"),
        ((1..=job.epochs).contains(&manifest.actualEpochs), "actualEpochs"),
    ];
    match checks.into_iter().find(|(holds, _)| !holds) {
        Some((_, field)) => Err(Denial::Manifest(field)),
        None => Ok(()),
    }
}

/// t distinct members, in ascending index, signed that they hold exactly this result.
fn check_held(
    domain: &Domain,
    case: &HeldCase,
    held: &HeldResult,
    signed: &SignedManifest,
) -> Result<(), Denial> {
    let statement = held.roots().held(held.job_id, held.attempt);
    let ascending = signed.held.windows(2).all(|pair| pair[0].0.index < pair[1].0.index);
    if !ascending {
        return Err(Denial::Manifest("order of Held signatures"));
    }
    for signature in &signed.held {
        let member = case.members.get(usize::from(signature.0.index));
        let member = member.ok_or(Denial::Manifest("member index"))?;
        if domain.member_of(&statement, &signature.0) != Some(*member) {
            return Err(Denial::Signature { what: "Held", by: *member });
        }
    }
    let (have, need) = (signed.held.len(), usize::from(case.t));
    if have < need {
        return Err(Denial::TooFewHeld { have, need });
    }
    Ok(())
}
