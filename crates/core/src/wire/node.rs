//! Node `:8080`: what everybody reads first.

use alloc::string::String;
use alloc::vec::Vec;
use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

use super::AbiHex;
use super::compute::CustodianUrl;
use crate::abi::{AccessRequest, Approval};

/// Addresses of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Contracts {
    /// Every `DataPolicy` over this `Custody`; new datasets are registered at the first.
    pub data_policies: Vec<Address>,
    /// `Custody`.
    pub custody: Address,
}

impl Contracts {
    /// The `DataPolicy` that new datasets are registered at; the zero address where there is none.
    #[must_use]
    pub fn newest(&self) -> Address {
        self.data_policies.first().copied().unwrap_or_default()
    }
}

/// `GET /v1/deployment`: which world this node serves. Clients pin chain id and genesis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentInfo {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of block 0.
    pub genesis_hash: B256,
    /// An RPC of that chain.
    pub rpc_url: String,
    /// The contracts.
    pub contracts: Contracts,
    /// Known custodians.
    pub custodians: Vec<CustodianUrl>,
}

/// One entry of `GET /v1/models`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelInfo {
    /// Name for `licen request --base`.
    pub name: String,
    /// Root of its deterministic tar.
    pub base_model_root: B256,
    /// Size of that tar.
    pub bytes: u64,
    /// Measured training speed on this node; 0 before the first measurement.
    pub tokens_per_second: f64,
    /// keccak256 of tokenizer.json, by which datasets publish token counts.
    pub tokenizer_hash: B256,
}

/// `POST /v1/access`: a researcher asks to be admitted. Public; shown again as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedAccessRequest {
    /// The `DataPolicy` contract, which the signature names as well.
    pub contract: Address,
    /// What is asked.
    pub request: AbiHex<AccessRequest>,
    /// The requester's signature (EIP-712 or EIP-1271).
    pub signature: Bytes,
}

/// `POST /v1/approvals`: the owner admits one requester. Public; shown again as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedApproval {
    /// The `DataPolicy` contract, which the signature names as well.
    pub contract: Address,
    /// Who may request, and until when.
    pub approval: AbiHex<Approval>,
    /// The owner's signature (EIP-712 or EIP-1271).
    pub signature: Bytes,
}

/// `GET /v1/access/{contract}/{datasetUid}`: who asked and who was approved under the current list. A
/// reader verifies every signature for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessList {
    /// One for each requester who asked.
    pub requests: Vec<SignedAccessRequest>,
    /// One for each requester who was approved.
    pub approvals: Vec<SignedApproval>,
}
