//! The ledger as the node's index has it: payments, and the splits behind accounts. A split is believed
//! because its account is its hash; a sum of payments only where the chain agrees.

use licen_core::abi::Split;
use licen_core::id::split_account;
use licen_core::policy_manifest::SplitTerms;
use licen_core::primitives::{Address, B256, U256};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::session::codes;
use crate::session::error::{CliError, Outcome};
use crate::session::node_client::NodeClient;

/// Payments of one page: the most a node gives.
const PAYMENTS: usize = 1000;
/// Splits of one page: each may have 64 payees.
const SPLITS: usize = 200;
/// A list that does not end here is a node that makes it up.
const MOST_LISTED: usize = 1_000_000;
const PAYMENT_FIELDS: &str = "id contract kind account token amount ref jobId to txHash";
const SPLIT_FIELDS: &str = "account accounts bps start duration";

/// What a payment did to its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It came in.
    Credited,
    /// It was paid out.
    Withdrawn,
    /// It went to the payees of the split.
    Distributed,
}

/// One move in a contract's ledger.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// The `DataPolicy`.
    pub contract: Address,
    /// What it did.
    pub kind: Kind,
    /// The account.
    pub account: B256,
    /// The token; 0 is the native coin.
    pub token: Address,
    amount: String,
    /// What a credit is for: a job, or the account of a split.
    pub r#ref: Option<B256>,
    /// The job, where it is for one.
    pub job_id: Option<B256>,
    /// Where a withdrawal went.
    pub to: Option<Address>,
}

impl Payment {
    /// Base units.
    ///
    /// # Errors
    /// The node said no number.
    pub fn amount(&self) -> Outcome<U256> {
        U256::from_str_radix(&self.amount, 10).map_err(|e| malformed("an amount", &e))
    }
}

/// A split as the index has it; without its preimage until somebody announces it.
#[derive(Deserialize)]
struct IndexedSplit {
    account: B256,
    accounts: Option<Vec<B256>>,
    bps: Option<Vec<u16>>,
    start: Option<u64>,
    duration: Option<u64>,
}

impl IndexedSplit {
    /// The split, where it is known.
    fn split(self) -> Outcome<Option<Split>> {
        let known = (self.accounts, self.bps, self.start, self.duration);
        let (Some(accounts), Some(bps), Some(start), Some(duration)) = known else { return Ok(None) };
        let split = Split::from(SplitTerms { accounts, bps, start, duration });
        if split_account(&split) != self.account {
            let message = format!("the node's split {} does not hash to its account", self.account);
            return Err(CliError::environment(codes::NODE, message));
        }
        Ok(Some(split))
    }
}

impl NodeClient {
    /// The split behind an account, where it is announced.
    ///
    /// # Errors
    /// The node does not answer, or what it says does not hash to the account.
    pub async fn split(&self, account: B256) -> Outcome<Option<Split>> {
        let query =
            format!("query($account: String!) {{ Split_by_pk(account: $account) {{ {SPLIT_FIELDS} }} }}");
        let data = self.graphql(&query, json!({"account": account})).await?;
        let found: Option<IndexedSplit> = read(&data["Split_by_pk"])?;
        let Some(found) = found else { return Ok(None) };
        if found.account != account {
            let message = format!("the node answers for the split {}, not {account}", found.account);
            return Err(CliError::environment(codes::NODE, message));
        }
        found.split()
    }

    /// Every announced split.
    ///
    /// # Errors
    /// As [`Self::split`].
    pub async fn splits(&self) -> Outcome<Vec<Split>> {
        let mut known = Vec::new();
        let rows: Vec<Value> = self.all("Split", "account", SPLIT_FIELDS, json!({}), SPLITS).await?;
        for row in rows {
            known.extend(read::<IndexedSplit>(&row)?.split()?);
        }
        Ok(known)
    }

    /// The payments that `filter` (a `Payment_bool_exp`) names, in chain order.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn payments(&self, filter: Value) -> Outcome<Vec<Payment>> {
        let rows = self.all("Payment", "id", PAYMENT_FIELDS, filter, PAYMENTS).await?;
        rows.iter().map(read).collect()
    }

    /// All of a list, each page after the last key of the one before: nothing is counted twice or left out
    /// while the list grows.
    async fn all(
        &self,
        entity: &str,
        key: &str,
        fields: &str,
        filter: Value,
        page: usize,
    ) -> Outcome<Vec<Value>> {
        let query = format!(
            "query($where: {entity}_bool_exp) {{ {entity}(where: $where, limit: {page}, \
             order_by: {{{key}: asc}}) {{ {fields} }} }}"
        );
        let mut all: Vec<Value> = Vec::new();
        loop {
            let mut parts = vec![filter.clone()];
            parts.extend(all.last().map(|last| json!({key: {"_gt": last[key]}})));
            let data = self.graphql(&query, json!({"where": {"_and": parts}})).await?;
            let rows = data[entity].as_array().cloned().unwrap_or_default();
            let ended = rows.len() < page;
            all.extend(rows);
            if ended {
                return Ok(all);
            }
            if all.len() >= MOST_LISTED {
                let message = format!("the node lists more than {MOST_LISTED} entries");
                return Err(CliError::environment(codes::NODE, message));
            }
        }
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Outcome<T> {
    T::deserialize(value).map_err(|e| malformed("an entry of the ledger", &e))
}

fn malformed(what: &str, cause: &dyn std::error::Error) -> CliError {
    CliError::environment(codes::NODE, format!("the node's answer has {what} that is none")).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_cannot_put_another_split_behind_an_account() {
        let split = Split { accounts: vec![B256::repeat_byte(1)], bps: vec![10_000], start: 0, duration: 0 };
        let row = |account: B256, payee: B256| json!({"account": account, "accounts": [payee], "bps": [10_000], "start": 0, "duration": 0});
        let told = |row| read::<IndexedSplit>(&row).unwrap().split();
        let account = split_account(&split);
        assert_eq!(told(row(account, B256::repeat_byte(1))).unwrap(), Some(split));
        assert!(told(row(account, B256::repeat_byte(2))).is_err());
        let unknown =
            json!({"account": account, "accounts": null, "bps": null, "start": null, "duration": null});
        assert_eq!(told(unknown).unwrap(), None);
    }
}
