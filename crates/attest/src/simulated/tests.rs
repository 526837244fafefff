//! Simulated evidence against every attack that its rules are written for.

use licen_core::abi::Job;
use licen_core::canonical::cbor_to_vec;
use licen_core::eip712::Domain;
use licen_core::policy::{LEVEL_HARDWARE, LEVEL_SOFTWARE, LOCAL_CHAIN_ID};
use licen_core::primitives::{Address, B256, Bytes, FixedBytes};
use licen_core::release::AttestationResult;
use licen_core::runtime_data::{self, Challenge, LABEL, LABEL_SIMULATED, RuntimeData};
use licen_core::wire::custodian::Evidence;
use proptest::prelude::*;

use super::document::{CERTIFICATE_LABEL, Claims, Document, LABEL as DOCUMENT_LABEL};
use super::root::{SimulatedKey, platform_id};
use super::{SimulatedTee, measure};
use crate::{AppraisalPolicy, ReferenceEntry, ReferenceValues, Refusal, TeeType, appraise};

const NOW: u64 = 1_800_000_000;
const MEASUREMENT: B256 = B256::repeat_byte(0x11);

fn data() -> RuntimeData {
    let domain = Domain { chain_id: LOCAL_CHAIN_ID, contract: Address::repeat_byte(9) };
    let job = Job { jobId: B256::repeat_byte(5), epochs: 3, ..Job::default() };
    RuntimeData {
        label: LABEL_SIMULATED.into(),
        level: LEVEL_SOFTWARE,
        chain_id: domain.chain_id,
        contract: domain.contract,
        job_id: job.jobId,
        job_hash: licen_core::id::job_hash(&job),
        attempt: 1,
        dataset_uid: job.datasetUid,
        dataset_root: job.datasetRoot,
        policy_hash: job.policyHash,
        envelope_hash: job.envelopeHash,
        job_spec_hash: job.jobSpecHash,
        provider_id: job.providerId,
        hpke_key: B256::repeat_byte(1),
        signer: Address::repeat_byte(2),
        tee_type: "simulated".into(),
        challenges: vec![Challenge { custodian_id: Address::repeat_byte(3), nonce: B256::repeat_byte(4) }],
    }
}

fn tee() -> SimulatedTee {
    SimulatedTee::pretend(MEASUREMENT, "here").unwrap()
}

fn entry() -> ReferenceEntry {
    ReferenceEntry::new(&ReferenceValues::simulated("test", vec![MEASUREMENT])).unwrap()
}

fn bytes_of(evidence: &Evidence) -> Vec<u8> {
    let Evidence::Simulated { document } = evidence else { panic!("not simulated") };
    document.to_vec()
}

fn evidence_of(data: &RuntimeData) -> Evidence {
    let hash = runtime_data::hash(&data.to_bytes().unwrap());
    tee().evidence_at(&hash, data.signer, NOW).unwrap()
}

fn judge(evidence: &Evidence, data: &RuntimeData) -> Result<AttestationResult, Refusal> {
    let entries = [entry()];
    let policy = AppraisalPolicy { chain_id: LOCAL_CHAIN_ID, entries: &entries, platforms: None };
    appraise(evidence, &data.to_bytes().unwrap(), &policy, NOW)
}

/// A document about `data()` that was changed before its signatures were made.
fn forged(body: impl FnOnce(&mut Claims), root: &SimulatedKey, platform: &SimulatedKey) -> Document {
    let hash = runtime_data::hash(&data().to_bytes().unwrap());
    let mut claims = Claims {
        measurement: MEASUREMENT,
        platform_id: platform_id(&platform.public()),
        report_data: FixedBytes(runtime_data::report_data(&hash, data().signer)),
        issued_at: NOW,
    };
    body(&mut claims);
    Document::sign(claims, platform, root).unwrap()
}

fn refusal_of(document: &Document) -> Refusal {
    let document = document.to_bytes().unwrap().into();
    judge(&Evidence::Simulated { document }, &data()).unwrap_err()
}

fn keys() -> (SimulatedKey, SimulatedKey) {
    (SimulatedKey::root().unwrap(), SimulatedKey::platform("here").unwrap())
}

#[test]
fn good_evidence_gives_a_result_at_level_software() {
    let result = judge(&evidence_of(&data()), &data()).unwrap();
    assert_eq!(result.level(), LEVEL_SOFTWARE);
    assert_eq!(result.signer(), data().signer);
    assert_eq!(result.recipient_key(), data().hpke_key);
    assert_eq!(result.runtime_data_hash(), runtime_data::hash(&data().to_bytes().unwrap()));
    assert_eq!(result.entry(), entry().root());
}

#[test]
fn every_single_bit_flip_of_the_document_is_refused() {
    let good = bytes_of(&evidence_of(&data()));
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(bytes, good);
        let result = judge(&Evidence::Simulated { document: bytes.into() }, &data());
        assert!(result.is_err(), "bit {bit} of {}", good.len() * 8);
    }
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let good = bytes_of(&evidence_of(&data()));
    for end in 0..good.len() {
        let document = Bytes::copy_from_slice(&good[..end]);
        assert!(judge(&Evidence::Simulated { document }, &data()).is_err(), "{end}");
    }
    let document = [good, vec![0]].concat().into();
    assert!(judge(&Evidence::Simulated { document }, &data()).is_err());
}

#[test]
fn another_root_is_refused() {
    let (_, platform) = keys();
    let other = SimulatedKey::from_seed(b"somebody else's root").unwrap();
    assert_eq!(refusal_of(&forged(|_| {}, &other, &platform)), Refusal::Root);
}

#[test]
fn a_self_certified_platform_is_refused() {
    let platform = SimulatedKey::platform("here").unwrap();
    assert_eq!(refusal_of(&forged(|_| {}, &platform, &platform)), Refusal::Root);
}

#[test]
fn a_signature_of_another_platform_is_refused() {
    let (root, platform) = keys();
    let other = SimulatedKey::platform("there").unwrap();
    let mut document = forged(|_| {}, &root, &platform);
    document.signature = forged(|_| {}, &root, &other).signature;
    assert_eq!(refusal_of(&document), Refusal::Signature);
}

#[test]
fn the_id_of_another_platform_is_refused() {
    let (root, platform) = keys();
    let other = SimulatedKey::platform("there").unwrap();
    let id = platform_id(&other.public());
    assert_eq!(refusal_of(&forged(|c| c.platform_id = id, &root, &platform)), Refusal::PlatformId);
}

#[test]
fn another_label_is_refused() {
    let (root, platform) = keys();
    let mut document = forged(|_| {}, &root, &platform);
    document.label = "LICEN/evidence/v1".into();
    assert_eq!(refusal_of(&document), Refusal::Label("the simulated document"));
    let mut document = forged(|_| {}, &root, &platform);
    document.certificate.label = DOCUMENT_LABEL.into();
    assert_eq!(refusal_of(&document), Refusal::Label("the platform certificate"));
    assert_ne!(CERTIFICATE_LABEL, DOCUMENT_LABEL);
    let mut real = data();
    real.label = LABEL.into();
    assert_eq!(judge(&evidence_of(&real), &real).unwrap_err(), Refusal::Label("the runtime data"));
}

#[test]
fn level_hardware_is_refused() {
    let mut data = data();
    data.level = LEVEL_HARDWARE;
    let refusal = Refusal::Level { found: LEVEL_HARDWARE, worth: LEVEL_SOFTWARE };
    assert_eq!(judge(&evidence_of(&data), &data).unwrap_err(), refusal);
}

#[test]
fn a_public_chain_is_refused() {
    let mut elsewhere = data();
    elsewhere.chain_id = 16_602;
    assert_eq!(judge(&evidence_of(&elsewhere), &elsewhere).unwrap_err(), Refusal::ChainId(16_602));
    // A custodian of a public chain refuses even runtime data that claims the private one.
    let entries = [entry()];
    let policy = AppraisalPolicy { chain_id: 16_602, entries: &entries, platforms: None };
    let result = appraise(&evidence_of(&data()), &data().to_bytes().unwrap(), &policy, NOW);
    assert_eq!(result.unwrap_err(), Refusal::ChainId(16_602));
}

#[test]
fn evidence_about_other_runtime_data_is_refused() {
    let mut other = data();
    other.attempt = 2;
    assert_eq!(judge(&evidence_of(&data()), &other).unwrap_err(), Refusal::ReportData);
    let mut signer = data();
    signer.signer = Address::repeat_byte(0xee);
    assert_eq!(judge(&evidence_of(&data()), &signer).unwrap_err(), Refusal::ReportData);
    // The hash alone is not enough: the signer in the report is compared too.
    let hash = runtime_data::hash(&data().to_bytes().unwrap());
    let evidence = tee().evidence_at(&hash, Address::repeat_byte(0xee), NOW).unwrap();
    assert_eq!(judge(&evidence, &data()).unwrap_err(), Refusal::ReportData);
}

#[test]
fn runtime_data_that_is_not_canonical_is_refused() {
    let entries = [entry()];
    let policy = AppraisalPolicy { chain_id: LOCAL_CHAIN_ID, entries: &entries, platforms: None };
    let mut bytes = data().to_bytes().unwrap();
    bytes.push(0);
    let result = appraise(&evidence_of(&data()), &bytes, &policy, NOW);
    assert!(matches!(result, Err(Refusal::Encoding { what: "the runtime data", .. })));
}

#[test]
fn evidence_of_another_time_is_refused() {
    let (root, platform) = keys();
    let stale = forged(|c| c.issued_at = NOW - 901, &root, &platform);
    assert!(matches!(refusal_of(&stale), Refusal::Stale { seconds: 901, .. }));
    let early = forged(|c| c.issued_at = NOW + 121, &root, &platform);
    assert_eq!(refusal_of(&early), Refusal::Early { seconds: 121 });
}

#[test]
fn a_program_without_live_reference_values_is_refused() {
    let (root, platform) = keys();
    let other = B256::repeat_byte(0x22);
    let document = forged(|c| c.measurement = other, &root, &platform);
    assert_eq!(refusal_of(&document), Refusal::Measurement(other));
    let policy = AppraisalPolicy { chain_id: LOCAL_CHAIN_ID, entries: &[], platforms: None };
    let result = appraise(&evidence_of(&data()), &data().to_bytes().unwrap(), &policy, NOW);
    assert_eq!(result.unwrap_err(), Refusal::Measurement(MEASUREMENT));
}

#[test]
fn a_platform_that_the_provider_did_not_register_is_refused() {
    let judge = |values: &ReferenceValues, platforms: Option<&[B256]>| {
        let entries = [ReferenceEntry::new(values).unwrap()];
        let policy = AppraisalPolicy { chain_id: LOCAL_CHAIN_ID, entries: &entries, platforms };
        appraise(&evidence_of(&data()), &data().to_bytes().unwrap(), &policy, NOW).map(|_| ())
    };
    let id = tee().platform_id();
    let refused = Err(Refusal::Platform(id));
    let any = ReferenceValues::simulated("test", vec![MEASUREMENT]);
    assert_eq!(judge(&any, Some(&[id])), Ok(()));
    assert_eq!(judge(&any, Some(&[])), refused);
    assert_eq!(judge(&any, Some(&[B256::ZERO])), refused);
    let listed = ReferenceValues { platforms: vec![id], ..any.clone() };
    assert_eq!(judge(&listed, None), Ok(()));
    let others = ReferenceValues { platforms: vec![B256::ZERO], ..any };
    assert_eq!(judge(&others, Some(&[id])), refused);
}

#[test]
fn hardware_evidence_is_parsed_and_then_always_refused() {
    let hardware = |tee: TeeType| {
        let mut data = data();
        (data.label, data.level, data.tee_type) = (LABEL.into(), LEVEL_HARDWARE, tee.name().into());
        data
    };
    let quote: Bytes = crate::tdx::tests::shaped(4, 584).into();
    let report: Bytes = crate::snp::tests::shaped().into();
    let tdx = Evidence::Tdx { quote: quote.clone() };
    let snp = Evidence::Snp { report: report.clone() };
    assert_eq!(judge(&tdx, &hardware(TeeType::Tdx)).unwrap_err(), Refusal::NotSupportedYet("TDX"));
    assert_eq!(judge(&snp, &hardware(TeeType::Snp)).unwrap_err(), Refusal::NotSupportedYet("SNP"));
    assert_eq!(judge(&tdx, &hardware(TeeType::Snp)).unwrap_err(), Refusal::TeeType);
    let crossed = Evidence::Snp { report: quote };
    assert!(matches!(judge(&crossed, &hardware(TeeType::Snp)), Err(Refusal::Malformed { .. })));
    let simulated = Evidence::Simulated { document: report };
    assert_eq!(judge(&simulated, &hardware(TeeType::Snp)).unwrap_err(), Refusal::TeeType);
    assert!(matches!(judge(&simulated, &data()), Err(Refusal::Encoding { .. })));
}

#[test]
fn evidence_that_is_too_large_is_not_read() {
    let evidence = Evidence::Simulated { document: vec![0; 64 * 1024 + 1].into() };
    assert!(matches!(judge(&evidence, &data()), Err(Refusal::TooLarge { .. })));
}

#[test]
fn the_running_program_is_what_is_measured() {
    let tee = SimulatedTee::from_current_exe().unwrap();
    assert_eq!(tee.measurement(), measure(&std::env::current_exe().unwrap()).unwrap());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"abc").unwrap();
    let known = "0xba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(measure(file.path()).unwrap().to_string(), known);
    assert!(measure(std::path::Path::new("/nonexistent")).is_err());
}

#[test]
fn a_platform_keeps_its_id() {
    let again = SimulatedTee::pretend(B256::ZERO, "here").unwrap();
    assert_eq!(tee().platform_id(), again.platform_id());
    let other = SimulatedTee::pretend(B256::ZERO, "there").unwrap();
    assert_ne!(tee().platform_id(), other.platform_id());
}

#[test]
fn the_document_is_what_the_module_says() {
    let (root, platform) = keys();
    let document = forged(|_| {}, &root, &platform);
    assert_eq!(document.to_bytes().unwrap(), cbor_to_vec(&document).unwrap());
    assert_eq!(bytes_of(&evidence_of(&data())), document.to_bytes().unwrap(), "deterministic");
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic_or_accept(bytes in proptest::collection::vec(any::<u8>(), 0..1500)) {
        let bytes: Bytes = bytes.into();
        for evidence in [
            Evidence::Tdx { quote: bytes.clone() },
            Evidence::Snp { report: bytes.clone() },
            Evidence::Simulated { document: bytes.clone() },
        ] {
            prop_assert!(judge(&evidence, &data()).is_err());
        }
        let _ = crate::tdx::Quote::parse(&bytes);
        let _ = crate::snp::Report::parse(&bytes);
    }
}
