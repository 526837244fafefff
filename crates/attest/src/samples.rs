//! Genuine evidence of other people's machines (`vectors/attest/README.md`), and what must not pass
//! for it.

use std::fs;
use std::path::PathBuf;

use dcap_qvl::TcbStatus;
use dcap_qvl::configs::{RingConfig, RustCryptoConfig};

use licen_core::policy::LEVEL_HARDWARE;
use licen_core::primitives::{Address, B256};
use licen_core::runtime_data::{LABEL, RuntimeData};
use licen_core::wire::custodian::Evidence;

use crate::appraise::{AppraisalPolicy, appraise, select, verify};
use crate::claims::{Claims, Tcb};
use crate::collateral::{Collateral, IntelCollateral};
use crate::intel::{self, Root, verify_with};
use crate::reference_values::{ReferenceEntry, ReferenceValues, TeeType};
use crate::refusal::Refusal;
use crate::rules::{AmdRules, AmdSvn, AmdTcb, IntelRules, Product};
use crate::{amd, examine};

pub(crate) const TDX: &[u8] = include_bytes!("../../../vectors/attest/tdx_quote");
const TD15: &[u8] = include_bytes!("../../../vectors/attest/tdx_quote_td15ex");
const SGX: &[u8] = include_bytes!("../../../vectors/attest/sgx_quote");
pub(crate) const VCEK: &[u8] = include_bytes!("../../../vectors/attest/vcek_milan.der");
/// Moments at which the collateral of the samples is valid.
pub(crate) const TDX_AT: u64 = 1_752_919_234;
const TD15_AT: u64 = 1_794_008_710;
const SNP_AT: u64 = 1_752_919_234;
/// Bytes of an SNP report that its signature covers.
const SNP_SIGNED: usize = 0x2a0;

pub(crate) fn collateral(name: &str) -> Collateral {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/attest");
    let bytes = fs::read(folder.join(format!("{name}_collateral.json"))).unwrap();
    Collateral::from_file(&bytes).unwrap()
}

fn intels(name: &str) -> IntelCollateral {
    let Collateral::Intel(intel) = collateral(name) else { panic!("not Intel's") };
    *intel
}

fn report() -> Vec<u8> {
    hex::decode(include_str!("../../../vectors/attest/report_milan.hex").trim()).unwrap()
}

fn verify_tdx(quote: &[u8], at: u64) -> Result<Claims, Refusal> {
    intel::verify(quote, &intels("tdx_quote"), &Root::Intel, TeeType::Tdx, at)
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut other = bytes.to_vec();
    other[bit / 8] ^= 1 << (bit % 8);
    assert_ne!(other, bytes);
    other
}

fn values(tee_types: Vec<TeeType>) -> ReferenceValues {
    let intel = IntelRules {
        allow_smt: true,
        allow_dynamic_platform: true,
        allow_cached_keys: true,
        ..IntelRules::default()
    };
    let amd = AmdRules {
        min_tcb: AmdSvn { bootloader: 1, ..AmdSvn::default() },
        products: vec![Product::Milan],
        min_report_version: 2,
        allow_smt: true,
    };
    ReferenceValues { tee_types, intel, amd, ..ReferenceValues::simulated("samples", Vec::new()) }
}

fn refusal(evidence: &[u8], collateral: &Collateral, values: &ReferenceValues, at: u64) -> Option<Refusal> {
    examine(evidence, collateral, values, at).refusal
}

#[test]
fn genuine_quotes_are_accepted_at_their_time_and_not_outside_it() {
    let values = values(vec![TeeType::Tdx]);
    for (quote, name, at) in [(TDX, "tdx_quote", TDX_AT), (TD15, "tdx_quote_td15ex", TD15_AT)] {
        let collateral = collateral(name);
        let window = collateral.window().unwrap().unwrap();
        assert!(window.from <= at && at <= window.until, "{window:?}");
        for (at, rule) in [
            (at, None),
            (window.from, None),
            (window.until, None),
            (window.from - 1, Some("collateral-validity")),
            (window.until + 1, Some("collateral-validity")),
            (at + 10 * 365 * 86_400, Some("collateral-validity")),
        ] {
            let found = refusal(quote, &collateral, &values, at);
            assert_eq!(found.as_ref().map(Refusal::rule), rule, "{name} at {at}: {found:?}");
        }
    }
}

#[test]
fn the_first_quote_says_what_it_says() {
    let claims = verify_tdx(TDX, TDX_AT).unwrap();
    assert_eq!((claims.debug, claims.migratable, claims.vmpl), (false, false, 0));
    let Tcb::Intel(tcb) = &claims.tcb else { panic!() };
    assert_eq!((tcb.status, tcb.evaluation_number), (TcbStatus::UpToDate, 17));
    assert_eq!((tcb.collateral_issued, tcb.collateral_expires), (1_742_469_717, 1_752_919_234));
    assert!(claims.platform.is_some());
}

#[test]
fn both_backends_give_the_same_verdict() {
    let intel = intels("tdx_quote");
    let mut quotes = vec![TDX.to_vec(), TD15.to_vec(), SGX.to_vec()];
    quotes.extend((0..TDX.len() * 8).step_by(997).map(|bit| flipped(TDX, bit)));
    for quote in quotes {
        let ring = verify_with::<RingConfig>(&quote, &intel, &Root::Intel, TeeType::Tdx, TDX_AT);
        let rust = verify_with::<RustCryptoConfig>(&quote, &intel, &Root::Intel, TeeType::Tdx, TDX_AT);
        assert_eq!(ring, rust);
    }
}

#[test]
fn every_single_bit_flip_of_a_signed_body_fails() {
    let signed = intel::parse(TDX).unwrap().signed_length();
    assert_eq!(signed, 632);
    for bit in 0..signed * 8 {
        assert!(verify_tdx(&flipped(TDX, bit), TDX_AT).is_err(), "TDX bit {bit}");
    }
    let report = report();
    for bit in 0..SNP_SIGNED * 8 {
        assert!(amd::verify(&flipped(&report, bit), VCEK, SNP_AT).is_err(), "SNP bit {bit}");
    }
}

#[test]
fn malleable_bytes_change_no_identity() {
    let good = verify_tdx(TDX, TDX_AT).unwrap();
    let mut accepted = 0;
    for byte in 632..TDX.len() {
        if let Ok(claims) = verify_tdx(&flipped(TDX, byte * 8), TDX_AT) {
            assert_eq!(claims, good, "byte {byte}");
            accepted += 1;
        }
    }
    // Line ends of certificates and the root among them, which the built-in root replaces.
    assert!(accepted > 0, "a quote is malleable: nothing may be named by a hash of all of it");
    let report = report();
    let good = amd::verify(&report, VCEK, SNP_AT).unwrap();
    for bit in SNP_SIGNED * 8..report.len() * 8 {
        if let Ok(claims) = amd::verify(&flipped(&report, bit), VCEK, SNP_AT) {
            assert_eq!(claims, good, "bit {bit}");
        }
    }
    let longer = [report, VCEK.to_vec()].concat();
    assert_eq!(amd::verify(&longer, VCEK, SNP_AT).unwrap(), good);
}

#[test]
fn framing_and_trailing_bytes_are_refused() {
    for byte in [632, 764, 765, TDX.len() - 1] {
        let refusal = verify_tdx(&flipped(TDX, byte * 8), TDX_AT).unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed { .. }), "byte {byte}: {refusal}");
    }
    for end in (0..TDX.len() - 100).step_by(13) {
        assert!(verify_tdx(&TDX[..end], TDX_AT).is_err(), "{end}");
    }
}

#[test]
fn reserved_bytes_and_padding_of_a_report_are_refused() {
    let report = report();
    for byte in [58, 386, 482, 498, 0x2a0 + 48, 0x2a0 + 72 + 71, 0x49f] {
        let refusal = amd::verify(&flipped(&report, byte * 8), VCEK, SNP_AT).unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed { .. }), "byte {byte}: {refusal}");
    }
}

#[test]
fn collateral_never_replaces_the_certificates_of_a_quote() {
    let name = "vectors/attest/tdx_quote_td15ex_collateral.json";
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let raw = fs::read_to_string(folder.join(name)).unwrap();
    assert!(raw.contains("pck_certificate_chain"), "the sample brings a chain of its own");
    let collateral = collateral("tdx_quote_td15ex");
    let written = String::from_utf8(collateral.to_bytes().unwrap()).unwrap();
    assert!(!written.contains("pck_certificate_chain"));
    // A quote that lost its own certificate is then refused, whatever the collateral brings.
    let at = TD15.windows(11).position(|w| w == b"-----BEGIN ").unwrap();
    let mut quote = TD15.to_vec();
    quote[at + 100] = if quote[at + 100] == b'A' { b'B' } else { b'A' };
    let refusal = refusal(&quote, &collateral, &values(vec![TeeType::Tdx]), TD15_AT).unwrap();
    assert_eq!(refusal.rule(), "signature", "{refusal}");
}

#[test]
fn collateral_that_was_touched_is_refused() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/attest");
    let raw = fs::read_to_string(folder.join("tdx_quote_outdated_collateral.json")).unwrap();
    let touched = raw.replace("OutOfDate", "UpToDate");
    assert_ne!(raw, touched);
    let quote = fs::read(folder.join("tdx_quote_outdated")).unwrap();
    let values = values(vec![TeeType::Tdx]);
    let read = |raw: &str| Collateral::from_file(raw.as_bytes()).unwrap();
    let at = read(&raw).window().unwrap().unwrap().from;
    let honest = refusal(&quote, &read(&raw), &values, at).unwrap();
    assert!(honest.to_string().contains("No matching TCB level found"), "{honest}");
    let lying = refusal(&quote, &read(&touched), &values, at).unwrap();
    assert!(lying.to_string().contains("Signature is invalid for tcb_info"), "{lying}");
}

#[test]
fn each_choice_of_a_policy_is_needed() {
    let collateral = collateral("tdx_quote");
    let good = values(vec![TeeType::Tdx]);
    let tried = |change: &dyn Fn(&mut IntelRules)| {
        let mut values = good.clone();
        change(&mut values.intel);
        refusal(TDX, &collateral, &values, TDX_AT).as_ref().map(Refusal::rule)
    };
    assert_eq!(tried(&|_| {}), None);
    assert_eq!(tried(&|rules| rules.allow_smt = false), Some("platform-flag"));
    assert_eq!(tried(&|rules| rules.allow_dynamic_platform = false), Some("platform-flag"));
    assert_eq!(tried(&|rules| rules.allow_cached_keys = false), Some("platform-flag"));
    assert_eq!(tried(&|rules| rules.statuses = vec![TcbStatus::SWHardeningNeeded]), Some("tcb-status"));
    assert_eq!(tried(&|rules| rules.min_evaluation_number = 17), None);
    assert_eq!(tried(&|rules| rules.min_evaluation_number = 18), Some("evaluation-number"));
    assert_eq!(tried(&|rules| rules.max_collateral_age = 86_400), Some("collateral-age"));
    assert_eq!(
        refusal(TDX, &collateral, &values(vec![TeeType::Snp]), TDX_AT).as_ref().map(Refusal::rule),
        Some("tee-type")
    );
}

#[test]
fn an_enclave_that_needs_hardening_is_refused_until_the_policy_says_otherwise() {
    let collateral = collateral("sgx_quote");
    let at = collateral.window().unwrap().unwrap().from;
    let mut values = values(vec![TeeType::Sgx]);
    let status = TcbStatus::ConfigurationAndSWHardeningNeeded;
    assert_eq!(refusal(SGX, &collateral, &values, at), Some(Refusal::TcbStatus(status)));
    values.intel.statuses.push(status);
    assert_eq!(refusal(SGX, &collateral, &values, at), None);
    values.intel.denied_advisories = vec!["intel-sa-00615".to_owned()];
    assert_eq!(refusal(SGX, &collateral, &values, at), Some(Refusal::Advisory("INTEL-SA-00615".to_owned())));
}

#[test]
fn a_report_is_accepted_for_its_chip_and_its_time() {
    let report = report();
    let claims = amd::verify(&report, VCEK, SNP_AT).unwrap();
    let Tcb::Amd(tcb) = &claims.tcb else { panic!() };
    assert_eq!((tcb.product, tcb.report_version), (Product::Milan, 2));
    let vcek = Collateral::from_file(VCEK).unwrap();
    let mut values = values(vec![TeeType::Snp]);
    assert_eq!(refusal(&report, &vcek, &values, SNP_AT), None);
    // The chip's certificate is valid from 2023-04-03T19:23:43Z to 2030-04-03T19:23:43Z.
    for (at, rule) in [(1_680_549_823, None), (1_680_549_822, Some("collateral-validity"))] {
        assert_eq!(refusal(&report, &vcek, &values, at).as_ref().map(Refusal::rule), rule);
    }
    for (at, rule) in [(1_901_474_623, None), (1_901_474_624, Some("collateral-validity"))] {
        assert_eq!(refusal(&report, &vcek, &values, at).as_ref().map(Refusal::rule), rule);
    }
    values.amd.min_report_version = 3;
    assert_eq!(refusal(&report, &vcek, &values, SNP_AT), Some(Refusal::ReportVersion { found: 2, min: 3 }));
    values.amd.min_report_version = 2;
    values.amd.min_tcb = AmdSvn { microcode: tcb.reported.microcode + 1, ..AmdSvn::default() };
    assert_eq!(refusal(&report, &vcek, &values, SNP_AT).as_ref().map(Refusal::rule), Some("firmware"));
    values.amd = AmdRules { products: vec![Product::Turin], ..values.amd };
    assert_eq!(refusal(&report, &vcek, &values, SNP_AT), Some(Refusal::Product(Product::Milan)));
}

#[test]
fn a_certificate_that_amd_did_not_sign_is_refused() {
    let report = report();
    let good = amd::verify(&report, VCEK, SNP_AT).unwrap();
    for bit in (0..VCEK.len() * 8).step_by(101) {
        // What is not signed in a certificate may be changed; what it certifies may not.
        if let Ok(claims) = amd::verify(&report, &flipped(VCEK, bit), SNP_AT) {
            assert_eq!(claims, good, "bit {bit}");
        }
    }
    for byte in [200, 500, 900, VCEK.len() - 1] {
        assert!(amd::verify(&report, &flipped(VCEK, byte * 8), SNP_AT).is_err(), "byte {byte}");
    }
    let intels = Collateral::Amd(crate::simulated::ROOT_DER.to_vec().into());
    assert!(refusal(&report, &intels, &values(vec![TeeType::Snp]), SNP_AT).is_some());
}

/// Runtime data that a genuine machine did not sign, at a level that only hardware has.
fn runtime_data(tee: TeeType) -> Vec<u8> {
    let data = RuntimeData {
        label: LABEL.into(),
        level: LEVEL_HARDWARE,
        chain_id: 16_602,
        contract: Address::repeat_byte(9),
        job_id: B256::repeat_byte(5),
        job_hash: B256::ZERO,
        attempt: 1,
        dataset_uid: B256::ZERO,
        dataset_root: B256::ZERO,
        policy_hash: B256::ZERO,
        envelope_hash: B256::ZERO,
        job_spec_hash: B256::ZERO,
        provider_id: B256::ZERO,
        hpke_key: B256::repeat_byte(1),
        signer: Address::repeat_byte(2),
        tee_type: tee.name().into(),
        sandboxed: true,
        challenges: Vec::new(),
    };
    data.to_bytes().unwrap()
}

#[test]
fn a_genuine_quote_or_report_about_something_else_passes_every_rule_but_the_last() {
    let chip = [report(), VCEK.to_vec()].concat();
    let cases = [
        (TeeType::Tdx, Evidence::Tdx { quote: TDX.to_vec().into() }, TDX_AT),
        (TeeType::Snp, Evidence::Snp { report: chip.into() }, SNP_AT),
    ];
    let held = [collateral("sgx_quote"), collateral("tdx_quote")];
    for (tee, evidence, at) in cases {
        let collateral = select(&evidence, &held).unwrap();
        let claims = verify(&evidence, &collateral, at).unwrap();
        let values = ReferenceValues { measurements: vec![claims.measurement], ..values(vec![tee]) };
        let entries = [ReferenceEntry::new(&values).unwrap()];
        let judge = |entries: &[ReferenceEntry], platforms: Option<&[B256]>| {
            let policy = AppraisalPolicy { chain_id: 16_602, entries, platforms };
            appraise(&evidence, &runtime_data(tee), &collateral, &policy, at).unwrap_err()
        };
        assert_eq!(judge(&entries, None), Refusal::ReportData, "{tee:?}");
        assert_eq!(judge(&entries, Some(&[])), Refusal::Platform(claims.platform), "{tee:?}");
        assert_eq!(judge(&[], None), Refusal::NoEntry, "{tee:?}");
    }
    let quote = Evidence::Tdx { quote: TDX.to_vec().into() };
    assert!(matches!(select(&quote, &held[..1]), Err(Refusal::NoCollateral { tee: "tdx", .. })));
}

/// No sample is of a guest or platform like these, so the claims of a genuine one are changed after they
/// were verified.
#[test]
fn a_guest_or_platform_that_no_sample_is_of_is_refused() {
    let platform = B256::repeat_byte(7);
    let good = Claims { platform: Some(platform), ..verify_tdx(TDX, TDX_AT).unwrap() };
    let open = values(vec![TeeType::Tdx]);
    let listed = ReferenceValues { platforms: vec![platform], ..open.clone() };
    let rule = |values: &ReferenceValues, change: &dyn Fn(&mut Claims)| {
        let mut claims = good.clone();
        change(&mut claims);
        values.appraise(&claims, None, TDX_AT).err().map(|refusal| refusal.rule())
    };
    assert_eq!((rule(&open, &|_| {}), rule(&listed, &|_| {})), (None, None));
    assert_eq!(rule(&open, &|claims| claims.debug = true), Some("debug"));
    assert_eq!(rule(&open, &|claims| claims.vmpl = 1), Some("vmpl"));
    assert_eq!(rule(&open, &|claims| claims.migratable = true), Some("migration"));
    assert_eq!(rule(&open, &|claims| claims.platform = None), None);
    assert_eq!(rule(&listed, &|claims| claims.platform = None), Some("platform"), "a masked chip");
    let registered = open.appraise(&Claims { platform: None, ..good.clone() }, Some(&[platform]), TDX_AT);
    assert_eq!(registered, Err(Refusal::Platform(None)));
}

#[test]
fn a_revoked_platform_is_refused_although_listed_and_an_old_one_after_its_grace() {
    let good = verify_tdx(TDX, TDX_AT).unwrap();
    let tried = |status: TcbStatus, grace: u64, age: u64| {
        let mut values = values(vec![TeeType::Tdx]);
        (values.intel.statuses, values.intel.out_of_date_grace) = (vec![status], grace);
        let mut claims = good.clone();
        let Tcb::Intel(tcb) = &mut claims.tcb else { panic!("not Intel's") };
        assert_ne!(tcb.status, status);
        (tcb.status, tcb.tcb_date) = (status, TDX_AT - age);
        values.appraise(&claims, None, TDX_AT).err().map(|refusal| refusal.rule())
    };
    assert_eq!(tried(TcbStatus::Revoked, u64::MAX, 0), Some("tcb-status"));
    for status in [TcbStatus::OutOfDate, TcbStatus::OutOfDateConfigurationNeeded] {
        assert_eq!(tried(status, 0, 1), Some("tcb-grace"), "listed, but with no time of grace");
        assert_eq!((tried(status, 60, 60), tried(status, 60, 61)), (None, Some("tcb-grace")));
    }
    assert_eq!(tried(TcbStatus::SWHardeningNeeded, 0, 86_400), None, "grace is for old ones");
}

#[test]
fn a_report_of_firmware_that_can_be_taken_back_or_with_smt_is_refused() {
    let good = amd::verify(&report(), VCEK, SNP_AT).unwrap();
    let Tcb::Amd(AmdTcb { reported, .. }) = good.tcb else { panic!("not AMD's") };
    let tried = |allow_smt: bool, change: &dyn Fn(&mut AmdTcb)| {
        let mut values = values(vec![TeeType::Snp]);
        (values.amd.min_tcb, values.amd.allow_smt) = (reported, allow_smt);
        let mut claims = good.clone();
        let Tcb::Amd(tcb) = &mut claims.tcb else { panic!("not AMD's") };
        (tcb.committed, tcb.smt) = (reported, false);
        change(tcb);
        values.appraise(&claims, None, SNP_AT).err().map(|refusal| refusal.rule())
    };
    assert_eq!(tried(false, &|_| {}), None);
    type Part = fn(&mut AmdSvn) -> &mut u8;
    let parts: [Part; 4] =
        [|svn| &mut svn.bootloader, |svn| &mut svn.tee, |svn| &mut svn.snp, |svn| &mut svn.microcode];
    let lowered = parts.iter().filter(|part| {
        let mut older = reported;
        let number = part(&mut older);
        let lower = number.checked_sub(1);
        *number = lower.unwrap_or(0);
        assert_eq!(tried(false, &|tcb| tcb.committed = older), lower.map(|_| "firmware"));
        lower.is_some()
    });
    assert!(lowered.count() > 1, "some of {reported:?} can be lower");
    assert_eq!(tried(false, &|tcb| tcb.smt = true), Some("platform-flag"));
    assert_eq!(tried(true, &|tcb| tcb.smt = true), None);
}

#[test]
fn collateral_survives_being_written() {
    for written in [collateral("tdx_quote"), Collateral::from_file(VCEK).unwrap()] {
        let bytes = written.to_bytes().unwrap();
        assert_eq!(Collateral::from_bytes(&bytes).unwrap(), written);
        assert_eq!(Collateral::from_file(&bytes).unwrap(), written);
    }
    for bad in [b"".as_slice(), b"{}", b"\x30\x03\x02\x01", b"0", &[0x30; 40]] {
        assert!(Collateral::from_file(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn collateral_alarms_when_a_quarter_of_its_validity_is_left() {
    let window = collateral("tdx_quote").window().unwrap().unwrap();
    let quarter = (window.until - window.from) / 4;
    assert!(!window.is_alarming(window.from) && !window.is_alarming(window.until - quarter - 1));
    assert!(window.is_alarming(window.until - quarter) && window.is_alarming(window.until + 1));
}
