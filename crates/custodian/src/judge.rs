//! The judgement of one attempt: every rule between a request and a verdict, pure, in the order of
//! cost and of who can be blamed. The first rule that does not hold ends it.

use licen_attest::{AppraisalPolicy, Collateral, MAX_EVIDENCE_BYTES, ReferenceEntry, appraise, select};
use licen_core::abi::{Job, Policy, Verdict};
use licen_core::canonical::{CanonicalError, json_from_slice};
use licen_core::constraints::{Constraints, JobSpec, ProviderFacts, check};
use licen_core::eip712::{ChainDomain, Domain};
use licen_core::id::{dataset_uid, job_commitment, policy_hash};
use licen_core::job::{JobState, MAX_ATTEMPTS};
use licen_core::merkle::file_tree;
use licen_core::primitives::{Address, B256, Bytes};
use licen_core::release::AttestationResult;
use licen_core::runtime_data::{self, RuntimeData};
use licen_core::wire::custodian::{Evidence, VerdictRequest};
use licen_seal::envelope::{MAX_ENVELOPE_BYTES, Uses, open_share};
use licen_seal::{Envelope, KeyShare, RecipientKey, SigningKey};
use serde::{Deserialize, Serialize};

use crate::denial::Denial;
use crate::event::{GrantFacts, SetFacts};

/// Longest life of a verdict, seconds; the contract's constant.
pub const VERDICT_SECONDS: u64 = 15 * 60;
/// Largest Constraints and JobSpec, bytes.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// Who this custodian is.
pub struct Identity {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The `DataPolicy` contracts that it serves.
    pub contracts: Vec<Address>,
    /// Signs verdicts and `Held`.
    pub signing: SigningKey,
    /// Opens shares; the key that the newest version of its sets names.
    pub recipient: RecipientKey,
    /// Keys that older versions name: jobs under way and held results need them.
    pub former: Vec<RecipientKey>,
}

impl Identity {
    /// What is signed about jobs of a contract that it serves.
    ///
    /// # Errors
    /// [`Denial::ForeignContract`].
    pub(crate) fn domain(&self, contract: Address) -> Result<Domain, Denial> {
        match self.contracts.contains(&contract) {
            true => Ok(Domain { chain_id: self.chain_id, contract }),
            false => Err(Denial::ForeignContract(contract)),
        }
    }

    /// What is signed about datasets and keys, wherever they are registered.
    pub(crate) fn statements(&self) -> ChainDomain {
        ChainDomain { chain_id: self.chain_id }
    }

    /// The key of this custodian with that public part.
    ///
    /// # Errors
    /// [`Denial::MemberKey`]: it has no such key, or none any more.
    pub(crate) fn key_of(&self, public: &B256) -> Result<&RecipientKey, Denial> {
        let mut keys = std::iter::once(&self.recipient).chain(&self.former);
        keys.find(|key| key.public().0 == *public).ok_or(Denial::MemberKey)
    }
}

/// What this custodian holds evidence against: its own, never the asker's.
pub(crate) struct Known<'a> {
    pub(crate) entries: &'a [ReferenceEntry],
    pub(crate) collateral: &'a [Collateral],
}

/// What a release of this attempt will rest on, kept with the verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct VerdictCase {
    pub(crate) evidence: Evidence,
    /// The endorsements it was appraised with.
    pub(crate) collateral: Bytes,
    pub(crate) runtime_data: Bytes,
    pub(crate) envelope: Bytes,
    /// The reference values that were met, as bytes.
    pub(crate) reference_values: Bytes,
    /// Platforms of the provider at that time.
    pub(crate) platforms: Option<Vec<B256>>,
    /// When it was appraised, Unix seconds.
    pub(crate) appraised_at: u64,
}

/// A judgement that is not signed yet.
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    /// In the set that the verdict names.
    pub(crate) index: u16,
    pub(crate) result: AttestationResult,
    pub(crate) case: VerdictCase,
}

/// The set in which this custodian judges.
enum Seat<'a> {
    /// The owner's: its share has to open.
    Pinned(u16, &'a SetFacts),
    /// The researcher's: it holds no share.
    Verifier(u16),
}

/// What can be refused before the nonce is used up: size, form, and whose nonce it is.
pub(crate) fn check_form(
    identity: &Identity,
    request: &VerdictRequest,
) -> Result<(RuntimeData, B256), Denial> {
    let sizes = [
        ("the evidence", request.evidence.bytes().len(), MAX_EVIDENCE_BYTES),
        ("the envelope", request.envelope.len(), MAX_ENVELOPE_BYTES),
        ("the constraints", request.constraints.len(), MAX_DOCUMENT_BYTES),
        ("the job specification", request.job_spec.len(), MAX_DOCUMENT_BYTES),
    ];
    if let Some((what, bytes, max)) = sizes.into_iter().find(|(_, bytes, max)| bytes > max) {
        return Err(Denial::TooLarge { what, bytes, max });
    }
    let data = RuntimeData::from_bytes(&request.runtime_data).map_err(encoding("the runtime data"))?;
    let own = identity.signing.address();
    let mut nonces = data.challenges.iter().filter(|c| c.custodian_id == own).map(|c| c.nonce);
    let (Some(nonce), None) = (nonces.next(), nonces.next()) else { return Err(Denial::NoNonce) };
    Ok((data, nonce))
}

/// Judges a request whose nonce was good. `now` is the custodian's own clock, seconds.
pub(crate) fn judge(
    identity: &Identity,
    known: &Known<'_>,
    request: &VerdictRequest,
    data: &RuntimeData,
    facts: &GrantFacts,
    now: u64,
) -> Result<Judged, Denial> {
    let (job, policy) = (&request.job.0, &request.policy.0);
    check_chain(&identity.domain(request.contract)?, request, data, facts)?;
    let seat = seat(identity, job, facts)?;
    let provider = provider(data, facts)?;
    check_documents(request, &provider)?;
    let live: Vec<ReferenceEntry> =
        known.entries.iter().filter(|e| facts.live_entries.contains(&e.root())).cloned().collect();
    let platforms = (!data.provider_id.is_zero())
        .then(|| facts.provider.as_ref().map_or_else(Vec::new, |p| p.platformIds.clone()));
    let appraisal =
        AppraisalPolicy { chain_id: identity.chain_id, entries: &live, platforms: platforms.as_deref() };
    let collateral = select(&request.evidence, known.collateral)?;
    let result = appraise(&request.evidence, &request.runtime_data, &collateral, &appraisal, now)?;
    if result.level() < job.requiredLevel {
        return Err(Denial::Level { found: result.level(), required: job.requiredLevel });
    }
    if let Seat::Pinned(index, set) = &seat {
        let envelope = checked_envelope(identity, job, policy, set, &request.envelope)?;
        own_share(identity, &envelope, *index)?;
    }
    let met = live.iter().find(|e| e.root() == result.entry()).ok_or(Denial::AppraisalPolicy)?;
    let case = VerdictCase {
        evidence: request.evidence.clone(),
        collateral: collateral.to_bytes().map_err(|_| Denial::AppraisalPolicy)?.into(),
        runtime_data: request.runtime_data.clone(),
        envelope: request.envelope.clone(),
        reference_values: met.values().to_bytes().map_err(|_| Denial::AppraisalPolicy)?.into(),
        platforms,
        appraised_at: now,
    };
    let (index, verdict) = verdict(job, data, &result, &seat, facts.now);
    Ok(Judged { verdict, index, result, case })
}

fn check_chain(
    domain: &Domain,
    request: &VerdictRequest,
    data: &RuntimeData,
    facts: &GrantFacts,
) -> Result<(), Denial> {
    let (job, policy) = (&request.job.0, &request.policy.0);
    // As granted no attempt has begun; the next one follows the one that the chain records.
    if request.attempt != job.attempt + 1 || request.attempt > MAX_ATTEMPTS {
        return Err(Denial::RuntimeData("attempt"));
    }
    let first = request.attempt == 1;
    let due = if first { JobState::Granted } else { JobState::Running };
    if facts.state != Some(due) {
        return Err(Denial::State(facts.state));
    }
    if facts.commitment != job_commitment(job) {
        return Err(Denial::Commitment);
    }
    if let Some(field) = data.mismatch(domain, job, request.attempt) {
        return Err(Denial::RuntimeData(field));
    }
    let (what, deadline) = if first { ("start", job.startDeadline) } else { ("run", job.runDeadline) };
    if facts.now > deadline {
        return Err(Denial::Deadline { what, deadline, now: facts.now });
    }
    if policy_hash(policy) != job.policyHash {
        return Err(Denial::Policy);
    }
    if dataset_uid(domain.chain_id, policy.owner, policy.salt) != job.datasetUid {
        return Err(Denial::Envelope("datasetUid"));
    }
    if !facts.appraisal_policy_live || facts.live_entries.is_empty() {
        return Err(Denial::AppraisalPolicy);
    }
    Ok(())
}

fn seat<'a>(identity: &Identity, job: &Job, facts: &'a GrantFacts) -> Result<Seat<'a>, Denial> {
    let own = identity.signing.address();
    let (seat, set, index) = match (&facts.custodian_set, &facts.verifier_set) {
        (Some(set), _) if set.index_of(&own).is_some() => {
            let index = set.index_of(&own).ok_or(Denial::NotAMember)?;
            (Seat::Pinned(index, set), set, index)
        }
        (_, Some(set)) if !job.verifierSet.is_zero() => {
            let index = set.index_of(&own).ok_or(Denial::NotAMember)?;
            (Seat::Verifier(index), set, index)
        }
        _ => return Err(Denial::NotAMember),
    };
    identity.key_of(&set.members[usize::from(index)].hpkeKey)?;
    Ok(seat)
}

fn provider(data: &RuntimeData, facts: &GrantFacts) -> Result<ProviderFacts, Denial> {
    if data.provider_id.is_zero() {
        return Ok(ProviderFacts::default());
    }
    let registered = facts.provider.as_ref().filter(|p| !p.creator.is_zero());
    let provider = registered.ok_or(Denial::Provider(data.provider_id))?;
    Ok(ProviderFacts::registered(data.provider_id, provider))
}

fn check_documents(request: &VerdictRequest, provider: &ProviderFacts) -> Result<(), Denial> {
    let (job, policy) = (&request.job.0, &request.policy.0);
    check_root("the constraints", &request.constraints, policy.constraintsHash)?;
    check_root("the job specification", &request.job_spec, job.jobSpecHash)?;
    let constraints: Constraints =
        json_from_slice(&request.constraints).map_err(encoding("the constraints"))?;
    let spec: JobSpec = json_from_slice(&request.job_spec).map_err(encoding("the job specification"))?;
    Ok(check(&constraints, &spec, provider)?)
}

fn checked_envelope(
    identity: &Identity,
    job: &Job,
    policy: &Policy,
    set: &SetFacts,
    bytes: &[u8],
) -> Result<Envelope, Denial> {
    check_root("the envelope", bytes, job.envelopeHash)?;
    let envelope = Envelope::decode(bytes)?;
    let terms = envelope.terms();
    let members = set.members.iter().map(|m| (m.signer, m.hpkeKey.as_slice()));
    let checks = [
        (terms.chain_id == identity.chain_id, "chain"),
        (terms.dataset_uid == dataset_uid(identity.chain_id, policy.owner, policy.salt), "datasetUid"),
        (terms.uses == Uses::Job, "use"),
        (terms.t == set.t, "threshold"),
        (terms.required_level == job.requiredLevel, "requiredLevel"),
        (terms.custodian_set == job.custodianSet, "custodianSet"),
        (terms.set_version == job.setVersion, "setVersion"),
        (envelope.members().eq(members), "member"),
    ];
    match checks.into_iter().find(|(holds, _)| !holds) {
        Some((_, field)) => Err(Denial::Envelope(field)),
        None => Ok(envelope),
    }
}

/// Opens this custodian's share, which checks it against its commitment.
pub(crate) fn own_share(identity: &Identity, envelope: &Envelope, index: u16) -> Result<KeyShare, Denial> {
    let own = identity.signing.address();
    let position = envelope.index_of(&own).ok_or(Denial::NotAMember)?;
    if u16::from(position) != index + 1 {
        return Err(Denial::Envelope("order of members"));
    }
    let sealed_to = envelope.members().nth(usize::from(index)).map(|(_, pk)| pk);
    let sealed_to = sealed_to.and_then(|pk| B256::try_from(pk).ok()).ok_or(Denial::MemberKey)?;
    Ok(open_share(envelope, identity.key_of(&sealed_to)?, position)?)
}

fn verdict(
    job: &Job,
    data: &RuntimeData,
    result: &AttestationResult,
    seat: &Seat<'_>,
    chain_now: u64,
) -> (u16, Verdict) {
    let (index, custodian_set, set_version) = match seat {
        Seat::Pinned(index, _) => (*index, job.custodianSet, job.setVersion),
        Seat::Verifier(index) => (*index, job.verifierSet, job.verifierSetVersion),
    };
    let verdict = Verdict {
        jobId: job.jobId,
        attempt: data.attempt,
        signer: result.signer(),
        runtimeDataHash: result.runtime_data_hash(),
        providerId: data.provider_id,
        level: result.level(),
        appraisalPolicy: job.appraisalPolicy,
        custodianSet: custodian_set,
        setVersion: set_version,
        expiresAt: chain_now + VERDICT_SECONDS,
    };
    (index, verdict)
}

impl VerdictCase {
    /// The root of the reference values that were met.
    pub(crate) fn entry(&self) -> Result<ReferenceEntry, Denial> {
        ReferenceEntry::from_bytes(&self.reference_values).map_err(|_| Denial::AppraisalPolicy)
    }

    /// Appraises the evidence again, at the time and against the values of the verdict: after a
    /// restart the proof is made anew, not believed.
    pub(crate) fn appraise_again(&self, domain: &Domain) -> Result<AttestationResult, Denial> {
        let entries = [self.entry()?];
        let appraisal = AppraisalPolicy {
            chain_id: domain.chain_id,
            entries: &entries,
            platforms: self.platforms.as_deref(),
        };
        let collateral = Collateral::from_bytes(&self.collateral).map_err(|_| Denial::AppraisalPolicy)?;
        Ok(appraise(&self.evidence, &self.runtime_data, &collateral, &appraisal, self.appraised_at)?)
    }

    pub(crate) fn runtime_data_hash(&self) -> B256 {
        runtime_data::hash(&self.runtime_data)
    }
}

pub(crate) fn check_root(what: &'static str, bytes: &[u8], wanted: B256) -> Result<(), Denial> {
    let found = file_tree(bytes).map_or(B256::ZERO, |tree| tree.root);
    if found != wanted || wanted.is_zero() {
        return Err(Denial::Root { what, found, wanted });
    }
    Ok(())
}

pub(crate) fn encoding(what: &'static str) -> impl Fn(CanonicalError) -> Denial {
    move |reason| Denial::Encoding { what, reason }
}
