//! `Dataset`.

use async_graphql::dataloader::DataLoader;
use async_graphql::{ComplexObject, Context, Error, SimpleObject};
use licen_core::abi::Policy;
use licen_core::sol_types::SolValue;
use licen_store::{DatasetRow, Op, PolicyRow, Where};

use super::filter::{BoolExp, IntExp, TextExp, inputs, select};
use super::job::{Job, JobFilter, JobOrder};
use super::load::{DatasetKey, Loaders, PolicyKey};
use super::{LONG, internal, list, state};

inputs! {
    DatasetFilter as "Dataset_bool_exp", DatasetOrder as "Dataset_order_by",
    { active: BoolExp => active }
    contract: TextExp => "contract", Account;
    dataset_uid: TextExp => "dataset_uid", Hash;
    dataset_root: TextExp => "dataset_root", Hash;
    owner: TextExp => "owner", Account;
    manifest_hash: TextExp => "manifest_hash", Hash;
    policy_hash: TextExp => "policy_hash", Hash;
    paused: BoolExp => "paused", Text;
    policy_expiry: IntExp => "policy_expiry", Text;
    policy_version: IntExp => "policy_version", Text;
    royalty_per_epoch: TextExp => "royalty_per_epoch", Amount;
    token: TextExp => "token", Account;
    max_epochs_per_run: IntExp => "max_epochs_per_run", Text;
    required_level: IntExp => "required_level", Text;
    timestamp: IntExp => "registered_at", Text;
    block_number: IntExp => "registered_block", Text;
    tx_hash: TextExp => "registered_tx", Hash;
    last_updated_timestamp: IntExp => "updated_at", Text;
}

/// Open for requests: neither paused nor expired, by chain time.
fn active(exp: &BoolExp, chain_time: u64) -> Option<Where> {
    let wanted = exp.eq?;
    let is = |column: &str, op| Where::Is(column.into(), op);
    let lives = Where::Or(vec![
        is("policy_expiry", Op::Eq(0u64.into())),
        is("policy_expiry", Op::Gt(chain_time.into())),
    ]);
    let open = Where::And(vec![is("paused", Op::Eq(false.into())), lives]);
    Some(if wanted { open } else { Where::Not(Box::new(open)) })
}

/// A dataset as it is registered at one contract, and its current policy there.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub(crate) struct Dataset {
    /// The `DataPolicy` that this registration and policy are at; another may have the same dataset.
    contract: String,
    /// keccak256 of chain, owner and salt; stands in every encryption's context. One root may be
    /// registered by several owners.
    dataset_uid: String,
    /// 0G file root of the ciphertext.
    dataset_root: String,
    /// Who registered it.
    owner: String,
    /// 0G file root of the current PolicyManifest.
    manifest_hash: String,
    /// Whether requests are taken now: not paused, not expired.
    active: bool,
    /// Whether the owner paused new requests.
    paused: bool,
    /// Chain time of the registration, seconds.
    timestamp: u64,
    /// Transaction of the registration.
    tx_hash: String,
    /// Block of the registration.
    block_number: u64,
    /// Chain time of the last change, seconds.
    last_updated_timestamp: u64,
    /// The current policy.
    policy_hash: String,
    /// Its version, from 1.
    policy_version: u64,
    /// When it ends, seconds; 0 never.
    policy_expiry: u64,
    /// Price of one epoch, base units, decimal.
    royalty_per_epoch: String,
    /// What the price is in; the zero address is the native coin.
    token: String,
    /// Most epochs of one run.
    max_epochs_per_run: u32,
    /// 1 SOFTWARE (simulated attestation, local chain only), 2 HARDWARE.
    required_level: u8,
    #[graphql(skip)]
    key: DatasetKey,
    #[graphql(skip)]
    policy: PolicyKey,
}

impl Dataset {
    pub(crate) fn of(row: &DatasetRow, chain_time: u64) -> Self {
        Self {
            contract: row.contract.to_string(),
            dataset_uid: row.dataset_uid.to_string(),
            dataset_root: row.dataset_root.to_string(),
            owner: row.owner.to_string(),
            manifest_hash: row.manifest_hash.to_string(),
            active: !row.paused && (row.policy_expiry == 0 || row.policy_expiry > chain_time),
            paused: row.paused,
            timestamp: row.registered_at,
            tx_hash: row.registered_tx.to_string(),
            block_number: row.registered_block,
            last_updated_timestamp: row.updated_at,
            policy_hash: row.policy_hash.to_string(),
            policy_version: row.policy_version,
            policy_expiry: row.policy_expiry,
            royalty_per_epoch: row.royalty_per_epoch.to_string(),
            token: row.token.to_string(),
            max_epochs_per_run: row.max_epochs_per_run,
            required_level: row.required_level,
            key: DatasetKey(row.contract, row.dataset_uid),
            policy: PolicyKey(row.contract, row.policy_hash),
        }
    }

    async fn policy_row(&self, ctx: &Context<'_>) -> Result<PolicyRow, Error> {
        let loader = ctx.data::<DataLoader<Loaders>>()?;
        let row = loader.load_one(self.policy).await.map_err(internal)?;
        row.ok_or_else(|| Error::new(format!("policy {} is not in the index", self.policy.1)))
    }

    async fn policy(&self, ctx: &Context<'_>) -> Result<Policy, Error> {
        Policy::abi_decode(&self.policy_row(ctx).await?.policy_abi).map_err(internal)
    }
}

#[ComplexObject]
impl Dataset {
    /// abi.encode(Policy) of the current policy, hex: what requestAccess and updatePolicy take.
    #[graphql(complexity = "LONG")]
    async fn policy_abi(&self, ctx: &Context<'_>) -> Result<String, Error> {
        Ok(self.policy_row(ctx).await?.policy_abi.to_string())
    }

    /// Most runs of one requester, over all versions of the policy.
    async fn max_runs_per_requester(&self, ctx: &Context<'_>) -> Result<u32, Error> {
        Ok(self.policy(ctx).await?.maxRunsPerRequester)
    }

    /// Seconds from the grant to the last moment to start.
    async fn start_window(&self, ctx: &Context<'_>) -> Result<u32, Error> {
        Ok(self.policy(ctx).await?.startWindow)
    }

    /// Seconds from the start to the last moment to finish.
    async fn run_window(&self, ctx: &Context<'_>) -> Result<u32, Error> {
        Ok(self.policy(ctx).await?.runWindow)
    }

    /// Ids of the allowed purposes.
    async fn purposes(&self, ctx: &Context<'_>) -> Result<Vec<String>, Error> {
        Ok(self.policy(ctx).await?.purposes.iter().map(ToString::to_string).collect())
    }

    /// Merkle root of the allow-list; zero where everybody may ask.
    async fn requesters_root(&self, ctx: &Context<'_>) -> Result<String, Error> {
        Ok(self.policy(ctx).await?.requestersRoot.to_string())
    }

    /// Who holds the key's shares.
    async fn custodian_set(&self, ctx: &Context<'_>) -> Result<String, Error> {
        Ok(self.policy(ctx).await?.custodianSet.to_string())
    }

    /// Version of that set.
    async fn set_version(&self, ctx: &Context<'_>) -> Result<u32, Error> {
        Ok(self.policy(ctx).await?.setVersion)
    }

    /// What compute's evidence is appraised against.
    async fn appraisal_policy(&self, ctx: &Context<'_>) -> Result<String, Error> {
        Ok(self.policy(ctx).await?.appraisalPolicy.to_string())
    }

    /// 0G file root of the key envelope.
    async fn envelope_hash(&self, ctx: &Context<'_>) -> Result<String, Error> {
        Ok(self.policy(ctx).await?.envelopeHash.to_string())
    }

    /// 0G file root of the Constraints.
    async fn constraints_hash(&self, ctx: &Context<'_>) -> Result<String, Error> {
        Ok(self.policy(ctx).await?.constraintsHash.to_string())
    }

    /// 0G file root of the terms a requester accepts.
    async fn terms_hash(&self, ctx: &Context<'_>) -> Result<String, Error> {
        Ok(self.policy(ctx).await?.termsHash.to_string())
    }

    /// The ledger account that royalties go to: an address, or the hash of a split.
    async fn payee(&self, ctx: &Context<'_>) -> Result<String, Error> {
        Ok(self.policy(ctx).await?.payee.to_string())
    }

    /// The jobs at this dataset under this contract.
    #[graphql(complexity = "list(limit, child_complexity)")]
    async fn jobs(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "where")] filter: Option<JobFilter>,
        #[graphql(name = "order_by")] order_by: Option<Vec<JobOrder>>,
        limit: Option<u32>,
        offset: Option<u32>,
    ) -> Result<Vec<Job>, Error> {
        let state = state(ctx)?;
        let DatasetKey(contract, uid) = self.key;
        let within = Where::And(vec![
            Where::Is("contract".into(), Op::Eq(contract.into())),
            Where::Is("dataset_uid".into(), Op::Eq(uid.into())),
        ]);
        let time = state.freshness.get().timestamp;
        let select = select(Some(within), filter.as_ref(), order_by.as_ref(), limit, offset, time)?;
        let rows = state.store.jobs(&select).await.map_err(internal)?;
        rows.iter().map(Job::of).collect()
    }
}
