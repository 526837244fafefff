//! What a custodian has heard of compute, and that it called an attempt silent.
//!
//! Invariant: of one attempt a custodian either holds the result or has called it silent, never both.
//! Each write looks for the other in its own transaction, so no order of requests and no crash between
//! them makes two promises of it.

use licen_core::primitives::{B256, Bytes};
use sqlx::sqlite::SqliteConnection;

use crate::custody::{HeldResult, RecordRow, Release, append};
use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::value::{Column, Value};

/// The kind under which the signed statement of silence stands among the answers that left.
pub const SILENCE: &str = "silence";
const ALIVE_SPACE: &str = "alive";

/// The last sign of life of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Its number; the next one is above it.
    pub seq: u64,
    /// When it came, milliseconds of the clock of that time.
    pub at_ms: u64,
}

impl Heard {
    fn to_bytes(self) -> Vec<u8> {
        [self.seq.to_be_bytes(), self.at_ms.to_be_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let malformed = || StoreError::Malformed { what: "records.alive" };
        let (seq, at_ms) = bytes.split_first_chunk::<8>().ok_or_else(malformed)?;
        let at_ms = at_ms.try_into().map_err(|_| malformed())?;
        Ok(Self { seq: u64::from_be_bytes(*seq), at_ms: u64::from_be_bytes(at_ms) })
    }
}

fn name(job_id: B256, attempt: u32) -> String {
    format!("{job_id}:{attempt}")
}

/// [`StoreError::Conflict`] where this attempt was called silent.
pub(crate) async fn refuse_if_declared(
    conn: &mut SqliteConnection,
    job_id: B256,
    attempt: u32,
) -> Result<(), StoreError> {
    let key = [job_id.to_value(), attempt.to_value(), Value::Text(SILENCE.into())];
    match row::get::<Release>(conn, &key).await? {
        Some(_) => Err(StoreError::Conflict { key: format!("silence of {job_id} attempt {attempt}") }),
        None => Ok(()),
    }
}

impl Store {
    /// Remembers a sign of life, on disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the number is not above the last one, or the attempt was called
    /// silent meanwhile.
    pub async fn put_heard(&self, job_id: B256, attempt: u32, heard: Heard) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        refuse_if_declared(&mut tx, job_id, attempt).await?;
        let name = name(job_id, attempt);
        let key = [Value::Text(ALIVE_SPACE.into()), Value::Text(name.clone())];
        if let Some(known) = row::get::<RecordRow>(&mut tx, &key).await?
            && Heard::from_bytes(&known.body)?.seq >= heard.seq
        {
            return Err(StoreError::Conflict { key: format!("sign of life {} of {name}", heard.seq) });
        }
        let body = Bytes::from(heard.to_bytes());
        let row = RecordRow { space: ALIVE_SPACE.into(), name, body, updated_ms: heard.at_ms };
        row::put(&mut tx, &row).await?;
        self.boundary()?;
        tx.commit().await?;
        Ok(())
    }

    /// The last sign of life of an attempt.
    ///
    /// # Errors
    /// The database.
    pub async fn heard(&self, job_id: B256, attempt: u32) -> Result<Option<Heard>, StoreError> {
        let body = self.record(ALIVE_SPACE, &name(job_id, attempt)).await?;
        body.map(|body| Heard::from_bytes(&body)).transpose()
    }

    /// Writes that this attempt is called silent, with its log record; the first statement stays.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where a result of this attempt is held, or the statement that stands is about
    /// a job of another contract.
    pub async fn put_silence(&self, silence: &Release, record: &[u8]) -> Result<Release, StoreError> {
        let mut tx = self.begin().await?;
        let key = [silence.job_id.to_value(), silence.attempt.to_value()];
        if row::get::<HeldResult>(&mut tx, &key).await?.is_some() {
            let key = format!("result of {} attempt {}", silence.job_id, silence.attempt);
            return Err(StoreError::Conflict { key });
        }
        let silence = Release { kind: SILENCE.into(), ..silence.clone() };
        let key = [silence.job_id.to_value(), silence.attempt.to_value(), silence.kind.to_value()];
        if let Some(known) = row::get::<Release>(&mut tx, &key).await? {
            if known.contract != silence.contract {
                let key = format!("silence of {} attempt {}", silence.job_id, silence.attempt);
                return Err(StoreError::Conflict { key });
            }
            return Ok(known);
        }
        row::insert(&mut tx, &silence).await?;
        self.boundary()?;
        append(&mut tx, record, silence.created_ms).await?;
        self.boundary()?;
        tx.commit().await?;
        Ok(silence)
    }

    /// The statement of silence about an attempt, if one was made.
    ///
    /// # Errors
    /// The database.
    pub async fn silence(&self, job_id: B256, attempt: u32) -> Result<Option<Release>, StoreError> {
        self.release(job_id, attempt, SILENCE).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests_support::dump;
    use licen_core::primitives::Address;

    const JOB: B256 = B256::repeat_byte(1);

    fn silence() -> Release {
        Release {
            job_id: JOB,
            attempt: 1,
            kind: SILENCE.into(),
            contract: Address::repeat_byte(9),
            recipient: B256::ZERO,
            request_hash: B256::ZERO,
            answer: Bytes::from_static(b"silent"),
            created_ms: 5,
        }
    }

    fn held() -> HeldResult {
        HeldResult {
            job_id: JOB,
            attempt: 1,
            contract: Address::repeat_byte(9),
            result_hash: B256::repeat_byte(2),
            base_model_root: B256::repeat_byte(4),
            adapter_root: B256::repeat_byte(5),
            attestation_ref: B256::repeat_byte(3),
            report_hash: B256::repeat_byte(6),
            share: Bytes::from_static(b"share"),
            held_answer: Bytes::from_static(b"held"),
            manifest: None,
            manifest_signature: None,
            created_ms: 1,
        }
    }

    #[tokio::test]
    async fn an_attempt_is_held_or_silent_and_never_both() {
        let store = Store::in_memory().await.unwrap();
        store.put_silence(&silence(), b"silence").await.unwrap();
        assert!(matches!(store.put_held(&held(), b"held").await, Err(StoreError::Conflict { .. })));
        assert_eq!(store.held(JOB).await.unwrap(), None);
        let again = Release { answer: Bytes::from_static(b"other"), ..silence() };
        assert_eq!(store.put_silence(&again, b"x").await.unwrap(), silence(), "the first one stays");
        let next = HeldResult { attempt: 2, ..held() };
        store.put_held(&next, b"held").await.unwrap();
        let next = Release { attempt: 2, ..silence() };
        assert!(matches!(store.put_silence(&next, b"x").await, Err(StoreError::Conflict { .. })));
        assert_eq!(store.silence(JOB, 2).await.unwrap(), None);
        assert_eq!(store.audit_entries(1, 10).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_crash_while_silence_is_written_leaves_all_of_it_or_nothing() {
        let store = Store::in_memory().await.unwrap();
        let before = dump(&store).await;
        for boundary in 0..2 {
            store.fuse.set(boundary);
            assert!(store.put_silence(&silence(), b"silence").await.is_err());
            store.fuse.set(i64::MAX);
            assert_eq!(dump(&store).await, before, "power cut at boundary {boundary}");
        }
        store.put_held(&held(), b"held").await.unwrap();
    }

    #[tokio::test]
    async fn an_old_sign_of_life_does_not_come_again() {
        let store = Store::in_memory().await.unwrap();
        let heard = |seq, at_ms| Heard { seq, at_ms };
        store.put_heard(JOB, 1, heard(7, 100)).await.unwrap();
        for old in [0, 6, 7] {
            let replayed = store.put_heard(JOB, 1, heard(old, 900)).await;
            assert!(matches!(replayed, Err(StoreError::Conflict { .. })));
        }
        store.put_heard(JOB, 2, heard(0, 200)).await.unwrap();
        store.put_heard(JOB, 1, heard(8, 300)).await.unwrap();
        assert_eq!(store.heard(JOB, 1).await.unwrap(), Some(heard(8, 300)));
        store.put_silence(&silence(), b"silence").await.unwrap();
        assert!(matches!(store.put_heard(JOB, 1, heard(9, 400)).await, Err(StoreError::Conflict { .. })));
    }
}
