//! The PolicyManifest of a dataset, as the chain names it.

use licen_core::policy_manifest::{MAX_BYTES, PolicyManifest};

use crate::session::error::{CliError, Outcome};
use crate::session::node_client::IndexedDataset;
use crate::session::{Session, codes};

/// The manifest that the chain names, whole and offering what the policy enforces.
///
/// # Errors
/// Storage does not have it, or it is not what its name says.
pub async fn manifest(session: &Session, dataset: &IndexedDataset) -> Outcome<PolicyManifest> {
    let root = dataset.policy.manifestHash;
    let bytes = session.blob(root, MAX_BYTES as u64).await?;
    PolicyManifest::from_bytes(&bytes)
        .and_then(|manifest| manifest.offers(&dataset.policy).map(|()| manifest))
        .map_err(|e| CliError::refused(codes::STORAGE, format!("manifest {root} is not usable")).because(&e))
}

/// A dataset's title in one line: an owner wrote it, and no line of ours may be a stranger's.
#[must_use]
pub fn title(manifest: &PolicyManifest) -> String {
    manifest.name().lines().collect::<Vec<_>>().join(" ")
}
