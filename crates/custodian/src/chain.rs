//! Carries out reads: every part of an answer at one block of the confirmation depth, and of the one
//! contract that the read names.

use licen_chain::{BlockRef, Chain, ChainError};
use licen_core::abi::{Custody, DataPolicy, Job};
use licen_core::job::JobState;
use licen_core::primitives::{Address, B256};

use crate::contracts::Chains;
use crate::effect::{GrantQuery, Read};
use crate::event::{GrantFacts, Reading, RunFacts, SetFacts};

/// Answers reads. The chain does; so does a test.
pub(crate) trait Reader: Send + Sync + 'static {
    /// Answers one read, or says why not; that denies.
    fn read(&self, read: &Read) -> impl Future<Output = Result<Reading, String>> + Send;
}

impl Reader for Chains {
    async fn read(&self, read: &Read) -> Result<Reading, String> {
        answer(self, read).await.map_err(|error| error.to_string())
    }
}

async fn answer(chains: &Chains, read: &Read) -> Result<Reading, ChainError> {
    Ok(match read {
        Read::State { contract, job_id } => {
            Reading::State(chains.of(*contract)?.job_state(*job_id).await?.value.0)
        }
        Read::Grant(query) => Reading::Grant(grant(chains.of(query.contract)?, query).await?),
        Read::Run { contract, job, entry } => {
            Reading::Run(run(chains.of(*contract)?, job, *entry).await?.map(Box::new))
        }
        Read::Settlement { contract, job, since } => {
            let settled = absent(chains.of(*contract)?.confirmed_settlement(job, *since).await)?;
            Reading::Settlement(settled.map(Box::new))
        }
        Read::Wallet { account, digest, signature } => {
            Reading::Wallet(wallet(chains, *account, *digest, signature).await?)
        }
        Read::Registered { dataset_uid } => Reading::Registered(registered(chains, *dataset_uid).await?),
    })
}

/// An account signs by the same rule whatever contract it is asked for.
async fn wallet(
    chains: &Chains,
    account: Address,
    digest: B256,
    signature: &[u8],
) -> Result<bool, ChainError> {
    match chains.all().first() {
        Some(chain) => chain.is_signed_by(account, digest, signature).await,
        None => Ok(false),
    }
}

async fn registered(chains: &Chains, dataset_uid: B256) -> Result<bool, ChainError> {
    for chain in chains.all() {
        if !chain.dataset_state(dataset_uid).await?.value.0.is_zero() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn grant(chain: &Chain, query: &GrantQuery) -> Result<GrantFacts, ChainError> {
    let at = chain.confirmed_head().await?;
    let rpcs = chain.rpcs();
    let job = rpcs.view(&at, chain.data_policy(), &DataPolicy::jobStateCall { jobId: query.job_id }).await?;
    let policy = query.appraisal_policy;
    let live = rpcs.view(&at, chain.custody(), &Custody::isAppraisalPolicyLiveCall { id: policy }).await?;
    let mut live_entries = Vec::new();
    for entry in &query.entries {
        if entry_live(chain, &at, policy, *entry).await? {
            live_entries.push(*entry);
        }
    }
    let provider = if query.provider_id.is_zero() {
        None
    } else {
        let call = Custody::providerOfCall { providerId: query.provider_id };
        Some(rpcs.view(&at, chain.custody(), &call).await?)
    };
    Ok(GrantFacts {
        block: at.number,
        now: at.timestamp,
        state: JobState::from_chain(job.state),
        commitment: job.commitment,
        custodian_set: set(chain, &at, query.custodian_set).await?,
        verifier_set: set(chain, &at, query.verifier_set).await?,
        appraisal_policy_live: live,
        live_entries,
        provider,
    })
}

async fn run(chain: &Chain, job: &Job, entry: Option<B256>) -> Result<Option<RunFacts>, ChainError> {
    let Some(run) = absent(chain.confirmed_run(job).await)? else { return Ok(None) };
    // The block of the proof; a set version never changes, liveness is read where the proof was.
    let at = chain.rpcs().block(run.block()).await?;
    let Some(custodian_set) = set(chain, &at, (job.custodianSet, job.setVersion)).await? else {
        return Ok(None);
    };
    let entry_live = match entry {
        Some(entry) => entry_live(chain, &at, job.appraisalPolicy, entry).await?,
        None => false,
    };
    Ok(Some(RunFacts { run, custodian_set, entry_live }))
}

async fn entry_live(chain: &Chain, at: &BlockRef, policy: B256, entry: B256) -> Result<bool, ChainError> {
    let call = Custody::isEntryLiveCall { id: policy, entry };
    chain.rpcs().view(at, chain.custody(), &call).await
}

async fn set(chain: &Chain, at: &BlockRef, id: (B256, u32)) -> Result<Option<SetFacts>, ChainError> {
    if id.0.is_zero() {
        return Ok(None);
    }
    let call = Custody::setOfCall { setId: id.0, setVersion: id.1 };
    match chain.rpcs().view(at, chain.custody(), &call).await {
        Ok(set) => Ok(Some(SetFacts { t: set.t, members: set.members })),
        Err(ChainError::Reverted(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

/// What the chain answers with "not so" is no proof; what it cannot answer is an error.
fn absent<T>(proof: Result<T, ChainError>) -> Result<Option<T>, ChainError> {
    match proof {
        Ok(proof) => Ok(Some(proof)),
        Err(
            ChainError::JobUnknown { .. }
            | ChainError::JobMismatch { .. }
            | ChainError::JobState { .. }
            | ChainError::EventMissing { .. },
        ) => Ok(None),
        Err(other) => Err(other),
    }
}
