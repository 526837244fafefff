//! `vectors/seal.json`, made by an independent implementation (tests/fixtures/generate_js.mjs).

use licen_core::eip712::Domain;
use licen_core::primitives::{Address, B256};
use serde::Deserialize;

use crate::key::{DatasetKey, ResultKey};
use crate::rows::RowSalts;
use crate::secret::Secret;
use crate::shamir;
use crate::share::{result_share_commitment, share_commitment};
use crate::stream::{dataset_aad, result_aad};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vectors {
    key: String,
    chain_id: u64,
    contract: String,
    dataset_uid: String,
    job_id: String,
    attempt: u32,
    dataset_aad: String,
    result_aad: String,
    dek_commit: String,
    result_key_commit: String,
    shamir: ShamirVectors,
    share_commit: String,
    result_share_commit: String,
    rows: Vec<RowVector>,
}

#[derive(Deserialize)]
struct ShamirVectors {
    t: u8,
    coefficients: Vec<String>,
    shares: Vec<ShareVector>,
}

#[derive(Deserialize)]
struct ShareVector {
    i: u8,
    share: String,
}

#[derive(Deserialize)]
struct RowVector {
    index: String,
    row: String,
    salt: String,
    leaf: String,
}

fn bytes32(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../vectors/seal.json")).unwrap()
}

#[test]
fn contexts_and_commitments_agree() {
    let v = vectors();
    let contract = Address::from_slice(&hex::decode(&v.contract).unwrap());
    let domain = Domain { chain_id: v.chain_id, contract };
    let (uid, job_id) = (B256::new(bytes32(&v.dataset_uid)), B256::new(bytes32(&v.job_id)));
    assert_eq!(hex::encode(dataset_aad(&domain, &uid).as_bytes()), v.dataset_aad);
    assert_eq!(hex::encode(result_aad(&domain, &job_id).as_bytes()), v.result_aad);
    let key = DatasetKey::import(&mut bytes32(&v.key));
    assert_eq!(hex::encode(key.commitment(&uid)), v.dek_commit);
    let result = ResultKey(Secret::take(&mut bytes32(&v.key)));
    assert_eq!(hex::encode(result.commitment(&job_id, v.attempt)), v.result_key_commit);
    let share = Secret::take(&mut bytes32(&v.shamir.shares[0].share));
    assert_eq!(hex::encode(share_commitment(&uid, 1, &share)), v.share_commit);
    let commit = result_share_commitment(&job_id, v.attempt, 1, &share);
    assert_eq!(hex::encode(commit), v.result_share_commit);
}

#[test]
fn shares_agree() {
    let v = vectors();
    let coefficients: Vec<Secret> =
        v.shamir.coefficients.iter().map(|c| Secret::take(&mut bytes32(c))).collect();
    assert_eq!(coefficients.len() + 1, usize::from(v.shamir.t));
    let key = Secret::take(&mut bytes32(&v.key));
    let mut shares = Vec::new();
    for vector in &v.shamir.shares {
        let share = shamir::evaluate(&key, &coefficients, vector.i);
        assert_eq!(hex::encode(share.bytes()), vector.share, "share {}", vector.i);
        shares.push((vector.i, share));
    }
    for skip in 0..3 {
        let chosen: Vec<_> = shares[skip..skip + 3].iter().map(|(i, share)| (*i, share)).collect();
        let found = shamir::interpolate(&chosen);
        assert_eq!(hex::encode(found.bytes()), v.key);
    }
}

#[test]
fn rows_agree() {
    let v = vectors();
    let key = DatasetKey::import(&mut bytes32(&v.key));
    let salts = RowSalts::new(&key, &B256::new(bytes32(&v.dataset_uid)));
    for row in &v.rows {
        let index = row.index.parse().unwrap();
        assert_eq!(hex::encode(salts.salt(index)), row.salt);
        assert_eq!(hex::encode(salts.leaf(index, row.row.as_bytes())), row.leaf);
    }
}
