//! Transactions of a signer: the nonce and the signed bytes are here before anybody sees them.
//!
//! The next nonce is derived from these rows inside the transaction that writes the intent. A counter
//! kept elsewhere drifts from them on the first crash.

use licen_core::primitives::{Address, B256, Bytes, U256};
use sqlx::sqlite::SqliteConnection;

use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::value::{Column, Value};

row::row! {
    /// A transaction that has to happen, once.
    pub TxIntent in "tx_intents" {
        /// Names the intent for ever: the same key is the same transaction.
        idem_key: String;
        /// EIP-155 chain id.
        chain_id: u64,
        /// Who signs.
        signer: Address,
        /// The nonce it has for ever.
        nonce: u64,
        /// `None` deploys a contract.
        destination: Option<Address>,
        /// Wei.
        value: U256,
        /// Calldata.
        data: Bytes,
        /// Gas limit.
        gas_limit: u64,
        /// When it was decided, milliseconds.
        created_ms: u64,
        /// `succeeded`, `reverted` or `displaced`; `None` while open.
        outcome: Option<String>,
        /// The attempt that was mined.
        tx_hash: Option<B256>,
        /// Its block.
        block_number: Option<u64>,
        /// Its block's hash.
        block_hash: Option<B256>,
        /// Gas used.
        gas_used: Option<u64>,
        /// The contract it deployed.
        contract: Option<Address>,
        /// What the contract said, where it reverted.
        revert_data: Option<Bytes>,
    }
}

row::row! {
    /// One signed version of an intent; each next one pays more under the same nonce.
    pub TxAttempt in "tx_attempts" {
        /// The intent.
        idem_key: String, /// Counts from 0.
        number: u32;
        /// Transaction hash.
        hash: B256,
        /// The signed transaction.
        raw: Bytes,
        /// maxFeePerGas.
        max_fee: U256,
        /// maxPriorityFeePerGas.
        max_priority_fee: U256,
        /// When it was signed to be sent, milliseconds.
        sent_ms: u64,
    }
}

/// How an intent ended, at the confirmation depth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxOutcome {
    /// `succeeded`, `reverted` or `displaced`.
    pub outcome: String,
    /// The attempt that was mined.
    pub tx_hash: Option<B256>,
    /// Its block.
    pub block_number: Option<u64>,
    /// Its block's hash.
    pub block_hash: Option<B256>,
    /// Gas used.
    pub gas_used: Option<u64>,
    /// The contract it deployed.
    pub contract: Option<Address>,
    /// What the contract said, where it reverted.
    pub revert_data: Option<Bytes>,
}

impl Store {
    /// Gives an intent its nonce: one above the highest this signer has here, or what the chain says
    /// is pending, whichever is higher. The nonce field of `new` is ignored. An intent that is here
    /// already comes back as it is.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the key names another transaction.
    pub async fn reserve_tx(&self, new: &TxIntent, pending_nonce: u64) -> Result<TxIntent, StoreError> {
        let mut tx = self.begin().await?;
        if let Some(known) = row::get::<TxIntent>(&mut tx, &[new.idem_key.to_value()]).await? {
            let same = known.chain_id == new.chain_id
                && known.signer == new.signer
                && known.destination == new.destination
                && known.value == new.value
                && known.data == new.data;
            return if same { Ok(known) } else { Err(StoreError::Conflict { key: new.idem_key.clone() }) };
        }
        let highest = highest_nonce(&mut tx, new.chain_id, new.signer).await?;
        let nonce = highest.map_or(0, |n| n + 1).max(pending_nonce);
        let intent = TxIntent { nonce, ..new.clone() };
        row::insert(&mut tx, &intent).await?;
        self.boundary()?;
        tx.commit().await?;
        Ok(intent)
    }

    /// Keeps a signed version of an intent, before it is sent.
    ///
    /// # Errors
    /// The database.
    pub async fn add_tx_attempt(&self, attempt: &TxAttempt) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let key = [attempt.idem_key.to_value(), attempt.number.to_value()];
        match row::get::<TxAttempt>(&mut tx, &key).await? {
            Some(known) if known.hash == attempt.hash => {}
            Some(_) => return Err(StoreError::Conflict { key: attempt.idem_key.clone() }),
            None => {
                row::insert(&mut tx, attempt).await?;
            }
        }
        self.boundary()?;
        tx.commit().await?;
        Ok(())
    }

    /// Records how an intent ended. The first outcome stays.
    ///
    /// # Errors
    /// The database.
    pub async fn finish_tx(&self, idem_key: &str, end: &TxOutcome) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE tx_intents SET outcome = $1, tx_hash = $2, block_number = $3, block_hash = $4, \
                   gas_used = $5, contract = $6, revert_data = $7 WHERE idem_key = $8 AND outcome IS NULL";
        let binds = [
            end.outcome.to_value(),
            end.tx_hash.to_value(),
            end.block_number.to_value(),
            end.block_hash.to_value(),
            end.gas_used.to_value(),
            end.contract.to_value(),
            end.revert_data.to_value(),
            Value::Text(idem_key.into()),
        ];
        row::run(&mut tx, sql, &binds).await?;
        self.boundary()?;
        tx.commit().await?;
        Ok(())
    }

    /// One intent.
    ///
    /// # Errors
    /// The database.
    pub async fn tx_intent(&self, idem_key: &str) -> Result<Option<TxIntent>, StoreError> {
        self.get(&[Value::Text(idem_key.into())]).await
    }

    /// The signed versions of an intent, oldest first.
    ///
    /// # Errors
    /// The database.
    pub async fn tx_attempts(&self, idem_key: &str) -> Result<Vec<TxAttempt>, StoreError> {
        self.list("WHERE idem_key = $1 ORDER BY number", &[Value::Text(idem_key.into())]).await
    }

    /// The intent that has a nonce, ended or not.
    ///
    /// # Errors
    /// The database.
    pub async fn tx_with_nonce(
        &self,
        chain_id: u64,
        signer: Address,
        nonce: u64,
    ) -> Result<Option<TxIntent>, StoreError> {
        let clause = "WHERE chain_id = $1 AND signer = $2 AND nonce = $3";
        let binds = [chain_id.to_value(), signer.to_value(), nonce.to_value()];
        Ok(self.list(clause, &binds).await?.pop())
    }

    /// What a signer still has to finish, in nonce order: a lower nonce holds up every higher one.
    ///
    /// # Errors
    /// The database.
    pub async fn open_txs(&self, chain_id: u64, signer: Address) -> Result<Vec<TxIntent>, StoreError> {
        let clause = "WHERE chain_id = $1 AND signer = $2 AND outcome IS NULL ORDER BY nonce";
        self.list(clause, &[chain_id.to_value(), signer.to_value()]).await
    }
}

async fn highest_nonce(
    conn: &mut SqliteConnection,
    chain_id: u64,
    signer: Address,
) -> Result<Option<u64>, StoreError> {
    let clause = "WHERE chain_id = $1 AND signer = $2 ORDER BY nonce DESC LIMIT 1";
    let rows: Vec<TxIntent> = row::list(conn, clause, &[chain_id.to_value(), signer.to_value()]).await?;
    Ok(rows.first().map(|r| r.nonce))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests_support::dump;

    fn intent(key: &str, data: &'static [u8]) -> TxIntent {
        TxIntent {
            idem_key: key.into(),
            chain_id: 31337,
            signer: Address::repeat_byte(1),
            nonce: 0,
            destination: Some(Address::repeat_byte(2)),
            value: U256::from(5),
            data: Bytes::from_static(data),
            gas_limit: 21_000,
            created_ms: 1,
            outcome: None,
            tx_hash: None,
            block_number: None,
            block_hash: None,
            gas_used: None,
            contract: None,
            revert_data: None,
        }
    }

    #[tokio::test]
    async fn nonces_have_no_gap_and_no_double() {
        let store = Store::in_memory().await.unwrap();
        assert_eq!(store.reserve_tx(&intent("a", b"1"), 7).await.unwrap().nonce, 7);
        assert_eq!(store.reserve_tx(&intent("b", b"2"), 7).await.unwrap().nonce, 8);
        assert_eq!(store.reserve_tx(&intent("a", b"1"), 9).await.unwrap().nonce, 7);
        let other = TxIntent { signer: Address::repeat_byte(9), ..intent("c", b"3") };
        assert_eq!(store.reserve_tx(&other, 0).await.unwrap().nonce, 0);
        let conflict = store.reserve_tx(&intent("a", b"x"), 9).await;
        assert!(matches!(conflict, Err(StoreError::Conflict { .. })));
        assert_eq!(store.reserve_tx(&intent("d", b"4"), 20).await.unwrap().nonce, 20);
    }

    #[tokio::test]
    async fn a_power_cut_leaves_no_nonce_behind() {
        let store = Store::in_memory().await.unwrap();
        let before = dump(&store).await;
        store.fuse.set(0);
        assert!(store.reserve_tx(&intent("a", b"1"), 0).await.is_err());
        store.fuse.set(i64::MAX);
        assert_eq!(dump(&store).await, before);
        assert_eq!(store.reserve_tx(&intent("a", b"1"), 0).await.unwrap().nonce, 0);
    }

    #[tokio::test]
    async fn open_transactions_come_back_in_nonce_order_until_they_end() {
        let store = Store::in_memory().await.unwrap();
        for key in ["b", "a"] {
            store.reserve_tx(&intent(key, b"1"), 0).await.unwrap();
        }
        let attempt = TxAttempt {
            idem_key: "b".into(),
            number: 0,
            hash: B256::repeat_byte(3),
            raw: Bytes::from_static(b"raw"),
            max_fee: U256::from(u128::MAX),
            max_priority_fee: U256::from(2),
            sent_ms: 5,
        };
        store.add_tx_attempt(&attempt).await.unwrap();
        store.add_tx_attempt(&attempt).await.unwrap();
        let other = TxAttempt { hash: B256::repeat_byte(4), ..attempt.clone() };
        assert!(store.add_tx_attempt(&other).await.is_err());
        assert_eq!(store.tx_attempts("b").await.unwrap(), vec![attempt]);
        let open = store.open_txs(31337, Address::repeat_byte(1)).await.unwrap();
        let keys: Vec<&str> = open.iter().map(|i| i.idem_key.as_str()).collect();
        assert_eq!(keys, ["b", "a"]);
        let end = TxOutcome {
            outcome: "succeeded".into(),
            tx_hash: Some(B256::repeat_byte(3)),
            block_number: Some(4),
            block_hash: Some(B256::repeat_byte(5)),
            gas_used: Some(21_000),
            contract: None,
            revert_data: None,
        };
        store.finish_tx("b", &end).await.unwrap();
        store.finish_tx("b", &TxOutcome { outcome: "displaced".into(), ..end }).await.unwrap();
        let done = store.tx_intent("b").await.unwrap().unwrap();
        assert_eq!((done.outcome.as_deref(), done.block_number), (Some("succeeded"), Some(4)));
        assert_eq!(store.open_txs(31337, Address::repeat_byte(1)).await.unwrap().len(), 1);
        let ended = store.tx_with_nonce(31337, Address::repeat_byte(1), 0).await.unwrap().unwrap();
        assert_eq!(ended.idem_key, "b");
    }
}
