//! Key files, and what to do about one that cannot be used.

use std::path::Path;

use crate::session::codes;
use crate::session::error::CliError;

/// A key file that cannot be used, with what to do about it. `kind` is what `key new` calls it.
pub fn key_error(kind: &str, path: &Path, cause: &dyn std::error::Error) -> CliError {
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    let Ok(found) = std::fs::metadata(path) else {
        return CliError::environment(codes::KEY_FILE, format!("no {kind} key at {shown}"))
            .because(cause)
            .hint(format!("licen key new {kind} --out {shown}"));
    };
    let error =
        CliError::environment(codes::KEY_FILE, format!("key file {shown} was refused")).because(cause);
    if found.permissions().mode() & 0o077 == 0 {
        error.hint(format!("a key of kind {kind} is needed: licen key new {kind} --out FILE"))
    } else {
        error.hint(format!("chmod 600 {shown}"))
    }
}
