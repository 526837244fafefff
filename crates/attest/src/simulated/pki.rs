//! Makes `data/simulated`: the root, its revocation lists, its signed TCB info and QE identity, and
//! two platforms. Everything is derived and dated by constants, so whoever runs it gets the same
//! bytes: `UPDATE_EXPECT=1 cargo test -p licen-attest pki` writes them, the test compares them.

use std::fs;
use std::path::{Path, PathBuf};

use dcap_qvl::QuoteCollateralV3;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, CustomExtension,
    DnType, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber,
    SignatureAlgorithm, SigningKey, date_time_ymd,
};

use super::keys::SimulatedKey;
use super::tee::SimulatedPlatform;

/// FMSPC of the simulated platforms: "LICEN0".
const FMSPC: [u8; 6] = *b"LICEN0";
const SGX_EXTENSION: &[u64] = &[1, 2, 840, 113_741, 1, 13, 1];
const ISSUED: &str = "2020-01-01T00:00:00Z";
const EXPIRES: &str = "2049-12-31T00:00:00Z";

/// A key that can sign certificates.
struct Signer {
    key: SimulatedKey,
    public: Vec<u8>,
}

impl Signer {
    fn named(name: &str) -> Self {
        let key = SimulatedKey::named(name).unwrap();
        let public = [vec![4], key.public().to_vec()].concat();
        Self { key, public }
    }
}

impl PublicKeyData for Signer {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.key.sign_der(message))
    }
}

fn params(name: &str, serial: u64, is_ca: bool) -> CertificateParams {
    let mut params = CertificateParams::default();
    let name = format!("LICEN-SIMULATED {name}, proves nothing");
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(serial));
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    } else {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    }
    params
}

fn revocation_list(issuer: &Issuer<'_, Signer>) -> Vec<u8> {
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(2049, 12, 31),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(issuer).unwrap().der().to_vec()
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match content.len() {
        n @ 0..128 => der.push(u8::try_from(n).unwrap()),
        n => der.extend([0x82, u8::try_from(n >> 8).unwrap(), u8::try_from(n & 0xff).unwrap()]),
    }
    der.extend_from_slice(content);
    der
}

/// A pair of an object identifier under 1.2.840.113741.1.13.1 and a value.
fn field(tail: &[u8], value: &[u8]) -> Vec<u8> {
    let oid = [&[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01], tail].concat();
    tlv(0x30, &[tlv(0x06, &oid), value.to_vec()].concat())
}

/// Intel's extension of a platform certificate (Intel SGX PCK Certificate and CRL Profile, 1.3.5).
fn sgx_extension(ppid: &[u8; 16]) -> Vec<u8> {
    let svn = (1..=17u8).flat_map(|i| field(&[2, i], &tlv(0x02, &[0])));
    let tcb: Vec<u8> = svn.chain(field(&[2, 18], &tlv(0x04, &[0; 16]))).collect();
    let no = tlv(0x01, &[0]);
    let flags: Vec<u8> = (1..=3u8).flat_map(|i| field(&[7, i], &no)).collect();
    let fields = [
        field(&[1], &tlv(0x04, ppid)),
        field(&[2], &tlv(0x30, &tcb)),
        field(&[3], &tlv(0x04, &[0; 2])),
        field(&[4], &tlv(0x04, &FMSPC)),
        field(&[5], &tlv(0x0a, &[0])),
        field(&[7], &tlv(0x30, &flags)),
    ];
    tlv(0x30, &fields.concat())
}

fn tcb_info() -> String {
    let components = format!("[{}]", vec![r#"{"svn":0}"#; 16].join(","));
    let fmspc = hex::encode_upper(FMSPC);
    let zeros = |bytes: usize| "00".repeat(bytes);
    format!(
        r#"{{"id":"TDX","version":3,"issueDate":"{ISSUED}","nextUpdate":"{EXPIRES}","fmspc":"{fmspc}","pceId":"0000","tcbType":0,"tcbEvaluationDataNumber":1,"tdxModule":{{"mrsigner":"{}","attributes":"{}","attributesMask":"{}"}},"tcbLevels":[{{"tcb":{{"sgxtcbcomponents":{components},"pcesvn":0,"tdxtcbcomponents":{components}}},"tcbDate":"{ISSUED}","tcbStatus":"UpToDate"}}]}}"#,
        zeros(48),
        zeros(8),
        "FF".repeat(8)
    )
}

fn qe_identity() -> String {
    let zeros = |bytes: usize| "00".repeat(bytes);
    format!(
        r#"{{"id":"TD_QE","version":2,"issueDate":"{ISSUED}","nextUpdate":"{EXPIRES}","tcbEvaluationDataNumber":1,"miscselect":"{m}","miscselectMask":"FFFFFFFF","attributes":"{a}","attributesMask":"{mask}","mrsigner":"{}","isvprodid":0,"tcbLevels":[{{"tcb":{{"isvsvn":0}},"tcbDate":"{ISSUED}","tcbStatus":"UpToDate"}}]}}"#,
        zeros(32),
        m = zeros(4),
        a = zeros(16),
        mask = "FF".repeat(16)
    )
}

fn pem(certificates: &[&Certificate]) -> String {
    certificates.iter().map(|certificate| certificate.pem().replace("\r\n", "\n")).collect()
}

/// Name and content of every file.
fn files() -> Vec<(String, Vec<u8>)> {
    let root_params = params("root", 1, true);
    let root = root_params.self_signed(&Signer::named("root")).unwrap();
    let root_issuer = Issuer::new(root_params, Signer::named("root"));
    let ca_params = params("platform CA", 2, true);
    let ca = ca_params.signed_by(&Signer::named("platform-ca"), &root_issuer).unwrap();
    let ca_issuer = Issuer::new(ca_params, Signer::named("platform-ca"));
    let tcb_signer = Signer::named("tcb");
    let tcb = params("TCB signing", 3, false).signed_by(&tcb_signer, &root_issuer).unwrap();
    let (tcb_info, qe_identity) = (tcb_info(), qe_identity());
    let collateral = QuoteCollateralV3 {
        pck_crl_issuer_chain: pem(&[&ca, &root]),
        root_ca_crl: revocation_list(&root_issuer),
        pck_crl: revocation_list(&ca_issuer),
        tcb_info_issuer_chain: pem(&[&tcb, &root]),
        tcb_info_signature: tcb_signer.key.sign(tcb_info.as_bytes()).to_vec(),
        tcb_info,
        qe_identity_issuer_chain: pem(&[&tcb, &root]),
        qe_identity_signature: tcb_signer.key.sign(qe_identity.as_bytes()).to_vec(),
        qe_identity,
        pck_certificate_chain: None,
    };
    let mut json = serde_json::to_vec_pretty(&collateral).unwrap();
    json.push(b'\n');
    let mut files = vec![("root.der".to_owned(), root.der().to_vec()), ("collateral.json".to_owned(), json)];
    for (serial, platform) in [(4, SimulatedPlatform::Default), (5, SimulatedPlatform::Other)] {
        let mut params = params("platform", serial, false);
        let extension = sgx_extension(&platform.ppid());
        params.custom_extensions = vec![CustomExtension::from_oid_content(SGX_EXTENSION, extension)];
        let leaf = params.signed_by(&Signer::named(platform.name()), &ca_issuer).unwrap();
        files.push((format!("{}.pem", platform.name()), pem(&[&leaf, &ca, &root]).into_bytes()));
    }
    files
}

#[test]
fn the_committed_pki_is_what_its_maker_makes() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/simulated");
    for (name, content) in files() {
        let path: &Path = &folder.join(&name);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(path, &content).unwrap();
        }
        assert_eq!(fs::read(path).unwrap(), content, "{name}: UPDATE_EXPECT=1 writes it");
    }
}
