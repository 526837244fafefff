//! The sender's journal, kept in the store: intents and signed transactions beside the work they
//! belong to, in the same database.

use licen_chain::sender::{Attempt, End, Fees, Intent, Journal, JournalError, Mined, Outcome};
use licen_core::primitives::{Address, U256};
use licen_store::{Store, StoreError, TxAttempt, TxIntent, TxOutcome};

/// A [`Journal`] over a store.
#[derive(Debug, Clone)]
pub struct StoreJournal(pub Store);

fn storage(error: StoreError) -> JournalError {
    match error {
        StoreError::Conflict { key } => JournalError::Conflict { key },
        other => JournalError::Storage(Box::new(other)),
    }
}

fn malformed(what: &'static str) -> JournalError {
    storage(StoreError::Malformed { what })
}

fn fee(value: U256, what: &'static str) -> Result<u128, JournalError> {
    value.try_into().map_err(|_| malformed(what))
}

fn row(intent: &Intent) -> TxIntent {
    TxIntent {
        idem_key: intent.idem_key.clone(),
        chain_id: intent.chain_id,
        signer: intent.signer,
        nonce: intent.nonce,
        destination: intent.to,
        value: intent.value,
        data: intent.data.clone(),
        gas_limit: intent.gas_limit,
        created_ms: intent.created_ms,
        outcome: None,
        tx_hash: None,
        block_number: None,
        block_hash: None,
        gas_used: None,
        contract: None,
        revert_data: None,
    }
}

fn outcome(row: &TxIntent) -> Result<Option<Outcome>, JournalError> {
    let Some(name) = &row.outcome else { return Ok(None) };
    let end = End::from_name(name).ok_or_else(|| malformed("tx_intents.outcome"))?;
    let mined = match (row.tx_hash, row.block_number, row.block_hash, row.gas_used) {
        (Some(tx_hash), Some(block_number), Some(block_hash), Some(gas_used)) => Some(Mined {
            tx_hash,
            block_number,
            block_hash,
            success: end == End::Succeeded,
            gas_used,
            // Not kept: the receipt has it for who wants to know.
            gas_price: 0,
            contract: row.contract,
        }),
        _ => None,
    };
    Ok(Some(Outcome { end, mined, revert_data: row.revert_data.clone() }))
}

fn intent(row: TxIntent) -> Result<Intent, JournalError> {
    let outcome = outcome(&row)?;
    Ok(Intent {
        idem_key: row.idem_key,
        chain_id: row.chain_id,
        signer: row.signer,
        nonce: row.nonce,
        to: row.destination,
        value: row.value,
        data: row.data,
        gas_limit: row.gas_limit,
        created_ms: row.created_ms,
        outcome,
    })
}

fn attempt(row: TxAttempt) -> Result<Attempt, JournalError> {
    let fees = Fees {
        max_fee: fee(row.max_fee, "tx_attempts.max_fee")?,
        max_priority_fee: fee(row.max_priority_fee, "tx_attempts.max_priority_fee")?,
    };
    Ok(Attempt { number: row.number, hash: row.hash, raw: row.raw, fees, sent_ms: row.sent_ms })
}

impl Journal for StoreJournal {
    async fn load(&self, idem_key: &str) -> Result<Option<(Intent, Vec<Attempt>)>, JournalError> {
        let Some(row) = self.0.tx_intent(idem_key).await.map_err(storage)? else { return Ok(None) };
        let attempts = self.0.tx_attempts(idem_key).await.map_err(storage)?;
        let attempts = attempts.into_iter().map(attempt).collect::<Result<_, _>>()?;
        Ok(Some((intent(row)?, attempts)))
    }

    async fn reserve(&self, new: &Intent, pending_nonce: u64) -> Result<Intent, JournalError> {
        intent(self.0.reserve_tx(&row(new), pending_nonce).await.map_err(storage)?)
    }

    async fn add_attempt(&self, idem_key: &str, attempt: &Attempt) -> Result<(), JournalError> {
        let row = TxAttempt {
            idem_key: idem_key.to_string(),
            number: attempt.number,
            hash: attempt.hash,
            raw: attempt.raw.clone(),
            max_fee: U256::from(attempt.fees.max_fee),
            max_priority_fee: U256::from(attempt.fees.max_priority_fee),
            sent_ms: attempt.sent_ms,
        };
        self.0.add_tx_attempt(&row).await.map_err(storage)
    }

    async fn finish(&self, idem_key: &str, outcome: &Outcome) -> Result<(), JournalError> {
        let mined = outcome.mined.as_ref();
        let row = TxOutcome {
            outcome: outcome.end.name().to_string(),
            tx_hash: mined.map(|m| m.tx_hash),
            block_number: mined.map(|m| m.block_number),
            block_hash: mined.map(|m| m.block_hash),
            gas_used: mined.map(|m| m.gas_used),
            contract: mined.and_then(|m| m.contract),
            revert_data: outcome.revert_data.clone(),
        };
        self.0.finish_tx(idem_key, &row).await.map_err(storage)
    }

    async fn with_nonce(
        &self,
        chain_id: u64,
        signer: Address,
        nonce: u64,
    ) -> Result<Option<(Intent, Vec<Attempt>)>, JournalError> {
        match self.0.tx_with_nonce(chain_id, signer, nonce).await.map_err(storage)? {
            Some(row) => self.load(&row.idem_key).await,
            None => Ok(None),
        }
    }

    async fn open(&self, chain_id: u64, signer: Address) -> Result<Vec<Intent>, JournalError> {
        self.0.open_txs(chain_id, signer).await.map_err(storage)?.into_iter().map(intent).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use licen_core::primitives::{B256, Bytes};

    #[tokio::test]
    async fn what_is_kept_comes_back() {
        let journal = StoreJournal(Store::in_memory().await.unwrap());
        let signer = Address::repeat_byte(1);
        let new = Intent {
            idem_key: "start:1".into(),
            chain_id: 31_337,
            signer,
            nonce: 0,
            to: Some(Address::repeat_byte(2)),
            value: U256::from(3),
            data: Bytes::from_static(b"data"),
            gas_limit: 21_000,
            created_ms: 5,
            outcome: None,
        };
        let kept = journal.reserve(&new, 4).await.unwrap();
        assert_eq!(kept, Intent { nonce: 4, ..new.clone() });
        let other = Intent { data: Bytes::from_static(b"other"), ..new };
        assert!(matches!(journal.reserve(&other, 4).await, Err(JournalError::Conflict { .. })));
        let fees = Fees { max_fee: u128::MAX, max_priority_fee: 2 };
        let raw = Bytes::from_static(b"raw");
        let attempt = Attempt { number: 0, hash: B256::repeat_byte(3), raw, fees, sent_ms: 6 };
        journal.add_attempt("start:1", &attempt).await.unwrap();
        assert_eq!(journal.open(31_337, signer).await.unwrap(), vec![kept.clone()]);
        assert_eq!(journal.load("start:1").await.unwrap(), Some((kept.clone(), vec![attempt.clone()])));
        let mined = Mined {
            tx_hash: attempt.hash,
            block_number: 7,
            block_hash: B256::repeat_byte(8),
            success: true,
            gas_used: 9,
            gas_price: 0,
            contract: None,
        };
        let outcome = Outcome { end: End::Succeeded, mined: Some(mined), revert_data: None };
        journal.finish("start:1", &outcome).await.unwrap();
        assert!(journal.open(31_337, signer).await.unwrap().is_empty());
        let (ended, _) = journal.load("start:1").await.unwrap().unwrap();
        assert_eq!(ended.outcome, Some(outcome));
        let again = journal.with_nonce(31_337, signer, 4).await.unwrap();
        assert_eq!(again, Some((ended, vec![attempt])));
        assert_eq!(journal.with_nonce(31_337, signer, 5).await.unwrap(), None);
        assert_eq!(journal.with_nonce(1, signer, 4).await.unwrap(), None);
    }
}
