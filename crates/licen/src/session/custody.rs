//! Who holds the key of a dataset, and how far that is to be trusted.

use std::collections::BTreeSet;

use licen_core::abi::Member;
use licen_core::eip712::ChainDomain;
use licen_core::policy::LEVEL_SOFTWARE;
use licen_core::primitives::{Address, B256};
use licen_core::wire::custodian::RefusalResponse;

use crate::session::error::Outcome;
use crate::session::{Session, codes};

/// What a person must know before trusting a dataset's custody.
#[must_use]
pub fn warnings(level: u8, threshold: u8) -> Vec<String> {
    let mut warnings = Vec::new();
    if level == LEVEL_SOFTWARE {
        warnings.push("attestation is simulated (level SOFTWARE): compute is not confidential".to_string());
    }
    if threshold == 1 {
        warnings.push("one custodian alone can read the dataset and settle or withhold the job".to_string());
    }
    warnings
}

/// A version of a set that the dataset's key was sealed to.
pub struct Sealed {
    /// The set and its version.
    pub set: (B256, u32),
    /// Members that suffice.
    pub t: u8,
    /// Members.
    pub members: Vec<Member>,
}

/// Every version of every set that the dataset's key was ever sealed to, from the chain's logs.
///
/// # Errors
/// The chain.
pub async fn sealed_to(session: &Session, uid: B256) -> Outcome<Vec<Sealed>> {
    let chain = session.chain().await?;
    let mut policies = Vec::new();
    for contract in session.chains().await? {
        policies.extend(contract.policies_of(uid).await?);
    }
    let sets: BTreeSet<(B256, u32)> = policies.iter().map(|p| (p.custodianSet, p.setVersion)).collect();
    let mut sealed = Vec::new();
    for set in sets {
        // A policy may name a set that nobody made; nothing can be sealed to it.
        match chain.custodians(set.0, set.1).await {
            Ok((t, members)) => sealed.push(Sealed { set, t, members }),
            Err(error) if error.code == codes::TRANSACTION => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sealed)
}

/// That a refusal is of this dataset, and of this custodian.
///
/// # Errors
/// What it is instead.
pub fn check_refusal(
    said: &RefusalResponse,
    custodian: Address,
    uid: B256,
    domain: &ChainDomain,
) -> Result<(), String> {
    if said.refusal.0.datasetUid != uid {
        return Err(format!("it refuses {}, another dataset", said.refusal.0.datasetUid));
    }
    match domain.signer_of(&said.refusal.0, &said.signature) {
        Some(signer) if signer == custodian => Ok(()),
        _ => Err("its refusal is not signed by it".into()),
    }
}
