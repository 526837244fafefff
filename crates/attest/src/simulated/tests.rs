//! Simulated evidence against every attack that its rules are written for.

use licen_core::abi::Job;
use licen_core::eip712::Domain;
use licen_core::policy::{LEVEL_HARDWARE, LEVEL_SOFTWARE, LOCAL_CHAIN_ID};
use licen_core::primitives::{Address, B256, Bytes, FixedBytes};
use licen_core::release::AttestationResult;
use licen_core::runtime_data::{self, Challenge, LABEL, LABEL_SIMULATED, RuntimeData};
use licen_core::wire::custodian::Evidence;
use proptest::prelude::*;

use super::{SimulatedPlatform, SimulatedTee, collateral, measure, root};
use crate::intel::{self, Root};
use crate::samples;
use crate::{
    AppraisalPolicy, Collateral, Measurement, ReferenceEntry, ReferenceValues, Refusal, TeeType, appraise,
    select,
};

const NOW: u64 = 1_800_000_000;
const PROGRAM: FixedBytes<48> = FixedBytes::repeat_byte(0x11);
/// TD ATTRIBUTES that everybody demands, and ones nobody wants.
const SEPT_VE_DISABLE: u64 = 1 << 28;
const MIGRATABLE: u64 = 1 << 29;
const DEBUG: u64 = 1;

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
        sandboxed: true,
        challenges: vec![Challenge { custodian_id: Address::repeat_byte(3), nonce: B256::repeat_byte(4) }],
    }
}

fn tee() -> SimulatedTee {
    SimulatedTee::pretend(PROGRAM, SimulatedPlatform::Default)
}

fn entry() -> ReferenceEntry {
    ReferenceEntry::new(&ReferenceValues::simulated("test", vec![tee().measurement()])).unwrap()
}

fn hash_of(data: &RuntimeData) -> B256 {
    runtime_data::hash(&data.to_bytes().unwrap())
}

fn evidence_of(data: &RuntimeData) -> Evidence {
    tee().evidence_for(&hash_of(data), data.signer).unwrap()
}

/// Evidence about `data()` with TD attributes of the attacker's choice.
fn with_attributes(attributes: u64) -> Evidence {
    let report_data = runtime_data::report_data(&hash_of(&data()), data().signer);
    Evidence::Simulated { quote: tee().quote(report_data, attributes).unwrap().into() }
}

fn judge_with(
    evidence: &Evidence,
    data: &RuntimeData,
    entries: &[ReferenceEntry],
    platforms: Option<&[B256]>,
) -> Result<AttestationResult, Refusal> {
    let policy = AppraisalPolicy { chain_id: LOCAL_CHAIN_ID, entries, platforms };
    let collateral = select(evidence, [])?;
    appraise(evidence, &data.to_bytes().unwrap(), &collateral, &policy, NOW)
}

fn judge(evidence: &Evidence, data: &RuntimeData) -> Result<AttestationResult, Refusal> {
    judge_with(evidence, data, &[entry()], None)
}

#[test]
fn good_evidence_gives_a_result_at_level_software() {
    let result = judge(&evidence_of(&data()), &data()).unwrap();
    assert_eq!(result.level(), LEVEL_SOFTWARE);
    assert_eq!(result.signer(), data().signer);
    assert_eq!(result.recipient_key(), data().hpke_key);
    assert_eq!(result.runtime_data_hash(), hash_of(&data()));
    assert_eq!(result.entry(), entry().root());
    assert_eq!(evidence_of(&data()), evidence_of(&data()), "deterministic");
}

#[test]
fn every_single_bit_flip_of_the_signed_body_is_refused() {
    let good = evidence_of(&data()).bytes().to_vec();
    let signed = intel::parse(&good).unwrap().signed_length();
    for bit in 0..signed * 8 {
        let mut quote = good.clone();
        quote[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(quote, good);
        let result = judge(&Evidence::Simulated { quote: quote.into() }, &data());
        assert!(result.is_err(), "bit {bit}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let good = evidence_of(&data()).bytes().to_vec();
    for end in (0..good.len()).step_by(7) {
        let quote = Bytes::copy_from_slice(&good[..end]);
        assert!(judge(&Evidence::Simulated { quote }, &data()).is_err(), "{end}");
    }
    let quote = [good, vec![1]].concat().into();
    assert!(matches!(judge(&Evidence::Simulated { quote }, &data()), Err(Refusal::Malformed { .. })));
}

#[test]
fn a_node_without_its_sandbox_is_refused_unless_the_reference_values_allow_it() {
    let open = RuntimeData { sandboxed: false, ..data() };
    let evidence = evidence_of(&open);
    assert_eq!(judge(&evidence, &open).unwrap_err(), Refusal::Unsandboxed);
    let mut values = entry().values().clone();
    values.allow_unsandboxed = true;
    let entries = [ReferenceEntry::new(&values).unwrap()];
    let policy = AppraisalPolicy { chain_id: LOCAL_CHAIN_ID, entries: &entries, platforms: None };
    let accepted = appraise(&evidence, &open.to_bytes().unwrap(), collateral(), &policy, NOW).unwrap();
    assert_eq!(accepted.entry(), entries[0].root());
    // An entry that allows it does not speak for another program.
    let other = SimulatedTee::pretend(FixedBytes::repeat_byte(9), SimulatedPlatform::Default);
    let foreign = other.evidence_for(&hash_of(&open), open.signer).unwrap();
    let refusal = appraise(&foreign, &open.to_bytes().unwrap(), collateral(), &policy, NOW).unwrap_err();
    assert!(matches!(refusal, Refusal::Measurement(_)), "{refusal}");
    // What was signed as open cannot be shown as confined.
    let refusal = judge(&evidence, &data()).unwrap_err();
    assert_eq!(refusal, Refusal::ReportData);
}

#[test]
fn a_simulated_quote_does_not_verify_under_intels_root() {
    let mut real = data();
    (real.label, real.level, real.tee_type) = (LABEL.into(), LEVEL_HARDWARE, "tdx".into());
    let quote = evidence_of(&real).bytes().clone();
    let policy = AppraisalPolicy { chain_id: LOCAL_CHAIN_ID, entries: &[], platforms: None };
    let runtime_data = real.to_bytes().unwrap();
    let evidence = Evidence::Tdx { quote: quote.clone() };
    let refusal = appraise(&evidence, &runtime_data, collateral(), &policy, NOW).unwrap_err();
    assert!(matches!(&refusal, Refusal::Quote(why) if why.contains("CRL")), "{refusal}");
    // Nor with Intel's own collateral of that time.
    let intels = samples::collateral("tdx_quote");
    let refusal = appraise(&evidence, &runtime_data, &intels, &policy, samples::TDX_AT).unwrap_err();
    assert!(matches!(refusal, Refusal::Quote(_)), "{refusal}");
    // A custodian holds no collateral for its platform, whatever it holds.
    assert!(matches!(select(&evidence, [&intels]), Err(Refusal::NoCollateral { tee: "tdx", .. })));
}

#[test]
fn a_real_quote_is_not_simulated_evidence() {
    let evidence = Evidence::Simulated { quote: samples::TDX.to_vec().into() };
    let refusal = judge(&evidence, &data()).unwrap_err();
    assert!(matches!(refusal, Refusal::Quote(_)), "{refusal}");
    let Collateral::Intel(intels) = samples::collateral("tdx_quote") else { panic!() };
    let under = |root| intel::verify(samples::TDX, &intels, &root, TeeType::Tdx, samples::TDX_AT);
    assert!(under(Root::Intel).is_ok());
    assert!(matches!(under(root()), Err(Refusal::Quote(_))));
}

#[test]
fn another_label_is_refused() {
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
    let runtime_data = data().to_bytes().unwrap();
    let result = appraise(&evidence_of(&data()), &runtime_data, collateral(), &policy, NOW);
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
    let mut recipient = data();
    recipient.hpke_key = B256::repeat_byte(0xee);
    assert_eq!(judge(&evidence_of(&data()), &recipient).unwrap_err(), Refusal::ReportData);
    // The hash alone is not enough: the signer in the report is compared too.
    let evidence = tee().evidence_for(&hash_of(&data()), Address::repeat_byte(0xee)).unwrap();
    assert_eq!(judge(&evidence, &data()).unwrap_err(), Refusal::ReportData);
}

#[test]
fn runtime_data_that_is_not_canonical_is_refused() {
    let entries = [entry()];
    let policy = AppraisalPolicy { chain_id: LOCAL_CHAIN_ID, entries: &entries, platforms: None };
    let mut bytes = data().to_bytes().unwrap();
    bytes.push(0);
    let result = appraise(&evidence_of(&data()), &bytes, collateral(), &policy, NOW);
    assert!(matches!(result, Err(Refusal::Encoding { what: "the runtime data", .. })));
}

#[test]
fn a_guest_that_its_host_can_look_into_or_move_is_refused() {
    assert!(judge(&with_attributes(SEPT_VE_DISABLE), &data()).is_ok());
    for bit in [0, 4, 5, 6] {
        let evidence = with_attributes(SEPT_VE_DISABLE | (DEBUG << bit));
        assert_eq!(judge(&evidence, &data()).unwrap_err(), Refusal::Debug, "bit {bit}");
    }
    for attributes in [0, SEPT_VE_DISABLE | MIGRATABLE] {
        let refusal = judge(&with_attributes(attributes), &data()).unwrap_err();
        assert!(matches!(refusal, Refusal::Quote(_)), "{refusal}");
    }
}

#[test]
fn evidence_before_and_after_its_collateral_is_refused() {
    let policy = AppraisalPolicy { chain_id: LOCAL_CHAIN_ID, entries: &[entry()], platforms: None };
    let runtime_data = data().to_bytes().unwrap();
    let at = |now| appraise(&evidence_of(&data()), &runtime_data, collateral(), &policy, now).map(|_| ());
    let window = collateral().window().unwrap().unwrap();
    assert_eq!(at(window.from), Ok(()));
    assert_eq!(at(window.from - 1), Err(Refusal::CollateralEarly { from: window.from }));
    assert_eq!(at(window.until + 1), Err(Refusal::CollateralExpired { until: window.until }));
}

#[test]
fn a_program_without_live_reference_values_is_refused() {
    let other = SimulatedTee::pretend(FixedBytes::repeat_byte(0x22), SimulatedPlatform::Default);
    let evidence = other.evidence_for(&hash_of(&data()), data().signer).unwrap();
    let refusal = Refusal::Measurement(Box::new(other.measurement()));
    assert_eq!(judge(&evidence, &data()).unwrap_err(), refusal);
    assert_eq!(judge_with(&evidence_of(&data()), &data(), &[], None).unwrap_err(), Refusal::NoEntry);
}

#[test]
fn a_platform_that_the_provider_did_not_register_is_refused() {
    let judge = |values: &ReferenceValues, platforms: Option<&[B256]>| {
        let entries = [ReferenceEntry::new(values).unwrap()];
        judge_with(&evidence_of(&data()), &data(), &entries, platforms).map(|_| ())
    };
    let id = tee().platform_id();
    let refused = Err(Refusal::Platform(Some(id)));
    let any = ReferenceValues::simulated("test", vec![tee().measurement()]);
    assert_eq!(judge(&any, Some(&[id])), Ok(()));
    assert_eq!(judge(&any, Some(&[])), refused);
    assert_eq!(judge(&any, Some(&[B256::ZERO])), refused);
    let listed = ReferenceValues { platforms: vec![id], ..any.clone() };
    assert_eq!(judge(&listed, None), Ok(()));
    let others = ReferenceValues { platforms: vec![B256::ZERO], ..any };
    assert_eq!(judge(&others, Some(&[id])), refused);
}

#[test]
fn the_other_platform_is_another_one() {
    let other = SimulatedTee::pretend(PROGRAM, SimulatedPlatform::Other);
    assert_ne!(other.platform_id(), tee().platform_id());
    let evidence = other.evidence_for(&hash_of(&data()), data().signer).unwrap();
    let registered = [other.platform_id()];
    assert!(judge_with(&evidence, &data(), &[entry()], Some(&registered)).is_ok());
    let refusal = judge_with(&evidence, &data(), &[entry()], Some(&[tee().platform_id()])).unwrap_err();
    assert_eq!(refusal, Refusal::Platform(Some(other.platform_id())));
}

#[test]
fn kinds_of_evidence_do_not_stand_in_for_each_other() {
    let hardware = |tee: TeeType| {
        let mut data = data();
        (data.label, data.level, data.tee_type) = (LABEL.into(), LEVEL_HARDWARE, tee.name().into());
        data
    };
    let bytes = evidence_of(&data()).bytes().clone();
    let tdx = Evidence::Tdx { quote: bytes.clone() };
    let snp = Evidence::Snp { report: bytes.clone() };
    let check = |evidence: &Evidence, data: &RuntimeData| {
        let policy = AppraisalPolicy { chain_id: LOCAL_CHAIN_ID, entries: &[entry()], platforms: None };
        appraise(evidence, &data.to_bytes().unwrap(), collateral(), &policy, NOW).unwrap_err()
    };
    assert_eq!(check(&tdx, &hardware(TeeType::Snp)), Refusal::TeeType);
    assert_eq!(check(&tdx, &data()), Refusal::TeeType);
    assert_eq!(check(&evidence_of(&data()), &hardware(TeeType::Tdx)), Refusal::TeeType);
    assert!(matches!(check(&snp, &hardware(TeeType::Snp)), Refusal::Collateral(_)));
    assert!(matches!(select(&snp, []), Err(Refusal::NoCollateral { tee: "snp", .. })));
}

#[test]
fn evidence_that_is_too_large_is_not_read() {
    let evidence = Evidence::Simulated { quote: vec![0; 64 * 1024 + 1].into() };
    assert!(matches!(judge(&evidence, &data()), Err(Refusal::TooLarge { .. })));
}

#[test]
fn the_running_program_is_what_is_measured() {
    let tee = SimulatedTee::from_current_exe().unwrap();
    assert_eq!(tee.measurement(), measure(&std::env::current_exe().unwrap()).unwrap());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"abc").unwrap();
    let Measurement::Tdx(registers) = measure(file.path()).unwrap() else { panic!() };
    let known = "0xcb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
                 8086072ba1e7cc2358baeca134c825a7";
    assert_eq!(registers.mrtd.to_string(), known);
    assert!(measure(std::path::Path::new("/nonexistent")).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic_or_accept(bytes in proptest::collection::vec(any::<u8>(), 0..1500)) {
        let bytes: Bytes = bytes.into();
        for evidence in [
            Evidence::Tdx { quote: bytes.clone() },
            Evidence::Snp { report: bytes.clone() },
            Evidence::Simulated { quote: bytes.clone() },
        ] {
            prop_assert!(judge(&evidence, &data()).is_err());
        }
    }
}
