//! The lines of the audit log: canonical JSON, nothing secret, because everybody may read them.
//! What was denied to a peer that proved something stands there with a commitment to the reason; the
//! reason itself would answer an attacker's questions, so it stays in the custodian's own records.

use licen_core::canonical::json_to_vec;
use licen_core::primitives::{B256, Bytes, keccak256};
use serde::Serialize;

use crate::effect::RequestId;

/// One line.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    /// Unix seconds, the custodian's clock.
    pub(crate) at: u64,
    /// `verdict`, `release`, `held`, `manifest`, `result`, `resultKey`, `silence`, `refusal`, `erasure`
    /// or `denied`.
    pub(crate) event: &'static str,
    /// The request, as the peer knows it; the operator's own acts have none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) request: String,
    /// The job; left out where it is about none.
    #[serde(skip_serializing_if = "B256::is_zero")]
    pub(crate) job_id: B256,
    /// The dataset, where it is about no job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dataset_uid: Option<B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<u32>,
    /// What was asked, where it was denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) what: Option<&'static str>,
    /// keccak256(salt ‖ reason).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runtime_data_hash: Option<B256>,
    /// Reference values that were met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entry: Option<B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) level: Option<u8>,
    /// The key that something was sealed to, or that was destroyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recipient: Option<B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result_hash: Option<B256>,
    /// The block that the decision rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) block: Option<u64>,
}

impl Line {
    /// A line about a key of this custodian's own.
    pub(crate) fn of_key(event: &'static str, now_ms: u64, key: B256) -> Self {
        Self { at: now_ms / 1000, event, recipient: Some(key), ..Self::default() }
    }

    pub(crate) fn new(event: &'static str, now_ms: u64, id: RequestId, job_id: B256) -> Self {
        Self { at: now_ms / 1000, event, request: id.to_string(), job_id, ..Self::default() }
    }

    /// Canonical JSON. The fields always have a canonical form; should one not, the line says so
    /// rather than the decision going unrecorded.
    pub(crate) fn bytes(&self) -> Bytes {
        json_to_vec(self).unwrap_or_else(|_| br#"{"event":"unencodable"}"#.to_vec()).into()
    }
}

#[derive(Serialize)]
struct Detail<'a> {
    reason: &'a str,
    salt: B256,
}

/// The commitment for the line, and what opens it.
pub(crate) fn commit_reason(salt: B256, reason: &str) -> (B256, Bytes) {
    let commitment = keccak256([salt.as_slice(), reason.as_bytes()].concat());
    let detail = json_to_vec(&Detail { reason, salt }).unwrap_or_default();
    (commitment, detail.into())
}
