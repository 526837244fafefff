//! What `request` refuses, each rule with the command that would pass; nothing is paid.

use expect_test::expect;

use crate::golden;
use crate::place::Place;
use crate::rows;

/// Publishes the sparrows under these terms; gives the root.
fn publish(place: &Place, name: &str, more: &[&str]) -> String {
    let first = ["publish", "sparrows.jsonl", "--name", name, "--royalty", "0.001", "--purpose", "research"];
    let said = place.owner(&[&first[..], more].concat());
    assert_eq!(said.exit, 0, "{}", said.err);
    said.out.trim().to_string()
}

pub fn refused(place: &Place) {
    let ask = |more: &[&str]| place.licen(&[&["request", &place.root, "--yes"][..], more].concat());
    let jobs = place.licen(&["jobs", "--all"]).out;
    golden(
        place,
        &ask(&["--epochs", "9"]),
        expect![[r#"
        error: policy refuses the request: 9 epochs asked, at most 5 per run [LIC0207]

        hint: licen request 0x.. --epochs 5
        exit 1
    "#]],
    );
    golden(
        place,
        &ask(&["--epochs", "0", "--follow"]),
        expect![[r#"
        error: policy refuses the request: 0 epochs asked, at least 1 is needed [LIC0207]

        hint: licen request 0x.. --epochs 1 --follow
        exit 1
    "#]],
    );
    golden(
        place,
        &ask(&["--epochs", "1", "--purpose", "advertising"]),
        expect![[r#"
        error: policy refuses the request: purpose advertising asked, the owner allows medical-research [LIC0207]

        hint: licen request 0x.. --epochs 1 --purpose medical-research
        exit 1
    "#]],
    );
    golden(
        place,
        &ask(&["--epochs", "1", "--base", "large"]),
        expect![[r#"
        error: no base model is called "large" [LIC0212]
          because: this node has tiny

        hint: licen request 0x.. --epochs 1
        exit 1
    "#]],
    );
    golden(
        place,
        &ask(&["--epochs", "1", "--eval-fraction", "1"]),
        expect![[r#"
        error: --eval-fraction 1 is not between 0 and 0.9 [LIC0101]

        hint: --eval-fraction 0.1
        exit 2
    "#]],
    );
    for (name, content) in [
        ("rank.json", "{\"lora_r\": 64}"),
        ("name.json", "{\"lora_rr\": 8}"),
        ("kind.json", "{\"learning_rate\": \"fast\"}"),
        ("list.json", "[8]"),
        ("cut.json", "{"),
        ("twice.json", "{\"num_train_epochs\": 7}"),
    ] {
        place.write(name, content);
    }
    let with = |config: &str| ask(&["--epochs", "1", "--config", config]);
    golden(
        place,
        &with("rank.json"),
        expect![[r#"
        error: the owner's constraints refuse the job: LoRA rank 64 asked, at most 16 allowed [LIC0208]

        hint: set "lora_r": 16 in rank.json
        exit 1
    "#]],
    );
    golden(
        place,
        &with("name.json"),
        expect![[r#"
        error: unknown training setting `lora_rr`, is `lora_r` meant? [LIC0101]

        hint: correct name.json; licen-compute train --help lists every setting
        exit 2
    "#]],
    );
    golden(
        place,
        &with("kind.json"),
        expect![[r#"
        error: training setting `learning_rate` must be a number [LIC0101]

        hint: correct kind.json; licen-compute train --help lists every setting
        exit 2
    "#]],
    );
    golden(
        place,
        &with("list.json"),
        expect![[r#"
        error: list.json is not a JSON object [LIC0101]

        hint: one JSON object, for example {"lora_r": 8, "learning_rate": 0.0002}
        exit 2
    "#]],
    );
    golden(
        place,
        &with("cut.json"),
        expect![[r#"
        error: cut.json is not JSON [LIC0101]
          because: EOF while parsing an object at line 1 column 1

        hint: one JSON object, for example {"lora_r": 8, "learning_rate": 0.0002}
        exit 2
    "#]],
    );
    golden(
        place,
        &with("twice.json"),
        expect![[r#"
        error: num_train_epochs in --config is not what --epochs 1 pays for [LIC0101]

        hint: leave num_train_epochs out
        exit 2
    "#]],
    );
    golden(
        place,
        &with("nowhere.json"),
        expect![[r#"
        error: cannot read nowhere.json [LIC0103]
          because: No such file or directory (os error 2)
        exit 2
    "#]],
    );
    place.licen(&["key", "new", "wallet", "--out", "poor.key"]);
    golden(
        place,
        &ask(&["--epochs", "1", "--wallet", "poor.key"]),
        expect![[r#"
        error: the wallet 0x.. has 0, the escrow is 0.01 [LIC0304]

        hint: send coins to 0x.., then run the same command again
        exit 1
    "#]],
    );
    golden(
        place,
        &place.licen(&["request", &place.root, "--epochs", "1"]),
        expect![[r#"
              dataset 0x.. of 0x..
              base model tiny is 0x..
              1 epoch x 0.01 = 0.01 escrow; what is not trained comes back
              starts within 1800 s and runs at most 21600 s, else everything comes back (licen cancel)
              expected training time at most N s on this node
            warning: attestation is simulated (level SOFTWARE): compute is not confidential
            error: not confirmed, nothing was paid [LIC0106]

            hint: licen request 0x.. --epochs 1 --yes
            exit 1
        "#]],
    );
    golden(
        place,
        &place.licen(&["request", "0x0123456789", "--epochs", "1"]),
        expect![[r#"
        error: no dataset begins with 0x.. [LIC0209]

        hint: licen search
        exit 1
    "#]],
    );
    of_other_datasets(place);
    assert_eq!(place.licen(&["jobs", "--all"]).out, jobs, "no job was opened");
}

fn of_other_datasets(place: &Place) {
    let ask = |root: &str, more: &[&str]| {
        place.licen(&[&["request", root, "--epochs", "1", "--yes"][..], more].concat())
    };
    let hardware = publish(place, "Hardware", &["--level", "hardware"]);
    golden(
        place,
        &ask(&hardware, &[]),
        expect![[r#"
        error: the owner demands hardware attestation, the compute of this node is simulated [LIC0213]

        hint: licen search for a dataset of level SOFTWARE, or --node URL with hardware compute
        exit 1
    "#]],
    );
    let model = format!("0x{}", "11".repeat(32));
    let strict = publish(place, "Strict", &["--base-model", &model, "--max-steps", "5"]);
    golden(
        place,
        &ask(&strict, &[]),
        expect![[r#"
        error: the owner's constraints refuse the job: base model 0x.. is not among those the owner allows [LIC0208]

        hint: licen show 0x.. lists what is allowed; this node has none of it
        exit 1
    "#]],
    );
    golden(
        place,
        &place.licen(&["show", &strict]),
        expect![[r#"
            dataset       0x..
            owner         0x..
            contract      0x..
            name          Strict
            rows          48 (1862 bytes)
            price         0.001 coins per epoch
            compute       0.001 per epoch of any base model, provider 0x..
                          0 for jobs that name no provider
            caps          5 epochs per run, 3 runs per requester
            purposes      research
            training      at most 5 steps, base models 0x..
            access lasts  1800 s to start, then 21600 s to run
            requests      taken
            access        open
            custodians    2 of 3 release a key
            attestation   SOFTWARE (simulated, not confidential)
            warning: attestation is simulated (level SOFTWARE): compute is not confidential
            exit 0
        "#]],
    );
    let soon = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 9;
    let ending = publish(place, "Ending", &["--expires", &soon.to_string(), "--max-steps", "5"]);
    place.write("steps.json", "{\"max_steps\": 50}");
    golden(
        place,
        &ask(&ending, &["--config", "steps.json"]),
        expect![[r#"
        error: the owner's constraints refuse the job: 50 steps asked, at most 5 allowed [LIC0208]

        hint: set "max_steps": 5 in steps.json
        exit 1
    "#]],
    );
    assert_eq!(place.owner(&["policy", "pause", &place.root]).exit, 0);
    golden(
        place,
        &ask(&place.root, &[]),
        expect![[r#"
        error: policy refuses the request: the owner has paused this dataset [LIC0207]

        hint: licen show 0x.. tells when the owner takes requests again
        exit 1
    "#]],
    );
    golden(
        place,
        &place.owner(&["policy", "pause", &place.root]),
        expect![[r#"
          It was paused already
          Paused: new requests are refused, running jobs go on
        exit 0
    "#]],
    );
    golden(
        place,
        &place.owner(&["policy", "update", &place.root]),
        expect![[r#"
            error: nothing to change [LIC0101]

            hint: give --royalty, --max-epochs, --max-runs, --expires, --payee, --allow, --by-approval or --open
            exit 2
        "#]],
    );
    golden(
        place,
        &place.owner(&["policy", "resume", &place.root]),
        expect![[r#"
          Resumed: new requests are taken again
        exit 0
    "#]],
    );
    while std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() < soon + 2 {
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    golden(
        place,
        &ask(&ending, &[]),
        expect![[r#"
        error: policy refuses the request: the policy expired at TIME (chain time TIME) [LIC0207]

        hint: the owner 0x.. can set a later end, or licen search for another dataset
        exit 1
    "#]],
    );
}

/// A job that completes, and then no run is left.
pub fn followed(place: &Place) {
    place.write_private("pass", "several words of a passphrase\n");
    let recovery = ["--recovery", "once.recovery", "--passphrase-file", "pass"];
    let root = publish(place, "Once", &[&["--max-runs", "1", "--preview", "1"][..], &recovery].concat());
    recovered(place);
    recovery_outlives_a_refusal(place);
    rows::shown_rows_verify_by_the_page_alone(place, &root);
    let ask = ["request", &root, "--epochs", "1", "--yes", "--follow", "--base", "tiny"];
    let said = place.licen(&ask);
    assert_eq!(said.exit, 0, "{}{}", said.out, said.err);
    let job = said.out.lines().next().unwrap().to_string();
    assert!(said.out.ends_with("Completed\n"), "{}", said.out);
    assert!(
        said.err.contains("Running\n") && said.err.contains("--out adapter decrypts the adapter\n"),
        "{}",
        said.err
    );
    let said = place.licen(&["fetch", &job, "--out", "once", "--json"]);
    assert_eq!(said.exit, 0, "{}", said.err);
    let record: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert!(record["files"].as_array().unwrap().iter().any(|f| f == "adapter_model.safetensors"));
    golden(
        place,
        &place.licen(&ask),
        expect![[r#"
        error: policy refuses the request: 1 runs used, at most 1 per requester [LIC0207]

        hint: licen jobs shows your runs; the owner 0x.. can raise the cap, or licen search for another dataset
        exit 1
    "#]],
    );
}

/// New terms: what a person reads, what the manifest offers and what the contract enforces agree.
pub fn updated(place: &Place) {
    let root = publish(place, "Cheaper", &[]);
    golden(
        place,
        &place.owner(&["policy", "update", &root, "--royalty", "0.0005", "--max-epochs", "2"]),
        expect![[r#"
              Version 2 holds for new requests; running jobs keep theirs
            exit 0
        "#]],
    );
    let shown = place.licen(&["show", &root]);
    assert_eq!(shown.exit, 0, "{}", shown.err);
    assert!(shown.out.contains("price         0.0005 coins per epoch\n"), "{}", shown.out);
    assert!(shown.out.contains("caps          2 epochs per run"), "{}", shown.out);
    // Nobody else updates it.
    golden(
        place,
        &place.licen(&["policy", "update", &root, "--royalty", "0.003"]),
        expect![[r#"
        error: the dataset belongs to 0x.., the wallet is 0x.. [LIC0203]

        hint: --wallet FILE with the owner's key
        exit 1
    "#]],
    );
}

/// The owner's way back to a dataset key: the file and the passphrase, and no other.
fn recovered(place: &Place) {
    use licen_seal::recovery::load_recovery;
    let file = place.path("once.recovery");
    assert!(load_recovery(&file, b"several words of a passphrase").is_ok());
    let refused = load_recovery(&file, b"several other words").err().unwrap();
    assert_eq!(refused.to_string(), "wrong passphrase, or the recovery file was changed");
}

/// A refused registration may still be mined: the only copy of its key makes room, and stays.
fn recovery_outlives_a_refusal(place: &Place) {
    assert_eq!(place.licen(&["key", "new", "wallet", "--out", "broke.key"]).exit, 0);
    let first = ["--wallet", "broke.key", "publish", "sparrows.jsonl", "--name", "Poor", "--royalty", "1"];
    let more = ["--purpose", "p", "--recovery", "poor.recovery", "--passphrase-file", "pass"];
    let said = place.licen(&[&first[..], &more].concat());
    assert_eq!(said.exit, 1, "{}", said.err);
    assert!(!place.path("poor.recovery").exists());
    let kept: Vec<_> = std::fs::read_dir(place.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.display().to_string().contains("poor.recovery.0x"))
        .collect();
    assert_eq!(kept.len(), 1, "{}", said.err);
    assert!(said.err.contains("keep it until you know"), "{}", said.err);
    assert!(licen_seal::recovery::load_recovery(&kept[0], b"several words of a passphrase").is_ok());
}
