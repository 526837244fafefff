//! What the two processes of a node may still do once they have begun, said to the kernel.
//!
//! ```text
//! the trainer   reads one folder, the base model's, and its own pipes; no other file, no socket, no other
//!               program or process, no executable memory: an allow-list of system calls (syscalls), Landlock (files)
//! the node      its working folder, the files it has open as program, what resolves host names, and TCP on the ports
//!               it needs; the system calls that reach into other processes or the kernel are refused
//! ```
//!
//! All of it is for good and is inherited. A process that cannot be confined must not go on: [`Confined`] is what says
//! that it was, and only this module makes one.

mod files;
mod syscalls;

use std::path::{Path, PathBuf};

use licen_core::fault::{Fault, Party};
use rustix::process::{Resource, Rlimit, Signal, setrlimit};

/// What the kernel would not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// Files and ports could not be limited; the kernel lacks Landlock with its rules for TCP (Linux 6.7), or it is
    /// switched off.
    #[error("files and ports cannot be limited (Landlock): {0}")]
    Files(String),
    /// System calls could not be limited.
    #[error("system calls cannot be limited (seccomp): {0}")]
    Calls(String),
    /// Limits of the process itself.
    #[error("the process cannot be limited: {0}")]
    Process(String),
}

impl Fault for SandboxError {
    fn fault(&self) -> Party {
        Party::Environment
    }
    fn retryable(&self) -> bool {
        false
    }
}

/// Says that this process is confined, or that its operator said to go without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confined {
    by_kernel: bool,
}

impl Confined {
    /// For an operator who said so in so many words.
    #[must_use]
    pub fn not_at_all() -> Self {
        Self { by_kernel: false }
    }

    /// Whether the kernel enforces it.
    #[must_use]
    pub fn by_kernel(self) -> bool {
        self.by_kernel
    }
}

/// What a node needs beside its own program.
#[derive(Debug, Clone, Default)]
pub struct NodeNeeds {
    /// Folder it may do everything in.
    pub work_dir: PathBuf,
    /// Files it may read.
    pub read: Vec<PathBuf>,
    /// Port it listens on.
    pub listen: u16,
    /// Ports it may connect to by TCP; `None` is any.
    pub connect: Option<Vec<u16>>,
}

/// Confines the process that trains, before it has read anything but its arguments. Files inherited beside the three
/// standard ones are closed, memory that it writes is limited to `memory` bytes, and it ends with its parent thread.
///
/// # Errors
/// [`SandboxError`]; the caller must end then.
pub fn enter_trainer(base: &Path, memory: u64) -> Result<Confined, SandboxError> {
    settle_trainer(memory)?;
    close_inherited()?;
    files::confine_trainer(base)?;
    syscalls::confine_trainer()?;
    Ok(Confined { by_kernel: true })
}

/// What a trainer does to itself with a sandbox or without: it ends with its parent thread, leaves no core dump, and
/// writes at most `memory` bytes.
///
/// # Errors
/// [`SandboxError::Process`].
pub fn settle_trainer(memory: u64) -> Result<(), SandboxError> {
    let failed = |e: rustix::io::Errno| SandboxError::Process(e.to_string());
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed)?;
    if !licen_seal::process::harden_process() {
        return Err(SandboxError::Process("core dumps cannot be turned off".into()));
    }
    let limit = Rlimit { current: Some(memory), maximum: Some(memory) };
    setrlimit(Resource::Data, limit).map_err(failed)
}

/// Confines the node. To be called while it has one thread.
///
/// # Errors
/// [`SandboxError`]; the caller must end then.
pub fn enter_node(needs: &NodeNeeds) -> Result<Confined, SandboxError> {
    files::confine_node(needs)?;
    syscalls::confine_node()?;
    Ok(Confined { by_kernel: true })
}

/// Bytes of memory that this machine has.
#[must_use]
pub fn memory_of_machine() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit))
}

fn close_inherited() -> Result<(), SandboxError> {
    // SAFETY: the process has one thread and has opened no file of its own yet, so nobody owns what is closed.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    if closed != 0 {
        return Err(SandboxError::Process(std::io::Error::last_os_error().to_string()));
    }
    Ok(())
}
