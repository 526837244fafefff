//! Key files: created exclusively with mode 0600, refused where anybody else may read them. The only
//! place, with `recovery`, where secret bytes leave memory.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use licen_core::primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::error::SealError;
use crate::recipient::{EciesRecipientKey, RecipientKey};
use crate::secret::Secret;
use crate::signing::SigningKey;

const MAX_FILE_BYTES: u64 = 64 * 1024;
const RECIPIENT: &str = "licen-recipient-key";
const ECIES_RECIPIENT: &str = "licen-ecies-recipient-key";
const SIGNING: &str = "licen-signing-key";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<Address>,
    secret: Zeroizing<String>,
}

impl RecipientKey {
    /// Writes the key to a new file.
    ///
    /// # Errors
    /// [`SealError::KeyFile`] where the file exists; writing.
    pub fn save(&self, path: &Path) -> Result<(), SealError> {
        let public_key = Some(self.public().0.to_string());
        save(path, RECIPIENT, public_key, None, self.secret())
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`SealError::KeyFile`].
    pub fn load(path: &Path) -> Result<Self, SealError> {
        let (file, secret) = load(path, RECIPIENT)?;
        let key = Self::from_secret(secret)?;
        let named: Option<B256> = file.public_key.and_then(|text| text.parse().ok());
        agree(path, named == Some(key.public().0) && file.address.is_none())?;
        Ok(key)
    }
}

impl EciesRecipientKey {
    /// Writes the key to a new file.
    ///
    /// # Errors
    /// [`SealError::KeyFile`] where the file exists; writing.
    pub fn save(&self, path: &Path) -> Result<(), SealError> {
        let public_key = Some(format!("0x{}", hex::encode(self.public().as_bytes())));
        save(path, ECIES_RECIPIENT, public_key, None, self.secret())
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`SealError::KeyFile`].
    pub fn load(path: &Path) -> Result<Self, SealError> {
        let (file, secret) = load(path, ECIES_RECIPIENT)?;
        let key = Self::from_secret(secret).map_err(|_| refused(path, "the secret is not usable"))?;
        let public = format!("0x{}", hex::encode(key.public().as_bytes()));
        agree(path, file.public_key == Some(public) && file.address.is_none())?;
        Ok(key)
    }
}

impl SigningKey {
    /// Writes the key to a new file.
    ///
    /// # Errors
    /// [`SealError::KeyFile`] where the file exists; writing.
    pub fn save(&self, path: &Path) -> Result<(), SealError> {
        save(path, SIGNING, None, Some(self.address()), self.secret())
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`SealError::KeyFile`].
    pub fn load(path: &Path) -> Result<Self, SealError> {
        let (file, secret) = load(path, SIGNING)?;
        let key = Self::from_secret(secret).map_err(|_| refused(path, "the secret is not usable"))?;
        agree(path, file.address == Some(key.address()) && file.public_key.is_none())?;
        Ok(key)
    }
}

fn save(
    path: &Path,
    kind: &str,
    public_key: Option<String>,
    address: Option<Address>,
    secret: &Secret,
) -> Result<(), SealError> {
    let mut text = Zeroizing::new(String::with_capacity(66));
    text.push_str("0x");
    let mut digits = Zeroizing::new([0; 64]);
    hex::encode_to_slice(secret.bytes(), digits.as_mut_slice()).expect("64 digits for 32 bytes");
    text.push_str(std::str::from_utf8(digits.as_slice()).expect("digits are ASCII"));
    let file = KeyFile { kind: kind.to_owned(), public_key, address, secret: text };
    // Reserved in one piece: a growing buffer would leave copies of the secret behind.
    let mut json = Zeroizing::new(Vec::with_capacity(1024));
    serde_json::to_writer_pretty(&mut *json, &file).map_err(|_| refused(path, "it cannot be encoded"))?;
    json.push(b'\n');
    create_private(path, &json)
}

fn load(path: &Path, kind: &str) -> Result<(KeyFile, Secret), SealError> {
    let json = read_private(path)?;
    let file: KeyFile = serde_json::from_slice(&json).map_err(|_| refused(path, "it is not a key file"))?;
    if file.kind != kind {
        return Err(refused(path, "it holds another type of key"));
    }
    let mut bytes = Zeroizing::new([0; 32]);
    let digits = file.secret.strip_prefix("0x").unwrap_or(&file.secret);
    hex::decode_to_slice(digits, bytes.as_mut_slice())
        .map_err(|_| refused(path, "the secret is not 32 bytes of hexadecimal"))?;
    let secret = Secret::take(&mut bytes);
    Ok((file, secret))
}

fn agree(path: &Path, holds: bool) -> Result<(), SealError> {
    if holds { Ok(()) } else { Err(refused(path, "the secret does not belong to the public part")) }
}

/// Creates a file that only its owner may read; on a failed write nothing stays.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> Result<(), SealError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => refused(path, "it exists already"),
        _ => error.into(),
    })?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _ = fs::remove_file(path);
        return Err(error.into());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// What is left of a key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wiped {
    /// It is there.
    No,
    /// Its bytes are zeros: [`destroy`] was cut off.
    Overwritten,
    /// There is no such file.
    Gone,
}

/// Whether [`destroy`] was here.
///
/// # Errors
/// Reading; a file that cannot be looked at is not taken for gone.
pub fn is_wiped(path: &Path) -> Result<Wiped, SealError> {
    if !path.try_exists()? {
        return Ok(Wiped::Gone);
    }
    let bytes = read_private(path)?;
    Ok(if bytes.iter().all(|byte| *byte == 0) { Wiped::Overwritten } else { Wiped::No })
}

/// Overwrites a key file and removes it; one that is gone is gone. What a disk or its snapshots keep of it
/// elsewhere is out of reach from here.
///
/// # Errors
/// [`SealError::KeyFile`] for anything but a private file; writing.
pub fn destroy(path: &Path) -> Result<(), SealError> {
    if is_wiped(path)? == Wiped::Gone {
        return Ok(());
    }
    let bytes = read_private(path)?;
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(&vec![0; bytes.len()])?;
    file.sync_all()?;
    drop(file);
    fs::remove_file(path)?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Reads a file that only its owner may read.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(refused(path, "it is not a regular file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(refused(path, "others may read it; run chmod 600 on it"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(refused(path, "it is too large for a key file"));
    }
    // One byte more than it claims, so that growing meanwhile never moves the buffer.
    let mut bytes = Zeroizing::new(vec![0; metadata.len() as usize + 1]);
    let mut len = 0;
    while len < bytes.len() {
        match file.read(&mut bytes[len..])? {
            0 => break,
            n => len += n,
        }
    }
    bytes[len..].zeroize();
    bytes.truncate(len);
    Ok(bytes)
}

pub(crate) fn refused(path: &Path, reason: &'static str) -> SealError {
    SealError::KeyFile { path: path.to_owned(), reason }
}
