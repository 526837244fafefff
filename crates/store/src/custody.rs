//! A custodian's records. Whatever it promises or hands out stands here, beside its line in the
//! hash-chained log, before anybody hears of it; a retry gets the stored bytes again.

use licen_core::primitives::{Address, B256, Bytes, keccak256};
use licen_core::result_roots::ResultRoots;
use sqlx::sqlite::SqliteConnection;

use crate::error::StoreError;
use crate::row;
use crate::store::Store;
use crate::value::{Column, Value};

row::row! {
    /// An answer that left the custodian: a verdict, a share to compute, a result-key share.
    pub Release in "releases" {
        /// The job.
        job_id: B256, /// Its attempt.
        attempt: u32, /// `verdict`, `share`, ..: one answer of each kind per attempt.
        kind: String;
        /// The `DataPolicy` contract of the job.
        contract: Address,
        /// The one HPKE key (or signer) it went to.
        recipient: B256,
        /// Hash of what was asked.
        request_hash: B256,
        /// The answer, byte for byte.
        answer: Bytes,
        /// When, milliseconds.
        created_ms: u64,
    }
}

row::row! {
    /// A result that the custodian holds until the chain says it is paid.
    pub HeldResult in "held_results" {
        /// The job.
        job_id: B256, /// Its attempt.
        attempt: u32;
        /// The `DataPolicy` contract of the job.
        contract: Address,
        /// Root of the result blob.
        result_hash: B256,
        /// Root of the base model that was trained; not held.
        base_model_root: B256,
        /// Root of the plaintext tar in the result; not held.
        adapter_root: B256,
        /// Root of the evidence bundle.
        attestation_ref: B256,
        /// Root of the job's report.
        report_hash: B256,
        /// The sealed result-key share as delivered.
        share: Bytes,
        /// The signed `Held`, byte for byte.
        held_answer: Bytes,
        /// The ResultManifest, once compute signed it.
        manifest: Option<Bytes>,
        /// Compute's signature over it.
        manifest_signature: Option<Bytes>,
        /// When, milliseconds.
        created_ms: u64,
    }
}

row::row! {
    /// A result key that the requester's wallet put in place of a lost one.
    pub ResultKeyRecord in "result_keys" {
        /// The job.
        job_id: B256, /// Rises with each change.
        nonce: u64;
        /// The new key.
        new_key: B256,
        /// The wallet's signature.
        signature: Bytes,
        /// When, milliseconds.
        created_ms: u64,
    }
}

row::row! {
    /// One record of the hash-chained log.
    pub AuditEntry in "audit_chain" {
        /// Position, from 1.
        seq: u64;
        /// Hash of the record before; zero for the first.
        prev: B256,
        /// keccak256(u64be seq ‖ prev ‖ keccak256(record)).
        hash: B256,
        /// What happened, as the custodian encodes it.
        record: Bytes,
        /// When, milliseconds.
        created_ms: u64,
    }
}

row::row! {
    /// A challenge nonce.
    pub(crate) NonceRow in "nonces" {
        nonce: B256;
        expires_ms: u64,
        used_ms: Option<u64>,
    }
}

row::row! {
    /// Anything else a role keeps, by its own names.
    pub(crate) RecordRow in "records" {
        space: String, name: String;
        body: Bytes,
        updated_ms: u64,
    }
}

impl HeldResult {
    /// What the custodian said that it holds.
    #[must_use]
    pub fn roots(&self) -> ResultRoots {
        ResultRoots {
            result_hash: self.result_hash,
            base_model_root: self.base_model_root,
            adapter_root: self.adapter_root,
            attestation_ref: self.attestation_ref,
            report_hash: self.report_hash,
        }
    }

    /// Roots of the blobs that it keeps: result, evidence bundle and report.
    #[must_use]
    pub fn blobs(&self) -> [B256; 3] {
        [self.result_hash, self.attestation_ref, self.report_hash]
    }
}

impl AuditEntry {
    /// The hash a record has at its place.
    #[must_use]
    pub fn hash_of(seq: u64, prev: B256, record: &[u8]) -> B256 {
        keccak256([&seq.to_be_bytes()[..], prev.as_slice(), keccak256(record).as_slice()].concat())
    }
}

pub(crate) async fn append(
    conn: &mut SqliteConnection,
    record: &[u8],
    now_ms: u64,
) -> Result<AuditEntry, StoreError> {
    let last: Vec<AuditEntry> = row::list(conn, "ORDER BY seq DESC LIMIT 1", &[]).await?;
    let (seq, prev) = last.first().map_or((1, B256::ZERO), |e| (e.seq + 1, e.hash));
    let entry = AuditEntry {
        seq,
        prev,
        hash: AuditEntry::hash_of(seq, prev, record),
        record: Bytes::copy_from_slice(record),
        created_ms: now_ms,
    };
    row::insert(conn, &entry).await?;
    Ok(entry)
}

impl Store {
    /// Remembers a nonce that was handed out, and forgets the ones whose time is over.
    ///
    /// # Errors
    /// The database.
    pub async fn issue_nonce(&self, nonce: B256, now_ms: u64, expires_ms: u64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        row::run(&mut tx, "DELETE FROM nonces WHERE expires_ms < $1", &[now_ms.to_value()]).await?;
        row::insert(&mut tx, &NonceRow { nonce, expires_ms, used_ms: None }).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Uses a nonce up. True once, for a nonce that was handed out and is not too old; false ever after.
    ///
    /// # Errors
    /// The database.
    pub async fn consume_nonce(&self, nonce: B256, now_ms: u64) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE nonces SET used_ms = $1 WHERE nonce = $2 AND used_ms IS NULL AND expires_ms >= $1";
        let used = row::run(&mut tx, sql, &[now_ms.to_value(), nonce.to_value()]).await? == 1;
        tx.commit().await?;
        Ok(used)
    }

    /// Adds a record to the hash-chained log; it is on disk when this returns.
    ///
    /// # Errors
    /// The database.
    pub async fn append_audit(&self, record: &[u8], now_ms: u64) -> Result<AuditEntry, StoreError> {
        let mut tx = self.begin().await?;
        let entry = append(&mut tx, record, now_ms).await?;
        self.boundary()?;
        tx.commit().await?;
        Ok(entry)
    }

    /// Records from a position on.
    ///
    /// # Errors
    /// The database.
    pub async fn audit_entries(&self, from: u64, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        self.list("WHERE seq >= $1 ORDER BY seq LIMIT $2", &[from.to_value(), limit.to_value()]).await
    }

    /// The last record.
    ///
    /// # Errors
    /// The database.
    pub async fn audit_head(&self) -> Result<Option<AuditEntry>, StoreError> {
        Ok(self.list("ORDER BY seq DESC LIMIT 1", &[]).await?.pop())
    }

    /// Recomputes the whole log; the position of the first record that is not what it was.
    ///
    /// # Errors
    /// The database.
    pub async fn verify_audit(&self) -> Result<Option<u64>, StoreError> {
        const PAGE: u32 = 1000;
        let (mut seq, mut prev) = (1, B256::ZERO);
        loop {
            let page = self.audit_entries(seq, PAGE).await?;
            for entry in &page {
                let hash = AuditEntry::hash_of(seq, prev, &entry.record);
                if entry.seq != seq || entry.prev != prev || entry.hash != hash {
                    return Ok(Some(seq));
                }
                (seq, prev) = (seq + 1, hash);
            }
            if page.len() < PAGE as usize {
                return Ok(None);
            }
        }
    }

    /// Writes an answer and its log record, then the answer may leave. If this attempt has an answer of
    /// the kind already, that one is returned, to the same recipient only, and nothing is written.
    /// `dataset` is the one whose key the answer serves: between a first look and this its owner may have
    /// ended it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the stored answer went to another recipient or is about a job of
    /// another contract,
    /// [`StoreError::Retired`] where the dataset is refused for ever.
    pub async fn put_release(
        &self,
        release: &Release,
        dataset: Option<B256>,
        record: &[u8],
    ) -> Result<Release, StoreError> {
        let mut tx = self.begin().await?;
        if let Some(uid) = dataset {
            crate::retire::refuse_if_retired(&mut tx, uid).await?;
        }
        let key = [release.job_id.to_value(), release.attempt.to_value(), release.kind.to_value()];
        if let Some(known) = row::get::<Release>(&mut tx, &key).await? {
            if known.recipient != release.recipient || known.contract != release.contract {
                let key = format!("{} of {} attempt {}", release.kind, release.job_id, release.attempt);
                return Err(StoreError::Conflict { key });
            }
            return Ok(known);
        }
        row::insert(&mut tx, release).await?;
        self.boundary()?;
        append(&mut tx, record, release.created_ms).await?;
        self.boundary()?;
        tx.commit().await?;
        Ok(release.clone())
    }

    /// An answer that was given.
    ///
    /// # Errors
    /// The database.
    pub async fn release(
        &self,
        job_id: B256,
        attempt: u32,
        kind: &str,
    ) -> Result<Option<Release>, StoreError> {
        self.get(&[job_id.to_value(), attempt.to_value(), Value::Text(kind.into())]).await
    }

    /// Writes that a result is held, and its log record. A result of this attempt that is held already
    /// comes back as it is.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where another result of this attempt is held: one of whose roots any is
    /// another.
    pub async fn put_held(&self, held: &HeldResult, record: &[u8]) -> Result<HeldResult, StoreError> {
        let mut tx = self.begin().await?;
        let key = [held.job_id.to_value(), held.attempt.to_value()];
        if let Some(known) = row::get::<HeldResult>(&mut tx, &key).await? {
            if known.roots() != held.roots() || known.contract != held.contract {
                let key = format!("result of {} attempt {}", held.job_id, held.attempt);
                return Err(StoreError::Conflict { key });
            }
            return Ok(known);
        }
        crate::silence::refuse_if_declared(&mut tx, held.job_id, held.attempt).await?;
        row::insert(&mut tx, held).await?;
        self.boundary()?;
        append(&mut tx, record, held.created_ms).await?;
        self.boundary()?;
        tx.commit().await?;
        Ok(held.clone())
    }

    /// Adds the signed ResultManifest to a held result, once.
    ///
    /// # Errors
    /// [`StoreError::JobUnknown`] where nothing is held, [`StoreError::Conflict`] where another
    /// manifest is there.
    pub async fn put_manifest(
        &self,
        job_id: B256,
        attempt: u32,
        manifest: &[u8],
        signature: &[u8],
        record: &[u8],
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let key = [job_id.to_value(), attempt.to_value()];
        let Some(mut held) = row::get::<HeldResult>(&mut tx, &key).await? else {
            return Err(StoreError::JobUnknown(job_id.to_string()));
        };
        match &held.manifest {
            Some(known) if known[..] == *manifest => return Ok(()),
            Some(_) => {
                return Err(StoreError::Conflict { key: format!("manifest of {job_id} attempt {attempt}") });
            }
            None => {}
        }
        held.manifest = Some(Bytes::copy_from_slice(manifest));
        held.manifest_signature = Some(Bytes::copy_from_slice(signature));
        row::put(&mut tx, &held).await?;
        self.boundary()?;
        append(&mut tx, record, now_ms).await?;
        self.boundary()?;
        tx.commit().await?;
        Ok(())
    }

    /// The held result of the highest attempt.
    ///
    /// # Errors
    /// The database.
    pub async fn held(&self, job_id: B256) -> Result<Option<HeldResult>, StoreError> {
        Ok(self.list("WHERE job_id = $1 ORDER BY attempt DESC LIMIT 1", &[job_id.to_value()]).await?.pop())
    }

    /// The held result of one attempt.
    ///
    /// # Errors
    /// The database.
    pub async fn held_attempt(&self, job_id: B256, attempt: u32) -> Result<Option<HeldResult>, StoreError> {
        self.get(&[job_id.to_value(), attempt.to_value()]).await
    }

    /// Every held result.
    ///
    /// # Errors
    /// The database.
    pub async fn held_results(&self) -> Result<Vec<HeldResult>, StoreError> {
        self.list("", &[]).await
    }

    /// Roots of every blob that is kept for a held result.
    ///
    /// # Errors
    /// The database.
    pub async fn held_roots(&self) -> Result<Vec<B256>, StoreError> {
        Ok(self.held_results().await?.iter().flat_map(HeldResult::blobs).collect())
    }

    /// Puts a new result key in place, with its log record. Nonces only rise: an old signature
    /// cannot bring an old key back.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the nonce is not above the last one.
    pub async fn change_result_key(&self, change: &ResultKeyRecord, record: &[u8]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let clause = "WHERE job_id = $1 ORDER BY nonce DESC LIMIT 1";
        let last: Vec<ResultKeyRecord> = row::list(&mut tx, clause, &[change.job_id.to_value()]).await?;
        if let Some(last) = last.first() {
            if last.nonce == change.nonce && last.new_key == change.new_key {
                return Ok(());
            }
            if change.nonce <= last.nonce {
                let key = format!("result key of {} nonce {}", change.job_id, change.nonce);
                return Err(StoreError::Conflict { key });
            }
        }
        row::insert(&mut tx, change).await?;
        self.boundary()?;
        append(&mut tx, record, change.created_ms).await?;
        self.boundary()?;
        tx.commit().await?;
        Ok(())
    }

    /// The key that stands in place of the job's own, if one was ever changed.
    ///
    /// # Errors
    /// The database.
    pub async fn result_key(&self, job_id: B256) -> Result<Option<ResultKeyRecord>, StoreError> {
        Ok(self.list("WHERE job_id = $1 ORDER BY nonce DESC LIMIT 1", &[job_id.to_value()]).await?.pop())
    }

    /// Keeps anything else a role needs, by its own names.
    ///
    /// # Errors
    /// The database.
    pub async fn put_record(
        &self,
        space: &str,
        name: &str,
        body: &[u8],
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let row = RecordRow {
            space: space.into(),
            name: name.into(),
            body: Bytes::copy_from_slice(body),
            updated_ms: now_ms,
        };
        row::put(&mut tx, &row).await?;
        self.boundary()?;
        tx.commit().await?;
        Ok(())
    }

    /// What was kept under a name.
    ///
    /// # Errors
    /// The database.
    pub async fn record(&self, space: &str, name: &str) -> Result<Option<Bytes>, StoreError> {
        let row = self.get::<RecordRow>(&[Value::Text(space.into()), Value::Text(name.into())]).await?;
        Ok(row.map(|r| r.body))
    }

    /// Everything kept in a space, by name.
    ///
    /// # Errors
    /// The database.
    pub async fn records(&self, space: &str) -> Result<Vec<(String, Bytes)>, StoreError> {
        let rows: Vec<RecordRow> =
            self.list("WHERE space = $1 ORDER BY name", &[Value::Text(space.into())]).await?;
        Ok(rows.into_iter().map(|r| (r.name, r.body)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests_support::dump;

    fn release(recipient: u8) -> Release {
        Release {
            job_id: B256::repeat_byte(1),
            attempt: 1,
            kind: "share".into(),
            contract: Address::repeat_byte(9),
            recipient: B256::repeat_byte(recipient),
            request_hash: B256::repeat_byte(9),
            answer: Bytes::from(vec![recipient]),
            created_ms: 5,
        }
    }

    #[tokio::test]
    async fn a_share_goes_to_one_key_and_a_retry_gets_the_same_bytes() {
        let store = Store::in_memory().await.unwrap();
        store.put_release(&release(7), None, b"released").await.unwrap();
        let retry = Release { answer: Bytes::from_static(b"fresh"), ..release(7) };
        assert_eq!(store.put_release(&retry, None, b"again").await.unwrap(), release(7));
        let elsewhere = Release { contract: Address::repeat_byte(8), ..release(7) };
        for other in [release(8), elsewhere] {
            assert!(matches!(store.put_release(&other, None, b"x").await, Err(StoreError::Conflict { .. })));
        }
        assert_eq!(store.audit_entries(1, 10).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn nothing_leaves_without_its_log_record() {
        let store = Store::in_memory().await.unwrap();
        let before = dump(&store).await;
        for boundary in 0..2 {
            store.fuse.set(boundary);
            assert!(store.put_release(&release(7), None, b"released").await.is_err());
            store.fuse.set(i64::MAX);
            assert_eq!(dump(&store).await, before, "power cut at boundary {boundary}");
        }
    }

    #[tokio::test]
    async fn a_nonce_works_once_and_not_late() {
        let store = Store::in_memory().await.unwrap();
        let (a, b) = (B256::repeat_byte(1), B256::repeat_byte(2));
        store.issue_nonce(a, 0, 100).await.unwrap();
        store.issue_nonce(b, 0, 100).await.unwrap();
        assert!(store.consume_nonce(a, 100).await.unwrap());
        assert!(!store.consume_nonce(a, 100).await.unwrap());
        assert!(!store.consume_nonce(b, 101).await.unwrap());
        assert!(!store.consume_nonce(B256::repeat_byte(3), 1).await.unwrap());
    }

    #[tokio::test]
    async fn a_changed_log_shows_where() {
        let store = Store::in_memory().await.unwrap();
        for i in 0..5u8 {
            store.append_audit(&[i], u64::from(i)).await.unwrap();
        }
        assert_eq!(store.verify_audit().await.unwrap(), None);
        let mut tx = store.begin().await.unwrap();
        row::run(&mut tx, "UPDATE audit_chain SET record = X'FF' WHERE seq = 3", &[]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.verify_audit().await.unwrap(), Some(3));
    }

    #[tokio::test]
    async fn one_result_and_one_manifest_per_attempt() {
        let store = Store::in_memory().await.unwrap();
        let held = HeldResult {
            job_id: B256::repeat_byte(1),
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
        };
        assert!(store.put_manifest(held.job_id, 1, b"m", b"s", b"r", 1).await.is_err());
        store.put_held(&held, b"held").await.unwrap();
        store.put_held(&held, b"held").await.unwrap();
        let nine = B256::repeat_byte(9);
        for other in [
            HeldResult { result_hash: nine, ..held.clone() },
            HeldResult { base_model_root: nine, ..held.clone() },
            HeldResult { adapter_root: nine, ..held.clone() },
            HeldResult { attestation_ref: nine, ..held.clone() },
            HeldResult { report_hash: nine, ..held.clone() },
            HeldResult { contract: Address::repeat_byte(8), ..held.clone() },
        ] {
            assert!(matches!(store.put_held(&other, b"x").await, Err(StoreError::Conflict { .. })));
        }
        store.put_manifest(held.job_id, 1, b"m", b"s", b"r", 1).await.unwrap();
        store.put_manifest(held.job_id, 1, b"m", b"s", b"r", 1).await.unwrap();
        let refused = store.put_manifest(held.job_id, 1, b"n", b"s", b"r", 1).await;
        assert!(matches!(refused, Err(StoreError::Conflict { .. })));
        let stored = store.held(held.job_id).await.unwrap().unwrap();
        assert_eq!(stored.manifest, Some(Bytes::from_static(b"m")));
        assert_eq!(store.audit_head().await.unwrap().unwrap().seq, 2);
        assert_eq!(
            store.held_roots().await.unwrap(),
            [held.result_hash, held.attestation_ref, held.report_hash]
        );
    }

    #[tokio::test]
    async fn an_old_key_change_cannot_come_back() {
        let store = Store::in_memory().await.unwrap();
        let change = |nonce: u64, key: u8| ResultKeyRecord {
            job_id: B256::repeat_byte(1),
            nonce,
            new_key: B256::repeat_byte(key),
            signature: Bytes::new(),
            created_ms: 1,
        };
        store.change_result_key(&change(1, 7), b"r").await.unwrap();
        store.change_result_key(&change(2, 8), b"r").await.unwrap();
        store.change_result_key(&change(2, 8), b"r").await.unwrap();
        let old = store.change_result_key(&change(1, 7), b"r").await;
        assert!(matches!(old, Err(StoreError::Conflict { .. })));
        let current = store.result_key(B256::repeat_byte(1)).await.unwrap().unwrap();
        assert_eq!(current.new_key, B256::repeat_byte(8));
    }
}
