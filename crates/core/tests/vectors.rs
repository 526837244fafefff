//! `vectors/contracts.json` says what the deployed contracts compute; here the same comes out in Rust.

use licen_core::abi::{
    Approval, Delivery, FailureReport, Job, Policy, Quote, RegisterDataset, ResultManifest, Silence, Split,
    Verdict,
};
use licen_core::eip712::{Domain, abi_hash};
use licen_core::id;
use licen_core::primitives::{Address, B256, hex};
use licen_core::sol_types::{SolStruct, SolValue};
use licen_core::wire::custodian::delivery;
use serde_json::Value;

struct Vectors {
    file: Value,
    domain: Domain,
}

impl Vectors {
    fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/contracts.json");
        let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let chain_id = file["chainId"].as_u64().or_else(|| file["chainId"].as_str()?.parse().ok()).unwrap();
        let contract: Address = file["verifyingContract"].as_str().unwrap().parse().unwrap();
        Self { domain: Domain { chain_id, contract }, file }
    }

    /// The struct, which must encode to the same bytes again.
    fn decode<T: SolValue + From<<T::SolType as alloy_sol_types::SolType>::RustType>>(
        &self,
        name: &str,
    ) -> T {
        let bytes = hex::decode(self.file["encoded"][name].as_str().unwrap()).unwrap();
        let value = T::abi_decode_validate(&bytes).unwrap();
        assert_eq!(value.abi_encode(), bytes, "{name}");
        value
    }

    fn expected(&self, name: &str) -> B256 {
        self.file["expected"][name].as_str().unwrap().parse().unwrap()
    }

    fn message<T: SolStruct>(&self, message: &T) {
        let name = T::NAME;
        let of = |kind: &str| self.file["expected"][kind][name].as_str().unwrap().parse::<B256>().unwrap();
        assert_eq!(message.eip712_hash_struct(), of("structHash"), "{name}");
        assert_eq!(self.domain.digest(message), of("digest"), "{name}");
    }
}

#[test]
fn ids_and_commitments() {
    let vectors = Vectors::read();
    let policy: Policy = vectors.decode("policy");
    let job: Job = vectors.decode("job");
    let started: Job = vectors.decode("startedJob");
    let split: Split = vectors.decode("split");
    let domain = &vectors.domain;
    let computed = [
        ("datasetUid", id::dataset_uid(domain, policy.owner, policy.salt)),
        ("policyHash", id::policy_hash(&policy)),
        ("jobId", id::job_id(domain, policy.datasetUid, job.requester, 1)),
        ("jobHash", id::job_hash(&job)),
        ("jobHash", abi_hash(&job)),
        ("jobCommitment", id::job_commitment(&job)),
        ("startedJobHash", id::job_hash(&started)),
        ("startedJobCommitment", id::job_commitment(&started)),
        ("splitAccount", id::split_account(&split)),
        ("addressAccount", id::account_of(policy.owner)),
        ("custodyId", id::custody_id(policy.owner, policy.salt)),
        ("domainSeparator", domain.separator()),
    ];
    for (name, value) in computed {
        assert_eq!(value, vectors.expected(name), "{name}");
    }
    assert_eq!(id::as_granted(&started), job);
}

#[test]
fn signed_messages() {
    let vectors = Vectors::read();
    let policy: Policy = vectors.decode("policy");
    let deadline = vectors.file["registerDeadline"].as_str().unwrap().parse().unwrap();
    vectors.message(&RegisterDataset { policy: policy.clone(), deadline });
    vectors.message(&policy);
    vectors.message(&vectors.decode::<Quote>("quote"));
    vectors.message(&vectors.decode::<Approval>("approval"));
    vectors.message(&vectors.decode::<Verdict>("verdict"));
    vectors.message(&vectors.decode::<Silence>("silence"));
    vectors.message(&vectors.decode::<ResultManifest>("resultManifest"));
    vectors.message(&vectors.decode::<FailureReport>("failureReport"));
}

/// No contract knows the type, so no shared vector holds it: the numbers are those of `cast keccak` and
/// `cast abi-encode`.
#[test]
fn a_delivery_is_a_message_of_its_own() {
    let vectors = Vectors::read();
    let word = |text: &str| text.parse::<B256>().unwrap();
    let job = Job { jobId: B256::repeat_byte(0x11), attempt: 3, ..Job::default() };
    let (result, evidence) = (B256::repeat_byte(0x22), B256::repeat_byte(0x33));
    let offered = delivery(&job, result, evidence, "http://127.0.0.1:18080");
    assert_eq!(
        offered.eip712_hash_struct(),
        word("0xed551c7c1f4e2a0e5af03d757b8b3b3d99b0cda69243716f24aea14ae3a00733")
    );
    assert_eq!(
        vectors.domain.digest(&offered),
        word("0x5045029cfc7e321d7e0930141426415b49775d97cd7b9b9eff2be24889c7da9a")
    );
    let known = vectors.file["expected"]["structHash"].as_object().unwrap();
    assert!(!known.contains_key(Delivery::NAME), "the contracts take it");
}

#[test]
fn names_and_numbers_agree_field_by_field() {
    let vectors = Vectors::read();
    let job: Job = vectors.decode("startedJob");
    let written = &vectors.file["startedJob"];
    let text = |name: &str| written[name].as_str().unwrap();
    assert_eq!(text("epochs"), job.epochs.to_string());
    assert_eq!(text("royaltyPerEpoch"), job.royaltyPerEpoch.to_string());
    assert_eq!(text("protocolFeeBps"), job.protocolFeeBps.to_string());
    assert_eq!(text("runDeadline"), job.runDeadline.to_string());
    assert_eq!(text("attempt"), job.attempt.to_string());
    assert_eq!(text("signer").parse::<Address>().unwrap(), job.signer);
    assert_eq!(text("runtimeDataHash").parse::<B256>().unwrap(), job.runtimeDataHash);
    assert_eq!(text("verifierSet").parse::<B256>().unwrap(), job.verifierSet);
}
