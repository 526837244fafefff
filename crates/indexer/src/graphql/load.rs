//! Rows that many rows point to, fetched once for a whole answer.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use licen_core::primitives::B256;
use licen_store::{DatasetRow, Op, PolicyRow, Select, Store, Where};

use super::filter::MAX_LIMIT;

/// Loads datasets and policies by their names.
pub(crate) struct Loaders(pub(crate) Store);

/// A dataset by datasetUid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DatasetKey(pub(crate) B256);

/// A policy by policy hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PolicyKey(pub(crate) B256);

fn all(column: &str, names: impl Iterator<Item = B256>) -> Select {
    let filter = Where::Is(column.into(), Op::In(names.map(Into::into).collect()));
    Select { filter, limit: MAX_LIMIT, ..Select::default() }
}

impl Loader<DatasetKey> for Loaders {
    type Value = DatasetRow;
    type Error = String;

    async fn load(&self, keys: &[DatasetKey]) -> Result<HashMap<DatasetKey, DatasetRow>, String> {
        let mut found = HashMap::new();
        for part in keys.chunks(MAX_LIMIT as usize) {
            let select = all("dataset_uid", part.iter().map(|k| k.0));
            let rows = self.0.datasets(&select).await.map_err(|e| e.to_string())?;
            found.extend(rows.into_iter().map(|row| (DatasetKey(row.dataset_uid), row)));
        }
        Ok(found)
    }
}

impl Loader<PolicyKey> for Loaders {
    type Value = PolicyRow;
    type Error = String;

    async fn load(&self, keys: &[PolicyKey]) -> Result<HashMap<PolicyKey, PolicyRow>, String> {
        let mut found = HashMap::new();
        for part in keys.chunks(MAX_LIMIT as usize) {
            let select = all("policy_hash", part.iter().map(|k| k.0));
            let rows = self.0.policies(&select).await.map_err(|e| e.to_string())?;
            found.extend(rows.into_iter().map(|row| (PolicyKey(row.policy_hash), row)));
        }
        Ok(found)
    }
}
