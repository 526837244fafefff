//! A verdict in the words of others: an EAT Attestation Result (draft-ietf-rats-ear) with the
//! trustworthiness vector of AR4SI (draft-ietf-rats-ar4si). For people and programs outside; what
//! custodians act on is [`crate::AttestationResult`].

use serde::Serialize;

use crate::claims::{Claims, Tcb};
use crate::reference_values::{ReferenceValues, TeeType};
use crate::refusal::Refusal;

const PROFILE: &str = "tag:github.com,2023:veraison/ear";

/// AR4SI: what a number in the vector means.
mod tier {
    /// Nothing was asked.
    pub(super) const NONE: i8 = 0;
    pub(super) const AFFIRMING: i8 = 2;
    /// Genuine, but with known weaknesses.
    pub(super) const UNSAFE: i8 = 32;
    /// The host sees the memory.
    pub(super) const CONTRAINDICATED: i8 = 96;
    pub(super) const UNRECOGNIZED: i8 = 97;
    pub(super) const CRYPTO_FAILED: i8 = 99;
}

/// The trustworthiness of one attester, a number per question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrustVector {
    /// Is it a machine that is known?
    pub instance_identity: i8,
    /// Is it configured as it should be?
    pub configuration: i8,
    /// Does it run what it should?
    pub executables: i8,
    /// Is the hardware genuine and kept up?
    pub hardware: i8,
    /// Is its memory hidden from its host?
    pub runtime_opaque: i8,
}

/// An attestation result, without a signature: whoever passes it on signs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ear {
    eat_profile: &'static str,
    /// Unix seconds at which it was appraised.
    iat: u64,
    #[serde(rename = "ear.verifier-id")]
    verifier: Verifier,
    submods: Submods,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Verifier {
    developer: &'static str,
    build: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Submods {
    compute: Appraisal,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Appraisal {
    #[serde(rename = "ear.status")]
    status: &'static str,
    #[serde(rename = "ear.trustworthiness-vector")]
    vector: TrustVector,
    #[serde(rename = "ear.appraisal-policy-id")]
    policy: String,
}

impl Ear {
    /// The result of an appraisal: the claims where the evidence verified, and the refusal where a
    /// rule did not hold.
    #[must_use]
    pub fn new(
        values: &ReferenceValues,
        claims: Option<&Claims>,
        refusal: Option<&Refusal>,
        at: u64,
    ) -> Self {
        let mut vector = claims.map_or_else(TrustVector::default, |claims| affirmed(values, claims));
        if let Some(refusal) = refusal {
            mark(&mut vector, refusal);
        }
        let compute = Appraisal { status: status(&vector), vector, policy: values.name.clone() };
        let verifier =
            Verifier { developer: "LICEN", build: concat!("licen-attest ", env!("CARGO_PKG_VERSION")) };
        Self { eat_profile: PROFILE, iat: at, verifier, submods: Submods { compute } }
    }

    /// `affirming`, `warning`, `contraindicated` or `none`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        self.submods.compute.status
    }
}

fn affirmed(values: &ReferenceValues, claims: &Claims) -> TrustVector {
    let asked = |asked: bool| if asked { tier::AFFIRMING } else { tier::NONE };
    let clean = match &claims.tcb {
        Tcb::Intel(tcb) => tcb.advisories.is_empty(),
        Tcb::Amd(_) => true,
    };
    let real = claims.tee_type != TeeType::Simulated;
    TrustVector {
        instance_identity: asked(!values.platforms.is_empty()),
        configuration: tier::AFFIRMING,
        executables: asked(!values.measurements.is_empty()),
        hardware: if real && clean { tier::AFFIRMING } else { tier::UNSAFE },
        runtime_opaque: if real { tier::AFFIRMING } else { tier::CONTRAINDICATED },
    }
}

fn mark(vector: &mut TrustVector, refusal: &Refusal) {
    let (claim, value) = match refusal.rule() {
        "platform" => (&mut vector.instance_identity, tier::UNRECOGNIZED),
        "measurement" => (&mut vector.executables, tier::UNRECOGNIZED),
        "debug" | "vmpl" | "sandbox" => (&mut vector.runtime_opaque, tier::CONTRAINDICATED),
        "migration" | "platform-flag" => (&mut vector.configuration, tier::CONTRAINDICATED),
        "size" | "encoding" | "format" | "signature" | "report-data" => {
            (&mut vector.hardware, tier::CRYPTO_FAILED)
        }
        "tee-type" | "product" => (&mut vector.hardware, tier::UNRECOGNIZED),
        _ => (&mut vector.hardware, tier::CONTRAINDICATED),
    };
    *claim = value;
}

fn status(vector: &TrustVector) -> &'static str {
    let all = [
        vector.instance_identity,
        vector.configuration,
        vector.executables,
        vector.hardware,
        vector.runtime_opaque,
    ];
    match all.into_iter().max().unwrap_or(tier::NONE) {
        96.. => "contraindicated",
        32..96 => "warning",
        2..32 => "affirming",
        _ => "none",
    }
}
