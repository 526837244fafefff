//! Where the programs are that a command starts.

use std::path::PathBuf;

use crate::session::codes;
use crate::session::error::{CliError, Outcome};

/// This program.
///
/// # Errors
/// The system does not say.
pub fn this_program() -> Outcome<PathBuf> {
    std::env::current_exe()
        .map_err(|e| CliError::environment(codes::PROCESS, "cannot find this program").because(&e))
}

/// licen-compute: beside this program, else LICEN_COMPUTE_BIN.
///
/// # Errors
/// Neither exists.
pub fn compute_program() -> Outcome<PathBuf> {
    let beside = this_program()?.with_file_name("licen-compute");
    if beside.is_file() {
        return Ok(beside);
    }
    std::env::var_os("LICEN_COMPUTE_BIN").map(PathBuf::from).filter(|p| p.is_file()).ok_or_else(|| {
        CliError::environment(codes::PROCESS, "licen-compute is not beside licen")
            .hint("cargo build -p licen-compute, or set LICEN_COMPUTE_BIN")
    })
}
