//! Who may request a dataset: by approval and by list, from `publish` to the audit, and what ends it.

use std::time::{SystemTime, UNIX_EPOCH};

use expect_test::{Expect, expect};
use licen_core::abi::{AccessRequest, Admission, Approval, DataPolicy, Policy, Request, SignedQuote};
use licen_core::eip712::Domain;
use licen_core::id::purpose_id;
use licen_core::primitives::{Address, B256, Bytes, U256, hex, keccak256};
use licen_core::sol_types::{SolCall, SolValue};
use licen_core::wire::AbiHex;
use licen_core::wire::node::{SignedAccessRequest, SignedApproval};
use serde_json::{Value, json};

use super::liar;
use super::place::{Place, Said};

const NOTE: &str = "For a paper on sparrows, ünïcode";
const PRICE: u64 = 1_000_000_000_000_000;
/// Until when approvals are good.
const UNTIL: &str = "2100-01-01";
/// A contract that says of every signature that it is its own.
const YES_WALLET: &str =
    "0x7f1626ba7e0000000000000000000000000000000000000000000000000000000060005260206000f3";

/// As `golden`, with moments replaced.
fn told(place: &Place, said: &Said, expected: Expect) {
    expected.assert_eq(&moments(&place.transcript(said)));
}

/// `2026-12-01 09:30:00 UTC` becomes `MOMENT`, and the end of approvals `UNTIL`.
fn moments(line: &str) -> String {
    let shape =
        |text: &str| text.bytes().map(|b| if b.is_ascii_digit() { b'0' } else { b }).collect::<Vec<_>>();
    let (mut out, mut rest) = (String::new(), line);
    while let Some(c) = rest.chars().next() {
        match rest.get(..23).filter(|text| shape(text) == b"0000-00-00 00:00:00 UTC") {
            Some(moment) => {
                out.push_str(if moment.starts_with(UNTIL) { "UNTIL" } else { "MOMENT" });
                rest = &rest[23..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

fn records(said: &Said) -> Vec<Value> {
    assert_eq!(said.exit, 0, "{}{}", said.out, said.err);
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn publish(place: &Place, name: &str, more: &[&str]) -> Said {
    let first = ["publish", "sparrows.jsonl", "--name", name, "--royalty", "0.001", "--purpose", "research"];
    place.owner(&[&first[..], more].concat())
}

fn address(place: &Place, who: &str) -> Address {
    let text = std::fs::read_to_string(place.dir.join(format!("{who}.key"))).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["address"].as_str().unwrap().parse().unwrap()
}

fn request<'a>(uid: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--yes", "request", uid, "--epochs", "1", "--base", "tiny"][..], more].concat()
}

/// The uid and the contract of a dataset.
fn named(place: &Place, root: &str) -> (String, Address) {
    let shown = records(&place.licen(&["--json", "show", root])).remove(0);
    (shown["datasetUid"].as_str().unwrap().into(), shown["contract"].as_str().unwrap().parse().unwrap())
}

#[test]
fn only_whom_the_owner_admits_may_request() {
    let place = Place::start();
    lists_that_are_none(&place);
    let said = publish(&place, "Closed", &["--by-approval"]);
    assert_eq!(said.exit, 0, "{}", said.err);
    assert!(
        said.err.contains("  Only whom you approve may request it; approvals are public\n"),
        "{}",
        said.err
    );
    let (uid, contract) = named(&place, said.out.trim());
    refused_before_paying(&place, &uid);
    asked(&place, &uid);
    asked_by_a_contract_wallet(&place, &uid, contract);
    approved(&place, &uid);
    lies_are_left_out(&place, &uid);
    let job = trained(&place, &uid, &format!("admitted by the owner until {UNTIL} 00:00:00 UTC"));
    audited(&place, &job, &format!("approved by the owner until {UNTIL} 00:00:00 UTC"));
    resumed(&place, &uid);
    the_approval_ends_with_its_list(&place, &uid, contract);
    by_list(&place, &uid);
}

/// Nothing is encrypted or registered under a list that is none.
fn lists_that_are_none(place: &Place) {
    let researcher = address(place, "researcher");
    place.write("wrong.txt", format!("# labs\n\n{researcher} # ours\n0x12\n"));
    place.write("empty.txt", "# nobody\n");
    told(
        place,
        &publish(place, "Closed", &["--allow", "wrong.txt"]),
        expect![[r#"
        error: wrong.txt line 4: "0x12" is not an address [LIC0203]

        hint: one address a line, 0x and 40 hex digits; # begins a comment
        exit 1
    "#]],
    );
    told(
        place,
        &publish(place, "Closed", &["--allow", "empty.txt"]),
        expect![[r#"
        error: empty.txt names no requester [LIC0203]

        hint: --by-approval admits nobody but whom you approve
        exit 1
    "#]],
    );
    told(
        place,
        &publish(place, "Closed", &["--allow", "nowhere.txt"]),
        expect![[r#"
        error: cannot read nowhere.txt [LIC0103]
          because: No such file or directory (os error 2)

        hint: --allow takes a text file with one address a line
        exit 2
    "#]],
    );
    told(
        place,
        &publish(place, "Closed", &["--allow", "wrong.txt", "--by-approval"]),
        expect![[r#"
        error: the argument '--allow <FILE>' cannot be used with '--by-approval' [LIC0101]

        hint: licen publish --help
        exit 2
    "#]],
    );
    let update = ["policy", "update", &place.root];
    told(
        place,
        &place.owner(&[&update[..], &["--allow", "wrong.txt"]].concat()),
        expect![[r#"
        error: wrong.txt line 4: "0x12" is not an address [LIC0203]

        hint: one address a line, 0x and 40 hex digits; # begins a comment
        exit 1
    "#]],
    );
    told(
        place,
        &place.owner(&[&update[..], &["--open", "--by-approval"]].concat()),
        expect![[r#"
        error: the argument '--open' cannot be used with '--by-approval' [LIC0101]

        hint: licen policy update --help
        exit 2
    "#]],
    );
}

fn refused_before_paying(place: &Place, uid: &str) {
    let jobs = place.licen(&["jobs", "--all"]).out;
    told(
        place,
        &place.licen(&request(uid, &[])),
        expect![[r#"
        error: policy refuses the request: requester 0x.. is not admitted by the owner [LIC0207]

        hint: licen access 0x.. --ask
        exit 1
    "#]],
    );
    assert_eq!(place.licen(&["jobs", "--all"]).out, jobs, "no job was opened");
    let shown = place.licen(&["show", uid]);
    assert!(shown.out.contains("\naccess        by approval\n"), "{}", shown.out);
    let open = place.licen(&["show", &place.root]);
    assert!(open.out.contains("\naccess        open\n"), "{}", open.out);
    let found = place.licen(&["search"]);
    assert!(found.out.contains("Closed  (by approval)\n"), "{}", found.out);
    assert_eq!(found.out.matches("  (").count(), 1, "{}", found.out);
}

/// The researcher asks, the owner sees it.
fn asked(place: &Place, uid: &str) {
    told(
        place,
        &place.owner(&["access"]),
        expect![[r#"
        0x..  Closed, by approval
          nobody has asked, and nobody may request it yet
        exit 0
    "#]],
    );
    let ask = ["access", uid, "--ask", "--note"];
    told(
        place,
        &place.licen(&[&ask[..], &["two\nlines"]].concat()),
        expect![[r#"
        error: --note is not one line of at most 280 bytes without control characters [LIC0101]

        hint: --note "For a paper on drug names"
        exit 2
    "#]],
    );
    told(
        place,
        &place.licen(&["access", &place.root, "--ask"]),
        expect![[r#"
        error: the dataset is open to everybody, there is nothing to ask for [LIC0905]

        hint: licen request 0x..
        exit 1
    "#]],
    );
    told(
        place,
        &place.licen(&[&ask[..], &[NOTE]].concat()),
        expect![[r#"
          Asked the owner 0x..; licen access shows the answer
        exit 0
    "#]],
    );
    told(
        place,
        &place.owner(&["access"]),
        expect![[r#"
        0x..  Closed, by approval
          asked  0x..  MOMENT  "For a paper on sparrows, ünïcode"
        exit 0
    "#]],
    );
    told(
        place,
        &place.licen(&["access"]),
        expect![[r#"
          the wallet has no dataset that is not open to everybody
        exit 0
    "#]],
    );
}

/// A wallet that is a contract asks by its own rule, and a key's signature cannot stand for a contract that
/// says no.
fn asked_by_a_contract_wallet(place: &Place, uid: &str, contract: Address) {
    let root = records(&place.licen(&["--json", "show", uid])).remove(0);
    let request = |requester| AccessRequest {
        datasetUid: uid.parse().unwrap(),
        requestersRoot: root["requestersRoot"].as_str().unwrap().parse().unwrap(),
        requester,
        askedAt: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(),
        note: "by a contract".into(),
    };
    // The last of all addresses, so that it is listed last.
    let (wallet, nobody) = (Address::repeat_byte(0xff), Address::repeat_byte(0xfe));
    place.rpc("anvil_setCode", &json!([wallet, YES_WALLET]));
    for _ in 0..4 {
        place.rpc("evm_mine", &json!([]));
    }
    for (requester, taken) in [(wallet, true), (nobody, false)] {
        let signature = Bytes::from_static(b"whatever");
        let said = SignedAccessRequest { contract, request: AbiHex(request(requester)), signature };
        let answer = place.post("node", "/v1/access", &json!(said));
        assert_eq!(answer["kept"] == true, taken, "{answer}");
        assert_eq!(answer["code"] == "LIC0905", !taken, "{answer}");
    }
    let listed = records(&place.owner(&["--json", "access", uid]));
    let of_wallet = |record: &&Value| record["requester"].as_str().unwrap().parse() == Ok(wallet);
    assert_eq!(listed.iter().filter(of_wallet).count(), 1, "{listed:?}");
}

/// The owner approves, and nobody else can.
fn approved(place: &Place, uid: &str) {
    let researcher = address(place, "researcher").to_string();
    let approve = ["approve", &researcher, "--until"];
    let of = |more: &[&str]| place.owner(&[&approve[..], more].concat());
    told(
        place,
        &of(&["2020-01-01"]),
        expect![[r#"
        error: --until MOMENT is over, chain time is MOMENT [LIC0101]

        hint: --until with a later moment
        exit 2
    "#]],
    );
    told(
        place,
        &of(&["soon"]),
        expect![[r#"
        error: --until "soon" is no moment between 2001 and 9999 [LIC0101]

        hint: 2026-12-01 is midnight UTC; 2026-12-01T09:30:00Z and Unix seconds are understood, too
        exit 2
    "#]],
    );
    told(
        place,
        &place.owner(&["approve", "0x12", "--until", UNTIL]),
        expect![[r#"
        error: "0x12" is not an address [LIC0101]

        hint: an address is 0x and 40 hex digits; licen access lists who asked
        exit 2
    "#]],
    );
    told(
        place,
        &of(&[UNTIL, "--dataset", &place.root]),
        expect![[r#"
        error: dataset 0x.. is open to everybody, there is nothing to approve [LIC0905]

        hint: licen policy update 0x.. --by-approval admits only whom you approve
        exit 1
    "#]],
    );
    told(
        place,
        &place.licen(&[&approve[..], &[UNTIL, "--dataset", uid]].concat()),
        expect![[r#"
        error: the dataset belongs to 0x.., the wallet is 0x.. [LIC0203]

        hint: --wallet FILE with the owner's key
        exit 1
    "#]],
    );
    told(
        place,
        &place.licen(&[&approve[..], &[UNTIL]].concat()),
        expect![[r#"
        error: the wallet has no dataset that is not open to everybody [LIC0209]

        hint: licen policy update DATASET --by-approval admits only whom you approve
        exit 1
    "#]],
    );
    told(
        place,
        &of(&[UNTIL]),
        expect![[r#"
        0x.. may request 0x.. Closed until UNTIL
          A new list ends what you approved: licen policy update 0x.. --by-approval
        exit 0
    "#]],
    );
    // It holds on chain until it ends, so a shorter one would only seem to replace it.
    told(
        place,
        &of(&["2099-01-01"]),
        expect![[r#"
        error: the node did not take it: another one stands: a request that is newer, or an approval that ends later [LIC0905]

        hint: licen access 0x.. shows what stands; licen policy update 0x.. --by-approval ends it
        exit 1
    "#]],
    );
    told(
        place,
        &place.owner(&["access", uid]),
        expect![[r#"
        0x..  Closed, by approval
          asked  0x..  MOMENT  "For a paper on sparrows, ünïcode"
          asked  0x..  MOMENT  "by a contract"
          may    0x..  until UNTIL
        exit 0
    "#]],
    );
}

/// A node that makes approvals up is not believed.
fn lies_are_left_out(place: &Place, uid: &str) {
    let listed = records(&place.owner(&["--json", "access", uid]));
    let signature = listed.iter().find(|r| r["kind"] == "approved").unwrap()["signature"].as_str().unwrap();
    let digit = if &signature[40..41] == "7" { "8" } else { "7" };
    let bent = format!("{}{digit}{}", &signature[..40], &signature[41..]);
    assert_ne!(bent, signature);
    let node = place.setting("node");
    let liar = liar::start_saying(&node, uid, signature, &bent);
    let said = place.licen(&[&["--node", &liar], &request(uid, &[])[..]].concat());
    assert!(said.exit == 1 && said.err.contains("is not admitted by the owner [LIC0207]"), "{}", said.err);
    assert!(
        said.err.contains("warning: 1 of the requests and approvals that the node tells do not verify"),
        "{}",
        said.err
    );
    let note = hex::encode(NOTE);
    let liar = liar::start_saying(&node, uid, &note, &hex::encode(NOTE.replace("paper", "PAPER")));
    let said = place.licen(&["--node", &liar, "--json", "access", uid]);
    assert!(said.err.contains("warning: 1 of the requests and approvals"), "{}", said.err);
    assert!(!said.out.contains("PAPER"), "{}", said.out);
}

/// A job from request to adapter; gives it.
fn trained(place: &Place, uid: &str, admitted: &str) -> String {
    let said = place.licen(&request(uid, &["--follow"]));
    assert_eq!(said.exit, 0, "{}{}", said.out, said.err);
    assert!(said.err.contains(&format!("  {admitted}\n")), "{}", said.err);
    assert!(said.out.ends_with("Completed\n"), "{}", said.out);
    said.out.lines().next().unwrap().to_string()
}

fn audited(place: &Place, job: &str, admitted: &str) {
    let said = place.licen(&["audit", job]);
    assert_eq!(said.exit, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains(&format!("ok      requester admitted     {admitted}\n")), "{}", said.out);
}

/// What was sent with an admission is finished with it, and paid once.
fn resumed(place: &Place, uid: &str) {
    place.killed_while_sending(&request(uid, &[]));
    let said = place.licen(&request(uid, &["--follow"]));
    assert_eq!(said.exit, 0, "{}{}", said.out, said.err);
    assert!(said.err.contains("an earlier request of this dataset was sent"), "{}", said.err);
    let job = said.out.lines().next().unwrap();
    audited(place, job, &format!("approved by the owner until {UNTIL} 00:00:00 UTC"));
}

/// The current policy of a dataset, as the index has it.
fn policy(place: &Place, uid: &str) -> Policy {
    let query = format!("{{ Dataset(where: {{datasetUid: {{_eq: \"{uid}\"}}}}) {{ policyAbi }} }}");
    let answer = place.post("node", "/graphql", &json!({"query": query}));
    let abi = answer["data"]["Dataset"][0]["policyAbi"].as_str().unwrap_or_else(|| panic!("{answer}"));
    Policy::abi_decode(&hex::decode(abi).unwrap()).unwrap()
}

/// What the contract says to a request of the researcher's with this admission: the error, if any.
fn contract_says(place: &Place, contract: Address, policy: &Policy, admission: &Admission) -> Option<String> {
    let request = Request {
        purposeId: purpose_id("research"),
        epochs: 1,
        units: 1,
        termsHash: policy.termsHash,
        resultKey: B256::repeat_byte(1),
        ..Request::default()
    };
    let (policy, admission, quote) = (policy.clone(), admission.clone(), SignedQuote::default());
    let call = DataPolicy::requestAccess_1Call { policy, request, quote, admission };
    let sent = json!([{"from": address(place, "researcher"), "to": contract, "value": U256::from(PRICE),
        "data": Bytes::from(call.abi_encode())}, "latest"]);
    let answer = place.rpc_answer("eth_call", &sent);
    let error = answer["error"]["data"].as_str().map(str::to_string);
    assert!(error.is_some() || answer["result"].is_string(), "{answer}");
    error
}

fn the_approval_ends_with_its_list(place: &Place, uid: &str, contract: Address) {
    let listed = records(&place.owner(&["--json", "access", uid]));
    let record = listed.iter().find(|r| r["kind"] == "approved").unwrap();
    let before = policy(place, uid);
    let approval = Approval {
        datasetUid: before.datasetUid,
        requestersRoot: before.requestersRoot,
        requester: address(place, "researcher"),
        expires: record["expires"].as_u64().unwrap(),
    };
    let signature: Bytes = record["signature"].as_str().unwrap().parse().unwrap();
    let domain = Domain { chain_id: 31_337, contract };
    assert_eq!(domain.signer_of(&approval, &signature), Some(before.owner));
    let admission =
        Admission { approval: approval.clone(), signature: signature.clone(), ..Admission::default() };
    assert_eq!(contract_says(place, contract, &before, &admission), None, "it is good until then");

    told(
        place,
        &place.owner(&["policy", "update", uid, "--by-approval"]),
        expect![[r#"
          Only whom you approve may request it; approvals are public
          Every approval that was given before ends with this
          Version 2 holds for new requests; running jobs keep theirs
        exit 0
    "#]],
    );
    let after = policy(place, uid);
    assert_ne!(after.requestersRoot, before.requestersRoot, "no two lists have one root");
    told(
        place,
        &place.licen(&request(uid, &[])),
        expect![[r#"
        error: policy refuses the request: requester 0x.. is not admitted by the owner [LIC0207]

        hint: licen access 0x.. --ask
        exit 1
    "#]],
    );
    // The node does not take it back, and the contract does not take it either.
    let again = SignedApproval { contract, approval: AbiHex(approval.clone()), signature: signature.clone() };
    let answer = place.post("node", "/v1/approvals", &json!(again));
    assert!(answer["code"] == "LIC0905" && answer["status"] == 409, "{answer}");
    let mismatch = keccak256("ApprovalMismatch(bytes32,bytes32,address)");
    let said = contract_says(place, contract, &after, &admission).expect("it is refused");
    assert!(said.starts_with(&hex::encode_prefixed(&mismatch[..4])), "{said}");
    let renamed = Approval { requestersRoot: after.requestersRoot, ..approval };
    let said =
        contract_says(place, contract, &after, &Admission { approval: renamed, signature, ..admission });
    let unsigned = keccak256("SignatureInvalid(address)");
    assert!(said.expect("it is refused").starts_with(&hex::encode_prefixed(&unsigned[..4])));
    assert_eq!(records(&place.owner(&["--json", "access", uid])), Vec::<Value>::new(), "nobody may");
}

/// Whoever is on the list needs nobody's word, and everybody sees who is.
fn by_list(place: &Place, uid: &str) {
    let (researcher, other) = (address(place, "researcher"), Address::repeat_byte(0x33));
    place.write("allow.txt", format!("# labs\n{other}\n{researcher}   # ours\n"));
    told(
        place,
        &place.owner(&["policy", "update", uid, "--allow", "allow.txt"]),
        expect![[r#"
          Only 2 requesters and whom you approve may request it; the list is public
          Every approval that was given before ends with this
          Version 3 holds for new requests; running jobs keep theirs
        exit 0
    "#]],
    );
    told(
        place,
        &place.licen(&["access", uid]),
        expect![[r#"
        0x..  Closed, by list
          may    0x..  by the list
          may    0x..  by the list
        exit 0
    "#]],
    );
    told(
        place,
        &place.licen(&["access", uid, "--ask"]),
        expect![[r#"
          admitted by the owner's list: licen request 0x..
        exit 0
    "#]],
    );
    assert!(place.licen(&["show", uid]).out.contains("\naccess        by list\n"));
    // One run is left of three.
    let job = trained(place, uid, "admitted by the owner's list");
    audited(place, &job, "on the owner's list");
    let said = publish(place, "Listed", &["--allow", "allow.txt"]);
    assert!(
        said.err.contains("Only 2 requesters and whom you approve may request it; the list is public"),
        "{}",
        said.err
    );
    let (listed, _) = named(place, said.out.trim());
    assert!(place.licen(&["show", &listed]).out.contains("\naccess        by list\n"));
    meant(place, uid, &listed);
    opened(place, uid);
}

/// Where no dataset is named, an approval goes where all of them asked, if that is one.
fn meant(place: &Place, uid: &str, listed: &str) {
    let operator = address(place, "operator").to_string();
    let approve = ["approve", &operator, "--until", UNTIL];
    let yes = [&["--yes"], &approve[..]].concat();
    told(
        place,
        &place.owner(&yes),
        expect![[r#"
        error: they asked at none of your datasets, and several are not open [LIC0209]
          because: 0x.. at 0x..
          because: 0x.. at 0x..

        hint: --dataset with one of them
        exit 1
    "#]],
    );
    assert_eq!(place.licen_as("operator", &["access", listed, "--ask"]).exit, 0);
    // Whoever asks must not choose what the owner signs.
    told(
        place,
        &place.owner(&approve),
        expect![[r#"
        error: not confirmed, nobody was approved [LIC0106]

        hint: --dataset 0x.., or --yes
        exit 2
    "#]],
    );
    told(
        place,
        &place.owner(&yes),
        expect![[r#"
        0x.. may request 0x.. Listed until UNTIL
          A new list ends what you approved: licen policy update 0x.. --by-approval
        exit 0
    "#]],
    );
    assert_eq!(place.licen_as("operator", &["access", uid, "--ask"]).exit, 0);
    told(
        place,
        &place.owner(&yes),
        expect![[r#"
        error: they asked at several of your datasets [LIC0209]
          because: 0x.. at 0x..
          because: 0x.. at 0x..

        hint: --dataset with one of them
        exit 1
    "#]],
    );
    let may = |dataset| {
        let records = records(&place.owner(&["--json", "access", dataset]));
        records
            .iter()
            .filter(|r| r["kind"] == "approved" && r["requester"] == operator.to_lowercase())
            .count()
    };
    assert_eq!((may(listed), may(uid)), (1, 0));
}

/// What is open needs neither list nor word again.
fn opened(place: &Place, uid: &str) {
    assert_eq!(place.owner(&["policy", "update", uid, "--open"]).exit, 0);
    assert!(place.licen(&["show", uid]).out.contains("\naccess        open\n"));
    told(
        place,
        &place.licen(&["access", uid]),
        expect![[r#"
        0x..  Closed, open
        exit 0
    "#]],
    );
}
