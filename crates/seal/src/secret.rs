//! 32 secret bytes that never leave their own page of memory.

use zeroize::Zeroize;

use crate::error::SealError;
use crate::page::Page;

/// 32 secret bytes on a page of their own ([`Page`]): kept out of swap, of core dumps and of forked children where the
/// system allows it, wiped on drop. No `Clone`, no `Debug`, no `Serialize`.
pub(crate) struct Secret(Page);

impl Secret {
    pub(crate) fn zero() -> Self {
        Self(Page::new())
    }

    pub(crate) fn random() -> Result<Self, SealError> {
        let mut secret = Self::zero();
        getrandom::fill(secret.bytes_mut()).map_err(|_| SealError::Random)?;
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
        self.0.bytes()
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; 32] {
        self.0.bytes_mut()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.bytes_mut().zeroize();
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
