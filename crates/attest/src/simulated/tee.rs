//! The simulator's side that compute runs.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context, SHA256};
use licen_core::primitives::{Address, B256, FixedBytes};
use licen_core::runtime_data::report_data;
use licen_core::wire::custodian::Evidence;

use super::document::{Claims, Document};
use super::root::{SimulatedKey, platform_id};
use crate::refusal::AttestError;

const CURRENT_EXE: &str = "/proc/self/exe";
const DEFAULT_PLATFORM: &str = "default";
const READ_BYTES: usize = 256 * 1024;

/// A TEE that protects nothing: it measures the running program and signs with a public key.
pub struct SimulatedTee {
    measurement: B256,
    platform: SimulatedKey,
}

impl SimulatedTee {
    /// Measures the running executable.
    ///
    /// # Errors
    /// [`AttestError::Measure`].
    pub fn from_current_exe() -> Result<Self, AttestError> {
        Self::with_platform(DEFAULT_PLATFORM)
    }

    /// As [`Self::from_current_exe`], on the simulated platform of this name.
    ///
    /// # Errors
    /// [`AttestError::Measure`].
    pub fn with_platform(name: &str) -> Result<Self, AttestError> {
        Self::pretend(measure(Path::new(CURRENT_EXE))?, name)
    }

    /// Evidence for a measurement of the caller's choice, as anybody can make it. For tests and for
    /// the simulator.
    ///
    /// # Errors
    /// [`AttestError::Key`].
    pub fn pretend(measurement: B256, platform: &str) -> Result<Self, AttestError> {
        Ok(Self { measurement, platform: SimulatedKey::platform(platform)? })
    }

    /// What reference values have to name.
    #[must_use]
    pub fn measurement(&self) -> B256 {
        self.measurement
    }

    /// What a provider has to register.
    #[must_use]
    pub fn platform_id(&self) -> B256 {
        platform_id(&self.platform.public())
    }

    /// Evidence, made now, that binds runtime data (by its SHA-256) and the signing address.
    ///
    /// # Errors
    /// [`AttestError::Clock`].
    pub fn evidence_for(&self, runtime_data_hash: &B256, signer: Address) -> Result<Evidence, AttestError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| AttestError::Clock)?;
        self.evidence_at(runtime_data_hash, signer, now.as_secs())
    }

    /// As [`Self::evidence_for`], at a given time.
    ///
    /// # Errors
    /// [`AttestError::Key`].
    pub fn evidence_at(
        &self,
        runtime_data_hash: &B256,
        signer: Address,
        issued_at: u64,
    ) -> Result<Evidence, AttestError> {
        let body = Claims {
            measurement: self.measurement,
            platform_id: self.platform_id(),
            report_data: FixedBytes(report_data(runtime_data_hash, signer)),
            issued_at,
        };
        let document = Document::sign(body, &self.platform, &SimulatedKey::root()?)?;
        Ok(Evidence::Simulated { document: document.to_bytes()?.into() })
    }
}

/// SHA-256 of a file: how the simulated TEE measures an executable.
///
/// # Errors
/// [`AttestError::Measure`].
pub fn measure(path: &Path) -> Result<B256, AttestError> {
    hash_file(path).map_err(|source| AttestError::Measure { path: path.to_owned(), source })
}

fn hash_file(path: &Path) -> io::Result<B256> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(B256::from_slice(context.finish().as_ref())),
            Ok(n) => context.update(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
