//! Tink AES256_GCM_HKDF_1MB, raw: a file encrypted in segments of 1 MiB, each authenticated with its
//! number and with whether it is the last.
//!
//! Layout: `0x28 ‖ salt[32] ‖ noncePrefix[7] ‖ segments`. The segment key is
//! HKDF-SHA256(ikm = key, salt, info = AAD). Segment i is AES-256-GCM with the IV
//! `noncePrefix ‖ u32be(i) ‖ (1 if last else 0)` and no AAD of its own. Every ciphertext segment but
//! the last has 1,048,576 bytes, counting the 40-byte header into the first.
//!
//! Memory is one segment whatever the length. Both directions work in place.

mod read;
mod segment;
mod write;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use licen_core::eip712::Domain;
use licen_core::primitives::{B256, U256};
use zeroize::Zeroizing;

use crate::error::SealError;
use crate::key::{DatasetKey, ResultKey};
use crate::secret::Secret;

pub use read::{Decryptor, SegmentReader, decrypt};
pub use segment::Segment;
pub use write::{Encryptor, encrypt};

/// Bytes of a ciphertext segment.
pub const SEGMENT_BYTES: usize = 1 << 20;
/// Bytes before the first segment.
pub const HEADER_BYTES: usize = 40;
/// Bytes that authenticate a segment.
pub const TAG_BYTES: usize = 16;

const SALT_BYTES: usize = 32;
const PREFIX_BYTES: usize = 7;
const FIRST_PLAIN: u64 = (SEGMENT_BYTES - HEADER_BYTES - TAG_BYTES) as u64;
const OTHER_PLAIN: u64 = (SEGMENT_BYTES - TAG_BYTES) as u64;
const MAX_SEGMENTS: u64 = 1 << 32;

/// What a stream is bound to. A ciphertext opens under the same words only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamAad(Vec<u8>);

impl StreamAad {
    /// The bytes, as the HKDF info.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn new(label: &str, chain_id: u64, names: &[&[u8]]) -> Self {
        let chain_id = U256::from(chain_id).to_be_bytes::<32>();
        Self([label.as_bytes(), &chain_id, &names.concat()].concat())
    }
}

/// utf8 "LICEN/dataset/v2" ‖ u256be chainId ‖ datasetUid. No contract: a dataset is its owner's, and
/// serves every `DataPolicy` of the chain that the owner registers it with.
#[must_use]
pub fn dataset_aad(chain_id: u64, dataset_uid: &B256) -> StreamAad {
    StreamAad::new("LICEN/dataset/v2", chain_id, &[dataset_uid.as_slice()])
}

/// utf8 "LICEN/result/v2" ‖ u256be chainId ‖ contract ‖ jobId.
#[must_use]
pub fn result_aad(domain: &Domain, job_id: &B256) -> StreamAad {
    StreamAad::new("LICEN/result/v2", domain.chain_id, &[domain.contract.as_slice(), job_id.as_slice()])
}

/// A key that encrypts streams: [`DatasetKey`] or [`ResultKey`].
pub trait StreamKey: private::HasSecret {}
impl StreamKey for DatasetKey {}
impl StreamKey for ResultKey {}

mod private {
    use crate::key::{DatasetKey, ResultKey};
    use crate::secret::Secret;

    pub trait HasSecret {
        #[allow(private_interfaces)]
        fn secret(&self) -> &Secret;
    }
    impl HasSecret for DatasetKey {
        #[allow(private_interfaces)]
        fn secret(&self) -> &Secret {
            &self.0
        }
    }
    impl HasSecret for ResultKey {
        #[allow(private_interfaces)]
        fn secret(&self) -> &Secret {
            &self.0
        }
    }
}

/// The ciphertext length of `plaintext_len` bytes: plaintext + 40 + 16 per segment. `None` where one
/// stream cannot hold them.
#[must_use]
pub fn ciphertext_len(plaintext_len: u64) -> Option<u64> {
    let rest = plaintext_len.saturating_sub(FIRST_PLAIN);
    let segments = 1 + rest.div_ceil(OTHER_PLAIN);
    if segments > MAX_SEGMENTS {
        return None;
    }
    plaintext_len.checked_add(HEADER_BYTES as u64 + segments * TAG_BYTES as u64)
}

/// The plaintext length of a stream of `ciphertext_len` bytes; `None` where no stream is that long.
#[must_use]
pub fn plaintext_len(ciphertext_len: u64) -> Option<u64> {
    let segments = ciphertext_len.div_ceil(SEGMENT_BYTES as u64);
    let plain = ciphertext_len.checked_sub(HEADER_BYTES as u64 + segments * TAG_BYTES as u64)?;
    (self::ciphertext_len(plain) == Some(ciphertext_len)).then_some(plain)
}

/// Ciphertext bytes that segment `index` may hold.
fn segment_capacity(index: u64) -> usize {
    if index == 0 { SEGMENT_BYTES - HEADER_BYTES } else { SEGMENT_BYTES }
}

/// The key and nonces of one stream.
struct SegmentCipher {
    cipher: LessSafeKey,
    prefix: [u8; PREFIX_BYTES],
}

/// HKDF output of an AES-256 key's length.
struct SegmentKeyLen;

impl KeyType for SegmentKeyLen {
    fn len(&self) -> usize {
        32
    }
}

impl SegmentCipher {
    fn new(
        key: &Secret,
        aad: &StreamAad,
        salt: &[u8; SALT_BYTES],
        prefix: [u8; PREFIX_BYTES],
    ) -> Result<Self, SealError> {
        let mut derived = Zeroizing::new([0u8; 32]);
        Salt::new(HKDF_SHA256, salt)
            .extract(key.bytes())
            .expand(&[aad.as_bytes()], SegmentKeyLen)
            .and_then(|okm| okm.fill(derived.as_mut_slice()))
            .and_then(|()| UnboundKey::new(&AES_256_GCM, derived.as_slice()))
            .map(|key| Self { cipher: LessSafeKey::new(key), prefix })
            .map_err(|_| SealError::SecretKey)
    }

    /// Reads the header and derives the stream's key.
    fn from_header(key: &Secret, aad: &StreamAad, header: &[u8; HEADER_BYTES]) -> Result<Self, SealError> {
        let [len, rest @ ..] = header;
        if usize::from(*len) != HEADER_BYTES {
            return Err(SealError::StreamHeader);
        }
        let (salt, prefix) = rest.split_first_chunk::<SALT_BYTES>().ok_or(SealError::StreamHeader)?;
        let prefix = prefix.try_into().map_err(|_| SealError::StreamHeader)?;
        Self::new(key, aad, salt, prefix)
    }

    fn nonce(&self, index: u32, last: bool) -> Nonce {
        let mut iv = [0; 12];
        iv[..7].copy_from_slice(&self.prefix);
        iv[7..11].copy_from_slice(&index.to_be_bytes());
        iv[11] = u8::from(last);
        Nonce::assume_unique_for_key(iv)
    }

    /// Encrypts the first `len` bytes of `buffer` in place and puts the tag behind them.
    fn seal(&self, index: u32, last: bool, buffer: &mut [u8], len: usize) -> Result<(), SealError> {
        let (plain, rest) = buffer.split_at_mut(len);
        let tag = self
            .cipher
            .seal_in_place_separate_tag(self.nonce(index, last), Aad::empty(), plain)
            .map_err(|_| SealError::StreamTooLong)?;
        rest[..TAG_BYTES].copy_from_slice(tag.as_ref());
        Ok(())
    }

    /// Decrypts `buffer` in place and returns how many plaintext bytes now stand at its start.
    fn open(&self, index: u32, last: bool, buffer: &mut [u8]) -> Result<usize, SealError> {
        let refused = SealError::Segment { index, last };
        // Only an empty stream ends with an empty segment: one plaintext has one shape.
        if buffer.len() < TAG_BYTES || (index > 0 && buffer.len() == TAG_BYTES) {
            return Err(refused);
        }
        match self.cipher.open_in_place(self.nonce(index, last), Aad::empty(), buffer) {
            Ok(plain) => Ok(plain.len()),
            Err(_) => Err(refused),
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod layout_tests {
    use super::*;

    #[test]
    fn lengths_are_inverse_and_follow_the_formula() {
        let first = FIRST_PLAIN;
        let other = OTHER_PLAIN;
        for plain in [0, 1, 1000, first, first + 1, first + other, first + other + 1, 10 << 30] {
            let cipher = ciphertext_len(plain).unwrap();
            let segments = if plain <= first { 1 } else { 1 + (plain - first).div_ceil(other) };
            assert_eq!(cipher, plain + 40 + 16 * segments);
            assert_eq!(plaintext_len(cipher), Some(plain));
        }
        let full = SEGMENT_BYTES as u64;
        for impossible in [0, 39, 40, 55, full + 1, full + 16, 2 * full + 15] {
            assert_eq!(plaintext_len(impossible), None, "{impossible}");
        }
        assert_eq!(ciphertext_len(u64::MAX), None);
        assert_eq!(plaintext_len(u64::MAX), None);
    }

    #[test]
    fn contexts_have_the_exact_bytes() {
        let aad = dataset_aad(31337, &B256::repeat_byte(0x22));
        let expected = format!("{}{:0>64}{}", hex::encode("LICEN/dataset/v2"), "7a69", "22".repeat(32));
        assert_eq!(hex::encode(aad.as_bytes()), expected);
        let domain = Domain { chain_id: 31337, contract: [0x11; 20].into() };
        let result = result_aad(&domain, &B256::repeat_byte(0x22));
        assert_eq!(&result.as_bytes()[..15], b"LICEN/result/v2");
        assert_eq!(result.as_bytes().len(), 15 + 32 + 20 + 32);
    }
}
