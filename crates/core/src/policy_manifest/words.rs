//! What an owner says in words, under the names that Croissant 1.1 gives it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use serde_json::{Map, Value, json};

use super::offer::{account, iso_8601};
use crate::abi::Policy;

/// What the owner says in words. Nothing of it is checked against the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// Title.
    pub name: String,
    /// What it is; the title again where left empty, because Croissant demands one.
    pub description: String,
    /// Languages of the rows, as BCP 47 names them.
    pub languages: Vec<String>,
    /// What it is meant to train for.
    pub tasks: Vec<String>,
    /// Words to find it by.
    pub keywords: Vec<String>,
    /// What the owner adds to the terms; empty where nothing.
    pub license_text: String,
    /// How to reach the owner.
    pub contact: Option<Contact>,
    /// When it was published, Unix seconds; 0 where not said.
    pub published: u64,
    /// Datasheet answers by question.
    pub datasheet: Map<String, Value>,
}

/// How to reach an owner: public like the rest of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contact {
    /// An e-mail address.
    Email(String),
    /// A page.
    Url(String),
}

impl Contact {
    /// Reads `NAME@HOST` or `https://...`; nothing else is a contact.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return None;
        }
        if text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty()) {
            return Some(Self::Url(text.to_string()));
        }
        let (name, host) = text.split_once('@')?;
        let address = !name.is_empty() && !host.is_empty() && !host.contains('@') && !text.contains("://");
        address.then(|| Self::Email(text.to_string()))
    }

    /// The address or the page.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let (Self::Email(text) | Self::Url(text)) = self;
        text
    }
}

/// Whether `text` has the form of a BCP 47 language tag, like `en` or `de-CH`.
#[must_use]
pub fn is_language_tag(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    let letters = language.bytes().all(|b| b.is_ascii_alphabetic());
    let rest = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    letters && (2..=3).contains(&language.len()) && parts.all(rest)
}

/// The members that a description becomes. What was left out is no member.
pub(super) fn members(about: &Description, policy: &Policy) -> Map<String, Value> {
    let said = if about.description.is_empty() { &about.name } else { &about.description };
    let mut creator = json!({
        "@type": "sc:Organization",
        "name": policy.owner.to_string(),
        "identifier": account(policy.owner)
    });
    match &about.contact {
        Some(Contact::Email(text)) => creator["email"] = json!(text),
        Some(Contact::Url(text)) => creator["url"] = json!(text),
        None => {}
    }
    let mut members = vec![
        ("name", json!(about.name)),
        ("description", json!(said)),
        ("url", json!(format!("zgs:{}", policy.datasetRoot))),
        ("creator", creator),
        ("license", license(policy, &about.license_text)),
    ];
    let lists =
        [("inLanguage", &about.languages), ("rai:dataUseCases", &about.tasks), ("keywords", &about.keywords)];
    members.extend(lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(n, list)| (n, json!(list))));
    if let Some(date) = iso_8601(about.published).filter(|_| about.published != 0) {
        members.push(("datePublished", json!(date)));
    }
    if !about.datasheet.is_empty() {
        members.push(("licen:datasheet", Value::Object(about.datasheet.clone())));
    }
    members.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

/// The license: where the terms that a requester agrees to are stored, and the owner's own words in them.
pub(super) fn license(policy: &Policy, text: &str) -> Value {
    let url = format!("zgs:{}", policy.termsHash);
    let mut license = json!({"@type": "sc:CreativeWork", "name": "Terms of the offer", "url": url});
    if !text.is_empty() {
        license["text"] = json!(text);
    }
    license
}

/// The texts of a list, or of a single text in its place.
pub(super) fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(|v| v.as_str().map(ToString::to_string)).collect(),
        Some(Value::String(text)) => vec![text.clone()],
        _ => Vec::new(),
    }
}
