//! `POST /v1/deliver`, first step: compute hands over this custodian's share of the result key. The
//! custodian fetches result and evidence bundle itself and recomputes both roots, so that `Held`
//! means that it holds, not that it was told.

use licen_core::abi::{Held, Job};
use licen_core::eip712::compact;
use licen_core::primitives::{Address, B256, Bytes};
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::{DeliverRequest, HeldResponse, SealedShare, delivery as delivery_of};
use licen_seal::result::{ResultHeader, ResultTerms};
use licen_seal::result_share::open_result_share;
use licen_store::HeldResult;
use serde::{Deserialize, Serialize};

use super::{Loaded, Outcome, Settings, Subject, Turn, json, unexpected, write};
use crate::audit::Line;
use crate::denial::Denial;
use crate::effect::{Effect, Fetch, Load, Read, Reply, Write};
use crate::event::{Answer, Reading, RunFacts, SetFacts, Wrote};
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
    job: Job,
    result_hash: B256,
    attestation_ref: B256,
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
    FetchingResult(Delivery, Box<RunFacts>),
    FetchingBundle(Delivery, Box<RunFacts>, HeldCase),
    Writing,
}

pub(super) fn begin(settings: &Settings, request: DeliverRequest) -> Outcome {
    let DeliverRequest::Share {
        job,
        result_hash,
        attestation_ref,
        share,
        share_commit,
        key_commit,
        blob_url,
        signature,
    } = request
    else {
        return unexpected();
    };
    let job = job.0;
    if share.custodian_id != settings.identity.signing.address() {
        return Err(Denial::NotAMember);
    }
    let load = Load::Held { job_id: job.jobId, attempt: Some(job.attempt) };
    let delivery =
        Delivery { job, result_hash, attestation_ref, share, share_commit, key_commit, blob_url, signature };
    Ok(wait(Step::Loading(delivery), Effect::Load(load)))
}

impl Step {
    /// The job's signer signed it.
    pub(super) fn is_proven(&self) -> bool {
        match self {
            Self::Loading(_) | Self::Reading(_) => false,
            Self::FetchingResult(..) | Self::FetchingBundle(..) | Self::Writing => true,
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
                    return repeated(&delivery, held);
                }
                if silent {
                    return Err(Denial::CalledSilent);
                }
                let read = Read::Run { job: Box::new(delivery.job.clone()), entry: None };
                Ok(wait(Self::Reading(delivery), Effect::Read(Box::new(read))))
            }
            (Self::Reading(_), Answer::Read(Reading::Run(None))) => Err(Denial::NotRunning),
            (Self::Reading(delivery), Answer::Read(Reading::Run(Some(facts)))) => {
                check_sender(settings, &delivery, &facts)?;
                watch.hear((delivery.job.jobId, delivery.job.attempt), subject.now_ms);
                let fetch = fetch(&delivery, delivery.result_hash, settings.max_result_bytes, HEAD_BYTES);
                Ok(wait(Self::FetchingResult(delivery, facts), fetch))
            }
            (Self::FetchingResult(delivery, facts), Answer::Fetched { head }) => {
                let case = check_result(settings, &delivery, &facts, head)?;
                let fetch = fetch(&delivery, delivery.attestation_ref, MAX_BUNDLE_BYTES, 0);
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
    if held.result_hash != delivery.result_hash || held.attestation_ref != delivery.attestation_ref {
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
    let Delivery { result_hash, attestation_ref, blob_url, .. } = delivery;
    let signed = delivery_of(&delivery.job, *result_hash, *attestation_ref, blob_url);
    if identity.domain.signer_of(&signed, &delivery.signature) != Some(job.signer) {
        return Err(Denial::Signature { what: "the delivery", by: job.signer });
    }
    let index = facts.custodian_set.index_of(&identity.signing.address()).ok_or(Denial::NotAMember)?;
    identity.key_of(&facts.custodian_set.members[usize::from(index)].hpkeKey)?;
    if u16::from(delivery.share.i) != index + 1 {
        return Err(Denial::Result("share index"));
    }
    Ok(())
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
    let terms = ResultTerms { domain: identity.domain, job_id: job.jobId, attempt: job.attempt };
    let SetFacts { t, members } = &facts.custodian_set;
    let dealt = header.members().iter().map(|m| (m.custodian, m.pk.0));
    let own = header.member(delivery.share.i)?;
    let checks = [
        (*header.terms() == terms, "job or attempt"),
        (header.t() == *t, "threshold"),
        (dealt.eq(members.iter().map(|m| (m.signer, m.hpkeKey))), "set of custodians"),
        (own.share_commit == delivery.share_commit, "share commitment"),
        (header.key_commit() == delivery.key_commit, "key commitment"),
    ];
    if let Some((_, what)) = checks.into_iter().find(|(holds, _)| !holds) {
        return Err(Denial::Result(what));
    }
    let key = identity.key_of(&own.pk.0)?;
    open_result_share(&delivery.share, key, &header, &delivery.result_hash)?;
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
    let statement = held_of(delivery);
    let signature = identity.signing.sign(&identity.domain.digest(&statement))?;
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
        result_hash: statement.resultHash,
        attestation_ref: delivery.attestation_ref,
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

fn held_of(delivery: &Delivery) -> Held {
    let Delivery { job, result_hash, .. } = delivery;
    Held { jobId: job.jobId, attempt: job.attempt, resultHash: *result_hash }
}

fn fetch(delivery: &Delivery, root: B256, max_bytes: u64, head_bytes: usize) -> Effect {
    let blob_url = delivery.blob_url.clone();
    Effect::Fetch(Fetch { blob_url, root, max_bytes, head_bytes })
}

fn wait(step: Step, effect: Effect) -> Turn {
    Turn::Wait(super::Step::Share(Box::new(step)), effect)
}
