//! The node's side: a trainer as a process that can be asked, and killed at any time.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::cpu::CpuClock;
use super::wire::{self, Order, Report};
use crate::serve::ServeError;

/// How long to wait for the reason after a trainer's pipe was closed.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A trainer that cannot be had or is no longer there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Lost(String);

/// How a node starts trainers.
#[derive(Debug, Clone)]
pub(crate) struct Trainers {
    /// This program again.
    pub(crate) program: PathBuf,
    /// Bytes that one may use.
    pub(crate) memory: u64,
    /// Whether it has to confine itself.
    pub(crate) confine: bool,
}

impl Trainers {
    /// One that may read `base`; see [`Trainer::start`].
    ///
    /// # Errors
    /// [`Lost`].
    pub(crate) fn start(&self, base: &Path) -> Result<Trainer, Lost> {
        Trainer::start(&self.program, base, self.memory, self.confine)
    }

    /// Starts one for nothing: a node whose trainers cannot be confined takes no job.
    ///
    /// # Errors
    /// [`ServeError::Sandbox`].
    pub(crate) fn try_out(&self, dir: &Path) -> Result<(), ServeError> {
        self.start(dir).map(drop).map_err(|e| ServeError::Sandbox(e.to_string()))
    }
}

/// A running trainer; killed when dropped.
pub(crate) struct Trainer {
    handle: OwnedFd,
    to: Mutex<ChildStdin>,
    from: Mutex<ChildStdout>,
    ended: Mutex<Receiver<ExitStatus>>,
    clock: Arc<CpuClock>,
}

/// What the thread that keeps the child hands out.
type Started = std::io::Result<(OwnedFd, ChildStdin, ChildStdout, Arc<CpuClock>)>;

impl Trainer {
    /// Starts `program` as a trainer that may read `base` and use `memory` bytes, and waits until it is confined, or,
    /// without `confine`, until it runs. Blocking.
    ///
    /// # Errors
    /// [`Lost`], also where it does not confine itself.
    pub(crate) fn start(program: &Path, base: &Path, memory: u64, confine: bool) -> Result<Self, Lost> {
        let mut command = Command::new(program);
        command.args(["trainer", "--base"]).arg(base).args(["--memory", &memory.to_string()]);
        if !confine {
            command.arg("--no-sandbox");
        }
        // Nothing it prints reaches a log: it may know rows.
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let (started, starting) = sync_channel(1);
        let (tell, ended) = sync_channel(1);
        // The child dies with the thread that started it, so that thread lives as long as the child.
        std::thread::Builder::new()
            .name("trainer".into())
            .spawn(move || keep(command, &started, &tell))
            .map_err(|e| Lost(format!("the trainer cannot be started: {e}")))?;
        let started: Started = starting.recv().map_err(|_| Lost("the trainer cannot be started".into()))?;
        let (handle, to, from, clock) =
            started.map_err(|e| Lost(format!("the trainer cannot be started: {e}")))?;
        let (to, from, ended) = (Mutex::new(to), Mutex::new(from), Mutex::new(ended));
        let trainer = Self { handle, to, from, ended, clock };
        match trainer.hear()? {
            Report::Ready { confined } if confined || !confine => Ok(trainer),
            Report::Refused { message } => Err(Lost(message)),
            _ => Err(Lost("the trainer does not confine itself".into())),
        }
    }

    /// Ends it at once, with all it holds.
    pub(crate) fn kill(&self) {
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }

    /// Sends an order and the bytes behind it.
    ///
    /// # Errors
    /// [`Lost`].
    pub(crate) fn tell(&self, order: &Order, bytes: &[u8]) -> Result<(), Lost> {
        let mut to = locked(&self.to);
        wire::send(&mut *to, order).and_then(|()| to.write_all(bytes)).map_err(|_| self.lost())
    }

    /// Waits for the next report.
    ///
    /// # Errors
    /// [`Lost`].
    pub(crate) fn hear(&self) -> Result<Report, Lost> {
        wire::receive(&mut *locked(&self.from)).map_err(|_| self.lost())
    }

    /// Takes a file that the last report announced.
    ///
    /// # Errors
    /// [`Lost`].
    pub(crate) fn take(&self, length: u64) -> Result<zeroize::Zeroizing<Vec<u8>>, Lost> {
        wire::receive_bytes(&mut *locked(&self.from), length).map_err(|_| self.lost())
    }

    /// CPU time that it has used since it was started, in user mode and in the kernel, all threads together.
    ///
    /// # Errors
    /// [`Lost`] where the kernel does not say.
    pub(crate) fn cpu_time(&self) -> Result<Duration, Lost> {
        self.clock.read().map_err(|e| Lost(format!("the trainer's CPU time cannot be read: {e}")))
    }

    /// Works with it in a blocking thread. Whoever stops waiting kills it, so that nothing of a job that nobody wants
    /// any more goes on.
    ///
    /// # Errors
    /// [`Lost`] where the thread broke.
    pub(crate) async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let mut guard = KillOnDrop(Some(self.clone()));
        let trainer = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&trainer)).await;
        guard.0 = None;
        done.map_err(|_| Lost("the thread of the trainer broke".into()))
    }

    fn lost(&self) -> Lost {
        self.kill();
        let how = locked(&self.ended).recv_timeout(LAST_WORDS);
        let how = how.map_or_else(|_| "it was killed".into(), |status| status.to_string());
        Lost(format!("the trainer ended before its time ({how})"))
    }
}

impl Drop for Trainer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills a trainer that nobody waits for; emptied by who waited.
struct KillOnDrop(Option<Arc<Trainer>>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(trainer) = &self.0 {
            trainer.kill();
        }
    }
}

fn keep(mut command: Command, started: &SyncSender<Started>, ended: &SyncSender<ExitStatus>) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return drop(started.send(Err(error))),
    };
    let pid = Pid::from_child(&child);
    let (handle, clock) = (pidfd_open(pid, PidfdFlags::empty()), Arc::new(CpuClock::of(pid)));
    let pipes = child.stdin.take().zip(child.stdout.take());
    let sent = match (handle, pipes) {
        (Ok(handle), Some((to, from))) => started.send(Ok((handle, to, from, clock.clone()))).is_ok(),
        (Err(error), _) => started.send(Err(error.into())).is_err(),
        (Ok(_), None) => false,
    };
    if !sent {
        let _ = child.kill();
    }
    clock.wait_for_end();
    if let Ok(status) = child.wait() {
        let _ = ended.send(status);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    /// A program that says one thing and then waits for ever.
    fn saying(dir: &Path, json: &str) -> Trainers {
        let program = dir.join("trainer");
        let script =
            format!("#!/bin/sh\nprintf '\\000\\000\\000\\{:03o}%s' '{json}'\nexec sleep 1000\n", json.len());
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
        Trainers { program, memory: 1 << 30, confine: true }
    }

    #[tokio::test]
    async fn a_trainer_that_nobody_waits_for_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let trainer = saying(dir.path(), r#"{"Ready":{"confined":true}}"#).start(dir.path()).unwrap();
        let (trainer, begin) = (Arc::new(trainer), Instant::now());
        let given_up = tokio::time::timeout(Duration::from_millis(100), trainer.with(Trainer::hear)).await;
        assert!(given_up.is_err(), "it has nothing to say");
        let lost = trainer.with(Trainer::hear).await.unwrap().unwrap_err();
        assert!(lost.to_string().contains("before its time"), "{lost}");
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_trainer_that_is_not_confined_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        for said in [r#"{"Ready":{"confined":false}}"#, r#"{"Failed":{"code":"LIC"}}"#, "nonsense"] {
            assert!(saying(dir.path(), said).start(dir.path()).is_err(), "{said}");
        }
        let told = Trainers { confine: false, ..saying(dir.path(), r#"{"Ready":{"confined":false}}"#) };
        told.start(dir.path()).unwrap();
    }
}
