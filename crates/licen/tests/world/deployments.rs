//! A second `DataPolicy` beside the first, over the same `Custody`: a dataset that was published at the
//! first trains under the second after one transaction of its owner and one line of configuration per
//! operator. Ciphertext and envelope stay what they are.

use std::time::{Duration, Instant};

use expect_test::expect;
use serde_json::Value;

use super::golden;
use super::place::{Place, Said};

/// Points a role at the deployment that lists both contracts, and starts it again.
fn joins(place: &Place, role: &str, name: &str) {
    let config = place.dir.join(format!("{name}.toml"));
    let before = std::fs::read_to_string(&config).unwrap();
    let after = before.replace("/deployment.json\"", "/deployment-2.json\"");
    let changed = before.lines().zip(after.lines()).filter(|(old, new)| old != new).count();
    assert_eq!(changed, 1, "one line of configuration");
    std::fs::write(&config, after).unwrap();
    place.end(name);
    place.role(role, name);
}

/// A command under the deployment that lists both.
fn under_both(place: &Place, args: &[&str]) -> Said {
    place.licen_with("LICEN_DEPLOYMENT", &place.dir.join("deployment-2.json"), args)
}

fn record(said: &Said) -> Value {
    assert_eq!(said.exit, 0, "{}{}", said.out, said.err);
    said.out.lines().filter_map(|line| serde_json::from_str(line).ok()).next_back().unwrap()
}

#[test]
fn a_dataset_trains_under_a_second_contract() {
    let place = Place::start();
    let wallet = |who: &str| place.dir.join(format!("{who}.key")).display().to_string();
    let (deployer, owner) = (wallet("deployer"), wallet("owner"));
    let first = place.dir.join("deployment.json").display().to_string();
    let both = place.dir.join("deployment-2.json").display().to_string();
    let deploy =
        place.licen(&["--json", "deploy", "--wallet", &deployer, "--beside", &first, "--out", &both]);
    let newest = record(&deploy)["dataPolicy"].as_str().unwrap().to_owned();
    let listed: Value = serde_json::from_slice(&std::fs::read(&both).unwrap()).unwrap();
    assert_eq!(listed["contracts"]["dataPolicies"].as_array().unwrap().len(), 2);

    // Two of the three custodians and the node join; the third serves the first contract alone.
    joins(&place, "custodian", "custodian1");
    joins(&place, "custodian", "custodian2");
    joins(&place, "node", "node");

    // The index reads the chain again from the start, because its list of contracts has grown.
    let deadline = Instant::now() + Duration::from_secs(30);
    while under_both(&place, &["show", &place.root]).exit != 0 {
        assert!(Instant::now() < deadline, "the index does not come back");
        std::thread::sleep(Duration::from_millis(100));
    }
    let published = record(&under_both(&place, &["--json", "show", &place.root]));
    // A stranger cannot offer it there, and the owner can, once.
    let register = ["policy", "register", &place.root];
    golden(
        &place,
        &under_both(&place, &register),
        expect![[r#"
            error: the dataset belongs to 0x.., the wallet is 0x.. [LIC0203]

            hint: --wallet FILE with the owner's key
            exit 1
        "#]],
    );
    let as_owner = [&["--wallet", &owner], &register[..]].concat();
    golden(
        &place,
        &under_both(&place, &as_owner),
        expect![[r#"
            0x.. at 0x..
              Registered there as well; caps, price and pause count for each contract apart
            exit 0
        "#]],
    );
    golden(
        &place,
        &under_both(&place, &as_owner),
        expect![[r#"
            error: dataset 0x.. is registered at 0x.. already [LIC0203]

            hint: licen policy update 0x.. --contract 0x.. changes its terms there
            exit 1
        "#]],
    );
    let there = record(&under_both(&place, &["--json", "show", &place.root]));
    assert_eq!(there["contract"].as_str().unwrap().to_lowercase(), newest.to_lowercase());
    for same in ["datasetUid", "datasetRoot", "manifestHash"] {
        assert_eq!(there[same], published[same], "{same}");
    }

    trains(&place, &newest);
    earns_at_both(&place, &owner);
}

/// The newest contract is the one that a request goes to.
fn trains(place: &Place, newest: &str) {
    let request = ["--yes", "--json", "request", &place.root, "--epochs", "1", "--base", "tiny", "--follow"];
    let said = under_both(place, &request);
    let job = record(&said)["jobId"].as_str().unwrap().to_owned();
    assert_ne!(job, place.job);
    let shown = record(&under_both(place, &["--json", "jobs", "show", &job]));
    assert_eq!(shown["state"], "Completed", "{}", said.err);
    assert_eq!(shown["contract"].as_str().unwrap().to_lowercase(), newest.to_lowercase());
    let fetched = under_both(place, &["fetch", &job, "--out", "second"]);
    assert_eq!(fetched.exit, 0, "{}", fetched.err);
    let audit = under_both(place, &["audit", &job]);
    assert_eq!(audit.exit, 0, "{}{}", audit.out, audit.err);
    // The first contract's job is there as before.
    let audit = under_both(place, &["audit", &place.job]);
    assert_eq!(audit.exit, 0, "{}{}", audit.out, audit.err);
}

/// An account's credit lies at each contract apart; one command takes all of it.
fn earns_at_both(place: &Place, owner: &str) {
    let withdrawn = under_both(place, &["--wallet", owner, "withdraw"]);
    golden(
        place,
        &withdrawn,
        expect![[r#"
            0.01975 withdrawn to 0x..
              Withdrawing 0.01 to 0x..
              Withdrawing 0.00975 to 0x..
            exit 0
        "#]],
    );
}
