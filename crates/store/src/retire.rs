//! What a custodian gives up for ever: datasets that it refuses, keys that it destroyed. The signed
//! statement stands beside its line in the hash-chained log before anybody sees it.

use licen_core::primitives::{B256, Bytes};
use sqlx::sqlite::SqliteConnection;

use crate::custody::{RecordRow, append};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::value::{Column, Value};

const ERASURE_SPACE: &str = "erasure";

row::row! {
    /// A dataset that the custodian refuses for ever.
    pub(crate) TombstoneRow in "tombstones" {
        dataset_uid: B256;
        statement: Bytes,
        created_ms: u64,
    }
}

/// Refuses where the dataset's owner ended it.
///
/// # Errors
/// [`StoreError::Retired`].
pub(crate) async fn refuse_if_retired(
    conn: &mut SqliteConnection,
    dataset_uid: B256,
) -> Result<(), StoreError> {
    match row::get::<TombstoneRow>(conn, &[dataset_uid.to_value()]).await? {
        Some(_) => Err(StoreError::Retired(dataset_uid)),
        None => Ok(()),
    }
}

impl Store {
    /// Refuses a dataset for ever, with the signed statement and its log record. The statement that
    /// stands is returned: the first one.
    ///
    /// # Errors
    /// The database.
    pub async fn put_tombstone(
        &self,
        dataset_uid: B256,
        statement: &[u8],
        record: &[u8],
        now_ms: u64,
    ) -> Result<Bytes, StoreError> {
        let mut tx = self.begin().await?;
        if let Some(known) = row::get::<TombstoneRow>(&mut tx, &[dataset_uid.to_value()]).await? {
            return Ok(known.statement);
        }
        let statement = Bytes::copy_from_slice(statement);
        row::insert(&mut tx, &TombstoneRow { dataset_uid, statement: statement.clone(), created_ms: now_ms })
            .await?;
        self.boundary()?;
        append(&mut tx, record, now_ms).await?;
        self.boundary()?;
        tx.commit().await?;
        Ok(statement)
    }

    /// The signed statement for a refused dataset.
    ///
    /// # Errors
    /// The database.
    pub async fn tombstone(&self, dataset_uid: B256) -> Result<Option<Bytes>, StoreError> {
        Ok(self.get::<TombstoneRow>(&[dataset_uid.to_value()]).await?.map(|r| r.statement))
    }

    /// Writes that a key is destroyed, with the signed statement and its log record. The statement that
    /// stands is returned: the first one.
    ///
    /// # Errors
    /// The database.
    pub async fn put_erasure(
        &self,
        hpke_key: B256,
        statement: &[u8],
        record: &[u8],
        now_ms: u64,
    ) -> Result<Bytes, StoreError> {
        let mut tx = self.begin().await?;
        let name = hpke_key.to_string();
        let key = [Value::Text(ERASURE_SPACE.into()), Value::Text(name.clone())];
        if let Some(known) = row::get::<RecordRow>(&mut tx, &key).await? {
            return Ok(known.body);
        }
        let body = Bytes::copy_from_slice(statement);
        let space = ERASURE_SPACE.to_owned();
        row::insert(&mut tx, &RecordRow { space, name, body: body.clone(), updated_ms: now_ms }).await?;
        self.boundary()?;
        append(&mut tx, record, now_ms).await?;
        self.boundary()?;
        tx.commit().await?;
        Ok(body)
    }

    /// The signed statement that a key is destroyed.
    ///
    /// # Errors
    /// The database.
    pub async fn erasure(&self, hpke_key: B256) -> Result<Option<Bytes>, StoreError> {
        self.record(ERASURE_SPACE, &hpke_key.to_string()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests_support::dump;

    #[tokio::test]
    async fn what_is_given_up_stays_given_up_under_its_first_statement() {
        let store = Store::in_memory().await.unwrap();
        let uid = B256::repeat_byte(1);
        for said in [b"first", b"other"] {
            assert_eq!(store.put_tombstone(uid, said, b"r", 1).await.unwrap()[..], b"first"[..]);
            assert_eq!(store.put_erasure(uid, said, b"r", 1).await.unwrap()[..], b"first"[..]);
        }
        assert_eq!(store.tombstone(uid).await.unwrap(), Some(Bytes::from_static(b"first")));
        assert_eq!(store.erasure(uid).await.unwrap(), Some(Bytes::from_static(b"first")));
        assert_eq!(store.audit_head().await.unwrap().unwrap().seq, 2);
        assert_eq!(store.erasure(B256::ZERO).await.unwrap(), None);
    }

    #[tokio::test]
    async fn nothing_leaves_of_a_dataset_that_ended_meanwhile() {
        let store = Store::in_memory().await.unwrap();
        let (uid, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        store.put_tombstone(uid, b"s", b"r", 1).await.unwrap();
        let release = crate::Release {
            job_id: B256::repeat_byte(1),
            attempt: 1,
            kind: "share".into(),
            contract: licen_core::primitives::Address::repeat_byte(9),
            recipient: B256::ZERO,
            request_hash: B256::ZERO,
            answer: Bytes::from_static(b"share"),
            created_ms: 5,
        };
        let refused = store.put_release(&release, Some(uid), b"released").await;
        assert!(matches!(refused, Err(StoreError::Retired(named)) if named == uid));
        assert_eq!(store.audit_head().await.unwrap().unwrap().seq, 1);
        store.put_release(&release, Some(other), b"released").await.unwrap();
    }

    #[tokio::test]
    async fn no_statement_without_its_log_record() {
        let store = Store::in_memory().await.unwrap();
        let before = dump(&store).await;
        for boundary in 0..2 {
            store.fuse.set(boundary);
            assert!(store.put_tombstone(B256::ZERO, b"s", b"r", 1).await.is_err());
            store.fuse.set(boundary);
            assert!(store.put_erasure(B256::ZERO, b"s", b"r", 1).await.is_err());
            store.fuse.set(i64::MAX);
            assert_eq!(dump(&store).await, before, "power cut at boundary {boundary}");
        }
    }

    #[tokio::test]
    async fn records_are_kept_by_space_and_name() {
        let store = Store::in_memory().await.unwrap();
        store.put_record("alive", "1", b"5", 1).await.unwrap();
        store.put_record("alive", "1", b"6", 2).await.unwrap();
        assert_eq!(store.record("alive", "1").await.unwrap(), Some(Bytes::from_static(b"6")));
        assert_eq!(store.records("alive").await.unwrap().len(), 1);
    }
}
