//! The TOML file of a role.

use crate::session::codes;
use crate::session::error::{CliError, Outcome};

/// Reads a role's TOML file; paths in it are relative to the working directory.
///
/// # Errors
/// Unreadable, not TOML, or an unknown or missing setting.
pub fn read_toml<T: serde::de::DeserializeOwned>(path: &std::path::Path) -> Outcome<T> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| CliError::environment(codes::CONFIG, format!("cannot read {shown}")).because(&e))?;
    toml::from_str(&text)
        .map_err(|e| CliError::environment(codes::CONFIG, format!("{shown} is not usable")).in_file(&e))
}
