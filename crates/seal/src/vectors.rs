//! `vectors/seal.json` and `vectors/rows_v2.json`, made by independent implementations
//! (tests/fixtures/generate_js.mjs, vectors/rows_v2.py).

use licen_core::eip712::Domain;
use licen_core::primitives::{Address, B256};
use licen_core::row_tree;
use serde::Deserialize;

use crate::key::{DatasetKey, ResultKey};
use crate::rows::RowsKey;
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
struct RowVectors {
    cases: Vec<RowCase>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RowCase {
    dataset_key: B256,
    dataset_uid: B256,
    rows_key: B256,
    row_count: u64,
    /// Else row i is {"text":"row i"}.
    rows: Option<Vec<String>>,
    rows_root: B256,
    shown: Vec<ShownRow>,
}

#[derive(Deserialize)]
struct ShownRow {
    index: u64,
    row: String,
    salt: B256,
    leaf: B256,
    proof: Vec<B256>,
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
    assert_eq!(hex::encode(dataset_aad(v.chain_id, &uid).as_bytes()), v.dataset_aad);
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
    let v: RowVectors = serde_json::from_str(include_str!("../../../vectors/rows_v2.json")).unwrap();
    assert!(v.cases.len() > 9);
    for case in v.cases {
        let key = RowsKey::derive(&DatasetKey::import(&mut case.dataset_key.0.clone()), &case.dataset_uid);
        assert_eq!(key.0.bytes(), &case.rows_key.0);
        let numbered = || (0..case.row_count).map(|i| format!("{{\"text\":\"row {i}\"}}")).collect();
        let rows = case.rows.unwrap_or_else(numbered);
        let leaves: Vec<B256> = (0..).zip(&rows).map(|(i, row)| key.leaf(i, row.as_bytes())).collect();
        assert_eq!(row_tree::root(&leaves).unwrap(), case.rows_root);
        for shown in &case.shown {
            assert_eq!(shown.row, rows[shown.index as usize]);
            assert_eq!(key.salt(shown.index), shown.salt);
            assert_eq!(leaves[shown.index as usize], shown.leaf);
            assert_eq!(row_tree::prove(&leaves, shown.index).unwrap(), shown.proof);
            row_tree::verify(shown.index, case.row_count, shown.leaf, &shown.proof, case.rows_root).unwrap();
        }
    }
}
