//! `POST /v1/deliver`, first step: compute hands over this custodian's share of the result key. The
//! custodian fetches result, evidence bundle and report itself and recomputes their roots, so that `Held`
//! means that it holds, not that it was told. The base model is the JobSpec's, which is fetched as well;
//! compute cannot name another one.

use licen_core::abi::Job;
use licen_core::canonical::{json_from_slice, json_of_blob};
use licen_core::constraints::JobSpec;
use licen_core::eip712::compact;
use licen_core::primitives::{Address, B256, Bytes};
use licen_core::report::{self, JobReport};
use licen_core::result_roots::ResultRoots;
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::{DeliverRequest, HeldResponse, SealedShare};
use licen_seal::result::{ResultHeader, ResultTerms};
use licen_seal::result_share::open_result_share;
use licen_store::HeldResult;
use serde::{Deserialize, Serialize};

use super::{Loaded, Outcome, Settings, Subject, Turn, json, unexpected, write};
use crate::audit::Line;
use crate::denial::Denial;
use crate::effect::{Effect, Fetch, Load, Read, Reply, Write};
use crate::event::{Answer, Reading, RunFacts, SetFacts, Wrote};
use crate::judge::{MAX_DOCUMENT_BYTES, encoding};
use crate::watch::Watch;

/// The largest header of a result, with what stands before it.
const HEAD_BYTES: usize = 64 * 1024 + 12;
/// Largest evidence bundle, bytes.
const MAX_BUNDLE_BYTES: u64 = 1024 * 1024;

/// What settling a held result rests on, kept with it. All of it is public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HeldCase {
    pub(crate) job: AbiHex<Job>,
    /// Members that have to hold it.
    pub(crate) t: u8,
    /// Their addresses, in the order of their index.
    pub(crate) members: Vec<Address>,
    /// A block at which the job ran; its settlement is later.
    pub(crate) since: u64,
    /// The first bytes of the result, its header in them.
    pub(crate) head: Bytes,
}

/// A delivered share with what belongs to it.
pub(super) struct Delivery {
    contract: Address,
    job: Job,
    roots: ResultRoots,
    share: SealedShare,
    share_commit: B256,
    key_commit: B256,
    blob_url: String,
    signature: Bytes,
}

#[expect(clippy::large_enum_variant, reason = "it is always boxed")]
pub(super) enum Step {
    Loading(Delivery),
    Reading(Delivery),
    FetchingSpec(Delivery, Box<RunFacts>),
    FetchingReport(Delivery, Box<RunFacts>),
    FetchingResult(Delivery, Box<RunFacts>),
    FetchingBundle(Delivery, Box<RunFacts>, HeldCase),
    Writing,
}

pub(super) fn begin(settings: &Settings, request: DeliverRequest) -> Outcome {
    let DeliverRequest::Share {
        contract,
        job: AbiHex(job),
        roots,
        share,
        share_commit,
        key_commit,
        blob_url,
        signature,
    } = request
    else {
        return unexpected();
    };
    if share.custodian_id != settings.identity.signing.address() {
        return Err(Denial::NotAMember);
    }
    let load = Load::Held { job_id: job.jobId, attempt: Some(job.attempt) };
    let delivery = Delivery { contract, job, roots, share, share_commit, key_commit, blob_url, signature };
    Ok(wait(Step::Loading(delivery), Effect::Load(load)))
}

impl Step {
    /// The job's signer signed it.
    pub(super) fn is_proven(&self) -> bool {
        match self {
            Self::Loading(_) | Self::Reading(_) => false,
            Self::FetchingSpec(..)
            | Self::FetchingReport(..)
            | Self::FetchingResult(..)
            | Self::FetchingBundle(..)
            | Self::Writing => true,
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
            (Self::Loading(delivery), Answer::Loaded(Loaded::Held { held, silent, .. })) => {
                if let Some(held) = held {
                    subject.must_be_of(held.contract)?;
                    return repeated(&delivery, held);
                }
                if silent {
                    return Err(Denial::CalledSilent);
                }
                let (contract, job) = (delivery.contract, Box::new(delivery.job.clone()));
                let read = Read::Run { contract, job, entry: None };
                Ok(wait(Self::Reading(delivery), Effect::Read(Box::new(read))))
            }
            (Self::Reading(_), Answer::Read(Reading::Run(None))) => Err(Denial::NotRunning),
            (Self::Reading(delivery), Answer::Read(Reading::Run(Some(facts)))) => {
                check_sender(settings, &delivery, &facts)?;
                watch.hear((delivery.job.jobId, delivery.job.attempt), subject.now_ms);
                let fetch = fetch_whole(&delivery, delivery.job.jobSpecHash, MAX_DOCUMENT_BYTES);
                Ok(wait(Self::FetchingSpec(delivery, facts), fetch))
            }
            (Self::FetchingSpec(delivery, facts), Answer::Fetched { head }) => {
                check_base_model(&head, &delivery.roots)?;
                let fetch = fetch_whole(&delivery, delivery.roots.report_hash, report::MAX_BYTES);
                Ok(wait(Self::FetchingReport(delivery, facts), fetch))
            }
            (Self::FetchingReport(delivery, facts), Answer::Fetched { head }) => {
                check_report(&head, &delivery.job)?;
                let root = delivery.roots.result_hash;
                let fetch = fetch(&delivery, root, settings.max_result_bytes, HEAD_BYTES);
                Ok(wait(Self::FetchingResult(delivery, facts), fetch))
            }
            (Self::FetchingResult(delivery, facts), Answer::Fetched { head }) => {
                let case = check_result(settings, &delivery, &facts, head)?;
                let fetch = fetch(&delivery, delivery.roots.attestation_ref, MAX_BUNDLE_BYTES, 0);
                Ok(wait(Self::FetchingBundle(delivery, facts, case), fetch))
            }
            (Self::FetchingBundle(delivery, facts, case), Answer::Fetched { .. }) => {
                hold(settings, subject, &delivery, &facts, &case)
            }
            (Self::Writing, Answer::Wrote(Wrote::Held(held))) => {
                Ok(Turn::Reply(Reply::Json(held.held_answer)))
            }
            _ => unexpected(),
        }
    }
}

fn repeated(delivery: &Delivery, held: HeldResult) -> Outcome {
    if held.roots() != delivery.roots {
        return Err(Denial::Conflict("another result of this attempt is held".to_owned()));
    }
    Ok(Turn::Reply(Reply::Json(held.held_answer)))
}

/// Only the attested signer may make this custodian fetch and hold something.
fn check_sender(settings: &Settings, delivery: &Delivery, facts: &RunFacts) -> Result<(), Denial> {
    let identity = &settings.identity;
    let (job, now) = (facts.run.job(), facts.run.now());
    if now > job.runDeadline {
        return Err(Denial::Deadline { what: "run", deadline: job.runDeadline, now });
    }
    let signed = delivery.roots.delivery(job, &delivery.blob_url);
    if facts.run.domain().signer_of(&signed, &delivery.signature) != Some(job.signer) {
        return Err(Denial::Signature { what: "the delivery", by: job.signer });
    }
    let index = facts.custodian_set.index_of(&identity.signing.address()).ok_or(Denial::NotAMember)?;
    identity.key_of(&facts.custodian_set.members[usize::from(index)].hpkeKey)?;
    if u16::from(delivery.share.i) != index + 1 {
        return Err(Denial::Result("share index"));
    }
    Ok(())
}

/// Compute trains the model that the requester's JobSpec names, and says so: later jobs build on it.
fn check_base_model(spec: &[u8], roots: &ResultRoots) -> Result<(), Denial> {
    let spec: JobSpec = json_from_slice(json_of_blob(spec)).map_err(encoding("the job specification"))?;
    match spec.base_model_root == roots.base_model_root {
        true => Ok(()),
        false => Err(Denial::Result("base model")),
    }
}

/// A report that anybody can read, of this attempt.
fn check_report(report: &[u8], job: &Job) -> Result<(), Denial> {
    let report = JobReport::from_blob(report)?;
    match (report.job_id, report.attempt) == (job.jobId, job.attempt) {
        true => Ok(()),
        false => Err(Denial::Result("report's job or attempt")),
    }
}

/// The blob has the right root; now its header has to be that of this attempt, dealt to this set,
/// and the share has to be the committed one.
fn check_result(
    settings: &Settings,
    delivery: &Delivery,
    facts: &RunFacts,
    head: Bytes,
) -> Result<HeldCase, Denial> {
    let identity = &settings.identity;
    let header = ResultHeader::read_from(&mut &head[..])?;
    let job = &delivery.job;
    let terms = ResultTerms { domain: *facts.run.domain(), job_id: job.jobId, attempt: job.attempt };
    let SetFacts { t, members } = &facts.custodian_set;
    let dealt = header.members().iter().map(|m| (m.custodian, m.pk.0));
    let own = header.member(delivery.share.i)?;
    let checks = [
        (*header.terms() == terms, "job or attempt"),
        (header.adapter_root() == delivery.roots.adapter_root, "adapter root"),
        (header.t() == *t, "threshold"),
        (dealt.eq(members.iter().map(|m| (m.signer, m.hpkeKey))), "set of custodians"),
        (own.share_commit == delivery.share_commit, "share commitment"),
        (header.key_commit() == delivery.key_commit, "key commitment"),
    ];
    if let Some((_, what)) = checks.into_iter().find(|(holds, _)| !holds) {
        return Err(Denial::Result(what));
    }
    let key = identity.key_of(&own.pk.0)?;
    open_result_share(&delivery.share, key, &header, &delivery.roots.result_hash)?;
    let members = members.iter().map(|m| m.signer).collect();
    Ok(HeldCase { job: AbiHex(job.clone()), t: *t, members, since: facts.run.block(), head })
}

fn hold(
    settings: &Settings,
    subject: Subject,
    delivery: &Delivery,
    facts: &RunFacts,
    case: &HeldCase,
) -> Outcome {
    let identity = &settings.identity;
    let index = facts.custodian_set.index_of(&identity.signing.address()).ok_or(Denial::NotAMember)?;
    let Delivery { job, roots, .. } = delivery;
    let statement = roots.held(job.jobId, job.attempt);
    let domain = facts.run.domain();
    let signature = identity.signing.sign(&domain.digest(&statement))?;
    let signature = compact(index, signature.as_bytes()).ok_or(licen_seal::SealError::SecretKey)?;
    let line = Line {
        attempt: Some(statement.attempt),
        result_hash: Some(statement.resultHash),
        block: Some(facts.run.block()),
        ..subject.line("held")
    };
    let held = HeldResult {
        job_id: statement.jobId,
        attempt: statement.attempt,
        contract: domain.contract,
        result_hash: roots.result_hash,
        base_model_root: roots.base_model_root,
        adapter_root: roots.adapter_root,
        attestation_ref: roots.attestation_ref,
        report_hash: roots.report_hash,
        // As compute sealed it: at rest it opens under this custodian's key only.
        share: json(&delivery.share),
        held_answer: json(&HeldResponse { held: AbiHex(statement), signature: AbiHex(signature) }),
        manifest: None,
        manifest_signature: None,
        created_ms: subject.now_ms,
    };
    write(
        super::Step::Share(Box::new(Step::Writing)),
        Write::Held { held, case: json(case), record: line.bytes() },
    )
}

fn fetch(delivery: &Delivery, root: B256, max_bytes: u64, head_bytes: usize) -> Effect {
    let blob_url = delivery.blob_url.clone();
    Effect::Fetch(Fetch { blob_url, root, max_bytes, head_bytes })
}

/// A document, which comes back whole.
fn fetch_whole(delivery: &Delivery, root: B256, max_bytes: usize) -> Effect {
    fetch(delivery, root, max_bytes as u64, max_bytes)
}

fn wait(step: Step, effect: Effect) -> Turn {
    Turn::Wait(super::Step::Share(Box::new(step)), effect)
}
