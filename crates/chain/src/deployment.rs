//! Deploying the contracts, and `deployment.json`: which world a program belongs to.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use alloy::primitives::{Address, B256, Bytes, U256};
use licen_core::abi::DataPolicy;
use licen_core::fault::{Fault, Party};
use licen_core::sol_types::SolValue;
use licen_core::wire::compute::CustodianUrl;
pub use licen_core::wire::node::Contracts;
use serde::{Deserialize, Serialize};

use crate::artifacts;
use crate::error::ChainError;
use crate::rpc::ChainIdentity;
use crate::rpcs::Rpcs;
use crate::sender::{Call, Journal, SendError, Sender};
use crate::view::Chain;

/// Where the contracts are: one `Custody`, and every `DataPolicy` over it that is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of block 0.
    pub genesis_hash: B256,
    /// An RPC of the chain, without credentials: this file is public.
    pub rpc_url: String,
    /// The contracts.
    pub contracts: Contracts,
    /// Known custodians.
    #[serde(default)]
    pub custodians: Vec<CustodianUrl>,
    /// The block the oldest of the contracts is from.
    pub start_block: u64,
}

/// Why a deployment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// A transaction failed.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The chain cannot be asked, or is another one.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The file cannot be read or written.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// There is nothing to serve.
    #[error("{path}: contracts.dataPolicies is empty, at least one DataPolicy is needed")]
    NoDataPolicy {
        /// The file.
        path: String,
    },
    /// The contracts do not belong together.
    #[error("DataPolicy at {data_policy} works with Custody {found}, not {expected}")]
    CustodyDiffers {
        /// The contract.
        data_policy: Address,
        /// What it says.
        found: Address,
        /// What the file says.
        expected: Address,
    },
    /// The deployment transaction made no contract.
    #[error("the deployment of {name} made no contract")]
    NothingDeployed {
        /// The contract.
        name: &'static str,
    },
}

impl Fault for DeploymentError {
    fn fault(&self) -> Party {
        match self {
            Self::Send(e) => e.fault(),
            Self::Chain(e) => e.fault(),
            Self::File { .. } => Party::Environment,
            Self::NoDataPolicy { .. } | Self::CustodyDiffers { .. } | Self::NothingDeployed { .. } => {
                Party::Operator
            }
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Send(e) => e.retryable(),
            Self::Chain(e) => e.retryable(),
            Self::File { .. }
            | Self::NoDataPolicy { .. }
            | Self::CustodyDiffers { .. }
            | Self::NothingDeployed { .. } => false,
        }
    }
}

/// Deploys `Custody`, then `DataPolicy` over it. `name` tells deployments of one wallet apart:
/// repeated with the same name, also after a crash, it returns the same contracts.
///
/// # Errors
/// [`DeploymentError`].
pub async fn deploy<J: Journal>(
    sender: &Sender<J>,
    name: &str,
    rpc_url: &str,
    fee_recipient: Address,
    fee_bps: u16,
) -> Result<Deployment, DeploymentError> {
    let code = artifacts::custody().bytecode.clone();
    let (custody, start_block) = create(sender, name, "Custody", code).await?;
    let data_policy = create_data_policy(sender, name, custody, fee_recipient, fee_bps).await?;
    let ChainIdentity { chain_id, genesis_hash } = sender.rpcs().identity();
    let deployment = Deployment {
        chain_id,
        genesis_hash,
        rpc_url: rpc_url.to_string(),
        contracts: Contracts { data_policies: vec![data_policy], custody },
        custodians: Vec::new(),
        start_block,
    };
    deployment.verify(sender.rpcs()).await?;
    Ok(deployment)
}

/// Deploys one more `DataPolicy` over the `Custody` of `known` and puts it first, so that new datasets
/// are registered there. Repeated with the same name, also after a crash, it deploys nothing more.
///
/// # Errors
/// [`DeploymentError`].
pub async fn deploy_beside<J: Journal>(
    sender: &Sender<J>,
    name: &str,
    known: &Deployment,
    fee_recipient: Address,
    fee_bps: u16,
) -> Result<Deployment, DeploymentError> {
    known.verify(sender.rpcs()).await?;
    let mut deployment = known.clone();
    let custody = known.contracts.custody;
    let added = create_data_policy(sender, name, custody, fee_recipient, fee_bps).await?;
    deployment.contracts.data_policies.retain(|known| *known != added);
    deployment.contracts.data_policies.insert(0, added);
    deployment.verify(sender.rpcs()).await?;
    Ok(deployment)
}

async fn create_data_policy<J: Journal>(
    sender: &Sender<J>,
    name: &str,
    custody: Address,
    fee_recipient: Address,
    fee_bps: u16,
) -> Result<Address, DeploymentError> {
    let arguments = (custody, Address::ZERO, fee_recipient, U256::from(fee_bps));
    let code = [&artifacts::data_policy().bytecode[..], &arguments.abi_encode_params()].concat();
    Ok(create(sender, name, "DataPolicy", code.into()).await?.0)
}

async fn create<J: Journal>(
    sender: &Sender<J>,
    name: &str,
    contract: &'static str,
    code: Bytes,
) -> Result<(Address, u64), DeploymentError> {
    let idem_key = format!("deploy:{name}:{contract}");
    let call = Call { idem_key, to: None, value: U256::ZERO, data: code };
    let done = sender.send_and_confirm(&call).await?;
    let address = done.mined.contract.ok_or(DeploymentError::NothingDeployed { name: contract })?;
    Ok((address, done.mined.block_number))
}

impl Deployment {
    /// The chain it is on, to pin RPCs to.
    #[must_use]
    pub fn identity(&self) -> ChainIdentity {
        ChainIdentity { chain_id: self.chain_id, genesis_hash: self.genesis_hash }
    }

    /// Makes sure that the chain is the one, that the contracts are those this program was built with,
    /// and belong together.
    ///
    /// # Errors
    /// [`DeploymentError`].
    pub async fn verify(&self, rpcs: &Rpcs) -> Result<(), DeploymentError> {
        let (expected, found) = (self.identity(), rpcs.identity());
        if expected != found {
            let url = rpcs.primary().shown().to_string();
            return Err(ChainError::OtherChain { url, expected, found }.into());
        }
        let head = rpcs.confirmed_head().await?;
        let data_policies = self.contracts.data_policies.iter();
        let contracts = data_policies
            .map(|address| ("DataPolicy", *address, artifacts::data_policy()))
            .chain([("Custody", self.contracts.custody, artifacts::custody())]);
        for (name, address, artifact) in contracts {
            let code = rpcs.code(&head, address).await?;
            if code.is_empty() {
                return Err(ChainError::NoContract { address }.into());
            }
            // A node may name contracts of its own on the right chain, which take escrow and keep it.
            if !artifact.is_deployed_as(&code) {
                return Err(ChainError::OtherContract { address, name }.into());
            }
        }
        let expected = self.contracts.custody;
        for data_policy in self.contracts.data_policies.iter().copied() {
            let found = rpcs.view(&head, data_policy, &DataPolicy::custodyCall {}).await?;
            if found != expected {
                return Err(DeploymentError::CustodyDiffers { data_policy, found, expected });
            }
        }
        Ok(())
    }

    /// Reads `deployment.json`.
    ///
    /// # Errors
    /// [`DeploymentError::File`].
    pub fn read(path: &Path) -> Result<Self, DeploymentError> {
        let bad = |reason: String| DeploymentError::File { path: path.display().to_string(), reason };
        let bytes = fs::read(path).map_err(|e| bad(e.to_string()))?;
        let read: Self = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
        if read.contracts.data_policies.is_empty() {
            return Err(DeploymentError::NoDataPolicy { path: path.display().to_string() });
        }
        Ok(read)
    }

    /// A view of the `DataPolicy` that new datasets are registered at.
    #[must_use]
    pub fn chain(&self, rpcs: Arc<Rpcs>) -> Chain {
        Chain::new(rpcs, self.contracts.newest(), self.contracts.custody)
    }

    /// A view of each `DataPolicy`, in the order of the file.
    #[must_use]
    pub fn chains(&self, rpcs: &Arc<Rpcs>) -> Vec<Chain> {
        let chain = |address: &Address| Chain::new(rpcs.clone(), *address, self.contracts.custody);
        self.contracts.data_policies.iter().map(chain).collect()
    }

    /// Writes `deployment.json`, whole or not at all.
    ///
    /// # Errors
    /// [`DeploymentError::File`].
    pub fn write(&self, path: &Path) -> Result<(), DeploymentError> {
        let bad = |reason: String| DeploymentError::File { path: path.display().to_string(), reason };
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| bad(e.to_string()))?;
        bytes.push(b'\n');
        let temporary = path.with_extension("json.tmp");
        let written = File::create(&temporary)
            .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written.map_err(|e| bad(e.to_string()))
    }
}
