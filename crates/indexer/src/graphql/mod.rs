//! The index as GraphQL, with Hasura's names: `Dataset(where: {owner: {_eq: ..}}, order_by: ..)`.

mod audit;
mod dataset;
mod filter;
mod job;
mod load;
mod payment;
mod provider;
mod split;

use std::str::FromStr;

use async_graphql::dataloader::DataLoader;
use async_graphql::{Context, EmptyMutation, EmptySubscription, Error, Object, SimpleObject};
use licen_core::primitives::{Address, B256};
use licen_store::{Select, Store};

use self::audit::{AuditFilter, AuditLog, AuditOrder};
use self::dataset::{Dataset, DatasetFilter, DatasetOrder};
use self::filter::select;
use self::job::{Job, JobFilter, JobOrder};
use self::load::Loaders;
use self::payment::{Payment, PaymentFilter, PaymentOrder};
use self::provider::{Provider, ProviderFilter, ProviderOrder};
use self::split::{Split, SplitFilter, SplitOrder};
use crate::status::Freshness;

/// Deepest nesting; the standard introspection query has 14.
const MAX_DEPTH: usize = 15;
/// Fields of one answer, each list counted at its limit.
const MAX_COMPLEXITY: usize = 100_000;

/// What a field of some kilobytes counts: as much as a few dozen short ones.
pub(crate) const LONG: usize = 30;

/// What a field of two kilobytes counts.
pub(crate) const PREIMAGE: usize = 12;

/// What a list counts: every entry at its limit. The library adds without looking, so the most is far
/// below what a sum of many overflows at.
pub(crate) fn list(limit: Option<u32>, entry: usize) -> usize {
    (limit.unwrap_or(100) as usize).saturating_mul(entry).min(1 << 40)
}

/// The schema, executable.
pub type Schema = async_graphql::Schema<Query, EmptyMutation, EmptySubscription>;

/// What every resolver needs.
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) freshness: Freshness,
}

pub(crate) fn state<'a>(ctx: &Context<'a>) -> Result<&'a State, Error> {
    ctx.data::<State>()
}

/// What a person cannot mend by asking differently is logged here and named only.
pub(crate) fn internal(error: impl std::fmt::Display) -> Error {
    tracing::error!(%error, "a query failed");
    Error::new("the index could not be read")
}

/// The schema over one database.
#[must_use]
pub fn schema(store: Store, freshness: Freshness) -> Schema {
    let loaders = DataLoader::new(Loaders(store.clone()), tokio::spawn);
    Schema::build(Query, EmptyMutation, EmptySubscription)
        .data(State { store, freshness })
        .data(loaders)
        .limit_depth(MAX_DEPTH)
        .limit_complexity(MAX_COMPLEXITY)
        .finish()
}

/// The schema as text; `crates/indexer/schema.graphql` is this.
#[must_use]
pub fn sdl() -> String {
    Schema::build(Query, EmptyMutation, EmptySubscription).finish().sdl()
}

/// A block.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(name = "Block")]
struct Block {
    /// Height.
    number: u64,
    /// Hash.
    hash: String,
    /// Chain time, seconds.
    timestamp: u64,
    /// Blocks up to here are never taken back.
    finalized: u64,
}

/// The contracts that the index follows.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(name = "Contracts")]
struct Followed {
    /// Every `DataPolicy`, ascending.
    data_policies: Vec<String>,
    /// `Custody`.
    custody: String,
}

/// What the answer stands on.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(name = "Meta")]
struct Meta {
    /// EIP-155 chain id.
    chain_id: u64,
    /// Hash of block 0.
    genesis_hash: String,
    /// The contracts that the tables follow; null before the first look at the chain.
    contracts: Option<Followed>,
    /// The last block in the tables.
    block: Option<Block>,
    /// Blocks the tables are behind the chain; null while unknown.
    lag_blocks: Option<u64>,
    /// Whether the tables show the chain's present.
    ready: bool,
    /// Why not; empty where they do.
    problem: String,
}

/// The public record.
#[derive(Debug)]
pub struct Query;

fn hash(name: &str, text: &str) -> Result<B256, Error> {
    B256::from_str(text).map_err(|_| Error::new(format!("{name}: {text:?} is not 0x and 64 hex digits")))
}

fn address(name: &str, text: &str) -> Result<Address, Error> {
    Address::from_str(text).map_err(|_| Error::new(format!("{name}: {text:?} is not an address")))
}

#[Object]
impl Query {
    /// Datasets.
    #[graphql(name = "Dataset", complexity = "list(limit, child_complexity)")]
    async fn datasets(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "where")] filter: Option<DatasetFilter>,
        #[graphql(name = "order_by")] order_by: Option<Vec<DatasetOrder>>,
        limit: Option<u32>,
        offset: Option<u32>,
    ) -> Result<Vec<Dataset>, Error> {
        let state = state(ctx)?;
        let time = state.freshness.get().timestamp;
        let select = select(None, filter.as_ref(), order_by.as_ref(), limit, offset, time)?;
        let rows = state.store.datasets(&select).await.map_err(internal)?;
        Ok(rows.iter().map(|row| Dataset::of(row, time)).collect())
    }

    /// The dataset with this datasetUid at this contract.
    #[graphql(name = "Dataset_by_pk")]
    async fn dataset(
        &self,
        ctx: &Context<'_>,
        contract: String,
        dataset_uid: String,
    ) -> Result<Option<Dataset>, Error> {
        let state = state(ctx)?;
        let (contract, uid) = (address("contract", &contract)?, hash("datasetUid", &dataset_uid)?);
        let row = state.store.dataset(contract, uid).await.map_err(internal)?;
        Ok(row.map(|row| Dataset::of(&row, state.freshness.get().timestamp)))
    }

    /// Jobs.
    #[graphql(name = "Job", complexity = "list(limit, child_complexity)")]
    async fn jobs(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "where")] filter: Option<JobFilter>,
        #[graphql(name = "order_by")] order_by: Option<Vec<JobOrder>>,
        limit: Option<u32>,
        offset: Option<u32>,
    ) -> Result<Vec<Job>, Error> {
        let state = state(ctx)?;
        let time = state.freshness.get().timestamp;
        let select = select(None, filter.as_ref(), order_by.as_ref(), limit, offset, time)?;
        let rows = state.store.jobs(&select).await.map_err(internal)?;
        rows.iter().map(Job::of).collect()
    }

    /// The job with this jobId.
    #[graphql(name = "Job_by_pk")]
    async fn job(&self, ctx: &Context<'_>, id: String) -> Result<Option<Job>, Error> {
        let row = state(ctx)?.store.job(hash("id", &id)?).await.map_err(internal)?;
        row.as_ref().map(Job::of).transpose()
    }

    /// The public history.
    #[graphql(name = "AuditLog", complexity = "list(limit, child_complexity)")]
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "where")] filter: Option<AuditFilter>,
        #[graphql(name = "order_by")] order_by: Option<Vec<AuditOrder>>,
        limit: Option<u32>,
        offset: Option<u32>,
    ) -> Result<Vec<AuditLog>, Error> {
        let state = state(ctx)?;
        let time = state.freshness.get().timestamp;
        let select = select(None, filter.as_ref(), order_by.as_ref(), limit, offset, time)?;
        let rows = state.store.audit_log(&select).await.map_err(internal)?;
        Ok(rows.iter().map(AuditLog::of).collect())
    }

    /// The line of history with this id.
    #[graphql(name = "AuditLog_by_pk")]
    async fn audit_line(&self, ctx: &Context<'_>, id: String) -> Result<Option<AuditLog>, Error> {
        let rows = state(ctx)?.store.audit_log(&Select::eq("id", id)).await.map_err(internal)?;
        Ok(rows.first().map(AuditLog::of))
    }

    /// Credits, withdrawals and distributions.
    #[graphql(name = "Payment", complexity = "list(limit, child_complexity)")]
    async fn payments(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "where")] filter: Option<PaymentFilter>,
        #[graphql(name = "order_by")] order_by: Option<Vec<PaymentOrder>>,
        limit: Option<u32>,
        offset: Option<u32>,
    ) -> Result<Vec<Payment>, Error> {
        let state = state(ctx)?;
        let time = state.freshness.get().timestamp;
        let select = select(None, filter.as_ref(), order_by.as_ref(), limit, offset, time)?;
        let rows = state.store.payments(&select).await.map_err(internal)?;
        Ok(rows.iter().map(Payment::of).collect())
    }

    /// The move with this id.
    #[graphql(name = "Payment_by_pk")]
    async fn payment(&self, ctx: &Context<'_>, id: String) -> Result<Option<Payment>, Error> {
        let rows = state(ctx)?.store.payments(&Select::eq("id", id)).await.map_err(internal)?;
        Ok(rows.first().map(Payment::of))
    }

    /// Ledger accounts that are no addresses, with the splits behind them.
    #[graphql(name = "Split", complexity = "list(limit, child_complexity)")]
    async fn splits(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "where")] filter: Option<SplitFilter>,
        #[graphql(name = "order_by")] order_by: Option<Vec<SplitOrder>>,
        limit: Option<u32>,
        offset: Option<u32>,
    ) -> Result<Vec<Split>, Error> {
        let state = state(ctx)?;
        let time = state.freshness.get().timestamp;
        let select = select(None, filter.as_ref(), order_by.as_ref(), limit, offset, time)?;
        let rows = state.store.splits(&select).await.map_err(internal)?;
        rows.iter().map(Split::of).collect()
    }

    /// What is known of this account.
    #[graphql(name = "Split_by_pk")]
    async fn split(&self, ctx: &Context<'_>, account: String) -> Result<Option<Split>, Error> {
        let row = state(ctx)?.store.split(hash("account", &account)?).await.map_err(internal)?;
        row.as_ref().map(Split::of).transpose()
    }

    /// Providers of compute.
    #[graphql(name = "Provider", complexity = "list(limit, child_complexity)")]
    async fn providers(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "where")] filter: Option<ProviderFilter>,
        #[graphql(name = "order_by")] order_by: Option<Vec<ProviderOrder>>,
        limit: Option<u32>,
        offset: Option<u32>,
    ) -> Result<Vec<Provider>, Error> {
        let state = state(ctx)?;
        let time = state.freshness.get().timestamp;
        let select = select(None, filter.as_ref(), order_by.as_ref(), limit, offset, time)?;
        let rows = state.store.providers(&select).await.map_err(internal)?;
        Ok(rows.iter().map(Provider::of).collect())
    }

    /// The provider with this providerId.
    #[graphql(name = "Provider_by_pk")]
    async fn provider(&self, ctx: &Context<'_>, provider_id: String) -> Result<Option<Provider>, Error> {
        let row = state(ctx)?.store.provider(hash("providerId", &provider_id)?).await.map_err(internal)?;
        Ok(row.as_ref().map(Provider::of))
    }

    /// How fresh this is.
    #[graphql(name = "_meta")]
    async fn meta(&self, ctx: &Context<'_>) -> Result<Meta, Error> {
        let state = state(ctx)?;
        let status = state.freshness.get();
        let cursor = state.store.cursor().await.map_err(internal)?;
        let scope = state.store.scope().await.map_err(internal)?;
        Ok(Meta {
            chain_id: status.chain_id,
            genesis_hash: status.genesis_hash.to_string(),
            contracts: scope.map(|scope| Followed {
                data_policies: scope.data_policies().iter().map(ToString::to_string).collect(),
                custody: scope.custody().to_string(),
            }),
            block: cursor.map(|c| Block {
                number: c.at.number,
                hash: c.at.hash.to_string(),
                timestamp: status.timestamp,
                finalized: c.finalized,
            }),
            lag_blocks: status.lag(),
            ready: status.ready(),
            problem: status.problem.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
