//! Makes evidence about a compute node and appraises it (RFC 9334: compute is the attester, a
//! custodian is verifier and relying party).
//!
//! ```text
//! compute:   RuntimeData --SHA-256--> report data --SimulatedTee--> Evidence
//! custodian: Evidence + RuntimeData + live ReferenceValues --appraise--> AttestationResult
//! ```
//!
//! There is one [`appraise`] for the one [`Evidence`] enum, and it is the only maker of an
//! [`AttestationResult`]: no other crate can say that evidence was good.
//!
//! What each kind of evidence is worth:
//! - **Simulated**: nothing against an attacker. The key of its root is derived from a constant in
//!   this crate, so **anybody can make simulated evidence for any program**. It exists so that the
//!   whole path runs on a laptop. It is accepted at level SOFTWARE, on chain id 31337, under its own
//!   root and its own label only, and no byte of it verifies as anything else.
//! - **TDX, SNP**: parsed strictly, then always refused as [`Refusal::NotSupportedYet`]. There is no
//!   branch that accepts them until signatures, collateral and TCB status are checked.
//!
//! Invariants:
//! - What is compared is what was signed: every document is read in its canonical form only, and
//!   the claims come out of the signed bytes.
//! - Evidence binds SHA-256 of the runtime data and the signing address; both are compared in
//!   constant time.
//! - This crate reads one file (the program that is measured) and one clock (when evidence is
//!   made); appraisal takes everything as an argument, so it gives the same answer years later.

mod appraise;
mod reference_values;
mod refusal;
mod simulated;
mod snp;
mod tdx;

pub use appraise::{AppraisalPolicy, MAX_EVIDENCE_AGE_SECONDS, MAX_EVIDENCE_BYTES, appraise};
pub use licen_core::release::AttestationResult;
pub use licen_core::wire::custodian::Evidence;
pub use reference_values::{ReferenceEntry, ReferenceValues, TeeType};
pub use refusal::{AttestError, Refusal};
pub use simulated::{SimulatedTee, measure};
