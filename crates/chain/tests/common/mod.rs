//! A private chain with the contracts on it, and the steps of a job.
#![allow(dead_code, unreachable_pub)] // each test file uses its own part

use std::sync::Arc;
use std::time::Duration;

use licen_chain::anvil::{Anvil, AnvilOptions};
use licen_chain::deployment::{Deployment, deploy};
use licen_chain::{Call, Chain, ChainError, FileJournal, RpcOptions, Rpcs, Sender, SenderOptions, WalletKey};
use licen_core::abi::{
    Custody, DataPolicy, Job, Member, MemberSignature, Policy, Request, ResultManifest, Verdict,
};
use licen_core::eip712::{Domain, compact};
use licen_core::id;
use licen_core::primitives::{Address, B256, U256};
use licen_core::sol_types::SolCall;
use licen_peers::{Http, Timeouts};

pub const ETHER: u64 = 1_000_000_000_000_000_000;

pub struct World {
    pub anvil: Anvil,
    pub rpcs: Arc<Rpcs>,
    pub dir: tempfile::TempDir,
    pub owner: Sender<FileJournal>,
    pub custodian: WalletKey,
    pub compute: WalletKey,
    pub deployment: Deployment,
    pub chain: Chain,
}

/// What everything here is reached by.
pub fn http() -> Http {
    Http::direct(Timeouts::within(Duration::from_secs(10))).unwrap()
}

pub async fn connect(options: &RpcOptions) -> Result<Rpcs, ChainError> {
    let http = http();
    Rpcs::connect(|url| http.to(url), options).await
}

pub async fn anvil(options: &AnvilOptions) -> Anvil {
    Anvil::start(&http().to(""), options).await.unwrap()
}

pub fn rpc_options(url: &str) -> RpcOptions {
    RpcOptions { urls: vec![url.to_string()], confirmations: 0, ..RpcOptions::default() }
}

pub fn sender_options() -> SenderOptions {
    SenderOptions {
        confirmations: 0,
        poll: Duration::from_millis(20),
        deadline: Duration::from_secs(30),
        ..SenderOptions::default()
    }
}

/// A funded wallet of its own.
pub async fn wallet(rpcs: &Arc<Rpcs>, dir: &std::path::Path, options: SenderOptions) -> Sender<FileJournal> {
    let key = WalletKey::generate();
    rpcs.primary().dev_fund(key.address(), U256::from(ETHER) * U256::from(100)).await.unwrap();
    let journal = FileJournal::open(dir, &rpcs.identity(), key.address()).unwrap();
    Sender::new(rpcs.clone(), key, journal, options)
}

impl World {
    pub async fn start() -> Self {
        let anvil = anvil(&AnvilOptions::default()).await;
        let rpcs = Arc::new(connect(&rpc_options(anvil.url())).await.unwrap());
        let dir = tempfile::tempdir().unwrap();
        let owner = wallet(&rpcs, dir.path(), sender_options()).await;
        let deployment = deploy(&owner, "test", anvil.url(), owner.address(), 100).await.unwrap();
        let chain = deployment.chain(rpcs.clone());
        let (custodian, compute) = (WalletKey::generate(), WalletKey::generate());
        Self { anvil, rpcs, dir, owner, custodian, compute, deployment, chain }
    }

    pub fn domain(&self) -> Domain {
        self.chain.domain()
    }

    pub fn set_id(&self) -> B256 {
        id::custody_id(self.owner.address(), B256::repeat_byte(1))
    }

    pub fn appraisal_policy(&self) -> B256 {
        id::custody_id(self.owner.address(), B256::repeat_byte(2))
    }

    pub fn policy(&self) -> Policy {
        let (owner, salt) = (self.owner.address(), B256::repeat_byte(3));
        Policy {
            datasetUid: id::dataset_uid(self.domain().chain_id, owner, salt),
            datasetRoot: B256::repeat_byte(4),
            owner,
            salt,
            version: 1,
            envelopeHash: B256::repeat_byte(5),
            payee: id::account_of(owner),
            royaltyPerEpoch: 1_000,
            maxEpochsPerRun: 5,
            maxRunsPerRequester: 3,
            startWindow: 1_800,
            runWindow: 21_600,
            purposes: vec![id::purpose_id("research")],
            manifestHash: B256::repeat_byte(6),
            custodianSet: self.set_id(),
            setVersion: 1,
            appraisalPolicy: self.appraisal_policy(),
            requiredLevel: 1,
            ..Policy::default()
        }
    }

    pub fn request(&self) -> Request {
        Request {
            purposeId: id::purpose_id("research"),
            epochs: 3,
            units: 3,
            jobSpecHash: B256::repeat_byte(7),
            resultKey: B256::repeat_byte(8),
            ..Request::default()
        }
    }

    pub fn call(&self, key: &str, value: u64, call: &impl SolCall) -> Call {
        let to = Some(self.chain.data_policy());
        Call { idem_key: key.into(), to, value: U256::from(value), data: call.abi_encode().into() }
    }

    pub fn custody_call(&self, key: &str, call: &impl SolCall) -> Call {
        Call { to: Some(self.deployment.contracts.custody), ..self.call(key, 0, call) }
    }

    /// Custodian set, appraisal policy, dataset.
    pub async fn publish(&self) -> Policy {
        let members = vec![Member { signer: self.custodian.address(), hpkeKey: B256::repeat_byte(9) }];
        let set = Custody::createSetCall { salt: B256::repeat_byte(1), t: 1, members };
        self.owner.send_and_confirm(&self.custody_call("set", &set)).await.unwrap();
        let entries = vec![B256::repeat_byte(10)];
        let appraisal = Custody::createAppraisalPolicyCall { salt: B256::repeat_byte(2), entries };
        self.owner.send_and_confirm(&self.custody_call("appraisal", &appraisal)).await.unwrap();
        let policy = self.policy();
        let register = DataPolicy::registerDataset_0Call { policy: policy.clone() };
        self.owner.send_and_confirm(&self.call("register", 0, &register)).await.unwrap();
        policy
    }

    /// A granted job, from its event.
    pub async fn grant(&self, requester: &Sender<FileJournal>, key: &str, policy: &Policy) -> Job {
        let ask = DataPolicy::requestAccess_0Call { policy: policy.clone(), request: self.request() };
        let done = requester.send_and_confirm(&self.call(key, 3_000, &ask)).await.unwrap();
        let events = requester.events(&done.mined).await.unwrap();
        let opened = events.into_iter().find_map(|e| match e.kind {
            licen_chain::EventKind::JobOpened(opened) => Some(opened.job),
            _ => None,
        });
        opened.expect("a request opens a job")
    }

    pub async fn now(&self) -> u64 {
        self.rpcs.primary().head_ref().await.unwrap().timestamp
    }

    pub async fn start_call(&self, job: &Job) -> DataPolicy::startJobCall {
        let verdict = Verdict {
            jobId: job.jobId,
            attempt: 1,
            signer: self.compute.address(),
            runtimeDataHash: B256::repeat_byte(11),
            providerId: B256::ZERO,
            level: 1,
            appraisalPolicy: job.appraisalPolicy,
            custodianSet: job.custodianSet,
            setVersion: job.setVersion,
            expiresAt: self.now().await + 600,
        };
        let digest = self.domain().digest(&verdict);
        let signature: MemberSignature = compact(0, &self.custodian.sign_digest(&digest)).unwrap();
        DataPolicy::startJobCall {
            job: job.clone(),
            signer: self.compute.address(),
            verdicts: vec![verdict],
            signatures: vec![signature],
        }
    }

    /// Starts a job and returns it as Running.
    pub async fn run(&self, job: &Job) -> Job {
        let start = self.start_call(job).await;
        let key = format!("start:{}", job.jobId);
        let done = self.owner.send_and_confirm(&self.call(&key, 0, &start)).await.unwrap();
        let events = self.owner.events(&done.mined).await.unwrap();
        let started = events.into_iter().find_map(|e| match e.kind {
            licen_chain::EventKind::JobStarted(started) => Some(started),
            _ => None,
        });
        let started = started.expect("a start is an event");
        Job {
            attempt: started.attempt,
            signer: started.signer,
            runtimeDataHash: started.runtimeDataHash,
            runDeadline: started.runDeadline,
            ..job.clone()
        }
    }

    pub fn confirm_call(&self, job: &Job, epochs: u32) -> DataPolicy::confirmTrainingCompleteCall {
        let manifest = ResultManifest {
            jobId: job.jobId,
            attempt: job.attempt,
            datasetRoot: job.datasetRoot,
            resultHash: B256::repeat_byte(12),
            actualEpochs: epochs,
            attestationRef: B256::repeat_byte(13),
            baseModelRoot: B256::repeat_byte(14),
            adapterRoot: B256::repeat_byte(15),
            reportHash: B256::repeat_byte(16),
            ..ResultManifest::default()
        };
        let signature = self.compute.sign_digest(&self.domain().digest(&manifest)).to_vec().into();
        DataPolicy::confirmTrainingCompleteCall { job: job.clone(), manifest, signature }
    }
}

pub fn native() -> Address {
    Address::ZERO
}
