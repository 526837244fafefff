//! The base model: public bytes, fetched by root and loaded, by the trainer, before any verdict is asked
//! for, so that a model this node cannot train costs nobody anything.

use std::fs::{DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use licen_core::constraints::{self, Constraints};
use licen_core::primitives::B256;
use licen_seal::tar::{TarReader, unpack};
use tempfile::TempDir;

use super::blobs::{BlobError, Blobs};
use super::node::Node;
use super::training::Plan;
use crate::apart::Trainer;
use crate::apart::wire::{Order, Report};

/// A base model in a trainer of its own, which alone reads what is in it.
pub(super) struct BaseModel {
    /// Holds model and tokenizer; killed with this.
    pub(super) trainer: Arc<Trainer>,
    /// keccak256 of tokenizer.json, by which datasets publish token counts.
    pub(super) tokenizer_hash: B256,
    /// What an adapter of the job's settings has.
    pub(super) trainable: u64,
    /// The unpacked Hugging Face folder, removed with the model.
    _work: TempDir,
}

impl BaseModel {
    /// Fetches the archive into a folder that only this process can enter.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub(super) async fn fetch(
        blobs: &Blobs,
        root: B256,
        cap: u64,
        work_dir: &Path,
    ) -> Result<TempDir, BlobError> {
        let work = private_dir(work_dir, ".base-").map_err(|e| BlobError::lasting(e.to_string()))?;
        blobs.fetch(root, cap, &work.path().join("base.tar")).await?;
        Ok(work)
    }

    /// Unpacks it and starts the trainer that loads it.
    ///
    /// # Errors
    /// What is wrong with the model; all of it is public.
    pub(super) async fn load(node: &Node, work: TempDir, plan: &Plan) -> Result<Self, String> {
        let cap = node.config.max_model_bytes;
        let launch = node.trainers.clone();
        let begin = move || {
            let dir = unpacked(work.path(), cap)?;
            let trainer = launch.start(&dir).map_err(|e| e.to_string())?;
            Ok::<_, String>((work, trainer))
        };
        let begun = tokio::task::spawn_blocking(begin).await;
        let (work, trainer) = begun.map_err(|_| "the base model could not be unpacked".to_string())??;
        let trainer = Arc::new(trainer);
        let threads = licen_train::threads(plan.params.threads);
        let order = Order::Load { settings: plan.settings.clone(), threads };
        let load = move |trainer: &Trainer| {
            trainer.tell(&order, &[])?;
            trainer.hear()
        };
        match trainer.with(load).await.and_then(|report| report).map_err(|e| e.to_string())? {
            Report::Loaded { trainable, tokenizer_hash } => {
                Ok(Self { trainer, tokenizer_hash, trainable, _work: work })
            }
            Report::Refused { message } => Err(format!("the base model: {message}")),
            _ => Err("the trainer answers something else".into()),
        }
    }

    /// The owner's limits that need the model. Rows and steps are checked once rows are known.
    ///
    /// # Errors
    /// The limit broken.
    pub(super) fn check(&self, constraints: &Constraints) -> Result<(), String> {
        constraints::check_run(constraints, u64::MAX, self.trainable, 0).map_err(|e| e.to_string())
    }
}

fn unpacked(work: &Path, cap: u64) -> Result<PathBuf, String> {
    let (archive, dir) = (work.join("base.tar"), work.join("base"));
    let file = File::open(&archive).map_err(|e| e.to_string())?;
    unpack(TarReader::fetched(std::io::BufReader::new(file)), &dir, cap)
        .map_err(|e| format!("the base model is not a deterministic tar: {e}"))?;
    let _ = std::fs::remove_file(&archive);
    Ok(dir)
}

/// A new folder with mode 0700 that is removed when dropped.
pub(super) fn private_dir(parent: &Path, prefix: &str) -> std::io::Result<TempDir> {
    let mode = Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix(prefix).permissions(mode).tempdir_in(parent)
}

/// Makes the working folder with mode 0700, or takes one that is there and that nobody else can write:
/// whoever can may swap what was verified for something else.
///
/// # Errors
/// Making it, and one that others can write.
pub(super) fn work_dir(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    // The node may read and write all of it, so a folder of the system would undo its confinement.
    if path.metadata()?.permissions().mode() & 0o077 != 0 {
        return Err(std::io::Error::other("it is open to others than its owner; `chmod 700` it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let work = dir.path().join("a/work");
        work_dir(&work).unwrap();
        assert_eq!(mode(&work), 0o700);
        assert_eq!(mode(private_dir(&work, ".base-").unwrap().path()), 0o700);
        for open in [0o720, 0o702, 0o777, 0o755] {
            std::fs::set_permissions(&work, Permissions::from_mode(open)).unwrap();
            assert!(work_dir(&work).unwrap_err().to_string().contains("chmod 700"));
        }
        assert!(work_dir(Path::new("/")).is_err() && work_dir(Path::new("/dev")).is_err());
    }
}
