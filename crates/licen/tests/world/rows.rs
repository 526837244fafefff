//! What `publish` refuses: rows that are none and policies that are none, of which nothing is registered.
//! And what it shows: preview rows that anybody can verify.

use std::io::Write;
use std::process::{Command, Stdio};

use expect_test::{Expect, expect};

use crate::golden;
use crate::place::Place;

const TERMS: [&str; 6] = ["--name", "N", "--royalty", "0.001", "--purpose", "research"];

pub fn bad_rows(place: &Place) {
    let datasets = place.licen(&["search"]).out;
    let cases: [(&str, Vec<u8>, Expect); 8] = [
        (
            "zero.jsonl",
            Vec::new(),
            expect![[r#"
            error: zero.jsonl is empty [LIC0201]

            hint: every line must be one JSON object, for example {"text": "..."}
            exit 1
        "#]],
        ),
        (
            "blank.jsonl",
            b"\n\n".to_vec(),
            expect![[r#"
            warning: attestation is simulated (level SOFTWARE): compute is not confidential
            error: blank.jsonl: the file holds no rows [LIC0202]

            hint: every line must be one JSON object, for example {"text": "..."}
            exit 1
        "#]],
        ),
        (
            "comma.jsonl",
            b"{\"text\": \"a\"}\n\n{\"text\": \"b\",}\n".to_vec(),
            expect![[r#"
            warning: attestation is simulated (level SOFTWARE): compute is not confidential
            error: comma.jsonl: line 3, column 14: trailing comma [LIC0202]

            hint: sed -n 3p comma.jsonl shows the line
            exit 1
        "#]],
        ),
        (
            "cut.jsonl",
            b"{\"text\": \"a\"}\n{\"text\": \"b".to_vec(),
            expect![[r#"
            warning: attestation is simulated (level SOFTWARE): compute is not confidential
            error: cut.jsonl: line 2, column 11: EOF while parsing a string [LIC0202]

            hint: sed -n 2p cut.jsonl shows the line
            exit 1
        "#]],
        ),
        (
            "latin.jsonl",
            b"{\"text\": \"a\"}\n{\"text\": \"caf\xe9\"}\n".to_vec(),
            expect![[r#"
            warning: attestation is simulated (level SOFTWARE): compute is not confidential
            error: latin.jsonl: line 2, column 14: not UTF-8 [LIC0202]

            hint: iconv -f latin1 -t utf-8 latin.jsonl > utf8.jsonl, if it is Latin-1
            exit 1
        "#]],
        ),
        (
            "list.jsonl",
            b"{\"text\": \"a\"}\n[1]\n".to_vec(),
            expect![[r#"
            warning: attestation is simulated (level SOFTWARE): compute is not confidential
            error: list.jsonl: line 2: a row is a JSON object, this is an array [LIC0202]

            hint: every line must be one JSON object, for example {"text": "..."}
            exit 1
        "#]],
        ),
        (
            "long.jsonl",
            long(),
            expect![[r#"
            warning: attestation is simulated (level SOFTWARE): compute is not confidential
            error: long.jsonl: line 2: the row has 8388620 bytes, at most 8388608 are taken [LIC0202]

            hint: split the row into several
            exit 1
        "#]],
        ),
        (
            "binary.jsonl",
            vec![0; 64],
            expect![[r#"
            warning: attestation is simulated (level SOFTWARE): compute is not confidential
            error: binary.jsonl: line 1, column 1: expected value [LIC0202]

            hint: sed -n 1p binary.jsonl shows the line
            exit 1
        "#]],
        ),
    ];
    for (name, content, expected) in cases {
        place.write(name, content);
        let said = place.owner(&[&["publish", name][..], &TERMS].concat());
        assert_eq!(said.exit, 1, "{name}: {}", said.err);
        golden(place, &said, expected);
    }
    golden(
        place,
        &place.owner(&[&["publish", "nowhere.jsonl"][..], &TERMS].concat()),
        expect![[r#"
        error: cannot read nowhere.jsonl [LIC0103]
          because: No such file or directory (os error 2)

        hint: give a JSON Lines file: one JSON object per line
        exit 2
    "#]],
    );
    golden(
        place,
        &place.owner(&[&["publish", "."][..], &TERMS].concat()),
        expect![[r#"
        error: cannot read . [LIC0103]
          because: is a directory

        hint: give a JSON Lines file: one JSON object per line
        exit 2
    "#]],
    );
    assert_eq!(place.licen(&["search"]).out, datasets, "nothing was registered");
}

fn long() -> Vec<u8> {
    let text = "x".repeat(8 * 1024 * 1024);
    format!("{{\"text\": \"a\"}}\n{{\"text\": \"{text}\"}}\n").into_bytes()
}

pub fn bad_policies(place: &Place) {
    let publish = |more: &[&str]| {
        let first = ["publish", "sparrows.jsonl", "--name", "N", "--purpose", "research"];
        place.owner(&[&first[..], more].concat())
    };
    let price = ["--royalty", "0.001"];
    let with = |more: &[&str]| publish(&[&price[..], more].concat());
    golden(
        place,
        &publish(&["--royalty", "1e3"]),
        expect![[r#"
        error: --royalty "1e3" is not an amount in whole coins [LIC0101]

        hint: for example --royalty 0.01
        exit 2
    "#]],
    );
    golden(
        place,
        &with(&["--max-epochs", "0"]),
        expect![[r#"
        error: policy field maxEpochsPerRun: and maxRunsPerRequester must be at least 1 [LIC0203]

        hint: licen publish --help shows every bound
        exit 1
    "#]],
    );
    golden(
        place,
        &with(&["--expires", "5"]),
        expect![[r#"
        error: policy field policyExpiry: is in the past [LIC0203]

        hint: licen publish --help shows every bound
        exit 1
    "#]],
    );
    golden(
        place,
        &with(&["--payee", "me"]),
        expect![[r#"
            error: --payee "me" is not an address, or a split's account [LIC0101]

            hint: an address is 0x and 40 hex digits, a split's account 0x and 64
            exit 2
        "#]],
    );
    golden(
        place,
        &with(&["--base-model", "tiny"]),
        expect![[r#"
            error: "tiny" is not 0x and 64 hex digits [LIC0101]

            hint: licen model list prints roots
            exit 2
        "#]],
    );
    let nobody = format!("0x{}1", "0".repeat(63));
    golden(
        place,
        &with(&["--custodian-set", &nobody]),
        expect![[r#"
        error: the contract refuses: custodian set 0x.. has no version 1 [LIC0303]

        hint: licen custodian register prints the id of a new set
        exit 1
    "#]],
    );
    golden(
        place,
        &with(&["--recovery", "r"]),
        expect![[r#"
        error: the following required arguments were not provided: --passphrase-file <FILE> [LIC0101]

        hint: licen publish --help
        exit 2
    "#]],
    );
    place.write("no-pass", "\n");
    golden(
        place,
        &with(&["--recovery", "r", "--passphrase-file", "no-pass"]),
        expect![[r#"
        error: others may read the passphrase in no-pass [LIC0103]

        hint: chmod 600 no-pass
        exit 2
    "#]],
    );
    place.write_private("no-pass", "\n");
    golden(
        place,
        &with(&["--recovery", "r", "--passphrase-file", "no-pass"]),
        expect![[r#"
        error: the passphrase in no-pass is empty [LIC0101]

        hint: write a passphrase of several words into it
        exit 2
    "#]],
    );
    place.write("r", "");
    golden(
        place,
        &with(&["--recovery", "r", "--passphrase-file", "no-pass"]),
        expect![[r#"
        error: r exists already [LIC0103]

        hint: --recovery with another file: a recovery file is never overwritten
        exit 2
    "#]],
    );
}

/// A preview of `root`, whose first row is shown, verifies by the Python of docs/protocol.md §1; with any
/// part of it changed it does not.
pub fn shown_rows_verify_by_the_page_alone(place: &Place, root: &str) {
    let row = "{\"text\": \"Sparrow 0 sits on roof 0.\"}";
    let said = place.licen(&["preview", root]);
    assert_eq!(said.out, format!("{row}\n"), "{}", said.err);

    let page = include_str!("../../../../docs/protocol.md");
    let block = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let verifies = |shown: &str| {
        let mut python = Command::new("python3");
        python.args(["-c", block]).stdin(Stdio::piped()).stderr(Stdio::null());
        let mut python = python.spawn().expect("python3 is installed");
        python.stdin.take().unwrap().write_all(shown.as_bytes()).unwrap();
        python.wait().unwrap().success()
    };
    let shown = place.licen(&["preview", root, "--json"]).out;
    assert_eq!(shown.lines().count(), 1, "{shown}");
    assert!(verifies(&shown), "{shown}");
    let record: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&record["row"], record["index"].as_u64()), (&row.into(), Some(0)));
    let proof = record["proof"].as_array().unwrap();
    assert!(proof.len() > 1, "{shown}");
    let count = record["rowCount"].as_u64().unwrap();
    let changes = [
        ("row", "{\"text\": \"Sparrow 1 sits on roof 0.\"}".into()),
        ("index", 1.into()),
        ("salt", record["rowsRoot"].clone()),
        ("proof", proof[1..].into()),
        ("rowsRoot", record["salt"].clone()),
        ("rowCount", (2 * count).into()),
    ];
    for (member, value) in changes {
        let mut changed = record.clone();
        changed[member] = value;
        assert!(!verifies(&changed.to_string()), "{member} of {changed}");
    }
}
