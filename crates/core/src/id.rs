//! Names that are computed, never assigned: datasets, jobs, accounts, purposes.

use alloc::string::ToString;
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;

use crate::abi::{Job, Policy, ResultManifest, Split};
use crate::eip712::{Domain, abi_hash};

/// keccak256(abi.encode("LICEN/uid/v2", chainId, owner, salt)). It stands in every AAD, so a copied
/// root or envelope that somebody else registers opens nothing; it names no contract, so the owner
/// registers one dataset at several deployments.
#[must_use]
pub fn dataset_uid(chain_id: u64, owner: Address, salt: B256) -> B256 {
    let parts = ("LICEN/uid/v2".to_string(), U256::from(chain_id), owner, salt);
    keccak256(parts.abi_encode_params())
}

/// keccak256(abi.encode(chainId, contract, datasetUid, requester, counter)); the first job of a
/// requester at a dataset has counter 1.
#[must_use]
pub fn job_id(domain: &Domain, dataset_uid: B256, requester: Address, counter: u64) -> B256 {
    let parts = (U256::from(domain.chain_id), domain.contract, dataset_uid, requester, U256::from(counter));
    keccak256(parts.abi_encode_params())
}

/// The hash by which `DataPolicy` knows a policy.
#[must_use]
pub fn policy_hash(policy: &Policy) -> B256 {
    abi_hash(policy)
}

/// keccak256(abi.encode(job)); the contract keeps all but the low 8 bits of it.
#[must_use]
pub fn job_hash(job: &Job) -> B256 {
    abi_hash(job)
}

/// What the contract stores beside the state: the hash with its low 8 bits cleared.
#[must_use]
pub fn job_commitment(job: &Job) -> B256 {
    let mut hash = job_hash(job);
    hash[31] = 0;
    hash
}

/// The hash of a manifest that a Completed job commits to.
#[must_use]
pub fn manifest_hash(manifest: &ResultManifest) -> B256 {
    abi_hash(manifest)
}

/// What the contract stores beside Completed: keccak256(commitment of the job as Running ‖
/// [`manifest_hash`]) with its low 8 bits cleared.
#[must_use]
pub fn result_commitment(job: &Job, manifest: &ResultManifest) -> B256 {
    let mut hash = keccak256((job_commitment(job), manifest_hash(manifest)).abi_encode_params());
    hash[31] = 0;
    hash
}

/// The job as it was when granted: the fields that starting sets are 0.
#[must_use]
pub fn as_granted(job: &Job) -> Job {
    Job { runDeadline: 0, attempt: 0, signer: Address::ZERO, runtimeDataHash: B256::ZERO, ..job.clone() }
}

/// A ledger account of one address.
#[must_use]
pub fn account_of(address: Address) -> B256 {
    address.into_word()
}

/// The address behind an account, `None` where the account is a split.
#[must_use]
pub fn address_of(account: B256) -> Option<Address> {
    account[..12].iter().all(|b| *b == 0).then(|| Address::from_word(account))
}

/// The ledger account of a split, keccak256(abi.encode("LICEN/split/v2", split)): the label keeps any
/// other struct from being read as a split.
#[must_use]
pub fn split_account(split: &Split) -> B256 {
    keccak256(("LICEN/split/v2".to_string(), split.clone()).abi_encode_params())
}

/// keccak256 of the purpose's name in upper case with underscores, as the original names them
/// (`BIOMEDICAL`), so `medical-research` and `MEDICAL_RESEARCH` are one purpose.
#[must_use]
pub fn purpose_id(name: &str) -> B256 {
    keccak256(name.to_uppercase().replace(['-', ' '], "_"))
}

/// keccak256(abi.encode(creator, salt)), the id of everything in `Custody`.
#[must_use]
pub fn custody_id(creator: Address, salt: B256) -> B256 {
    keccak256((creator, salt).abi_encode_params())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::b256;

    #[test]
    fn purposes_have_the_ids_of_the_original() {
        let expected = b256!("336e73143972db5ca856b6f906a7ad1d4a377dc0c6fcf85e7f762dba824bcc46");
        assert!(purpose_id("biomedical")[..4] == expected[..4]);
        let commercial = b256!("363d0e45e0feeeaa07c13fd19592fecdcbe8f46fc6d7f56de1ab948d4e219061");
        assert_eq!(purpose_id("COMMERCIAL_R_AND_D"), commercial);
        assert_eq!(purpose_id("commercial-r-and-d"), commercial);
    }

    #[test]
    fn an_account_is_an_address_or_a_split() {
        let a = Address::repeat_byte(7);
        assert_eq!(address_of(account_of(a)), Some(a));
        assert_eq!(address_of(split_account(&Split::default())), None);
    }
}
