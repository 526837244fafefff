//! `GET /v1/result/{jobId}` and `POST /v1/result-key`: the result key's share goes to the researcher
//! when, and only when, the chain says that the owner was paid for exactly this result. A researcher
//! who lost the key of the request puts another in its place with a wallet signature.

use licen_core::abi::{Job, ResultKeyChange};
use licen_core::primitives::{B256, Bytes};
use licen_core::release::ConfirmedSettlement;
use licen_core::result_roots::ResultRoots;
use licen_core::wire::custodian::{ResultKeyRequest, ResultShareResponse, SealedShare};
use licen_seal::ResultWarrant;
use licen_seal::result::ResultHeader;
use licen_seal::result_share::{open_result_share, reseal_result};
use licen_store::{HeldResult, Release, ResultKeyRecord};

use super::deliver::HeldCase;
use super::{Loaded, Outcome, Settings, Subject, Turn, json, unexpected, write};
use crate::audit::Line;
use crate::denial::{self, Denial};
use crate::effect::{Effect, Load, Read, Reply, Write};
use crate::event::{Answer, Reading, Wrote};

#[expect(clippy::large_enum_variant, reason = "it is always boxed")]
pub(super) enum Step {
    Loading,
    Reading(HeldResult, HeldCase, Option<ResultKeyRecord>),
    Writing,
    LoadingChange(ResultKeyRequest),
    AskingWallet(ResultKeyRequest),
    WritingChange,
}

pub(super) fn begin(job_id: B256) -> Turn {
    wait(Step::Loading, Effect::Load(Load::Held { job_id, attempt: None }))
}

pub(super) fn begin_change(_: &Settings, request: ResultKeyRequest) -> Outcome {
    let job_id = request.job.0.jobId;
    if request.change.0.jobId != job_id {
        return Ok(Turn::Reply(denial::malformed("the change is about another job")));
    }
    if request.change.0.newKey.is_zero() {
        return Ok(Turn::Reply(denial::malformed("the new key is zero")));
    }
    let load = Load::Held { job_id, attempt: None };
    Ok(wait(Step::LoadingChange(request), Effect::Load(load)))
}

impl Step {
    pub(super) fn on(self, settings: &Settings, subject: Subject, answer: Answer) -> Outcome {
        match (self, answer) {
            (Self::Loading, Answer::Loaded(Loaded::Held { held, case, key, .. })) => {
                let (held, case) = present(held, case)?;
                let contract = settings.identity.domain(held.contract)?.contract;
                let job = Box::new(case.job.0.clone());
                let read = Read::Settlement { contract, job, since: case.since };
                Ok(wait(Self::Reading(held, case, key), Effect::Read(Box::new(read))))
            }
            (Self::Reading(..), Answer::Read(Reading::Settlement(None))) => Err(Denial::NotSettled),
            (Self::Reading(held, case, key), Answer::Read(Reading::Settlement(Some(settled)))) => {
                reseal(settings, subject, &held, &case, key.as_ref(), &settled)
            }
            (Self::Writing, Answer::Wrote(Wrote::Release(stored))) => {
                Ok(Turn::Reply(Reply::Json(stored.answer)))
            }
            (Self::LoadingChange(request), Answer::Loaded(Loaded::Held { held, case, key, .. })) => {
                let (held, case) = present(held, case)?;
                subject.must_be_of(held.contract)?;
                consider(settings, subject, request, &case.job.0, key.as_ref())
            }
            (Self::AskingWallet(request), Answer::Read(Reading::Wallet(true))) => accept(subject, request),
            (Self::AskingWallet(request), Answer::Read(Reading::Wallet(false))) => {
                Err(Denial::Signature { what: "the new key", by: request.job.0.requester })
            }
            (Self::WritingChange, Answer::Wrote(Wrote::Done)) => Ok(Turn::Reply(Reply::Done)),
            _ => unexpected(),
        }
    }
}

fn present(held: Option<HeldResult>, case: Option<Bytes>) -> Result<(HeldResult, HeldCase), Denial> {
    let held = held.ok_or(Denial::NotHeld)?;
    let case = case.and_then(|case| serde_json::from_slice(&case).ok()).ok_or(Denial::NotHeld)?;
    Ok((held, case))
}

/// Whether the owner was paid for exactly what is held here: the job alone says nothing of it.
fn is_settled(settled: &ConfirmedSettlement, held: &HeldResult, job: &Job) -> bool {
    let manifest = settled.manifest();
    settled.domain().contract == held.contract
        && settled.job() == job
        && (manifest.jobId, manifest.attempt) == (held.job_id, held.attempt)
        && ResultRoots::of(manifest) == held.roots()
}

fn reseal(
    settings: &Settings,
    subject: Subject,
    held: &HeldResult,
    case: &HeldCase,
    key: Option<&ResultKeyRecord>,
    settled: &ConfirmedSettlement,
) -> Outcome {
    let identity = &settings.identity;
    let job = &case.job.0;
    if !is_settled(settled, held, job) {
        return Err(Denial::NotSettled);
    }
    let warrant = match key {
        None => ResultWarrant::settled(settled)?,
        Some(change) => {
            // Its signature and nonce were checked when it was written.
            let change =
                ResultKeyChange { jobId: change.job_id, newKey: change.new_key, nonce: change.nonce };
            ResultWarrant::settled_with_new_key(settled, &change)?
        }
    };
    let header = ResultHeader::read_from(&mut &case.head[..])?;
    let sealed: SealedShare = serde_json::from_slice(&held.share).map_err(|_| Denial::NotHeld)?;
    let key = identity.key_of(&header.member(sealed.i)?.pk.0)?;
    let share = open_result_share(&sealed, key, &header, &held.result_hash)?;
    let result_key = warrant.recipient().0;
    let share = reseal_result(&share, &warrant)?;
    let line = Line {
        attempt: Some(held.attempt),
        result_hash: Some(held.result_hash),
        recipient: Some(result_key),
        ..subject.line("result")
    };
    let release = Release {
        job_id: held.job_id,
        attempt: held.attempt,
        kind: format!("result:{result_key}"),
        contract: held.contract,
        recipient: result_key,
        request_hash: B256::ZERO,
        answer: json(&ResultShareResponse { share, result_hash: held.result_hash, result_key }),
        created_ms: subject.now_ms,
    };
    let made = Write::Release { release, case: None, dataset_uid: None, record: line.bytes() };
    write(super::Step::Result(Box::new(Step::Writing)), made)
}

fn consider(
    settings: &Settings,
    subject: Subject,
    request: ResultKeyRequest,
    job: &Job,
    last: Option<&ResultKeyRecord>,
) -> Outcome {
    if request.job.0 != *job {
        return Err(Denial::Commitment);
    }
    let change = &request.change.0;
    if let Some(last) = last.filter(|last| change.nonce <= last.nonce) {
        if last.nonce == change.nonce && last.new_key == change.newKey {
            return Ok(Turn::Reply(Reply::Done));
        }
        return Err(Denial::OldNonce { found: change.nonce, last: last.nonce });
    }
    let domain = settings.identity.domain(request.contract)?;
    if domain.signer_of(change, &request.signature) == Some(job.requester) {
        return accept(subject, request);
    }
    let read = Read::Wallet {
        account: job.requester,
        digest: domain.digest(change),
        signature: request.signature.clone(),
    };
    Ok(wait(Step::AskingWallet(request), Effect::Read(Box::new(read))))
}

fn accept(subject: Subject, request: ResultKeyRequest) -> Outcome {
    let change = request.change.0;
    let line = Line { recipient: Some(change.newKey), ..subject.line("resultKey") };
    let change = ResultKeyRecord {
        job_id: change.jobId,
        nonce: change.nonce,
        new_key: change.newKey,
        signature: request.signature,
        created_ms: subject.now_ms,
    };
    let change = Write::ResultKey { change, record: line.bytes() };
    write(super::Step::Result(Box::new(Step::WritingChange)), change)
}

fn wait(step: Step, effect: Effect) -> Turn {
    Turn::Wait(super::Step::Result(Box::new(step)), effect)
}
