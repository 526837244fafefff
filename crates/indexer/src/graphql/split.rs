//! `Split`.

use async_graphql::{ComplexObject, Error, SimpleObject};
use licen_core::abi;
use licen_core::sol_types::SolValue;
use licen_store::SplitRow;

use super::filter::{IntExp, TextExp, inputs};
use super::{LONG, PREIMAGE, internal};

inputs! {
    SplitFilter as "Split_bool_exp", SplitOrder as "Split_order_by",
    account: TextExp => "account", Hash;
    timestamp: IntExp => "named_at", Text;
    block_number: IntExp => "named_block", Text;
    announced_at: IntExp => "announced_at", Text;
    announced_tx: TextExp => "announced_tx", Hash;
}

/// A ledger account that is no address, because a policy, a provider, a credit or another split here names
/// it. What is behind it is null until somebody announces it: only then can its money be distributed by
/// everybody.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub(crate) struct Split {
    /// keccak256(abi.encode("LICEN/split/v2", Split)).
    account: String,
    /// When what came in begins to be released, chain seconds.
    start: Option<u64>,
    /// Seconds until all of it is; 0 at once.
    duration: Option<u64>,
    /// Chain time when it was first named, seconds.
    timestamp: u64,
    /// Block of that.
    block_number: u64,
    /// Chain time of the announcement, seconds.
    announced_at: Option<u64>,
    /// Transaction of the announcement.
    announced_tx: Option<String>,
    #[graphql(skip)]
    split: Option<abi::Split>,
}

#[ComplexObject]
impl Split {
    /// The accounts that it pays; one that is no address is a split as well.
    #[graphql(complexity = "LONG")]
    async fn accounts(&self) -> Option<Vec<String>> {
        self.split.as_ref().map(|split| split.accounts.iter().map(ToString::to_string).collect())
    }

    /// The part of each, in the same order, basis points.
    #[graphql(complexity = "PREIMAGE")]
    async fn bps(&self) -> Option<&[u16]> {
        self.split.as_ref().map(|split| split.bps.as_slice())
    }
}

impl Split {
    pub(crate) fn of(row: &SplitRow) -> Result<Self, Error> {
        let split = row.split_abi.as_ref().map(|bytes| abi::Split::abi_decode(bytes));
        let split = split.transpose().map_err(internal)?;
        Ok(Self {
            account: row.account.to_string(),
            start: split.as_ref().map(|s| s.start),
            duration: split.as_ref().map(|s| s.duration),
            timestamp: row.named_at,
            block_number: row.named_block,
            announced_at: row.announced_at,
            announced_tx: row.announced_tx.map(|tx| tx.to_string()),
            split,
        })
    }
}
