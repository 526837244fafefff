//! `licen storage`.

use std::path::Path;

use licen_core::primitives::B256;
use serde_json::json;

use crate::cli::StorageCommand;
use crate::session::codes;
use crate::session::config::Config;
use crate::session::error::{CliError, Outcome};
use crate::session::output::Ui;
use crate::session::storage::{client, storage_error};

/// Largest blob `storage get` takes.
const MAX_GET: u64 = 1 << 40;

/// `storage root`: the 0G file root, one line.
///
/// # Errors
/// The file is empty (refused) or unreadable.
pub fn root(ui: &Ui, file: &Path) -> Outcome {
    let root = root_of(file)?;
    ui.record(&json!({"root": root, "file": file}));
    ui.data(&root.to_string());
    Ok(())
}

fn root_of(file: &Path) -> Outcome<B256> {
    let tree = licen_storage::root::of_path(file, |_| {}).map_err(|e| match e {
        licen_storage::Error::Empty => {
            CliError::refused(codes::EMPTY_FILE, format!("{} is empty", file.display()))
                .hint("0G has no root for an empty file; give a file with at least one byte")
        }
        other => {
            CliError::environment(codes::FILE, format!("cannot read {}", file.display())).because(&other)
        }
    })?;
    Ok(tree.root)
}

/// `storage put` and `storage get`.
///
/// # Errors
/// The node does not answer, or what it sent is not what was asked for.
pub async fn transfer(ui: &Ui, config: &Config, command: &StorageCommand) -> Outcome {
    let client = client(config.node())?;
    match command {
        StorageCommand::Root { file } => root(ui, file),
        StorageCommand::Put { file } => {
            let name = root_of(file)?;
            client.put_file(name, file, |_, _| {}).await.map_err(|e| storage_error("upload failed", &e))?;
            ui.record(&json!({"root": name, "file": file}));
            ui.data(&name.to_string());
            Ok(())
        }
        StorageCommand::Get { root, out } => {
            let root: B256 = root.parse().map_err(|_| {
                CliError::environment(codes::USAGE, format!("{root:?} is not 0x and 64 hex digits"))
                    .hint("licen storage root FILE prints a root")
            })?;
            let bytes = client
                .get_file(root, out, MAX_GET, |_, _| {})
                .await
                .map_err(|e| storage_error("download failed", &e))?;
            ui.record(&json!({"root": root, "bytes": bytes, "file": out}));
            ui.progress(&format!("{bytes} bytes, verified against {root}"));
            ui.data(&out.display().to_string());
            Ok(())
        }
    }
}
