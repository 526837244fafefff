//! 32 secret bytes that never leave their own page of memory.

use aws_lc_rs::rand;
use zeroize::Zeroize;

use crate::error::SealError;

const PAGE_BYTES: usize = 4096;

/// A page of its own, so that locking and unlocking it touches no other secret.
#[repr(C, align(4096))]
struct Page([u8; PAGE_BYTES]);

/// 32 secret bytes: kept out of swap and of core dumps where the system allows it, wiped on drop.
/// No `Clone`, no `Debug`, no `Serialize`.
pub(crate) struct Secret(Box<Page>);

impl Secret {
    pub(crate) fn zero() -> Self {
        let page = Box::new(Page([0; PAGE_BYTES]));
        lock(&page);
        Self(page)
    }

    pub(crate) fn random() -> Result<Self, SealError> {
        let mut secret = Self::zero();
        rand::fill(secret.bytes_mut()).map_err(|_| SealError::Random)?;
        Ok(secret)
    }

    /// Moves `bytes` in and wipes them where they came from.
    pub(crate) fn take(bytes: &mut [u8; 32]) -> Self {
        let mut secret = Self::zero();
        secret.bytes_mut().copy_from_slice(bytes);
        bytes.zeroize();
        secret
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        self.0.0.first_chunk().expect("a page holds 32 bytes")
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; 32] {
        self.0.0.first_chunk_mut().expect("a page holds 32 bytes")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.bytes_mut().zeroize();
        unlock(&self.0);
    }
}

// Locking is best effort: RLIMIT_MEMLOCK may be small, and a key that cannot be locked is still
// better used than refused. `process::harden_process` covers core dumps for the whole process.
fn lock(page: &Page) {
    let start = std::ptr::from_ref(page).cast::<libc::c_void>().cast_mut();
    // SAFETY: the range is exactly the live allocation behind `page`; both calls only change how
    // the kernel treats it, never its content.
    unsafe {
        libc::mlock(start, PAGE_BYTES);
        #[cfg(target_os = "linux")]
        libc::madvise(start, PAGE_BYTES, libc::MADV_DONTDUMP);
    }
}

fn unlock(page: &Page) {
    let start = std::ptr::from_ref(page).cast::<libc::c_void>().cast_mut();
    // SAFETY: as in `lock`; the allocator gets the page back in its ordinary state.
    unsafe {
        libc::munlock(start, PAGE_BYTES);
        #[cfg(target_os = "linux")]
        libc::madvise(start, PAGE_BYTES, libc::MADV_DODUMP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_wipes_the_source() {
        let mut source = [7u8; 32];
        let secret = Secret::take(&mut source);
        assert_eq!(source, [0; 32]);
        assert_eq!(secret.bytes(), &[7; 32]);
    }

    #[test]
    fn random_secrets_differ() {
        assert_ne!(Secret::random().unwrap().bytes(), Secret::random().unwrap().bytes());
    }
}
