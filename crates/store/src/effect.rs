//! The outbox: things to do outside the database, each with a name, so that doing one twice is
//! noticed and harmless.

use licen_core::primitives::{B256, Bytes};
use sqlx::sqlite::SqliteConnection;

use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::value::{Column, Value};

row::row! {
    /// Something to do outside, as stored.
    pub Effect in "effects" {
        /// Names the effect for ever: the same key is the same effect.
        idem_key: String;
        /// The job it is for, if any.
        job_id: Option<B256>,
        /// What to do.
        kind: String,
        /// What it needs, as the role encodes it.
        payload: Bytes,
        /// Whether it was done.
        done: bool,
        /// What came back.
        answer: Option<Bytes>,
        /// When it was decided, milliseconds.
        created_ms: u64,
        /// When it was done.
        done_ms: Option<u64>,
    }
}

/// Something to do outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEffect {
    /// Names the effect for ever.
    pub idem_key: String,
    /// The job it is for, if any.
    pub job_id: Option<B256>,
    /// What to do.
    pub kind: String,
    /// What it needs.
    pub payload: Bytes,
}

pub(crate) async fn insert(
    conn: &mut SqliteConnection,
    new: &NewEffect,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let effect = Effect {
        idem_key: new.idem_key.clone(),
        job_id: new.job_id,
        kind: new.kind.clone(),
        payload: new.payload.clone(),
        done: false,
        answer: None,
        created_ms: now_ms,
        done_ms: None,
    };
    row::insert(conn, &effect).await
}

impl Store {
    /// What is still to be done, oldest first.
    ///
    /// # Errors
    /// The database.
    pub async fn pending_effects(&self, limit: u32) -> Result<Vec<Effect>, StoreError> {
        self.list("WHERE done = 0 ORDER BY created_ms, idem_key LIMIT $1", &[limit.to_value()]).await
    }

    /// One effect.
    ///
    /// # Errors
    /// The database.
    pub async fn effect(&self, idem_key: &str) -> Result<Option<Effect>, StoreError> {
        self.get(&[Value::Text(idem_key.into())]).await
    }

    /// Records that an effect was done. The first answer stays; later ones change nothing.
    ///
    /// # Errors
    /// The database.
    pub async fn finish_effect(&self, idem_key: &str, answer: &[u8], now_ms: u64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE effects SET done = 1, answer = $1, done_ms = $2 WHERE idem_key = $3 AND done = 0";
        let binds = [Value::Blob(answer.to_vec()), now_ms.to_value(), Value::Text(idem_key.into())];
        row::run(&mut tx, sql, &binds).await?;
        self.boundary()?;
        tx.commit().await?;
        Ok(())
    }
}
