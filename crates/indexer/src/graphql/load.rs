//! Rows that many rows point to, fetched once for a whole answer.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use licen_core::primitives::{Address, B256};
use licen_store::{DatasetRow, Op, PolicyRow, Select, Store, Where};

use super::filter::MAX_LIMIT;

/// Loads datasets and policies by their names.
pub(crate) struct Loaders(pub(crate) Store);

/// A dataset by contract and datasetUid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DatasetKey(pub(crate) Address, pub(crate) B256);

/// A policy by contract and policy hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PolicyKey(pub(crate) Address, pub(crate) B256);

/// Questions for rows by contract and name, none of which can have more answers than a page holds.
fn pages(column: &str, keys: impl Iterator<Item = (Address, B256)>) -> Vec<Select> {
    let mut names: HashMap<Address, Vec<B256>> = HashMap::new();
    for (contract, name) in keys {
        names.entry(contract).or_default().push(name);
    }
    let page = |contract: Address, names: &[B256]| {
        let name = Where::Is(column.into(), Op::In(names.iter().map(|name| (*name).into()).collect()));
        let contract = Where::Is("contract".into(), Op::Eq(contract.into()));
        Select { filter: Where::And(vec![contract, name]), limit: MAX_LIMIT, ..Select::default() }
    };
    let all = names.iter().flat_map(|(contract, names)| {
        names.chunks(MAX_LIMIT as usize).map(move |part| page(*contract, part))
    });
    all.collect()
}

impl Loader<DatasetKey> for Loaders {
    type Value = DatasetRow;
    type Error = String;

    async fn load(&self, keys: &[DatasetKey]) -> Result<HashMap<DatasetKey, DatasetRow>, String> {
        let mut found = HashMap::new();
        for select in pages("dataset_uid", keys.iter().map(|key| (key.0, key.1))) {
            let rows = self.0.datasets(&select).await.map_err(|e| e.to_string())?;
            found.extend(rows.into_iter().map(|row| (DatasetKey(row.contract, row.dataset_uid), row)));
        }
        Ok(found)
    }
}

impl Loader<PolicyKey> for Loaders {
    type Value = PolicyRow;
    type Error = String;

    async fn load(&self, keys: &[PolicyKey]) -> Result<HashMap<PolicyKey, PolicyRow>, String> {
        let mut found = HashMap::new();
        for select in pages("policy_hash", keys.iter().map(|key| (key.0, key.1))) {
            let rows = self.0.policies(&select).await.map_err(|e| e.to_string())?;
            found.extend(rows.into_iter().map(|row| (PolicyKey(row.contract, row.policy_hash), row)));
        }
        Ok(found)
    }
}
