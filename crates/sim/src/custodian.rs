//! A custodian: the real machine, its effects carried out on this world's chain, storage and records.
//! A custodian that goes down loses its process, not its records.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use licen_attest::ReferenceEntry;
use licen_core::abi::Custody;
use licen_core::eip712::Domain;
use licen_core::primitives::{Address, B256, keccak256};
use licen_core::wire::custodian::{DeliverRequest, ReleaseResponse, ResultShareResponse};
use licen_custodian::effect::{Effect, Fetch, GrantQuery, Read, Reply, RequestId};
use licen_custodian::event::{Answer as Told, Ask, Event, GrantFacts, Reading, RunFacts, SetFacts};
use licen_custodian::judge::Identity;
use licen_custodian::limits::Rates;
use licen_custodian::{Machine, Settings};
use licen_peers::Caller;

use crate::chain::{Block, Chain, forged_run, forged_settlement, run_at_depth, settlement_at_depth};
use crate::error::SimError;
use crate::keys::{recipient_key, signing_key};
use crate::network::{Answer, Question};
use crate::records::Records;
use crate::sabotage::Sabotage;
use crate::scenario::Role;
use crate::world::{Happening, World};

/// As `Config` has them where the operator says nothing.
/// Everybody is a program of one machine here.
const HERE: Caller = Caller::direct(IpAddr::V4(Ipv4Addr::LOCALHOST));
const RATES: Rates = Rates { per_peer: 600, per_job: 1800, total: 12_000 };
const RELEASE_MARGIN_SECONDS: u64 = 30;
/// Windows here are minutes, so silence comes sooner than the protocol's ten.
const SILENCE_SECONDS: u64 = 180;
const MAX_RESULT_BYTES: u64 = 1 << 20;
/// Longest time an effect takes, milliseconds.
const EFFECT_MS: u64 = 40;

/// A custodian.
pub(crate) struct Custodian {
    pub(crate) id: Address,
    pub(crate) hpke_key: B256,
    pub(crate) records: Records,
    machine: Option<Machine>,
    /// Rises with every start: effects of an earlier life are carried out for nobody.
    life: u64,
    /// When it will next be told that time passed.
    tick_ms: Option<u64>,
    waiting: BTreeMap<RequestId, Waiting>,
    entries: Vec<ReferenceEntry>,
}

/// Whose answer a request is.
struct Waiting {
    question: u64,
    kind: Kind,
}

/// What has to be looked at before an answer leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Release(B256),
    Result(B256),
    Other,
}

/// The seeded keys of a custodian.
pub(crate) fn name(index: usize) -> String {
    format!("custodian {index}")
}

impl Custodian {
    /// Up, without a request.
    pub(crate) fn new(
        seed: u64,
        index: usize,
        domain: Domain,
        entries: Vec<ReferenceEntry>,
    ) -> Result<Self, SimError> {
        let identity = identity(seed, index, domain)?;
        let (id, hpke_key) = (identity.signing.address(), identity.recipient.public().0);
        let mut custodian = Self {
            id,
            hpke_key,
            records: Records::default(),
            machine: None,
            life: 0,
            tick_ms: None,
            waiting: BTreeMap::new(),
            entries,
        };
        custodian.start(identity);
        Ok(custodian)
    }

    fn start(&mut self, identity: Identity) {
        self.life += 1;
        self.tick_ms = None;
        self.waiting.clear();
        self.machine = Some(Machine::new(Settings {
            identity,
            entries: self.entries.clone(),
            collateral: Vec::new(),
            rates: RATES,
            max_result_bytes: MAX_RESULT_BYTES,
            release_margin_seconds: RELEASE_MARGIN_SECONDS,
            silence_seconds: SILENCE_SECONDS,
        }));
    }

    pub(crate) fn stop(&mut self) {
        self.machine = None;
        self.waiting.clear();
    }
}

fn identity(seed: u64, index: usize, domain: Domain) -> Result<Identity, SimError> {
    let name = name(index);
    Ok(Identity {
        chain_id: domain.chain_id,
        contracts: vec![domain.contract],
        signing: signing_key(seed, &name)?,
        recipient: recipient_key(seed, &name)?,
        former: Vec::new(),
    })
}

impl World {
    /// A custodian's process begins anew over the same records.
    pub(crate) fn custodian_up(&mut self, index: usize) -> Result<(), SimError> {
        let identity = identity(self.scenario.seed, index, self.chain.domain())?;
        self.custodians[index].start(identity);
        Ok(())
    }

    /// A question reaches a custodian, or nobody where it is down.
    pub(crate) fn custodian_asked(
        &mut self,
        question: u64,
        index: usize,
        asked: &Question,
    ) -> Result<(), SimError> {
        if self.custodians[index].machine.is_none() {
            return Ok(());
        }
        let ask = match asked {
            Question::Custodian(ask) => ask.clone(),
            Question::Manifest(job) => {
                let known = self.custodians[index].records.manifest(*job);
                self.answer(question, known.map_or(Answer::Unknown, |json| Answer::Reply(Reply::Json(json))));
                return Ok(());
            }
            Question::Dispatch(..) | Question::Status(..) | Question::Stop(..) => return Ok(()),
        };
        let kind = match &*ask {
            Ask::Release(request) => Kind::Release(request.job.0.jobId),
            Ask::Result { job_id } => Kind::Result(*job_id),
            Ask::Challenge(_)
            | Ask::Verdict(_)
            | Ask::Deliver(_)
            | Ask::ResultKey(_)
            | Ask::Alive(_)
            | Ask::Retire(_)
            | Ask::Silence { .. } => Kind::Other,
        };
        self.requests += 1;
        let id = RequestId(u128::from(self.requests));
        let body_hash = body_hash(&ask);
        let fresh = keccak256([self.scenario.seed.to_be_bytes(), self.requests.to_be_bytes()].concat());
        self.custodians[index].waiting.insert(id, Waiting { question, kind });
        let event = Event::Asked { id, caller: HERE, fresh, body_hash, ask };
        self.custodian_step(index, event)
    }

    /// An effect's time has come: it is carried out now, and the machine hears of it.
    pub(crate) fn custodian_does(
        &mut self,
        index: usize,
        life: u64,
        id: RequestId,
        effect: &Effect,
    ) -> Result<(), SimError> {
        let custodian = &mut self.custodians[index];
        if custodian.life != life || custodian.machine.is_none() {
            return Ok(());
        }
        let told = match effect {
            Effect::Read(read) => Told::Read(self.read(index, read)?),
            Effect::Load(load) => custodian.records.load(load),
            Effect::Write(write) => custodian.records.write(self.now_ms, write),
            Effect::Fetch(fetch) => self.fetched(fetch),
            Effect::Reply(_) => return Ok(()),
        };
        if self.is_killed(Role::Custodian(index))? {
            return Ok(());
        }
        self.custodian_step(index, Event::Answered(id, Box::new(told)))
    }

    /// Time passes for a custodian.
    pub(crate) fn custodian_tick(&mut self, index: usize, life: u64) -> Result<(), SimError> {
        if self.custodians[index].life != life || self.custodians[index].machine.is_none() {
            return Ok(());
        }
        self.custodians[index].tick_ms = None;
        self.custodian_step(index, Event::Tick)
    }

    fn custodian_step(&mut self, index: usize, event: Event) -> Result<(), SimError> {
        let now = self.now_ms;
        let custodian = &mut self.custodians[index];
        let life = custodian.life;
        let Some(machine) = custodian.machine.as_mut() else { return Ok(()) };
        let mut effects = Vec::new();
        machine.step(now, event, &mut effects);
        let due = machine.deadline().max(now + 1);
        // One tick at a time: every step would otherwise begin a row of its own.
        if custodian.tick_ms.is_none_or(|tick| due < tick) {
            custodian.tick_ms = Some(due);
            self.agenda.at(due, Happening::CustodianTick(index, life));
        }
        for (id, effect) in effects {
            if let Effect::Reply(reply) = effect {
                let Some(waiting) = self.custodians[index].waiting.remove(&id) else { continue };
                self.leaves(index, waiting.kind, &reply)?;
                self.answer(waiting.question, Answer::Reply(reply));
            } else {
                let delay = self.random.between(0, EFFECT_MS);
                self.after(delay, Happening::CustodianDoes(index, life, id, Box::new(effect)));
            }
        }
        Ok(())
    }

    /// Looks at what is about to leave a custodian.
    fn leaves(&mut self, index: usize, kind: Kind, reply: &Reply) -> Result<(), SimError> {
        let Reply::Json(body) = reply else { return Ok(()) };
        match kind {
            Kind::Release(job) => {
                let answer: ReleaseResponse = serde_json::from_slice(body).map_err(SimError::world)?;
                self.dataset_share_leaves(job, index, &answer.share)
            }
            Kind::Result(job) => {
                let answer: ResultShareResponse = serde_json::from_slice(body).map_err(SimError::world)?;
                self.result_share_leaves(job, index, &answer)
            }
            Kind::Other => Ok(()),
        }
    }

    fn fetched(&self, fetch: &Fetch) -> Told {
        match self.storage.get(fetch.root) {
            Ok(blob) if blob.len() as u64 > fetch.max_bytes => Told::FetchFailed("too large".into()),
            Ok(blob) => Told::Fetched { head: blob[..blob.len().min(fetch.head_bytes)].to_vec().into() },
            Err(reason) => Told::FetchFailed(reason),
        }
    }

    /// What a custodian is told of the chain.
    fn read(&self, index: usize, read: &Read) -> Result<Reading, SimError> {
        let chain = &self.chain;
        let deep = chain.deep();
        Ok(match read {
            Read::State { job_id, .. } => Reading::State(chain.job_state(deep, *job_id)?.0),
            Read::Grant(query) => Reading::Grant(grant(chain, query)?),
            Read::Run { job, entry, .. } => {
                let lie = self.scenario.sabotage == Some(Sabotage::RunForged);
                let run = if lie { Some(forged_run(chain, job)) } else { run_at_depth(chain, job)? };
                let Some(run) = run else { return Ok(Reading::Run(None)) };
                let Some(custodian_set) = set(chain, deep, (job.custodianSet, job.setVersion))? else {
                    return Ok(Reading::Run(None));
                };
                let entry_live = match entry {
                    Some(entry) => chain.entry_live(deep, job.appraisalPolicy, *entry)?,
                    None => false,
                };
                Reading::Run(Some(Box::new(RunFacts { run, custodian_set, entry_live })))
            }
            Read::Settlement { job, since, .. } => {
                let lie = self.scenario.sabotage == Some(Sabotage::SettlementForged);
                let held = self.custodians[index].records.result_of(job.jobId).filter(|_| lie);
                let settled = match held {
                    Some(roots) => Some(forged_settlement(chain, job, roots)),
                    None => settlement_at_depth(chain, job, *since)?,
                };
                Reading::Settlement(settled.map(Box::new))
            }
            // Every requester here is a plain account.
            Read::Wallet { .. } => Reading::Wallet(false),
            Read::Registered { .. } => return SimError::violation("no owner here ends a dataset"),
        })
    }
}

fn grant(chain: &Chain, query: &GrantQuery) -> Result<GrantFacts, SimError> {
    let deep = chain.deep();
    let (state, commitment) = chain.job_state(deep, query.job_id)?;
    let custody = chain.contracts.custody;
    let policy = query.appraisal_policy;
    let mut live_entries = Vec::new();
    for entry in &query.entries {
        if chain.entry_live(deep, policy, *entry)? {
            live_entries.push(*entry);
        }
    }
    let provider = match query.provider_id {
        B256::ZERO => None,
        id => Some(chain.view(deep, custody, &Custody::providerOfCall { providerId: id })?),
    };
    Ok(GrantFacts {
        block: deep.number,
        now: deep.time,
        state,
        commitment,
        custodian_set: set(chain, deep, query.custodian_set)?,
        verifier_set: set(chain, deep, query.verifier_set)?,
        appraisal_policy_live: chain.view(
            deep,
            custody,
            &Custody::isAppraisalPolicyLiveCall { id: policy },
        )?,
        live_entries,
        provider,
    })
}

fn set(chain: &Chain, block: &Block, id: (B256, u32)) -> Result<Option<SetFacts>, SimError> {
    if id.0.is_zero() {
        return Ok(None);
    }
    let call = Custody::setOfCall { setId: id.0, setVersion: id.1 };
    match chain.view(block, chain.contracts.custody, &call) {
        Ok(set) => Ok(Some(SetFacts { t: set.t, members: set.members })),
        Err(SimError::Refused(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

fn body_hash(ask: &Ask) -> B256 {
    let body = match ask {
        Ask::Challenge(request) => serde_json::to_vec(request),
        Ask::Verdict(request) => serde_json::to_vec(request),
        Ask::Release(request) => serde_json::to_vec(request),
        Ask::Deliver(request @ (DeliverRequest::Share { .. } | DeliverRequest::Manifest { .. })) => {
            serde_json::to_vec(request)
        }
        Ask::ResultKey(request) => serde_json::to_vec(request),
        Ask::Alive(request) => serde_json::to_vec(request),
        Ask::Silence { request, .. } => serde_json::to_vec(request),
        Ask::Retire(request) => serde_json::to_vec(request),
        Ask::Result { .. } => Ok(Vec::new()),
    };
    body.map_or(B256::ZERO, keccak256)
}
