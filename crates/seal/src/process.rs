//! Keeping secrets of this process out of files that the system writes by itself.

/// Turns core dumps off and forbids other processes of the same user to attach. To be called first
/// thing in `main` by every role that holds keys. Best effort: returns whether both took effect.
#[must_use]
pub fn harden_process() -> bool {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` outlives the call; the call reads it only.
    let no_core = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) } == 0;
    no_core && forbid_dumping()
}

#[cfg(target_os = "linux")]
fn forbid_dumping() -> bool {
    // SAFETY: no pointers are passed.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn forbid_dumping() -> bool {
    true
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn hardening_takes_effect() {
        assert!(super::harden_process());
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        if let Some(line) = limits.lines().find(|l| l.starts_with("Max core file size")) {
            assert_eq!(line.split_whitespace().nth(4), Some("0"), "{line}");
        }
    }
}
