//! `POST /v1/silence/{jobId}`: anybody asks whether compute is gone. A member of the pinned set that has
//! heard nothing for long enough, and holds no result, says so, once and for all: it never holds a
//! result of this attempt afterwards.

use licen_core::abi::{Job, Silence};
use licen_core::eip712::{Domain, compact};
use licen_core::primitives::B256;
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::{SilenceRequest, SilenceResponse};
use licen_store::{Release, SILENCE};

use super::{Loaded, Outcome, Settings, Subject, Turn, json, unexpected, write};
use crate::audit::Line;
use crate::denial::Denial;
use crate::effect::{Effect, Load, Read, Reply, Write};
use crate::event::{Answer, Reading, Wrote};
use crate::judge::Identity;
use crate::watch::Watch;

pub(super) enum Step {
    Loading(SilenceRequest),
    Reading(Job),
    Writing,
}

pub(super) fn begin(job_id: B256, request: SilenceRequest) -> Outcome {
    let job = &request.job.0;
    if job.jobId != job_id {
        return Ok(Turn::Reply(crate::denial::malformed("the job is not the one in the path")));
    }
    let load = Load::Life { job_id, attempt: job.attempt };
    Ok(wait(Step::Loading(request), Effect::Load(load)))
}

impl Step {
    pub(super) fn on(
        self,
        settings: &Settings,
        watch: &mut Watch,
        subject: Subject,
        answer: Answer,
    ) -> Outcome {
        match (self, answer) {
            (Self::Loading(request), Answer::Loaded(Loaded::Life { silence, held, .. })) => {
                if let Some(said) = silence {
                    subject.must_be_of(said.contract)?;
                    return Ok(Turn::Reply(Reply::Json(said.answer)));
                }
                if held {
                    return Err(Denial::HeldHere);
                }
                let SilenceRequest { contract, job: AbiHex(job) } = request;
                let read = Read::Run { contract, job: Box::new(job.clone()), entry: None };
                Ok(wait(Self::Reading(job), Effect::Read(Box::new(read))))
            }
            (Self::Reading(_), Answer::Read(Reading::Run(None))) => Err(Denial::NotRunning),
            (Self::Reading(job), Answer::Read(Reading::Run(Some(facts)))) => {
                let own = settings.identity.signing.address();
                let index = facts.custodian_set.index_of(&own).ok_or(Denial::NotAMember)?;
                let quiet = watch.quiet(&facts.run, subject.now_ms);
                if !quiet.is_silence() {
                    return Err(quiet.into());
                }
                let (domain, block) = (facts.run.domain(), facts.run.block());
                let statement = statement(&settings.identity, domain, subject, &job, index, block)?;
                write(super::Step::Silence(Box::new(Self::Writing)), statement)
            }
            (Self::Writing, Answer::Wrote(Wrote::Release(stored))) => {
                Ok(Turn::Reply(Reply::Json(stored.answer)))
            }
            _ => unexpected(),
        }
    }
}

/// The signed statement about the attempt of a running job, with its line of the audit log.
pub(super) fn statement(
    identity: &Identity,
    domain: &Domain,
    subject: Subject,
    job: &Job,
    index: u16,
    block: u64,
) -> Result<Write, Denial> {
    let silence = Silence { jobId: job.jobId, attempt: job.attempt };
    let signature = identity.signing.sign(&domain.digest(&silence))?;
    let signature = compact(index, signature.as_bytes()).ok_or(licen_seal::SealError::SecretKey)?;
    let line = Line {
        attempt: Some(job.attempt),
        runtime_data_hash: Some(job.runtimeDataHash),
        block: Some(block),
        ..subject.line("silence")
    };
    let silence = Release {
        job_id: job.jobId,
        attempt: job.attempt,
        kind: SILENCE.to_owned(),
        contract: domain.contract,
        recipient: B256::ZERO,
        request_hash: subject.body_hash,
        answer: json(&SilenceResponse { silence: AbiHex(silence), signature: AbiHex(signature) }),
        created_ms: subject.now_ms,
    };
    Ok(Write::Silence { silence, record: line.bytes() })
}

fn wait(step: Step, effect: Effect) -> Turn {
    Turn::Wait(super::Step::Silence(Box::new(step)), effect)
}
