//! Carries out loads and writes. What belongs together is one transaction of the store; what an
//! answer rests on is written before the answer, so a crash between leaves nothing that counts.

use licen_core::primitives::B256;
use licen_store::{Store, StoreError};

use crate::effect::{Load, Write};
use crate::event::{Answer, Loaded, Wrote};

const VERDICT_SPACE: &str = "verdict";
pub(crate) const HELD_SPACE: &str = "held";
const DENIAL_SPACE: &str = "denial";
const SHARE_KIND: &str = "share";

/// Answers a load.
pub(crate) async fn load(store: &Store, load: &Load) -> Answer {
    match try_load(store, load).await {
        Ok(loaded) => Answer::Loaded(loaded),
        Err(error) => Answer::StoreFailed(error.to_string()),
    }
}

/// Carries out a write.
pub(crate) async fn write(store: &Store, now_ms: u64, write: &Write) -> Answer {
    match try_write(store, now_ms, write).await {
        Ok(wrote) => Answer::Wrote(wrote),
        Err(error @ StoreError::Conflict { .. }) => Answer::Conflict(error.to_string()),
        Err(StoreError::Retired(dataset_uid)) => Answer::Retired(dataset_uid),
        Err(error) => Answer::StoreFailed(error.to_string()),
    }
}

async fn try_load(store: &Store, load: &Load) -> Result<Loaded, StoreError> {
    Ok(match load {
        Load::Verdict { job_id, attempt, runtime_data_hash, dataset_uid } => {
            let kind = crate::machine::verdict_kind(runtime_data_hash);
            let before = attempt.saturating_sub(1);
            Loaded::Verdict {
                held: store.held_attempt(*job_id, before).await?.is_some(),
                silent: store.silence(*job_id, before).await?.is_some(),
                given: store.release(*job_id, *attempt, &kind).await?,
                tombstone: store.tombstone(*dataset_uid).await?.is_some(),
            }
        }
        Load::Release { job_id, attempt, runtime_data_hash, dataset_uid } => {
            // The case alone counts for nothing: it is written before the verdict is.
            let kind = crate::machine::verdict_kind(runtime_data_hash);
            let given = store.release(*job_id, *attempt, &kind).await?;
            let name = verdict_name(job_id, *attempt, runtime_data_hash);
            Loaded::Release {
                silent: store.silence(*job_id, *attempt).await?.is_some(),
                case: match given {
                    Some(_) => store.record(VERDICT_SPACE, &name).await?,
                    None => None,
                },
                made: store.release(*job_id, *attempt, SHARE_KIND).await?,
                tombstone: store.tombstone(*dataset_uid).await?.is_some(),
            }
        }
        Load::Held { job_id, attempt } => {
            let held = match attempt {
                Some(attempt) => store.held_attempt(*job_id, *attempt).await?,
                None => store.held(*job_id).await?,
            };
            let case = match &held {
                Some(held) => store.record(HELD_SPACE, &held_name(job_id, held.attempt)).await?,
                None => None,
            };
            let silent = match attempt {
                Some(attempt) => store.silence(*job_id, *attempt).await?.is_some(),
                None => false,
            };
            Loaded::Held { held, case, key: store.result_key(*job_id).await?, silent }
        }
        Load::Refusal { dataset_uid } => Loaded::Refusal(store.tombstone(*dataset_uid).await?),
        Load::Life { job_id, attempt } => Loaded::Life {
            heard: store.heard(*job_id, *attempt).await?,
            silence: store.silence(*job_id, *attempt).await?,
            held: store.held_attempt(*job_id, *attempt).await?.is_some(),
        },
    })
}

async fn try_write(store: &Store, now_ms: u64, write: &Write) -> Result<Wrote, StoreError> {
    match write {
        Write::Nonce { nonce, expires_ms } => store.issue_nonce(*nonce, now_ms, *expires_ms).await?,
        Write::UseNonce { nonce } => {
            return Ok(Wrote::NonceUsed(store.consume_nonce(*nonce, now_ms).await?));
        }
        Write::Release { release, case, dataset_uid, record } => {
            if let (Some(case), Some(hash)) = (case, release.kind.strip_prefix("verdict:")) {
                let hash: B256 = hash.parse().unwrap_or_default();
                let name = verdict_name(&release.job_id, release.attempt, &hash);
                // The first case stays, as the first answer does.
                if store.release(release.job_id, release.attempt, &release.kind).await?.is_none() {
                    store.put_record(VERDICT_SPACE, &name, case, now_ms).await?;
                }
            }
            return Ok(Wrote::Release(store.put_release(release, *dataset_uid, record).await?));
        }
        Write::Held { held, case, record } => {
            if store.held_attempt(held.job_id, held.attempt).await?.is_none() {
                let name = held_name(&held.job_id, held.attempt);
                store.put_record(HELD_SPACE, &name, case, now_ms).await?;
            }
            return Ok(Wrote::Held(store.put_held(held, record).await?));
        }
        Write::Manifest { job_id, attempt, manifest, signature, record } => {
            store.put_manifest(*job_id, *attempt, manifest, signature, record, now_ms).await?;
        }
        Write::Alive { job_id, attempt, heard } => store.put_heard(*job_id, *attempt, *heard).await?,
        Write::Silence { silence, record } => {
            return Ok(Wrote::Release(store.put_silence(silence, record).await?));
        }
        Write::Refusal { dataset_uid, statement, record } => {
            return Ok(Wrote::Refusal(store.put_tombstone(*dataset_uid, statement, record, now_ms).await?));
        }
        Write::ResultKey { change, record } => store.change_result_key(change, record).await?,
        Write::Denial { request, detail, record } => {
            store.put_record(DENIAL_SPACE, request, detail, now_ms).await?;
            store.append_audit(record, now_ms).await?;
        }
    }
    Ok(Wrote::Done)
}

fn verdict_name(job_id: &B256, attempt: u32, runtime_data_hash: &B256) -> String {
    format!("{job_id}:{attempt}:{runtime_data_hash}")
}

pub(crate) fn held_name(job_id: &B256, attempt: u32) -> String {
    format!("{job_id}:{attempt}")
}
