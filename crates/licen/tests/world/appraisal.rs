//! Appraisal policies: made of a policy file, added to under a timelock, revoked at once.

use expect_test::expect;

use super::golden;
use super::place::Place;

fn policy(name: &str) -> String {
    format!("{}/../../policies/{name}.toml", env!("CARGO_MANIFEST_DIR"))
}

pub fn policies(place: &Place) {
    let (tdx, snp) = (policy("tdx-sample"), policy("snp-sample"));
    let made = place.licen(&["custodian", "appraisal", "--policy", &tdx, "--out", "tdx.json"]);
    golden(
        place,
        &made,
        expect![[r#"
        0x..
        exit 0
    "#]],
    );
    let id = made.out.trim();
    let entry = place.licen(&["attest", "policy", &tdx]).out;
    let add = ["attest", "add", id, "--policy", &snp, "--out", "snp.json"];
    golden(
        place,
        &place.licen(&add),
        expect![[r#"
        0x.. is live in 48 hours; give snp.json to custodians before
        exit 0
    "#]],
    );
    // Only its maker may, whoever asks.
    golden(
        place,
        &place.owner(&add),
        expect![[r#"
        error: the contract refuses: 0x.. may not do this, only 0x.. [LIC0303]

        hint: sign with the wallet of 0x..: --wallet FILE
        exit 1
    "#]],
    );
    let revoke = ["attest", "revoke", id, "--entry", entry.trim()];
    golden(
        place,
        &place.licen(&revoke),
        expect![[r#"
        error: not revoked [LIC0106]

        hint: --yes confirms it in a script
        exit 2
    "#]],
    );
    golden(
        place,
        &place.licen(&[&["--yes"], revoke.as_slice()].concat()),
        expect![[r#"
        revoked entry 0x.. of 0x..
        exit 0
    "#]],
    );
    // What was revoked does not come back.
    let again = ["attest", "add", id, "--policy", &tdx, "--out", "again.json"];
    golden(
        place,
        &place.licen(&again),
        expect![[r#"
        error: the contract refuses: appraisal policy 0x.. has entry 0x.. already [LIC0303]
        exit 1
    "#]],
    );
    golden(
        place,
        &place.licen(&["--yes", "attest", "revoke", id]),
        expect![[r#"
        revoked appraisal policy 0x..
        exit 0
    "#]],
    );
    golden(
        place,
        &place.licen(&["attest", "add", "0x12", "--policy", &snp, "--out", "x"]),
        expect![[r#"
        error: "0x12" is not 0x and 64 hex digits [LIC0101]

        hint: give the whole id, as the command that made it printed it
        exit 2
    "#]],
    );
    let strict = ["custodian", "appraisal", "--policy", &policy("strict"), "--out", "strict.json"];
    golden(
        place,
        &place.licen(&strict),
        expect![[r#"
        error: these values cannot stand on chain [LIC0403]
          because: reference values: no measurement: every program would be accepted
        exit 1
    "#]],
    );
}
