//! Carries the follower's questions out. Every answer is the same on all RPCs, or there is none.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, BloomInput, U64};
use serde_json::json;

use crate::deployment::Contracts;
use crate::error::ChainError;
use crate::event::{EventKind, RawLog};
use crate::json::{JsonBlock, JsonLog};
use crate::rpcs::Rpcs;
use crate::stream::{Advance, Answer, Ask, Follower, Header, StreamError};

/// Why a step along the chain failed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The chain could not be asked.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// What it answered cannot be followed.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl licen_core::fault::Fault for FollowError {
    fn fault(&self) -> licen_core::fault::Party {
        match self {
            Self::Chain(e) => e.fault(),
            Self::Stream(e) => e.fault(),
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Chain(e) => e.retryable(),
            Self::Stream(e) => e.retryable(),
        }
    }
}

/// Goes on until there is a step to persist, or nothing new (`None`).
///
/// # Errors
/// [`FollowError`]; the follower can simply be asked again.
pub async fn step(
    rpcs: &Rpcs,
    contracts: &Contracts,
    follower: &mut Follower,
) -> Result<Option<Advance>, FollowError> {
    loop {
        let ask = follower.ask();
        if ask == Ask::Wait {
            return Ok(None);
        }
        let answer = match answer(rpcs, contracts, ask).await {
            Ok(answer) => answer,
            Err(error) => {
                follower.restart();
                return Err(error.into());
            }
        };
        if let Some(advance) = follower.feed(answer)? {
            return Ok(Some(advance));
        }
    }
}

/// Finds one answer out.
///
/// # Errors
/// [`ChainError`].
pub async fn answer(rpcs: &Rpcs, contracts: &Contracts, ask: Ask) -> Result<Answer, ChainError> {
    match ask {
        Ask::Head => {
            let head = rpcs.lowest_head().await?;
            Ok(block(rpcs, head).await?.map_or(Answer::NoBlock, |b| Answer::Head(header(&b))))
        }
        Ask::Header(number) => {
            // The chain is not what it was: make sure that it is still the same chain at all.
            rpcs.recheck().await?;
            Ok(block(rpcs, number).await?.map_or(Answer::NoBlock, |b| Answer::Header(header(&b))))
        }
        Ask::Block(number) => {
            let Some(found) = block(rpcs, number).await? else { return Ok(Answer::NoBlock) };
            let logs = block_logs(rpcs, contracts, &found).await?;
            Ok(Answer::Block { header: header(&found), logs })
        }
        Ask::Range { from, to } => match range_logs(rpcs, contracts, from, to).await {
            Ok(logs) => Ok(block(rpcs, to)
                .await?
                .map_or(Answer::NoBlock, |b| Answer::Range { last: header(&b), logs })),
            Err(ChainError::Refused { .. } | ChainError::Deadline { .. }) => Ok(Answer::RangeTooLarge),
            Err(other) => Err(other),
        },
        Ask::Wait => Ok(Answer::NoBlock),
    }
}

async fn block(rpcs: &Rpcs, number: u64) -> Result<Option<JsonBlock>, ChainError> {
    rpcs.agreed("eth_getBlockByNumber", json!([U64::from(number), false])).await
}

fn header(block: &JsonBlock) -> Header {
    Header {
        number: block.number.to(),
        hash: block.hash,
        parent_hash: block.parent_hash,
        timestamp: block.timestamp.to(),
    }
}

fn raw(log: JsonLog, timestamp: u64) -> RawLog {
    RawLog {
        contract: log.address,
        topics: log.topics,
        data: log.data,
        block_number: log.block_number.to(),
        block_hash: log.block_hash,
        timestamp,
        tx_hash: log.transaction_hash,
        log_index: log.log_index.to(),
    }
}

fn addresses(contracts: &Contracts) -> Vec<Address> {
    let mut all = contracts.data_policies.clone();
    all.push(contracts.custody);
    all
}

/// The logs of a block by its hash. A block whose bloom filter promises logs of ours but has none is
/// looked at again through its receipts: nodes with a pruned log index answer with nothing.
async fn block_logs(
    rpcs: &Rpcs,
    contracts: &Contracts,
    block: &JsonBlock,
) -> Result<Vec<RawLog>, ChainError> {
    let addresses = addresses(contracts);
    let filter = json!({ "blockHash": block.hash, "address": addresses });
    let mut logs = rpcs.agreed_logs(filter).await?;
    let holds = |bytes: &[u8]| block.logs_bloom.contains_input(BloomInput::Raw(bytes));
    let promised = addresses.iter().any(|a| holds(a.as_slice()))
        && EventKind::TOPICS.iter().any(|t| holds(t.as_slice()));
    if logs.is_empty() && promised {
        let receipts = rpcs.primary().block_receipts(block.hash).await?;
        let all = receipts.into_iter().flat_map(|r| r.logs);
        logs = all.filter(|l| addresses.contains(&l.address)).collect();
    }
    logs.sort_by_key(|l| l.log_index);
    Ok(logs.into_iter().filter(|l| !l.removed).map(|l| raw(l, block.timestamp.to())).collect())
}

async fn range_logs(
    rpcs: &Rpcs,
    contracts: &Contracts,
    from: u64,
    to: u64,
) -> Result<Vec<RawLog>, ChainError> {
    let filter = json!({
        "fromBlock": U64::from(from),
        "toBlock": U64::from(to),
        "address": addresses(contracts),
    });
    let mut logs = rpcs.agreed_logs(filter).await?;
    logs.sort_by_key(|l| (l.block_number, l.log_index));
    let mut times: BTreeMap<B256, u64> = BTreeMap::new();
    let mut out = Vec::with_capacity(logs.len());
    for log in logs.into_iter().filter(|l| !l.removed) {
        let number: u64 = log.block_number.to();
        let time = match (log.block_timestamp, times.get(&log.block_hash)) {
            (Some(time), _) => time.to(),
            (None, Some(time)) => *time,
            (None, None) => {
                let found = block(rpcs, number).await?.ok_or(ChainError::BlockUnknown { number })?;
                times.insert(found.hash, found.timestamp.to());
                found.timestamp.to()
            }
        };
        out.push(raw(log, time));
    }
    Ok(out)
}
