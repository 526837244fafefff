//! The key is here: evidence is stored, ciphertext fetched, decrypted in memory, and everything the
//! owner published about it recomputed before a single step of training.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use licen_core::canonical::json_to_vec;
use licen_core::constraints;
use licen_core::fault::{Fault, Party};
use licen_core::job::Reason;
use licen_core::primitives::B256;
use licen_core::report::{EpochCounts, RowCounts};
use licen_core::rows::MAX_ROW_BYTES;
use licen_seal::DatasetKey;
use licen_seal::stream::dataset_aad;

use super::base::private_dir;
use super::blobs::{BlobError, Blobs};
use super::custodians::jittered;
use super::dataset::{Rows, open_rows, published_len, too_short};
use super::error::Broken;
use super::limits;
use super::node::Node;
use super::setup::Prepared;
use super::training::broken;
use crate::apart::Trainer;
use crate::apart::wire::{Order, Report};
use licen_train::jsonl::shapes;

/// Tries to fetch the dataset; each may take long.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(1);

/// What training needs; the rows themselves are the trainer's.
pub(super) struct Opened {
    /// What is known of them.
    pub(super) data: Data,
    /// Root of the stored evidence bundle.
    pub(super) attestation_ref: B256,
    /// CPU time that the trainer has used so far.
    pub(super) compute: Duration,
}

/// What is known of the rows. Text tokens, and rows without any to learn, are the trainer's word within
/// bounds; everything else is counted by the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Data {
    /// Rows.
    pub(super) rows: RowCounts,
    /// What one visit of every training row counts.
    pub(super) per_epoch: EpochCounts,
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
        let data = samples(trainer, &prepared, &rows)?;
        let compute = trainer.cpu_time().map_err(Broken::because(Reason::ComputeTaskFailed))?;
        Ok(Opened { data, attestation_ref, compute })
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
    let aad = dataset_aad(prepared.domain.chain_id, &dataset_uid);
    let published = &prepared.documents.policy_manifest;
    open_rows(&key, (&aad, &dataset_uid), &mut BufReader::new(file), length, published)
}

/// Has the trainer make text tokens of the rows, compares the published count, checks the owner's limits on rows and
/// steps. How many rows train and are held out is computed here, because what a trainer says decides about nothing it
/// could gain by.
fn samples(trainer: &Trainer, prepared: &Prepared, rows: &Rows) -> Result<Data, Broken> {
    let (base, documents) = (&prepared.base, &prepared.documents);
    let plan = &documents.plan;
    let (train, held_out) = plan.split(rows.count());
    check(prepared, rows.count())?;
    let shapes = shapes(rows.text(), MAX_ROW_BYTES).map_err(|error| broken(error.code()))?;
    let published = documents.policy_manifest.token_counts();
    let said = published.iter().find(|count| count.tokenizer_hash == base.tokenizer_hash);
    let ours = Broken::because(Reason::ComputeTaskFailed);
    let order = Order::Rows { bytes: rows.text().len() as u64, count: said.is_some() };
    trainer.tell(&order, rows.text()).map_err(&ours)?;
    let (tokens, per_epoch, without_target) = match trainer.hear().map_err(&ours)? {
        Report::Opened { tokens, per_epoch, without_target } => (tokens, per_epoch, without_target),
        Report::Failed { code } => return Err(broken(&code)),
        _ => return Err(Broken::new(Reason::ComputeTaskFailed, "the trainer answers something else")),
    };
    if let Some(said) = said
        && tokens != Some(said.count)
    {
        let message = format!("the rows do not have the {} text tokens that the owner published", said.count);
        return Err(Broken::new(Reason::DatasetMismatch, message));
    }
    let shapes = shapes.into_iter().map(|(shape, count)| (shape.name().to_owned(), count)).collect();
    let counted = RowCounts { train, held_out, shapes, without_target };
    let nonsense =
        || Broken::new(Reason::ComputeTaskFailed, "the trainer counts what these rows cannot have");
    let uncut = said.map(|said| said.count);
    let per_epoch =
        limits::tokens(per_epoch, &counted, plan.params.max_seq_length, uncut).ok_or_else(nonsense)?;
    plan.check_units(&prepared.dispatch.job.0, rows.count(), Some(per_epoch.tokens_trained))?;
    Ok(Data { rows: counted, per_epoch })
}

/// The limits that need to know how many rows there are, before the trainer has any.
fn check(prepared: &Prepared, rows: u64) -> Result<(), Broken> {
    let (base, documents) = (&prepared.base, &prepared.documents);
    documents.plan.check_units(&prepared.dispatch.job.0, rows, None)?;
    let steps = documents.plan.params.planned_steps(documents.plan.split(rows).0);
    let checked = constraints::check_run(&documents.constraints, rows, base.trainable, steps);
    checked.map_err(|breach| {
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
    })
}
