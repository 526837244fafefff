//! Custody that outlives its custodians: one dataset, published once, goes from a single operator to 3 of
//! 5, gets a custodian with a new key, loses two, and is ended by its owner. No contract, no root and no
//! command of the researcher changes on the way.

use expect_test::{Expect, expect};
use serde_json::Value;

use super::golden;
use super::place::Place;

/// A stage's request, and what it ends with.
fn trains(place: &Place, root: &str, out: &str, more: &[&str]) -> String {
    let request = ["--yes", "--json", "request", root, "--epochs", "1", "--base", "tiny", "--follow"];
    let said = place.licen(&[&request, more].concat());
    assert_eq!(said.exit, 0, "{}", said.err);
    let last: Value =
        said.out.lines().filter_map(|line| serde_json::from_str(line).ok()).next_back().unwrap();
    let job = last["jobId"].as_str().unwrap_or_else(|| panic!("{}", said.out)).to_owned();
    let fetched = place.licen(&["fetch", &job, "--out", out]);
    assert_eq!(fetched.exit, 0, "{}", fetched.err);
    let audit = place.licen(&["audit", &job]);
    assert_eq!(audit.exit, 0, "{}{}", audit.out, audit.err);
    job
}

/// ADDRESS:KEY of the world's custodians, as their key files say.
fn members(place: &Place, recipients: [&str; 5]) -> Vec<String> {
    let field = |file: &str, name: &str| {
        let text = std::fs::read_to_string(place.dir.join(file)).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        value[name].as_str().unwrap().to_owned()
    };
    let member = |(i, recipient): (usize, &str)| {
        format!(
            "{}:{}",
            field(&format!("custodian{}.signing", i + 1), "address"),
            field(recipient, "publicKey")
        )
    };
    recipients.into_iter().enumerate().map(member).collect()
}

/// Checks what the owner is told. Ports are what was free, and custodians are asked in the order of their
/// random addresses.
fn check(place: &Place, args: &[&str], expected: Expect) {
    let mut said = place.owner(args);
    (said.out, said.err) = (portless(&said.out), portless(&said.err));
    golden(place, &said, expected);
}

fn portless(text: &str) -> String {
    let mut parts = text.split("127.0.0.1:");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest =
        parts.map(|part| format!("127.0.0.1:PORT{}", part.trim_start_matches(|c: char| c.is_ascii_digit())));
    [first].into_iter().chain(rest).collect()
}

#[test]
fn custody_outlives_its_custodians() {
    let place = Place::start_with(&["--custodians", "5"]);
    let old = [
        "custodian1.recipient",
        "custodian2.recipient",
        "custodian3.recipient",
        "custodian4.recipient",
        "custodian5.recipient",
    ];
    let all = members(&place, old);
    let pass = place.dir.join("passphrase").display().to_string();

    // One operator alone.
    let one = place.licen_as("deployer", &["custodian", "register", "--threshold", "1", "--member", &all[0]]);
    let set = one.out.trim().to_owned();
    let publish = [
        "--json",
        "publish",
        "sparrows.jsonl",
        "--name",
        "Sparrows",
        "--royalty",
        "0.01",
        "--purpose",
        "research",
        "--custodian-set",
        &set,
        "--recovery",
        "a.key",
        "--passphrase-file",
        &pass,
    ];
    let said = place.owner(&publish);
    assert_eq!(said.exit, 0, "{}", said.err);
    let published: Value = serde_json::from_str(said.out.lines().next_back().unwrap()).unwrap();
    let root = published["datasetUid"].as_str().unwrap().to_owned();
    alone(&place, &root, &all[0]);
    // The researcher does not trust it alone: a custodian of their own choice judges compute as well.
    let judge = place.licen(&["custodian", "register", "--threshold", "1", "--member", &all[2]]);
    trains(&place, &root, "one", &["--verifier-set", judge.out.trim()]);

    three_of_five(&place, &root, &set, &all, &pass);
    trains(&place, &root, "five", &[]);
    attested(&place, &root, &pass);

    // The first custodian gets a new key, and two others are gone: any three is these three.
    new_key(&place, &set, old);
    reseal(
        &place,
        &root,
        &pass,
        expect![[r#"
            set 0x.. version 3
            warning: attestation is simulated (level SOFTWARE): compute is not confidential
              Version 5 holds for new requests; running jobs keep theirs
              Sealed to 5 custodians, 3 needed
            exit 0
        "#]],
    );
    place.end("custodian4");
    place.end("custodian5");
    let job = trains(&place, &root, "rotated", &[]);

    anchors(&place, &set, &job);
    swapped_keys(&place, &set, &root, &pass);
    old_keys(&place);
    export(&place, &root, &pass);
    retire(&place, &root);
}

/// Who looks or pays is told that one custodian can do everything, and cannot make it judge itself.
fn alone(place: &Place, root: &str, member: &str) {
    let warning = "one custodian alone can read the dataset and settle or withhold the job";
    assert!(place.licen(&["show", root]).err.contains(warning));
    let request = ["request", root, "--epochs", "1", "--base", "tiny"];
    let unpaid = place.licen(&request);
    assert!(unpaid.exit != 0 && unpaid.err.contains(warning), "{}", unpaid.err);
    let same = place.licen(&["custodian", "register", "--threshold", "1", "--member", member]);
    let never = place.licen(&[&["--yes"], &request[..], &["--verifier-set", same.out.trim()]].concat());
    assert!(
        never.exit == 1 && never.err.contains("0 custodians of the verifier set are outside"),
        "{}",
        never.err
    );
}

fn three_of_five(place: &Place, root: &str, set: &str, all: &[String], pass: &str) {
    let mut update = vec!["custodian", "update", set, "--threshold", "3"];
    all.iter().for_each(|member| update.extend(["--member", member.as_str()]));
    // Only its maker may.
    golden(
        place,
        &place.owner(&update),
        expect![[r#"
        error: the contract refuses: 0x.. may not do this, only 0x.. [LIC0303]

        hint: sign with the wallet of 0x..: --wallet FILE
        exit 1
    "#]],
    );
    golden(
        place,
        &place.licen_as("deployer", &update),
        expect![[r#"
        version 2: any 3 of 5
          Datasets stay sealed to the older version until their owners say licen policy reseal
        exit 0
    "#]],
    );
    // Said again, as after a crash, it adds nothing.
    assert!(place.licen_as("deployer", &update).out.starts_with("version 2: "));
    let wrong = ["policy", "reseal", root, "--recovery", "a.key", "--passphrase-file", "wrong"];
    place.write_private("wrong", "not the passphrase");
    check(
        place,
        &wrong,
        expect![[r#"
        error: a.key does not open [LIC0401]
          because: wrong passphrase, or the recovery file was changed

        hint: --recovery with the file that publish wrote, --passphrase-file with its passphrase
        exit 1
    "#]],
    );
    let other = place.dir.join("recovery.json").display().to_string();
    let foreign = ["policy", "reseal", root, "--recovery", &other, "--passphrase-file", pass];
    check(
        place,
        &foreign,
        expect![[r#"
        error: WORLD/recovery.json holds the key of dataset 0x.. [LIC0401]
          because: this is 0x.. on chain 31337

        hint: licen search shows every dataset's uid with --json
        exit 1
    "#]],
    );
    let good = ["policy", "reseal", root, "--recovery", "a.key", "--passphrase-file", pass];
    golden(
        place,
        &place.licen(&good),
        expect![[r#"
        error: the dataset belongs to 0x.., the wallet is 0x.. [LIC0203]

        hint: --wallet FILE with the owner's key
        exit 1
    "#]],
    );
    // Without a yes nothing is given to anybody.
    check(
        place,
        &good,
        expect![[r#"
            warning: attestation is simulated (level SOFTWARE): compute is not confidential
            error: not resealed [LIC0106]

            hint: --yes confirms it in a script
            exit 2
        "#]],
    );
    reseal(
        place,
        root,
        pass,
        expect![[r#"
            set 0x.. version 2
            warning: attestation is simulated (level SOFTWARE): compute is not confidential
              Version 2 holds for new requests; running jobs keep theirs
              Sealed to 5 custodians, 3 needed
            exit 0
        "#]],
    );
}

/// Hardware from now on: the simulated compute of this world is refused before anybody pays. And back.
fn attested(place: &Place, root: &str, pass: &str) {
    let policy = format!("{}/../../policies/tdx-sample.toml", env!("CARGO_MANIFEST_DIR"));
    let made = place.owner(&["custodian", "appraisal", "--policy", &policy, "--out", "tdx.json"]);
    let reseal = ["--yes", "policy", "reseal", root, "--recovery", "a.key", "--passphrase-file", pass];
    let demand = ["--level", "hardware", "--appraisal-policy", made.out.trim()];
    check(
        place,
        &[&reseal[..], &demand].concat(),
        expect![[r#"
        set 0x.. version 2
          Version 3 holds for new requests; running jobs keep theirs
          Sealed to 5 custodians, 3 needed
        exit 0
    "#]],
    );
    let request = ["--yes", "request", root, "--epochs", "1", "--base", "tiny"];
    golden(
        place,
        &place.licen(&request),
        expect![[r#"
        error: the owner demands hardware attestation, the compute of this node is simulated [LIC0213]

        hint: licen search for a dataset of level SOFTWARE, or --node URL with hardware compute
        exit 1
    "#]],
    );
    let back = ["--level", "software", "--appraisal-policy", &place.setting("appraisal_policy")];
    assert_eq!(place.owner(&[&reseal[..], &back].concat()).exit, 0);
}

fn reseal(place: &Place, root: &str, pass: &str, expected: Expect) {
    check(
        place,
        &["--yes", "policy", "reseal", root, "--recovery", "a.key", "--passphrase-file", pass],
        expected,
    );
}

fn new_key(place: &Place, set: &str, mut recipients: [&str; 5]) {
    let base = place.dir.join("renewed").display().to_string();
    assert_eq!(place.licen(&["key", "new", "custodian", "--out", &base]).exit, 0);
    rewrite(place, |line| match line.strip_prefix("recipientKeyFile = ") {
        Some(old) => format!("recipientKeyFile = \"{base}.recipient\"\nformerRecipientKeyFiles = [{old}]"),
        None => line.to_owned(),
    });
    place.end("custodian1");
    place.custodian("custodian1");
    recipients[0] = "renewed.recipient";
    let renewed = members(place, recipients);
    let mut update = vec!["custodian", "update", set, "--threshold", "3"];
    renewed.iter().for_each(|member| update.extend(["--member", member.as_str()]));
    assert_eq!(place.licen_as("deployer", &update).exit, 0);
}

fn rewrite(place: &Place, change: impl Fn(&str) -> String) {
    let config = place.dir.join("custodian1.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let lines: Vec<String> = text.lines().map(change).collect();
    std::fs::write(config, lines.join("\n")).unwrap();
}

/// The creator of a set puts keys of its own beside the addresses of the others.
fn swapped_keys(place: &Place, set: &str, root: &str, pass: &str) {
    let own = members(place, ["renewed.recipient"; 5]);
    let mut update = vec!["custodian", "update", set, "--threshold", "1"];
    update.extend(["--member", own[1].as_str()]);
    assert_eq!(place.licen_as("deployer", &update).exit, 0);
    reseal(
        place,
        root,
        pass,
        expect![[r#"
        error: 1 of 1 custodians do not confirm the keys that their set names [LIC0701]
          because: 0x..: its key is 0x.., the set names 0x..

        hint: 1 of these keys open the dataset: seal to a set whose custodians answer for them
        exit 1
    "#]],
    );
}

/// A custodian says on chain where its log stands; an audit sees when the log is another one.
fn anchors(place: &Place, set: &str, job: &str) {
    let config = place.dir.join("custodian2.toml").display().to_string();
    let anchor = ["custodian", "anchor", "--config", &config, "--set", set];
    // What gas costs and how long the log is differ from run to run.
    let poor = place.licen(&anchor);
    assert!(poor.exit == 1 && poor.err.contains("[LIC0304]"), "{}", poor.err);
    place.fund(&members(place, ["custodian2.recipient"; 5])[1][..42]);
    let sent = place.licen(&anchor);
    assert!(sent.exit == 0 && sent.out.contains(" 0x"), "{}{}", sent.out, sent.err);
    let foreign = ["custodian", "anchor", "--config", &config, "--set", job];
    check(
        place,
        &foreign,
        expect![[r#"
        error: the contract refuses: custodian set 0x.. has no version 1 [LIC0303]
        exit 1
    "#]],
    );
    let lines =
        |said: &str| said.lines().filter(|l| l.contains("custodian log")).map(portless).collect::<String>();
    let audit = place.licen(&["audit", job]);
    assert_eq!(audit.exit, 0, "{}{}", audit.out, audit.err);
    assert!(lines(&audit.out).starts_with("ok "), "{}", audit.out);
    // Its operator puts an empty log in the place of the old one.
    place.end("custodian2");
    let state = place.dir.join("custodian2-state");
    std::fs::rename(&state, place.path("old-state")).unwrap();
    place.custodian("custodian2");
    let audit = place.licen(&["audit", job]);
    assert_eq!(audit.exit, 1, "{}{}", audit.out, audit.err);
    assert!(lines(&audit.out).contains("the log ends before record"), "{}", audit.out);
    place.end_started("custodian2");
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::rename(place.path("old-state"), &state).unwrap();
    place.custodian("custodian2");
}

/// An old key goes only when nothing needs it.
fn old_keys(place: &Place) {
    let (config, key) = (place.dir.join("custodian1.toml"), place.dir.join("custodian1.recipient"));
    let (config, key) = (config.display().to_string(), key.display().to_string());
    let erase = ["--yes", "custodian", "erase", "--config", &config, "--key", &key];
    check(
        place,
        &erase,
        expect![[r#"
        error: the key was not destroyed [LIC0701]
          because: another process uses WORLD/custodian1-state; a custodian has to be stopped first

        hint: stop the custodian, erase, start it again without the key
        exit 2
    "#]],
    );
    place.end_started("custodian1");
    check(
        place,
        &erase,
        expect![[r#"
        error: WORLD/custodian1.recipient was not destroyed [LIC0702]
          because: key 0x.. is needed: the configuration names it as WORLD/custodian1.recipient

        hint: licen explain LIC0702 says how each use ends
        exit 1
    "#]],
    );
    rewrite(place, |line| match line.starts_with("formerRecipientKeyFiles") {
        true => String::new(),
        false => line.to_owned(),
    });
    check(
        place,
        &erase,
        expect![[r#"
        error: WORLD/custodian1.recipient was not destroyed [LIC0702]
          because: key 0x.. is needed: dataset 0x.. is sealed to it under a live policy

        hint: licen explain LIC0702 says how each use ends
        exit 1
    "#]],
    );
    place.custodian("custodian1");
}

/// What a stranger may do to a stored dataset: its root says nothing about zeros behind it.
fn padded(place: &Place, root: &str) {
    let stored = place.stored(root);
    let mut bytes = std::fs::read(&stored).unwrap();
    bytes.extend([0; 20]);
    std::fs::write(place.path("padded.bin"), bytes).unwrap();
    let put = place.licen(&["storage", "put", "padded.bin"]);
    assert_eq!((put.exit, put.out.trim()), (0, root), "{}", put.err);
}

fn export(place: &Place, root: &str, pass: &str) {
    let shown = place.licen(&["--json", "show", root]);
    let shown: Value = serde_json::from_str(shown.out.lines().next().unwrap()).unwrap();
    padded(place, shown["datasetRoot"].as_str().unwrap_or_else(|| panic!("{shown}")));
    let export = ["export", root, "--recovery", "a.key", "--passphrase-file", pass, "--out", "again.jsonl"];
    check(
        place,
        &export,
        expect![[r#"
        again.jsonl
          1862 bytes of rows, as they were published
        exit 0
    "#]],
    );
    let rows = |name| std::fs::read(place.path(name)).unwrap();
    assert!(rows("again.jsonl") == rows("sparrows.jsonl"), "the rows are not what was published");
    check(
        place,
        &export,
        expect![[r#"
        error: again.jsonl exists already [LIC0103]

        hint: --out with another file: nothing is overwritten
        exit 2
    "#]],
    );
}

fn retire(place: &Place, root: &str) {
    golden(
        place,
        &place.licen(&["--yes", "retire", root]),
        expect![[r#"
        error: the dataset belongs to 0x.., the wallet is 0x.. [LIC0203]

        hint: --wallet FILE with the owner's key
        exit 1
    "#]],
    );
    check(
        place,
        &["retire", root],
        expect![[r#"
        error: not retired [LIC0106]

        hint: --yes confirms it in a script
        exit 2
    "#]],
    );
    let audit = ["audit", "--dataset", root];
    check(
        place,
        &audit,
        expect![[r#"
            ok      policy on chain        version 5
            ok      dataset uid            computed from owner and salt: 0x..
            ok      set 0x.. v1   0 of 1 refuse, 0 of 1 destroyed the key, 1 needed: its shares can be released
            ok      set 0x.. v2   0 of 5 refuse, 0 of 5 destroyed the key, 3 needed: its shares can be released
            ok      set 0x.. v3   0 of 5 refuse, 0 of 5 destroyed the key, 3 needed: its shares can be released
            warning: 0x..: http://127.0.0.1:PORT does not answer
            warning: 0x..: http://127.0.0.1:PORT does not answer
            warning: 0x..: http://127.0.0.1:PORT does not answer
            warning: 0x..: http://127.0.0.1:PORT does not answer
              5 checks, all hold
            exit 0
        "#]],
    );
    check(
        place,
        &["--yes", "retire", root],
        expect![[r#"
            0x.. refuses since TIME
            0x.. refuses since TIME
            0x.. refuses since TIME
              Paused: new requests are refused, running jobs go on
            warning: 0x..: http://127.0.0.1:PORT does not answer
            warning: 0x..: http://127.0.0.1:PORT does not answer
            warning: 2 did not refuse: licen retire 0x.. asks them again
              Retired: too few are left who would release it. Their keys are not destroyed yet
            exit 0
        "#]],
    );
    check(
        place,
        &audit,
        expect![[r#"
            ok      policy on chain        version 5
            ok      dataset uid            computed from owner and salt: 0x..
            ok      refusal                0x.. since TIME
            ok      set 0x.. v1   1 of 1 refuse, 0 of 1 destroyed the key, 1 needed: too few are left who would release a share
            ok      refusal                0x.. since TIME
            ok      refusal                0x.. since TIME
            ok      refusal                0x.. since TIME
            ok      set 0x.. v2   3 of 5 refuse, 0 of 5 destroyed the key, 3 needed: too few are left who would release a share
            ok      refusal                0x.. since TIME
            ok      refusal                0x.. since TIME
            ok      refusal                0x.. since TIME
            ok      set 0x.. v3   3 of 5 refuse, 0 of 5 destroyed the key, 3 needed: too few are left who would release a share
            warning: 0x..: http://127.0.0.1:PORT does not answer
            warning: 0x..: http://127.0.0.1:PORT does not answer
            warning: 0x..: http://127.0.0.1:PORT does not answer
            warning: 0x..: http://127.0.0.1:PORT does not answer
              12 checks, all hold
            exit 0
        "#]],
    );
    check(
        place,
        &["show", root],
        expect![[r#"
            dataset       0x..
            owner         0x..
            contract      0x..
            name          Sparrows
            rows          48 (1862 bytes)
            price         0.01 coins per epoch
            compute       0.001 per epoch of any base model, provider 0x..
                          0 for jobs that name no provider
            caps          5 epochs per run, 3 runs per requester
            purposes      research
            training      any base model
            access lasts  1800 s to start, then 21600 s to run
            requests      refused: the owner has paused the dataset
            access        open
            custodians    3 of 5 release a key
            attestation   SOFTWARE (simulated, not confidential)
            warning: attestation is simulated (level SOFTWARE): compute is not confidential
            exit 0
        "#]],
    );
}
