//! The chain as a command sees it: one `DataPolicy` and its `Custody`, at depth, errors for people.

use std::sync::Arc;

use licen_chain::{Chain, ChainError, Confirmed, Rpcs};
use licen_core::abi::{Custody, DataPolicy, Job, Member, Policy, Provider, ResultManifest};
use licen_core::eip712::Domain;
use licen_core::id::{account_of, policy_hash};
use licen_core::job::JobState;
use licen_core::primitives::{Address, B256, Bytes, U256};

use crate::session::chain_error::chain_error;
use crate::session::codes;
use crate::session::error::{CliError, Outcome};
use crate::session::job_history::JobHistory;

/// Longest that a verdict lives before its job starts, seconds.
pub const VERDICT_SECONDS: u64 = 15 * 60;

/// The chain through one `DataPolicy` of the deployment.
pub struct ChainView {
    chain: Chain,
    start_block: u64,
}

/// Whether a dataset takes requests.
#[derive(Debug, Clone, Copy)]
pub struct DatasetState {
    /// The owner paused it.
    pub paused: bool,
}

impl ChainView {
    /// Events are looked for from `start_block` on.
    #[must_use]
    pub fn new(chain: Chain, start_block: u64) -> Self {
        Self { chain, start_block }
    }

    /// Where exactly this job stands; of a Completed one, with exactly this result.
    ///
    /// # Errors
    /// See [`Chain::job_at_depth`].
    pub async fn job_at_depth(
        &self,
        job: &Job,
        result: Option<&ResultManifest>,
    ) -> Result<Confirmed<JobState>, ChainError> {
        self.chain.job_at_depth(job, result).await
    }

    /// The endpoints.
    #[must_use]
    pub fn rpcs(&self) -> Arc<Rpcs> {
        Arc::clone(self.chain.rpcs())
    }

    /// The `DataPolicy` contract.
    #[must_use]
    pub fn contract(&self) -> Address {
        self.chain.data_policy()
    }

    /// Chain id and `DataPolicy`.
    #[must_use]
    pub fn domain(&self) -> Domain {
        self.chain.domain()
    }

    /// `Custody`.
    #[must_use]
    pub fn custody(&self) -> Address {
        self.chain.custody()
    }

    /// Time of the newest block, seconds.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn now(&self) -> Outcome<u64> {
        let head = self.chain.rpcs().primary().head_ref().await.map_err(chain_error)?;
        Ok(head.timestamp)
    }

    /// The newest version of a set, and its threshold and members: what a new dataset is sealed to.
    ///
    /// # Errors
    /// No such set.
    pub async fn newest_custodians(&self, set: B256) -> Outcome<(u32, u8, Vec<Member>)> {
        let version = self.chain.latest_set_version(set).await.map_err(chain_error)?.value;
        // The first version of a set that does not exist: the contract says what is wrong.
        let version = version.max(1);
        let (t, members) = self.custodians(set, version).await?;
        Ok((version, t, members))
    }

    /// Threshold and members of a set.
    ///
    /// # Errors
    /// No such set.
    pub async fn custodians(&self, set: B256, version: u32) -> Outcome<(u8, Vec<Member>)> {
        let read = self.chain.set_of(set, version).await.map_err(chain_error)?;
        Ok((read.value.t, read.value.members))
    }

    /// Heads of its audit log that a member anchored under a set, in order.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn anchors(&self, set: B256, member: Address) -> Outcome<Vec<(u64, B256)>> {
        self.chain.anchors(set, member, self.start_block).await.map_err(chain_error)
    }

    /// Every policy that a dataset ever had, from the logs.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn policies_of(&self, uid: B256) -> Outcome<Vec<Policy>> {
        self.chain.policies_of(uid, self.start_block).await.map_err(chain_error)
    }

    /// Whether a dataset has a policy at this contract.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn is_registered(&self, uid: B256) -> Outcome<bool> {
        Ok(!self.chain.dataset_state(uid).await.map_err(chain_error)?.value.0.is_zero())
    }

    /// Whether this is the dataset's current policy, and whether it takes requests.
    ///
    /// # Errors
    /// The index named an older policy.
    pub async fn dataset(&self, policy: &Policy) -> Outcome<DatasetState> {
        let read = self.chain.dataset_state(policy.datasetUid).await.map_err(chain_error)?;
        let (commitment, paused) = read.value;
        let mut current = policy_hash(policy);
        current[31] = 0;
        if commitment != current {
            return Err(CliError::environment(
                codes::NODE_NOT_READY,
                "the chain has another policy than the index",
            )
            .hint("try again in a few seconds"));
        }
        Ok(DatasetState { paused })
    }

    /// Whether `signer` signed `digest`: by its key, or, where it is a contract, by its own rule now.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn is_signed_by(&self, signer: Address, digest: B256, signature: &[u8]) -> Outcome<bool> {
        self.chain.is_signed_by(signer, digest, signature).await.map_err(chain_error)
    }

    /// Runs of a requester that count, and its counter.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn runs(&self, uid: B256, requester: Address) -> Outcome<(u32, u64)> {
        let read = self.chain.runs_of(uid, requester).await.map_err(chain_error)?;
        Ok((read.value.runs, read.value.counter))
    }

    /// A requester's counter at the newest block: what the id of the next job is made of.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn counter_at_head(&self, uid: B256, requester: Address) -> Outcome<u64> {
        let rpcs = self.chain.rpcs();
        let call = DataPolicy::runsOfCall { datasetUid: uid, requester };
        let head = rpcs.primary().head_ref().await.map_err(chain_error)?;
        match rpcs.view(&head, self.contract(), &call).await {
            Ok(runs) => Ok(runs.counter),
            // Another RPC may not have the newest block yet.
            Err(_) => Ok(self.runs(uid, requester).await?.1),
        }
    }

    /// A provider as `Custody` has it; nothing where nobody registered it.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn provider(&self, id: B256) -> Outcome<Option<Provider>> {
        let rpcs = self.chain.rpcs();
        let block = rpcs.confirmed_head().await.map_err(chain_error)?;
        let call = Custody::providerOfCall { providerId: id };
        let provider = rpcs.view(&block, self.custody(), &call).await.map_err(chain_error)?;
        Ok((!provider.creator.is_zero()).then_some(provider))
    }

    /// What a provider had registered when custodians judged a job that started at a block of the given time.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn providers_at(&self, id: B256, block: u64, time: u64) -> Outcome<Vec<Provider>> {
        let from = time.saturating_sub(VERDICT_SECONDS);
        let found = self.chain.providers_at(id, self.start_block, block, from).await;
        found.map_err(chain_error)
    }

    /// The protocol fee, basis points.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn fee_bps(&self) -> Outcome<u16> {
        Ok(self.chain.fee_bps().await.map_err(chain_error)?.value)
    }

    /// Native coins of an address.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn balance(&self, who: Address) -> Outcome<U256> {
        Ok(self.chain.balance_of(who, Address::ZERO).await.map_err(chain_error)?.value)
    }

    /// What an address can withdraw.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn credit(&self, who: Address, token: Address) -> Outcome<U256> {
        Ok(self.chain.credit(account_of(who), token).await.map_err(chain_error)?.value)
    }

    /// Where a job stands, whatever its terms are.
    ///
    /// # Errors
    /// Unknown job.
    pub async fn state(&self, job_id: B256) -> Outcome<JobState> {
        let read = self.chain.job_state(job_id).await.map_err(chain_error)?;
        read.value.0.ok_or_else(|| chain_error(ChainError::JobUnknown { job_id }))
    }

    /// Time of a block, seconds.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn block_time(&self, number: u64) -> Outcome<u64> {
        Ok(self.chain.rpcs().block(number).await.map_err(chain_error)?.timestamp)
    }

    /// Whether an appraisal policy held an entry at a block of the given time.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn entry_live_at(&self, policy: B256, entry: B256, block: u64, time: u64) -> Outcome<bool> {
        let live = self.chain.appraisal_entry_at(policy, entry, self.start_block, block, time).await;
        live.map_err(chain_error)
    }

    /// Whom a transaction called, and with what.
    ///
    /// # Errors
    /// The RPC does not answer, or does not have it.
    pub async fn called_in(&self, transaction: B256) -> Outcome<(Option<Address>, Bytes)> {
        self.chain.called_in(transaction).await.map_err(chain_error)
    }

    /// What the logs say of a job's end, and the transaction that settled it.
    ///
    /// # Errors
    /// The RPC does not answer.
    pub async fn history(&self, job: &Job) -> Outcome<JobHistory> {
        use licen_chain::EventKind;
        let events = self.chain.job_events(job.jobId, self.start_block).await.map_err(chain_error)?;
        let mut history = JobHistory::default();
        for event in events {
            let block = event.block_number;
            match event.kind {
                EventKind::JobOpened(_) => history.opened = Some((block, event.tx_hash)),
                EventKind::JobStarted(e) if e.attempt == job.attempt => {
                    history.started = Some((block, self.block_time(block).await?));
                }
                EventKind::JobFailed(e) => history.failed = Some(e.reasonCode),
                EventKind::ResultRecorded(e) => {
                    history.result = Some(e.manifest);
                    let called = self.chain.called_in(event.tx_hash).await.map_err(chain_error)?;
                    history.settled_by = Some(called);
                }
                EventKind::RoyaltySettled(e) => history.royalty = e.amount,
                EventKind::RefundIssued(e) => history.refund = e.amount,
                _ => {}
            }
        }
        Ok(history)
    }
}
