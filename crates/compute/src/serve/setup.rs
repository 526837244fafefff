//! Before the job runs, with the slot: base model, keys, evidence, verdicts. Nothing is released yet, so whatever
//! fails here costs nobody anything.

use std::time::Duration;

use licen_core::abi::{Job, Verdict};
use licen_core::eip712::Domain;
use licen_core::evidence_bundle::EvidenceBundle;
use licen_core::id::{as_granted, job_hash};
use licen_core::job::silence_quorum;
use licen_core::primitives::B256;
use licen_core::runtime_data::{self, Challenge, RuntimeData};
use licen_core::wire::compute::{Dispatch, StartTicket, VerifierUrl};
use licen_core::wire::custodian::{
    ChallengeRequest, ChallengeResponse, Evidence, VerdictRequest, VerdictResponse,
};
use licen_seal::RecipientKey;
use licen_seal::warrant::{ReleaseDomain, ReleaseTerms};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::base::BaseModel;
use super::blobs::Blobs;
use super::check::CLOCK_SKEW;
use super::custodians::{Answers, CallError, Member, Patience, ask_all, jittered};
use super::documents::Documents;
use super::keys::StatementKey;
use super::node::{Node, unix_now};
use super::qualify::Qualified;

/// A round of challenges must end before the nonces die (120 s).
const CHALLENGE_LIMIT: Duration = Duration::from_secs(10);
const VERDICT_LIMIT: Duration = Duration::from_secs(60);
/// How long to wait for slower custodians once t have answered a challenge.
const CHALLENGE_GRACE: Duration = Duration::from_secs(1);
/// How long to wait for slower custodians once t have judged: a custodian releases only where it gave
/// a verdict, so each one more may replace a share that turns out wrong.
const VERDICT_GRACE: Duration = Duration::from_secs(3);
/// Between rounds.
const PAUSE: Duration = Duration::from_secs(3);
/// Longest life of a verdict, seconds.
const VERDICT_LIFE: u64 = 15 * 60;

/// An attempt that can be started: what it is about, its keys but the signing one, and its evidence.
pub(super) struct Prepared {
    pub(super) dispatch: Dispatch,
    pub(super) domain: Domain,
    pub(super) documents: Documents,
    pub(super) blobs: Blobs,
    pub(super) base: BaseModel,
    /// Opens released shares.
    pub(super) recipient: RecipientKey,
    /// What custodians bind their release to.
    pub(super) release: ReleaseTerms,
    pub(super) ticket: StartTicket,
    /// When the first verdict of the ticket expires, unix seconds.
    pub(super) verdicts_expire: u64,
    /// Everything a stranger needs to judge the evidence again.
    pub(super) bundle: EvidenceBundle,
    /// One of `maxTasks`, as long as the attempt lasts.
    _place: OwnedSemaphorePermit,
}

/// What one round of challenges and verdicts is about.
struct Round<'a> {
    node: &'a Node,
    dispatch: &'a Dispatch,
    domain: Domain,
    attempt: u32,
    documents: &'a Documents,
    recipient: &'a RecipientKey,
    signer: &'a StatementKey,
    /// The requester's own custodians, and how many of them have to agree.
    verifiers: &'a [Member],
    agree: usize,
}

struct Judged {
    runtime_data: Vec<u8>,
    evidence: Evidence,
    verdicts: Answers<VerdictResponse>,
    /// Of the requester's own set.
    verified: Answers<VerdictResponse>,
}

/// Prepares an attempt; tries until it succeeds or trying is useless. The caller bounds the time.
///
/// # Errors
/// One sentence that says who refused what. Nothing retryable is returned.
pub(super) async fn set_up(
    node: &Node,
    dispatch: Dispatch,
    attempt: u32,
    qualified: Qualified,
    note: impl Fn(String),
) -> Result<(Prepared, StatementKey), String> {
    let domain = Domain { chain_id: dispatch.chain_id, contract: dispatch.contract };
    let Qualified { documents, blobs, archive, place } = qualified;
    let base = BaseModel::load(node, archive, &documents.plan).await?;
    base.check(&documents.constraints)?;
    let need = needed(attempt, &documents);
    let (verifiers, agree) = verifiers_of(&dispatch);
    let recipient = RecipientKey::generate().map_err(|e| e.to_string())?;
    let signer = StatementKey::generate(domain).map_err(|e| e.to_string())?;
    let round = Round {
        node,
        dispatch: &dispatch,
        domain,
        attempt,
        documents: &documents,
        recipient: &recipient,
        signer: &signer,
        verifiers: &verifiers,
        agree,
    };
    let judged = round.agreed(note).await?;
    let runtime_data_hash = runtime_data::hash(&judged.runtime_data);
    let release = ReleaseTerms {
        recipient: recipient.public(),
        runtime_data_hash,
        domain: ReleaseDomain::of_level(node.tee.level()).ok_or("unknown attestation level")?,
    };
    // In the order of the contract: the pinned set's first, each set's by index.
    let pinned = judged.verdicts.good.into_iter().take(need);
    let verified = judged.verified.good.into_iter().take(agree);
    let chosen: Vec<VerdictResponse> = pinned.chain(verified).map(|(_, verdict)| verdict).collect();
    let verdicts_expire = chosen.iter().map(|v| v.verdict.0.expiresAt).min().unwrap_or_default();
    let (verdicts, signatures): (Vec<_>, Vec<_>) =
        chosen.into_iter().map(|v| (v.verdict, v.signature)).unzip();
    let bundle = EvidenceBundle {
        collateral: node.tee.collateral(&judged.evidence)?,
        evidence: judged.evidence,
        runtime_data: judged.runtime_data.into(),
        verdicts: verdicts.clone(),
        signatures: signatures.clone(),
        recorded_at: unix_now(),
        entry: node.tee.entry(),
    };
    let ticket = StartTicket { signer: signer.address(), runtime_data_hash, verdicts, signatures };
    let prepared = Prepared {
        dispatch,
        domain,
        documents,
        blobs,
        base,
        recipient,
        release,
        ticket,
        verdicts_expire,
        bundle,
        _place: place,
    };
    Ok((prepared, signer))
}

/// How many custodians have to agree: t to a start, so many to a restart that the others could not hold
/// a finished result of the attempt before.
pub(super) fn needed(attempt: u32, documents: &Documents) -> usize {
    let t = usize::from(documents.envelope.terms().t);
    if attempt == 1 { t } else { silence_quorum(t, documents.hpke_members.len()) }
}

/// Members of the requester's own set, in ascending index, and how many have to agree. A custodian of both
/// sets judges as a member of the owner's, so it is not asked twice.
fn verifiers_of(dispatch: &Dispatch) -> (Vec<Member>, usize) {
    let Some(set) = &dispatch.verifiers else { return (Vec::new(), 0) };
    let in_both = |id| dispatch.custodian_urls.iter().any(|custodian| custodian.id == id);
    let others = set.members.iter().filter(|member| !in_both(member.id));
    let member = |v: &VerifierUrl| Member { i: v.index.saturating_add(1), id: v.id, url: v.url.clone() };
    let mut members: Vec<Member> = others.map(member).collect();
    members.sort_by_key(|member| member.i);
    (members, usize::from(set.threshold))
}

/// Asks these custodians for a nonce.
pub(super) async fn challenge(
    node: &Node,
    dispatch: &Dispatch,
    attempt: u32,
    (members, need): (&[Member], usize),
    grace: Duration,
) -> Answers<ChallengeResponse> {
    let request = ChallengeRequest {
        chain_id: dispatch.chain_id,
        contract: dispatch.contract,
        job_id: dispatch.job.0.jobId,
        attempt,
    };
    ask_all(members, patience(need, CHALLENGE_LIMIT, grace), |member| {
        let (http, request) = (&node.http, &request);
        async move {
            let answer = member.at(http, CHALLENGE_LIMIT)?.challenge(request).await?;
            if answer.custodian_id != member.id {
                return Err(CallError::lasting("another custodian answers at this address"));
            }
            Ok(answer)
        }
    })
    .await
}

fn patience(need: usize, limit: Duration, grace: Duration) -> Patience {
    Patience { need, grace, until: Instant::now() + limit }
}

impl Round<'_> {
    /// Judged by enough custodians of both sets, however many rounds that takes.
    async fn agreed(&self, note: impl Fn(String)) -> Result<Judged, String> {
        let (need, pinned) = (needed(self.attempt, self.documents), self.documents.members.len());
        loop {
            let judged = self.judge().await?;
            let missing = [
                ("", &judged.verdicts, pinned, need),
                (" of the requester's own set", &judged.verified, self.verifiers.len(), self.agree),
            ];
            let missing = missing.into_iter().find(|(_, answers, _, need)| answers.good.len() < *need);
            let Some((whose, answers, members, need)) = missing else { return Ok(judged) };
            let (have, complaints) = (answers.good.len(), answers.complaints());
            let message = format!("{have} of {need} verdicts{whose}: {complaints}");
            if answers.is_hopeless(members, need) {
                return Err(message);
            }
            note(message);
            tokio::time::sleep(jittered(PAUSE)).await;
        }
    }

    /// Fresh nonces, one piece of evidence, one verdict of every custodian that gave a nonce.
    async fn judge(&self) -> Result<Judged, String> {
        let (node, documents) = (self.node, self.documents);
        let need = needed(self.attempt, documents);
        let ask = |asked| challenge(node, self.dispatch, self.attempt, asked, CHALLENGE_GRACE);
        let (challenged, others) =
            tokio::join!(ask((&documents.members[..], need)), ask((self.verifiers, self.agree)));
        let challenges: Vec<Challenge> = challenged
            .good
            .iter()
            .chain(&others.good)
            .map(|(m, answer)| Challenge { custodian_id: m.id, nonce: answer.nonce })
            .collect();
        let runtime_data = self.runtime_data(challenges).to_bytes().map_err(|e| e.to_string())?;
        let evidence = self.node.tee.evidence(&runtime_data, self.signer.address())?;
        let request = VerdictRequest {
            contract: self.domain.contract,
            policy: self.dispatch.policy.clone(),
            // As granted or, for a later attempt, as Running with the attempt that is gone: what the
            // dispatch has, and what the chain is committed to.
            job: self.dispatch.job.clone(),
            attempt: self.attempt,
            evidence: evidence.clone(),
            runtime_data: runtime_data.clone().into(),
            envelope: self.documents.envelope_bytes.clone().into(),
            constraints: self.documents.constraints_bytes.clone().into(),
            job_spec: self.documents.job_spec_bytes.clone().into(),
        };
        let expected = self.expected(runtime_data::hash(&runtime_data));
        let job = &self.dispatch.job.0;
        let of_verifiers =
            Verdict { custodianSet: job.verifierSet, setVersion: job.verifierSetVersion, ..expected.clone() };
        let (verdicts, verified) = tokio::join!(
            self.verdicts(challenged, need, &request, &expected),
            self.verdicts(others, self.agree, &request, &of_verifiers)
        );
        Ok(Judged { runtime_data, evidence, verdicts, verified })
    }

    /// A verdict of every member that gave a nonce; the others keep their last word.
    async fn verdicts(
        &self,
        challenged: Answers<ChallengeResponse>,
        need: usize,
        request: &VerdictRequest,
        expected: &Verdict,
    ) -> Answers<VerdictResponse> {
        let members: Vec<Member> = challenged.good.into_iter().map(|(member, _)| member).collect();
        let (http, domain) = (&self.node.http, &self.domain);
        let mut verdicts = ask_all(&members, patience(need, VERDICT_LIMIT, VERDICT_GRACE), |member| {
            async move {
                let answer = member.at(http, VERDICT_LIMIT)?.verdict(request).await;
                // A custodian that looked at the nonce has used it up: "too early" needs a new round.
                let answer = answer.map_err(|e| CallError { spent: e.is_answered(), ..e.into() })?;
                check_verdict(domain, &member, &answer, expected, unix_now()).map_err(CallError::lasting)?;
                Ok(answer)
            }
        })
        .await;
        verdicts.failed.extend(challenged.failed);
        verdicts
    }

    fn runtime_data(&self, challenges: Vec<Challenge>) -> RuntimeData {
        let job: &Job = &self.dispatch.job.0;
        RuntimeData {
            label: self.node.tee.label().to_string(),
            level: self.node.tee.level(),
            chain_id: self.domain.chain_id,
            contract: self.domain.contract,
            job_id: job.jobId,
            job_hash: job_hash(&as_granted(job)),
            attempt: self.attempt,
            dataset_uid: job.datasetUid,
            dataset_root: job.datasetRoot,
            policy_hash: job.policyHash,
            envelope_hash: job.envelopeHash,
            job_spec_hash: job.jobSpecHash,
            provider_id: self.node.config.provider_id,
            hpke_key: self.recipient.public().0,
            signer: self.signer.address(),
            tee_type: self.node.tee.name().to_string(),
            sandboxed: self.node.trainers.confine,
            challenges,
        }
    }

    /// What every verdict must say; only `expiresAt` is the custodian's own.
    fn expected(&self, runtime_data_hash: B256) -> Verdict {
        let job: &Job = &self.dispatch.job.0;
        Verdict {
            jobId: job.jobId,
            attempt: self.attempt,
            signer: self.signer.address(),
            runtimeDataHash: runtime_data_hash,
            providerId: self.node.config.provider_id,
            level: self.node.tee.level(),
            appraisalPolicy: job.appraisalPolicy,
            custodianSet: job.custodianSet,
            setVersion: job.setVersion,
            expiresAt: 0,
        }
    }
}

/// What the contract will check: a verdict that it would refuse is no verdict.
fn check_verdict(
    domain: &Domain,
    member: &Member,
    answer: &VerdictResponse,
    expected: &Verdict,
    now: u64,
) -> Result<(), &'static str> {
    let (verdict, signature) = (&answer.verdict.0, &answer.signature.0);
    let said = Verdict { expiresAt: 0, ..verdict.clone() };
    if said != *expected {
        return Err("the verdict is about something else");
    }
    if verdict.expiresAt <= now || verdict.expiresAt > now + VERDICT_LIFE + CLOCK_SKEW {
        return Err("the verdict's life is not within 15 minutes");
    }
    if u32::from(signature.index) + 1 != u32::from(member.i) {
        return Err("the verdict is signed for another member");
    }
    if domain.member_of(verdict, signature) != Some(member.id) {
        return Err("the verdict is not signed by this custodian");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use licen_core::eip712::compact;
    use licen_core::primitives::Address;
    use licen_core::wire::AbiHex;
    use licen_seal::SigningKey;

    #[test]
    fn a_verdict_the_contract_would_refuse_is_no_verdict() {
        let domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(9) };
        let key = SigningKey::generate().ok().unwrap();
        let member = Member { i: 2, id: key.address(), url: String::new() };
        let expected = Verdict { jobId: B256::repeat_byte(1), attempt: 1, ..Verdict::default() };
        let sign = |verdict: Verdict, index: u16| {
            let signature = key.sign(&domain.digest(&verdict)).unwrap();
            let signature = compact(index, signature.as_bytes()).unwrap();
            VerdictResponse { verdict: AbiHex(verdict), signature: AbiHex(signature) }
        };
        let check = |answer: &VerdictResponse| check_verdict(&domain, &member, answer, &expected, 100);
        let good = Verdict { expiresAt: 1_000, ..expected.clone() };
        assert_eq!(check(&sign(good.clone(), 1)), Ok(()));
        assert!(check(&sign(good.clone(), 2)).unwrap_err().contains("another member"));
        assert!(check(&sign(Verdict { expiresAt: 100, ..good.clone() }, 1)).is_err());
        assert!(check(&sign(Verdict { expiresAt: 9_999, ..good.clone() }, 1)).is_err());
        assert!(check(&sign(Verdict { attempt: 2, ..good.clone() }, 1)).is_err());
        let mut forged = sign(good.clone(), 1);
        forged.verdict.0.expiresAt += 1;
        assert!(check(&forged).unwrap_err().contains("not signed"));
    }
}
