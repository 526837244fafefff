//! What the chain says of one job, for an auditor: its events, and the transaction that settled it.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes, U64};
use licen_core::abi::{Custody, DataPolicy, Job, Policy, Provider};
use licen_core::sol_types::SolEvent;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ChainError;
use crate::event::{ChainEvent, EventKind, RawLog, Rest, decode};
use crate::view::Chain;

/// Most blocks of one question.
const SEARCH_RANGE: u64 = 2_000;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct JsonTransaction {
    to: Option<Address>,
    input: Bytes,
}

/// What needs one HPKE key of a custodian, as far as the chain knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyUse {
    /// Whether any version of any set names it.
    pub named: bool,
    /// Time of the block that all of this is true at, seconds.
    pub now: u64,
    /// Current policies whose envelope is sealed to it.
    pub policies: Vec<Policy>,
    /// Jobs that were ever granted under a set that names it; most have ended.
    pub jobs: Vec<Job>,
}

impl Chain {
    /// Every policy that a dataset ever had, in order.
    ///
    /// # Errors
    /// No answer, or the RPCs disagree.
    pub async fn policies_of(&self, dataset_uid: B256, since: u64) -> Result<Vec<Policy>, ChainError> {
        let policies = self.policies(since, self.confirmed_head().await?.number).await?;
        Ok(policies.into_iter().filter(|policy| policy.datasetUid == dataset_uid).collect())
    }

    /// Heads of its audit log that a member anchored under a set, in order: sequence and hash.
    ///
    /// # Errors
    /// No answer, or the RPCs disagree.
    pub async fn anchors(
        &self,
        set_id: B256,
        member: Address,
        since: u64,
    ) -> Result<Vec<(u64, B256)>, ChainError> {
        let last = self.confirmed_head().await?.number;
        let topics = json!([Custody::AuditAnchored::SIGNATURE_HASH, set_id, member.into_word()]);
        let anchored = self.events(self.custody(), topics, since, last).await?;
        let head = |event: ChainEvent| match event.kind {
            EventKind::AuditAnchored(anchor) => Some((anchor.sequence, anchor.head)),
            _ => None,
        };
        Ok(anchored.into_iter().filter_map(head).collect())
    }

    /// What a provider had registered at block `at`, and whatever that replaced no earlier than `from`
    /// (Unix seconds): custodians judge some time before a job starts.
    ///
    /// # Errors
    /// No answer, or the RPCs disagree.
    pub async fn providers_at(
        &self,
        provider: B256,
        since: u64,
        at: u64,
        from: u64,
    ) -> Result<Vec<Provider>, ChainError> {
        let topics = json!([Custody::ProviderSet::SIGNATURE_HASH, provider]);
        let events = self.events(self.custody(), topics, since, at).await?;
        let mut found = Vec::new();
        for event in events.into_iter().rev() {
            let block = event.block_number;
            if let EventKind::ProviderSet(set) = event.kind {
                found.push(set.provider);
            }
            // What stood before it was replaced here.
            if self.rpcs().block(block).await?.timestamp < from {
                break;
            }
        }
        Ok(found)
    }

    async fn policies(&self, since: u64, last: u64) -> Result<Vec<Policy>, ChainError> {
        let contract = self.data_policy();
        let set = self.events(contract, json!([DataPolicy::PolicySet::SIGNATURE_HASH]), since, last).await?;
        let policy = |event: ChainEvent| match event.kind {
            EventKind::PolicySet(set) => Some(set.policy),
            _ => None,
        };
        Ok(set.into_iter().filter_map(policy).collect())
    }

    /// What needs an HPKE key: policies and jobs under any set version that names it. Every block from
    /// `since` on is searched.
    ///
    /// # Errors
    /// No answer, or the RPCs disagree.
    pub async fn key_use(&self, hpke_key: B256, since: u64) -> Result<KeyUse, ChainError> {
        let head = self.confirmed_head().await?;
        let last = head.number;
        let topic = json!([Custody::CustodianSetVersion::SIGNATURE_HASH]);
        let mut sets = BTreeSet::new();
        for event in self.events(self.custody(), topic, since, last).await? {
            if let EventKind::CustodianSetVersion(set) = event.kind
                && set.members.iter().any(|member| member.hpkeKey == hpke_key)
            {
                sets.insert((set.setId, set.setVersion));
            }
        }
        let mut current = BTreeMap::new();
        for policy in self.policies(since, last).await? {
            current.insert(policy.datasetUid, policy);
        }
        let policies = current.into_values().filter(|p| sets.contains(&(p.custodianSet, p.setVersion)));
        let topic = json!([DataPolicy::JobOpened::SIGNATURE_HASH]);
        let opened = self.events(self.data_policy(), topic, since, last).await?;
        let jobs = opened.into_iter().filter_map(|event| match event.kind {
            EventKind::JobOpened(opened) => Some(opened.job),
            _ => None,
        });
        let named = |job: &Job| {
            sets.contains(&(job.custodianSet, job.setVersion))
                || sets.contains(&(job.verifierSet, job.verifierSetVersion))
        };
        Ok(KeyUse {
            named: !sets.is_empty(),
            now: head.timestamp,
            policies: policies.collect(),
            jobs: jobs.filter(named).collect(),
        })
    }

    /// Every confirmed event of `DataPolicy` about a job from block `since` on, in order.
    ///
    /// # Errors
    /// No answer, or the RPCs disagree.
    pub async fn job_events(&self, job_id: B256, since: u64) -> Result<Vec<ChainEvent>, ChainError> {
        let contract = self.data_policy();
        let last = self.confirmed_head().await?.number;
        let topics = [
            DataPolicy::AccessGranted::SIGNATURE_HASH,
            DataPolicy::JobOpened::SIGNATURE_HASH,
            DataPolicy::JobStarted::SIGNATURE_HASH,
            DataPolicy::JobCompleted::SIGNATURE_HASH,
            DataPolicy::ResultRecorded::SIGNATURE_HASH,
            DataPolicy::RoyaltySettled::SIGNATURE_HASH,
            DataPolicy::RefundIssued::SIGNATURE_HASH,
            DataPolicy::JobFailed::SIGNATURE_HASH,
            DataPolicy::JobExpired::SIGNATURE_HASH,
            DataPolicy::JobCancelled::SIGNATURE_HASH,
        ];
        self.events(contract, json!([topics, job_id]), since, last).await
    }

    /// Whether an appraisal policy held an entry at block `at`, whose time is `time`: from the logs
    /// alone, so that no old state of the chain is needed and a later revocation does not matter.
    ///
    /// # Errors
    /// No answer, or the RPCs disagree.
    pub async fn appraisal_entry_at(
        &self,
        policy: B256,
        entry: B256,
        since: u64,
        at: u64,
        time: u64,
    ) -> Result<bool, ChainError> {
        let topics = [
            Rest::AppraisalPolicyCreated::SIGNATURE_HASH,
            Rest::AppraisalEntryAdded::SIGNATURE_HASH,
            Rest::AppraisalEntryRevoked::SIGNATURE_HASH,
            Rest::AppraisalPolicyEnded::SIGNATURE_HASH,
        ];
        let custody = self.custody();
        let mut live = false;
        for event in self.events(custody, json!([topics, policy]), since, at).await? {
            match event.kind {
                EventKind::AppraisalPolicyCreated(e) => live |= e.entries.contains(&entry),
                EventKind::AppraisalEntryAdded(e) if e.entry == entry => live |= e.liveAt <= time,
                EventKind::AppraisalEntryRevoked(e) if e.entry == entry => return Ok(false),
                EventKind::AppraisalPolicyEnded(_) => return Ok(false),
                _ => {}
            }
        }
        Ok(live)
    }

    pub(crate) async fn events(
        &self,
        contract: Address,
        topics: Value,
        since: u64,
        last: u64,
    ) -> Result<Vec<ChainEvent>, ChainError> {
        let (mut from, mut events) = (since, Vec::new());
        while from <= last {
            let to = last.min(from.saturating_add(SEARCH_RANGE - 1));
            let filter = json!({
                "address": contract, "topics": topics,
                "fromBlock": U64::from(from), "toBlock": U64::from(to),
            });
            for log in self.rpcs().agreed_logs(filter).await? {
                let raw = RawLog {
                    contract: log.address,
                    topics: log.topics,
                    data: log.data,
                    block_number: log.block_number.to(),
                    block_hash: log.block_hash,
                    timestamp: log.block_timestamp.map_or(0, |t| t.to()),
                    tx_hash: log.transaction_hash,
                    log_index: log.log_index.to(),
                };
                let ours = raw.contract == contract && !log.removed;
                if let (true, Ok(Some(event))) = (ours, decode(&raw)) {
                    events.push(event);
                }
            }
            from = to + 1;
        }
        Ok(events)
    }

    /// Which contract a transaction called, and with what.
    ///
    /// # Errors
    /// No answer, or [`ChainError::NoTransaction`] where the RPC does not have it.
    pub async fn called_in(&self, hash: B256) -> Result<(Option<Address>, Bytes), ChainError> {
        let found: Option<JsonTransaction> =
            self.rpcs().primary().call("eth_getTransactionByHash", json!([hash])).await?;
        found.map(|t| (t.to, t.input)).ok_or(ChainError::NoTransaction { hash })
    }
}
