//! A world for tests: three custodians, an owner's dataset, a job, a compute node, and a chain that
//! says what the test wants it to say. Records are those of the real store.

mod anvil;
mod contracts;
mod deaf;
mod deliver;
mod http;
mod kills;
mod release;
mod result;
mod retire;
mod silence;
mod verdict;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use licen_attest::{ReferenceEntry, ReferenceValues, SimulatedPlatform, SimulatedTee};
use licen_core::abi::{Held, Job, Member, MemberSignature, Policy, Provider, ResultManifest};
use licen_core::canonical::json_to_vec;
use licen_core::constraints::{Constraints, JobSpec, Learn};
use licen_core::eip712::{Domain, compact};
use licen_core::id::{dataset_uid, job_commitment, job_hash, policy_hash};
use licen_core::job::{JobState, started};
use licen_core::merkle::{Scalar, file_tree};
use licen_core::policy::{LEVEL_SOFTWARE, LOCAL_CHAIN_ID};
use licen_core::primitives::{Address, B256, Bytes, FixedBytes, keccak256};
use licen_core::release::{ConfirmedRun, ConfirmedSettlement};
use licen_core::report::{EpochCounts, JobReport, RowCounts};
use licen_core::result_roots::ResultRoots;
use licen_core::runtime_data::{self, Challenge, LABEL_SIMULATED, RuntimeData};
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::*;
use licen_peers::Caller;
use licen_seal::delivery::{DeliveryTerms, seal_manifest};
use licen_seal::envelope::{EnvelopeMember, EnvelopeTerms, MemberPublicKey, Uses, seal_envelope};
use licen_seal::result::{ResultTar, ResultTerms, ResultWriter};
use licen_seal::result_share::ResultShares;
use licen_seal::{DatasetKey, Envelope, RecipientKey, ResultKey, SigningKey};
use licen_store::Store;

use crate::chain::Reader;
use crate::effect::{Effect, Read, Reply, RequestId};
use crate::event::{Answer, Ask, Event, GrantFacts, Reading, RunFacts, SetFacts};
use crate::judge::Identity;
use crate::ledger;
use crate::limits::Rates;
use crate::machine::{Machine, Settings};

pub(super) const DOMAIN: Domain = Domain { chain_id: LOCAL_CHAIN_ID, contract: Address::repeat_byte(9) };
/// Another contract that custodians here serve.
pub(super) const SECOND: Domain = Domain { contract: Address::repeat_byte(8), ..DOMAIN };
/// One that they do not.
pub(super) const FOREIGN: Domain = Domain { contract: Address::repeat_byte(7), ..DOMAIN };
pub(super) const BASE_MODEL: B256 = B256::repeat_byte(0xb0);
pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const PROGRAM: FixedBytes<48> = FixedBytes::repeat_byte(0x11);
const PEER: Caller = Caller::direct(IpAddr::V4(Ipv4Addr::LOCALHOST));

pub(super) fn signing(n: u8) -> SigningKey {
    SigningKey::import(&mut [n; 32]).unwrap_or_else(|_| panic!("key {n}"))
}

pub(super) fn recipient(n: u8) -> RecipientKey {
    RecipientKey::import(&mut [n + 100; 32]).unwrap_or_else(|_| panic!("key {n}"))
}

pub(super) fn root(bytes: &[u8]) -> B256 {
    file_tree(bytes).unwrap().root
}

pub(super) fn identity(n: u8) -> Identity {
    Identity {
        chain_id: LOCAL_CHAIN_ID,
        contracts: vec![DOMAIN.contract, SECOND.contract],
        signing: signing(n),
        recipient: recipient(n),
        former: Vec::new(),
    }
}

pub(super) fn entry() -> ReferenceEntry {
    let program = SimulatedTee::pretend(PROGRAM, SimulatedPlatform::Default).measurement();
    ReferenceEntry::new(&ReferenceValues::simulated("test", vec![program])).unwrap()
}

/// Where a world stands.
pub(super) struct Site {
    pub(super) domain: Domain,
    pub(super) owner: Address,
    pub(super) custodian_set: B256,
    pub(super) appraisal_policy: B256,
    pub(super) t: u8,
    pub(super) n: u8,
}

const SITE: Site = Site {
    domain: DOMAIN,
    owner: Address::repeat_byte(0x0a),
    custodian_set: B256::repeat_byte(0xc5),
    appraisal_policy: B256::repeat_byte(0xa9),
    t: 2,
    n: 3,
};

/// What every researcher here wants trained.
pub(super) fn job_spec() -> Vec<u8> {
    let mut params = serde_json::Map::new();
    params.insert("lora_r".into(), 16.into());
    let spec = JobSpec {
        base_model_root: BASE_MODEL,
        training_params: params,
        eval_fraction: 0.1,
        seed: 7,
        learn: Learn::Assistant,
        parents: vec![],
    };
    json_to_vec(&spec).unwrap()
}

/// What owner and researcher made.
pub(super) struct World {
    pub(super) domain: Domain,
    pub(super) set: SetFacts,
    pub(super) policy: Policy,
    pub(super) job: Job,
    pub(super) envelope: Vec<u8>,
    pub(super) constraints: Vec<u8>,
    pub(super) job_spec: Vec<u8>,
}

impl World {
    /// The question that every attempt at this job begins with.
    pub(super) fn challenge(&self) -> ChallengeRequest {
        let Domain { chain_id, contract } = self.domain;
        ChallengeRequest { chain_id, contract, job_id: self.job.jobId, attempt: 1 }
    }

    pub(super) fn new() -> Self {
        Self::with(&Constraints::default(), |_| {})
    }

    pub(super) fn with(constraints: &Constraints, change: impl FnOnce(&mut EnvelopeTerms)) -> Self {
        Self::on(&SITE, constraints, change)
    }

    pub(super) fn on(
        site: &Site,
        constraints: &Constraints,
        change: impl FnOnce(&mut EnvelopeTerms),
    ) -> Self {
        let domain = site.domain;
        let members =
            (1..=site.n).map(|n| Member { signer: signing(n).address(), hpkeKey: recipient(n).public().0 });
        let set = SetFacts { t: site.t, members: members.collect() };
        let (owner, salt) = (site.owner, B256::repeat_byte(0x5a));
        let uid = dataset_uid(domain.chain_id, owner, salt);
        let mut terms = EnvelopeTerms {
            chain_id: domain.chain_id,
            dataset_uid: uid,
            uses: Uses::Job,
            t: site.t,
            required_level: LEVEL_SOFTWARE,
            custodian_set: site.custodian_set,
            set_version: 1,
        };
        change(&mut terms);
        let to = |n| EnvelopeMember {
            custodian: signing(n).address(),
            pk: MemberPublicKey::Hpke(recipient(n).public()),
        };
        let key = DatasetKey::import(&mut [0xdd; 32]);
        let members: Vec<_> = (1..=site.n).map(to).collect();
        let envelope = seal_envelope(&key, &terms, &members).unwrap().encode().unwrap();
        let constraints = json_to_vec(constraints).unwrap();
        let job_spec = job_spec();
        let policy = Policy {
            datasetUid: uid,
            datasetRoot: B256::repeat_byte(0xda),
            owner,
            salt,
            version: 1,
            envelopeHash: root(&envelope),
            constraintsHash: root(&constraints),
            custodianSet: site.custodian_set,
            setVersion: 1,
            appraisalPolicy: site.appraisal_policy,
            requiredLevel: LEVEL_SOFTWARE,
            ..Policy::default()
        };
        let job = Job {
            jobId: B256::repeat_byte(0x10),
            policyHash: policy_hash(&policy),
            requester: signing(0x77).address(),
            datasetUid: uid,
            datasetRoot: policy.datasetRoot,
            envelopeHash: policy.envelopeHash,
            owner,
            epochs: 3,
            jobSpecHash: root(&job_spec),
            resultKey: recipient(0x78).public().0,
            custodianSet: policy.custodianSet,
            setVersion: 1,
            appraisalPolicy: policy.appraisalPolicy,
            requiredLevel: LEVEL_SOFTWARE,
            runWindow: 3_600,
            startDeadline: NOW + 1_800,
            ..Job::default()
        };
        Self { domain, set, policy, job, envelope, constraints, job_spec }
    }

    /// The same dataset, registered by its owner at another contract, with a job there. Policy, envelope and
    /// ciphertext are the same; only the job's id names the contract.
    pub(super) fn also_at(&self, domain: Domain) -> Self {
        let job = Job { jobId: B256::repeat_byte(0x11), ..self.job.clone() };
        Self {
            domain,
            job,
            set: self.set.clone(),
            policy: self.policy.clone(),
            envelope: self.envelope.clone(),
            constraints: self.constraints.clone(),
            job_spec: self.job_spec.clone(),
        }
    }

    /// The job after `startJob` with this compute.
    pub(super) fn running(&self, data: &RuntimeData) -> Job {
        let hash = runtime_data::hash(&data.to_bytes().unwrap());
        started(&self.job, 1, data.signer, hash, NOW + 3_600)
    }
}

/// A compute node, or somebody who pretends to be one.
pub(super) struct Compute {
    pub(super) signing: SigningKey,
    pub(super) recipient: RecipientKey,
    pub(super) tee: SimulatedTee,
}

impl Compute {
    pub(super) fn new(n: u8) -> Self {
        let tee = SimulatedTee::pretend(PROGRAM, SimulatedPlatform::Default);
        Self { signing: signing(n), recipient: recipient(n), tee }
    }

    pub(super) fn data(&self, world: &World, nonce: B256) -> RuntimeData {
        let job = &world.job;
        RuntimeData {
            label: LABEL_SIMULATED.into(),
            level: LEVEL_SOFTWARE,
            chain_id: world.domain.chain_id,
            contract: world.domain.contract,
            job_id: job.jobId,
            job_hash: job_hash(job),
            attempt: 1,
            dataset_uid: job.datasetUid,
            dataset_root: job.datasetRoot,
            policy_hash: job.policyHash,
            envelope_hash: job.envelopeHash,
            job_spec_hash: job.jobSpecHash,
            provider_id: B256::ZERO,
            hpke_key: self.recipient.public().0,
            signer: self.signing.address(),
            tee_type: "simulated".into(),
            sandboxed: true,
            challenges: vec![Challenge { custodian_id: signing(1).address(), nonce }],
        }
    }

    pub(super) fn request(&self, world: &World, data: &RuntimeData) -> VerdictRequest {
        let bytes = data.to_bytes().unwrap();
        let evidence = self.tee.evidence_for(&runtime_data::hash(&bytes), data.signer).unwrap();
        VerdictRequest {
            contract: world.domain.contract,
            policy: AbiHex(world.policy.clone()),
            job: AbiHex(world.job.clone()),
            attempt: data.attempt,
            evidence,
            runtime_data: bytes.into(),
            envelope: world.envelope.clone().into(),
            constraints: world.constraints.clone().into(),
            job_spec: world.job_spec.clone().into(),
        }
    }
}

/// What the chain says.
#[derive(Clone)]
pub(super) struct Said {
    /// The contract that knows the job.
    pub(super) domain: Domain,
    pub(super) now: u64,
    pub(super) state: Option<JobState>,
    /// The preimage of the commitment.
    pub(super) job: Job,
    pub(super) set: SetFacts,
    pub(super) verifier_set: Option<SetFacts>,
    pub(super) policy_live: bool,
    pub(super) entries: Vec<B256>,
    pub(super) provider: Option<Provider>,
    pub(super) settled: Option<ResultManifest>,
    pub(super) wallet: bool,
    pub(super) down: bool,
}

#[derive(Clone)]
pub(super) struct FakeChain(pub(super) Arc<Mutex<Said>>);

impl FakeChain {
    pub(super) fn new(world: &World) -> Self {
        Self(Arc::new(Mutex::new(Said {
            domain: world.domain,
            now: NOW,
            state: Some(JobState::Granted),
            job: world.job.clone(),
            set: world.set.clone(),
            verifier_set: None,
            policy_live: true,
            entries: vec![entry().root()],
            provider: None,
            settled: None,
            wallet: false,
            down: false,
        })))
    }

    /// From now on the chain knows this world's job, as Granted.
    pub(super) fn grant(&self, world: &World) {
        let granted = Some(JobState::Granted);
        self.say(|said| (said.domain, said.state, said.job) = (world.domain, granted, world.job.clone()));
    }

    pub(super) fn say(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.0.lock().unwrap());
    }

    fn answer(&self, read: &Read) -> Result<Reading, String> {
        let said = self.0.lock().unwrap().clone();
        if said.down {
            return Err("no answer".into());
        }
        Ok(match read {
            Read::State { contract, job_id } => {
                let known = (*contract, *job_id) == (said.domain.contract, said.job.jobId);
                Reading::State(said.state.filter(|_| known))
            }
            Read::Grant(query) => {
                let set = (query.custodian_set.0 == said.job.custodianSet).then(|| said.set.clone());
                let live = query.entries.iter().filter(|e| said.entries.contains(e)).copied();
                Reading::Grant(GrantFacts {
                    block: 7,
                    now: said.now,
                    state: said
                        .state
                        .filter(|_| (query.contract, query.job_id) == (said.domain.contract, said.job.jobId)),
                    commitment: job_commitment(&said.job),
                    custodian_set: set,
                    verifier_set: said.verifier_set,
                    appraisal_policy_live: said.policy_live,
                    live_entries: live.collect(),
                    provider: said.provider,
                })
            }
            Read::Run { contract, job, entry } => {
                let running = said.state == Some(JobState::Running)
                    && (*contract, &**job) == (said.domain.contract, &said.job);
                Reading::Run(running.then(|| {
                    let run = ConfirmedRun::from_chain(said.domain, said.job.clone(), 7, said.now);
                    let entry_live = entry.is_some_and(|e| said.entries.contains(&e) && said.policy_live);
                    Box::new(RunFacts { run, custodian_set: said.set, entry_live })
                }))
            }
            Read::Settlement { contract, job, .. } => {
                let known = (*contract, &**job) == (said.domain.contract, &said.job);
                let settled = said.settled.filter(|_| known);
                let proof = |m| ConfirmedSettlement::from_chain(said.domain, said.job.clone(), m);
                let settled = settled.map(proof);
                Reading::Settlement(settled.map(Box::new))
            }
            Read::Wallet { .. } => Reading::Wallet(said.wallet),
            Read::Registered { dataset_uid } => Reading::Registered(*dataset_uid == said.job.datasetUid),
        })
    }
}

impl Reader for FakeChain {
    async fn read(&self, read: &Read) -> Result<Reading, String> {
        self.answer(read)
    }
}

/// One custodian with its machine, and an interpreter of its effects.
pub(super) struct Bench {
    pub(super) machine: Machine,
    pub(super) store: Store,
    pub(super) chain: FakeChain,
    /// What can be fetched.
    pub(super) blobs: HashMap<B256, Vec<u8>>,
    pub(super) now_ms: u64,
    asked: u128,
}

pub(super) fn settings(n: u8) -> Settings {
    Settings {
        collateral: Vec::new(),
        identity: identity(n),
        entries: vec![entry()],
        rates: Rates { per_peer: 10_000, per_job: 10_000, total: 10_000 },
        max_result_bytes: 1 << 20,
        release_margin_seconds: 30,
        silence_seconds: 600,
    }
}

impl Bench {
    pub(super) async fn new(world: &World) -> Self {
        Self::over(1, FakeChain::new(world), Store::in_memory().await.unwrap())
    }

    /// Stores blobs where the custodian fetches.
    pub(super) fn put(&mut self, blobs: &[&Vec<u8>]) {
        self.blobs.extend(blobs.iter().map(|blob| (root(blob), (*blob).clone())));
    }

    pub(super) fn over(n: u8, chain: FakeChain, store: Store) -> Self {
        let machine = Machine::new(settings(n));
        let mut bench = Self { machine, store, chain, blobs: HashMap::new(), now_ms: NOW * 1000, asked: 0 };
        bench.put(&[&job_spec()]);
        bench
    }

    pub(super) async fn ask(&mut self, ask: Ask) -> Reply {
        self.ask_until(ask, |_| false).await.expect("a reply")
    }

    /// Stops, as a crash would, right after an effect that `cut` picks was carried out.
    pub(super) async fn ask_until(&mut self, ask: Ask, cut: impl Fn(&Effect) -> bool) -> Option<Reply> {
        self.asked += 1;
        let id = RequestId(self.asked);
        let fresh = keccak256(self.asked.to_be_bytes());
        let body_hash = body_hash(&ask);
        let mut event = Event::Asked { id, caller: PEER, fresh, body_hash, ask: Box::new(ask) };
        loop {
            let mut effects = Vec::new();
            self.machine.step(self.now_ms, event, &mut effects);
            assert_eq!(effects.len(), 1, "one effect at a time");
            let (_, effect) = effects.remove(0);
            let answer = match &effect {
                Effect::Reply(reply) => return Some(reply.clone()),
                Effect::Read(read) => self.chain.answer(read).map_or_else(Answer::ReadFailed, Answer::Read),
                Effect::Load(load) => ledger::load(&self.store, load).await,
                Effect::Write(write) => ledger::write(&self.store, self.now_ms, write).await,
                Effect::Fetch(fetch) => match self.blobs.get(&fetch.root) {
                    Some(blob) if blob.len() as u64 <= fetch.max_bytes => {
                        let head = blob[..blob.len().min(fetch.head_bytes)].to_vec().into();
                        Answer::Fetched { head }
                    }
                    _ => Answer::FetchFailed("no such blob".into()),
                },
            };
            if cut(&effect) {
                return None;
            }
            event = Event::Answered(id, Box::new(answer));
        }
    }

    /// Time passes as it does for a custodian that is up.
    pub(super) fn pass(&mut self, seconds: u64) {
        let until = self.now_ms + seconds * 1000;
        while self.now_ms < until {
            self.now_ms = until.min(self.now_ms + 20_000);
            self.machine.step(self.now_ms, Event::Tick, &mut Vec::new());
        }
        let now = self.now_ms / 1000;
        self.chain.say(|said| said.now = now);
    }

    pub(super) async fn nonce(&mut self, world: &World) -> B256 {
        let ask = world.challenge();
        let answer: ChallengeResponse = body(&self.ask(Ask::Challenge(ask)).await);
        answer.nonce
    }

    /// Challenge and verdict; the chain then says Running.
    pub(super) async fn run(&mut self, world: &World, compute: &Compute) -> Job {
        let nonce = self.nonce(world).await;
        let data = compute.data(world, nonce);
        let reply = self.ask(Ask::Verdict(compute.request(world, &data))).await;
        assert!(matches!(reply, Reply::Json(_)), "{reply:?}");
        let job = world.running(&data);
        self.chain.say(|said| (said.state, said.job) = (Some(JobState::Running), job.clone()));
        job
    }

    /// Reasons of all denials, in order.
    pub(super) async fn reasons(&self) -> Vec<String> {
        let records = self.store.records("denial").await.unwrap();
        let reason = |body: &Bytes| {
            let value: serde_json::Value = serde_json::from_slice(body).unwrap();
            value["reason"].as_str().unwrap().to_owned()
        };
        records.iter().map(|(_, body)| reason(body)).collect()
    }
}

pub(super) fn body_hash(ask: &Ask) -> B256 {
    match ask {
        Ask::Verdict(request) => keccak256(serde_json::to_vec(request).unwrap()),
        _ => B256::ZERO,
    }
}

pub(super) fn body<T: serde::de::DeserializeOwned>(reply: &Reply) -> T {
    let Reply::Json(body) = reply else { panic!("{reply:?}") };
    serde_json::from_slice(body).unwrap()
}

pub(super) fn status(reply: &Reply) -> u16 {
    match reply {
        Reply::Json(_) => 200,
        Reply::Done => 204,
        Reply::Problem(problem) => problem.status,
    }
}

/// Status and reason of a refusal that says why.
pub(super) fn problem(reply: &Reply) -> (u16, &str) {
    let Reply::Problem(problem) = reply else { panic!("{reply:?}") };
    (problem.status, &problem.detail)
}

/// A finished training: result, shares, and what compute says about it.
pub(super) struct Finished {
    domain: Domain,
    pub(super) blob: Vec<u8>,
    pub(super) bundle: Vec<u8>,
    pub(super) report: Vec<u8>,
    pub(super) roots: ResultRoots,
    pub(super) shares: Vec<SealedShare>,
    pub(super) commits: Vec<B256>,
    pub(super) key_commit: B256,
}

impl Finished {
    pub(super) fn of(job: &Job, t: u8) -> Self {
        Self::on(DOMAIN, job, t, 3)
    }

    /// These and the JobSpec, by their roots: all that a custodian fetches.
    pub(super) fn served(&self) -> HashMap<B256, Vec<u8>> {
        let spec = job_spec();
        self.blobs().into_iter().chain([&spec]).map(|blob| (root(blob), blob.clone())).collect()
    }

    /// What a custodian holds of it.
    pub(super) fn blobs(&self) -> [&Vec<u8>; 3] {
        [&self.blob, &self.bundle, &self.report]
    }

    pub(super) fn on(domain: Domain, job: &Job, t: u8, n: u8) -> Self {
        let key = ResultKey::generate().unwrap_or_else(|_| panic!("randomness"));
        let terms = ResultTerms { domain, job_id: job.jobId, attempt: job.attempt };
        let custodians: Vec<_> = (1..=n).map(|n| (signing(n).address(), recipient(n).public())).collect();
        let dealt =
            ResultShares::deal(&key, &terms, t, &custodians, tar()).unwrap_or_else(|_| panic!("dealing"));
        let mut writer =
            ResultWriter::new(&key, dealt.header(), Vec::new()).unwrap_or_else(|_| panic!("writing"));
        writer.append("adapter_model.safetensors", 3, &mut &b"abc"[..]).unwrap();
        let blob = writer.finish().unwrap();
        let shares = dealt.seal(&root(&blob)).unwrap();
        let commits = dealt.header().members().iter().map(|m| m.share_commit).collect();
        let key_commit = dealt.header().key_commit();
        let (bundle, report) = (b"{}".to_vec(), report_of(job).to_bytes().unwrap());
        let roots = ResultRoots {
            result_hash: root(&blob),
            base_model_root: BASE_MODEL,
            adapter_root: tar().root,
            attestation_ref: root(&bundle),
            report_hash: root(&report),
        };
        Self { domain, blob, bundle, report, roots, shares, commits, key_commit }
    }

    pub(super) fn held(&self, job: &Job) -> Held {
        self.roots.held(job.jobId, job.attempt)
    }

    /// The delivery to custodian `n`.
    pub(super) fn delivery(&self, job: &Job, compute: &Compute, n: u8) -> DeliverRequest {
        self.delivery_from(job, compute, n, "http://127.0.0.1:1")
    }

    /// As [`Self::delivery`], with the blobs elsewhere.
    pub(super) fn delivery_from(&self, job: &Job, compute: &Compute, n: u8, url: &str) -> DeliverRequest {
        let signature = compute.signing.sign(&self.domain.digest(&self.roots.delivery(job, url))).unwrap();
        DeliverRequest::Share {
            contract: self.domain.contract,
            job: AbiHex(job.clone()),
            roots: self.roots,
            share: self.shares[usize::from(n) - 1].clone(),
            share_commit: self.commits[usize::from(n) - 1],
            key_commit: self.key_commit,
            blob_url: url.into(),
            signature: Bytes::copy_from_slice(signature.as_bytes()),
        }
    }

    pub(super) fn manifest(&self, job: &Job) -> ResultManifest {
        ResultManifest {
            jobId: job.jobId,
            attempt: job.attempt,
            datasetRoot: job.datasetRoot,
            resultHash: self.roots.result_hash,
            actualEpochs: 2,
            samples: 10,
            tokensSeen: 100,
            tokensTrained: 90,
            computeSeconds: 7,
            evalBefore: 3_000_000,
            evalAfter: 2_000_000,
            baseModelRoot: self.roots.base_model_root,
            adapterRoot: self.roots.adapter_root,
            attestationRef: self.roots.attestation_ref,
            reportHash: self.roots.report_hash,
        }
    }

    pub(super) fn held_by(&self, job: &Job, n: u8) -> AbiHex<MemberSignature> {
        let signature = signing(n).sign(&self.domain.digest(&self.held(job))).unwrap();
        AbiHex(compact(u16::from(n) - 1, signature.as_bytes()).unwrap())
    }

    /// The manifest, signed by `signer`, sealed to custodian 1.
    pub(super) fn sealed(
        &self,
        manifest: &ResultManifest,
        signer: &SigningKey,
        held: Vec<AbiHex<MemberSignature>>,
    ) -> Ask {
        let signature = signer.sign(&self.domain.digest(manifest)).unwrap();
        let signed = SignedManifest {
            manifest: AbiHex(manifest.clone()),
            signature: Bytes::copy_from_slice(signature.as_bytes()),
            held,
        };
        let (job_id, attempt) = (manifest.jobId, manifest.attempt);
        let terms = DeliveryTerms { job_id, attempt, custodian: signing(1).address() };
        let plain = json_to_vec(&signed).unwrap();
        let (enc, ct) = seal_manifest(&plain, &terms, &recipient(1).public()).unwrap();
        Ask::Deliver(DeliverRequest::Manifest { contract: self.domain.contract, job_id, attempt, enc, ct })
    }
}

/// The adapter of every training here.
pub(super) fn tar() -> ResultTar {
    ResultTar::of(Scalar, [("adapter_model.safetensors", &b"abc"[..])]).unwrap()
}

/// What compute measured in an attempt at `job`.
pub(super) fn report_of(job: &Job) -> JobReport {
    JobReport {
        v: licen_core::report::VERSION,
        job_id: job.jobId,
        attempt: job.attempt,
        settings: serde_json::Map::new(),
        rows: RowCounts { train: 5, shapes: [("text".to_owned(), 5)].into(), ..RowCounts::default() },
        per_epoch: EpochCounts { samples: 5, tokens_seen: 50, tokens_trained: 45 },
        losses: Vec::new(),
        compute_seconds: 7,
        more: serde_json::Map::new(),
    }
}

pub(super) fn envelope_of(world: &World) -> Envelope {
    Envelope::decode(&world.envelope).unwrap()
}
