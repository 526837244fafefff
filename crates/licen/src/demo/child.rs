//! Child processes of the demo: their output goes to log files, they die with this process, and
//! only processes started here are ever ended.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::session::codes;
use crate::session::error::{CliError, Outcome};

/// A running program.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    /// Where its output goes.
    pub log: PathBuf,
}

/// Starts `command` with its output in `logs/NAME.log`.
///
/// # Errors
/// It cannot be started.
pub fn start(name: &str, logs: &Path, command: &mut Command) -> Outcome<Running> {
    let log = logs.join(format!("{name}.log"));
    let cannot =
        |e: &std::io::Error| CliError::environment(codes::PROCESS, format!("cannot start {name}")).because(e);
    // A program started again goes on in the log of the one before.
    let out = File::options().create(true).append(true).open(&log).map_err(|e| cannot(&e))?;
    let err = out.try_clone().map_err(|e| cannot(&e))?;
    command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    let parent = std::process::id();
    // SAFETY: prctl and getppid are async-signal-safe and touch no memory of the parent.
    unsafe {
        command.pre_exec(move || {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // The parent may have died before prctl took effect.
            if u32::try_from(libc::getppid()).is_ok_and(|now| now == parent) {
                Ok(())
            } else {
                Err(std::io::Error::other("the parent is gone"))
            }
        });
    }
    let child = command.spawn().map_err(|e| cannot(&e))?;
    Ok(Running { name: name.to_string(), child, log })
}

impl Running {
    /// Fails where the program has ended by itself.
    ///
    /// # Errors
    /// It has ended.
    pub fn check(&mut self) -> Outcome {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                Err(CliError::environment(codes::PROCESS, format!("{} ended with {status}", self.name))
                    .hint(format!("less {}", self.log.display())))
            }
            Err(e) => Err(CliError::environment(codes::PROCESS, format!("lost {}", self.name)).because(&e)),
        }
    }

    /// Ends it as a crash would, without a chance to tidy up.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it: SIGTERM, then SIGKILL after two seconds.
    pub fn stop(&mut self) {
        let Ok(pid) = i32::try_from(self.child.id()) else { return };
        // SAFETY: the pid is our own unreaped child's, so it names no other process.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

/// A loopback port that stays ours until the program that wants it is started.
#[derive(Debug)]
pub struct Port {
    /// Its number.
    pub number: u16,
    _held: TcpListener,
}

impl Port {
    /// The wanted port where it is free, any other where it is not.
    ///
    /// # Errors
    /// No port at all.
    pub fn reserve(wanted: u16) -> Outcome<Self> {
        let none =
            |e: std::io::Error| CliError::environment(codes::PROCESS, "no free loopback port").because(&e);
        let bind = |port: u16| TcpListener::bind(("127.0.0.1", port));
        let held = bind(wanted).or_else(|_| bind(0)).map_err(none)?;
        let number = held.local_addr().map_err(none)?.port();
        Ok(Self { number, _held: held })
    }
}
