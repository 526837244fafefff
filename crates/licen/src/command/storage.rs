//! `licen storage`.

use std::path::Path;

use licen_core::primitives::B256;
use licen_storage::client::{Client, Options};
use serde_json::json;

use crate::cli::StorageCommand;
use crate::codes;
use crate::config::Config;
use crate::error::{CliError, Outcome};
use crate::output::Ui;

/// Largest blob `storage get` takes.
const MAX_GET: u64 = 1 << 40;

/// `storage root`: the 0G file root, one line.
///
/// # Errors
/// The file is empty (refused) or unreadable.
pub fn root(ui: &Ui, file: &Path) -> Outcome {
    let tree = licen_storage::root::of_path(file, |_| {}).map_err(|e| match e {
        licen_storage::Error::Empty => {
            CliError::refused(codes::EMPTY_FILE, format!("{} is empty", file.display()))
                .hint("0G has no root for an empty file; give a file with at least one byte")
        }
        other => {
            CliError::environment(codes::FILE, format!("cannot read {}", file.display())).because(&other)
        }
    })?;
    ui.record(&json!({"root": tree.root, "file": file}));
    ui.data(&tree.root.to_string());
    Ok(())
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
            let tree = licen_storage::root::of_path(file, |_| {}).map_err(|e| {
                CliError::environment(codes::FILE, format!("cannot read {}", file.display())).because(&e)
            })?;
            client
                .put_file(tree.root, file, |_, _| {})
                .await
                .map_err(|e| storage_error("upload failed", &e))?;
            ui.record(&json!({"root": tree.root, "file": file}));
            ui.data(&tree.root.to_string());
            Ok(())
        }
        StorageCommand::Get { root, out } => {
            let root: B256 = root.parse().map_err(|_| {
                CliError::environment(codes::USAGE, format!("{root} is not 0x and 64 hex digits"))
            })?;
            let bytes = client
                .get_file(root, out, MAX_GET, |_, _| {})
                .await
                .map_err(|e| storage_error("download failed", &e))?;
            ui.record(&json!({"root": root, "bytes": bytes, "file": out}));
            ui.progress(&format!("{bytes} bytes, verified against {root}"));
            Ok(())
        }
    }
}

/// A client of the node's blobs.
///
/// # Errors
/// The address is not usable.
pub fn client(node: &str) -> Outcome<Client> {
    Client::new(node, Options::default()).map_err(|e| storage_error("no blob server", &e))
}

/// A storage error for people.
pub fn storage_error(message: &str, cause: &licen_storage::Error) -> CliError {
    CliError::of(codes::STORAGE, message, cause)
        .hint("check `node` in `licen config`, then try again: uploads resume")
}
