//! A small history of two `DataPolicy` contracts over one `Custody`, for tests.

use std::collections::BTreeMap;

use licen_chain::deployment::Contracts;
use licen_chain::stream::Header;
use licen_chain::{Advance, ChainEvent, EventKind};
use licen_core::abi::{Custody, DataPolicy, Job, Member, Policy, Provider, Request, ResultManifest, Split};
use licen_core::eip712::Domain;
use licen_core::id;
use licen_core::job::{Grant, JobState, Reason, granted, started};
use licen_core::money::Settlement;
use licen_core::primitives::{Address, B256, U256, keccak256};
use licen_core::split;
use licen_store::Store;

use crate::machine::Origin;

pub(crate) const CHAIN_ID: u64 = 31_337;
pub(crate) const CUSTODY: Address = Address::repeat_byte(0xcc);
/// Two `DataPolicy` contracts of one deployment.
pub(crate) const HERE: Address = Address::repeat_byte(0xc0);
pub(crate) const THERE: Address = Address::repeat_byte(0xc1);
/// An ERC-20: refunds in it are always credited.
pub(crate) const TOKEN: Address = Address::repeat_byte(0x70);
const FEES: Address = Address::repeat_byte(0xfe);

pub(crate) fn contracts() -> &'static Contracts {
    static CONTRACTS: std::sync::LazyLock<Contracts> =
        std::sync::LazyLock::new(|| Contracts { data_policies: vec![THERE, HERE], custody: CUSTODY });
    &CONTRACTS
}

pub(crate) fn origin() -> Origin<'static> {
    Origin { chain_id: CHAIN_ID, contracts: contracts() }
}

pub(crate) fn time(block: u64) -> u64 {
    1_000 + block * 10
}

pub(crate) fn header(number: u64, branch: u8) -> Header {
    let hash = |n: u64| keccak256([&n.to_be_bytes()[..], &[branch]].concat());
    Header { number, hash: hash(number), parent_hash: hash(number.wrapping_sub(1)), timestamp: time(number) }
}

/// The innermost first; each pays the one before it, the last is in no policy.
pub(crate) fn splits() -> [Split; 4] {
    let of = |accounts: Vec<B256>| {
        let bps = if accounts.len() == 1 { vec![10_000] } else { vec![3_333, 6_667] };
        Split { accounts, bps, ..Split::default() }
    };
    let address = |n| id::account_of(Address::repeat_byte(n));
    let inner = of(vec![address(0xa1), address(0xa2)]);
    let middle = of(vec![id::split_account(&inner), address(0xa3)]);
    let outer = of(vec![id::split_account(&middle)]);
    let stranger = of(vec![id::split_account(&outer), B256::repeat_byte(0xee)]);
    [inner, middle, outer, stranger]
}

pub(crate) fn policy(n: u8) -> Policy {
    let (owner, salt) = (Address::repeat_byte(0xa0), B256::repeat_byte(n));
    // Every third dataset pays a split of splits, every second is paid in an ERC-20.
    let payee = if n.is_multiple_of(3) { id::split_account(&splits()[2]) } else { id::account_of(owner) };
    Policy {
        datasetUid: id::dataset_uid(CHAIN_ID, owner, salt),
        datasetRoot: B256::repeat_byte(0xd0 + n % 8),
        owner,
        salt,
        version: 1,
        envelopeHash: B256::repeat_byte(0xe1),
        payee,
        token: if n.is_multiple_of(2) { TOKEN } else { Address::ZERO },
        royaltyPerEpoch: 1_000 + u128::from(n),
        maxEpochsPerRun: 5,
        maxRunsPerRequester: 9,
        startWindow: 1_800,
        runWindow: 21_600,
        purposes: vec![B256::repeat_byte(7)],
        manifestHash: B256::repeat_byte(0xf1),
        constraintsHash: B256::repeat_byte(0xf2),
        custodianSet: B256::repeat_byte(0x5e),
        setVersion: 1,
        requiredLevel: 1,
        ..Policy::default()
    }
}

pub(crate) fn manifest(job: &Job, epochs: u32) -> ResultManifest {
    ResultManifest {
        jobId: job.jobId,
        attempt: job.attempt,
        datasetRoot: job.datasetRoot,
        resultHash: B256::repeat_byte(0x71),
        actualEpochs: epochs,
        samples: 40,
        tokensSeen: 9_000,
        tokensTrained: 4_001,
        computeSeconds: 12,
        evalBefore: 2_500_000,
        evalAfter: 1_250_000,
        baseModelRoot: B256::repeat_byte(0x73),
        adapterRoot: B256::repeat_byte(0x74),
        attestationRef: B256::repeat_byte(0x72),
        reportHash: B256::repeat_byte(0x75),
    }
}

/// What a contract's ledger has of a token for an account.
pub(crate) type Balances = BTreeMap<(Address, B256, Address), U256>;

/// The contracts, as far as their logs go.
#[derive(Default, Clone)]
pub(crate) struct Model {
    pub(crate) block: u64,
    index: u64,
    pub(crate) events: Vec<ChainEvent>,
    pub(crate) policies: Vec<(Address, Policy)>,
    pub(crate) jobs: Vec<(Address, Job, JobState)>,
    /// After each block.
    pub(crate) balances: Vec<Balances>,
    now: Balances,
    /// Of a split: what had vested when it was last distributed.
    distributed: Balances,
}

impl Model {
    pub(crate) fn next_block(&mut self) {
        self.balances.push(self.now.clone());
        self.block += 1;
        self.index = 0;
    }

    pub(crate) fn log(&mut self, contract: Address, kind: EventKind) {
        self.events.push(ChainEvent {
            kind,
            contract,
            block_number: self.block,
            block_hash: header(self.block, 0).hash,
            timestamp: time(self.block),
            tx_hash: keccak256([self.block.to_be_bytes(), self.index.to_be_bytes()].concat()),
            log_index: self.index,
        });
        self.index += 1;
    }

    fn set_policy(&mut self, contract: Address, policy: Policy) {
        let event = DataPolicy::PolicySet {
            policyHash: id::policy_hash(&policy),
            datasetUid: policy.datasetUid,
            policy,
        };
        self.log(contract, EventKind::PolicySet(event));
    }

    /// The next dataset that this contract does not have.
    pub(crate) fn register(&mut self, contract: Address) {
        let known = self.policies.iter().filter(|(at, _)| *at == contract).count();
        let policy = policy(u8::try_from(known + 1).unwrap());
        let event = DataPolicy::DatasetRegistered {
            datasetRoot: policy.datasetRoot,
            owner: policy.owner,
            manifestHash: policy.manifestHash,
        };
        self.log(contract, EventKind::DatasetRegistered(event));
        self.set_policy(contract, policy.clone());
        self.policies.push((contract, policy));
    }

    pub(crate) fn update(&mut self, at: usize) {
        let Some((contract, policy)) = self.policies.get_mut(at) else { return };
        policy.version += 1;
        policy.royaltyPerEpoch += 1;
        let (contract, policy) = (*contract, policy.clone());
        self.set_policy(contract, policy);
    }

    pub(crate) fn pause(&mut self, at: usize, paused: bool) {
        let Some((contract, policy)) = self.policies.get(at) else { return };
        let (contract, uid) = (*contract, policy.datasetUid);
        let event = if paused {
            EventKind::PolicyPaused(DataPolicy::PolicyPaused { datasetUid: uid })
        } else {
            EventKind::PolicyResumed(DataPolicy::PolicyResumed { datasetUid: uid })
        };
        self.log(contract, event);
    }

    pub(crate) fn open(&mut self, at: usize, epochs: u32) {
        let Some((contract, policy)) = self.policies.get(at) else { return };
        let contract = *contract;
        let domain = Domain { chain_id: CHAIN_ID, contract };
        let request = Request {
            epochs,
            units: u64::from(epochs),
            purposeId: B256::repeat_byte(7),
            ..Request::default()
        };
        let grant = Grant {
            requester: Address::repeat_byte(0xb0),
            counter: self.jobs.len() as u64 + 1,
            now: time(self.block),
            protocol_fee_bps: 250,
            compute_fee_per_epoch: 30,
            compute_payee: id::account_of(Address::repeat_byte(0xcd)),
        };
        let job = granted(&domain, policy, &request, &grant);
        let event = DataPolicy::AccessGranted {
            jobId: job.jobId,
            datasetRoot: job.datasetRoot,
            requester: job.requester,
            epochs,
        };
        self.log(contract, EventKind::AccessGranted(event));
        let event = DataPolicy::JobOpened { jobId: job.jobId, job: job.clone() };
        self.log(contract, EventKind::JobOpened(event));
        self.jobs.push((contract, job, JobState::Granted));
    }

    fn job(&mut self, at: usize, state: JobState) -> Option<(Address, Job)> {
        let found = self.jobs.get(at).filter(|(_, _, s)| *s == state);
        found.map(|(contract, job, _)| (*contract, job.clone()))
    }

    pub(crate) fn start(&mut self, at: usize) {
        let Some((contract, job)) = self.job(at, JobState::Granted) else { return };
        let run_deadline = time(self.block) + u64::from(job.runWindow);
        let job = started(&job, 1, Address::repeat_byte(0x51), B256::repeat_byte(0x52), run_deadline);
        let event = DataPolicy::JobStarted {
            jobId: job.jobId,
            attempt: 1,
            signer: job.signer,
            runtimeDataHash: job.runtimeDataHash,
            runDeadline: run_deadline,
        };
        self.log(contract, EventKind::JobStarted(event));
        self.jobs[at] = (contract, job, JobState::Running);
    }

    fn credit(&mut self, contract: Address, account: B256, token: Address, reference: B256, amount: U256) {
        if amount.is_zero() {
            return;
        }
        *self.now.entry((contract, account, token)).or_default() += amount;
        let event = DataPolicy::Credited { account, token, r#ref: reference, amount };
        self.log(contract, EventKind::Credited(event));
    }

    fn refund(&mut self, contract: Address, job: &Job, amount: U256) {
        if amount.is_zero() {
            return;
        }
        let event = DataPolicy::RefundIssued { jobId: job.jobId, amount };
        self.log(contract, EventKind::RefundIssued(event));
        if !job.token.is_zero() {
            self.credit(contract, id::account_of(job.requester), job.token, job.jobId, amount);
        }
    }

    pub(crate) fn complete(&mut self, at: usize, epochs: u32) {
        let Some((contract, job)) = self.job(at, JobState::Running) else { return };
        let epochs = epochs.clamp(1, job.epochs);
        let manifest = manifest(&job, epochs);
        let settled = Settlement::completed(&job, &manifest).unwrap();
        let event = DataPolicy::JobCompleted {
            jobId: job.jobId,
            actualEpochs: epochs,
            resultHash: manifest.resultHash,
            attestationRef: manifest.attestationRef,
        };
        self.log(contract, EventKind::JobCompleted(event));
        let event = DataPolicy::ResultRecorded { jobId: job.jobId, manifest };
        self.log(contract, EventKind::ResultRecorded(event));
        let event = DataPolicy::RoyaltySettled { jobId: job.jobId, amount: settled.royalty };
        self.log(contract, EventKind::RoyaltySettled(event));
        self.credit(contract, job.payee, job.token, job.jobId, settled.payee());
        self.credit(contract, id::account_of(FEES), job.token, job.jobId, settled.protocol_fee);
        self.credit(contract, job.computePayee, job.token, job.jobId, settled.compute_fee);
        self.refund(contract, &job, settled.refund);
        self.jobs[at].2 = JobState::Completed;
    }

    pub(crate) fn fail(&mut self, at: usize, reason: Reason) {
        let Some((contract, job)) = self.job(at, JobState::Running) else { return };
        let settled = match reason {
            Reason::JobSpecInvalid => Settlement::invalid_spec(&job, 1).unwrap(),
            _ => Settlement::refunded(&job),
        };
        let failed = DataPolicy::JobFailed { jobId: job.jobId, reasonCode: reason as u8 };
        self.log(contract, EventKind::JobFailed(failed));
        self.credit(contract, job.computePayee, job.token, job.jobId, settled.compute_fee);
        self.refund(contract, &job, settled.refund);
        self.jobs[at].2 = JobState::Failed;
    }

    pub(crate) fn cancel(&mut self, at: usize) {
        let Some((contract, job)) = self.job(at, JobState::Granted) else { return };
        self.log(contract, EventKind::JobCancelled(DataPolicy::JobCancelled { jobId: job.jobId }));
        self.refund(contract, &job, Settlement::refunded(&job).refund);
        self.jobs[at].2 = JobState::Cancelled;
    }

    /// The `at`-th address that has something takes all of it; to itself, or to another address.
    pub(crate) fn withdraw(&mut self, at: usize, elsewhere: bool) {
        let some = |(key, amount): (&(Address, B256, Address), &U256)| {
            let address = id::address_of(key.1).filter(|_| !amount.is_zero())?;
            Some((key.0, address, key.2, *amount))
        };
        let all: Vec<_> = self.now.iter().filter_map(some).collect();
        let Some((contract, account, token, amount)) = all.get(at % all.len().max(1)).copied() else {
            return;
        };
        let to = if elsewhere { Address::repeat_byte(0xdd) } else { account };
        self.now.remove(&(contract, id::account_of(account), token));
        let event = DataPolicy::Withdrawn { account, token, to, amount };
        self.log(contract, EventKind::Withdrawn(event));
    }

    /// Distributes a split's money at one contract, where that moves anything.
    pub(crate) fn distribute(&mut self, contract: Address, at: usize, token: Address) {
        let split = &splits()[at];
        let account = id::split_account(split);
        let key = (contract, account, token);
        let sum = |parts: Vec<U256>| parts.into_iter().fold(U256::ZERO, |a, b| a + b);
        let before = self.distributed.get(&key).copied().unwrap_or_default();
        let paid = sum(split::parts(split, before));
        let vested = self.now.get(&key).copied().unwrap_or_default() + paid;
        let amount = sum(split::movable(split, before, vested));
        if amount.is_zero() {
            return;
        }
        *self.now.get_mut(&key).unwrap() -= amount;
        self.distributed.insert(key, vested);
        self.log(contract, EventKind::Distributed(DataPolicy::Distributed { account, token, amount }));
        for (payee, part) in split.accounts.iter().zip(split::movable(split, before, vested)) {
            self.credit(contract, *payee, token, account, part);
        }
    }

    pub(crate) fn announce(&mut self, contract: Address, at: usize) {
        let split = splits()[at].clone();
        let event = DataPolicy::SplitAnnounced { account: id::split_account(&split), split };
        self.log(contract, EventKind::SplitAnnounced(event));
    }

    pub(crate) fn provider(&mut self, payee: B256) {
        let provider = Provider {
            creator: Address::repeat_byte(1),
            signer: Address::repeat_byte(2),
            payee,
            jurisdiction: B256::repeat_byte(3),
            platformIds: vec![B256::repeat_byte(4), B256::repeat_byte(5)],
        };
        let event = Custody::ProviderSet { providerId: B256::repeat_byte(0xab), provider };
        self.log(CUSTODY, EventKind::ProviderSet(event));
    }

    pub(crate) fn custody(&mut self) {
        let event = Custody::CustodianSetVersion {
            setId: B256::repeat_byte(0x5e),
            setVersion: 1,
            creator: Address::repeat_byte(1),
            t: 1,
            members: vec![Member { signer: Address::repeat_byte(2), hpkeKey: B256::repeat_byte(3) }],
        };
        self.log(CUSTODY, EventKind::CustodianSetVersion(event));
    }

    pub(crate) fn raise_nonce(&mut self, contract: Address) {
        let event = DataPolicy::NonceRaised { owner: Address::repeat_byte(0xa0), nonce: 3 };
        self.log(contract, EventKind::NonceRaised(event));
    }

    /// The blocks `from..=to` as one step, on top of `below`.
    pub(crate) fn advance(
        &self,
        below: Option<Header>,
        undo_above: Option<u64>,
        from: u64,
        to: u64,
    ) -> Advance {
        Advance {
            from: below.map(|h| (h.number, h.hash)),
            undo_above,
            blocks: (from..=to).map(|n| header(n, 0)).collect(),
            events: self.events.iter().filter(|e| (from..=to).contains(&e.block_number)).cloned().collect(),
            finalized: 0,
            head: self.block,
        }
    }

    /// What every ledger has after a block.
    pub(crate) fn balances_after(&self, block: u64) -> Balances {
        let at = self.balances.get(usize::try_from(block).unwrap()).unwrap_or(&self.now);
        at.iter().filter(|(_, amount)| !amount.is_zero()).map(|(key, amount)| (*key, *amount)).collect()
    }

    /// All of it, in a store.
    pub(crate) async fn store(&self) -> Store {
        let store = Store::in_memory().await.unwrap();
        let scope = licen_store::Scope::new(CUSTODY, &contracts().data_policies, 0);
        store.follow(&scope).await.unwrap();
        let batch = crate::batch(&store, origin(), &self.advance(None, None, 0, self.block)).await.unwrap();
        store.apply(&batch).await.unwrap();
        store
    }
}

/// Two datasets here, the first of them there as well; a job here that was paid, one that its own
/// specification ended, one that waits; one there that was paid. A provider that is a split.
pub(crate) fn history() -> Model {
    let mut model = Model::default();
    model.custody();
    model.provider(id::split_account(&splits()[1]));
    model.next_block();
    model.register(HERE);
    model.next_block();
    model.register(HERE);
    model.register(THERE);
    model.open(0, 3);
    model.next_block();
    model.start(0);
    model.open(0, 2);
    model.open(2, 2);
    model.start(2);
    model.announce(THERE, 1);
    model.next_block();
    model.complete(0, 2);
    model.start(1);
    model.pause(1, true);
    model.next_block();
    model.fail(1, Reason::JobSpecInvalid);
    model.open(0, 1);
    model.update(0);
    model.complete(2, 2);
    model.withdraw(0, true);
    model
}
