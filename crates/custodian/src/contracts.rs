//! The `DataPolicy` contracts that a custodian serves. It believes a contract only what its own
//! configuration says of it: the address, the code, and the `Custody` that the contract works with.
//! Whoever deploys another contract, and whatever that one says, gets nothing here.

use std::collections::BTreeSet;
use std::sync::Arc;

use licen_chain::deployment::Contracts;
use licen_chain::{Chain, ChainError, Deployment, DeploymentError, RpcOptions, Rpcs};
use licen_core::abi::DataPolicy;
use licen_core::primitives::{Address, B256, keccak256};
use licen_peers::{Http, Timeouts};
use licen_store::Identity as StoreIdentity;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::Error;

/// A contract of the deployment that the custodian serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServedContract {
    /// Its address, one of those in deployment.json.
    pub address: Address,
    /// keccak256 of its code as it lies on the chain. Without it the code has to be the one this program
    /// was built with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_hash: Option<B256>,
}

/// A contract that the custodian served once. Its policies and jobs may still need a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FormerContract {
    /// `DataPolicy`.
    pub data_policy: Address,
    /// The `Custody` that it works with.
    pub custody: Address,
    /// The block that the older of the two is from.
    pub start_block: u64,
}

/// The contracts that are served, through the same endpoints. There is at least one.
#[derive(Debug)]
pub(crate) struct Chains {
    chains: Vec<Chain>,
}

impl Chains {
    /// The view of one contract.
    ///
    /// # Errors
    /// [`ChainError::NoContract`]: it is not served.
    pub(crate) fn of(&self, contract: Address) -> Result<&Chain, ChainError> {
        let found = self.chains.iter().find(|chain| chain.data_policy() == contract);
        found.ok_or(ChainError::NoContract { address: contract })
    }

    /// Each of them.
    pub(crate) fn all(&self) -> &[Chain] {
        &self.chains
    }

    /// Their addresses.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.chains.iter().map(Chain::data_policy).collect()
    }
}

/// A connection to the chain of deployment.json, to which nothing but the chain's identity is known yet.
pub(crate) struct Connection {
    pub(crate) deployment: Deployment,
    pub(crate) rpcs: Arc<Rpcs>,
}

impl Connection {
    /// Connects to the chain that deployment.json names.
    pub(crate) async fn open(config: &Config) -> Result<Self, Error> {
        let deployment = Deployment::read(&config.deployment)?;
        let options = RpcOptions {
            urls: config.rpc_urls.clone(),
            expected: Some(deployment.identity()),
            confirmations: config.confirmations,
            ..RpcOptions::default()
        };
        let within = options.deadline;
        let http = Http::new(Timeouts { connect: within, ..Timeouts::within(within) })?;
        Ok(Self { deployment, rpcs: Arc::new(Rpcs::connect(|url| http.to(url), &options).await?) })
    }

    /// What a store of this chain is pinned to.
    pub(crate) fn store_identity(&self) -> StoreIdentity {
        let identity = self.rpcs.identity();
        StoreIdentity { chain_id: identity.chain_id, genesis_hash: identity.genesis_hash }
    }

    /// The contracts that are served, once each is what the configuration says.
    pub(crate) async fn served(&self, config: &Config) -> Result<Chains, Error> {
        let served = served(config, &self.deployment).map_err(Error::Config)?;
        let compiled = served.iter().filter(|s| s.code_hash.is_none()).map(|s| s.address).collect();
        let custody = self.deployment.contracts.custody;
        let contracts = Contracts { data_policies: compiled, custody };
        Deployment { contracts, ..self.deployment.clone() }.verify(&self.rpcs).await?;
        for contract in &served {
            self.must_have_code(contract).await?;
            self.must_work_with(contract.address, custody).await?;
        }
        let chain = |s: &ServedContract| Chain::new(self.rpcs.clone(), s.address, custody);
        Ok(Chains { chains: served.iter().map(chain).collect() })
    }

    async fn must_have_code(&self, contract: &ServedContract) -> Result<(), Error> {
        let Some(pinned) = contract.code_hash else { return Ok(()) };
        let address = contract.address;
        let code = self.rpcs.code(&self.rpcs.confirmed_head().await?, address).await?;
        match keccak256(&code) == pinned {
            true => Ok(()),
            false => Err(ChainError::OtherContract { address, name: "DataPolicy" }.into()),
        }
    }

    /// Refuses a `DataPolicy` that works with another `Custody`: its sets would be somebody else's.
    pub(crate) async fn must_work_with(&self, data_policy: Address, custody: Address) -> Result<(), Error> {
        let head = self.rpcs.confirmed_head().await?;
        if self.rpcs.code(&head, data_policy).await?.is_empty() {
            return Err(ChainError::NoContract { address: data_policy }.into());
        }
        let found = self.rpcs.view(&head, data_policy, &DataPolicy::custodyCall {}).await?;
        match found == custody {
            true => Ok(()),
            false => Err(DeploymentError::CustodyDiffers { data_policy, found, expected: custody }.into()),
        }
    }
}

/// Those that the configuration picks; all of the deployment's where it picks none.
fn served(config: &Config, deployment: &Deployment) -> Result<Vec<ServedContract>, String> {
    let known = &deployment.contracts.data_policies;
    let all = known.iter().map(|address| ServedContract { address: *address, code_hash: None });
    let served = if config.contracts.is_empty() { all.collect() } else { config.contracts.clone() };
    if let Some(stranger) = served.iter().find(|contract| !known.contains(&contract.address)) {
        return Err(format!("contracts names {}, which deployment.json does not", stranger.address));
    }
    let distinct: BTreeSet<Address> = served.iter().map(|contract| contract.address).collect();
    if distinct.len() != served.len() {
        return Err("contracts, or deployment.json, names one contract twice".into());
    }
    if served.is_empty() {
        return Err("deployment.json names no DataPolicy contract".into());
    }
    Ok(served)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(data_policies: &[Address]) -> Deployment {
        let value = serde_json::json!({
            "chainId": 31337, "genesisHash": B256::ZERO, "rpcUrl": "http://127.0.0.1:1",
            "contracts": {"dataPolicies": data_policies, "custody": Address::repeat_byte(9)},
            "startBlock": 0,
        });
        serde_json::from_value(value).unwrap()
    }

    fn config(contracts: &[Address]) -> Config {
        let contracts: Vec<_> =
            contracts.iter().map(|address| serde_json::json!({ "address": address })).collect();
        let value = serde_json::json!({
            "stateDir": "s", "signingKeyFile": "a", "recipientKeyFile": "b", "deployment": "d",
            "rpcUrls": ["http://127.0.0.1:1"], "referenceValues": ["r"], "contracts": contracts,
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_custodian_serves_what_its_configuration_names_and_nothing_else() {
        let (a, b) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let names = |config: &Config, deployment: &Deployment| {
            served(config, deployment).map(|all| all.iter().map(|s| s.address).collect::<Vec<_>>())
        };
        let both = deployment(&[a, b]);
        assert_eq!(names(&config(&[]), &both), Ok(vec![a, b]), "all of the deployment's");
        assert_eq!(names(&config(&[b]), &both), Ok(vec![b]));
        for (config, deployment, why) in [
            (config(&[b]), deployment(&[a]), "deployment.json does not"),
            (config(&[a, a]), both, "twice"),
            (config(&[]), deployment(&[a, a]), "twice"),
            (config(&[]), deployment(&[]), "no DataPolicy"),
        ] {
            let refused = names(&config, &deployment).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
