//! The base model: public bytes, fetched by root and loaded before any verdict is asked for, so that a
//! model this node cannot train costs nobody anything.

use std::fs::{DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use licen_core::constraints::{self, Constraints};
use licen_core::primitives::{B256, keccak256};
use licen_seal::tar::{TarReader, unpack};
use tempfile::TempDir;

use super::blobs::{BlobError, Blobs};
use super::training::Plan;
use crate::{Encoder, Model};

/// A loaded base model and the folder its tokenizer files are copied from.
pub(super) struct BaseModel {
    pub(super) model: Model,
    pub(super) encoder: Encoder,
    /// keccak256 of tokenizer.json, by which datasets publish token counts.
    pub(super) tokenizer_hash: B256,
    /// What an adapter of the job's settings has.
    pub(super) trainable: u64,
    dir: PathBuf,
    /// Removed with the model.
    _work: TempDir,
}

impl BaseModel {
    /// The unpacked Hugging Face folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

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

    /// Unpacks and loads it. Blocking.
    ///
    /// # Errors
    /// What is wrong with the model; all of it is public.
    pub(super) fn load(work: TempDir, cap: u64, plan: &Plan) -> Result<Self, String> {
        let archive = work.path().join("base.tar");
        let dir = work.path().join("base");
        let file = File::open(&archive).map_err(|e| e.to_string())?;
        unpack(TarReader::fetched(std::io::BufReader::new(file)), &dir, cap)
            .map_err(|e| format!("the base model is not a deterministic tar: {e}"))?;
        let _ = std::fs::remove_file(&archive);
        let refuse = |e: crate::Error| format!("the base model: {e}");
        let model = Model::load(&dir).map_err(refuse)?;
        let encoder = Encoder::load(&dir).map_err(refuse)?;
        let tokenizer = std::fs::read(dir.join("tokenizer.json")).map_err(|e| e.to_string())?;
        let trainable = plan.params.lora().trainable_parameters(model.config());
        let tokenizer_hash = keccak256(&tokenizer);
        Ok(Self { model, encoder, tokenizer_hash, trainable, dir, _work: work })
    }

    /// The owner's limits that need the model. Rows and steps are checked once rows are known.
    ///
    /// # Errors
    /// The limit broken.
    pub(super) fn check(&self, constraints: &Constraints) -> Result<(), String> {
        constraints::check_run(constraints, u64::MAX, self.trainable, 0).map_err(|e| e.to_string())
    }
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
    if path.metadata()?.permissions().mode() & 0o022 != 0 {
        return Err(std::io::Error::other("others than its owner can write it; `chmod go-w` it"));
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
        for open in [0o720, 0o702, 0o777] {
            std::fs::set_permissions(&work, Permissions::from_mode(open)).unwrap();
            assert!(work_dir(&work).unwrap_err().to_string().contains("go-w"));
        }
        std::fs::set_permissions(&work, Permissions::from_mode(0o755)).unwrap();
        work_dir(&work).unwrap();
    }
}
