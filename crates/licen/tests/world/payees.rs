//! Many payees of one dataset: a split with a cliff and a split inside, from `publish` to the last wei.

use std::time::{SystemTime, UNIX_EPOCH};

use expect_test::{Expect, expect};
use licen_core::abi::Split;
use licen_core::id::{account_of, split_account};
use licen_core::primitives::{Address, B256, U256};
use licen_core::split::parts;
use serde_json::{Value, json};

use super::golden;
use super::place::{Place, Said};

/// Seconds until the cliff: longer than the test runs.
const CLIFF: u64 = 7_200;
/// Nobody's wallet, so that what they have is what the split paid.
const P: Address = Address::repeat_byte(0xa1);
const Q: Address = Address::repeat_byte(0xb2);
/// Where the owner's credit is sent.
const SAFE: Address = Address::repeat_byte(0xc3);

fn publish(place: &Place, more: &[&str]) -> Said {
    let price = "0.010000000000000007";
    let publish =
        ["--json", "publish", "sparrows.jsonl", "--name", "S", "--royalty", price, "--purpose", "p"];
    place.owner(&[&publish, more].concat())
}

fn refused(place: &Place, more: &[&str], expected: Expect) {
    golden(place, &publish(place, more), expected);
}

fn records(said: &Said) -> Vec<Value> {
    assert_eq!(said.exit, 0, "{}{}", said.out, said.err);
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn units(amount: &Value) -> U256 {
    U256::from_str_radix(amount["value"].as_str().unwrap_or_else(|| panic!("{amount}")), 10).unwrap()
}

#[test]
fn every_wei_of_a_nested_split_finds_its_payee() {
    let place = Place::start();
    let owner: Address = field(&place, "owner.key", "address").parse().unwrap();
    let inner = Split {
        accounts: vec![account_of(P), account_of(Q)],
        bps: vec![3_333, 6_667],
        start: 0,
        duration: 0,
    };
    let inside = split_account(&inner);
    wrong_payees(&place, owner, inside);

    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + CLIFF;
    let payees = [format!("{owner}=60"), format!("{P}=30"), format!("{inside}=10")];
    let file = json!({"accounts": inner.accounts, "bps": inner.bps, "start": 0, "duration": 0});
    place.write("inner.json", file.to_string());
    let cliff = start.to_string();
    let mut more = vec!["--split", "inner.json", "--vest-start", &cliff];
    payees.iter().for_each(|payee| more.extend(["--payee", payee.as_str()]));
    let uid = records(&publish(&place, &more))[0]["datasetUid"].as_str().unwrap().to_owned();
    let outer = Split {
        accounts: vec![account_of(owner), account_of(P), inside],
        bps: vec![6_000, 3_000, 1_000],
        start,
        duration: 0,
    };
    let account = split_account(&outer);

    let request = ["--yes", "request", &uid, "--epochs", "1", "--base", "tiny", "--follow"];
    let said = place.licen(&request);
    assert_eq!(said.exit, 0, "{}", said.err);
    let came = before_the_cliff(&place, &uid, account);
    place.rpc("evm_increaseTime", &json!([CLIFF]));
    for _ in 0..4 {
        place.rpc("evm_mine", &json!([]));
    }
    after_the_cliff(&place, &uid, (&outer, &inner), came, owner);
    withdrawn(&place, owner, [account, inside]);
}

/// Nothing is encrypted or registered for payees that money would not reach.
fn wrong_payees(place: &Place, owner: Address, unknown: B256) {
    let (most, some) = (format!("{owner}=60"), format!("{P}=30"));
    refused(
        place,
        &["--payee", &most, "--payee", &some],
        expect![[r#"
        error: weights sum to 9000 basis points, not 10000 [LIC0203]

        hint: weights are percent and sum to 100; a payee is an address, or the account of a split
        exit 1
    "#]],
    );
    let stranger = format!("{unknown}=40");
    refused(
        place,
        &["--payee", &most, "--payee", &stranger],
        expect![[r#"
        error: the node does not know the split 0x..: what it is paid could not be distributed [LIC0203]

        hint: --split FILE with its {accounts, bps, start, duration}
        exit 1
    "#]],
    );
    let text = std::fs::read_to_string(place.dir.join("deployment.json")).unwrap();
    let deployment: Value = serde_json::from_str(&text).unwrap();
    let contract = deployment["contracts"]["dataPolicies"][0].as_str().unwrap();
    refused(
        place,
        &["--payee", contract],
        expect![[r#"
        error: 0x.. is a contract of LICEN: money there would be stuck [LIC0203]

        hint: weights are percent and sum to 100; a payee is an address, or the account of a split
        exit 1
    "#]],
    );
    let weighed = format!("{contract}=40");
    refused(
        place,
        &["--payee", &most, "--payee", &weighed],
        expect![[r#"
        error: 0x.. is a contract of LICEN: money there would be stuck [LIC0203]

        hint: weights are percent and sum to 100; a payee is an address, or the account of a split
        exit 1
    "#]],
    );
    golden(
        place,
        &place.owner(&["--yes", "withdraw", "--to", contract]),
        expect![[r#"
        error: 0x.. is a contract of LICEN: money there would be stuck [LIC0203]

        hint: --to with an address that somebody has the key of
        exit 1
    "#]],
    );
    golden(
        place,
        &place.owner(&["withdraw", "--to", &SAFE.to_string()]),
        expect![[r#"
        error: nothing was withdrawn [LIC0106]

        hint: --yes confirms it in a script
        exit 2
    "#]],
    );
    golden(
        place,
        &place.licen(&["distribute", &place.root]),
        expect![[r#"
        error: the dataset pays 0x.., there is no split to distribute [LIC0203]

        hint: licen withdraw --account 0x..
        exit 1
    "#]],
    );
}

/// What came in waits, and says until when; gives it.
fn before_the_cliff(place: &Place, uid: &str, account: B256) -> U256 {
    let said = place.licen(&["distribute", uid]);
    assert_eq!(said.exit, 1, "{}{}", said.out, said.err);
    assert!(said.err.contains("[LIC0214]") && said.err.contains("vests from "), "{}", said.err);
    let told = records(&place.licen(&["--json", "earnings", "--account", &account.to_string()]));
    assert!(told[0]["kind"] == "balance" && told[0]["agrees"] == true, "{told:?}");
    let came = units(&told[0]["amount"]);
    assert!(told[1]["kind"] == "credited" && units(&told[1]["amount"]) == came, "{told:?}");
    assert!(told[1]["jobId"].is_string(), "{told:?}");
    let waiting = told.iter().find(|r| r["kind"] == "waiting").unwrap();
    assert_eq!((units(&waiting["due"]), units(&waiting["later"])), (U256::ZERO, came));
    came
}

/// Anybody distributes; each is credited the floor of its weight, level by level.
fn after_the_cliff(place: &Place, uid: &str, (outer, inner): (&Split, &Split), came: U256, owner: Address) {
    let waiting = records(&place.licen(&["--json", "earnings", "--account", &P.to_string()]));
    let due: U256 = waiting.iter().filter(|r| r["kind"] == "waiting").map(|r| units(&r["due"])).sum();
    let [to_owner, to_p, to_inner] = parts(outer, came)[..] else { panic!("three payees") };
    assert_eq!(due, to_p, "{waiting:?}");
    let [p_inside, q_inside] = parts(inner, to_inner)[..] else { panic!("two payees") };
    let (first, second) = (split_account(outer), split_account(inner));
    // Who is only inside sees what waits one level above.
    for (payee, part) in [(P, p_inside), (Q, q_inside)] {
        let told = records(&place.licen(&["--json", "earnings", "--account", &payee.to_string()]));
        let above: Vec<&Value> = told.iter().filter(|r| r["kind"] == "upstream").collect();
        assert!(above.len() == 1 && units(&above[0]["due"]) == part, "{told:?}");
        assert_eq!((&above[0]["split"], &above[0]["outermost"]), (&json!(second), &json!([first])));
    }
    let moved = records(&place.licen(&["--json", "distribute", uid]));
    let expected = [
        (first, account_of(owner), to_owner),
        (first, account_of(P), to_p),
        (first, second, to_inner),
        (second, account_of(P), p_inside),
        (second, account_of(Q), q_inside),
    ];
    let told: Vec<Value> = expected.iter().map(|(split, account, _)| json!([split, account])).collect();
    let found: Vec<Value> = moved.iter().map(|r| json!([r["split"], r["account"]])).collect();
    assert_eq!(found, told, "{moved:?}");
    let amounts: Vec<U256> = moved.iter().map(|r| units(&r["amount"])).collect();
    assert_eq!(amounts, expected.map(|(_, _, amount)| amount), "{moved:?}");
    let again = place.licen(&["distribute", &first.to_string()]);
    assert!(again.exit == 1 && again.err.contains("[LIC0214]"), "{}", again.err);
}

/// Everybody takes their credit; fewer base units than payees stay in each split, and events explain all.
fn withdrawn(place: &Place, owner: Address, splits: [B256; 2]) {
    records(&place.owner(&["--json", "--yes", "withdraw", "--to", &SAFE.to_string()]));
    for payee in [P, Q] {
        records(&place.licen(&["--json", "withdraw", "--account", &payee.to_string()]));
    }
    for (payee, receiver, sources) in [(owner, SAFE, 2), (P, P, 2), (Q, Q, 1)] {
        let told = records(&place.licen(&["--json", "earnings", "--account", &payee.to_string()]));
        assert!(told[0]["agrees"] == true && units(&told[0]["amount"]).is_zero(), "{told:?}");
        let of = |kind: &str| -> Vec<U256> {
            told.iter().filter(|r| r["kind"] == kind).map(|r| units(&r["amount"])).collect()
        };
        assert_eq!(of("credited").len(), sources, "{told:?}");
        let took: U256 = of("withdrawn").iter().sum();
        assert_eq!(of("credited").iter().sum::<U256>(), took, "{told:?}");
        let balance = place.rpc("eth_getBalance", &json!([receiver, "latest"]));
        assert_eq!(balance["result"].as_str().unwrap().parse::<U256>().unwrap(), took);
    }
    for (split, payees) in splits.into_iter().zip([3_u64, 2]) {
        let said = place.licen(&["--json", "earnings", "--account", &split.to_string()]);
        let left = units(&records(&said)[0]["amount"]);
        assert!(left < U256::from(payees), "{}", said.out);
    }
}

fn field(place: &Place, file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(place.dir.join(file)).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[name].as_str().unwrap().to_owned()
}
