//! `Job`.

use async_graphql::dataloader::DataLoader;
use async_graphql::{ComplexObject, Context, Error, SimpleObject};
use licen_core::job::{JobState, Reason};
use licen_core::money;
use licen_core::primitives::{B256, Bytes, U256};
use licen_core::unit::Unit;
use licen_store::JobRow;

use super::dataset::Dataset;
use super::filter::{IntExp, TextExp, inputs};
use super::load::{DatasetKey, Loaders, PolicyKey};
use super::{LONG, PREIMAGE, internal, state};
use crate::machine::JobFacts;

inputs! {
    JobFilter as "Job_bool_exp", JobOrder as "Job_order_by",
    id: TextExp => "job_id", Hash;
    contract: TextExp => "contract", Account;
    dataset_uid: TextExp => "dataset_uid", Hash;
    dataset_root: TextExp => "dataset_root", Hash;
    policy_hash: TextExp => "policy_hash", Hash;
    requester: TextExp => "requester", Account;
    owner: TextExp => "owner", Account;
    provider_id: TextExp => "provider_id", Hash;
    custodian_set: TextExp => "custodian_set", Hash;
    state: TextExp => "state", State;
    fail_reason: TextExp => "fail_reason", FailReason;
    attempt: IntExp => "attempt", Text;
    requested_epochs: IntExp => "requested_epochs", Text;
    actual_epochs: IntExp => "actual_epochs", Text;
    result_hash: TextExp => "result_hash", Hash;
    attestation_ref: TextExp => "attestation_ref", Hash;
    base_model_root: TextExp => "base_model_root", Hash;
    adapter_root: TextExp => "adapter_root", Hash;
    report_hash: TextExp => "report_hash", Hash;
    samples: IntExp => "samples", Text;
    tokens_seen: IntExp => "tokens_seen", Text;
    tokens_trained: IntExp => "tokens_trained", Text;
    compute_seconds: IntExp => "compute_seconds", Text;
    eval_before: IntExp => "eval_before", Text;
    eval_after: IntExp => "eval_after", Text;
    unit: TextExp => "unit", Unit;
    units: IntExp => "units", Text;
    royalty_per_unit: TextExp => "royalty_per_unit", Amount;
    escrow: TextExp => "escrow", Amount;
    royalty_settled: TextExp => "royalty", Amount;
    refund_issued: TextExp => "refund", Amount;
    token: TextExp => "token", Account;
    start_deadline: IntExp => "start_deadline", Text;
    run_deadline: IntExp => "run_deadline", Text;
    timestamp: IntExp => "granted_at", Text;
    last_updated_timestamp: IntExp => "updated_at", Text;
    block_number: IntExp => "granted_block", Text;
    tx_hash: TextExp => "granted_tx", Hash;
}

/// A training job. Amounts are base units of `token`, decimal; what is not settled yet is null.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub(crate) struct Job {
    /// The jobId.
    pub(crate) id: String,
    /// The `DataPolicy` that it runs at; the jobId names it.
    contract: String,
    /// The dataset.
    dataset_uid: String,
    /// 0G file root of its ciphertext.
    dataset_root: String,
    /// The policy the job runs under to its end.
    policy_hash: String,
    /// Who pays and gets the result.
    requester: String,
    /// The dataset's owner when it was granted.
    owner: String,
    /// The provider named in advance; zero for any.
    provider_id: String,
    /// Most epochs to train.
    requested_epochs: u32,
    /// What the royalty is counted in: epoch, sample, kilotoken or computeSecond.
    unit: String,
    /// Units paid for.
    units: u64,
    /// Epochs trained.
    actual_epochs: Option<u32>,
    /// Granted, Running, Completed, Failed, Expired or Cancelled.
    state: String,
    /// Why it failed.
    fail_reason: Option<String>,
    /// Chain time of the grant, seconds.
    timestamp: u64,
    /// Transaction of the grant.
    tx_hash: String,
    /// Block of the grant.
    block_number: u64,
    /// Chain time of the last change, seconds.
    last_updated_timestamp: u64,
    /// Chain time of the last start, seconds.
    started_at: Option<u64>,
    /// Transaction of the last start.
    started_tx: Option<String>,
    /// Chain time of the end, seconds.
    ended_at: Option<u64>,
    /// Transaction of the end.
    ended_tx: Option<String>,
    /// 0G file root of the encrypted result.
    result_hash: Option<String>,
    /// 0G file root of the evidence bundle.
    attestation_ref: Option<String>,
    /// 0G file root of the base model that was trained.
    base_model_root: Option<String>,
    /// 0G file root of the plaintext result: the name of the model that came of it.
    adapter_root: Option<String>,
    /// 0G file root of the report about the training.
    report_hash: Option<String>,
    /// Training rows visited.
    samples: Option<u64>,
    /// Tokens read.
    tokens_seen: Option<u64>,
    /// Tokens that a loss was computed for.
    tokens_trained: Option<u64>,
    /// CPU seconds of the trainer, a begun one counted whole.
    compute_seconds: Option<u64>,
    /// Loss before training x 1,000,000.
    eval_before: Option<u64>,
    /// Loss after training x 1,000,000.
    eval_after: Option<u64>,
    /// Price of one unit.
    royalty_per_unit: String,
    /// The provider's price of one epoch.
    compute_fee_per_epoch: String,
    /// royaltyPerUnit x units.
    escrow: String,
    /// computeFeePerEpoch x requestedEpochs.
    compute_escrow: String,
    /// Gross royalty: the protocol fee is part of it.
    royalty_settled: Option<String>,
    /// Everything that went back to the requester, unused compute fees included.
    refund_issued: Option<String>,
    /// escrow - royaltySettled: the part of the refund that was escrowed for the owner.
    royalty_refund: Option<String>,
    /// What the provider earned.
    compute_fee: Option<String>,
    /// The protocol's part of the royalty.
    protocol_fee: Option<String>,
    /// What it is paid in; the zero address is the native coin.
    token: String,
    /// Last moment to start, chain seconds.
    start_deadline: u64,
    /// Last moment to finish, chain seconds; 0 while Granted.
    run_deadline: u64,
    /// 0 while Granted, then counts from 1.
    attempt: u32,
    /// The attested key that signs for this attempt.
    signer: Option<String>,
    /// SHA-256 of what compute was appraised with.
    runtime_data_hash: Option<String>,
    /// 0G file root of the JobSpec.
    job_spec_hash: String,
    /// The declared purpose.
    purpose_id: String,
    /// X25519 key the result is sealed to.
    result_key: String,
    /// Whose verdicts start it.
    custodian_set: String,
    /// Version of that set.
    set_version: u32,
    /// 1 SOFTWARE (simulated attestation, local chain only), 2 HARDWARE.
    required_level: u8,
    #[graphql(skip)]
    job_abi: Bytes,
    #[graphql(skip)]
    manifest_abi: Option<Bytes>,
    #[graphql(skip)]
    dataset: DatasetKey,
    #[graphql(skip)]
    policy: PolicyKey,
}

impl Job {
    /// Numbers of job and result come out of the preimages, because a column holds them up to 2^63.
    pub(crate) fn of(row: &JobRow) -> Result<Self, Error> {
        let damaged = || Error::new(format!("the row of job {} is damaged", row.job_id));
        let facts = JobFacts::of_row(row).ok_or_else(damaged)?;
        let job = &facts.job;
        let settled = facts.settled(row.refund.unwrap_or_default());
        let amount = |pick: fn(&money::Settlement) -> U256| settled.as_ref().map(|s| pick(s).to_string());
        let started = facts.job.attempt > 0;
        let text = |hash: Option<B256>| hash.map(|h| h.to_string());
        let result = facts.result.as_ref();
        Ok(Self {
            id: row.job_id.to_string(),
            contract: row.contract.to_string(),
            dataset_uid: row.dataset_uid.to_string(),
            dataset_root: row.dataset_root.to_string(),
            policy_hash: row.policy_hash.to_string(),
            requester: row.requester.to_string(),
            owner: row.owner.to_string(),
            provider_id: row.provider_id.to_string(),
            requested_epochs: row.requested_epochs,
            unit: Unit::from_chain(job.unit).ok_or_else(damaged)?.name().to_string(),
            units: job.units,
            actual_epochs: row.actual_epochs,
            state: state_name(facts.state),
            fail_reason: facts.reason.map(|r: Reason| r.name().to_string()),
            timestamp: row.granted_at,
            tx_hash: row.granted_tx.to_string(),
            block_number: row.granted_block,
            last_updated_timestamp: row.updated_at,
            started_at: row.started_at,
            started_tx: text(row.started_tx),
            ended_at: row.ended_at,
            ended_tx: text(row.ended_tx),
            result_hash: text(row.result_hash),
            attestation_ref: text(row.attestation_ref),
            base_model_root: text(row.base_model_root),
            adapter_root: text(row.adapter_root),
            report_hash: text(row.report_hash),
            samples: result.map(|r| r.samples),
            tokens_seen: result.map(|r| r.tokensSeen),
            tokens_trained: result.map(|r| r.tokensTrained),
            compute_seconds: result.map(|r| r.computeSeconds),
            eval_before: result.map(|r| r.evalBefore),
            eval_after: result.map(|r| r.evalAfter),
            royalty_per_unit: row.royalty_per_unit.to_string(),
            compute_fee_per_epoch: row.compute_fee_per_epoch.to_string(),
            escrow: row.escrow.to_string(),
            compute_escrow: money::compute_escrow(job).to_string(),
            royalty_settled: amount(|s| s.royalty),
            refund_issued: amount(|s| s.refund),
            royalty_refund: settled.as_ref().map(|s| s.royalty_refund(job).to_string()),
            compute_fee: amount(|s| s.compute_fee),
            protocol_fee: amount(|s| s.protocol_fee),
            token: row.token.to_string(),
            start_deadline: row.start_deadline,
            run_deadline: row.run_deadline,
            attempt: row.attempt,
            signer: started.then(|| job.signer.to_string()),
            runtime_data_hash: started.then(|| job.runtimeDataHash.to_string()),
            job_spec_hash: job.jobSpecHash.to_string(),
            purpose_id: job.purposeId.to_string(),
            result_key: job.resultKey.to_string(),
            custodian_set: job.custodianSet.to_string(),
            set_version: job.setVersion,
            required_level: job.requiredLevel,
            job_abi: row.job_abi.clone(),
            manifest_abi: row.manifest_abi.clone(),
            dataset: DatasetKey(row.contract, row.dataset_uid),
            policy: PolicyKey(row.contract, row.policy_hash),
        })
    }
}

fn state_name(state: JobState) -> String {
    state.name().to_string()
}

#[ComplexObject]
impl Job {
    /// abi.encode(Job) as the contract commits to it now, hex.
    #[graphql(complexity = "PREIMAGE")]
    async fn job_abi(&self) -> String {
        self.job_abi.to_string()
    }

    /// abi.encode(ResultManifest), hex: with jobAbi what isResult takes.
    #[graphql(complexity = "PREIMAGE / 2")]
    async fn manifest_abi(&self) -> Option<String> {
        self.manifest_abi.as_ref().map(ToString::to_string)
    }

    /// The dataset, with its present policy.
    async fn dataset(&self, ctx: &Context<'_>) -> Result<Option<Dataset>, Error> {
        let loader = ctx.data::<DataLoader<Loaders>>()?;
        let row = loader.load_one(self.dataset).await.map_err(internal)?;
        let time = state(ctx)?.freshness.get().timestamp;
        Ok(row.map(|row| Dataset::of(&row, time)))
    }

    /// abi.encode(Policy) of the policy the job runs under, hex.
    #[graphql(complexity = "LONG")]
    async fn policy_abi(&self, ctx: &Context<'_>) -> Result<Option<String>, Error> {
        let loader = ctx.data::<DataLoader<Loaders>>()?;
        let row = loader.load_one(self.policy).await.map_err(internal)?;
        Ok(row.map(|row| row.policy_abi.to_string()))
    }
}
