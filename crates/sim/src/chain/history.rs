//! What the logs tell: every job as it stood after each block that changed it. This is the indexer's
//! part; the real one is not run here, because it is a database and a follower of an RPC.

use std::collections::BTreeMap;

use licen_core::abi::{DataPolicy, Job, ResultManifest};
use licen_core::job::started;
use licen_core::primitives::{Address, B256, Log, U256};
use licen_core::sol_types::SolEvent;

/// How a job ended, as its events say it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ended {
    /// `ResultRecorded`: block and manifest.
    pub(crate) result: Option<(u64, ResultManifest)>,
    /// `RoyaltySettled`, wei.
    pub(crate) royalty: Option<U256>,
    /// `RefundIssued`, wei.
    pub(crate) refund: U256,
}

/// Jobs by name.
#[derive(Debug, Default)]
pub(crate) struct History {
    jobs: BTreeMap<B256, Vec<(u64, Job)>>,
    /// With the block of the first event of the end.
    ended: BTreeMap<B256, (u64, Ended)>,
    /// In the order in which they were opened.
    pub(crate) opened: Vec<B256>,
}

impl History {
    /// Takes in a block's logs.
    pub(super) fn add(&mut self, block: u64, contract: Address, logs: &[Log]) {
        for log in logs.iter().filter(|log| log.address == contract) {
            if let Ok(event) = DataPolicy::JobOpened::decode_log(log) {
                self.opened.push(event.jobId);
                self.jobs.entry(event.jobId).or_default().push((block, event.data.job));
            } else if let Ok(event) = DataPolicy::JobStarted::decode_log(log) {
                let Some(known) = self.jobs.get_mut(&event.jobId) else { continue };
                let Some((_, job)) = known.last() else { continue };
                let hash = event.runtimeDataHash;
                let job = started(job, event.attempt, event.signer, hash, event.runDeadline);
                known.push((block, job));
            } else if let Ok(event) = DataPolicy::ResultRecorded::decode_log(log) {
                let (_, ended) = self.ended.entry(event.jobId).or_insert((block, Ended::default()));
                ended.result = Some((block, event.data.manifest));
            } else if let Ok(event) = DataPolicy::RoyaltySettled::decode_log(log) {
                let (_, ended) = self.ended.entry(event.jobId).or_insert((block, Ended::default()));
                ended.royalty = Some(ended.royalty.unwrap_or_default() + event.amount);
            } else if let Ok(event) = DataPolicy::RefundIssued::decode_log(log) {
                let (_, ended) = self.ended.entry(event.jobId).or_insert((block, Ended::default()));
                ended.refund += event.amount;
            }
        }
    }

    /// Forgets what later blocks said. A job ends within one block, so its end goes whole.
    pub(super) fn take_back_to(&mut self, block: u64) {
        for known in self.jobs.values_mut() {
            known.retain(|(at, _)| *at <= block);
        }
        self.jobs.retain(|_, known| !known.is_empty());
        self.ended.retain(|_, (at, _)| *at <= block);
        self.opened.retain(|id| self.jobs.contains_key(id));
    }

    /// A job as it stood after `block`.
    pub(crate) fn job_at(&self, id: B256, block: u64) -> Option<&Job> {
        self.jobs.get(&id)?.iter().rev().find(|(at, _)| *at <= block).map(|(_, job)| job)
    }

    /// A job as it stands.
    pub(crate) fn job(&self, id: B256) -> Option<&Job> {
        self.job_at(id, u64::MAX)
    }

    /// What its end said; empty before.
    pub(crate) fn ended(&self, id: B256) -> Ended {
        self.ended.get(&id).map(|(_, ended)| ended.clone()).unwrap_or_default()
    }
}
