//! Node `:8080`: what everybody reads first.

use alloc::string::String;
use alloc::vec::Vec;
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::compute::CustodianUrl;

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
