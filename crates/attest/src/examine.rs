//! A verdict about evidence alone: for people who hold a quote or a report and want to know what an
//! appraisal policy makes of it.

use crate::appraise::MAX_EVIDENCE_BYTES;
use crate::claims::Claims;
use crate::collateral::Collateral;
use crate::ear::Ear;
use crate::reference_values::{ReferenceValues, TeeType};
use crate::refusal::Refusal;
use crate::{amd, intel};

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// What the evidence says, where its signatures hold.
    pub claims: Option<Claims>,
    /// The first rule that does not hold; `None` accepts.
    pub refusal: Option<Refusal>,
    /// The same, in the words of RATS.
    pub ear: Ear,
}

/// Examines a raw quote or report at `at` (Unix seconds). It is taken for what its bytes are: an SNP
/// report where the collateral is a chip's certificate, else a quote. Without runtime data nobody
/// knows what the evidence is about; `claims` says what it binds.
#[must_use]
pub fn examine(evidence: &[u8], collateral: &Collateral, values: &ReferenceValues, at: u64) -> Examination {
    let verified = verify(evidence, collateral, at);
    let (claims, refusal) = match verified {
        Ok(claims) => {
            let refusal = values.appraise(&claims, None, at).err();
            (Some(claims), refusal)
        }
        Err(refusal) => (None, Some(refusal)),
    };
    let ear = Ear::new(values, claims.as_ref(), refusal.as_ref(), at);
    Examination { claims, refusal, ear }
}

fn verify(evidence: &[u8], collateral: &Collateral, at: u64) -> Result<Claims, Refusal> {
    if evidence.len() > MAX_EVIDENCE_BYTES {
        return Err(Refusal::TooLarge { bytes: evidence.len(), max: MAX_EVIDENCE_BYTES });
    }
    match collateral {
        Collateral::Amd(vcek) => amd::verify(evidence, vcek, at),
        Collateral::Intel(intel) => {
            let tee = if intel::parse(evidence)?.header.is_sgx() { TeeType::Sgx } else { TeeType::Tdx };
            intel::verify(evidence, intel, &intel::Root::Intel, tee, at)
        }
    }
}
