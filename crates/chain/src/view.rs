//! What the contracts say, at the confirmation depth, and the proofs that follow from it.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, Signature, U256};
use licen_core::abi::{Custody, DataPolicy, Erc20, Job, Member, ResultManifest};
use licen_core::eip712::Domain;
use licen_core::id;
use licen_core::job::JobState;
use licen_core::release::{ConfirmedRun, ConfirmedSettlement};
use licen_core::sol_types::{SolEvent, sol};
use serde_json::{Value, json};

use crate::error::ChainError;
use crate::event::EventKind;
use crate::rpcs::{BlockRef, Rpcs};

sol! {
    #![sol(alloy_sol_types = licen_core::sol_types)]

    interface Erc1271 {
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4 magic);
    }
}

/// Gas that a contract wallet may use to check a signature: enough for passkey wallets, too little
/// to hold an RPC up.
const ERC1271_GAS: u64 = 500_000;
/// How long it may take.
const ERC1271_DEADLINE: Duration = Duration::from_secs(5);

/// A fact and the block it was read at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmed<T> {
    /// The fact.
    pub value: T,
    /// Deep enough, and the same on every RPC.
    pub block: BlockRef,
}

/// How often a requester used a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runs {
    /// The last job's counter.
    pub counter: u64,
    /// Runs that count against the cap.
    pub runs: u32,
    /// Runs that were given back.
    pub returned: u8,
}

/// A version of a custodian set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustodianSet {
    /// How many members suffice.
    pub t: u8,
    /// The members in order.
    pub members: Vec<Member>,
}

/// One `DataPolicy` and the `Custody` it works with.
#[derive(Debug)]
pub struct Chain {
    rpcs: Arc<Rpcs>,
    data_policy: Address,
    custody: Address,
}

impl Chain {
    /// Of these contracts, through these endpoints.
    #[must_use]
    pub fn new(rpcs: Arc<Rpcs>, data_policy: Address, custody: Address) -> Self {
        Self { rpcs, data_policy, custody }
    }

    /// The endpoints.
    #[must_use]
    pub fn rpcs(&self) -> &Arc<Rpcs> {
        &self.rpcs
    }

    /// The `DataPolicy` contract.
    #[must_use]
    pub fn data_policy(&self) -> Address {
        self.data_policy
    }

    /// The `Custody` contract.
    #[must_use]
    pub fn custody(&self) -> Address {
        self.custody
    }

    /// The domain of every signature here.
    #[must_use]
    pub fn domain(&self) -> Domain {
        Domain { chain_id: self.rpcs.identity().chain_id, contract: self.data_policy }
    }

    /// The newest block that counts.
    ///
    /// # Errors
    /// See [`Rpcs::confirmed_head`].
    pub async fn confirmed_head(&self) -> Result<BlockRef, ChainError> {
        self.rpcs.confirmed_head().await
    }

    /// A job's state (`None`: no such job) and commitment.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn job_state(&self, job_id: B256) -> Result<Confirmed<(Option<JobState>, B256)>, ChainError> {
        let block = self.confirmed_head().await?;
        let call = DataPolicy::jobStateCall { jobId: job_id };
        let answer = self.rpcs.view(&block, self.data_policy, &call).await?;
        let state = JobState::from_chain(answer.state);
        if state.is_none() && answer.state != 0 {
            return Err(ChainError::Malformed {
                url: self.rpcs.primary().shown().to_string(),
                method: "jobState",
                reason: format!("state {}", answer.state),
            });
        }
        Ok(Confirmed { value: (state, answer.commitment), block })
    }

    /// The state of exactly this job: what the chain committed to must be its preimage and, of a
    /// Completed job, `result` as well.
    ///
    /// # Errors
    /// [`ChainError::JobUnknown`], [`ChainError::JobMismatch`], [`ChainError`].
    pub async fn job_at_depth(
        &self,
        job: &Job,
        result: Option<&ResultManifest>,
    ) -> Result<Confirmed<JobState>, ChainError> {
        let read = self.job_state(job.jobId).await?;
        let (state, commitment) = read.value;
        let state = state.ok_or(ChainError::JobUnknown { job_id: job.jobId })?;
        let expected = match state {
            JobState::Completed => result.map(|manifest| id::result_commitment(job, manifest)),
            _ => Some(id::job_commitment(job)),
        };
        if expected != Some(commitment) {
            return Err(ChainError::JobMismatch { job_id: job.jobId });
        }
        Ok(Confirmed { value: state, block: read.block })
    }

    /// Proof that this job, with this signer and attempt, is Running at depth: what a custodian needs
    /// before a share leaves.
    ///
    /// # Errors
    /// [`ChainError::JobState`] where it is in another state, and as [`Self::job_at_depth`].
    pub async fn confirmed_run(&self, job: &Job) -> Result<ConfirmedRun, ChainError> {
        let read = self.job_at_depth(job, None).await?;
        if read.value != JobState::Running {
            return Err(wrong_state(job, read.value, JobState::Running, &read.block));
        }
        let block = read.block;
        Ok(ConfirmedRun::from_chain(self.domain(), job.clone(), block.number, block.timestamp))
    }

    /// Proof that this job is Completed at depth with the result that it names: what a custodian needs
    /// before a result-key share goes to the requester. Blocks from `since` on are searched for the
    /// manifest; the contract then says whether it is the one that was paid for.
    ///
    /// # Errors
    /// [`ChainError::JobState`], [`ChainError::EventMissing`], [`ChainError::JobMismatch`] where the
    /// contract paid for another job or result, [`ChainError`].
    pub async fn confirmed_settlement(
        &self,
        job: &Job,
        since: u64,
    ) -> Result<ConfirmedSettlement, ChainError> {
        let read = self.job_state(job.jobId).await?;
        let (head, state) = (read.block, read.value.0.ok_or(ChainError::JobUnknown { job_id: job.jobId })?);
        if state != JobState::Completed {
            return Err(wrong_state(job, state, JobState::Completed, &head));
        }
        let manifest = self.recorded_result(job.jobId, since, head.number).await?;
        let call = DataPolicy::isResultCall { job: job.clone(), manifest: manifest.clone() };
        if !self.rpcs.view(&head, self.data_policy, &call).await? {
            return Err(ChainError::JobMismatch { job_id: job.jobId });
        }
        Ok(ConfirmedSettlement::from_chain(self.domain(), job.clone(), manifest))
    }

    /// The manifest that the contract emitted for a job in the blocks from `since` to `last`.
    ///
    /// # Errors
    /// [`ChainError::EventMissing`], [`ChainError`].
    pub async fn recorded_result(
        &self,
        job_id: B256,
        since: u64,
        last: u64,
    ) -> Result<ResultManifest, ChainError> {
        let topics = json!([DataPolicy::ResultRecorded::SIGNATURE_HASH, job_id]);
        let found = self.events(self.data_policy, topics, since, last).await?;
        let recorded = found.into_iter().find_map(|event| match event.kind {
            EventKind::ResultRecorded(recorded) => Some(recorded.manifest),
            _ => None,
        });
        recorded.ok_or(ChainError::EventMissing { job_id })
    }

    /// A dataset's policy commitment (248 bits; zero: no such dataset) and whether it is paused.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn dataset_state(&self, dataset_uid: B256) -> Result<Confirmed<(B256, bool)>, ChainError> {
        let block = self.confirmed_head().await?;
        let call = DataPolicy::datasetStateCall { datasetUid: dataset_uid };
        let answer = self.rpcs.view(&block, self.data_policy, &call).await?;
        Ok(Confirmed { value: (answer.commitment, answer.paused), block })
    }

    /// A requester's counters at a dataset.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn runs_of(
        &self,
        dataset_uid: B256,
        requester: Address,
    ) -> Result<Confirmed<Runs>, ChainError> {
        let block = self.confirmed_head().await?;
        let call = DataPolicy::runsOfCall { datasetUid: dataset_uid, requester };
        let answer = self.rpcs.view(&block, self.data_policy, &call).await?;
        let value = Runs { counter: answer.counter, runs: answer.runs, returned: answer.returned };
        Ok(Confirmed { value, block })
    }

    /// What an account can withdraw.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn credit(&self, account: B256, token: Address) -> Result<Confirmed<U256>, ChainError> {
        let block = self.confirmed_head().await?;
        let call = DataPolicy::creditCall { account, token };
        let value = self.rpcs.view(&block, self.data_policy, &call).await?;
        Ok(Confirmed { value, block })
    }

    /// The protocol fee, basis points.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn fee_bps(&self) -> Result<Confirmed<u16>, ChainError> {
        let block = self.confirmed_head().await?;
        let value = self.rpcs.view(&block, self.data_policy, &DataPolicy::feeBpsCall {}).await?;
        Ok(Confirmed { value, block })
    }

    /// The newest version of a custodian set; 0 where there is no such set.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn latest_set_version(&self, set_id: B256) -> Result<Confirmed<u32>, ChainError> {
        let block = self.confirmed_head().await?;
        let call = Custody::latestSetVersionCall { setId: set_id };
        let value = self.rpcs.view(&block, self.custody, &call).await?;
        Ok(Confirmed { value, block })
    }

    /// A version of a custodian set.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] where there is none, [`ChainError`].
    pub async fn set_of(
        &self,
        set_id: B256,
        set_version: u32,
    ) -> Result<Confirmed<CustodianSet>, ChainError> {
        let block = self.confirmed_head().await?;
        let call = Custody::setOfCall { setId: set_id, setVersion: set_version };
        let answer = self.rpcs.view(&block, self.custody, &call).await?;
        Ok(Confirmed { value: CustodianSet { t: answer.t, members: answer.members }, block })
    }

    /// Whether an appraisal policy was not revoked.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn appraisal_policy_live(&self, policy: B256) -> Result<Confirmed<bool>, ChainError> {
        let block = self.confirmed_head().await?;
        let call = Custody::isAppraisalPolicyLiveCall { id: policy };
        let value = self.rpcs.view(&block, self.custody, &call).await?;
        Ok(Confirmed { value, block })
    }

    /// Whether an appraisal policy accepts this entry now.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn appraisal_entry_live(
        &self,
        policy: B256,
        entry: B256,
    ) -> Result<Confirmed<bool>, ChainError> {
        let block = self.confirmed_head().await?;
        let call = Custody::isEntryLiveCall { id: policy, entry };
        let value = self.rpcs.view(&block, self.custody, &call).await?;
        Ok(Confirmed { value, block })
    }

    /// What an account owns of a token; zero is the native coin.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn balance_of(&self, account: Address, token: Address) -> Result<Confirmed<U256>, ChainError> {
        let block = self.confirmed_head().await?;
        let value = if token.is_zero() {
            self.rpcs.balance(&block, account).await?
        } else {
            self.rpcs.view(&block, token, &Erc20::balanceOfCall { account }).await?
        };
        Ok(Confirmed { value, block })
    }

    /// Whether `signer` signed `digest`: by its key, or, where it has code, by its own rule
    /// (EIP-1271). A contract wallet may change its mind, so the answer counts for now only.
    ///
    /// # Errors
    /// No answer of the chain; a wallet that reverts or answers nonsense has not signed.
    pub async fn is_signed_by(
        &self,
        signer: Address,
        digest: B256,
        signature: &[u8],
    ) -> Result<bool, ChainError> {
        if signer.is_zero() {
            return Ok(false);
        }
        if recovered(digest, signature) == Some(signer) {
            return Ok(true);
        }
        let block = self.confirmed_head().await?;
        if self.rpcs.code(&block, signer).await?.is_empty() {
            return Ok(false);
        }
        let call = Erc1271::isValidSignatureCall { hash: digest, signature: signature.to_vec().into() };
        let data = Bytes::from(licen_core::sol_types::SolCall::abi_encode(&call));
        let gas = alloy::primitives::U64::from(ERC1271_GAS);
        let params: Value = json!([{"to": signer, "data": data, "gas": gas}, {"blockHash": block.hash}]);
        let asked = self.rpcs.agreed::<Bytes>("eth_call", params);
        match tokio::time::timeout(ERC1271_DEADLINE, asked).await {
            Ok(Ok(answer)) => {
                let mut word = [0u8; 32];
                word[..4].copy_from_slice(&[0x16, 0x26, 0xba, 0x7e]);
                Ok(answer.len() == 32 && answer[..] == word)
            }
            Ok(Err(ChainError::Reverted(_) | ChainError::Refused { .. })) | Err(_) => Ok(false),
            Ok(Err(other)) => Err(other),
        }
    }
}

fn wrong_state(job: &Job, found: JobState, needed: JobState, block: &BlockRef) -> ChainError {
    ChainError::JobState {
        job_id: job.jobId,
        found: found.name(),
        needed: needed.name(),
        block: block.number,
    }
}

/// The address behind a 65-byte r‖s‖v signature with low s and v 27 or 28.
fn recovered(digest: B256, signature: &[u8]) -> Option<Address> {
    let [rs @ .., v] = signature else { return None };
    if rs.len() != 64 || !matches!(v, 27 | 28) {
        return None;
    }
    let signature = Signature::new(U256::from_be_slice(&rs[..32]), U256::from_be_slice(&rs[32..]), *v == 28);
    if signature.normalize_s().is_some() {
        return None;
    }
    signature.recover_address_from_prehash(&digest).ok()
}
