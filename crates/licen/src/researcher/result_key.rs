//! The key that a job's result is for, in the state directory or where the requester has it.

use std::path::{Path, PathBuf};

use licen_core::abi::Job;
use licen_core::primitives::B256;
use licen_seal::RecipientKey;

use crate::cli::RequestArgs;
use crate::session::error::{CliError, Outcome};
use crate::session::key_file::key_error;
use crate::session::{Session, codes};

/// The key that `--result-key` names, and its file.
///
/// # Errors
/// The file is refused.
pub fn given_key(args: &RequestArgs) -> Outcome<Option<(RecipientKey, PathBuf)>> {
    let Some(path) = &args.result_key else { return Ok(None) };
    let key = RecipientKey::load(path).map_err(|e| key_error("result", path, &e))?;
    Ok(Some((key, path.clone())))
}

/// A new key in the state directory, and its file.
///
/// # Errors
/// It cannot be made or written.
pub fn fresh_key(session: &Session) -> Outcome<(RecipientKey, PathBuf)> {
    let key =
        RecipientKey::generate().map_err(|e| CliError::of(codes::SEAL, "cannot make a result key", &e))?;
    let path = key_dir(session)?.join(format!("{}.key", key.public().0));
    key.save(&path).map_err(|e| key_error("result", &path, &e))?;
    Ok((key, path))
}

/// The directory of this machine's result keys.
///
/// # Errors
/// It cannot be made.
pub fn key_dir(session: &Session) -> Outcome<PathBuf> {
    let dir = session.config.state_dir()?.join("result-keys");
    std::fs::create_dir_all(&dir).map_err(|e| {
        CliError::environment(codes::FILE, format!("cannot make {}", dir.display())).because(&e)
    })?;
    Ok(dir)
}

/// Where the result key of a job is kept.
///
/// # Errors
/// The state directory cannot be made.
pub fn key_file(session: &Session, job: B256) -> Outcome<PathBuf> {
    Ok(key_dir(session)?.join(format!("job-{job}.key")))
}

/// Notes which key file a job's result is for; a later note replaces an earlier one.
///
/// # Errors
/// The note cannot be written.
pub fn remember_key(session: &Session, job: &Job, key: &Path) -> Outcome {
    let link = key_file(session, job.jobId)?;
    let absolute = key.canonicalize().unwrap_or_else(|_| key.to_path_buf());
    let beside = link.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    std::os::unix::fs::symlink(absolute, &beside).and_then(|()| std::fs::rename(&beside, &link)).map_err(
        |e| CliError::environment(codes::FILE, format!("cannot write {}", link.display())).because(&e),
    )
}
