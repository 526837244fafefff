//! `vectors/contracts.json` says what the deployed contracts compute; here the same comes out in Rust.

use licen_core::abi::{
    AccessRequest, Approval, Delivery, ErasureStatement, FailureReport, Held, Job, MemberKey, Policy, Quote,
    RefusalStatement, RegisterDataset, ResultManifest, Retire, Silence, Split, Verdict,
};
use licen_core::eip712::{Domain, abi_hash};
use licen_core::id;
use licen_core::primitives::{Address, B256, hex};
use licen_core::result_roots::ResultRoots;
use licen_core::sol_types::{SolStruct, SolValue};
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
        ("datasetUid", id::dataset_uid(domain.chain_id, policy.owner, policy.salt)),
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
    let nonce = vectors.file["registerNonce"].as_str().unwrap().parse().unwrap();
    vectors.message(&RegisterDataset { policy: policy.clone(), nonce, deadline });
    vectors.message(&policy);
    vectors.message(&vectors.decode::<Quote>("quote"));
    vectors.message(&vectors.decode::<Approval>("approval"));
    vectors.message(&vectors.decode::<Verdict>("verdict"));
    vectors.message(&vectors.decode::<Silence>("silence"));
    vectors.message(&vectors.decode::<ResultManifest>("resultManifest"));
    vectors.message(&vectors.decode::<FailureReport>("failureReport"));
}

/// No contract knows these types, so no shared vector holds them: the numbers were computed in Python,
/// from the type strings and the rules of EIP-712 alone.
#[test]
fn what_custodians_sign_names_every_root() {
    let vectors = Vectors::read();
    let word = |text: &str| text.parse::<B256>().unwrap();
    let job = Job { jobId: B256::repeat_byte(0x11), attempt: 3, ..Job::default() };
    let roots = ResultRoots {
        result_hash: B256::repeat_byte(0x22),
        base_model_root: B256::repeat_byte(0x33),
        adapter_root: B256::repeat_byte(0x44),
        attestation_ref: B256::repeat_byte(0x55),
        report_hash: B256::repeat_byte(0x66),
    };
    let offered = vectors.domain.digest(&roots.delivery(&job, "http://127.0.0.1:18080"));
    assert_eq!(offered, word("0xf8ab2998494c015f8d13d3af7c41cb40d77ca68102680eec2d669c5eabe96684"));
    let held = vectors.domain.digest(&roots.held(job.jobId, job.attempt));
    assert_eq!(held, word("0x9a64111a6badadf81faaba31f21163b48c6ebc2e48272f098854d80905019961"));
    let known = vectors.file["expected"]["structHash"].as_object().unwrap();
    assert!(!known.contains_key(Delivery::NAME) && !known.contains_key(Held::NAME), "the contracts take it");
}

/// As above.
#[test]
fn who_asks_for_access_signs_every_field() {
    let asked = AccessRequest {
        datasetUid: B256::repeat_byte(0x11),
        requestersRoot: B256::repeat_byte(0x22),
        requester: Address::repeat_byte(0x33),
        askedAt: 1_790_000_000,
        note: "For a paper on birds, ünïcode".into(),
    };
    let digest = hex::encode(Vectors::read().domain.digest(&asked));
    assert_eq!(digest, "0252b521560392ea4ff455183f5db7eecf650685701f09c7a07f9d8ff5985a8d");
}

/// As above, under the domain {name, version, chainId}.
#[test]
fn statements_name_no_contract() {
    let chain = Vectors::read().domain.chain();
    let (dataset, key) = (B256::repeat_byte(0x11), B256::repeat_byte(0x11));
    let digests = [
        chain.digest(&Retire { datasetUid: dataset }),
        chain.digest(&RefusalStatement { datasetUid: dataset, refusedAt: 7 }),
        chain.digest(&ErasureStatement { hpkeKey: key, erasedAt: 7 }),
        chain.digest(&MemberKey { hpkeKey: key }),
    ];
    let expected = [
        "6916905476b1e939c8b66be5d030515911814ac608e95f2f575c2e1626618e0e",
        "d893a18eacb699bf757b1e8a6f1bf381e73d56f522cd5e8edc121528296f13ed",
        "98ca48c019dcc71b3c4ccaf77a36996b45e6a5b293c3b7be55b8029e2f403b79",
        "689620fef4622dd191707bb93fe770db6471636ca3b7a6ed593095ca74a50b57",
    ];
    assert_eq!(digests.map(hex::encode), expected);
}

#[test]
fn names_and_numbers_agree_field_by_field() {
    let vectors = Vectors::read();
    let job: Job = vectors.decode("startedJob");
    let written = &vectors.file["startedJob"];
    let text = |name: &str| written[name].as_str().unwrap();
    assert_eq!(text("epochs"), job.epochs.to_string());
    assert_eq!(text("royaltyPerUnit"), job.royaltyPerUnit.to_string());
    assert_eq!(text("protocolFeeBps"), job.protocolFeeBps.to_string());
    assert_eq!(text("runDeadline"), job.runDeadline.to_string());
    assert_eq!(text("attempt"), job.attempt.to_string());
    assert_eq!(text("signer").parse::<Address>().unwrap(), job.signer);
    assert_eq!(text("runtimeDataHash").parse::<B256>().unwrap(), job.runtimeDataHash);
    assert_eq!(text("verifierSet").parse::<B256>().unwrap(), job.verifierSet);
}
