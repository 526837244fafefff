//! A small history of the contracts, for tests.

use licen_chain::stream::Header;
use licen_chain::{Advance, ChainEvent, EventKind};
use licen_core::abi::{Custody, DataPolicy, Job, Member, Policy, Request};
use licen_core::eip712::Domain;
use licen_core::id;
use licen_core::job::{Grant, JobState, Reason, granted, started};
use licen_core::money::Settlement;
use licen_core::primitives::{Address, B256, U256, keccak256};
use licen_store::Store;

pub(crate) const DOMAIN: Domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(0xc0) };

pub(crate) fn time(block: u64) -> u64 {
    1_000 + block * 10
}

pub(crate) fn header(number: u64, branch: u8) -> Header {
    let hash = |n: u64| keccak256([&n.to_be_bytes()[..], &[branch]].concat());
    Header { number, hash: hash(number), parent_hash: hash(number.wrapping_sub(1)), timestamp: time(number) }
}

pub(crate) fn policy(n: u8) -> Policy {
    let (owner, salt) = (Address::repeat_byte(0xa0), B256::repeat_byte(n));
    Policy {
        datasetUid: id::dataset_uid(&DOMAIN, owner, salt),
        datasetRoot: B256::repeat_byte(0xd0 + n % 8),
        owner,
        salt,
        version: 1,
        envelopeHash: B256::repeat_byte(0xe1),
        payee: id::account_of(owner),
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

/// The contracts, as far as their logs go.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) block: u64,
    index: u64,
    pub(crate) events: Vec<ChainEvent>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) jobs: Vec<(Job, JobState)>,
}

impl Model {
    pub(crate) fn next_block(&mut self) {
        self.block += 1;
        self.index = 0;
    }

    pub(crate) fn log(&mut self, kind: EventKind) {
        self.events.push(ChainEvent {
            kind,
            contract: DOMAIN.contract,
            block_number: self.block,
            block_hash: header(self.block, 0).hash,
            timestamp: time(self.block),
            tx_hash: keccak256([self.block.to_be_bytes(), self.index.to_be_bytes()].concat()),
            log_index: self.index,
        });
        self.index += 1;
    }

    fn set_policy(&mut self, policy: Policy) {
        let policy_hash = id::policy_hash(&policy);
        self.log(EventKind::PolicySet(DataPolicy::PolicySet { policyHash: policy_hash, policy }));
    }

    pub(crate) fn register(&mut self) {
        let policy = policy(u8::try_from(self.policies.len() + 1).unwrap());
        self.log(EventKind::DatasetRegistered(DataPolicy::DatasetRegistered {
            datasetRoot: policy.datasetRoot,
            owner: policy.owner,
            manifestHash: policy.manifestHash,
        }));
        self.set_policy(policy.clone());
        self.policies.push(policy);
    }

    pub(crate) fn update(&mut self, at: usize) {
        let Some(policy) = self.policies.get_mut(at) else { return };
        policy.version += 1;
        policy.royaltyPerEpoch += 1;
        let policy = policy.clone();
        self.set_policy(policy);
    }

    pub(crate) fn pause(&mut self, at: usize, paused: bool) {
        let Some(policy) = self.policies.get(at) else { return };
        let uid = policy.datasetUid;
        self.log(if paused {
            EventKind::PolicyPaused(DataPolicy::PolicyPaused { datasetUid: uid })
        } else {
            EventKind::PolicyResumed(DataPolicy::PolicyResumed { datasetUid: uid })
        });
    }

    pub(crate) fn open(&mut self, at: usize, epochs: u32) {
        let Some(policy) = self.policies.get(at) else { return };
        let request = Request { epochs, purposeId: B256::repeat_byte(7), ..Request::default() };
        let grant = Grant {
            requester: Address::repeat_byte(0xb0),
            counter: self.jobs.len() as u64 + 1,
            now: time(self.block),
            protocol_fee_bps: 250,
            compute_fee_per_epoch: 30,
            compute_payee: B256::repeat_byte(0xcc),
        };
        let job = granted(&DOMAIN, policy, &request, &grant);
        self.log(EventKind::AccessGranted(DataPolicy::AccessGranted {
            jobId: job.jobId,
            datasetRoot: job.datasetRoot,
            requester: job.requester,
            epochs,
        }));
        self.log(EventKind::JobOpened(DataPolicy::JobOpened { jobId: job.jobId, job: job.clone() }));
        self.jobs.push((job, JobState::Granted));
    }

    fn job(&mut self, at: usize, state: JobState) -> Option<Job> {
        self.jobs.get(at).filter(|(_, s)| *s == state).map(|(job, _)| job.clone())
    }

    pub(crate) fn start(&mut self, at: usize) {
        let Some(job) = self.job(at, JobState::Granted) else { return };
        let run_deadline = time(self.block) + u64::from(job.runWindow);
        let job = started(&job, 1, Address::repeat_byte(0x51), B256::repeat_byte(0x52), run_deadline);
        self.log(EventKind::JobStarted(DataPolicy::JobStarted {
            jobId: job.jobId,
            attempt: 1,
            signer: job.signer,
            runtimeDataHash: job.runtimeDataHash,
            runDeadline: run_deadline,
        }));
        self.jobs[at] = (job, JobState::Running);
    }

    fn refund(&mut self, job: &Job, amount: U256) {
        self.log(EventKind::RefundIssued(DataPolicy::RefundIssued { jobId: job.jobId, amount }));
    }

    pub(crate) fn complete(&mut self, at: usize, epochs: u32) {
        let Some(job) = self.job(at, JobState::Running) else { return };
        let epochs = epochs.clamp(1, job.epochs);
        let settled = Settlement::completed(&job, epochs).unwrap();
        self.log(EventKind::JobCompleted(DataPolicy::JobCompleted {
            jobId: job.jobId,
            actualEpochs: epochs,
            resultHash: B256::repeat_byte(0x71),
            attestationRef: B256::repeat_byte(0x72),
        }));
        self.log(EventKind::RoyaltySettled(DataPolicy::RoyaltySettled {
            jobId: job.jobId,
            amount: settled.royalty,
        }));
        self.refund(&job, settled.refund);
        self.jobs[at].1 = JobState::Completed;
    }

    pub(crate) fn fail(&mut self, at: usize, reason: Reason) {
        let Some(job) = self.job(at, JobState::Running) else { return };
        let settled = match reason {
            Reason::JobSpecInvalid => Settlement::invalid_spec(&job, 1).unwrap(),
            _ => Settlement::refunded(&job),
        };
        let failed = DataPolicy::JobFailed { jobId: job.jobId, reasonCode: reason as u8 };
        self.log(EventKind::JobFailed(failed));
        self.refund(&job, settled.refund);
        self.jobs[at].1 = JobState::Failed;
    }

    pub(crate) fn cancel(&mut self, at: usize) {
        let Some(job) = self.job(at, JobState::Granted) else { return };
        self.log(EventKind::JobCancelled(DataPolicy::JobCancelled { jobId: job.jobId }));
        self.refund(&job, Settlement::refunded(&job).refund);
        self.jobs[at].1 = JobState::Cancelled;
    }

    pub(crate) fn withdraw(&mut self) {
        self.log(EventKind::Withdrawn(DataPolicy::Withdrawn {
            account: Address::repeat_byte(0xa0),
            token: Address::ZERO,
            amount: U256::from(77),
        }));
    }

    pub(crate) fn custody(&mut self) {
        self.log(EventKind::CustodianSetVersion(Custody::CustodianSetVersion {
            setId: B256::repeat_byte(0x5e),
            setVersion: 1,
            creator: Address::repeat_byte(1),
            t: 1,
            members: vec![Member { signer: Address::repeat_byte(2), hpkeKey: B256::repeat_byte(3) }],
        }));
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

    /// All of it, in a store.
    pub(crate) async fn store(&self) -> Store {
        let store = Store::in_memory().await.unwrap();
        let batch = crate::batch(&store, &DOMAIN, &self.advance(None, None, 0, self.block)).await.unwrap();
        store.apply(&batch).await.unwrap();
        store
    }
}

/// Two datasets; a job that was paid, one that its own specification ended, one that waits.
pub(crate) fn history() -> Model {
    let mut model = Model::default();
    model.custody();
    model.next_block();
    model.register();
    model.next_block();
    model.register();
    model.open(0, 3);
    model.next_block();
    model.start(0);
    model.open(0, 2);
    model.next_block();
    model.complete(0, 2);
    model.start(1);
    model.pause(1, true);
    model.next_block();
    model.fail(1, Reason::JobSpecInvalid);
    model.open(0, 1);
    model.update(0);
    model
}
