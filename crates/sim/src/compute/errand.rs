//! Rounds of questions to all custodians, each asked again while its failure may pass, until enough
//! have answered: challenge, verdict, release, hold, publish. What the node does with `ask_all`.

use std::collections::{BTreeMap, BTreeSet};

use licen_compute::serve::Event;
use licen_core::abi::{Job, MemberSignature};
use licen_core::canonical::json_to_vec;
use licen_core::evidence_bundle::EvidenceBundle;
use licen_core::id::{as_granted, job_hash};
use licen_core::job::silence_quorum;
use licen_core::policy::LEVEL_SOFTWARE;
use licen_core::primitives::B256;
use licen_core::runtime_data::{self, Challenge, LABEL_SIMULATED, RuntimeData};
use licen_core::wire::AbiHex;
use licen_core::wire::compute::StartTicket;
use licen_core::wire::custodian::{
    ChallengeRequest, ChallengeResponse, DeliverRequest, HeldResponse, ReleaseRequest, ReleaseResponse,
    SignedManifest, VerdictRequest, VerdictResponse,
};
use licen_custodian::effect::Reply;
use licen_custodian::event::Ask;
use licen_seal::KeyShare;
use licen_seal::delivery::{DeliveryTerms, seal_manifest};
use licen_seal::release::{combine, open_released};
use licen_seal::warrant::{ReleaseDomain, ReleaseTerms};

use super::TaskKey;
use crate::error::SimError;
use crate::keys::signing_key;
use crate::network::{Answer, Asker, Party, Question};
use crate::world::{Happening, World};

/// As the node waits for slower custodians once there are enough answers.
const GRACE_MS: u64 = 2_000;
/// As the node waits for slower custodians to hold a result: a custodian that lies answers first.
const HOLD_GRACE_MS: u64 = 15_000;
const ANSWER_MS: u64 = 20_000;
const DAY_MS: u64 = 86_400_000;

/// A round.
pub(crate) struct Errand {
    /// Answers of another round are not heard.
    round: u64,
    what: What,
    /// Members asked in this round; the index of a share is one more than that of the custodian.
    members: Vec<u8>,
    good: BTreeMap<u8, Good>,
    /// Members that refused for good.
    lasting: BTreeSet<u8>,
    until_ms: u64,
}

/// What is asked.
enum What {
    Challenge,
    Verdict { request: Box<VerdictRequest>, terms: ReleaseTerms },
    Release,
    Hold,
    Publish,
}

/// A good answer.
enum Good {
    Nonce(B256),
    Verdict(Box<VerdictResponse>),
    Share(KeyShare),
    Held(MemberSignature),
    Taken,
}

/// What time does to a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tick {
    /// A member is asked again.
    Again(u8),
    /// Enough have answered, and the slower ones had their time.
    Grace,
    /// It has lasted long enough.
    End,
}

impl World {
    /// Challenges, then verdicts, as often as the machine allows.
    pub(super) fn set_up(&mut self, key: TaskKey) -> Result<(), SimError> {
        let Some(task) = self.compute.tasks.get(&key) else { return Ok(()) };
        let policy = &task.dispatch.policy.0;
        let documents = [task.dispatch.job.0.envelopeHash, policy.constraintsHash, policy.manifestHash];
        if documents.iter().any(|root| self.document(*root).is_err()) {
            return self.set_up_later(key);
        }
        self.make_keys(key)?;
        let everybody = (1..=self.scenario.n + self.scenario.verifiers.map_or(0, |(_, n)| n)).collect();
        self.begin(key, What::Challenge, everybody, 10_000)
    }

    pub(super) fn begin_release(&mut self, key: TaskKey) -> Result<(), SimError> {
        // As the node does, it says what it heard before the machine stops listening.
        let deadline = self.compute.tasks.get(&key).and_then(|task| task.machine.deadline());
        let lasts_ms = (deadline.unwrap_or_default() * 1000).saturating_sub(self.now_ms + 2_000);
        self.begin(key, What::Release, self.every_member(), lasts_ms)
    }

    pub(super) fn begin_hold(&mut self, key: TaskKey) -> Result<(), SimError> {
        self.begin(key, What::Hold, self.every_member(), DAY_MS)
    }

    pub(super) fn begin_publish(&mut self, key: TaskKey) -> Result<(), SimError> {
        self.begin(key, What::Publish, self.every_member(), 90_000)
    }

    fn every_member(&self) -> Vec<u8> {
        (1..=self.scenario.n).collect()
    }

    fn begin(&mut self, key: TaskKey, what: What, members: Vec<u8>, lasts_ms: u64) -> Result<(), SimError> {
        self.rounds += 1;
        let round = self.rounds;
        let until_ms = self.now_ms + lasts_ms;
        let Some(task) = self.compute.tasks.get_mut(&key) else { return Ok(()) };
        let (good, lasting) = (BTreeMap::new(), BTreeSet::new());
        task.errand = Some(Errand { round, what, members: members.clone(), good, lasting, until_ms });
        self.after(lasts_ms, Happening::Errand(key, round, Tick::End));
        if members.is_empty() {
            return self.errand_ends(key);
        }
        for member in members {
            self.ask_member(key, member)?;
        }
        Ok(())
    }

    fn ask_member(&mut self, key: TaskKey, member: u8) -> Result<(), SimError> {
        let Some(errand) = self.compute.tasks.get(&key).and_then(|task| task.errand.as_ref()) else {
            return Ok(());
        };
        let asker = Asker::Compute { task: key, round: errand.round, member };
        let ask = self.request_to(key, member)?;
        let to = Party::Custodian(usize::from(member) - 1);
        self.ask(to, Question::Custodian(Box::new(ask)), asker, ANSWER_MS);
        Ok(())
    }

    fn request_to(&self, key: TaskKey, member: u8) -> Result<Ask, SimError> {
        let gone = || SimError::World("an errand without a task".into());
        let task = self.compute.tasks.get(&key).ok_or_else(gone)?;
        let errand = task.errand.as_ref().ok_or_else(gone)?;
        let domain = self.chain.domain();
        Ok(match &errand.what {
            What::Challenge => Ask::Challenge(ChallengeRequest {
                chain_id: domain.chain_id,
                contract: domain.contract,
                job_id: key.0,
                attempt: key.1,
            }),
            What::Verdict { request, .. } => Ask::Verdict((**request).clone()),
            What::Release => {
                let job = AbiHex(task.job.clone().ok_or_else(gone)?);
                Ask::Release(ReleaseRequest { contract: domain.contract, job })
            }
            What::Hold => {
                let (job, sealed) =
                    (task.job.as_ref().ok_or_else(gone)?, task.sealed.as_ref().ok_or_else(gone)?);
                let (share, share_commit) = sealed.shares[usize::from(member) - 1].clone();
                let blob_url = task.dispatch.blob_url.clone();
                let offered = sealed.roots.delivery(job, &blob_url);
                Ask::Deliver(DeliverRequest::Share {
                    contract: domain.contract,
                    job: AbiHex(job.clone()),
                    roots: sealed.roots,
                    share,
                    share_commit,
                    key_commit: sealed.key_commit,
                    blob_url,
                    signature: self.sign(&task.key_name(), &offered)?,
                })
            }
            What::Publish => {
                let (manifest, signature) = task.signed.clone().ok_or_else(gone)?;
                let held = task.held.iter().cloned().map(AbiHex).collect();
                let signed = SignedManifest { manifest: AbiHex(manifest), signature, held };
                let plain = json_to_vec(&signed).map_err(SimError::world)?;
                let custodian = &self.custodians[usize::from(member) - 1];
                let terms = DeliveryTerms { job_id: key.0, attempt: key.1, custodian: custodian.id };
                let to = licen_seal::RecipientPublicKey(custodian.hpke_key);
                let (enc, ct) = seal_manifest(&plain, &terms, &to).map_err(SimError::world)?;
                let (contract, job_id, attempt) = (domain.contract, key.0, key.1);
                Ask::Deliver(DeliverRequest::Manifest { contract, job_id, attempt, enc, ct })
            }
        })
    }

    /// A custodian's answer, or its silence.
    pub(crate) fn errand_heard(
        &mut self,
        key: TaskKey,
        round: u64,
        member: u8,
        answer: &Answer,
    ) -> Result<(), SimError> {
        let Some(task) = self.compute.tasks.get(&key) else { return Ok(()) };
        let Some(errand) = task.errand.as_ref().filter(|errand| errand.round == round) else { return Ok(()) };
        let answered = matches!(answer, Answer::Reply(_));
        let spent = answered && matches!(errand.what, What::Verdict { .. });
        let reply = match answer {
            Answer::Reply(reply) => reply,
            Answer::Status(_) | Answer::Unknown | Answer::No(_) | Answer::Silence => {
                return self.again(key, round, member);
            }
        };
        if let Reply::Problem(problem) = reply {
            let passing = problem.status >= 500 || matches!(problem.status, 408 | 425 | 429);
            if passing && !spent {
                return self.again(key, round, member);
            }
            if let Some(errand) = self.compute.tasks.get_mut(&key).and_then(|task| task.errand.as_mut()) {
                // "Too early" uses a nonce up but may pass: it is no lasting refusal.
                if !passing {
                    errand.lasting.insert(member);
                }
                let nobody_left = errand.good.len() + errand.lasting.len() >= errand.members.len();
                if nobody_left || passing {
                    return self.errand_over(key);
                }
            }
            return Ok(());
        }
        let good = self.good(key, member, reply)?;
        let Some(errand) = self.compute.tasks.get_mut(&key).and_then(|task| task.errand.as_mut()) else {
            return Ok(());
        };
        errand.good.insert(member, good);
        let all = errand.good.len() + errand.lasting.len() >= errand.members.len();
        let (have, need) = self.counted(key);
        if have == need && !all {
            let grace = self.grace_ms(key);
            self.after(grace, Happening::Errand(key, round, Tick::Grace));
        }
        if all { self.errand_over(key) } else { Ok(()) }
    }

    fn grace_ms(&self, key: TaskKey) -> u64 {
        let Some(task) = self.compute.tasks.get(&key) else { return GRACE_MS };
        let Some(job) = task.job.as_ref() else { return GRACE_MS };
        if !matches!(task.errand.as_ref().map(|errand| &errand.what), Some(What::Hold)) {
            return GRACE_MS;
        }
        HOLD_GRACE_MS.min(job.runDeadline.saturating_sub(self.now_seconds()) * 1000 / 2)
    }

    /// How many good answers count, and how many are needed. Where both sets are asked, more of one do not
    /// make up for fewer of the other.
    fn counted(&self, key: TaskKey) -> (usize, usize) {
        let Some(errand) = self.compute.tasks.get(&key).and_then(|task| task.errand.as_ref()) else {
            return (0, 1);
        };
        let need = self.need(key);
        if !matches!(errand.what, What::Challenge | What::Verdict { .. }) {
            return (errand.good.len(), need);
        }
        let agree = usize::from(self.scenario.verifiers.map_or(0, |(t, _)| t));
        let pinned = errand.good.keys().filter(|member| **member <= self.scenario.n).count();
        ((errand.good.len() - pinned).min(agree) + pinned.min(need), need + agree)
    }

    fn need(&self, key: TaskKey) -> usize {
        let what = self.compute.tasks.get(&key).and_then(|task| task.errand.as_ref()).map(|e| &e.what);
        // One custodian that publishes is enough to settle; the others are asked all the same.
        match what {
            Some(What::Publish) => 1,
            Some(What::Challenge | What::Verdict { .. }) => self.verdicts_needed(key),
            Some(What::Release | What::Hold) | None => usize::from(self.scenario.t),
        }
    }

    /// t to start, so many as can call the attempt before silent to restart.
    fn verdicts_needed(&self, (_, attempt): TaskKey) -> usize {
        let (t, n) = (usize::from(self.scenario.t), usize::from(self.scenario.n));
        if attempt == 1 { t } else { silence_quorum(t, n) }
    }

    fn again(&mut self, key: TaskKey, round: u64, member: u8) -> Result<(), SimError> {
        let pause = self.random.between(500, 4_000);
        self.after(pause, Happening::Errand(key, round, Tick::Again(member)));
        Ok(())
    }

    /// Time passes for a round.
    pub(crate) fn errand_tick(&mut self, key: TaskKey, round: u64, tick: Tick) -> Result<(), SimError> {
        let Some(task) = self.compute.tasks.get(&key) else { return Ok(()) };
        let Some(errand) = task.errand.as_ref().filter(|errand| errand.round == round) else { return Ok(()) };
        match tick {
            Tick::Again(member) if self.now_ms < errand.until_ms => self.ask_member(key, member),
            Tick::Again(_) => Ok(()),
            Tick::Grace | Tick::End => self.errand_over(key),
        }
    }

    /// Reads a good answer; one that is not what it should be is a defect here, not a peer's lie.
    fn good(&self, key: TaskKey, member: u8, reply: &Reply) -> Result<Good, SimError> {
        let Some(task) = self.compute.tasks.get(&key) else { return Ok(Good::Taken) };
        let Some(errand) = &task.errand else { return Ok(Good::Taken) };
        let body = match reply {
            Reply::Json(body) => body,
            Reply::Done | Reply::Problem(_) => return Ok(Good::Taken),
        };
        let read = |e: serde_json::Error| SimError::Violation(format!("an answer has another form: {e}"));
        Ok(match &errand.what {
            What::Challenge => {
                let answer: ChallengeResponse = serde_json::from_slice(body).map_err(read)?;
                Good::Nonce(answer.nonce)
            }
            What::Verdict { .. } => Good::Verdict(serde_json::from_slice(body).map_err(read)?),
            What::Release => {
                let answer: ReleaseResponse = serde_json::from_slice(body).map_err(read)?;
                let (Some(recipient), Some(terms)) = (&task.recipient, &task.release) else {
                    return Ok(Good::Taken);
                };
                let Some(published) = &self.published else { return Ok(Good::Taken) };
                let share = open_released(&answer.share, recipient, &published.envelope, terms);
                Good::Share(
                    share.map_err(|e| SimError::Violation(format!("share {member} does not open: {e}")))?,
                )
            }
            What::Hold => {
                let answer: HeldResponse = serde_json::from_slice(body).map_err(read)?;
                let by = self.chain.domain().member_of(&answer.held.0, &answer.signature.0);
                if by != Some(self.custodians[usize::from(member) - 1].id) {
                    return SimError::violation("a Held is not signed by its custodian");
                }
                Good::Held(answer.signature.0)
            }
            What::Publish => Good::Taken,
        })
    }

    fn errand_over(&mut self, key: TaskKey) -> Result<(), SimError> {
        let (have, need) = self.counted(key);
        let errand = self.compute.tasks.get(&key).and_then(|task| task.errand.as_ref());
        let Some(errand) = errand else { return Ok(()) };
        let hopeless = errand.members.len() - errand.lasting.len() < need;
        let over = have >= need || hopeless || self.now_ms >= errand.until_ms;
        let rounds = matches!(errand.what, What::Challenge | What::Verdict { .. });
        if over || rounds { self.errand_ends(key) } else { Ok(()) }
    }

    fn errand_ends(&mut self, key: TaskKey) -> Result<(), SimError> {
        let (have, need) = match self.counted(key) {
            // Fewer than t may publish, so that is looked at below.
            (have, 1) => (have, usize::from(self.scenario.t)),
            counted => counted,
        };
        let agree = self.verdicts_needed(key);
        let Some(task) = self.compute.tasks.get_mut(&key) else { return Ok(()) };
        let Some(errand) = task.errand.take() else { return Ok(()) };
        let denied = errand.lasting.len();
        let (t, all) = self.scenario.verifiers.unwrap_or_default();
        let of_verifiers = errand.lasting.iter().filter(|member| **member > self.scenario.n).count();
        let hopeless = usize::from(self.scenario.n) - (denied - of_verifiers) < agree
            || usize::from(all) - of_verifiers < usize::from(t);
        let good = errand.good;
        let short = format!("{have} of {need} custodians, {denied} refuse");
        match errand.what {
            What::Challenge if have < need => self.set_up_later(key),
            What::Challenge => self.ask_verdicts(key, &good),
            What::Verdict { .. } if have < need && hopeless => self.task_step(key, Event::Refused(short)),
            What::Verdict { .. } if have < need => self.set_up_later(key),
            What::Verdict { request, terms } => self.ready(key, *request, terms, good),
            What::Release if have < need => self.broke_off(key, "shares", short),
            What::Release => self.unlocked(key, good),
            What::Hold if have < need => self.broke_off(key, "Held", short),
            What::Hold => {
                let held = good.into_values().filter_map(|good| match good {
                    Good::Held(signature) => Some(signature),
                    Good::Nonce(_) | Good::Verdict(_) | Good::Share(_) | Good::Taken => None,
                });
                task.held = held.take(need).collect();
                self.task_step(key, Event::Held)
            }
            What::Publish if have == 0 => self.task_step(key, Event::GaveUp(short)),
            What::Publish => self.task_step(key, Event::Accepted { custodians: have }),
        }
    }

    fn broke_off(&mut self, key: TaskKey, what: &str, short: String) -> Result<(), SimError> {
        let reason = match what {
            "shares" => licen_core::job::Reason::KeyReleaseFailed,
            _ => licen_core::job::Reason::ComputeTaskFailed,
        };
        self.task_step(key, Event::Broke { reason, message: format!("{what}: {short}") })
    }

    fn ask_verdicts(&mut self, key: TaskKey, good: &BTreeMap<u8, Good>) -> Result<(), SimError> {
        let nonces = good.iter().filter_map(|(member, good)| match good {
            Good::Nonce(nonce) => Some((*member, *nonce)),
            Good::Verdict(_) | Good::Share(_) | Good::Held(_) | Good::Taken => None,
        });
        let challenges = nonces.map(|(member, nonce)| Challenge {
            custodian_id: self.custodians[usize::from(member) - 1].id,
            nonce,
        });
        let challenges: Vec<Challenge> = challenges.collect();
        let Some(task) = self.compute.tasks.get(&key) else { return Ok(()) };
        let Some(recipient) = &task.recipient else { return Ok(()) };
        let signer = signing_key(self.scenario.seed, &task.key_name())?.address();
        let job = task.dispatch.job.0.clone();
        let data = self.runtime_data(&job, key.1, recipient.public().0, signer, challenges);
        let bytes = data.to_bytes().map_err(SimError::world)?;
        let hash = runtime_data::hash(&bytes);
        let evidence = self.compute.tee.evidence_for(&hash, signer);
        let document = |root| self.document(root).map_err(SimError::World);
        let request = VerdictRequest {
            contract: self.chain.domain().contract,
            policy: task.dispatch.policy.clone(),
            job: AbiHex(job.clone()),
            attempt: key.1,
            evidence: evidence.map_err(SimError::world)?,
            runtime_data: bytes.into(),
            envelope: document(job.envelopeHash)?,
            constraints: document(task.dispatch.policy.0.constraintsHash)?,
            job_spec: document(job.jobSpecHash)?,
        };
        let domain = ReleaseDomain::Simulated;
        let terms = ReleaseTerms { recipient: recipient.public(), runtime_data_hash: hash, domain };
        let members = good.keys().copied().collect();
        self.begin(key, What::Verdict { request: Box::new(request), terms }, members, 60_000)
    }

    fn runtime_data(
        &self,
        job: &Job,
        attempt: u32,
        hpke_key: B256,
        signer: licen_core::primitives::Address,
        challenges: Vec<Challenge>,
    ) -> RuntimeData {
        let domain = self.chain.domain();
        RuntimeData {
            label: LABEL_SIMULATED.to_owned(),
            level: LEVEL_SOFTWARE,
            chain_id: domain.chain_id,
            contract: domain.contract,
            job_id: job.jobId,
            job_hash: job_hash(&as_granted(job)),
            attempt,
            dataset_uid: job.datasetUid,
            dataset_root: job.datasetRoot,
            policy_hash: job.policyHash,
            envelope_hash: job.envelopeHash,
            job_spec_hash: job.jobSpecHash,
            provider_id: self.registry.provider,
            hpke_key,
            signer,
            tee_type: "simulated".to_owned(),
            sandboxed: true,
            challenges,
        }
    }

    fn ready(
        &mut self,
        key: TaskKey,
        request: VerdictRequest,
        terms: ReleaseTerms,
        good: BTreeMap<u8, Good>,
    ) -> Result<(), SimError> {
        let chosen = good.into_values().filter_map(|good| match good {
            Good::Verdict(answer) => Some(*answer),
            Good::Nonce(_) | Good::Share(_) | Good::Held(_) | Good::Taken => None,
        });
        let all: Vec<VerdictResponse> = chosen.collect();
        let of_verifiers = |answer: &&VerdictResponse| {
            answer.verdict.0.custodianSet == self.registry.verifier_set && self.scenario.verifiers.is_some()
        };
        let agree = usize::from(self.scenario.verifiers.map_or(0, |(t, _)| t));
        let pinned = all.iter().filter(|answer| !of_verifiers(answer)).take(self.verdicts_needed(key));
        let verified = all.iter().filter(of_verifiers).take(agree);
        let chosen: Vec<VerdictResponse> = pinned.chain(verified).cloned().collect();
        let verdicts_expire = chosen.iter().map(|v| v.verdict.0.expiresAt).min().unwrap_or_default();
        let signer = chosen.first().map(|v| v.verdict.0.signer).unwrap_or_default();
        let (verdicts, signatures): (Vec<_>, Vec<_>) =
            chosen.into_iter().map(|v| (v.verdict, v.signature)).unzip();
        let recorded_at = self.now_seconds();
        let entry = self.registry.entry;
        let collateral = licen_attest::select(&request.evidence, []).map_err(SimError::world)?;
        let collateral = collateral.to_bytes().map_err(SimError::world)?.into();
        let Some(task) = self.compute.tasks.get_mut(&key) else { return Ok(()) };
        task.bundle = Some(EvidenceBundle {
            evidence: request.evidence,
            collateral,
            runtime_data: request.runtime_data,
            verdicts: verdicts.clone(),
            signatures: signatures.clone(),
            recorded_at,
            entry,
        });
        let runtime_data_hash = terms.runtime_data_hash;
        let ticket = StartTicket { signer, runtime_data_hash, verdicts, signatures };
        (task.ticket, task.release) = (Some(ticket.clone()), Some(terms));
        self.task_step(key, Event::Ready { ticket, verdicts_expire })?;
        self.wake_task(key);
        Ok(())
    }

    fn unlocked(&mut self, key: TaskKey, good: BTreeMap<u8, Good>) -> Result<(), SimError> {
        let Some(published) = &self.published else { return Ok(()) };
        let shares = good.into_values().filter_map(|good| match good {
            Good::Share(share) => Some(share),
            Good::Nonce(_) | Good::Verdict(_) | Good::Held(_) | Good::Taken => None,
        });
        let shares: Vec<KeyShare> = shares.collect();
        let combined = combine(&published.envelope, &shares);
        let combined =
            combined.map_err(|e| SimError::Violation(format!("t good shares make no key: {e}")))?;
        let Some(task) = self.compute.tasks.get_mut(&key) else { return Ok(()) };
        task.key = Some(combined);
        let run_deadline = task.job.as_ref().map(|job| job.runDeadline).unwrap_or_default();
        self.task_step(key, Event::KeyCombined { run_deadline })
    }
}
