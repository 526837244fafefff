//! `POST /v1/verdict`. The nonce is used up before anything is verified, the verdict is on disk
//! before it leaves, and the same request gets the same bytes again.
//!
//! A verdict for a later attempt says that the one before is gone. It needs the same silence as the
//! statement, which is written first: a crash between leaves an attempt that is called silent, and no
//! verdict.

use licen_core::eip712::compact;
use licen_core::job::JobState;
use licen_core::primitives::B256;
use licen_core::runtime_data::{self, RuntimeData};
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::{VerdictRequest, VerdictResponse};
use licen_store::Release;

use super::{Loaded, Outcome, Settings, Subject, Turn, json, unexpected, write};
use crate::audit::Line;
use crate::denial::Denial;
use crate::effect::{Effect, GrantQuery, Load, Read, Reply, Write};
use crate::event::{Answer, GrantFacts, Reading, Wrote};
use crate::judge::{Judged, Known, check_form, judge};
use crate::machine::silence;
use crate::watch::{Watch, age_of_first};

/// A request that is well formed.
pub(super) struct Asked {
    request: VerdictRequest,
    data: RuntimeData,
    nonce: B256,
    /// Whether a result of the attempt before is held here, or that attempt was called silent.
    held: bool,
    silent: bool,
}

pub(super) enum Step {
    Loading(Asked),
    UsingNonce(Asked),
    Reading(Asked),
    /// The running attempt is being called silent; then this leaves.
    Declaring(Box<Write>),
    Writing,
}

/// Several sets of keys may ask for one attempt: compute that restarts before the job runs makes new
/// ones. The chain then names one of them.
pub(super) fn kind_of(runtime_data_hash: &B256) -> String {
    format!("verdict:{runtime_data_hash}")
}

pub(super) fn begin(settings: &Settings, request: VerdictRequest) -> Outcome {
    let (data, nonce) = check_form(&settings.identity, &request)?;
    let load = Load::Verdict {
        job_id: request.job.0.jobId,
        attempt: request.attempt,
        runtime_data_hash: runtime_data::hash(&request.runtime_data),
        dataset_uid: request.job.0.datasetUid,
    };
    let asked = Asked { request, data, nonce, held: false, silent: false };
    Ok(wait(Step::Loading(asked), Effect::Load(load)))
}

impl Step {
    /// Its nonce was good.
    pub(super) fn is_proven(&self) -> bool {
        match self {
            Self::Loading(_) | Self::UsingNonce(_) => false,
            Self::Reading(_) | Self::Declaring(_) | Self::Writing => true,
        }
    }

    /// The state in which this attempt is judged.
    pub(super) fn due_state(&self) -> JobState {
        match self {
            Self::Loading(asked) | Self::UsingNonce(asked) | Self::Reading(asked)
                if asked.request.attempt > 1 =>
            {
                JobState::Running
            }
            Self::Loading(_)
            | Self::UsingNonce(_)
            | Self::Reading(_)
            | Self::Declaring(_)
            | Self::Writing => JobState::Granted,
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
            (Self::Loading(asked), Answer::Loaded(Loaded::Verdict { given, tombstone, held, silent })) => {
                if tombstone {
                    return Err(Denial::Retired(asked.request.job.0.datasetUid));
                }
                if let Some(given) = given.filter(|given| given.request_hash == subject.body_hash) {
                    return Ok(Turn::Reply(Reply::Json(given.answer)));
                }
                let asked = Asked { held, silent, ..asked };
                let use_nonce = Write::UseNonce { nonce: asked.nonce };
                write(super::Step::Verdict(Box::new(Self::UsingNonce(asked))), use_nonce)
            }
            (Self::UsingNonce(_), Answer::Wrote(Wrote::NonceUsed(false))) => Err(Denial::NonceUsed),
            (Self::UsingNonce(asked), Answer::Wrote(Wrote::NonceUsed(true))) => {
                let read = Read::Grant(query(settings, &asked));
                Ok(wait(Self::Reading(asked), Effect::Read(Box::new(read))))
            }
            (Self::Reading(asked), Answer::Read(Reading::Grant(facts))) => {
                decide(settings, watch, subject, &asked, &facts)
            }
            (Self::Declaring(given), Answer::Wrote(Wrote::Release(_))) => {
                write(super::Step::Verdict(Box::new(Self::Writing)), *given)
            }
            (Self::Writing, Answer::Wrote(Wrote::Release(stored))) => {
                Ok(Turn::Reply(Reply::Json(stored.answer)))
            }
            _ => unexpected(),
        }
    }
}

fn query(settings: &Settings, asked: &Asked) -> GrantQuery {
    let job = &asked.request.job.0;
    GrantQuery {
        contract: asked.request.contract,
        job_id: job.jobId,
        custodian_set: (job.custodianSet, job.setVersion),
        verifier_set: (job.verifierSet, job.verifierSetVersion),
        appraisal_policy: job.appraisalPolicy,
        entries: settings.entries.iter().map(licen_attest::ReferenceEntry::root).collect(),
        provider_id: asked.data.provider_id,
    }
}

fn decide(
    settings: &Settings,
    watch: &mut Watch,
    subject: Subject,
    asked: &Asked,
    facts: &GrantFacts,
) -> Outcome {
    let Settings { identity, entries, collateral, .. } = settings;
    let known = Known { entries, collateral };
    let judged = judge(identity, &known, &asked.request, &asked.data, facts, subject.now_seconds())?;
    let job = &asked.request.job.0;
    // A member of the requester's own set hears no signs of life; it cannot restart anything alone.
    let seat = (judged.verdict.custodianSet, judged.verdict.setVersion);
    let silence = match seat == (job.custodianSet, job.setVersion) && job.attempt > 0 {
        true => Some(silence_of(settings, watch, subject, asked, judged.index, facts)?),
        false => None,
    };
    let given = given(settings, subject, judged, &asked.request)?;
    let Some(silence) = silence else {
        return write(super::Step::Verdict(Box::new(Step::Writing)), given);
    };
    write(super::Step::Verdict(Box::new(Step::Declaring(Box::new(given)))), silence)
}

/// The running attempt has to be as silent as for the statement, which this verdict makes as well.
fn silence_of(
    settings: &Settings,
    watch: &mut Watch,
    subject: Subject,
    asked: &Asked,
    index: u16,
    facts: &GrantFacts,
) -> Result<Write, Denial> {
    let job = &asked.request.job.0;
    if asked.held {
        return Err(Denial::HeldHere);
    }
    let (key, age) = ((job.jobId, job.attempt), age_of_first(job, facts.now));
    let quiet = watch.quiet_at(key, job.runWindow, age, subject.now_ms);
    // What was once said stays said.
    if !asked.silent && !quiet.is_silence() {
        return Err(quiet.into());
    }
    let domain = settings.identity.domain(asked.request.contract)?;
    silence::statement(&settings.identity, &domain, subject, job, index, facts.block)
}

/// The signed verdict, to be written.
fn given(
    settings: &Settings,
    subject: Subject,
    judged: Judged,
    request: &VerdictRequest,
) -> Result<Write, Denial> {
    let identity = &settings.identity;
    let domain = identity.domain(request.contract)?;
    let signature = identity.signing.sign(&domain.digest(&judged.verdict))?;
    let signature = compact(judged.index, signature.as_bytes()).ok_or(licen_seal::SealError::SecretKey)?;
    let line = Line {
        attempt: Some(judged.verdict.attempt),
        runtime_data_hash: Some(judged.verdict.runtimeDataHash),
        entry: Some(judged.result.entry()),
        level: Some(judged.verdict.level),
        recipient: Some(judged.result.recipient_key()),
        ..subject.line("verdict")
    };
    let release = Release {
        job_id: judged.verdict.jobId,
        attempt: judged.verdict.attempt,
        kind: kind_of(&judged.verdict.runtimeDataHash),
        contract: domain.contract,
        recipient: judged.result.recipient_key(),
        request_hash: subject.body_hash,
        answer: json(&VerdictResponse { verdict: AbiHex(judged.verdict), signature: AbiHex(signature) }),
        created_ms: subject.now_ms,
    };
    let (case, dataset_uid) = (Some(json(&judged.case)), Some(request.job.0.datasetUid));
    Ok(Write::Release { release, case, dataset_uid, record: line.bytes() })
}

fn wait(step: Step, effect: Effect) -> Turn {
    Turn::Wait(super::Step::Verdict(Box::new(step)), effect)
}
