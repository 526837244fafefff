//! One page of memory for one secret: where the kernel has `memfd_secret`, a page that even the kernel has no mapping
//! of, so that neither /proc/PID/mem nor ptrace nor a crash kernel reads it; elsewhere a locked page that is left out
//! of core dumps. In both forms a forked child does not get it.

use std::ptr::NonNull;

const PAGE_BYTES: usize = 4096;

/// How a page is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// `memfd_secret`.
    Hidden,
    /// Ordinary memory, locked as far as RLIMIT_MEMLOCK goes.
    Locked,
}

/// 32 bytes at the start of a page of their own, zero at first, unmapped on drop. Whoever holds it wipes it.
pub(crate) struct Page {
    start: NonNull<[u8; 32]>,
    #[cfg_attr(not(test), allow(dead_code, reason = "only tests ask"))]
    kept: Kept,
}

// SAFETY: the page belongs to this value alone; nothing about it is tied to a thread.
unsafe impl Send for Page {}
// SAFETY: shared references only read it.
unsafe impl Sync for Page {}

impl Page {
    pub(crate) fn new() -> Self {
        let (start, kept) = match hidden() {
            Some(start) => (start, Kept::Hidden),
            None => (locked(), Kept::Locked),
        };
        Self { start: start.cast(), kept }
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        // SAFETY: the page is mapped readable as long as `self` lives and is aligned to far more than one byte.
        unsafe { self.start.as_ref() }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; 32] {
        // SAFETY: as in `bytes`, writable, and borrowed mutably from its only owner.
        unsafe { self.start.as_mut() }
    }

    #[cfg(test)]
    pub(crate) fn kept(&self) -> Kept {
        self.kept
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: exactly what `map` mapped, which nobody can refer to any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), PAGE_BYTES) };
    }
}

fn map(flags: libc::c_int, file: libc::c_int) -> Option<NonNull<libc::c_void>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), PAGE_BYTES, protection, flags, file, 0) };
    NonNull::new(start).filter(|start| start.as_ptr() != libc::MAP_FAILED)
}

#[cfg(target_os = "linux")]
fn hidden() -> Option<NonNull<libc::c_void>> {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    // SAFETY: no pointers are passed; the flag is the syscall's own.
    let file = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let file = i32::try_from(file).ok().filter(|file| *file >= 0)?;
    // SAFETY: the descriptor was just made and nobody else owns it. The mapping outlives it.
    let file = unsafe { OwnedFd::from_raw_fd(file) };
    // SAFETY: no pointers are passed.
    if unsafe { libc::ftruncate(file.as_raw_fd(), PAGE_BYTES as libc::off_t) } != 0 {
        return None;
    }
    let start = map(libc::MAP_SHARED, file.as_raw_fd())?;
    // It is shared memory, which a fork would share.
    if keep_from_children(start) {
        return Some(start);
    }
    // SAFETY: mapped above and not handed out.
    unsafe { libc::munmap(start.as_ptr(), PAGE_BYTES) };
    None
}

#[cfg(not(target_os = "linux"))]
fn hidden() -> Option<NonNull<libc::c_void>> {
    None
}

/// Locking is best effort: RLIMIT_MEMLOCK may be small, and a key that cannot be locked is still better used than
/// refused. `process::harden_process` covers core dumps for the whole process.
fn locked() -> NonNull<libc::c_void> {
    let start = map(libc::MAP_PRIVATE | libc::MAP_ANON, -1).unwrap_or_else(|| {
        std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u8; PAGE_BYTES]>());
    });
    // SAFETY: the range is the mapping just made; both calls only change how the kernel treats it.
    unsafe {
        libc::mlock(start.as_ptr(), PAGE_BYTES);
        #[cfg(target_os = "linux")]
        libc::madvise(start.as_ptr(), PAGE_BYTES, libc::MADV_DONTDUMP);
    }
    keep_from_children(start);
    start
}

#[cfg(target_os = "linux")]
fn keep_from_children(start: NonNull<libc::c_void>) -> bool {
    // SAFETY: the range is a mapping just made; the call only changes what a fork does with it.
    unsafe { libc::madvise(start.as_ptr(), PAGE_BYTES, libc::MADV_DONTFORK) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn keep_from_children(_: NonNull<libc::c_void>) -> bool {
    true
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_reader_of_process_memory_gets_no_hidden_key() {
        let mut page = Page::new();
        page.bytes_mut().fill(0xa5);
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let ordinary = Box::new([0x5a_u8; 32]);
        let mut found = [0; 32];
        memory.read_exact_at(&mut found, ordinary.as_ptr() as u64).unwrap();
        assert_eq!(found, *ordinary, "ordinary memory is read this way");
        let read = memory.read_at(&mut found, page.bytes().as_ptr() as u64);
        match page.kept() {
            Kept::Hidden => assert_eq!(read.unwrap_err().raw_os_error(), Some(libc::EIO)),
            Kept::Locked => eprintln!("skipped: this kernel has no memfd_secret"),
        }
        assert_ne!(found, [0xa5; 32]);
    }

    /// Whether a forked child can read the byte at `at`.
    fn child_reads(at: *const u8) -> bool {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for two descriptors.
        assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
        // SAFETY: the child calls only `write` and `_exit`, which are safe after a fork; `write` answers EFAULT where
        // the address is not mapped.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                let wrote = libc::write(ends[1], at.cast(), 1);
                libc::_exit(i32::from(wrote == 1));
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            libc::WEXITSTATUS(status) == 1
        }
    }

    #[test]
    fn a_forked_child_inherits_no_key() {
        let ordinary = Box::new(1_u8);
        assert!(child_reads(&raw const *ordinary), "ordinary memory is inherited");
        let page = Page::new();
        assert!(!child_reads(page.bytes().as_ptr()));
        let fallback = Page { start: locked().cast(), kept: Kept::Locked };
        assert!(!child_reads(fallback.bytes().as_ptr()));
    }

    #[test]
    fn more_keys_than_may_be_locked_are_still_kept() {
        let pages: Vec<Page> = (0..3_000).map(|_| Page::new()).collect();
        assert!(pages.iter().all(|page| *page.bytes() == [0; 32]));
    }
}
