//! `POST /v1/alive`: compute says that it is there. Signed by the job's signer and numbered, so that
//! nobody else can say it, and nobody can say it again.

use licen_core::wire::custodian::{AliveRequest, alive};
use licen_store::Heard;

use super::{Loaded, Outcome, Settings, Subject, Turn, unexpected, write};
use crate::denial::Denial;
use crate::effect::{Effect, Load, Read, Reply, Write};
use crate::event::{Answer, Reading, RunFacts, Wrote};
use crate::watch::Watch;

pub(super) enum Step {
    Loading(AliveRequest),
    Reading(AliveRequest),
    Writing,
}

pub(super) fn begin(request: AliveRequest) -> Turn {
    let job = &request.job.0;
    let load = Load::Life { job_id: job.jobId, attempt: job.attempt };
    wait(Step::Loading(request), Effect::Load(load))
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
            (Self::Loading(request), Answer::Loaded(Loaded::Life { heard, silence, .. })) => {
                if let Some(said) = silence {
                    subject.must_be_of(said.contract)?;
                    return Err(Denial::CalledSilent);
                }
                if let Some(Heard { seq: last, .. }) = heard.filter(|heard| heard.seq >= request.seq) {
                    return Err(Denial::OldNonce { found: request.seq, last });
                }
                let read = Read::Run {
                    contract: request.contract,
                    job: Box::new(request.job.0.clone()),
                    entry: None,
                };
                Ok(wait(Self::Reading(request), Effect::Read(Box::new(read))))
            }
            (Self::Reading(_), Answer::Read(Reading::Run(None))) => Err(Denial::NotRunning),
            (Self::Reading(request), Answer::Read(Reading::Run(Some(facts)))) => {
                take(settings, watch, subject, &request, &facts)
            }
            (Self::Writing, Answer::Wrote(Wrote::Done)) => Ok(Turn::Reply(Reply::Done)),
            _ => unexpected(),
        }
    }
}

fn take(
    settings: &Settings,
    watch: &mut Watch,
    subject: Subject,
    request: &AliveRequest,
    facts: &RunFacts,
) -> Outcome {
    let identity = &settings.identity;
    let job = facts.run.job();
    let statement = alive(job, request.seq);
    if facts.run.domain().signer_of(&statement, &request.signature) != Some(job.signer) {
        return Err(Denial::Signature { what: "the sign of life", by: job.signer });
    }
    facts.custodian_set.index_of(&identity.signing.address()).ok_or(Denial::NotAMember)?;
    // It was heard, whatever becomes of the record.
    watch.hear((job.jobId, job.attempt), subject.now_ms);
    let heard = Heard { seq: request.seq, at_ms: subject.now_ms };
    let alive = Write::Alive { job_id: job.jobId, attempt: job.attempt, heard };
    write(super::Step::Alive(Box::new(Step::Writing)), alive)
}

fn wait(step: Step, effect: Effect) -> Turn {
    Turn::Wait(super::Step::Alive(Box::new(step)), effect)
}
