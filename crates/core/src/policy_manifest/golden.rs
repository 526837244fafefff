//! Manifests as they are written, word by word: `vectors/manifests`. An independent JSON-LD library and
//! Croissant's own validator read the same files (`cargo xtask documents`). `UPDATE_EXPECT=1` writes them.

use alloc::{format, vec};
use expect_test::expect_file;
use proptest::prelude::*;

use super::tests::{STORED, facts};
use super::*;

const OWNER: [u8; 20] = [0x0e; 20];

fn policy() -> Policy {
    Policy {
        datasetUid: B256::repeat_byte(0xd0),
        datasetRoot: B256::repeat_byte(0xda),
        owner: OWNER.into(),
        royaltyPerEpoch: 10_000_000_000_000_000,
        maxEpochsPerRun: 5,
        maxRunsPerRequester: 3,
        requiredLevel: 2,
        termsHash: B256::repeat_byte(0x7e),
        ..Policy::default()
    }
}

fn titled() -> Description {
    Description { name: "Letters".into(), published: 1_790_000_000, ..Description::default() }
}

/// Every word an owner can say.
fn described() -> Description {
    let Value::Object(datasheet) = json!({"Why was it made?": "To train.", "url": ["no", "term"]}) else {
        unreachable!()
    };
    Description {
        name: "Letters: \"a\" & <b>, ünïcode".into(),
        description: "Three letters.\nIn two lines.".into(),
        languages: vec!["en".into(), "de-CH".into()],
        tasks: vec!["question-answering".into(), "summarization".into()],
        keywords: vec!["letters".into(), "short".into()],
        license_text: "No use in weapons.\nNo resale of outputs.".into(),
        contact: Contact::parse("owner@example.org"),
        published: 1_790_000_000,
        datasheet,
    }
}

fn build(about: &Description, policy: &Policy, purposes: &[&str]) -> PolicyManifest {
    let purposes: Vec<String> = purposes.iter().map(ToString::to_string).collect();
    let policy =
        Policy { purposes: purposes.iter().map(|name| purpose_id(name)).collect(), ..policy.clone() };
    let manifest = PolicyManifest::build(about, facts(), STORED, &policy, &purposes).unwrap();
    let read = PolicyManifest::from_bytes(&manifest.to_bytes().unwrap()).unwrap();
    assert_eq!(read, manifest);
    assert_eq!(read.offers(&policy), Ok(()));
    manifest
}

fn pretty(manifest: &PolicyManifest) -> String {
    // Through the canonical bytes, so that members are in their order.
    let value: Value = serde_json::from_slice(&manifest.to_bytes().unwrap()).unwrap();
    serde_json::to_string_pretty(&value).unwrap() + "\n"
}

macro_rules! golden {
    ($name:literal, $manifest:expr) => {
        expect_file![concat!("../../../../vectors/manifests/", $name, ".json")].assert_eq(&pretty($manifest))
    };
}

#[test]
fn manifests_are_what_they_were() {
    golden!("bare", &build(&titled(), &policy(), &["research"]));
    let all = build(
        &described(),
        &Policy { policyExpiry: 1_800_000_000, token: [0x70; 20].into(), ..policy() },
        &["medical-research", "teaching, in schools"],
    );
    golden!("full", &all);
}

/// The offer alone, once for each kind of constraint: without one, and with each value it can have.
#[test]
fn each_constraint_is_what_it_was() {
    let changed = |change: fn(&mut Policy)| {
        let mut policy = policy();
        change(&mut policy);
        build(&titled(), &policy, &["research"])
    };
    golden!("constraint_epochs", &changed(|p| p.maxEpochsPerRun = u32::MAX));
    golden!("constraint_runs", &changed(|p| p.maxRunsPerRequester = 1));
    golden!("constraint_level", &changed(|p| p.requiredLevel = 1));
    golden!("constraint_purposes", &build(&titled(), &policy(), &["a", "b/c d", "ü"]));
    golden!("constraint_expiry", &changed(|p| p.policyExpiry = 253_402_300_799));
    golden!("constraint_expiry_after_9999", &changed(|p| p.policyExpiry = 253_402_300_800));
    golden!("constraint_price", &changed(|p| p.royaltyPerEpoch = u128::MAX));
    golden!("constraint_token", &changed(|p| p.token = [0x70; 20].into()));
}

/// Under a policy that is not open the manifest names the list, and under an open one it names none.
#[test]
fn a_list_is_named_exactly_where_there_is_one() {
    let open = Policy { purposes: vec![purpose_id("research")], ..policy() };
    let closed = Policy { requestersRoot: B256::repeat_byte(0xa1), ..open.clone() };
    let told = Facts { allow_list: Some(B256::repeat_byte(0xa0)), ..facts() };
    let listed = PolicyManifest::build(&titled(), told, STORED, &closed, &["research".into()]).unwrap();
    golden!("allow_list", &listed);
    assert_eq!(listed.offers(&closed), Ok(()));
    let bare = build(&titled(), &policy(), &["research"]);
    let refused = Err(ManifestError::Offer("the allow-list"));
    assert_eq!((listed.offers(&open), bare.offers(&closed)), (refused.clone(), refused.clone()));
    assert_eq!(bare.clone().with_allow_list(listed.facts().allow_list), listed);
    assert_eq!(listed.clone().with_allow_list(None), bare);
    // A member that says nothing is one that is missing for one policy and one too many for the other.
    let mut silent = bare.document.clone();
    silent.insert("licen:allowList".into(), Value::Null);
    let silent = PolicyManifest::from_bytes(&json_to_vec(&silent).unwrap()).unwrap();
    assert_eq!((silent.offers(&open), silent.offers(&closed)), (refused.clone(), refused.clone()));
    assert_eq!(bare.with_allow_list(Some(B256::ZERO)).offers(&closed), refused);
}

#[test]
fn what_an_owner_says_is_read_again() {
    let (about, all) = (described(), build(&described(), &policy(), &["research"]));
    assert_eq!((all.name(), all.description()), (&*about.name, &*about.description));
    assert_eq!(
        (all.languages(), all.tasks(), all.keywords()),
        (about.languages, about.tasks, about.keywords)
    );
    assert_eq!((all.license_text(), all.contact()), (&*about.license_text, about.contact));
    assert_eq!((all.published(), all.stored_bytes()), ("2026-09-21T14:13:20Z", Some(STORED)));
    let bare = build(&titled(), &policy(), &["research"]);
    assert_eq!((bare.description(), bare.license_text()), ("Letters", ""));
    let silent = build(&Description { published: 0, ..titled() }, &policy(), &["research"]);
    assert_eq!(silent.published(), "");
    assert_eq!(
        (bare.languages(), bare.tasks(), bare.keywords(), bare.contact()),
        (vec![], vec![], vec![], None)
    );
    let named = Description { contact: Contact::parse("https://example.org/us"), ..titled() };
    assert_eq!(build(&named, &policy(), &["research"]).contact(), named.contact);
}

#[test]
fn an_update_of_the_terms_keeps_the_words_and_names_the_new_ones() {
    let next = Policy {
        termsHash: B256::repeat_byte(0x7f),
        maxEpochsPerRun: 9,
        purposes: vec![purpose_id("research")],
        ..policy()
    };
    let manifest = build(&described(), &policy(), &["research"]);
    assert_eq!(manifest.offers(&next), Err(ManifestError::Offer("the offer")));
    let updated = manifest.with_terms(&next, B256::repeat_byte(1));
    assert_eq!(updated.offers(&next), Ok(()));
    assert_eq!(updated.license_text(), described().license_text);
    assert_eq!(updated.document["license"]["url"], format!("zgs:{}", next.termsHash));
}

/// Members that later versions fill stay in the document, and are read where they are there.
#[test]
fn members_that_nothing_writes_yet_are_kept() {
    let split = SplitTerms { accounts: vec![B256::repeat_byte(1)], bps: vec![10_000], start: 0, duration: 1 };
    let filled = Facts {
        row_shapes: [("messages".into(), 2), ("text".into(), 1)].into(),
        untrainable_rows: Some(0),
        split: vec![split],
        ..facts()
    };
    let manifest = PolicyManifest::build(&titled(), filled.clone(), STORED, &policy(), &[]).unwrap();
    let mut document = manifest.document.clone();
    document.insert("licen:unheardOf".into(), json!({"of": 1}));
    let bytes = json_to_vec(&document).unwrap();
    let read = PolicyManifest::from_bytes(&bytes).unwrap();
    assert_eq!(read.facts(), &filled);
    assert_eq!(read.to_bytes().unwrap(), bytes);
    let bare = build(&titled(), &policy(), &["research"]);
    assert!(!bare.document.contains_key("licen:rowShapes") && !bare.document.contains_key("licen:split"));
}

type Forgery = (&'static str, fn(&mut Map<String, Value>));

/// What an owner could change by hand so that readers see another offer than the contract enforces.
#[test]
fn an_offer_that_says_something_else_is_refused() {
    let honest = build(&described(), &policy(), &["research"]);
    let policy = Policy { purposes: vec![purpose_id("research")], ..policy() };
    let forged: [Forgery; 9] = [
        ("the offer", |d| d["usageInfo"][0]["odrl:permission"][0]["odrl:action"] = json!("licen:train")),
        ("the offer", |d| d["usageInfo"][0]["@type"] = json!("odrl:Offer")),
        ("the offer", |d| d["usageInfo"].as_array_mut().unwrap().push(json!({"@type": "odrl:Offer"}))),
        ("the purposes", |d| d["usageInfo"] = d["usageInfo"][0].clone()),
        ("the purposes", |d| d["usageInfo"][0]["licen:purposes"] = json!(["research", "resale"])),
        ("the distribution", |d| d["distribution"][1]["contentUrl"] = json!("https://example.org/other")),
        ("the distribution", |d| d["distribution"][1]["contentSize"] = json!("+1234 B")),
        ("the distribution", |d| d["distribution"][0]["sha256"] = json!("none")),
        ("the license", |d| d["license"]["url"] = json!("https://example.org/free")),
    ];
    for (what, forge) in forged {
        let mut manifest = honest.clone();
        forge(&mut manifest.document);
        assert_ne!(manifest, honest, "{what}");
        assert_eq!(manifest.offers(&policy), Err(ManifestError::Offer(what)));
    }
}

/// A manifest that nobody would read must not be registered.
#[test]
fn a_license_text_of_megabytes_is_refused_when_it_is_written() {
    let about = Description { license_text: "x".repeat(MAX_BYTES), ..titled() };
    let manifest = PolicyManifest::build(&about, facts(), STORED, &policy(), &[]).unwrap();
    assert!(matches!(manifest.to_bytes(), Err(ManifestError::TooLarge(_))));
}

#[test]
fn contacts_and_languages_have_a_form() {
    for good in ["a@b.ch", "a+b@c.example", "https://example.org/team"] {
        assert_eq!(Contact::parse(good).unwrap().as_str(), good);
    }
    for bad in
        ["", "me", "@b", "a@", "a@b@c", "a b@c", "https://", "http://b.ch", "javascript://x@y", "a@b\n"]
    {
        assert_eq!(Contact::parse(bad), None, "{bad:?}");
    }
    for good in ["en", "de-CH", "zh-Hans-CN", "gsw", "sl-rozaj-1994"] {
        assert!(is_language_tag(good), "{good}");
    }
    for bad in ["", "e", "english", "de_CH", "de-", "-de", "de-Ü", "de-123456789"] {
        assert!(!is_language_tag(bad), "{bad}");
    }
}

proptest! {
    /// Whatever a policy says, the reader finds the offer that was written.
    #[test]
    fn any_offer_is_found_again(
        royalty: u128, caps: (u32, u32), level: u8, expiry: u64, token: [u8; 20], published: u64,
        names in prop::collection::vec("\\PC{0,12}", 0..4), name in "\\PC{0,40}", text in "\\PC{0,40}",
    ) {
        let policy = Policy {
            royaltyPerEpoch: royalty,
            maxEpochsPerRun: caps.0,
            maxRunsPerRequester: caps.1,
            requiredLevel: level,
            policyExpiry: expiry,
            token: token.into(),
            ..policy()
        };
        let about = Description { name, license_text: text, published, ..titled() };
        build(&about, &policy, &names.iter().map(String::as_str).collect::<Vec<_>>());
    }
}
