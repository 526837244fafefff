//! The result: packed, encrypted under a fresh key, stored, and the key dealt to the custodians of the
//! envelope. Only ciphertext touches the disk.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use licen_core::abi::{Job, ResultManifest};
use licen_core::job::Reason;
use licen_core::primitives::B256;
use licen_core::result_roots::ResultRoots;
use licen_seal::result::{ResultTar, ResultTerms, ResultWriter};
use licen_seal::result_share::ResultShares;
use licen_seal::{ResultKey, SealError};
use licen_storage::keccak::Keccak;

use super::base::private_dir;
use super::deliver::SealedResult;
use super::error::Broken;
use super::node::Node;
use super::report::report;
use super::setup::Prepared;
use super::training::Trained;

/// Seals and uploads result and report; gives the manifest of both. The result key is wiped on every way out; from here on only its shares exist.
///
/// # Errors
/// `COMPUTE_TASK_FAILED`.
pub(super) async fn seal_result(
    node: &Arc<Node>,
    prepared: Arc<Prepared>,
    job: &Job,
    trained: Trained,
    attestation_ref: B256,
) -> Result<(SealedResult, ResultManifest), Broken> {
    let failed = Reason::ComputeTaskFailed;
    let manifest = trained.manifest(job);
    let report = report(job, &prepared.documents.plan, &trained, &manifest)?;
    let report_hash = prepared.blobs.put(report).await.map_err(Broken::because(failed))?;
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
    let roots = ResultRoots {
        result_hash,
        base_model_root: prepared.documents.job_spec.base_model_root,
        adapter_root: shares.header().adapter_root(),
        attestation_ref,
        report_hash,
    };
    let commits = shares.header().members().iter().map(|member| member.share_commit);
    let sealed = SealedResult {
        roots,
        key_commit: shares.header().key_commit(),
        shares: sealed.into_iter().zip(commits).collect(),
    };
    Ok((sealed, named(manifest, &roots)))
}

/// The manifest says exactly what is offered to custodians and held by them.
fn named(manifest: ResultManifest, roots: &ResultRoots) -> ResultManifest {
    ResultManifest {
        resultHash: roots.result_hash,
        baseModelRoot: roots.base_model_root,
        adapterRoot: roots.adapter_root,
        attestationRef: roots.attestation_ref,
        reportHash: roots.report_hash,
        ..manifest
    }
}

fn seal_to(
    path: &Path,
    prepared: &Prepared,
    terms: &ResultTerms,
    trained: &Trained,
) -> Result<ResultShares, SealError> {
    let key = ResultKey::generate()?;
    let t = prepared.documents.envelope.terms().t;
    let files = trained.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let tar = ResultTar::of(Keccak::detect(), files)?;
    let shares = ResultShares::deal(&key, terms, t, &prepared.documents.hpke_members, tar)?;
    let sink = BufWriter::new(File::create_new(path)?);
    let mut writer = ResultWriter::new(&key, shares.header(), sink)?;
    for (name, bytes) in &trained.files {
        writer.append(name, bytes.len() as u64, &mut bytes.as_slice())?;
    }
    let file = writer.finish()?.into_inner().map_err(|e| e.into_error())?;
    file.sync_all()?;
    Ok(shares)
}
