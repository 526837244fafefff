//! `POST /v1/release`: the share leaves. Only for a job that the chain shows Running at depth, only
//! to the key inside the runtime data that this custodian judged, and per attempt to one key ever.

use licen_core::runtime_data::RuntimeData;
use licen_core::wire::custodian::{ReleaseRequest, ReleaseResponse};
use licen_seal::release::reseal;
use licen_seal::{Envelope, Warrant};
use licen_store::Release;

use super::{Loaded, Outcome, Settings, Subject, Turn, json, unexpected, write};
use crate::audit::Line;
use crate::denial::Denial;
use crate::effect::{Effect, Load, Read, Reply, Write};
use crate::event::{Answer, Reading, RunFacts, Wrote};
use crate::judge::{VerdictCase, check_root, encoding, own_share};
use crate::watch::Watch;

const KIND: &str = "share";

#[expect(clippy::large_enum_variant, reason = "it is always boxed")]
pub(super) enum Step {
    Loading(ReleaseRequest),
    Reading(VerdictCase, Option<Release>),
    Writing,
}

pub(super) fn begin(request: ReleaseRequest) -> Turn {
    let job = &request.job.0;
    let load = Load::Release {
        job_id: job.jobId,
        attempt: job.attempt,
        runtime_data_hash: job.runtimeDataHash,
        dataset_uid: job.datasetUid,
    };
    wait(Step::Loading(request), Effect::Load(load))
}

impl Step {
    /// This custodian gave a verdict for these keys.
    pub(super) fn is_proven(&self) -> bool {
        match self {
            Self::Loading(_) => false,
            Self::Reading(..) | Self::Writing => true,
        }
    }

    pub(super) fn on(
        self,
        settings: &Settings,
        watch: &mut Watch,
        subject: Subject,
        answer: Answer,
    ) -> Outcome {
        match (self, answer) {
            (Self::Loading(request), Answer::Loaded(Loaded::Release { case, made, tombstone, silent })) => {
                let job = request.job.0;
                if tombstone {
                    return Err(Denial::Retired(job.datasetUid));
                }
                if silent {
                    return Err(Denial::CalledSilent);
                }
                let case = case.and_then(|case| serde_json::from_slice::<VerdictCase>(&case).ok());
                let case = case.filter(|case| case.runtime_data_hash() == job.runtimeDataHash);
                let case = case.ok_or(Denial::NoVerdict)?;
                let entry = Some(case.entry()?.root());
                let read = Read::Run { contract: request.contract, job: Box::new(job), entry };
                Ok(wait(Self::Reading(case, made), Effect::Read(Box::new(read))))
            }
            (Self::Reading(..), Answer::Read(Reading::Run(None))) => Err(Denial::NotRunning),
            (Self::Reading(case, made), Answer::Read(Reading::Run(Some(facts)))) => {
                let job = facts.run.job();
                let turn = decide(settings, subject, &case, made, &facts)?;
                watch.see((job.jobId, job.attempt), subject.now_ms);
                Ok(turn)
            }
            (Self::Writing, Answer::Wrote(Wrote::Release(stored))) => {
                Ok(Turn::Reply(Reply::Json(stored.answer)))
            }
            _ => unexpected(),
        }
    }
}

fn decide(
    settings: &Settings,
    subject: Subject,
    case: &VerdictCase,
    made: Option<Release>,
    facts: &RunFacts,
) -> Outcome {
    let identity = &settings.identity;
    let (job, now, domain) = (facts.run.job(), facts.run.now(), facts.run.domain());
    if now + settings.release_margin_seconds >= job.runDeadline {
        return Err(Denial::Deadline { what: "run", deadline: job.runDeadline, now });
    }
    let data = RuntimeData::from_bytes(&case.runtime_data).map_err(encoding("the runtime data"))?;
    if let Some(field) = data.mismatch(domain, job, job.attempt) {
        return Err(Denial::RuntimeData(field));
    }
    let result = case.appraise_again(domain)?;
    let warrant = Warrant::compute(&facts.run, &result)?;
    let recipient = warrant.release().recipient.0;
    if let Some(made) = made {
        if made.recipient != recipient {
            return Err(Denial::OtherKey);
        }
        return Ok(Turn::Reply(Reply::Json(made.answer)));
    }
    if !facts.entry_live {
        return Err(Denial::AppraisalPolicy);
    }
    let own = identity.signing.address();
    let index = facts.custodian_set.index_of(&own).ok_or(Denial::NotAMember)?;
    check_root("the envelope", &case.envelope, job.envelopeHash)?;
    let share = own_share(identity, &Envelope::decode(&case.envelope)?, index)?;
    let share = reseal(&share, &warrant)?;
    let line = Line {
        attempt: Some(job.attempt),
        runtime_data_hash: Some(job.runtimeDataHash),
        recipient: Some(recipient),
        level: Some(result.level()),
        block: Some(facts.run.block()),
        ..subject.line("release")
    };
    let release = Release {
        job_id: job.jobId,
        attempt: job.attempt,
        kind: KIND.to_owned(),
        contract: domain.contract,
        recipient,
        request_hash: subject.body_hash,
        answer: json(&ReleaseResponse { share }),
        created_ms: subject.now_ms,
    };
    let made =
        Write::Release { release, case: None, dataset_uid: Some(job.datasetUid), record: line.bytes() };
    write(super::Step::Release(Box::new(Step::Writing)), made)
}

fn wait(step: Step, effect: Effect) -> Turn {
    Turn::Wait(super::Step::Release(Box::new(step)), effect)
}
