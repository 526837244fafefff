//! What a dispatch has to show before it may take a place and wait for the training slot: its documents
//! exist, and t of the custodians they name say that the chain knows the job as Granted. An invented
//! dispatch costs its sender as much as us, and nobody waits for it.

use std::time::Duration;

use licen_core::wire::compute::Dispatch;
use tempfile::TempDir;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};

use super::base::BaseModel;
use super::blobs::Blobs;
use super::custodians::jittered;
use super::documents::{DocumentError, Documents};
use super::node::Node;
use super::setup::{challenge, needed};

/// Longest time to show it.
const PROOF_LIMIT: Duration = Duration::from_secs(5 * 60);
/// Longest time for the archive of the base model, which may be large.
const ARCHIVE_LIMIT: Duration = Duration::from_secs(30 * 60);
/// Between tries.
const PAUSE: Duration = Duration::from_secs(3);

/// A dispatch that may wait for the slot.
pub(super) struct Qualified {
    pub(super) documents: Documents,
    pub(super) blobs: Blobs,
    /// Where the base model's archive lies.
    pub(super) archive: TempDir,
    /// One of `maxTasks`.
    pub(super) place: OwnedSemaphorePermit,
}

/// Fetches what the job names and asks custodians whether it is Granted.
///
/// # Errors
/// One sentence that says what is missing or who refused what.
pub(super) async fn qualify(
    node: &Node,
    dispatch: &Dispatch,
    attempt: u32,
    note: &impl Fn(String),
    proven: impl FnOnce(),
) -> Result<Qualified, String> {
    let blobs = node.blobs(&dispatch.blob_url)?;
    let proof = async {
        let documents = fetch_documents(node, &blobs, dispatch, note).await?;
        asked(node, dispatch, attempt, &documents, note).await?;
        Ok::<_, String>(documents)
    };
    let late = |_| "the job's documents and t custodians did not show in time that it is granted".to_string();
    let documents = timeout(PROOF_LIMIT, proof).await.map_err(late)??;
    proven();
    note("waiting for a place".into());
    let place = node.places.clone().acquire_owned().await.map_err(|e| e.to_string())?;
    let archive = fetch_archive(node, &blobs, &documents, note);
    let late = |_| "the base model did not come in time".to_string();
    let archive = timeout(ARCHIVE_LIMIT, archive).await.map_err(late)??;
    Ok(Qualified { documents, blobs, archive, place })
}

async fn fetch_documents(
    node: &Node,
    blobs: &Blobs,
    dispatch: &Dispatch,
    note: &impl Fn(String),
) -> Result<Documents, String> {
    loop {
        match Documents::fetch(blobs, dispatch, &node.config).await {
            Ok(documents) => return Ok(documents),
            Err(DocumentError::Refused(reason)) => return Err(reason),
            Err(error @ DocumentError::Fetch { .. }) => note(error.to_string()),
        }
        sleep(jittered(PAUSE)).await;
    }
}

/// A custodian gives a nonce only for a job that the chain shows as Granted or, for a later attempt, as
/// Running and not lately heard of.
async fn asked(
    node: &Node,
    dispatch: &Dispatch,
    attempt: u32,
    documents: &Documents,
    note: &impl Fn(String),
) -> Result<(), String> {
    let (need, members) = (needed(attempt, documents), documents.members.len());
    loop {
        let asked = (&documents.members[..], need);
        let answers = challenge(node, dispatch, attempt, asked, Duration::ZERO).await;
        if answers.good.len() >= need {
            return Ok(());
        }
        let message =
            format!("{} of {need} custodians know the job: {}", answers.good.len(), answers.complaints());
        if answers.is_hopeless(members, need) {
            return Err(message);
        }
        note(message);
        sleep(jittered(PAUSE)).await;
    }
}

async fn fetch_archive(
    node: &Node,
    blobs: &Blobs,
    documents: &Documents,
    note: &impl Fn(String),
) -> Result<TempDir, String> {
    let (root, cap) = (documents.job_spec.base_model_root, node.config.max_model_bytes);
    loop {
        match BaseModel::fetch(blobs, root, cap, &node.config.work_dir).await {
            Ok(archive) => return Ok(archive),
            Err(error) if error.is_lasting() => return Err(format!("the base model: {error}")),
            Err(error) => note(format!("the base model: {error}")),
        }
        sleep(jittered(PAUSE)).await;
    }
}
