//! The key is here: evidence is stored, ciphertext fetched, decrypted in memory, and everything the
//! owner published about it recomputed before a single step of training.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use licen_core::canonical::json_to_vec;
use licen_core::constraints;
use licen_core::fault::{Fault, Party};
use licen_core::job::Reason;
use licen_core::primitives::B256;
use licen_seal::DatasetKey;
use licen_seal::stream::dataset_aad;

use super::base::private_dir;
use super::blobs::{BlobError, Blobs};
use super::custodians::jittered;
use super::dataset::{Rows, open_rows, published_len, too_short};
use super::error::Broken;
use super::node::Node;
use super::setup::Prepared;
use super::training::broken;
use crate::apart::Trainer;
use crate::apart::wire::{Order, Report};

/// Tries to fetch the dataset; each may take long.
const TRIES: u32 = 4;
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// What training needs; the rows themselves are the trainer's.
pub(super) struct Opened {
    /// How many rows train, and how many are held out to judge by.
    pub(super) rows: (u64, u64),
    /// Root of the stored evidence bundle.
    pub(super) attestation_ref: B256,
}

/// Stores the evidence, fetches and opens the dataset. The key is wiped on every way out.
///
/// # Errors
/// `STORAGE_DOWNLOAD_FAILED`, `DATASET_DECRYPT_FAILED`, `DATASET_MISMATCH`, `JOB_SPEC_INVALID`.
pub(super) async fn open(
    node: &Arc<Node>,
    prepared: Arc<Prepared>,
    key: DatasetKey,
    note: impl Fn(String),
) -> Result<Opened, Broken> {
    let bundle = json_to_vec(&prepared.bundle).map_err(Broken::because(Reason::ComputeTaskFailed))?;
    let attestation_ref =
        prepared.blobs.put(bundle).await.map_err(Broken::because(Reason::ComputeTaskFailed))?;
    let work =
        private_dir(&node.config.work_dir, ".data-").map_err(Broken::because(Reason::ComputeTaskFailed))?;
    let path = work.path().join("ciphertext");
    let root = prepared.dispatch.job.0.datasetRoot;
    let wanted = published_len(&prepared.documents.policy_manifest)?;
    let length = fetch(&prepared.blobs, root, (wanted, node.config.max_dataset_bytes), &path, &note)
        .await
        .map_err(|e| Broken::new(Reason::StorageDownloadFailed, format!("the dataset: {e}")))?;
    let trainer = prepared.base.trainer.clone();
    let hand_over = move |trainer: &Trainer| {
        let rows = rows(&prepared, key, &path, length)?;
        drop(work); // the ciphertext file
        let rows = samples(trainer, &prepared, &rows)?;
        Ok(Opened { rows, attestation_ref })
    };
    trainer.with(hand_over).await.map_err(Broken::because(Reason::ComputeTaskFailed))?
}

async fn fetch(
    blobs: &Blobs,
    root: B256,
    (wanted, cap): (u64, u64),
    path: &Path,
    note: &impl Fn(String),
) -> Result<u64, BlobError> {
    let once = async || {
        let length = blobs.fetch(root, cap, path).await?;
        if length < wanted {
            return Err(BlobError::passing(too_short(length, wanted)));
        }
        Ok(length)
    };
    for _ in 1..TRIES {
        match once().await {
            Ok(length) => return Ok(length),
            Err(error) => note(format!("the dataset: {error}; trying again")),
        }
        tokio::time::sleep(jittered(PAUSE)).await;
    }
    once().await
}

fn rows(prepared: &Prepared, key: DatasetKey, path: &Path, length: u64) -> Result<Rows, Broken> {
    let dataset_uid = prepared.dispatch.job.0.datasetUid;
    let file = File::open(path).map_err(Broken::because(Reason::ComputeTaskFailed))?;
    let aad = dataset_aad(&prepared.domain, &dataset_uid);
    let published = &prepared.documents.policy_manifest;
    open_rows(&key, (&aad, &dataset_uid), &mut BufReader::new(file), length, published)
}

/// Has the trainer make text tokens of the rows, compares the published count, checks the owner's limits on rows and
/// steps. How many rows train and are held out is computed here, because what a trainer says decides about nothing it
/// could gain by.
fn samples(trainer: &Trainer, prepared: &Prepared, rows: &Rows) -> Result<(u64, u64), Broken> {
    let (base, documents) = (&prepared.base, &prepared.documents);
    let published = documents.policy_manifest.token_counts();
    let said = published.iter().find(|count| count.tokenizer_hash == base.tokenizer_hash);
    let ours = Broken::because(Reason::ComputeTaskFailed);
    let order = Order::Rows { bytes: rows.text().len() as u64, count: said.is_some() };
    trainer.tell(&order, rows.text()).map_err(&ours)?;
    let tokens = match trainer.hear().map_err(&ours)? {
        Report::Opened { tokens } => tokens,
        Report::Failed { code } => return Err(broken(&code)),
        _ => return Err(Broken::new(Reason::ComputeTaskFailed, "the trainer answers something else")),
    };
    if let Some(said) = said
        && tokens != Some(said.count)
    {
        let message = format!("the rows do not have the {} text tokens that the owner published", said.count);
        return Err(Broken::new(Reason::DatasetMismatch, message));
    }
    let (train, held_out) = documents.plan.split(rows.count());
    let steps = documents.plan.params.planned_steps(train);
    constraints::check_run(&documents.constraints, rows.count(), base.trainable, steps).map_err(
        |breach| {
            let reason = match breach.fault() {
                Party::Owner => Reason::DatasetMismatch,
                Party::Requester => Reason::JobSpecInvalid,
                Party::Custodian
                | Party::Compute
                | Party::Storage
                | Party::Chain
                | Party::Operator
                | Party::Environment => Reason::ComputeTaskFailed,
            };
            Broken::new(reason, breach)
        },
    )?;
    Ok((train, held_out))
}
