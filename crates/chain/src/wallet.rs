//! The key that signs transactions and a wallet's off-chain statements. No Debug, no Clone; wiped
//! when dropped; on disk a file that only its owner may read.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use alloy::primitives::{Address, B256, Signature};
use k256::ecdsa::SigningKey;
use k256::elliptic_curve::rand_core::OsRng;
use licen_core::fault::{Fault, Party};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

const KIND: &str = "licen-wallet-key";
/// As `seal` writes it; a custodian sends its own anchors with the key that names it.
const CUSTODIAN_KIND: &str = "licen-signing-key";
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Why a wallet key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// The file cannot be read or written.
    #[error("wallet file {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is refused.
    #[error("wallet file {path}: {reason}")]
    Refused {
        /// The file.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// The 32 bytes are not a secp256k1 key.
    #[error("the bytes are not a secp256k1 key")]
    NotAKey,
}

impl Fault for WalletError {
    fn fault(&self) -> Party {
        match self {
            Self::Io { .. } | Self::Refused { .. } | Self::NotAKey => Party::Environment,
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Refused { .. } | Self::NotAKey => false,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: String,
    address: Address,
    secret: Zeroizing<String>,
}

/// A transaction key.
pub struct WalletKey {
    // Wipes itself when dropped.
    key: SigningKey,
    address: Address,
}

impl WalletKey {
    /// A new random key.
    #[must_use]
    pub fn generate() -> Self {
        Self::of(SigningKey::random(&mut OsRng))
    }

    /// Takes over a key made elsewhere and wipes the source.
    ///
    /// # Errors
    /// [`WalletError::NotAKey`].
    pub fn import(bytes: &mut [u8; 32]) -> Result<Self, WalletError> {
        let key = SigningKey::from_slice(bytes).map_err(|_| WalletError::NotAKey);
        bytes.zeroize();
        key.map(Self::of)
    }

    fn of(key: SigningKey) -> Self {
        let address = Address::from_public_key(key.verifying_key());
        Self { key, address }
    }

    /// The wallet's address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// r‖s‖v over a digest, with low s and v 27 or 28, as the contracts take it.
    #[must_use]
    pub fn sign_digest(&self, digest: &B256) -> [u8; 65] {
        self.sign(digest).as_bytes()
    }

    pub(crate) fn sign(&self, digest: &B256) -> Signature {
        // RFC 6979 signing of a 32-byte digest has no failing input.
        let signed = self.key.sign_prehash_recoverable(digest.as_slice());
        Signature::from(signed.expect("a 32-byte digest can be signed"))
    }

    /// Writes the key to a new file, mode 0600.
    ///
    /// # Errors
    /// [`WalletError`]: the file exists already, or cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), WalletError> {
        let mut digits = Zeroizing::new([0u8; 64]);
        let bytes = Zeroizing::new(<[u8; 32]>::from(self.key.to_bytes()));
        hex::encode_to_slice(bytes.as_slice(), digits.as_mut_slice()).expect("64 digits for 32 bytes");
        let mut secret = Zeroizing::new(String::with_capacity(66));
        secret.push_str("0x");
        secret.push_str(std::str::from_utf8(digits.as_slice()).expect("digits are ASCII"));
        let file = KeyFile { kind: KIND.into(), address: self.address, secret };
        // Reserved in one piece: a growing buffer would leave copies of the secret behind.
        let mut json = Zeroizing::new(Vec::with_capacity(1024));
        serde_json::to_writer_pretty(&mut *json, &file).map_err(|_| refused(path, "it cannot be encoded"))?;
        json.push(b'\n');
        create_private(path, &json)
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`WalletError`]: others may read it, or it is no wallet key.
    pub fn load(path: &Path) -> Result<Self, WalletError> {
        Self::load_kind(path, KIND)
    }

    /// Reads a custodian's signing key, for the one transaction that only the member itself may send.
    /// What it signs as a custodian begins with other bytes (EIP-712) than any transaction.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_custodian(path: &Path) -> Result<Self, WalletError> {
        Self::load_kind(path, CUSTODIAN_KIND)
    }

    fn load_kind(path: &Path, kind: &str) -> Result<Self, WalletError> {
        let json = read_private(path)?;
        let file: KeyFile =
            serde_json::from_slice(&json).map_err(|_| refused(path, "it is not a wallet key file"))?;
        if file.kind != kind {
            return Err(refused(path, "it holds another type of key"));
        }
        let mut bytes = Zeroizing::new([0u8; 32]);
        let digits = file.secret.strip_prefix("0x").unwrap_or(&file.secret);
        hex::decode_to_slice(digits, bytes.as_mut_slice())
            .map_err(|_| refused(path, "the secret is not 32 bytes of hexadecimal"))?;
        let key = Self::import(&mut bytes).map_err(|_| refused(path, "the secret is not usable"))?;
        if key.address != file.address {
            return Err(refused(path, "the secret does not belong to the address"));
        }
        Ok(key)
    }
}

fn refused(path: &Path, reason: &'static str) -> WalletError {
    WalletError::Refused { path: path.display().to_string(), reason }
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> WalletError {
    let path = path.display().to_string();
    move |source| WalletError::Io { path: path.clone(), source }
}

fn create_private(path: &Path, bytes: &[u8]) -> Result<(), WalletError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => refused(path, "it exists already"),
        _ => io(path)(error),
    })?;
    if let Err(error) = file.write_all(bytes).and_then(|()| file.sync_all()) {
        let _ = fs::remove_file(path);
        return Err(io(path)(error));
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(io(path))?;
    }
    Ok(())
}

fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, WalletError> {
    let file = File::open(path).map_err(io(path))?;
    let metadata = file.metadata().map_err(io(path))?;
    if !metadata.is_file() {
        return Err(refused(path, "it is not a regular file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(refused(path, "others may read it; run chmod 600 on it"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(refused(path, "it is too large for a key file"));
    }
    // Reserved in one piece, as above.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES as usize));
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(io(path))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_comes_back_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wallet.json");
        let key = WalletKey::generate();
        key.save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(WalletKey::load(&path).unwrap().address(), key.address());
        assert!(matches!(key.save(&path), Err(WalletError::Refused { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(WalletKey::load(&path), Err(WalletError::Refused { .. })));
    }

    #[test]
    fn a_foreign_or_damaged_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wallet.json");
        WalletKey::generate().save(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let other = WalletKey::generate().address().to_string();
        let own = text.split('"').find(|s| s.len() == 42).unwrap().to_string();
        for wrong in [
            text.replace(KIND, "licen-signing-key"),
            text.replace(&own, &other),
            text.replace("\"secret\": \"0x", "\"secret\": \"0y"),
            "{}".into(),
        ] {
            fs::write(&path, wrong).unwrap();
            assert!(WalletKey::load(&path).is_err());
        }
    }

    #[test]
    fn signatures_recover_to_the_address_and_the_source_is_wiped() {
        let mut bytes = [7u8; 32];
        let key = WalletKey::import(&mut bytes).unwrap();
        assert_eq!(bytes, [0; 32]);
        let digest = B256::repeat_byte(9);
        let signature = key.sign_digest(&digest);
        assert!(matches!(signature[64], 27 | 28));
        let parsed = Signature::from_raw(&signature).unwrap();
        assert_eq!(parsed.recover_address_from_prehash(&digest).unwrap(), key.address());
        assert!(parsed.normalize_s().is_none());
        assert!(WalletKey::import(&mut [0; 32]).is_err());
    }
}
