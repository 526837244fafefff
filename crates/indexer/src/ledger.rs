//! The ledger's events. A row for each move, so that what an account has follows from events alone;
//! and the splits that money can reach, so that nobody needs a preimage that only one person kept.

use licen_chain::{ChainEvent, EventKind};
use licen_core::id::{account_of, split_account};
use licen_core::primitives::{Address, B256, U256};
use licen_store::{Change, PaymentRow};
use serde_json::json;

use crate::machine::{ApplyError, View, audit, log_id};

/// Applies an event of the ledger; none other changes anything.
pub(crate) fn moved(at: &ChainEvent, view: &View) -> Result<Vec<Change>, ApplyError> {
    use EventKind as E;
    Ok(match &at.kind {
        // Every credit follows from an event that is in the history already.
        E::Credited(e) => {
            let reference = e.r#ref;
            let job = view.jobs.get(&reference).filter(|facts| facts.contract == at.contract);
            let row = PaymentRow {
                reference: Some(reference),
                job_id: job.map(|facts| facts.job.jobId),
                ..payment(at, "credited", e.account, e.token, e.amount)
            };
            vec![Change::Payment(Box::new(row)), named(at, e.account)]
        }
        E::Withdrawn(e) => {
            let account = account_of(e.account);
            let row =
                PaymentRow { receiver: Some(e.to), ..payment(at, "withdrawn", account, e.token, e.amount) };
            let details = json!({ "account": account, "token": e.token, "to": e.to,
                "amount": e.amount.to_string() });
            vec![Change::Payment(Box::new(row)), audit(at, None, None, &details)]
        }
        E::Distributed(e) => {
            let row = payment(at, "distributed", e.account, e.token, e.amount);
            let details = json!({ "account": e.account, "token": e.token, "amount": e.amount.to_string() });
            vec![Change::Payment(Box::new(row)), audit(at, None, None, &details)]
        }
        // No line of history: anybody can announce any number of splits that matter to nobody.
        E::SplitAnnounced(e) => {
            if split_account(&e.split) != e.account {
                return Err(ApplyError::Identity { what: "split", id: e.account });
            }
            vec![Change::Announced {
                account: e.account,
                split: Box::new(e.split.clone()),
                timestamp: at.timestamp,
                tx_hash: at.tx_hash,
            }]
        }
        _ => Vec::new(),
    })
}

/// Money may reach this account from now on.
pub(crate) fn named(at: &ChainEvent, account: B256) -> Change {
    Change::Named { account, timestamp: at.timestamp }
}

fn payment(at: &ChainEvent, kind: &str, account: B256, token: Address, amount: U256) -> PaymentRow {
    PaymentRow {
        id: log_id(at),
        contract: at.contract,
        kind: kind.into(),
        account,
        token,
        amount,
        reference: None,
        job_id: None,
        receiver: None,
        timestamp: at.timestamp,
        tx_hash: at.tx_hash,
        block_number: at.block_number,
        log_index: at.log_index,
    }
}
