//! Golden transcripts that need a world: one world, one test, since a world is six processes and a
//! training run. The parts run in the order that lets later ones break what earlier ones need.

#![expect(unreachable_pub, reason = "a test has no outside: pub marks what other files of it use")]

mod access;
mod appraisal;
mod deployments;
mod liar;
mod links;
mod payees;
mod place;
mod providers;
mod refusals;
mod restart;
mod rows;
mod stages;
mod tokens;

use expect_test::{Expect, expect};

use place::{Place, Said};

/// Checks a transcript.
pub fn golden(place: &Place, said: &Said, expected: Expect) {
    expected.assert_eq(&place.transcript(said));
}

/// Transcripts about one thing.
type Part = fn(&Place);

#[test]
fn transcripts_of_one_world() {
    let place = Place::start();
    let parts: [(&str, Part); 18] = [
        ("rows that are none", rows::bad_rows),
        ("policies that are none", rows::bad_policies),
        ("keys", keys),
        ("requests refused", refusals::refused),
        ("requests of a followed job", refusals::followed),
        ("new terms of a dataset", refusals::updated),
        ("looking", looking),
        ("appraisal policies", appraisal::policies),
        ("the audit", audit),
        ("the first broken link", links::broken),
        ("an audit thirty years later", links::later),
        ("a lying node", lying_node),
        ("a full disk", full_disk),
        ("a lost result key", lost_key),
        ("other chains", other_chains),
        ("compute is gone", compute_is_gone),
        ("custodians are gone", custodians_are_gone),
        ("the node is gone", node_is_gone),
    ];
    for (name, part) in parts {
        let began = std::time::Instant::now();
        part(&place);
        eprintln!("{name}: {:.1} s", began.elapsed().as_secs_f64());
    }
}

fn keys(place: &Place) {
    golden(
        place,
        &place.licen(&["--wallet", "nowhere", "withdraw"]),
        expect![[r#"
        error: no wallet key at nowhere [LIC0104]
          because: wallet file nowhere: No such file or directory (os error 2)

        hint: licen key new wallet --out nowhere
        exit 2
    "#]],
    );
    assert_eq!(place.licen(&["key", "new", "result", "--out", "result.key"]).exit, 0);
    golden(
        place,
        &place.licen(&["--wallet", "result.key", "withdraw"]),
        expect![[r#"
        error: key file result.key was refused [LIC0104]
          because: wallet file result.key: it is not a wallet key file

        hint: a key of kind wallet is needed: licen key new wallet --out FILE
        exit 2
    "#]],
    );
    let open = place.dir.join("reference.json").display().to_string();
    golden(
        place,
        &place.licen(&["--wallet", &open, "withdraw"]),
        expect![[r#"
        error: key file WORLD/reference.json was refused [LIC0104]
          because: wallet file WORLD/reference.json: others may read it; run chmod 600 on it

        hint: chmod 600 WORLD/reference.json
        exit 2
    "#]],
    );
    golden(
        place,
        &place.licen(&["policy", "pause", &place.root]),
        expect![[r#"
        error: the dataset belongs to 0x.., the wallet is 0x.. [LIC0203]

        hint: --wallet FILE with the owner's key
        exit 1
    "#]],
    );
    golden(
        place,
        &place.owner(&["cancel", &place.job]),
        expect![[r#"
        error: the job is already Completed [LIC0211]

        hint: licen jobs show 0x.. says where its escrow went
        exit 1
    "#]],
    );
    golden(
        place,
        &place.owner(&["fetch", &place.job, "--out", "a", "--new-result-key"]),
        expect![[r#"
        error: the job is 0x..'s, the wallet is 0x.. [LIC0211]

        hint: --wallet FILE with the requester's key
        exit 1
    "#]],
    );
    golden(
        place,
        &place.licen(&["withdraw"]),
        expect![[r#"
        error: 0x.. has nothing to withdraw [LIC0304]

        hint: licen earnings shows an account; --wallet FILE or --account ADDRESS chooses another
        exit 1
    "#]],
    );
}

fn looking(place: &Place) {
    golden(
        place,
        &place.licen(&["show", "0xab"]),
        expect![[r#"
        error: "0xab" is not a root or uid or its first 4 or more digits [LIC0101]

        hint: licen search
        exit 2
    "#]],
    );
    golden(
        place,
        &place.licen(&["show", "0x0123456789"]),
        expect![[r#"
        error: no dataset begins with 0x.. [LIC0209]

        hint: licen search
        exit 1
    "#]],
    );
    golden(
        place,
        &place.licen(&["search", "nothing of this name"]),
        expect![[r#"
          no dataset matches; licen search without words lists all
        exit 0
    "#]],
    );
    golden(
        place,
        &place.licen(&["jobs", "show", &place.job]),
        expect![[r#"
            job           0x..
            dataset       0x..
            requester     0x..
            state         Completed
            asked         1 epoch
            trained       1 epoch
            provider      0x..
            escrow        0.011
            royalty       0.01
            compute fee   0.001
            refund        0
            result        0x..
            adapter       0x..
            measured      loss N -> N, rows 48 text (5 held out), N compute seconds
            next          licen fetch 0x.. --out adapter
            exit 0
        "#]],
    );
    // The short form that listings print names the same job.
    let short = format!("{}…{}", &place.job[..8], &place.job[62..]);
    assert_eq!(place.licen(&["jobs", "show", &short]).out, place.licen(&["jobs", "show", &place.job]).out);
    assert!(place.licen(&["jobs"]).out.contains(&short));
    golden(
        place,
        &place.licen(&["jobs", "stop", &place.job]),
        expect![[r#"
        error: the job is Completed, only a Running job can be stopped [LIC0211]

        hint: licen jobs show 0x..
        exit 1
    "#]],
    );
    golden(
        place,
        &place.licen(&["fetch", &place.job, "--out", "."]),
        expect![[r#"
        error: . exists already [LIC0103]

        hint: --out with a new directory
        exit 2
    "#]],
    );
    let withdrawn = place.owner(&["withdraw", "--json"]);
    assert_eq!(withdrawn.exit, 0, "{}", withdrawn.err);
    let record: serde_json::Value = serde_json::from_str(&withdrawn.out).unwrap();
    // 0.01 of the demo's epoch and 0.001 of the followed job's, less 2.5 % protocol fee each.
    assert_eq!(record["amount"], "10725000000000000");
}

fn audit(place: &Place) {
    golden(
        place,
        &place.licen(&["audit", &place.job[..10]]),
        expect![[r#"
            ok      job on chain           Completed with this preimage
            ok      policy                 the job pins this policy
            ok      policy kept            1 of at most 5, price and payee are the policy's
            ok      dataset uid            computed from owner and salt: 0x..
            ok      policy manifest        N bytes hash to 0x..
            ok      rows and preview       48 rows, preview proven
            ok      offer                  in words it is what the policy enforces
            ok      payees                 0x.. is paid directly
            ok      terms                  N bytes hash to 0x..
            ok      terms agreed to        the manifest names this text
            ok      envelope               N bytes hash to 0x..
            ok      envelope terms         sealed to the 3 keys in Custody, 2 needed, bound to this dataset
            ok      constraints            N bytes hash to 0x..
            ok      job specification      N bytes hash to 0x..
            ok      constraints kept       the job is inside the owner's constraints
            ok      base model trained     the manifest names the base model that was asked for
            ok      base model             N bytes hash to 0x..
            ok      dataset ciphertext     N bytes hash to 0x..
            ok      result manifest        signed by the attested key 0x..
            ok      manifest fields        1 epochs, 43 samples, N text tokens trained, N compute seconds
            ok      money                  0.011 paid in = 0.01 royalty (0.00025 of it protocol fee) + 0 refund + 0.001 compute
            ok      evidence bundle        N bytes hash to 0x..
            ok      runtime data           its hash is the one on chain
            ok      runtime data fields    bound to this job
            ok      recorded at            TIME, the job started at TIME
            ok      verdicts               2 of 3 custodians, 2 needed
            ok      appraisal policy       the policy's appraisal policy held them when the job started
            ok      reference values       N bytes hash to 0x..
            ok      evidence               appraised at its time TIME: level 1
            ok      job report             N bytes hash to 0x..
            ok      report fields          loss N -> N, rows 48 text (5 held out), N compute seconds
            ok      result blob            N bytes hash to 0x.., key shared to the job's custodians, 2 needed
              32 checks, all hold
            exit 0
        "#]],
    );
    let checks = place.licen(&["audit", &place.job, "--json"]);
    let ok = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["ok"] == true;
    assert!(checks.out.lines().count() >= 20 && checks.out.lines().all(ok), "{}", checks.out);
    for (root, check) in [
        (&place.evidence, "evidence bundle"),
        (&place.result, "result blob"),
        (&place.root, "dataset ciphertext"),
    ] {
        let file = place.stored(root);
        let whole = std::fs::read(&file).unwrap();
        let mut broken = whole.clone();
        broken[whole.len() / 2] ^= 1;
        std::fs::write(&file, &broken).unwrap();
        let said = place.licen(&["audit", &place.job]);
        std::fs::write(&file, &whole).unwrap();
        assert_eq!(said.exit, 1, "{}", said.out);
        assert_eq!(
            said.err.lines().next().unwrap(),
            format!("error: the audit failed, first at: {check} [LIC0903]")
        );
        let failed: Vec<&str> = said.out.lines().filter(|l| l.starts_with("FAILED")).collect();
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert!(failed[0].contains(check), "{failed:?}");
    }
    assert_eq!(place.licen(&["audit", &place.job]).exit, 0, "the blobs are whole again");
}

fn lying_node(place: &Place) {
    let liar = liar::start(&place.setting("node"), &place.result);
    let said = place.licen(&["--node", &liar, "audit", &place.job]);
    assert!(said.err.contains("first at: result blob"), "{}{}", said.out, said.err);
    let said = place.licen(&["--node", &liar, "fetch", &place.job, "--out", "lied"]);
    assert_eq!(said.exit, 1, "{}", said.err);
    assert!(
        said.err.contains("served bytes with the file root") && said.err.contains("[LIC0613]"),
        "{}",
        said.err
    );
    assert!(!place.path("lied").exists());
    let liar = liar::start_naming_another_result(&place.setting("node"));
    let said = place.licen(&["--node", &liar, "jobs", "show", &place.job, "--json"]);
    assert!(said.out.contains(&"7".repeat(64)), "the lie is told: {}", said.out);
    let said = place.licen(&["--node", &liar, "fetch", &place.job, "--out", "true"]);
    assert_eq!(said.exit, 0, "the chain names the result, not the node: {}", said.err);
    let liar = liar::start(&place.setting("node"), &place.evidence);
    let said = place.licen(&["--node", &liar, "audit", &place.job]);
    assert!(said.err.contains("first at: evidence bundle"), "{}{}", said.out, said.err);
}

fn full_disk(place: &Place) {
    let before = names(&place.dir.join("state-researcher"));
    let said = place.licen_on_full_disk(2, &["fetch", &place.job, "--out", "full"]);
    assert_eq!(said.exit, 2, "{}", said.err);
    assert!(said.err.contains("[LIC0610]"), "{}", said.err);
    assert!(!place.path("full").exists());
    assert_eq!(names(&place.dir.join("state-researcher")), before, "nothing half-written is left");
    let rows = "{\"text\": \"a row that goes on and on\"}\n".repeat(2_000);
    place.write("large.jsonl", rows);
    let owner = place.dir.join("owner.key").display().to_string();
    let args =
        ["--wallet", &owner, "publish", "large.jsonl", "--name", "Large", "--royalty", "1", "--purpose", "p"];
    let recovery = ["--recovery", "large.recovery", "--passphrase-file", "pass"];
    let said = place.licen_on_full_disk(60, &[&args[..], &recovery].concat());
    golden(
        place,
        &said,
        expect![[r#"
        warning: attestation is simulated (level SOFTWARE): compute is not confidential
        error: cannot write WORLD/state-researcher/publish-0x...bin [LIC0103]
          because: File too large (os error 27)

        hint: nothing was published; licen config tells where `state` is, it needs the size of the file
        exit 2
    "#]],
    );
    assert!(!place.path("large.recovery").exists());
    assert_eq!(names(&place.dir.join("state-researcher")), before, "nothing half-written is left");
    golden(
        place,
        &place.licen_on_full_disk(0, &["key", "new", "custodian", "--out", "c"]),
        expect![[r#"
        error: cannot write c.signing [LIC0104]
          because: File too large (os error 27)
        exit 2
    "#]],
    );
    assert!(!place.path("c.signing").exists() && !place.path("c.recipient").exists());
}

fn names(dir: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    // The owner's journal may appear; it is whole at all times.
    names.retain(|name| !name.starts_with("tx-"));
    names.sort();
    names
}

fn lost_key(place: &Place) {
    let keys = place.dir.join("state-researcher/result-keys");
    let away = place.path("lost");
    std::fs::rename(&keys, &away).unwrap();
    golden(
        place,
        &place.licen(&["fetch", &place.job, "--out", "adapter"]),
        expect![[r#"
        error: no result key of this job in WORLD/state-researcher/result-keys [LIC0104]

        hint: --result-key FILE where it is elsewhere; where it is lost: licen fetch 0x.. --out adapter --new-result-key
        exit 2
    "#]],
    );
    let elsewhere = ["fetch", &place.job, "--out", "adapter", "--result-key", "result.key"];
    let said = place.licen(&elsewhere);
    assert!(said.exit == 2 && said.err.contains("[LIC0701]"), "another key opens no share: {}", said.err);
    golden(
        place,
        &place.licen(&["fetch", &place.job, "--out", "adapter", "--new-result-key"]),
        expect![[r#"
            adapter
              3 of 3 custodians took the new result key
              N bytes, verified against the chain's resultHash
              2 of 3 custodians released their share
              6 files in adapter
            exit 0
        "#]],
    );
    assert!(place.path("adapter/adapter_model.safetensors").is_file());
    let again = place.licen(&["fetch", &place.job, "--out", "again"]);
    assert_eq!(again.exit, 0, "the new key is known from now on: {}", again.err);
}

fn other_chains(place: &Place) {
    let text = std::fs::read_to_string(place.dir.join("deployment.json")).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
    let changed = |field: &str, value: serde_json::Value| {
        let mut deployment = whole.clone();
        *deployment.pointer_mut(field).unwrap() = value;
        place.write("other.json", deployment.to_string());
        place.licen_with("LICEN_DEPLOYMENT", &place.path("other.json"), &["earnings"])
    };
    golden(
        place,
        &changed("/chainId", 1.into()),
        expect![[r#"
        error: the rpc is another chain than the deployment's [LIC0302]
          because: rpc RPC is another chain: expected chain 1 with genesis 0x.., found chain 31337 with genesis 0x..

        hint: licen config tells where `rpc` and `deployment` come from
        exit 2
    "#]],
    );
    golden(
        place,
        &changed("/genesisHash", format!("0x{}", "11".repeat(32)).into()),
        expect![[r#"
        error: the rpc is another chain than the deployment's [LIC0302]
          because: rpc RPC is another chain: expected chain 31337 with genesis 0x.., found chain 31337 with genesis 0x..

        hint: licen config tells where `rpc` and `deployment` come from
        exit 2
    "#]],
    );
    golden(
        place,
        &changed("/contracts/dataPolicies/0", format!("0x{}", "22".repeat(20)).into()),
        expect![[r#"
        error: the chain does not have the deployment's contracts [LIC0302]
          because: no contract at 0x..

        hint: licen config tells where `rpc` and `deployment` come from
        exit 2
    "#]],
    );
    let liar = liar::start_as(&place.setting("node"), "/v1/deployment");
    let said = place.licen(&["--node", &liar, "audit", &place.job]);
    assert!(said.exit == 2 && said.err.contains("serves another deployment [LIC0302]"), "{}", said.err);
    place.write("other.json", "{");
    let said = place.licen_with("LICEN_DEPLOYMENT", &place.path("other.json"), &["earnings"]);
    golden(
        place,
        &said,
        expect![[r#"
        error: the deployment file is not usable [LIC0102]
          because: HERE/other.json: EOF while parsing an object at line 1 column 1

        hint: licen config tells where `deployment` comes from
        exit 2
    "#]],
    );
    golden(
        place,
        &place.licen(&["--rpc", "http://127.0.0.1:9", "earnings"]),
        expect![[r#"
        error: the chain did not answer as expected [LIC0301]
          because: rpc http://127.0.0.1:9 does not answer: error sending request for url (http://127.0.0.1:9/)

        hint: check `rpc` in `licen config`, then try again
        exit 2
    "#]],
    );
}

fn compute_is_gone(place: &Place) {
    place.end("compute");
    let said = place.licen(&["request", &place.root, "--epochs", "1", "--yes"]);
    golden(
        place,
        &said,
        expect![[r#"
            0x..
            warning: compute does not answer now: if it stays away for 1800 s everything comes back (licen cancel)
              dataset 0x.. of 0x..
              base model tiny is 0x..
              1 epoch x 0.01 = 0.01 escrow; what is not trained comes back
              starts within 1800 s and runs at most 21600 s, else everything comes back (licen cancel)
            warning: attestation is simulated (level SOFTWARE): compute is not confidential
              Escrowed 0.01, job 0x.. Granted
            exit 0
        "#]],
    );
    let job = said.out.trim().to_string();
    let next = place.licen(&["jobs", "show", &job]).out;
    assert!(next.contains("state         Granted") && next.contains("or licen cancel"), "{next}");
    golden(
        place,
        &place.owner(&["cancel", &job]),
        expect![[r#"
        error: the contract refuses: 0x.. may not do this, only 0x.. [LIC0303]

        hint: sign with the wallet of 0x..: --wallet FILE
        exit 1
    "#]],
    );
    golden(
        place,
        &place.licen(&["cancel", &job]),
        expect![[r#"
        job 0x.. Cancelled
          job Cancelled: the escrow of 0.01 is refunded
        exit 0
    "#]],
    );
    golden(
        place,
        &place.licen(&["cancel", &job[..12]]),
        expect![[r#"
        error: the job is already Cancelled [LIC0211]

        hint: licen jobs show 0x.. says where its escrow went
        exit 1
    "#]],
    );
    killed_request(place, &job);
    let checked = place.licen(&["audit", &job]);
    assert!(checked.exit == 0 && checked.out.contains("0.01 paid in, 0.01 refunded"), "{}", checked.out);
}

/// A request that died while its escrow was on the way is paid once, and never behind one's back.
fn killed_request(place: &Place, ended: &str) {
    let jobs = || place.licen(&["jobs", "--all"]).out.lines().count();
    let before = jobs();
    let ask = ["request", &place.root, "--epochs", "2", "--yes"];
    place.killed_while_sending(&ask);
    let deployer = std::fs::read(place.dir.join("deployer.key")).unwrap();
    let deployer: serde_json::Value = serde_json::from_slice(&deployer).unwrap();
    // The protocol fee is the deployer's.
    let withdraw = ["withdraw", "--account", deployer["address"].as_str().unwrap()];
    golden(
        place,
        &place.licen(&withdraw),
        expect![[r#"
              Withdrawing 0.000275 to 0x..
            warning: an earlier transaction is still open and goes first: it pays 0.02 (request:0x..:0x..:2:0x..)
            error: not confirmed, nothing was sent [LIC0106]

            hint: the command that began it finishes it; --yes here sends both
            exit 1
        "#]],
    );
    let said = place.licen(&ask);
    golden(
        place,
        &said,
        expect![[r#"
        0x..
        warning: an earlier request of this dataset was sent and its job never told: this is it
          Escrowed 0.02, job 0x.. Granted
          run the command again for another one
        exit 0
    "#]],
    );
    assert_eq!(jobs(), before + 1, "one request, one job");
    let job = said.out.trim().to_string();
    assert_ne!(job, ended);
    assert_eq!(place.licen(&["cancel", &job]).exit, 0);
}

fn custodians_are_gone(place: &Place) {
    place.end("custodian1");
    let said = place.licen(&["fetch", &place.job, "--out", "one-down"]);
    assert!(said.exit == 0 && said.err.contains("does not answer"), "2 of 3 are enough: {}", said.err);
    place.end("custodian2");
    let said = place.licen(&["fetch", &place.job, "--out", "two-down"]);
    assert!(
        said.exit == 2 && said.err.contains("error: 1 of 2 custodians needed gave their share [LIC0701]")
    );
    assert!(!place.path("two-down").exists());
    let said = place.licen(&["request", &place.root, "--epochs", "1"]);
    assert!(said.err.contains("warning: 1 of 3 custodians answer, 2 are needed"), "{}", said.err);
    assert_eq!(place.licen(&["audit", &place.job]).exit, 0, "an audit needs no custodian");
}

fn node_is_gone(place: &Place) {
    place.end("node");
    golden(
        place,
        &place.licen(&["search"]),
        expect![[r#"
        error: the node at NODE does not answer [LIC0901]
          because: cannot connect
          because: Connection refused (os error 111)

        hint: licen run node, or set `node` in licen.toml
        exit 2
    "#]],
    );
    let args = ["publish", "sparrows.jsonl", "--name", "S", "--royalty", "1", "--purpose", "p"];
    let said = place.owner(&args);
    golden(
        place,
        &said,
        expect![[r#"
            error: the node at NODE does not answer [LIC0901]
              because: cannot connect
              because: Connection refused (os error 111)

            hint: licen run node, or set `node` in licen.toml
            exit 2
        "#]],
    );
    let left = names(&place.dir.join("state-researcher"));
    assert!(left.iter().all(|name| !name.starts_with("publish-")), "{left:?}");
}
