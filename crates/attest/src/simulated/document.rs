//! The document of the simulated TEE, canonical CBOR:
//!
//! ```text
//! {v, label, body{measurement, platformId, reportData, issuedAt},
//!  certificate{label, platformKey, signature by the simulated root}, signature by the platform key}
//! ```
//!
//! Each signature covers its label, a zero byte, and what it vouches for (the platform key; the
//! canonical CBOR of the body), so neither can stand in for the other or for anything outside the
//! simulator.

use licen_core::canonical::{CanonicalError, cbor_from_slice, cbor_to_vec};
use licen_core::primitives::{B256, Bytes, FixedBytes};
use serde::{Deserialize, Serialize};

use super::root::{SimulatedKey, platform_id, verifies};
use crate::refusal::{AttestError, Refusal};

/// Label of the document.
pub(super) const LABEL: &str = "LICEN-SIMULATED/evidence/v1";
/// Label of the certificate in it.
pub(super) const CERTIFICATE_LABEL: &str = "LICEN-SIMULATED/certificate/v1";
const VERSION: u8 = 1;

/// What the simulated TEE says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Claims {
    /// SHA-256 of the executable.
    pub(crate) measurement: B256,
    /// Made of the platform's key.
    pub(crate) platform_id: B256,
    /// SHA-256(runtimeData) ‖ 0^12 ‖ signer.
    pub(crate) report_data: FixedBytes<64>,
    /// Unix seconds.
    pub(crate) issued_at: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Certificate {
    pub(super) label: String,
    pub(super) platform_key: B256,
    pub(super) signature: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Document {
    pub(super) v: u8,
    pub(super) label: String,
    pub(super) body: Claims,
    pub(super) certificate: Certificate,
    pub(super) signature: Bytes,
}

impl Document {
    /// Signs claims with a platform key that `root` certifies.
    pub(super) fn sign(
        body: Claims,
        platform: &SimulatedKey,
        root: &SimulatedKey,
    ) -> Result<Self, AttestError> {
        let platform_key = platform.public();
        let certificate = Certificate {
            label: CERTIFICATE_LABEL.to_owned(),
            platform_key,
            signature: Bytes::copy_from_slice(&root.sign(&certificate_message(&platform_key))),
        };
        let signature = Bytes::copy_from_slice(&platform.sign(&body_message(&body)?));
        Ok(Self { v: VERSION, label: LABEL.to_owned(), body, certificate, signature })
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        cbor_to_vec(self)
    }
}

impl Claims {
    /// Reads a document and follows its signatures up to the simulated root.
    pub(crate) fn verified(bytes: &[u8]) -> Result<Self, Refusal> {
        let encoding = |reason| Refusal::Encoding { what: "the simulated document", reason };
        let document: Document = cbor_from_slice(bytes).map_err(encoding)?;
        if document.v != VERSION || document.label != LABEL {
            return Err(Refusal::Label("the simulated document"));
        }
        let Certificate { label, platform_key, signature } = &document.certificate;
        if label != CERTIFICATE_LABEL {
            return Err(Refusal::Label("the platform certificate"));
        }
        let root = SimulatedKey::root().map_err(|_| Refusal::Root)?.public();
        if !verifies(&root, &certificate_message(platform_key), signature) {
            return Err(Refusal::Root);
        }
        let message = body_message(&document.body).map_err(encoding)?;
        if !verifies(platform_key, &message, &document.signature) {
            return Err(Refusal::Signature);
        }
        if document.body.platform_id != platform_id(platform_key) {
            return Err(Refusal::PlatformId);
        }
        Ok(document.body)
    }
}

fn certificate_message(platform_key: &B256) -> Vec<u8> {
    [CERTIFICATE_LABEL.as_bytes(), &[0], platform_key.as_slice()].concat()
}

fn body_message(body: &Claims) -> Result<Vec<u8>, CanonicalError> {
    Ok([LABEL.as_bytes(), &[0], &cbor_to_vec(body)?].concat())
}
