//! The node's blobs: their client, its errors for people, and roots of documents.

use std::time::Duration;

use licen_core::canonical::json_to_vec;
use licen_core::merkle::file_tree;
use licen_core::primitives::B256;
use licen_peers::{Http, Timeouts};
use licen_storage::client::{Client, Options};

use crate::session::codes;
use crate::session::error::{CliError, Outcome};
use crate::session::node_client::http_url;

/// Longest pause of an answer.
const IDLE: Duration = Duration::from_secs(30);

/// A client of the node's blobs.
///
/// # Errors
/// The address is not usable.
pub fn client(node: &str) -> Outcome<Client> {
    http_url("node", node)?;
    let http = Http::new(Timeouts::streaming(IDLE))
        .map_err(|e| CliError::environment(codes::STORAGE, "no blob server").because(&e))?;
    Client::new(http.to(node), node, Options::default()).map_err(|e| storage_error("no blob server", &e))
}

/// A storage error for people, under storage's own code: refused where bytes are not what they
/// should be, environment where a machine, a disk or a network is in the way.
pub fn storage_error(message: &str, cause: &licen_storage::Error) -> CliError {
    use licen_storage::Error;
    let code = cause.code().trim_start_matches("LIC").parse().unwrap_or(codes::STORAGE);
    let refused = matches!(
        cause,
        Error::Empty
            | Error::RootMismatch { .. }
            | Error::NotFound { .. }
            | Error::TooLarge { .. }
            | Error::Corrupt { .. }
            | Error::Untrue { .. }
    );
    let error = if refused { CliError::refused(code, message) } else { CliError::environment(code, message) };
    let error = error.because(cause);
    match cause {
        Error::Unreachable { .. } | Error::Protocol { .. } => {
            error.hint("licen config tells where `node` comes from; licen run node starts one")
        }
        Error::Deadline { .. } | Error::Busy { .. } | Error::TooManyUploads | Error::Refused { .. } => {
            error.hint("run the same command again: uploads and downloads resume")
        }
        Error::DiskFull { .. } => error.hint("free some space, then run the same command again"),
        _ => error.hint(format!("licen explain {}", cause.code())),
    }
}

/// The root that canonical JSON of `value` will have.
///
/// # Errors
/// A value without a canonical form.
pub fn json_root<T: serde::Serialize>(value: &T) -> Outcome<(B256, Vec<u8>)> {
    let bytes = json_to_vec(value)
        .map_err(|e| CliError::environment(codes::USAGE, "a document has no canonical form").because(&e))?;
    let tree = file_tree(&bytes)
        .map_err(|e| CliError::environment(codes::USAGE, "an empty document has no root").because(&e))?;
    Ok((tree.root, bytes))
}
