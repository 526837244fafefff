//! The world: everybody in it, what happens next, and the loop that makes it happen. Time is virtual
//! and moves from one happening to the next; there is no thread, no socket and no sleep.

use licen_attest::{ReferenceEntry, ReferenceValues, SimulatedPlatform, SimulatedTee};
use licen_core::abi::{Custody, Member};
use licen_core::id::{account_of, custody_id};
use licen_core::job::JobState;
use licen_core::primitives::{Address, B256, Bytes, FixedBytes, U256};
use licen_core::sol_types::SolCall;
use licen_custodian::effect::{Effect, RequestId};
use licen_orchestrator::CallKind;

use crate::agenda::Agenda;
use crate::chain::{Chain, Receipt, Transaction};
use crate::compute::{Compute, Step, TaskKey, Tick};
use crate::custodian::Custodian;
use crate::error::SimError;
use crate::invariant::Watcher;
use crate::keys::signing_key;
use crate::network::{Answer, Network, Party, Question};
use crate::orchestrator::Orchestrator;
use crate::owner::Published;
use crate::random::Random;
use crate::requester::{self, Requester};
use crate::sabotage::Sabotage;
use crate::scenario::{Fault, Scenario, Walk};
use crate::storage::Storage;
use crate::trace::Trace;

/// Where time begins, Unix milliseconds.
const BEGIN_MS: u64 = 1_800_000_000_000;
/// When the first request is sent, milliseconds after that.
pub(crate) const SETTLE_MS: u64 = 30_000;
/// The measurement that the appraisal policy allows.
const PROGRAM: FixedBytes<48> = FixedBytes::repeat_byte(0x11);
/// How long a transaction waits at most before a block may take it, milliseconds.
const MEMPOOL_MS: u64 = 3_000;
/// After the last deadline, until everybody has withdrawn, milliseconds.
const AFTERMATH_MS: u64 = 400_000;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Happening {
    Block,
    /// A transaction reaches the pool.
    Pooled(u64, Transaction),
    Asked(u64, Party, std::rc::Rc<Question>),
    Answered(u64, std::rc::Rc<Answer>),
    CustodianDoes(usize, u64, RequestId, Box<Effect>),
    CustodianTick(usize, u64),
    OrchestratorHears(B256, u64, Box<licen_orchestrator::Event>),
    OrchestratorReads(B256, u64),
    ComputeTick(u64, TaskKey),
    ComputeStep(u64, TaskKey, u64, Step),
    Errand(TaskKey, u64, Tick),
    Request(usize),
    Watch(usize),
    OrderStop(usize),
    Cancel(usize),
    /// A stranger asks a custodian for what is not theirs.
    Probe(usize),
    /// Predictions about requests are held against the contract.
    Trial(usize),
    /// The owner's custodians try to do without those of the requester.
    Collude(B256),
    /// A breach is tried.
    Sabotage,
    /// The newest blocks are replaced by others.
    Reorganise,
    /// Compute says that an attempt lives.
    Pulse(u64, TaskKey, u64),
    Begin(Fault),
    End(Fault),
    /// A split gives its payees what it has.
    Distribute,
    /// Everybody takes what they are owed.
    Withdraw,
}

/// Why a transaction was sent: who hears how it ended.
#[derive(Debug, Clone)]
pub(crate) enum Sent {
    /// Registries and the dataset: must not fail.
    Setup,
    Request(usize),
    Orchestrator {
        job: B256,
        life: u64,
        kind: CallKind,
        key: String,
    },
    /// A requester's or owner's way out where nobody else acted; tried again where it failed.
    Escape(usize),
    /// Cancelling and declining: fails where somebody was faster.
    WayOut,
    Withdrawal,
}

/// Addresses.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) owner: Address,
    /// The other payee of a split.
    pub(crate) partner: Address,
    pub(crate) orchestrator: Address,
    pub(crate) fee_recipient: Address,
    pub(crate) compute_payee: Address,
}

/// What stands in `Custody`.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) custodian_set: B256,
    /// The requesters' own, where the scenario has one.
    pub(crate) verifier_set: B256,
    pub(crate) appraisal_policy: B256,
    pub(crate) provider: B256,
    pub(crate) entry: B256,
}

/// The world of one scenario.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) random: Random,
    pub(crate) now_ms: u64,
    pub(crate) agenda: Agenda<Happening>,
    pub(crate) chain: Chain,
    pub(crate) storage: Storage,
    pub(crate) network: Network,
    pub(crate) accounts: Accounts,
    pub(crate) registry: Registry,
    pub(crate) custodians: Vec<Custodian>,
    pub(crate) orchestrator: Orchestrator,
    pub(crate) compute: Compute,
    pub(crate) requesters: Vec<Requester>,
    pub(crate) published: Option<Published>,
    pub(crate) watcher: Watcher,
    pub(crate) trace: Trace,
    /// Requests to custodians, ever.
    pub(crate) requests: u64,
    /// Effects of whoever is to be killed, so far.
    pub(crate) effects: u64,
    /// Rounds of compute's errands, ever.
    pub(crate) rounds: u64,
    pool: Vec<(u64, Transaction)>,
    sent: Vec<Sent>,
    end_ms: u64,
    closing: bool,
    over: bool,
}

impl World {
    /// Deployed, registered and published; the first request is on the agenda.
    pub(crate) fn new(scenario: Scenario) -> Result<Self, SimError> {
        let seed = scenario.seed;
        let address = |name: &str| signing_key(seed, name).map(|key| key.address());
        let accounts = Accounts {
            owner: address("owner")?,
            partner: address("partner")?,
            orchestrator: address("orchestrator")?,
            fee_recipient: address("fee recipient")?,
            compute_payee: address("provider")?,
        };
        let mut requesters = Vec::new();
        for index in 0..scenario.jobs.len() {
            let address = address(&requester::name(index))?;
            requesters.push(Requester::new(address));
        }
        let coins = U256::from(10u64).pow(U256::from(24));
        let rich = requesters.iter().map(|r| r.address).chain([accounts.owner, accounts.orchestrator]);
        let funded: Vec<(Address, U256)> = rich.map(|address| (address, coins)).collect();
        let fee = (accounts.fee_recipient, scenario.fee_bps);
        let chain = Chain::deploy(BEGIN_MS / 1000, scenario.confirmations, &funded, fee)?;
        let tee = SimulatedTee::pretend(PROGRAM, SimulatedPlatform::Default);
        let entry = ReferenceEntry::new(&ReferenceValues::simulated("sim", vec![tee.measurement()]));
        let entry = entry.map_err(SimError::world)?;
        let mut custodians = Vec::new();
        for index in 0..usize::from(scenario.n + scenario.verifiers.map_or(0, |(_, n)| n)) {
            let refuses = scenario.faults.contains(&Fault::CustodianRefuses { custodian: index });
            let entries = if refuses { Vec::new() } else { vec![entry.clone()] };
            custodians.push(Custodian::new(seed, index, chain.domain(), entries)?);
        }
        let registry = Registry {
            custodian_set: custody_id(accounts.owner, B256::repeat_byte(1)),
            verifier_set: custody_id(
                requesters.first().map(|r: &Requester| r.address).unwrap_or_default(),
                B256::repeat_byte(4),
            ),
            appraisal_policy: custody_id(accounts.owner, B256::repeat_byte(2)),
            provider: custody_id(accounts.owner, B256::repeat_byte(3)),
            entry: entry.root(),
        };
        let watcher = Watcher::new(chain.supply(chain.head()));
        let mut world = Self {
            random: Random::new(seed, "weather"),
            now_ms: BEGIN_MS,
            agenda: Agenda::default(),
            storage: Storage::new()?,
            network: Network::default(),
            orchestrator: Orchestrator::default(),
            compute: Compute::new(tee),
            published: None,
            trace: Trace::new(BEGIN_MS),
            requests: 0,
            effects: 0,
            rounds: 0,
            pool: Vec::new(),
            sent: Vec::new(),
            end_ms: 0,
            closing: false,
            over: false,
            scenario,
            chain,
            accounts,
            registry,
            custodians,
            requesters,
            watcher,
        };
        world.settle()?;
        Ok(world)
    }

    /// Registries, the dataset, and what the scenario plans.
    fn settle(&mut self) -> Result<(), SimError> {
        let custody = self.chain.contracts.custody;
        let member = |c: &Custodian| Member { signer: c.id, hpkeKey: c.hpke_key };
        let pinned = self.pinned().iter().map(member).collect();
        let others: Vec<Member> = self.custodians.iter().skip(self.pinned().len()).map(member).collect();
        // The requester's own set is the requester's to make.
        let from = self.requesters.first().map(|r| r.address).unwrap_or_default();
        if let Some((t, _)) = self.scenario.verifiers {
            let call = Custody::createSetCall { salt: B256::repeat_byte(4), t, members: others }.abi_encode();
            self.send_to(custody, from, call, U256::ZERO, Sent::Setup);
        }
        let calls = [
            Custody::createSetCall { salt: B256::repeat_byte(1), t: self.scenario.t, members: pinned }
                .abi_encode(),
            Custody::createAppraisalPolicyCall {
                salt: B256::repeat_byte(2),
                entries: vec![self.registry.entry],
            }
            .abi_encode(),
            Custody::registerProviderCall {
                salt: B256::repeat_byte(3),
                signer: self.accounts.compute_payee,
                payee: account_of(self.accounts.compute_payee),
                jurisdiction: B256::ZERO,
                platformIds: vec![self.compute.tee.platform_id()],
            }
            .abi_encode(),
        ];
        for call in calls {
            self.send_to(custody, self.accounts.owner, call, U256::ZERO, Sent::Setup);
        }
        self.publish()?;
        let start = BEGIN_MS + SETTLE_MS;
        for (index, plan) in self.scenario.jobs.clone().iter().enumerate() {
            self.agenda.at(start + plan.asked_ms, Happening::Request(index));
        }
        for fault in self.scenario.faults.clone() {
            self.plan(start, fault);
        }
        let last = self.scenario.jobs.iter().map(|plan| plan.asked_ms).max().unwrap_or_default();
        let windows = u64::from(self.scenario.start_window) + u64::from(self.scenario.run_window);
        self.end_ms = start + last + windows * 1000 + AFTERMATH_MS;
        self.close_at(self.end_ms);
        self.agenda.at(BEGIN_MS + 1_000, Happening::Block);
        self.orchestrator_up()?;
        self.begin_sabotage(start);
        if self.scenario.reorganises && self.scenario.confirmations > 0 {
            self.agenda.at(start + 5_000, Happening::Reorganise);
        }
        Ok(())
    }

    /// Runs to the end; the invariants are looked at after every block.
    pub(crate) fn run(&mut self) -> Result<(), SimError> {
        while !self.over {
            let Some((due, happening)) = self.agenda.next() else { break };
            self.now_ms = due.max(self.now_ms);
            self.happen(happening)?;
        }
        self.check_end()
    }

    fn happen(&mut self, happening: Happening) -> Result<(), SimError> {
        match happening {
            Happening::Block => self.block(),
            Happening::Pooled(ticket, transaction) => {
                self.pool.push((ticket, transaction));
                Ok(())
            }
            Happening::Asked(id, to, question) => self.on_asked(id, to, &question),
            Happening::Answered(id, answer) => self.on_answered(id, &answer),
            Happening::CustodianDoes(index, life, id, effect) => {
                self.custodian_does(index, life, id, &effect)
            }
            Happening::CustodianTick(index, life) => self.custodian_tick(index, life),
            Happening::OrchestratorHears(job, life, event) => self.orchestrator_step(job, life, *event),
            Happening::OrchestratorReads(job, life) => self.orchestrator_reads(job, life),
            Happening::ComputeTick(life, key) => self.compute_tick(life, key),
            Happening::ComputeStep(life, key, number, step) => self.compute_step(life, key, number, step),
            Happening::Errand(key, round, tick) => self.errand_tick(key, round, tick),
            Happening::Request(index) => self.request(index),
            Happening::Watch(index) => self.watch(index),
            Happening::OrderStop(index) => self.order_stop(index),
            Happening::Cancel(index) => {
                self.cancel(index);
                Ok(())
            }
            Happening::Probe(index) => self.probe(index),
            Happening::Trial(index) => self.trial(index),
            Happening::Collude(job) => self.collude(job),
            Happening::Sabotage => self.sabotage(),
            Happening::Reorganise => self.reorganise(),
            Happening::Pulse(life, key, number) => self.pulse(life, key, number),
            Happening::Begin(fault) => self.begin_fault(fault),
            Happening::End(fault) => self.end_fault(fault),
            Happening::Distribute => {
                self.distribute();
                Ok(())
            }
            Happening::Withdraw => self.withdraw_all(),
        }
    }

    /// One block with everything in the pool, in the order of a seed.
    fn block(&mut self) -> Result<(), SimError> {
        let mut taken = std::mem::take(&mut self.pool);
        for last in (1..taken.len()).rev() {
            let other = self.random.index(last + 1);
            taken.swap(last, other);
        }
        self.chain.produce(self.now_ms / 1000, taken)?;
        self.check_block()?;
        for receipt in self.chain.final_receipts() {
            self.mined(receipt)?;
        }
        let pause = self.random.between(self.scenario.block_ms / 2, self.scenario.block_ms);
        self.after(pause, Happening::Block);
        if !self.closing && self.is_done() {
            self.closing = true;
            self.close_at(self.now_ms + AFTERMATH_MS);
        }
        self.over = self.now_ms >= self.end_ms;
        Ok(())
    }

    /// Blocks that nobody believes yet are gone; what they held is sent again and finds its own order.
    fn reorganise(&mut self) -> Result<(), SimError> {
        let blocks = self.random.between(1, self.chain.confirmations.max(1));
        let waiting = self.chain.take_back(blocks);
        self.say(format!("chain: {blocks} blocks are replaced"));
        for (ticket, transaction) in waiting {
            let delay = self.random.between(0, MEMPOOL_MS);
            self.after(delay, Happening::Pooled(ticket, transaction));
        }
        self.restore_states()?;
        let pause = self.random.between(10_000, 60_000);
        self.after(pause, Happening::Reorganise);
        Ok(())
    }

    /// Everybody is paid out, and then the run ends. What was planned for later does not happen.
    fn close_at(&mut self, end_ms: u64) {
        self.end_ms = end_ms;
        self.agenda.at(end_ms - AFTERMATH_MS / 4, Happening::Distribute);
        self.agenda.at(end_ms - AFTERMATH_MS / 8, Happening::Withdraw);
    }

    /// Whether every job is over and every paid result fetched.
    fn is_done(&self) -> bool {
        for requester in &self.requesters {
            let Some(job) = requester.job else { return false };
            match self.watcher.state(job) {
                Some(JobState::Completed) if !requester.fetched => return false,
                Some(JobState::Completed | JobState::Failed | JobState::Expired | JobState::Cancelled) => {}
                Some(JobState::Granted | JobState::Running) | None => return false,
            }
        }
        true
    }

    fn mined(&mut self, receipt: Receipt) -> Result<(), SimError> {
        let sent = self.sent[usize::try_from(receipt.ticket).unwrap_or_default()].clone();
        let refused = receipt.result.err().map(|revert| revert.name);
        match (sent, refused) {
            (Sent::Setup, Some(why)) => Err(SimError::World(format!("setting up was refused: {why}"))),
            (Sent::Request(index), Some(why)) => {
                // `admit` predicted that it passes, at a block before.
                SimError::violation(format!("request {index} was refused after it was admitted: {why}"))
            }
            (Sent::Request(index), None) => self.requested(index),
            (Sent::Orchestrator { job, life, kind, key }, refused) => {
                if let Some(why) = &refused {
                    self.say(format!("chain, {}: {} refused, {why}", self.job_name(job), kind.function()));
                }
                self.orchestrator_mined((job, life, kind), key, refused);
                Ok(())
            }
            (Sent::Escape(index), refused) => {
                self.requesters[index].acting = false;
                if let Some(why) = refused {
                    self.say(format!("chain: the way out of requester {index} refused, {why}"));
                }
                Ok(())
            }
            (Sent::Withdrawal, Some(why)) => SimError::violation(format!("a withdrawal was refused: {why}")),
            (Sent::Setup | Sent::WayOut | Sent::Withdrawal, _) => Ok(()),
        }
    }

    fn requested(&mut self, index: usize) -> Result<(), SimError> {
        let address = self.requesters[index].address;
        let of_requester = |id: &&B256| self.chain.history.job(**id).is_some_and(|j| j.requester == address);
        let Some(job) = self.chain.history.opened.iter().find(of_requester).copied() else {
            return SimError::violation("a request passed and opened no job");
        };
        self.requesters[index].job = Some(job);
        self.say(format!("chain, {}: granted", self.job_name(job)));
        let plan = self.scenario.jobs[index].clone();
        if let Some(delay) = plan.stop_ms {
            self.after(delay, Happening::OrderStop(index));
        }
        if let Some(delay) = plan.cancel_ms {
            self.after(delay, Happening::Cancel(index));
        }
        for _ in 0..4 {
            let delay = self.random.between(0, 300_000);
            self.after(delay, Happening::Probe(index));
        }
        // Once a run: it is about the contract, not about the weather.
        if self.scenario.verifiers.is_some() || self.scenario.sabotage == Some(Sabotage::OwnersCollude) {
            self.after(1_000, Happening::Collude(job));
        }
        if index == 0 && self.scenario.walk == Walk::Money {
            self.after(5_000, Happening::Trial(index));
        }
        self.after(10_000, Happening::Watch(index));
        self.look_after(job)
    }

    /// Something happens after a delay.
    pub(crate) fn after(&mut self, delay_ms: u64, happening: Happening) {
        self.agenda.at(self.now_ms + delay_ms, happening);
    }

    /// Sends a transaction to `DataPolicy`.
    pub(crate) fn send(&mut self, from: Address, data: Vec<u8>, value: U256, sent: Sent) {
        self.send_to(self.chain.contracts.data_policy, from, data, value, sent);
    }

    fn send_to(&mut self, to: Address, from: Address, data: Vec<u8>, value: U256, sent: Sent) {
        let ticket = self.sent.len() as u64;
        self.sent.push(sent);
        let delay = self.random.between(0, MEMPOOL_MS);
        let transaction = Transaction { from, to: Some(to), value, data: Bytes::from(data) };
        self.after(delay, Happening::Pooled(ticket, transaction));
    }

    /// Custodians of the owner's set; those of the requester's own stand behind them.
    pub(crate) fn pinned(&self) -> &[Custodian] {
        &self.custodians[..usize::from(self.scenario.n)]
    }

    /// Everybody's own clock, Unix seconds.
    pub(crate) fn now_seconds(&self) -> u64 {
        self.now_ms / 1000
    }

    /// A line of the trace.
    pub(crate) fn say(&mut self, line: String) {
        self.trace.say(self.now_ms, self.chain.head().number, line);
    }

    /// A job's name in the trace.
    pub(crate) fn job_name(&self, job: B256) -> String {
        let index = self.chain.history.opened.iter().position(|id| *id == job);
        index.map_or_else(|| "job ?".to_owned(), |index| format!("job {index}"))
    }

    /// A job's state at the newest block.
    pub(crate) fn state_of(&self, job: B256) -> Result<Option<JobState>, SimError> {
        Ok(self.chain.job_state(self.chain.head(), job)?.0)
    }
}
