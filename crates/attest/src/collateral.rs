//! Endorsements: what a maker of processors says about its platforms at a time. All of it is signed
//! by the maker, so a file of it is believed no further than its signatures and dates.

use std::fmt;

use chrono::DateTime;
use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::tcb_info::TcbInfo;
use licen_core::canonical::{json_from_slice, json_to_vec};
use licen_core::primitives::{Bytes, FixedBytes};
use serde::{Deserialize, Serialize};
use x509_cert::crl::CertificateList;
use x509_cert::der::{Decode, Reader, SliceReader};

use crate::refusal::{AttestError, Refusal};

/// Largest file of collateral, bytes.
pub const MAX_COLLATERAL_BYTES: usize = 1024 * 1024;
/// Share of the validity that is left when it is time to fetch anew: a quarter.
const ALARM_DIVISOR: u64 = 4;

/// Endorsements for one kind of platform.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Collateral {
    /// TCB info, identity of the quoting enclave and revocation lists.
    Intel(Box<IntelCollateral>),
    /// The certificate of one AMD chip at one TCB version, DER.
    Amd(Bytes),
}

/// Intel's collateral for one FMSPC, as the provisioning certification service hands it out. Holds
/// no platform certificates: those are the quote's own.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntelCollateral {
    pub(crate) parts: QuoteCollateralV3,
}

/// From when to when collateral is valid, Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// The oldest part was issued then.
    pub issued: u64,
    /// No part is valid before.
    pub from: u64,
    /// Some part is no longer valid after.
    pub until: u64,
}

impl Window {
    /// Whether less than a quarter of the validity is left, or nothing.
    #[must_use]
    pub fn is_alarming(&self, now: u64) -> bool {
        self.until.saturating_sub(now) <= self.until.saturating_sub(self.from) / ALARM_DIVISOR
    }
}

impl fmt::Debug for Collateral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intel(intel) => write!(f, "Collateral::Intel({:?})", intel.fmspc()),
            Self::Amd(vcek) => write!(f, "Collateral::Amd({} bytes)", vcek.len()),
        }
    }
}

impl Collateral {
    /// Reads a file: JSON with Intel's collateral, DER of an AMD certificate, or what
    /// [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`AttestError::Collateral`] where it is none of these.
    pub fn from_file(bytes: &[u8]) -> Result<Self, AttestError> {
        let refuse = |reason: String| AttestError::Collateral(reason);
        if bytes.len() > MAX_COLLATERAL_BYTES {
            return Err(refuse(format!("{} bytes, more than {MAX_COLLATERAL_BYTES}", bytes.len())));
        }
        if is_der(bytes) {
            return Ok(Self::Amd(Bytes::copy_from_slice(bytes)));
        }
        if let Ok(written) = Self::from_bytes(bytes) {
            return Ok(written);
        }
        let parts: QuoteCollateralV3 = serde_json::from_slice(bytes)
            .map_err(|e| refuse(format!("neither Intel's collateral as JSON nor a DER certificate: {e}")))?;
        IntelCollateral::new(parts).map(|intel| Self::Intel(Box::new(intel)))
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`AttestError::Collateral`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AttestError> {
        let refuse = |reason: String| AttestError::Collateral(reason);
        if bytes.len() > MAX_COLLATERAL_BYTES {
            return Err(refuse(format!("{} bytes, more than {MAX_COLLATERAL_BYTES}", bytes.len())));
        }
        let read: Self = json_from_slice(bytes).map_err(|e| refuse(e.to_string()))?;
        Ok(match read {
            Self::Intel(intel) => Self::Intel(Box::new(IntelCollateral::new(intel.parts)?)),
            amd @ Self::Amd(_) => amd,
        })
    }

    /// Canonical JSON, as it stands in an evidence bundle.
    ///
    /// # Errors
    /// None in practice: every field has a canonical form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, AttestError> {
        Ok(json_to_vec(self)?)
    }

    /// When it is valid; `None` for an AMD certificate, whose dates are checked with its chain.
    ///
    /// # Errors
    /// [`AttestError::Collateral`] where a date cannot be read.
    pub fn window(&self) -> Result<Option<Window>, AttestError> {
        match self {
            Self::Intel(intel) => intel.window().map(Some),
            Self::Amd(_) => Ok(None),
        }
    }
}

impl IntelCollateral {
    /// Takes over the parts that endorse platforms. A certificate chain of one platform would
    /// override the quote's own, so it is dropped.
    fn new(mut parts: QuoteCollateralV3) -> Result<Self, AttestError> {
        parts.pck_certificate_chain = None;
        let intel = Self { parts };
        intel.tcb_info()?;
        Ok(intel)
    }

    /// Family, model and stepping of the platforms it is about, 6 bytes; zeros where unreadable.
    #[must_use]
    pub fn fmspc(&self) -> FixedBytes<6> {
        self.tcb_info().ok().and_then(|info| info.fmspc.parse().ok()).unwrap_or_default()
    }

    /// Whether it is about trust domains; else it is about enclaves.
    #[must_use]
    pub fn is_tdx(&self) -> bool {
        self.tcb_info().is_ok_and(|info| info.id == "TDX")
    }

    fn tcb_info(&self) -> Result<TcbInfo, AttestError> {
        serde_json::from_str(&self.parts.tcb_info)
            .map_err(|e| AttestError::Collateral(format!("the TCB info: {e}")))
    }

    /// See [`Collateral::window`].
    ///
    /// # Errors
    /// [`AttestError::Collateral`].
    pub fn window(&self) -> Result<Window, AttestError> {
        let refuse = |what: &str| AttestError::Collateral(format!("{what} has no readable dates"));
        let dates = |json: &str| -> Option<(u64, u64)> {
            let dates: Dates = serde_json::from_str(json).ok()?;
            Some((seconds(&dates.issue_date)?, seconds(&dates.next_update)?))
        };
        let parts = [
            dates(&self.parts.tcb_info).ok_or_else(|| refuse("the TCB info"))?,
            dates(&self.parts.qe_identity).ok_or_else(|| refuse("the QE identity"))?,
            crl_dates(&self.parts.root_ca_crl).ok_or_else(|| refuse("the root's revocation list"))?,
            crl_dates(&self.parts.pck_crl).ok_or_else(|| refuse("the platforms' revocation list"))?,
        ];
        Ok(Window {
            issued: parts.iter().map(|p| p.0).min().unwrap_or_default(),
            from: parts.iter().map(|p| p.0).max().unwrap_or(u64::MAX),
            until: parts.iter().map(|p| p.1).min().unwrap_or_default(),
        })
    }

    /// Refuses outside of the window, before any signature is checked.
    pub(crate) fn check_window(&self, now: u64) -> Result<Window, Refusal> {
        let window = self.window().map_err(|e| Refusal::Collateral(e.to_string()))?;
        if now < window.from {
            return Err(Refusal::CollateralEarly { from: window.from });
        }
        if now > window.until {
            return Err(Refusal::CollateralExpired { until: window.until });
        }
        Ok(window)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dates {
    issue_date: String,
    next_update: String,
}

pub(crate) fn seconds(rfc3339: &str) -> Option<u64> {
    DateTime::parse_from_rfc3339(rfc3339).ok()?.timestamp().try_into().ok()
}

fn crl_dates(der: &[u8]) -> Option<(u64, u64)> {
    let list = CertificateList::from_der(der).ok()?.tbs_cert_list;
    // A revocation list is worth nothing from its next update on, JSON is valid up to it.
    let until = list.next_update?.to_unix_duration().as_secs().checked_sub(1)?;
    Some((list.this_update.to_unix_duration().as_secs(), until))
}

/// One whole DER SEQUENCE.
pub(crate) fn is_der(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x30)
        && SliceReader::new(bytes).is_ok_and(|mut reader| {
            reader.tlv_bytes().is_ok_and(|tlv| tlv.len() == bytes.len()) && reader.is_finished()
        })
}
