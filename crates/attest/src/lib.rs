//! Makes evidence about a compute node and appraises it (RFC 9334: compute is the attester, a
//! custodian is verifier and relying party).
//!
//! ```text
//! compute:   RuntimeData --SHA-256--> report data --Tee--> Evidence
//! custodian: Evidence + Collateral --signatures up to a root--> Claims
//!            Claims + live ReferenceValues + RuntimeData --appraise--> AttestationResult
//! ```
//!
//! There is one [`appraise`] for the one [`Evidence`] enum, and it is the only maker of an
//! [`AttestationResult`]: no other crate can say that evidence was good. [`examine`] gives the same
//! verdict about evidence alone, for people.
//!
//! What each kind of evidence is worth:
//! - **TDX, SGX**: quotes, verified by `dcap-qvl` up to Intel's root with collateral of the
//!   appraiser's own. Level HARDWARE.
//! - **SNP**: reports, verified up to AMD's root with the certificate of their chip. Level HARDWARE.
//! - **Simulated**: nothing against an attacker. It is a quote of TDX's format, and the same code
//!   verifies it, but under a root whose key is derived from a constant in this crate, so **anybody
//!   can make it for any program**. It exists so that the whole path runs on a laptop. It is
//!   accepted at level SOFTWARE, on chain id 31337, under its own root and its own label only, and
//!   no byte of it verifies as anything else.
//!
//! Invariants:
//! - What is compared is what was signed: quotes and reports that their parser would write otherwise
//!   are refused, and [`Claims::identity`] covers signed bytes only.
//! - Collateral is untrusted: it endorses nothing without its maker's signature, and it never
//!   replaces the certificates in a quote.
//! - Evidence binds SHA-256 of the runtime data and the signing address; both are compared in
//!   constant time.
//! - Appraisal takes time and collateral as arguments, so it gives the same answer years later.

mod amd;
mod appraise;
mod claims;
mod collateral;
mod ear;
mod examine;
mod intel;
mod reference_values;
mod refusal;
mod rules;
#[cfg(test)]
mod samples;
mod simulated;
mod tee;
mod tsm;

pub use appraise::{AppraisalPolicy, MAX_EVIDENCE_BYTES, appraise, select};
pub use claims::{Claims, Measurement, SgxRegisters, SnpRegisters, Tcb, TdxRegisters};
pub use collateral::{Collateral, IntelCollateral, MAX_COLLATERAL_BYTES, Window};
pub use dcap_qvl::TcbStatus;
pub use ear::{Ear, TrustVector};
pub use examine::{Examination, examine};
pub use licen_core::release::AttestationResult;
pub use licen_core::wire::custodian::Evidence;
pub use reference_values::{ReferenceEntry, ReferenceValues, TeeType};
pub use refusal::{AttestError, Refusal};
pub use rules::{AmdRules, AmdSvn, AmdTcb, IntelRules, IntelTcb, Product};
pub use simulated::{SimulatedPlatform, SimulatedTee, measure};
pub use tee::{Tee, TeeChoice};
