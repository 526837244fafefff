//! The ledger as the node's index has it: payments, and the splits behind accounts. A split is believed
//! because its account is its hash; a sum of payments only where the chain agrees.

use licen_core::abi::Split;
use licen_core::id::split_account;
use licen_core::policy_manifest::SplitTerms;
use licen_core::primitives::B256;
use licen_core::wire::index::{PaymentRow, Row, SplitRow};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::session::codes;
use crate::session::error::{CliError, Outcome};
use crate::session::node_client::{NodeClient, row, rows};

/// Payments of one page: the most a node gives.
const PAYMENTS: usize = 1000;
/// Splits of one page: each may have 64 payees.
const SPLITS: usize = 200;
/// A list that does not end here is a node that makes it up.
const MOST_LISTED: usize = 1_000_000;

/// The split behind a row, where it is known.
fn split_of(row: SplitRow) -> Outcome<Option<Split>> {
    let known = (row.accounts, row.bps, row.start, row.duration);
    let (Some(accounts), Some(bps), Some(start), Some(duration)) = known else { return Ok(None) };
    let split = Split::from(SplitTerms { accounts, bps, start, duration });
    if split_account(&split) != row.account {
        let message = format!("the node's split {} does not hash to its account", row.account);
        return Err(CliError::environment(codes::NODE, message));
    }
    Ok(Some(split))
}

impl NodeClient {
    /// The split behind an account, where it is announced.
    ///
    /// # Errors
    /// The node does not answer, or what it says does not hash to the account.
    pub async fn split(&self, account: B256) -> Outcome<Option<Split>> {
        let fields = SplitRow::SELECTION;
        let query = format!("query($account: String!) {{ Split_by_pk(account: $account) {{ {fields} }} }}");
        let data = self.graphql(&query, json!({"account": account})).await?;
        let found: Option<SplitRow> = row(&data["Split_by_pk"])?;
        let Some(found) = found else { return Ok(None) };
        if found.account != account {
            let message = format!("the node answers for the split {}, not {account}", found.account);
            return Err(CliError::environment(codes::NODE, message));
        }
        split_of(found)
    }

    /// Every announced split.
    ///
    /// # Errors
    /// As [`Self::split`].
    pub async fn splits(&self) -> Outcome<Vec<Split>> {
        let rows: Vec<SplitRow> = self.all("Split", "account", json!({}), SPLITS).await?;
        rows.into_iter().filter_map(|row| split_of(row).transpose()).collect()
    }

    /// The payments that `filter` (a `Payment_bool_exp`) names, in chain order.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn payments(&self, filter: Value) -> Outcome<Vec<PaymentRow>> {
        self.all("Payment", "id", filter, PAYMENTS).await
    }

    /// All of a list, each page after the last key of the one before: nothing is counted twice or left out
    /// while the list grows.
    async fn all<R: Row + DeserializeOwned>(
        &self,
        entity: &str,
        key: &str,
        filter: Value,
        page: usize,
    ) -> Outcome<Vec<R>> {
        let fields = R::SELECTION;
        let query = format!(
            "query($where: {entity}_bool_exp) {{ {entity}(where: $where, limit: {page}, \
             order_by: {{{key}: asc}}) {{ {fields} }} }}"
        );
        let (mut all, mut last) = (Vec::new(), Value::Null);
        loop {
            let mut parts = vec![filter.clone()];
            parts.extend((!last.is_null()).then(|| json!({key: {"_gt": last}})));
            let data = self.graphql(&query, json!({"where": {"_and": parts}})).await?;
            let read: Vec<R> = rows(&data[entity])?;
            let ended = read.len() < page;
            last = data[entity][read.len().saturating_sub(1)][key].clone();
            all.extend(read);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_cannot_put_another_split_behind_an_account() {
        let split = Split { accounts: vec![B256::repeat_byte(1)], bps: vec![10_000], start: 0, duration: 0 };
        let row = |account: B256, payee: B256| json!({"account": account, "accounts": [payee], "bps": [10_000], "start": 0, "duration": 0});
        let told = |row| split_of(super::row(&row).unwrap());
        let account = split_account(&split);
        assert_eq!(told(row(account, B256::repeat_byte(1))).unwrap(), Some(split));
        assert!(told(row(account, B256::repeat_byte(2))).is_err());
        let unknown =
            json!({"account": account, "accounts": null, "bps": null, "start": null, "duration": null});
        assert_eq!(told(unknown).unwrap(), None);
    }
}
