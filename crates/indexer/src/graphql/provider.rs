//! `Provider`.

use async_graphql::{ComplexObject, Error, SimpleObject};
use licen_core::abi;
use licen_core::primitives::Bytes;
use licen_core::sol_types::SolValue;
use licen_store::ProviderRow;

use super::filter::{IntExp, TextExp, inputs};
use super::{LONG, internal};

inputs! {
    ProviderFilter as "Provider_bool_exp", ProviderOrder as "Provider_order_by",
    provider_id: TextExp => "provider_id", Hash;
    creator: TextExp => "creator", Account;
    signer: TextExp => "signer", Account;
    payee: TextExp => "payee", Hash;
    jurisdiction: TextExp => "jurisdiction", Hash;
    set_at: IntExp => "set_at", Text;
    block_number: IntExp => "set_block", Text;
    tx_hash: TextExp => "set_tx", Hash;
}

/// A provider of compute, as its creator registered it last. Anybody can register anything.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub(crate) struct Provider {
    /// keccak256 of creator and salt.
    provider_id: String,
    /// Who may change it.
    creator: String,
    /// The address that signs its quotes.
    signer: String,
    /// The ledger account of its fees: an address in 32 bytes, or the hash of a split.
    payee: String,
    /// Where it says that it is.
    jurisdiction: String,
    /// Chain time of the last change, seconds.
    set_at: u64,
    /// Block of the last change.
    block_number: u64,
    /// Transaction of the last change.
    tx_hash: String,
    #[graphql(skip)]
    provider_abi: Bytes,
}

#[ComplexObject]
impl Provider {
    /// The platforms that it says it runs on.
    #[graphql(complexity = "LONG")]
    async fn platform_ids(&self) -> Result<Vec<String>, Error> {
        let provider = abi::Provider::abi_decode(&self.provider_abi).map_err(internal)?;
        Ok(provider.platformIds.iter().map(ToString::to_string).collect())
    }
}

impl Provider {
    pub(crate) fn of(row: &ProviderRow) -> Self {
        Self {
            provider_id: row.provider_id.to_string(),
            creator: row.creator.to_string(),
            signer: row.signer.to_string(),
            payee: row.payee.to_string(),
            jurisdiction: row.jurisdiction.to_string(),
            set_at: row.set_at,
            block_number: row.set_block,
            tx_hash: row.set_tx.to_string(),
            provider_abi: row.provider_abi.clone(),
        }
    }
}
