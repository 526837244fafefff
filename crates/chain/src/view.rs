//! What the contracts say, at the confirmation depth, and the proofs that follow from it.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, Signature, U256};
use licen_core::abi::{Custody, DataPolicy, Erc20, Job, Member};
use licen_core::eip712::Domain;
use licen_core::id;
use licen_core::job::JobState;
use licen_core::release::{ConfirmedRun, ConfirmedSettlement};
use licen_core::sol_types::{SolEvent, sol};
use serde_json::{Value, json};

use crate::error::ChainError;
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
/// Blocks per question when looking for an event without knowing its block.
const SEARCH_RANGE: u64 = 5_000;

/// Addresses of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contracts {
    /// `DataPolicy`.
    pub data_policy: Address,
    /// `Custody`.
    pub custody: Address,
}

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

/// The contracts of one deployment.
#[derive(Debug)]
pub struct Chain {
    rpcs: Arc<Rpcs>,
    contracts: Contracts,
}

impl Chain {
    /// Of these contracts, through these endpoints.
    #[must_use]
    pub fn new(rpcs: Arc<Rpcs>, contracts: Contracts) -> Self {
        Self { rpcs, contracts }
    }

    /// The endpoints.
    #[must_use]
    pub fn rpcs(&self) -> &Arc<Rpcs> {
        &self.rpcs
    }

    /// The contracts.
    #[must_use]
    pub fn contracts(&self) -> Contracts {
        self.contracts
    }

    /// The domain of every signature here.
    #[must_use]
    pub fn domain(&self) -> Domain {
        Domain { chain_id: self.rpcs.identity().chain_id, contract: self.contracts.data_policy }
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
        let answer = self.rpcs.view(&block, self.contracts.data_policy, &call).await?;
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

    /// The state of exactly this job: its preimage must be what the chain committed to.
    ///
    /// # Errors
    /// [`ChainError::JobUnknown`], [`ChainError::JobMismatch`], [`ChainError`].
    pub async fn job_at_depth(&self, job: &Job) -> Result<Confirmed<JobState>, ChainError> {
        let read = self.job_state(job.jobId).await?;
        let (state, commitment) = read.value;
        let state = state.ok_or(ChainError::JobUnknown { job_id: job.jobId })?;
        if commitment != id::job_commitment(job) {
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
        let read = self.job_in_state(job, JobState::Running).await?;
        Ok(ConfirmedRun::from_chain(self.domain(), job.clone(), read.number, read.timestamp))
    }

    /// Proof that this job is Completed at depth with this result: what a custodian needs before a
    /// result-key share goes to the requester. `at` is the block of `JobCompleted` where known; else
    /// every block from `since` on is searched.
    ///
    /// # Errors
    /// [`ChainError::JobState`], [`ChainError::EventMissing`], and as [`Self::job_at_depth`].
    pub async fn confirmed_settlement(
        &self,
        job: &Job,
        since: u64,
        at: Option<u64>,
    ) -> Result<ConfirmedSettlement, ChainError> {
        let head = self.job_in_state(job, JobState::Completed).await?;
        let (mut from, last) = at.map_or((since, head.number), |n| (n, n.min(head.number)));
        while from <= last {
            let to = last.min(from.saturating_add(SEARCH_RANGE - 1));
            if let Some(result_hash) = self.completed_in(job.jobId, from, to).await? {
                return Ok(ConfirmedSettlement::from_chain(self.domain(), job.clone(), result_hash));
            }
            from = to + 1;
        }
        Err(ChainError::EventMissing { job_id: job.jobId })
    }

    async fn completed_in(&self, job_id: B256, from: u64, to: u64) -> Result<Option<B256>, ChainError> {
        let filter = json!({
            "address": self.contracts.data_policy,
            "topics": [DataPolicy::JobCompleted::SIGNATURE_HASH, job_id],
            "fromBlock": alloy::primitives::U64::from(from),
            "toBlock": alloy::primitives::U64::from(to),
        });
        let logs = self.rpcs.agreed_logs(filter).await?;
        Ok(logs.iter().find_map(|log| {
            let topics = log.topics.iter().copied();
            let event = DataPolicy::JobCompleted::decode_raw_log(topics, &log.data).ok()?;
            let ours = log.address == self.contracts.data_policy && event.jobId == job_id;
            (ours && !log.removed).then_some(event.resultHash)
        }))
    }

    async fn job_in_state(&self, job: &Job, needed: JobState) -> Result<BlockRef, ChainError> {
        let read = self.job_at_depth(job).await?;
        if read.value != needed {
            return Err(ChainError::JobState {
                job_id: job.jobId,
                found: read.value.name(),
                needed: needed.name(),
                block: read.block.number,
            });
        }
        Ok(read.block)
    }

    /// A dataset's policy commitment (248 bits; zero: no such dataset) and whether it is paused.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn dataset_state(&self, dataset_uid: B256) -> Result<Confirmed<(B256, bool)>, ChainError> {
        let block = self.confirmed_head().await?;
        let call = DataPolicy::datasetStateCall { datasetUid: dataset_uid };
        let answer = self.rpcs.view(&block, self.contracts.data_policy, &call).await?;
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
        let answer = self.rpcs.view(&block, self.contracts.data_policy, &call).await?;
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
        let value = self.rpcs.view(&block, self.contracts.data_policy, &call).await?;
        Ok(Confirmed { value, block })
    }

    /// The protocol fee, basis points.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn fee_bps(&self) -> Result<Confirmed<u16>, ChainError> {
        let block = self.confirmed_head().await?;
        let value = self.rpcs.view(&block, self.contracts.data_policy, &DataPolicy::feeBpsCall {}).await?;
        Ok(Confirmed { value, block })
    }

    /// The newest version of a custodian set; 0 where there is no such set.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn latest_set_version(&self, set_id: B256) -> Result<Confirmed<u32>, ChainError> {
        let block = self.confirmed_head().await?;
        let call = Custody::latestSetVersionCall { setId: set_id };
        let value = self.rpcs.view(&block, self.contracts.custody, &call).await?;
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
        let answer = self.rpcs.view(&block, self.contracts.custody, &call).await?;
        Ok(Confirmed { value: CustodianSet { t: answer.t, members: answer.members }, block })
    }

    /// Whether an appraisal policy was not revoked.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn appraisal_policy_live(&self, policy: B256) -> Result<Confirmed<bool>, ChainError> {
        let block = self.confirmed_head().await?;
        let call = Custody::isAppraisalPolicyLiveCall { id: policy };
        let value = self.rpcs.view(&block, self.contracts.custody, &call).await?;
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
        let value = self.rpcs.view(&block, self.contracts.custody, &call).await?;
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
