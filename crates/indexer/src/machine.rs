//! The pure part: one event and what is known of its job become changes of rows.
//!
//! Amounts are computed twice: from the job's preimage by `licen_core::money`, and as the contract
//! logged them. They have to agree to the wei. Where they do not, this program and the contract are
//! not about the same thing, and it is better to stop than to show either number.

use std::collections::{BTreeMap, HashMap};

use licen_chain::deployment::Contracts;
use licen_chain::{ChainEvent, EventKind};
use licen_core::abi::DataPolicy::{JobCompleted, JobOpened, PolicySet, ResultRecorded};
use licen_core::abi::{Job, Policy, ResultManifest};
use licen_core::fault::{Fault, Party};
use licen_core::id::{dataset_uid, policy_hash};
use licen_core::job::{JobState, Reason};
use licen_core::money::{self, Settlement};
use licen_core::primitives::{Address, B256, Bytes, U256};
use licen_core::sol_types::SolValue;
use licen_store::{AuditRow, Change, DatasetRow, JobPatch, JobRow, NewWork, PolicyRow};
use serde_json::{Value, json};

use crate::{ledger, registry};

/// Longest text of an event's values, bytes.
const MAX_DETAILS: usize = 8 * 1024;

/// The phase in which new work waits for its driver.
pub const FIRST_PHASE: &str = "unconfirmed";

/// Why an event cannot be what a LICEN contract of this version logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// An event of a job nobody opened.
    #[error("job {0} has an event but was never opened")]
    JobUnknown(B256),
    /// An event that this contract never logs.
    #[error("contract {contract} is not one that logs {event}")]
    Contract {
        /// The event.
        event: &'static str,
        /// The contract.
        contract: Address,
    },
    /// An event of a job at another contract than the one it was opened at.
    #[error("job {job_id} is at contract {contract}, its event at {other}")]
    JobElsewhere {
        /// The job.
        job_id: B256,
        /// Where it was opened.
        contract: Address,
        /// What logged the event.
        other: Address,
    },
    /// An event that cannot come after those before.
    #[error("job {job_id}: {event} does not fit the events before it")]
    Order {
        /// The job.
        job_id: B256,
        /// The event.
        event: &'static str,
    },
    /// A name that is not what it names.
    #[error("{what} {id} is not the hash of what was logged with it")]
    Identity {
        /// What kind of name.
        what: &'static str,
        /// The name.
        id: B256,
    },
    /// The money does not add up.
    #[error("job {job_id}: {what} is {logged}, computed {computed}")]
    Money {
        /// The job.
        job_id: B256,
        /// Which amount.
        what: &'static str,
        /// In the log.
        logged: U256,
        /// From the preimage.
        computed: U256,
    },
    /// A number outside its range.
    #[error("job {job_id}: {what} {value} is out of range")]
    Range {
        /// The job.
        job_id: B256,
        /// Which number.
        what: &'static str,
        /// As logged.
        value: u32,
    },
}

impl Fault for ApplyError {
    fn fault(&self) -> Party {
        match self {
            Self::JobUnknown(_)
            | Self::Contract { .. }
            | Self::JobElsewhere { .. }
            | Self::Order { .. }
            | Self::Identity { .. }
            | Self::Money { .. }
            | Self::Range { .. } => Party::Chain,
        }
    }
    fn retryable(&self) -> bool {
        match self {
            Self::JobUnknown(_)
            | Self::Contract { .. }
            | Self::JobElsewhere { .. }
            | Self::Order { .. }
            | Self::Identity { .. }
            | Self::Money { .. }
            | Self::Range { .. } => false,
        }
    }
}

/// The chain and the contracts whose events are applied.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The contracts.
    pub contracts: &'a Contracts,
}

/// What has to be known of a job to apply its next event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFacts {
    /// The `DataPolicy` that it runs at.
    pub contract: Address,
    /// The preimage; only what granting fixed is looked at.
    pub job: Job,
    /// Where it stands.
    pub state: JobState,
    /// What compute stated, once Completed.
    pub result: Option<ResultManifest>,
    /// Why it failed, once Failed.
    pub reason: Option<Reason>,
}

impl JobFacts {
    /// From a stored row; `None` where the row is not one this program wrote.
    #[must_use]
    pub fn of_row(row: &JobRow) -> Option<Self> {
        let result = row.manifest_abi.as_ref().map(|abi| ResultManifest::abi_decode(abi));
        Some(Self {
            contract: row.contract,
            job: Job::abi_decode(&row.job_abi).ok()?,
            state: JobState::from_chain(row.state)?,
            result: result.transpose().ok()?,
            reason: row.fail_reason.and_then(Reason::from_chain),
        })
    }

    /// Where the money went, computed; `None` while the job is open, and where only the log knows
    /// how many epochs the requester owes the provider; `None` also for a result that settles nothing.
    #[must_use]
    pub fn settlement(&self) -> Option<Settlement> {
        match self.state {
            JobState::Granted | JobState::Running => None,
            JobState::Completed => Settlement::completed(&self.job, self.result.as_ref()?),
            JobState::Failed if self.reason == Some(Reason::JobSpecInvalid) => None,
            JobState::Failed | JobState::Expired | JobState::Cancelled => {
                Some(Settlement::refunded(&self.job))
            }
        }
    }

    /// Where the money went, once the job ended, given what the log says went back.
    #[must_use]
    pub fn settled(&self, refund: U256) -> Option<Settlement> {
        if self.state == JobState::Failed && self.reason == Some(Reason::JobSpecInvalid) {
            return invalid_spec(&self.job, refund);
        }
        self.settlement()
    }
}

/// The settlement of a job that its own specification ended, found from the refund.
fn invalid_spec(job: &Job, refund: U256) -> Option<Settlement> {
    let fee = money::total_escrow(job).checked_sub(refund)?;
    let per_epoch = U256::from(job.computeFeePerEpoch);
    let epochs = if per_epoch.is_zero() { U256::ZERO } else { fee / per_epoch };
    let found = Settlement::invalid_spec(job, epochs.try_into().ok()?)?;
    (found.refund == refund).then_some(found)
}

/// What is known while a batch is made: the rows it touches, as the events before left them.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// By job id.
    pub jobs: HashMap<B256, JobFacts>,
    /// datasetRoot by contract and datasetUid.
    pub roots: HashMap<(Address, B256), B256>,
    /// actualEpochs, resultHash and attestationRef of jobs that are Completed and whose result comes next.
    completed: HashMap<B256, (u32, B256, B256)>,
}

/// What one event changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rows.
    pub changes: Vec<Change>,
    /// A job to look after.
    pub work: Option<NewWork>,
}

/// Applies one event; `view` is brought up to date for the next.
///
/// # Errors
/// The event cannot be right.
pub fn apply(origin: Origin<'_>, at: &ChainEvent, view: &mut View) -> Result<Applied, ApplyError> {
    use EventKind as E;
    let contracts = origin.contracts;
    let known = if registry::of_custody(&at.kind) {
        at.contract == contracts.custody
    } else {
        contracts.data_policies.contains(&at.contract)
    };
    if !known {
        return Err(ApplyError::Contract { event: at.kind.name(), contract: at.contract });
    }
    let changes = match &at.kind {
        E::DatasetRegistered(e) => {
            let details = json!({ "owner": e.owner, "manifestHash": e.manifestHash });
            vec![audit(at, Some(e.datasetRoot), None, &details)]
        }
        E::PolicySet(e) => policy_set(origin.chain_id, at, e, view)?,
        E::PolicyPaused(e) => paused(at, e.datasetUid, true, view),
        E::PolicyResumed(e) => paused(at, e.datasetUid, false, view),
        E::AccessGranted(e) => {
            let details = json!({ "requester": e.requester, "epochs": e.epochs });
            vec![audit(at, Some(e.datasetRoot), Some(e.jobId), &details)]
        }
        E::JobOpened(e) => return job_opened(at, e, view),
        E::JobStarted(e) => {
            let facts = job_facts(view, at, e.jobId)?;
            facts.state = JobState::Running;
            let details = json!({ "attempt": e.attempt, "signer": e.signer,
                "runtimeDataHash": e.runtimeDataHash, "runDeadline": e.runDeadline });
            let patch = JobPatch {
                state: Some(JobState::Running),
                started: Some((e.attempt, e.signer, e.runtimeDataHash, e.runDeadline)),
                ..patch(at, e.jobId)
            };
            job_change(at, facts, patch, &details)
        }
        E::JobCompleted(_)
        | E::ResultRecorded(_)
        | E::RoyaltySettled(_)
        | E::RefundIssued(_)
        | E::JobFailed(_)
        | E::JobExpired(_)
        | E::JobCancelled(_) => ending(at, view)?,
        E::Credited(_) | E::Withdrawn(_) | E::Distributed(_) | E::SplitAnnounced(_) => {
            ledger::moved(at, view)?
        }
        E::NonceRaised(e) => {
            vec![audit(at, None, None, &json!({ "owner": e.owner, "nonce": e.nonce }))]
        }
        E::CustodianSetVersion(_)
        | E::ProviderSet(_)
        | E::AppraisalPolicyCreated(_)
        | E::AppraisalEntryAdded(_)
        | E::AppraisalEntryRevoked(_)
        | E::AppraisalPolicyEnded(_)
        | E::AuditAnchored(_) => registry::registered(at),
    };
    Ok(Applied { changes, work: None })
}

/* DATASETS */

fn policy_set(
    chain_id: u64,
    at: &ChainEvent,
    e: &PolicySet,
    view: &mut View,
) -> Result<Vec<Change>, ApplyError> {
    let policy: &Policy = &e.policy;
    if policy_hash(policy) != e.policyHash {
        return Err(ApplyError::Identity { what: "policy", id: e.policyHash });
    }
    let uid = dataset_uid(chain_id, policy.owner, policy.salt);
    if uid != policy.datasetUid || uid != e.datasetUid {
        return Err(ApplyError::Identity { what: "dataset", id: policy.datasetUid });
    }
    view.roots.insert((at.contract, policy.datasetUid), policy.datasetRoot);
    let policy_row = PolicyRow {
        contract: at.contract,
        policy_hash: e.policyHash,
        dataset_uid: policy.datasetUid,
        version: policy.version,
        policy_abi: Bytes::from(policy.abi_encode()),
        set_at: at.timestamp,
        set_block: at.block_number,
        set_tx: at.tx_hash,
    };
    let dataset = DatasetRow {
        contract: at.contract,
        dataset_uid: policy.datasetUid,
        dataset_root: policy.datasetRoot,
        owner: policy.owner,
        manifest_hash: policy.manifestHash,
        policy_hash: e.policyHash,
        policy_version: policy.version,
        royalty_per_epoch: U256::from(policy.royaltyPerEpoch),
        token: policy.token,
        max_epochs_per_run: policy.maxEpochsPerRun,
        required_level: policy.requiredLevel,
        policy_expiry: policy.policyExpiry,
        paused: false,
        registered_at: at.timestamp,
        registered_block: at.block_number,
        registered_tx: at.tx_hash,
        updated_at: at.timestamp,
    };
    let details = json!({ "datasetUid": policy.datasetUid, "policyHash": e.policyHash,
        "version": policy.version, "royaltyPerEpoch": policy.royaltyPerEpoch.to_string() });
    Ok(vec![
        Change::Policy(Box::new(policy_row)),
        Change::Dataset(Box::new(dataset)),
        ledger::named(at, policy.payee),
        audit(at, Some(policy.datasetRoot), None, &details),
    ])
}

fn paused(at: &ChainEvent, dataset_uid: B256, paused: bool, view: &View) -> Vec<Change> {
    let root = view.roots.get(&(at.contract, dataset_uid)).copied();
    vec![
        Change::Paused { contract: at.contract, dataset_uid, paused, timestamp: at.timestamp },
        audit(at, root, None, &json!({ "datasetUid": dataset_uid })),
    ]
}

/* JOBS */

fn job_facts<'a>(view: &'a mut View, at: &ChainEvent, job_id: B256) -> Result<&'a mut JobFacts, ApplyError> {
    let facts = view.jobs.get_mut(&job_id).ok_or(ApplyError::JobUnknown(job_id))?;
    if facts.contract != at.contract {
        let (contract, other) = (facts.contract, at.contract);
        return Err(ApplyError::JobElsewhere { job_id, contract, other });
    }
    Ok(facts)
}

fn patch(at: &ChainEvent, job_id: B256) -> JobPatch {
    JobPatch { job_id, timestamp: at.timestamp, tx_hash: at.tx_hash, ..JobPatch::default() }
}

fn job_change(at: &ChainEvent, facts: &JobFacts, patch: JobPatch, details: &Value) -> Vec<Change> {
    let line = audit(at, Some(facts.job.datasetRoot), Some(patch.job_id), details);
    vec![Change::JobPatch(Box::new(patch)), line]
}

fn job_opened(at: &ChainEvent, e: &JobOpened, view: &mut View) -> Result<Applied, ApplyError> {
    let job: &Job = &e.job;
    if job.jobId != e.jobId {
        return Err(ApplyError::Identity { what: "job", id: e.jobId });
    }
    // Its id names the contract, so no second contract can have opened it.
    if view.jobs.contains_key(&e.jobId) {
        job_facts(view, at, e.jobId)?;
    }
    let facts = JobFacts {
        contract: at.contract,
        job: job.clone(),
        state: JobState::Granted,
        result: None,
        reason: None,
    };
    view.jobs.insert(e.jobId, facts);
    let work = NewWork { job_id: e.jobId, phase: FIRST_PHASE.into(), data: Bytes::new() };
    let row = Box::new(job_row(at, job));
    Ok(Applied { changes: vec![Change::Job(row)], work: Some(work) })
}

fn job_row(at: &ChainEvent, job: &Job) -> JobRow {
    JobRow {
        job_id: job.jobId,
        contract: at.contract,
        dataset_uid: job.datasetUid,
        dataset_root: job.datasetRoot,
        policy_hash: job.policyHash,
        requester: job.requester,
        owner: job.owner,
        provider_id: job.providerId,
        custodian_set: job.custodianSet,
        state: JobState::Granted as u8,
        attempt: 0,
        requested_epochs: job.epochs,
        unit: job.unit,
        units: job.units,
        royalty_per_unit: U256::from(job.royaltyPerUnit),
        escrow: money::escrow(job),
        compute_fee_per_epoch: U256::from(job.computeFeePerEpoch),
        token: job.token,
        actual_epochs: None,
        result_hash: None,
        attestation_ref: None,
        base_model_root: None,
        adapter_root: None,
        report_hash: None,
        samples: None,
        tokens_seen: None,
        tokens_trained: None,
        compute_seconds: None,
        eval_before: None,
        eval_after: None,
        manifest_abi: None,
        royalty: None,
        refund: None,
        fail_reason: None,
        job_abi: Bytes::from(job.abi_encode()),
        start_deadline: job.startDeadline,
        run_deadline: 0,
        granted_at: at.timestamp,
        started_at: None,
        ended_at: None,
        granted_tx: at.tx_hash,
        started_tx: None,
        ended_tx: None,
        granted_block: at.block_number,
        updated_block: at.block_number,
        updated_at: at.timestamp,
    }
}

fn ending(at: &ChainEvent, view: &mut View) -> Result<Vec<Change>, ApplyError> {
    use EventKind as E;
    Ok(match &at.kind {
        E::JobCompleted(e) => completed(at, e, view)?,
        E::ResultRecorded(e) => recorded(at, e, view)?,
        E::RoyaltySettled(e) => {
            let facts = job_facts(view, at, e.jobId)?;
            let order = ApplyError::Order { job_id: e.jobId, event: "RoyaltySettled" };
            let computed = facts.settlement().ok_or(order)?.royalty;
            agree(e.jobId, "royalty", e.amount, computed)?;
            let patch = JobPatch { royalty: Some(e.amount), ..patch(at, e.jobId) };
            job_change(at, facts, patch, &json!({ "amount": e.amount.to_string() }))
        }
        E::RefundIssued(e) => {
            let facts = job_facts(view, at, e.jobId)?;
            let computed = facts.settled(e.amount).map_or(U256::ZERO, |s| s.refund);
            agree(e.jobId, "refund", e.amount, computed)?;
            let patch = JobPatch { refund: Some(e.amount), ..patch(at, e.jobId) };
            job_change(at, facts, patch, &json!({ "amount": e.amount.to_string() }))
        }
        E::JobFailed(e) => {
            let facts = job_facts(view, at, e.jobId)?;
            let Some(reason) = Reason::from_chain(e.reasonCode) else {
                let value = u32::from(e.reasonCode);
                return Err(ApplyError::Range { job_id: e.jobId, what: "reasonCode", value });
            };
            facts.state = JobState::Failed;
            facts.reason = Some(reason);
            let patch = JobPatch {
                state: Some(JobState::Failed),
                fail_reason: Some(e.reasonCode),
                ..patch(at, e.jobId)
            };
            job_change(at, facts, patch, &json!({ "reason": reason.name() }))
        }
        E::JobExpired(e) => ended(at, e.jobId, JobState::Expired, view)?,
        E::JobCancelled(e) => ended(at, e.jobId, JobState::Cancelled, view)?,
        E::DatasetRegistered(_)
        | E::PolicySet(_)
        | E::PolicyPaused(_)
        | E::PolicyResumed(_)
        | E::AccessGranted(_)
        | E::JobOpened(_)
        | E::JobStarted(_)
        | E::Credited(_)
        | E::Withdrawn(_)
        | E::Distributed(_)
        | E::SplitAnnounced(_)
        | E::NonceRaised(_)
        | E::CustodianSetVersion(_)
        | E::ProviderSet(_)
        | E::AppraisalPolicyCreated(_)
        | E::AppraisalEntryAdded(_)
        | E::AppraisalEntryRevoked(_)
        | E::AppraisalPolicyEnded(_)
        | E::AuditAnchored(_) => vec![],
    })
}

fn completed(at: &ChainEvent, e: &JobCompleted, view: &mut View) -> Result<Vec<Change>, ApplyError> {
    let facts = job_facts(view, at, e.jobId)?;
    facts.state = JobState::Completed;
    // A result that is known already is one of a block that this step takes back.
    facts.result = None;
    let details = json!({ "actualEpochs": e.actualEpochs, "resultHash": e.resultHash,
        "attestationRef": e.attestationRef });
    let patch = JobPatch { state: Some(JobState::Completed), ..patch(at, e.jobId) };
    let changes = job_change(at, facts, patch, &details);
    view.completed.insert(e.jobId, (e.actualEpochs, e.resultHash, e.attestationRef));
    Ok(changes)
}

/// The whole result behind the `JobCompleted` that the same transaction logged just before.
fn recorded(at: &ChainEvent, e: &ResultRecorded, view: &mut View) -> Result<Vec<Change>, ApplyError> {
    let (job_id, m) = (e.jobId, &e.manifest);
    let said = view.completed.remove(&job_id);
    let facts = job_facts(view, at, job_id)?;
    if said.is_none() {
        return Err(ApplyError::Order { job_id, event: "ResultRecorded" });
    }
    if (m.jobId, m.datasetRoot) != (job_id, facts.job.datasetRoot)
        || said != Some((m.actualEpochs, m.resultHash, m.attestationRef))
    {
        return Err(ApplyError::Identity { what: "result of job", id: job_id });
    }
    facts.result = Some(m.clone());
    if facts.settlement().is_none() {
        return Err(ApplyError::Range { job_id, what: "actualEpochs", value: m.actualEpochs });
    }
    let details = json!({ "attempt": m.attempt, "samples": m.samples, "tokensSeen": m.tokensSeen,
        "tokensTrained": m.tokensTrained, "computeSeconds": m.computeSeconds, "evalBefore": m.evalBefore,
        "evalAfter": m.evalAfter, "baseModelRoot": m.baseModelRoot, "adapterRoot": m.adapterRoot,
        "reportHash": m.reportHash });
    let patch = JobPatch { result: Some(m.clone()), ..patch(at, job_id) };
    Ok(job_change(at, facts, patch, &details))
}

fn ended(at: &ChainEvent, job_id: B256, state: JobState, view: &mut View) -> Result<Vec<Change>, ApplyError> {
    let facts = job_facts(view, at, job_id)?;
    facts.state = state;
    let patch = JobPatch { state: Some(state), ..patch(at, job_id) };
    Ok(job_change(at, facts, patch, &json!({})))
}

fn agree(job_id: B256, what: &'static str, logged: U256, computed: U256) -> Result<(), ApplyError> {
    if logged == computed {
        return Ok(());
    }
    Err(ApplyError::Money { job_id, what, logged, computed })
}

/* THE REST */

/// Unique, and sorts in chain order as text.
pub(crate) fn log_id(at: &ChainEvent) -> String {
    format!("{:012}-{:06}", at.block_number, at.log_index)
}

pub(crate) fn audit(at: &ChainEvent, root: Option<B256>, job_id: Option<B256>, details: &Value) -> Change {
    Change::Audit(Box::new(AuditRow {
        id: log_id(at),
        contract: at.contract,
        dataset_root: root,
        job_id,
        event_type: at.kind.name().into(),
        timestamp: at.timestamp,
        tx_hash: at.tx_hash,
        block_number: at.block_number,
        log_index: at.log_index,
        details: sorted(details),
    }))
}

/// The object with its keys in order, so that two indexers of one chain hold the same bytes. Whoever
/// pays for gas can emit an event of any size: a long one is named, and read from its transaction.
fn sorted(details: &Value) -> String {
    let fields: Option<BTreeMap<_, _>> = details.as_object().map(|fields| fields.iter().collect());
    let text = serde_json::to_string(&fields).expect("a map of JSON values is serializable");
    if text.len() > MAX_DETAILS { format!("{{\"omittedBytes\":{}}}", text.len()) } else { text }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
