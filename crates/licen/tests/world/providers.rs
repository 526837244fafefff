//! Providers of compute: registered, asked for a price, paid for what ran, and bound to a country.

use expect_test::expect;
use serde_json::Value;

use super::place::{Place, Said};
use super::{golden, liar};

fn record(said: &Said) -> Value {
    assert_eq!(said.exit, 0, "{}{}", said.out, said.err);
    said.out.lines().filter_map(|line| serde_json::from_str(line).ok()).next_back().unwrap()
}

fn published(place: &Place, country: &str) -> String {
    let args = ["--json", "publish", "sparrows.jsonl", "--name", "S", "--royalty", "0.01", "--purpose", "p"];
    record(&place.owner(&[&args[..], &["--jurisdiction", country]].concat()))["datasetUid"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_provider_of_a_country_trains_what_may_not_leave_it() {
    let place = Place::start();
    let provider = registry(&place);
    bound_elsewhere(&place);
    let uid = published(&place, "CH");
    let job = trains(&place, &uid, &provider);
    earned(&place, &job);
    killed(&place, &uid);
}

/// Registering, changing and showing; gives the id of the demo's own provider.
fn registry(place: &Place) -> String {
    golden(
        place,
        &place.licen(&["provider", "show"]),
        expect![[r#"
            provider      0x..
            tee           simulated
            platform      0x..
            price         0.001 per epoch of any base model
            price         0 for jobs that name no provider
            exit 0
        "#]],
    );
    let demo =
        record(&place.licen(&["--json", "provider", "show"]))["providerId"].as_str().unwrap().to_owned();
    golden(
        place,
        &place.licen(&["provider", "show", &demo]),
        expect![[r#"
            provider      0x..
            creator       0x..
            signs quotes  0x..
            payee         0x..
            jurisdiction  CH
            platforms     0x..
            exit 0
        "#]],
    );
    let signer = place.licen(&["key", "new", "provider", "--out", "mine.key"]).out.trim().to_owned();
    let register = ["provider", "register", "--signer", &signer, "--jurisdiction"];
    golden(
        place,
        &place.licen(&[&register[..], &["UK"]].concat()),
        expect![[r#"
            error: "UK" is no ISO 3166-1 code of a country [LIC0101]

            hint: two letters: CH, DE, GB
            exit 2
        "#]],
    );
    let said = place.licen(&[&register[..], &["gb"]].concat());
    golden(
        place,
        &said,
        expect![[r#"
            0x..
              quotes are signed by 0x..
            warning: no platform is registered: custodians refuse all evidence of this provider
            exit 0
        "#]],
    );
    let mine = said.out.trim().to_owned();
    let again = place.licen(&[&register[..], &["GB"]].concat());
    assert_eq!(
        (again.exit, again.out.trim()),
        (0, mine.as_str()),
        "nothing is registered twice: {}",
        again.err
    );
    golden(
        place,
        &place.licen(&[&register[..], &["DE"]].concat()),
        expect![[r#"
            error: provider 0x.. exists already, with other details [LIC0203]

            hint: licen provider update 0x..
            exit 1
        "#]],
    );
    golden(
        place,
        &place.owner(&["provider", "update", &mine, "--jurisdiction", "DE"]),
        expect![[r#"
            error: provider 0x.. belongs to 0x.., the wallet is 0x.. [LIC0203]

            hint: --wallet FILE with the key that registered it
            exit 1
        "#]],
    );
    let moved = record(&place.licen(&["--json", "provider", "update", &mine, "--jurisdiction", "DE"]));
    assert_eq!(moved["jurisdiction"], "DE");
    assert_eq!(moved["signer"].as_str().unwrap(), signer.to_lowercase(), "what is left out stays");
    golden(
        place,
        &place.licen(&["provider", "update", &mine]),
        expect![[r#"
            error: nothing to change [LIC0101]

            hint: give --signer, --jurisdiction, --platform or --payee
            exit 2
        "#]],
    );
    let unknown = format!("0x{}", "77".repeat(32));
    golden(
        place,
        &place.licen(&["provider", "show", &unknown]),
        expect![[r#"
            error: nobody registered the provider 0x.. [LIC0203]

            hint: licen provider show lists the providers of this node
            exit 1
        "#]],
    );
    demo
}

/// What another country demands is refused before anything is paid.
fn bound_elsewhere(place: &Place) {
    let uid = published(place, "DE");
    let request = ["--yes", "request", &uid, "--epochs", "1"];
    golden(
        place,
        &place.licen(&[&request[..], &["--provider", "cheapest"]].concat()),
        expect![[r#"
            error: no provider of this node offers the job [LIC0213]
              because: 0x..: jurisdiction "CH" is not among those the owner allows

            hint: licen provider show lists what this node's providers ask for; --node URL asks another node
            exit 1
        "#]],
    );
    golden(
        place,
        &place.licen(&request),
        expect![[r#"
            error: the owner's constraints refuse the job: jurisdiction "CH" is not among those the owner allows [LIC0208]

            hint: licen request 0x.. --epochs 1 --provider cheapest
            exit 1
        "#]],
    );
    // Of the demo's dataset, which may be trained anywhere.
    let dear = ["--yes", "request", &place.root, "--epochs", "1", "--provider", "cheapest", "--max-fee"];
    golden(
        place,
        &place.licen(&[&dear[..], &["0.0009"]].concat()),
        expect![[r#"
            error: the least fee is 0.001 per epoch, at most 0.0009 is allowed [LIC0213]

            hint: licen provider show lists prices; raise --max-fee
            exit 1
        "#]],
    );
    let unknown = format!("0x{}", "77".repeat(32));
    golden(
        place,
        &place.licen(&[&request[..], &["--provider", &unknown]].concat()),
        expect![[r#"
            error: this node sends jobs to no provider 0x.. [LIC0213]

            hint: licen provider show lists what this node's providers ask for; --node URL asks another node
            exit 1
        "#]],
    );
    golden(
        place,
        &place.licen(&[&request[..], &["--provider", "best"]].concat()),
        expect![[r#"
            error: --provider "best" names no provider [LIC0101]

            hint: --provider cheapest, or an id that licen provider show prints
            exit 2
        "#]],
    );
    // A node that shows another quote than the provider signed, or another signature.
    for field in ["signature", "quote"] {
        let liar = liar::start_bending(&place.setting("node"), "/v1/compute/quote", field);
        let lied =
            ["--yes", "--node", &liar, "request", &place.root, "--epochs", "1", "--provider", "cheapest"];
        let said = place.licen(&lied);
        let refused = said.err.contains("no provider of this node offers the job [LIC0213]");
        assert!(said.exit == 1 && refused, "{field}: {}", said.err);
        let why = if field == "quote" { "the quote does not match" } else { "is not signed by the address" };
        assert!(said.err.contains(why), "{field}: {}", said.err);
    }
    assert!(!place.licen(&["jobs"]).out.contains("Granted"), "nothing was paid");
}

fn trains(place: &Place, uid: &str, provider: &str) -> String {
    let said = place.licen(&["--yes", "request", uid, "--epochs", "2", "--provider", provider, "--follow"]);
    assert_eq!(said.exit, 0, "{}{}", said.out, said.err);
    let lines: Vec<String> = place.transcript(&said).lines().map(|line| line.trim().to_owned()).collect();
    for line in [
        "2 epochs x 0.01 = 0.02 royalty",
        "2 epochs x 0.001 = 0.002 compute fee of provider 0x..",
        "0.022 escrow; what is not trained comes back",
        "Escrowed 0.022, job 0x.. Granted",
    ] {
        assert!(lines.iter().any(|told| told == line), "{line}: {lines:#?}");
    }
    let job = said.out.lines().next().unwrap().to_owned();
    let audit = place.licen(&["audit", &job]);
    assert_eq!(audit.exit, 0, "{}{}", audit.out, audit.err);
    assert!(audit.out.contains("inside the owner's constraints, in CH"), "{}", audit.out);
    job
}

/// What was paid in is royalty, compute fee and refund, and the provider takes its part out.
fn earned(place: &Place, job: &str) {
    let shown = record(&place.licen(&["--json", "jobs", "show", job]));
    let wei = |name: &str| shown[name].as_str().unwrap_or_default().parse::<u128>().unwrap_or_default();
    let epochs = u128::from(shown["actualEpochs"].as_u64().unwrap());
    assert_eq!(wei("computeFee"), epochs * 1_000_000_000_000_000);
    assert_eq!(wei("royaltySettled") + wei("computeFee") + wei("refundIssued"), 22_000_000_000_000_000);
    let human = place.licen(&["jobs", "show", job]).out;
    assert!(human.contains("\nprovider      0x") && human.contains("\ncompute fee   0.00"), "{human}");
    let earnings = place.licen_as("operator", &["earnings"]);
    assert!(earnings.exit == 0 && earnings.out.matches("credited").count() == 2, "{}", earnings.out);
    assert!(earnings.err.is_empty(), "the chain agrees: {}", earnings.err);
    let withdrawn = place.licen_as("operator", &["withdraw"]);
    assert!(withdrawn.exit == 0 && withdrawn.out.contains("withdrawn to 0x"), "{}", withdrawn.err);
}

/// A request that died on the way is the one that its quote was made for.
fn killed(place: &Place, uid: &str) {
    let ask = ["request", uid, "--epochs", "1", "--provider", "cheapest", "--yes"];
    let jobs = || place.licen(&["jobs", "--all"]).out.lines().count();
    let before = jobs();
    place.killed_while_sending(&ask);
    let said = place.licen(&ask);
    golden(
        place,
        &said,
        expect![[r#"
            0x..
            warning: an earlier request of this dataset was sent and its job never told: this is it
              Escrowed 0.011, job 0x.. Granted
              run the command again for another one
            exit 0
        "#]],
    );
    assert_eq!(jobs(), before + 1, "one request, one job");
}
