//! Compute `:7201`, reached through the node.

use alloc::string::String;
use alloc::vec::Vec;
use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};

use super::AbiHex;
use crate::abi::{FailureReport, Job, MemberSignature, Policy, Quote, Stop, Verdict};
use crate::price::Price;

/// A custodian as the node knows it: where it listens. Its key is read from `Custody`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustodianUrl {
    /// Signing address.
    pub id: Address,
    /// Base URL.
    pub url: String,
}

/// A member of a set that holds no share, as the node knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifierUrl {
    /// Its index in the set, from 0 as on chain.
    pub index: u8,
    /// Signing address.
    pub id: Address,
    /// Base URL.
    pub url: String,
}

/// The custodian set that a requester named beside the owner's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verifiers {
    /// Members that can be reached.
    pub members: Vec<VerifierUrl>,
    /// Verdicts needed (t of that set).
    pub threshold: u8,
}

/// `PUT /v1/jobs/{jobId}/{attempt}`: begin, or go on with, one attempt. Sent again with the job as
/// Running once `startJob` is confirmed. Nothing in it is believed: every claim is checked against
/// roots, signatures and commitments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dispatch {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The `DataPolicy` contract.
    pub contract: Address,
    /// The policy the job pins.
    pub policy: AbiHex<Policy>,
    /// The job, as granted or as Running.
    pub job: AbiHex<Job>,
    /// Custodians of the pinned set, in ascending member index.
    pub custodian_urls: Vec<CustodianUrl>,
    /// Shares needed (t of the set).
    pub threshold: u8,
    /// Members of the verifierSet, where the job names one that is not the pinned set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifiers: Option<Verifiers>,
    /// Where blobs are read and written.
    pub blob_url: String,
}

/// The provider's task states, 0G Compute's names and numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaskState {
    /// Accepted.
    Init = 0,
    /// Checking the specification, making keys and evidence.
    SettingUp = 1,
    /// Verdicts in hand; waiting for the job to be Running.
    SetUp = 2,
    /// Key combined, training.
    Training = 3,
    /// Trained, sealing the result.
    Trained = 4,
    /// Delivering to custodians.
    Delivering = 5,
    /// Custodians hold the result and the manifest.
    Delivered = 6,
    /// The chain says Completed.
    UserAcknowledged = 7,
    /// Settled and wiped.
    Finished = 8,
    /// Ended without a result.
    Failed = 9,
}

/// What `startJob` needs, once custodians have judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartTicket {
    /// The attested signing address.
    pub signer: Address,
    /// SHA-256 of the runtime data.
    pub runtime_data_hash: B256,
    /// Verdicts, in ascending member index.
    pub verdicts: Vec<AbiHex<Verdict>>,
    /// One signature each.
    pub signatures: Vec<AbiHex<MemberSignature>>,
}

/// A failure report, signed by the attested key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedFailure {
    /// The report.
    pub report: AbiHex<FailureReport>,
    /// 65 bytes.
    pub signature: Bytes,
}

/// `GET /v1/jobs/{jobId}/{attempt}`: progress. Nothing derived from weights but the loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskStatus {
    /// Where the task stands.
    pub task_state: TaskState,
    /// Part done, 0 to 1.
    pub progress: f64,
    /// Epoch being trained, from 1; 0 before.
    pub epoch: u32,
    /// Latest mean training loss: over at least 64 rows or, where an epoch has fewer, over the epoch; in
    /// thousandths, from 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// What `startJob` needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartTicket>,
    /// What `markJobFailed` needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<SignedFailure>,
    /// Why it waits or failed, in one sentence without secrets.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// `POST /v1/jobs/{jobId}/{attempt}/stop`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StopRequest {
    /// The order.
    pub stop: AbiHex<Stop>,
    /// The requester's signature, 65 bytes.
    pub signature: Bytes,
}

/// `GET /v1/info`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ComputeInfo {
    /// Id in `Custody`; zero where it is not registered.
    pub provider_id: B256,
    /// `tdx`, `snp` or `simulated`.
    pub tee_type: String,
    /// Measured training speed with the node's own base model; 0 before the first measurement.
    pub tokens_per_second: f64,
    /// Whether the kernel confines its training; false where its operator said to go without.
    #[serde(default)]
    pub sandboxed: bool,
    /// The platform that its evidence will name, as a provider registers it; zero on hardware, which says
    /// so only in evidence.
    #[serde(default)]
    pub platform_id: B256,
    /// What it asks for, by base model and token; empty where it gives no quotes.
    #[serde(default)]
    pub prices: Vec<Price>,
    /// Whether it also takes jobs that name no provider, without a fee.
    #[serde(default)]
    pub unpaid_jobs: bool,
}

/// `POST /v1/quote`: a price for one job. What the quote says of policy, token and job specification is
/// computed from what is sent here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuoteRequest {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The `DataPolicy` contract.
    pub contract: Address,
    /// Whose price is asked; zero leaves it to the node, which then asks its first provider.
    #[serde(default)]
    pub provider_id: B256,
    /// The id that the job will get.
    pub job_id: B256,
    /// The policy that the job will pin.
    pub policy: AbiHex<Policy>,
    /// What would be trained: the canonical JSON of a `JobSpec`.
    pub job_spec: Bytes,
    /// How many epochs.
    pub epochs: u32,
    /// The license it is asked under; 0 without one.
    #[serde(default)]
    pub license_id: U256,
    /// Where compute reads the owner's documents; the node writes its own address here.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub blob_url: String,
}

/// Answer: the provider's signed price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuoteResponse {
    /// The quote.
    pub quote: AbiHex<Quote>,
    /// The provider signer's signature.
    pub signature: Bytes,
}
