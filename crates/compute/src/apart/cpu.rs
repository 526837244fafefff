//! CPU time of a child process, as the kernel counts it. What the child says of it is asked nowhere.

use std::io::{Error, Result};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// User and system time of all threads of one child, ended ones included, from its start on. A process that
/// it started would not count; its sandbox lets it start none.
pub(super) struct CpuClock(Mutex<State>);

enum State {
    Runs(Pid),
    Ended(Duration),
}

impl CpuClock {
    /// Of a child that nobody has waited for yet.
    pub(super) fn of(child: Pid) -> Self {
        Self(Mutex::new(State::Runs(child)))
    }

    /// What it has used until now, or in all.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn read(&self) -> Result<Duration> {
        match *self.state() {
            State::Runs(child) => cpu_time(child),
            State::Ended(used) => Ok(used),
        }
    }

    /// Blocks until the child has ended, and keeps what it used. Its number is not given to another process
    /// before it is waited for, which must come after this.
    pub(super) fn wait_for_end(&self) {
        let State::Runs(child) = *self.state() else { return };
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(child), ended), Err(rustix::io::Errno::INTR)) {}
        let mut state = self.state();
        *state = State::Ended(cpu_time(child).unwrap_or(Duration::MAX));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cpu_time(process: Pid) -> Result<Duration> {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: both calls write to the variable they are given a pointer to, which lives here.
    let failed = unsafe {
        match libc::clock_getcpuclockid(process.as_raw_nonzero().get(), &raw mut clock) {
            0 => libc::clock_gettime(clock, &raw mut time) != 0,
            code => return Err(Error::from_raw_os_error(code)),
        }
    };
    if failed {
        return Err(Error::last_os_error());
    }
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    let time = seconds.ok().zip(nanos.ok()).ok_or_else(|| Error::other("the clock is before its start"));
    time.map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    fn child(script: &str) -> (Child, CpuClock) {
        let mut command = Command::new("/bin/sh");
        let child = command.args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        let clock = CpuClock::of(Pid::from_child(&child));
        (child, clock)
    }

    #[test]
    fn work_counts_and_waiting_does_not() {
        let (mut idle, clock) = child("read x");
        std::thread::sleep(Duration::from_millis(400));
        assert!(clock.read().unwrap() < Duration::from_millis(300));
        let (mut busy, working) = child("while :; do :; done");
        while working.read().unwrap() < Duration::from_millis(300) {
            std::thread::sleep(Duration::from_millis(10));
        }
        busy.kill().unwrap();
        drop(idle.stdin.take());
        for (child, clock) in [(&mut idle, clock), (&mut busy, working)] {
            let before = clock.read().unwrap();
            clock.wait_for_end();
            let used = clock.read().unwrap();
            child.wait().unwrap();
            assert!(used >= before && used < Duration::from_secs(60), "{used:?}");
            assert_eq!(clock.read().unwrap(), used, "it stays, whoever gets the number next");
        }
    }
}
