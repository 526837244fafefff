//! Golden transcripts of commands that need no world.

use std::path::Path;
use std::process::{Command, Stdio};

use expect_test::{Expect, expect};

fn licen(args: &[&str], dir: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_licen"))
        .args(args)
        .current_dir(dir)
        .env("HOME", dir)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_STATE_HOME")
        .env_remove("LICEN_CONFIG")
        .stdin(Stdio::null())
        .output()
        .expect("licen runs");
    format!(
        "{}{}exit {}\n",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        output.status.code().unwrap_or(-1)
    )
}

fn check(args: &[&str], expected: Expect) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("empty"), b"").unwrap();
    let pattern: Vec<u8> = (0..257u32).map(|i| ((i * 31 + 7) % 256) as u8).collect();
    std::fs::write(dir.path().join("pattern257"), pattern).unwrap();
    expected.assert_eq(&licen(args, dir.path()));
}

#[test]
fn storage_root_prints_one_line() {
    check(
        &["storage", "root", "pattern257"],
        expect![[r#"
            0x7ea7520214ca45edb7f0f74f219e68b1c07ccebd02bf44e83503e264733021c6
            exit 0
        "#]],
    );
}

#[test]
fn storage_root_of_an_empty_file_is_refused() {
    check(
        &["storage", "root", "empty"],
        expect![[r#"
            error: empty is empty [LIC0201]

            hint: 0G has no root for an empty file; give a file with at least one byte
            exit 1
        "#]],
    );
}

#[test]
fn storage_root_of_a_missing_file_is_an_environment_error() {
    check(
        &["storage", "root", "nowhere"],
        expect![[r#"
            error: cannot read nowhere [LIC0103]
              because: cannot read or write nowhere
              because: No such file or directory (os error 2)
            exit 2
        "#]],
    );
}

/// Arguments of `attest verify` about a sample of `vectors/attest`, as typed in the repository.
fn attest(evidence: &str, collateral: &str, policy: &str, rest: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (evidence, collateral) =
        (format!("vectors/attest/{evidence}"), format!("vectors/attest/{collateral}"));
    let policy = format!("policies/{policy}.toml");
    let args = ["attest", "verify", &evidence, "--collateral", &collateral, "--policy", &policy];
    licen(&[args.as_slice(), rest].concat(), &root)
}

fn last_lines(said: &str, lines: usize) -> String {
    let all: Vec<&str> = said.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[test]
fn genuine_evidence_is_accepted_at_its_time_by_its_policy() {
    let at = ["--at", "1752919234"];
    let tdx = attest("tdx_quote", "tdx_quote_collateral.json", "tdx-sample", &at);
    expect![[r#"
        evidence      tdx, identity 0x263b491bb14d627cc0d13408888dbe1ef550b7b8265794702303300bc388ef17
        program       {"tdx":{"mrtd":"0x91eb2b44d141d4ece09f0c75c2c53d247a3c68edd7fafe8a3520c942a604a407de03ae6dc5f87f27428b2538873118b7","rtmr":["0x44c0197b39157fdd7a4dcc44767f9d6b0bb3977c7a8e347b8492f827fe9d9e5c48aca29b220b80b6a540cf994b9bc9c0","0x0084452c01668329d4bc06acdf58a7205c26743304509973949e5619bf81a6a7aea8c323c173019b3093d54e579e9378","0xd833feef2cd945148aa38ead2c53e9b7f138190aaaebfc551dccd829fc207aa3ba80b70870d7330733642e01d48c3132","0x000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"]}}
        platform      0x646436126f6f25885f9c39999bef582f58d7b867914ddd16d6b8861fc76dbfec
        tcb           UpToDate, evaluation 17, no advisories
        collateral    issued 1742469717, valid until 1752919234
        report data   0x9a9d48e7f6799642d3d1b34e1e5e1742d4bb02dd6ddd551862c1211d35c304f9eca3efdbb481601c163cf52493d6e44aed55d51ec39b7e518fadb92c2b523f20
        accepted      tdx-sample at 1752919234: affirming
        exit 0
    "#]].assert_eq(&tdx);
    let snp = attest("report_milan.hex", "vcek_milan.der", "snp-sample", &at);
    expect![[r#"
        evidence      snp, identity 0x56dc704f52ca251bf274e10a5b7ed7efc616c017712075cd80efcb26ebec59a5
        program       {"snp":{"measurement":"0x7a1e5c266c0108dbc9bb94fa926951320940915d0aafb42464bd88b579ea158d3e1a0dc39b2c60bd95b9c480cd81841f","hostData":"0x0000000000000000000000000000000000000000000000000000000000000000"}}
        platform      0x42bcdeeec35c2188df77cb434d652aa22fcc9021ff9a974a9072468f1a692006
        tcb           Milan, report version 2, bootloader 3, tee 0, snp 8, microcode 115
        report data   0xd447b55d197491bfe15cf298f9de9986b7a7c4be2468b4f6e2d53b71d7c645810b0f2cdfca0040433be063fc1a8293f0f3f8dae7b79fecb3d1cd82bd6a93ebfd
        accepted      snp-sample at 1752919234: affirming
        exit 0
    "#]].assert_eq(&snp);
    let later = ["--at", "1794008710"];
    let td15 = attest("tdx_quote_td15ex", "tdx_quote_td15ex_collateral.json", "tdx-sample", &later);
    assert!(td15.ends_with("accepted      tdx-sample at 1794008710: affirming\nexit 0\n"), "{td15}");
}

#[test]
fn evidence_is_refused_with_the_first_rule_that_does_not_hold() {
    let at = ["--at", "1752919234"];
    let said = [
        attest("tdx_quote", "tdx_quote_collateral.json", "strict", &at),
        attest("tdx_quote", "tdx_quote_collateral.json", "snp-sample", &at),
        attest("tdx_quote", "tdx_quote_collateral.json", "tdx-sample", &["--at", "1752919235"]),
        attest("tdx_quote", "tdx_quote_collateral.json", "tdx-sample", &["--at", "1750000000"]),
        attest("tdx_quote", "tdx_quote_collateral.json", "tdx-sample", &[]),
        attest("tdx_quote", "tdx_quote_td15ex_collateral.json", "tdx-sample", &["--at", "1794008710"]),
        attest("tdx_quote", "vcek_milan.der", "snp-sample", &at),
        attest("sgx_quote", "sgx_quote_collateral.json", "strict", &at),
        attest("report_milan.hex", "vcek_milan.der", "strict", &at),
        attest("vcek_milan.der", "vcek_milan.der", "strict", &at),
    ];
    let ends: Vec<String> = said.iter().map(|said| last_lines(said, 4)).collect();
    expect![[r#"
        error: evidence refused by rule platform-flag: the platform has simultaneous multithreading, which the policy does not allow [LIC0402]

        hint: the platform has to be updated or set up anew, or the policy has to choose otherwise
        exit 1
        error: evidence refused by rule tee-type: evidence of another kind of TEE than this one [LIC0402]

        hint: another policy may fit: teeTypes and amd.products say what this one accepts
        exit 1
        error: evidence refused by rule collateral-validity: the collateral was valid until 1752919234 (Unix seconds) [LIC0402]

        hint: fetch the collateral anew, or give the moment it was valid at: --at UNIX_SECONDS
        exit 1
        error: evidence refused by rule collateral-validity: the collateral is valid only from 1750329147 on (Unix seconds) [LIC0402]

        hint: fetch the collateral anew, or give the moment it was valid at: --at UNIX_SECONDS
        exit 1
        error: evidence refused by rule collateral-validity: the collateral was valid until 1752919234 (Unix seconds) [LIC0402]

        hint: fetch the collateral anew, or give the moment it was valid at: --at UNIX_SECONDS
        exit 1
        error: evidence refused by rule tcb-status: the platform's TCB status is OutOfDate, which the policy does not accept [LIC0402]

        hint: the platform has to be updated or set up anew, or the policy has to choose otherwise
        exit 1
        error: evidence refused by rule format: malformed SNP report: it cannot be read [LIC0402]

        hint: give the quote or report as the TEE made it, and collateral of its platform
        exit 1
        error: evidence refused by rule tcb-status: the platform's TCB status is ConfigurationAndSWHardeningNeeded, which the policy does not accept [LIC0402]

        hint: the platform has to be updated or set up anew, or the policy has to choose otherwise
        exit 1
        error: evidence refused by rule report-version: report version 2, the policy wants 3 [LIC0402]

        hint: the platform has to be updated or set up anew, or the policy has to choose otherwise
        exit 1
        error: evidence refused by rule format: malformed SNP report: it cannot be read [LIC0402]

        hint: give the quote or report as the TEE made it, and collateral of its platform
        exit 1"#]].assert_eq(&ends.join("\n"));
}

#[test]
fn a_verdict_speaks_the_language_of_rats() {
    let at = ["--at", "1752919234", "--json"];
    let said = attest("tdx_quote", "tdx_quote_collateral.json", "strict", &at);
    let json: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!((&json["accepted"], &json["rule"]), (&false.into(), &"platform-flag".into()));
    let appraisal = &json["ear"]["submods"]["compute"];
    assert_eq!(appraisal["ear.status"], "contraindicated");
    assert_eq!(appraisal["ear.trustworthiness-vector"]["hardware"], 2);
    assert_eq!(appraisal["ear.trustworthiness-vector"]["configuration"], 96);
    let good = attest("tdx_quote", "tdx_quote_collateral.json", "tdx-sample", &at);
    let json: serde_json::Value = serde_json::from_str(good.lines().next().unwrap()).unwrap();
    assert_eq!(json["ear"]["submods"]["compute"]["ear.status"], "affirming");
}

#[test]
fn what_is_no_evidence_no_collateral_and_no_policy_is_named() {
    let said = [
        attest("missing", "vcek_milan.der", "strict", &[]),
        attest("tdx_quote", "tdx_quote", "strict", &[]),
        attest("tdx_quote", "vcek_milan.der", "../rustfmt", &[]),
    ];
    expect![[r#"
        error: cannot read vectors/attest/missing [LIC0103]
          because: No such file or directory (os error 2)
        exit 2
        error: cannot use vectors/attest/tdx_quote [LIC0103]
          because: collateral: neither Intel's collateral as JSON nor a DER certificate: expected value at line 1 column 1
        exit 2
        error: policies/../rustfmt.toml is no appraisal policy [LIC0403]
          because: TOML parse error at line 1, column 1
          |
        1 | max_width = 110
          | ^^^^^^^^^
        unknown field `max_width`, expected one of `v`, `name`, `teeTypes`, `measurements`, `platforms`, `allowUnsandboxed`, `intel`, `amd`
        exit 2
    "#]].assert_eq(&said.join(""));
}

#[test]
fn explain_says_what_a_code_means() {
    check(
        &["explain", "lic0207"],
        expect![[r#"
            LIC0207: the policy refuses the request

            The owner's policy does not allow this request; the message names the rule. Nothing was paid.
            exit 0
        "#]],
    );
}

#[test]
fn an_unknown_code_is_a_usage_error() {
    check(
        &["explain", "LIC9999"],
        expect![[r#"
            error: no such code: LIC9999 [LIC0101]

            hint: licen explain LIC0207
            exit 2
        "#]],
    );
}

#[test]
fn an_unknown_setting_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("licen.toml"), "nodes = \"x\"\n").unwrap();
    expect![[r#"
        error: licen.toml: unknown setting "nodes" [LIC0102]

        hint: settings are node, rpc, confirmations, deployment, contract, wallet, state, custodian_set, appraisal_policy, color
        exit 2
    "#]]
    .assert_eq(&licen(&["config"], dir.path()));
}

#[test]
fn a_node_that_is_down_is_an_environment_error() {
    let dir = tempfile::tempdir().unwrap();
    // Port 9 (discard) has no listener on a test machine.
    let said = licen(&["--node", "http://127.0.0.1:9", "search"], dir.path());
    assert!(said.starts_with("error: the node at http://127.0.0.1:9 does not answer [LIC0901]\n"), "{said}");
    assert!(said.contains("\nhint: licen run node"), "{said}");
    assert!(said.ends_with("exit 2\n"), "{said}");
}

#[test]
fn codes_of_other_crates_are_explained() {
    check(
        &["explain", "LIC0710"],
        expect![[r#"
        LIC0710: a custodian denied a verdict or a release

        A custodian says no more than this to compute, on purpose; its own audit log has the reason. The job fails or expires and everything paid comes back.
        exit 0
    "#]],
    );
    check(
        &["explain", "603"],
        expect![[r#"
        LIC0603: storage has no such blob

        No blob has this file root on this node. Check the root, or `node` in `licen config`.
        exit 0
    "#]],
    );
}

#[test]
fn usage_errors_look_like_every_other() {
    check(
        &["requst"],
        expect![[r#"
        error: unrecognized subcommand 'requst'; tip: a similar subcommand exists: 'request' [LIC0101]

        hint: licen --help
        exit 2
    "#]],
    );
    check(
        &["request", "0x9c1e", "--epoch", "3"],
        expect![[r#"
        error: unexpected argument '--epoch' found; tip: a similar argument exists: '--epochs' [LIC0101]

        hint: licen request --help
        exit 2
    "#]],
    );
    check(
        &["jobs", "stop"],
        expect![[r#"
        error: the following required arguments were not provided: <JOB> [LIC0101]

        hint: licen jobs stop --help
        exit 2
    "#]],
    );
    check(
        &["demo", "--epochs", "0"],
        expect![[r#"
        error: invalid value '0' for '--epochs <EPOCHS>': 0 is not in 1..=4294967295 [LIC0101]

        hint: licen demo --help
        exit 2
    "#]],
    );
    check(
        &["deploy", "--network", "mainnet"],
        expect![[r#"
        error: invalid value 'mainnet' for '--network <NETWORK>'; possible values: anvil [LIC0101]

        hint: licen deploy --help
        exit 2
    "#]],
    );
    check(
        &["completions", "tcsh"],
        expect![[r#"
        error: invalid value 'tcsh' for '<SHELL>'; possible values: bash, elvish, fish, powershell, zsh; tip: a similar value exists: 'zsh' [LIC0101]

        hint: licen completions --help
        exit 2
    "#]],
    );
}

#[test]
fn help_is_data_and_every_command_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let help = licen(&["--help"], dir.path());
    assert!(help.ends_with("exit 0\n"), "{help}");
    let commands = help.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty());
    let names: Vec<&str> =
        commands.filter_map(|l| l.split_whitespace().next()).filter(|n| *n != "help").collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let said = licen(&[name, "--help"], dir.path());
        assert!(said.contains("Usage: licen ") && said.ends_with("exit 0\n"), "{name}: {said}");
    }
}

#[test]
fn a_setting_that_is_no_address_is_named() {
    check(
        &["--node", "localhost:8080", "search"],
        expect![[r#"
        error: node "localhost:8080" is not an http URL [LIC0102]

        hint: licen config tells where `node` comes from
        exit 2
    "#]],
    );
    check(
        &["--node", "ftp://here", "storage", "put", "pattern257"],
        expect![[r#"
        error: node "ftp://here" is not an http URL [LIC0102]

        hint: licen config tells where `node` comes from
        exit 2
    "#]],
    );
}

#[test]
fn what_cannot_be_published_is_refused_before_anything_is_asked() {
    let terms = ["--name", "N", "--royalty", "0.01", "--purpose", "research"];
    check(
        &[&["publish", "empty"][..], &terms].concat(),
        expect![[r#"
        error: empty is empty [LIC0201]

        hint: every line must be one JSON object, for example {"text": "..."}
        exit 1
    "#]],
    );
    check(
        &[&["publish", "nowhere"][..], &terms].concat(),
        expect![[r#"
        error: cannot read nowhere [LIC0103]
          because: No such file or directory (os error 2)

        hint: give a JSON Lines file: one JSON object per line
        exit 2
    "#]],
    );
    check(
        &[&["publish", "pattern257", "--recovery", "r"][..], &terms].concat(),
        expect![[r#"
        error: the following required arguments were not provided: --passphrase-file <FILE> [LIC0101]

        hint: licen publish --help
        exit 2
    "#]],
    );
    // A royalty of the old token says nothing in a new one.
    check(
        &["policy", "update", "0x9c1e", "--token", "0x0000000000000000000000000000000000000000"],
        expect![[r#"
        error: the following required arguments were not provided: --royalty <AMOUNT> [LIC0101]

        hint: licen policy update --help
        exit 2
    "#]],
    );
}

#[test]
fn keys_are_never_overwritten_and_never_half_made() {
    let dir = tempfile::tempdir().unwrap();
    assert!(licen(&["key", "new", "wallet", "--out", "a"], dir.path()).ends_with("exit 0\n"));
    let first = std::fs::read(dir.path().join("a")).unwrap();
    expect![[r#"
        error: a exists already [LIC0104]

        hint: --out with another file
        exit 2
    "#]]
    .assert_eq(&licen(&["key", "new", "wallet", "--out", "a"], dir.path()));
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), first);
    std::fs::write(dir.path().join("b.recipient"), "").unwrap();
    expect![[r#"
        error: b.recipient exists already [LIC0104]

        hint: --out with another file
        exit 2
    "#]]
    .assert_eq(&licen(&["key", "new", "custodian", "--out", "b"], dir.path()));
    assert!(!dir.path().join("b.signing").exists());
    expect![[r#"
        error: cannot write no/r [LIC0104]
          because: No such file or directory (os error 2)
        exit 2
    "#]]
    .assert_eq(&licen(&["key", "new", "result", "--out", "no/r"], dir.path()));
}

#[test]
fn a_model_that_compute_could_not_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    std::fs::create_dir(&model).unwrap();
    let add = || licen(&["model", "add", "model"], dir.path());
    expect![[r#"
        error: model has no config.json [LIC0212]

        hint: give a Hugging Face model directory: config.json, *.safetensors, tokenizer.json
        exit 2
    "#]]
    .assert_eq(&add());
    std::fs::write(model.join("config.json"), "{").unwrap();
    std::fs::write(model.join("tokenizer.json"), "{}").unwrap();
    expect![[r#"
        error: model has no *.safetensors [LIC0212]

        hint: give a Hugging Face model directory: config.json, *.safetensors, tokenizer.json
        exit 2
    "#]]
    .assert_eq(&add());
    std::fs::write(model.join("model.safetensors"), "").unwrap();
    expect![[r#"
        error: model/config.json is not a JSON object [LIC0212]
          because: EOF while parsing an object at line 1 column 1

        hint: download the model again
        exit 2
    "#]]
    .assert_eq(&add());
}

#[test]
fn configurations_are_read_strictly() {
    let dir = tempfile::tempdir().unwrap();
    expect![[r#"
        error: cannot read nowhere.toml [LIC0102]
          because: No such file or directory (os error 2)
        exit 2
    "#]]
    .assert_eq(&licen(&["run", "node", "--config", "nowhere.toml"], dir.path()));
    std::fs::write(dir.path().join("node.toml"), "lisen = 3\n").unwrap();
    expect![[r#"
        error: node.toml is not usable [LIC0102]
          because: TOML parse error at line 1, column 1
          |
        1 | lisen = 3
          | ^^^^^
        unknown field `lisen`, expected one of `listen`, `state`, `deployment`, `rpc`, `compute`, `wallet`, `confirmations`, `orchestrate`, `pollMs`, `trustedProxies`
        exit 2
    "#]].assert_eq(&licen(&["run", "node", "--config", "node.toml"], dir.path()));
    std::fs::write(dir.path().join("licen.toml"), "confirmations = true\n").unwrap();
    expect![[r#"
        error: licen.toml: confirmations must be text, a number or a list, not a boolean [LIC0102]
        exit 2
    "#]]
    .assert_eq(&licen(&["config"], dir.path()));
}

#[test]
fn roots_of_the_shared_vectors() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/zg_roots.json");
    let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for vector in vectors["roots"].as_array().unwrap() {
        let (Some(size), Some(root)) = (vector["size"].as_u64(), vector["root"].as_str()) else { continue };
        if size > 1 << 20 {
            continue;
        }
        let bytes: Vec<u8> = (0..size).map(|i| ((i * 31 + 7) % 256) as u8).collect();
        std::fs::write(dir.path().join("file"), bytes).unwrap();
        assert_eq!(
            licen(&["storage", "root", "file"], dir.path()),
            format!("{root}\nexit 0\n"),
            "size {size}"
        );
        checked += 1;
    }
    assert!(checked >= 20, "only {checked} vectors");
}

/// What the public would be told is refused by what is wrong with it, before anything is encrypted.
#[test]
fn words_of_the_wrong_form_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("rows.jsonl", "{\"text\":\"one\"}\n");
    write("blank.txt", " \n");
    write("long.txt", &"x".repeat(65_537));
    let publish = |name: &str, flags: &[&str]| {
        let first = ["--quiet", "publish", "rows.jsonl", "--name", name, "--royalty", "1", "--purpose", "p"];
        licen(&[&first[..], flags, &["--dry-run"]].concat(), dir.path())
    };
    let said = [
        publish(" ", &[]),
        publish("N", &["--language", "english"]),
        publish("N", &["--contact", "javascript://x@y"]),
        publish("N", &["--license-text", "nowhere.txt"]),
        publish("N", &["--license-text", "blank.txt"]),
        publish("N", &["--license-text", "long.txt"]),
    ]
    .concat();
    expect![[r#"
        error: --name is empty [LIC0101]

        hint: --name Reviews
        exit 2
        error: --language "english" is not a language tag [LIC0101]

        hint: --language en
        exit 2
        error: --contact "javascript://x@y" is neither an e-mail address nor an https:// page [LIC0101]

        hint: --contact data@example.org
        exit 2
        error: cannot read nowhere.txt [LIC0103]
          because: No such file or directory (os error 2)

        hint: --license-text takes a file of UTF-8 text
        exit 2
        error: blank.txt has no text [LIC0101]

        hint: leave --license-text out
        exit 2
        error: long.txt has 65537 bytes, at most 65536 [LIC0101]

        hint: name a longer license by its URL in the text
        exit 2
    "#]]
    .assert_eq(&said);
}

/// The manifest of a dry run is what publishing writes but for owner and roots that are nobody's.
#[test]
fn a_dry_run_shows_what_the_public_would_be_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rows.jsonl"), "{\"text\":\"one\"}\n{\"text\":\"two\"}\n").unwrap();
    std::fs::write(dir.path().join("license.txt"), "No resale.\n").unwrap();
    let flags = "--name Letters --royalty 0.5 --purpose research --language en --task summarization --keyword short \
                 --license-text license.txt --contact owner@example.org --preview 1 --dry-run --manifest told.json";
    let args: Vec<&str> = ["--quiet", "publish", "rows.jsonl"].into_iter().chain(flags.split(' ')).collect();
    let args: Vec<&str> = args.into_iter().filter(|word| !word.is_empty()).collect();
    let said = licen(&args, dir.path());
    assert!(said.ends_with("nothing was kept\nexit 0\n"), "{said}");
    let bytes = std::fs::read(dir.path().join("told.json")).unwrap();
    let manifest = licen_core::policy_manifest::PolicyManifest::from_bytes(&bytes).unwrap();
    assert_eq!((manifest.name(), manifest.row_count(), manifest.facts().preview.len()), ("Letters", 2, 1));
    assert_eq!((manifest.languages(), manifest.tasks()), (vec!["en".into()], vec!["summarization".into()]));
    assert_eq!((manifest.license_text(), manifest.purposes()), ("No resale.", vec!["research".into()]));
    assert_eq!(manifest.contact().unwrap().as_str(), "owner@example.org");
    assert!(manifest.published().starts_with("20") && manifest.stored_bytes().unwrap() > 30);
    assert!(String::from_utf8(bytes).unwrap().contains("\"@value\":\"500000000000000000\""));
}

/// A list is named in the manifest, and its blob has the root that is named there.
#[test]
fn a_dry_run_names_the_list_of_who_may_request() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rows.jsonl"), "{\"text\":\"one\"}\n").unwrap();
    let address = format!("0x{}", "0e".repeat(20));
    std::fs::write(dir.path().join("allow.txt"), format!("{address} # the lab\n")).unwrap();
    let told = |more: &[&str]| {
        let first = ["publish", "rows.jsonl", "--name", "N", "--royalty", "1", "--purpose", "p"];
        let said = licen(&[&first[..], more, &["--dry-run", "--manifest", "told.json"]].concat(), dir.path());
        assert!(said.ends_with("exit 0\n"), "{said}");
        let bytes = std::fs::read(dir.path().join("told.json")).unwrap();
        (said, licen_core::policy_manifest::PolicyManifest::from_bytes(&bytes).unwrap().facts().allow_list)
    };
    assert_eq!(told(&[]).1, None);
    let (said, by_list) = told(&["--allow", "allow.txt"]);
    assert!(
        said.contains("Only 1 requester and whom you approve may request it; the list is public"),
        "{said}"
    );
    let (said, by_approval) = told(&["--by-approval"]);
    assert!(said.contains("Only whom you approve may request it; approvals are public"), "{said}");
    assert!(by_list.is_some() && by_approval.is_some() && by_list != by_approval);
    assert_ne!(told(&["--by-approval"]).1, by_approval, "every list is another one");
}
