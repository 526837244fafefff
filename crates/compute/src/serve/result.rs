//! The result: packed, encrypted under a fresh key, stored, and the key dealt to the custodians of the
//! envelope. Only ciphertext touches the disk.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use licen_core::abi::Job;
use licen_core::job::Reason;
use licen_core::primitives::B256;
use licen_seal::result::{ResultTerms, ResultWriter};
use licen_seal::result_share::ResultShares;
use licen_seal::tar::archive_len;
use licen_seal::{ResultKey, SealError};

use super::base::private_dir;
use super::deliver::SealedResult;
use super::error::Broken;
use super::node::Node;
use super::setup::Prepared;
use super::training::Trained;

/// Seals and uploads. The result key is wiped on every way out; from here on only its shares exist.
///
/// # Errors
/// `COMPUTE_TASK_FAILED`.
pub(super) async fn seal_result(
    node: &Arc<Node>,
    prepared: Arc<Prepared>,
    job: &Job,
    trained: Trained,
    attestation_ref: B256,
) -> Result<SealedResult, Broken> {
    let failed = Reason::ComputeTaskFailed;
    let work = private_dir(&node.config.work_dir, ".result-").map_err(Broken::because(failed))?;
    let path = work.path().join("result");
    let terms = ResultTerms { domain: prepared.domain, job_id: job.jobId, attempt: job.attempt };
    let (sealing, target) = (prepared.clone(), path.clone());
    let sealed = tokio::task::spawn_blocking(move || seal_to(&target, &sealing, &terms, &trained));
    let shares = sealed
        .await
        .map_err(|_| Broken::new(failed, "the sealing thread broke"))?
        .map_err(Broken::because(failed))?;
    let result_hash = prepared.blobs.put_file(&path).await.map_err(Broken::because(failed))?;
    let sealed = shares.seal(&result_hash).map_err(Broken::because(failed))?;
    let commits = shares.header().members().iter().map(|member| member.share_commit);
    Ok(SealedResult {
        result_hash,
        attestation_ref,
        key_commit: shares.header().key_commit(),
        shares: sealed.into_iter().zip(commits).collect(),
    })
}

fn seal_to(
    path: &Path,
    prepared: &Prepared,
    terms: &ResultTerms,
    trained: &Trained,
) -> Result<ResultShares, SealError> {
    let key = ResultKey::generate()?;
    let t = prepared.documents.envelope.terms().t;
    let tar_bytes = archive_len(trained.files.iter().map(|(_, bytes)| bytes.len() as u64));
    let shares = ResultShares::deal(&key, terms, t, &prepared.documents.hpke_members, tar_bytes)?;
    let sink = BufWriter::new(File::create_new(path)?);
    let mut writer = ResultWriter::new(&key, shares.header(), sink)?;
    for (name, bytes) in &trained.files {
        writer.append(name, bytes.len() as u64, &mut bytes.as_slice())?;
    }
    let file = writer.finish()?.into_inner().map_err(|e| e.into_error())?;
    file.sync_all()?;
    Ok(shares)
}
