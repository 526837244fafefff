//! The ports as they really are: the chain, HTTP, the database.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use licen_chain::view::CustodianSet;
use licen_chain::{BlockRef, Chain, ChainError, Sender, SenderOptions, WalletKey};
use licen_core::abi::{DataPolicy, Job, Policy, ResultManifest};
use licen_core::eip712::Domain;
use licen_core::id::{as_granted, job_commitment, policy_hash, result_commitment};
use licen_core::job::{JobState, verifier_set};
use licen_core::primitives::{Address, B256};
use licen_core::sol_types::SolValue;
use licen_core::wire::AbiHex;
use licen_core::wire::compute::{CustodianUrl, Dispatch, VerifierUrl, Verifiers};
use licen_store::Store;
use tokio::sync::broadcast;

use crate::config::Config;
use crate::effect::{AttemptId, Call, Effect, JobProgress};
use crate::error::OrchestratorError;
use crate::event::{Deep, Event, Reading, TxOutcome};
use crate::journal::StoreJournal;
use crate::peers::Peers;
use crate::run::{Orchestrator, Ports, Settings};
use crate::transact::Transactor;

/// How often it looks for transactions that nobody waits for.
const RESUME_EVERY: Duration = Duration::from_secs(30);

type SetId = (B256, u32);

/// Asks the real world.
struct Live {
    store: Store,
    /// One view a `DataPolicy`; a job's row names its own.
    chains: Vec<Chain>,
    peers: Peers,
    blob_url: String,
    transactor: Arc<Transactor>,
    /// Set versions never change.
    sets: Mutex<HashMap<SetId, CustodianSet>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// The contract's word at both depths. The index supplies the preimage only, and only one that
    /// the contract commits to is believed.
    async fn read(&self, job_id: B256) -> Result<Reading, String> {
        let text = |error: ChainError| error.to_string();
        let row = self.store.job(job_id).await.map_err(|e| e.to_string())?;
        let row = row.ok_or("the index does not have the job yet")?;
        let chain = self.chain(row.contract)?;
        let confirmed = chain.job_state(job_id).await.map_err(text)?;
        let (state, commitment) = confirmed.value;
        let head = chain.rpcs().primary().head_ref().await.map_err(text)?;
        let head_state = match state_at(chain, &head, job_id).await {
            Ok(state) => state,
            // Another RPC does not have the newest block yet: what is confirmed has to do.
            Err(
                ChainError::Disagree { .. } | ChainError::Refused { .. } | ChainError::BlockUnknown { .. },
            ) => state,
            Err(error) => return Err(error.to_string()),
        };
        let known = Job::abi_decode(&row.job_abi).ok();
        let result = row.manifest_abi.and_then(|abi| ResultManifest::abi_decode(&abi).ok());
        let committed = |job: &Job| match (state, &result) {
            (Some(JobState::Completed), Some(result)) => result_commitment(job, result) == commitment,
            (Some(JobState::Completed), None) => false,
            _ => job_commitment(job) == commitment,
        };
        let preimages = known.into_iter().flat_map(|job| [as_granted(&job), job]);
        let job = preimages.into_iter().find(committed);
        let domain = chain.domain();
        let deep = state.zip(job).map(|(state, job)| Deep { domain, state, job });
        Ok(Reading {
            head: head_state,
            head_time: head.timestamp,
            deep,
            deep_time: confirmed.block.timestamp,
        })
    }

    fn chain(&self, contract: Address) -> Result<&Chain, String> {
        let chain = self.chains.iter().find(|chain| chain.data_policy() == contract);
        chain.ok_or_else(|| format!("the job's contract {contract} is not served here"))
    }

    async fn chain_of(&self, job_id: B256) -> Result<&Chain, String> {
        let row = self.store.job(job_id).await.map_err(|e| e.to_string())?;
        self.chain(row.ok_or("the index does not have the job yet")?.contract)
    }

    async fn domain_and_set(&self, job: &Job) -> Result<(Domain, CustodianSet), String> {
        Ok((self.chain_of(job.jobId).await?.domain(), self.set_of(job).await?))
    }

    async fn set_of(&self, job: &Job) -> Result<CustodianSet, String> {
        self.set((job.custodianSet, job.setVersion)).await
    }

    async fn set(&self, id: SetId) -> Result<CustodianSet, String> {
        if let Some(set) = lock(&self.sets).get(&id) {
            return Ok(set.clone());
        }
        // Every chain here reads the same Custody.
        let chain = self.chains.first().ok_or("no DataPolicy is served here")?;
        let set = chain.set_of(id.0, id.1).await.map_err(|e| e.to_string())?.value;
        lock(&self.sets).insert(id, set.clone());
        Ok(set)
    }

    async fn dispatch_body(&self, job: Job) -> Result<Dispatch, String> {
        let domain = self.chain_of(job.jobId).await?.domain();
        let row = self.store.policy(domain.contract, job.policyHash).await.map_err(|e| e.to_string())?;
        let policy = row.and_then(|row| Policy::abi_decode(&row.policy_abi).ok());
        let policy = policy.filter(|policy| policy_hash(policy) == job.policyHash);
        let policy = policy.ok_or("the index does not have the job's policy yet")?;
        let set = self.set_of(&job).await?;
        // Members are in the set's order, so their indices ascend.
        let custodian_urls: Vec<CustodianUrl> =
            set.members.iter().filter_map(|member| self.peers.custodian(member.signer)).collect();
        if custodian_urls.len() < usize::from(set.t) {
            let (known, t) = (custodian_urls.len(), set.t);
            return Err(format!("{known} of the set's custodians have a known URL, {t} are needed"));
        }
        let verifiers = match verifier_set(&job) {
            Some(id) => Some(self.verifiers(id).await?),
            None => None,
        };
        Ok(Dispatch {
            chain_id: domain.chain_id,
            contract: domain.contract,
            policy: AbiHex(policy),
            job: AbiHex(job),
            custodian_urls,
            threshold: set.t,
            verifiers,
            blob_url: self.blob_url.clone(),
        })
    }

    /// Where the members of the requester's own set listen, as far as this node knows.
    async fn verifiers(&self, id: SetId) -> Result<Verifiers, String> {
        let set = self.set(id).await?;
        let known = (0u8..).zip(&set.members).filter_map(|(index, member)| {
            let CustodianUrl { id, url } = self.peers.custodian(member.signer)?;
            Some(VerifierUrl { index, id, url })
        });
        let members: Vec<VerifierUrl> = known.collect();
        if members.len() < usize::from(set.t) {
            let (known, t) = (members.len(), set.t);
            return Err(format!("{known} of the verifierSet's custodians have a known URL, {t} are needed"));
        }
        Ok(Verifiers { members, threshold: set.t })
    }

    async fn dispatch(&self, id: AttemptId, job: Job) -> Event {
        match self.dispatch_body(job).await {
            Ok(dispatch) => self.peers.dispatch(id, &dispatch).await,
            Err(why) => Event::DispatchFailed(id, why),
        }
    }

    async fn manifest(&self, id: AttemptId, job: &Job) -> Event {
        match self.domain_and_set(job).await {
            Ok((domain, set)) => {
                let members: Vec<Address> = set.members.iter().map(|m| m.signer).collect();
                self.peers.manifest(domain, id, job, &members).await
            }
            Err(why) => Event::NoManifest(id, why),
        }
    }

    async fn silence(&self, id: AttemptId, job: &Job) -> Event {
        match self.domain_and_set(job).await {
            Ok((domain, set)) => self.peers.silence(domain, id, job, &set).await,
            Err(_) => Event::NotSilent(id),
        }
    }

    async fn send(&self, call: &Call) -> TxOutcome {
        match self.chain_of(call.job().jobId).await {
            Ok(chain) => self.transactor.send(&call.idem_key(), chain.data_policy(), call.calldata()).await,
            Err(why) => TxOutcome::NotSent(why),
        }
    }
}

impl Ports for Live {
    async fn perform(&self, job_id: B256, effect: Effect) -> Event {
        match effect {
            Effect::Read => match self.read(job_id).await {
                Ok(reading) => Event::Read(Box::new(reading)),
                Err(why) => Event::ReadFailed(why),
            },
            Effect::Dispatch(id, job) => self.dispatch(id, *job).await,
            Effect::PollStatus(id, job) => self.peers.status(id, &job).await,
            Effect::PollManifest(id, job) => self.manifest(id, &job).await,
            Effect::AskSilence(id, job) => self.silence(id, &job).await,
            Effect::Send(call) => Event::Tx(call.kind(), self.send(&call).await),
            // The shell's own; nothing to ask.
            Effect::Report(_) | Effect::Finish(_) => Event::Wake,
        }
    }

    fn forget(&self, job_id: B256) {
        self.peers.forget(job_id);
    }
}

async fn state_at(chain: &Chain, block: &BlockRef, job_id: B256) -> Result<Option<JobState>, ChainError> {
    let call = DataPolicy::jobStateCall { jobId: job_id };
    let answer = chain.rpcs().view(block, chain.data_policy(), &call).await?;
    Ok(JobState::from_chain(answer.state))
}

/// Drives every job of this database until `shutdown` is ready. Progress goes to whoever listens.
///
/// # Errors
/// The configuration or the database cannot be used. What happens to one job is waited out.
pub async fn run(
    config: Config,
    store: Store,
    chains: Vec<Chain>,
    progress: broadcast::Sender<JobProgress>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), OrchestratorError> {
    let wallet = WalletKey::load(&config.wallet).map_err(|e| OrchestratorError::Config(e.to_string()))?;
    run_with(config, wallet, store, chains, progress, shutdown).await
}

/// The same with a wallet that is in memory already.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    config: Config,
    wallet: WalletKey,
    store: Store,
    chains: Vec<Chain>,
    progress: broadcast::Sender<JobProgress>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), OrchestratorError> {
    let settings = Settings {
        pace: config.pace(),
        lease_ms: config.lease_ms,
        max_jobs: config.max_jobs,
        max_requests: config.max_requests,
    };
    let none = || OrchestratorError::Config("no DataPolicy is served".into());
    let rpcs = chains.first().ok_or_else(none)?.rpcs();
    let owner = wallet.address().to_string();
    let peers = Peers::new(config.compute, &config.custodians).map_err(OrchestratorError::Config)?;
    let options = SenderOptions { confirmations: rpcs.confirmations(), ..SenderOptions::default() };
    let sender = Sender::new(Arc::clone(rpcs), wallet, StoreJournal(store.clone()), options);
    let transactor = Arc::new(Transactor { sender });
    let live = Live {
        store: store.clone(),
        chains,
        peers,
        blob_url: config.blob_url,
        transactor: Arc::clone(&transactor),
        sets: Mutex::default(),
    };
    let orchestrator = Orchestrator::new(store, live, settings, owner, progress);
    tokio::select! {
        ended = orchestrator.run(shutdown) => ended,
        () = resume(&transactor) => Ok(()),
    }
}

/// What was on its way when a process died holds up every later nonce, even if nobody needs it any
/// more: bring it to its end.
async fn resume(transactor: &Transactor) {
    loop {
        if let Err(error) = transactor.sender.resume().await {
            tracing::warn!(%error, "open transactions are not finished yet");
        }
        tokio::time::sleep(RESUME_EVERY).await;
    }
}
