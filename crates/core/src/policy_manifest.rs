//! The PolicyManifest: what an owner tells the public about a dataset nobody can read. A Croissant
//! 1.1 JSON-LD document whose `usageInfo` is an ODRL 2.2 Offer in LICEN's profile; stored as
//! canonical JSON and named by its root as `manifestHash`.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::abi::{Policy, Split};
use crate::canonical::{CanonicalError, json_from_slice, json_to_vec};
use crate::id::purpose_id;
use crate::row_tree::{self, row_leaf};

mod context;
mod distribution;
#[cfg(test)]
mod golden;
mod offer;
mod words;

pub use offer::ODRL_PROFILE;
pub use words::{Contact, Description, is_language_tag};

/// Largest manifest read, bytes.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Croissant version the document conforms to.
pub const CONFORMS_TO: &str = "http://mlcommons.org/croissant/1.1";
/// Croissant's vocabulary for responsible AI, whose `dataUseCases` says what a dataset is meant for.
pub const CONFORMS_TO_RAI: &str = "http://mlcommons.org/croissant/RAI/1.0";

/// How many text tokens the dataset has under one tokenizer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenCount {
    /// keccak256 of the tokenizer.json.
    pub tokenizer_hash: B256,
    /// Text tokens of all rows, counted as metering counts them.
    pub count: u64,
}

/// One row shown to everybody, with the proof that it is the dataset's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreviewRow {
    /// Position, from 0.
    pub index: u64,
    /// The line.
    pub row: String,
    /// Its salt; salts of other rows stay secret.
    pub salt: B256,
    /// Siblings from the leaf to the root.
    pub proof: Vec<B256>,
}

/// A split of the policy's payee, or one inside it: the preimage of an account that is a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SplitTerms {
    /// Accounts that are paid.
    pub accounts: Vec<B256>,
    /// Basis points of each; together 10,000.
    pub bps: Vec<u16>,
    /// When vesting starts, Unix seconds.
    pub start: u64,
    /// How long it lasts, seconds.
    pub duration: u64,
}

impl From<&Split> for SplitTerms {
    fn from(split: &Split) -> Self {
        let Split { accounts, bps, start, duration } = split.clone();
        Self { accounts, bps, start, duration }
    }
}

impl From<SplitTerms> for Split {
    fn from(terms: SplitTerms) -> Self {
        let SplitTerms { accounts, bps, start, duration } = terms;
        Self { accounts, bps, start, duration }
    }
}

/// The document. `document` keeps every JSON-LD member in canonical order; the accessors read the
/// `licen:` members that the protocol depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyManifest {
    document: Map<String, Value>,
    facts: Facts,
}

/// The `licen:` members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Root over salted row leaves.
    #[serde(rename = "licen:rowsRoot")]
    pub rows_root: B256,
    /// Rows, blank lines not counted.
    #[serde(rename = "licen:rowCount")]
    pub row_count: u64,
    /// Bytes of the plaintext file.
    #[serde(rename = "licen:byteCount")]
    pub byte_count: u64,
    /// Text tokens by tokenizer.
    #[serde(rename = "licen:tokenCounts", default)]
    pub token_counts: Vec<TokenCount>,
    /// Rows anybody may see.
    #[serde(rename = "licen:preview", default)]
    pub preview: Vec<PreviewRow>,
    /// keccak256 of the human-readable terms; zero where there are none.
    #[serde(rename = "licen:humanTextHash", default)]
    pub human_text_hash: B256,
    /// Rows by shape. Nothing writes it yet.
    #[serde(rename = "licen:rowShapes", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub row_shapes: BTreeMap<String, u64>,
    /// Rows that training would learn nothing from. Nothing writes it yet.
    #[serde(rename = "licen:untrainableRows", default, skip_serializing_if = "Option::is_none")]
    pub untrainable_rows: Option<u64>,
    /// The split that the policy pays, and every split inside, each before those inside it.
    #[serde(rename = "licen:split", default, skip_serializing_if = "Vec::is_empty")]
    pub split: Vec<SplitTerms>,
    /// Root of the `AllowList`, where the policy is not open to everybody.
    #[serde(rename = "licen:allowList", default, skip_serializing_if = "Option::is_none")]
    pub allow_list: Option<B256>,
}

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not canonical JSON of the right shape.
    #[error(transparent)]
    Encoding(#[from] CanonicalError),
    /// A preview row does not belong to the dataset.
    #[error("preview row {0} does not prove itself under rowsRoot")]
    Preview(u64),
    /// The words offer something else than the policy enforces.
    #[error("{0} differs from the policy's")]
    Offer(&'static str),
    /// Larger than [`MAX_BYTES`].
    #[error("{0} bytes, at most {MAX_BYTES}")]
    TooLarge(usize),
}

impl PolicyManifest {
    /// Builds the document from words, facts, the stored `file` and the terms of `policy` (whose own
    /// manifestHash is not known yet and is not read).
    ///
    /// # Errors
    /// Never for well-formed facts; kept so that nothing panics.
    pub fn build(
        about: &Description,
        facts: Facts,
        stored_bytes: u64,
        policy: &Policy,
        purposes: &[String],
    ) -> Result<Self, ManifestError> {
        let mut document = words::members(about, policy);
        document.insert("@context".into(), context::context());
        document.insert("@type".into(), json!("sc:Dataset"));
        document.insert("conformsTo".into(), json!([CONFORMS_TO, CONFORMS_TO_RAI]));
        document.insert("distribution".into(), distribution::distribution(policy.datasetRoot, stored_bytes));
        document.insert("usageInfo".into(), json!([offer::offer(policy, purposes)]));
        let Value::Object(members) = serde_json::to_value(&facts).unwrap_or_default() else {
            return Err(CanonicalError::NotCanonical("JSON").into());
        };
        document.extend(members);
        Ok(Self { document, facts })
    }

    /// The same dataset under the terms of a newer `policy`, whose human-readable terms hash to
    /// `human_text_hash`.
    #[must_use]
    pub fn with_terms(mut self, policy: &Policy, human_text_hash: B256) -> Self {
        let (purposes, license) = (self.purposes(), words::license(policy, self.license_text()));
        self.document.insert("license".into(), license);
        self.document.insert("usageInfo".into(), json!([offer::offer(policy, &purposes)]));
        self.document.insert("licen:humanTextHash".into(), json!(human_text_hash));
        self.facts.human_text_hash = human_text_hash;
        self
    }

    /// The same dataset under a policy that pays `split`, or none where it is empty.
    #[must_use]
    pub fn with_split(mut self, split: Vec<SplitTerms>) -> Self {
        if split.is_empty() {
            self.document.remove("licen:split");
        } else {
            self.document.insert("licen:split".into(), json!(split));
        }
        self.facts.split = split;
        self
    }

    /// The same dataset under a policy that admits who is on the list with this root; everybody where there
    /// is none.
    #[must_use]
    pub fn with_allow_list(mut self, allow_list: Option<B256>) -> Self {
        match allow_list {
            None => self.document.remove("licen:allowList"),
            Some(root) => self.document.insert("licen:allowList".into(), json!(root)),
        };
        self.facts.allow_list = allow_list;
        self
    }

    /// Whether the offer in words is what `policy` enforces, and whether the list of who is admitted is
    /// named exactly where there is one.
    ///
    /// # Errors
    /// [`ManifestError::Offer`] with the first part that differs.
    pub fn offers(&self, policy: &Policy) -> Result<(), ManifestError> {
        let purposes = self.purposes();
        if !purposes.iter().map(|name| purpose_id(name)).eq(policy.purposes.iter().copied()) {
            return Err(ManifestError::Offer("the purposes"));
        }
        if self.document.get("usageInfo") != Some(&json!([offer::offer(policy, &purposes)])) {
            return Err(ManifestError::Offer("the offer"));
        }
        let bytes = self.stored_bytes().ok_or(ManifestError::Offer("the distribution"))?;
        let expected = distribution::distribution(policy.datasetRoot, bytes);
        if self.document.get("distribution") != Some(&expected) {
            return Err(ManifestError::Offer("the distribution"));
        }
        if self.document.get("license") != Some(&words::license(policy, self.license_text())) {
            return Err(ManifestError::Offer("the license"));
        }
        let listed = self.facts.allow_list.is_some_and(|root| !root.is_zero());
        if (listed, self.document.contains_key("licen:allowList")) != (restricted(policy), restricted(policy))
        {
            return Err(ManifestError::Offer("the allow-list"));
        }
        Ok(())
    }

    /// Canonical JSON.
    ///
    /// # Errors
    /// A number without a canonical form in the datasheet; more than [`MAX_BYTES`], which nobody would
    /// read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        let bytes = json_to_vec(&self.document)?;
        if bytes.len() > MAX_BYTES { Err(ManifestError::TooLarge(bytes.len())) } else { Ok(bytes) }
    }

    /// Reads a document; preview rows must prove themselves.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_BYTES {
            return Err(ManifestError::TooLarge(bytes.len()));
        }
        let document: Map<String, Value> = json_from_slice(bytes)?;
        let facts: Facts = serde_json::from_value(Value::Object(document.clone()))
            .map_err(|e| CanonicalError::Malformed { format: "JSON", reason: e.to_string() })?;
        for row in &facts.preview {
            let leaf = row_leaf(&row.salt, row.row.as_bytes());
            if row_tree::verify(row.index, facts.row_count, leaf, &row.proof, facts.rows_root).is_err() {
                return Err(ManifestError::Preview(row.index));
            }
        }
        Ok(Self { document, facts })
    }

    /// The title.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text("name")
    }

    /// The description.
    #[must_use]
    pub fn description(&self) -> &str {
        self.text("description")
    }

    /// Languages of the rows, as BCP 47 names them.
    #[must_use]
    pub fn languages(&self) -> Vec<String> {
        words::texts(self.document.get("inLanguage"))
    }

    /// What it is meant to train for.
    #[must_use]
    pub fn tasks(&self) -> Vec<String> {
        words::texts(self.document.get("rai:dataUseCases"))
    }

    /// Words to find it by.
    #[must_use]
    pub fn keywords(&self) -> Vec<String> {
        words::texts(self.document.get("keywords"))
    }

    /// What the owner adds to the terms; empty where nothing.
    #[must_use]
    pub fn license_text(&self) -> &str {
        self.document.get("license").and_then(|l| l.get("text")).and_then(Value::as_str).unwrap_or_default()
    }

    /// How to reach the owner: an e-mail address or a page.
    #[must_use]
    pub fn contact(&self) -> Option<Contact> {
        let creator = self.document.get("creator")?;
        let text = ["email", "url"].iter().find_map(|name| creator.get(*name)?.as_str())?;
        Contact::parse(text)
    }

    /// When it was published, ISO 8601; empty where not said.
    #[must_use]
    pub fn published(&self) -> &str {
        self.text("datePublished")
    }

    /// Length of the ciphertext as it is stored; nothing where the distribution is not one of ours.
    #[must_use]
    pub fn stored_bytes(&self) -> Option<u64> {
        let files = self.document.get("distribution")?.as_array()?;
        let object = files.iter().find(|file| file.get("@id") == Some(&json!(distribution::CIPHERTEXT)))?;
        object.get("contentSize")?.as_str()?.strip_suffix(" B")?.parse().ok()
    }

    /// Names of allowed purposes, as the owner wrote them.
    #[must_use]
    pub fn purposes(&self) -> Vec<String> {
        let offer = self.document.get("usageInfo").and_then(|list| list.get(0));
        offer.map(offer::purposes).unwrap_or_default()
    }

    fn text(&self, member: &str) -> &str {
        self.document.get(member).and_then(Value::as_str).unwrap_or_default()
    }

    /// All `licen:` members.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Root over salted row leaves.
    #[must_use]
    pub fn rows_root(&self) -> B256 {
        self.facts.rows_root
    }

    /// Rows, blank lines not counted.
    #[must_use]
    pub fn row_count(&self) -> u64 {
        self.facts.row_count
    }

    /// Bytes of the plaintext file.
    #[must_use]
    pub fn byte_count(&self) -> u64 {
        self.facts.byte_count
    }

    /// Text tokens by tokenizer.
    #[must_use]
    pub fn token_counts(&self) -> &[TokenCount] {
        &self.facts.token_counts
    }
}

/// Whether only those may request whom the owner admits.
fn restricted(policy: &Policy) -> bool {
    !policy.requestersRoot.is_zero()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    pub(super) const STORED: u64 = 1_234;

    pub(super) fn facts() -> Facts {
        let rows: [&str; 3] = ["{\"text\":\"a\"}", "{\"text\":\"b\"}", "{\"text\":\"c\"}"];
        let salts = [B256::repeat_byte(1), B256::repeat_byte(2), B256::repeat_byte(3)];
        let leaves: Vec<B256> = rows.iter().zip(&salts).map(|(r, s)| row_leaf(s, r.as_bytes())).collect();
        Facts {
            rows_root: row_tree::root(&leaves).unwrap(),
            row_count: 3,
            byte_count: 39,
            token_counts: vec![TokenCount { tokenizer_hash: B256::repeat_byte(7), count: 12 }],
            preview: vec![PreviewRow {
                index: 1,
                row: rows[1].into(),
                salt: salts[1],
                proof: row_tree::prove(&leaves, 1).unwrap(),
            }],
            ..Facts::default()
        }
    }

    fn manifest() -> PolicyManifest {
        let about = Description { name: "Letters".into(), ..Description::default() };
        let policy = Policy { maxEpochsPerRun: 5, maxRunsPerRequester: 2, ..Policy::default() };
        PolicyManifest::build(&about, facts(), STORED, &policy, &["medical-research".into()]).unwrap()
    }

    #[test]
    fn a_manifest_round_trips_and_its_preview_proves_itself() {
        let bytes = manifest().to_bytes().unwrap();
        let read = PolicyManifest::from_bytes(&bytes).unwrap();
        assert_eq!(read.to_bytes().unwrap(), bytes);
        assert_eq!((read.row_count(), read.name()), (3, "Letters"));
        assert_eq!(read.purposes(), vec!["medical-research".to_string()]);
    }

    #[test]
    fn an_offer_that_the_policy_does_not_enforce_is_refused() {
        let policy = Policy {
            maxEpochsPerRun: 5,
            maxRunsPerRequester: 2,
            purposes: vec![purpose_id("medical-research")],
            ..Policy::default()
        };
        assert_eq!(manifest().offers(&policy), Ok(()));
        let dearer = Policy { royaltyPerEpoch: 1, ..policy.clone() };
        assert_eq!(manifest().offers(&dearer), Err(ManifestError::Offer("the offer")));
        let wider = Policy { purposes: vec![purpose_id("anything")], ..policy };
        assert_eq!(manifest().offers(&wider), Err(ManifestError::Offer("the purposes")));

        let text = B256::repeat_byte(9);
        let updated = manifest().with_terms(&dearer, text);
        assert_eq!(updated.offers(&dearer), Ok(()));
        let read = PolicyManifest::from_bytes(&updated.to_bytes().unwrap()).unwrap();
        assert_eq!((read.facts().human_text_hash, read.row_count()), (text, 3));
    }

    #[test]
    fn a_preview_row_that_is_not_the_datasets_is_refused() {
        let mut forged = manifest();
        let Value::Array(preview) = &mut forged.document["licen:preview"] else { unreachable!() };
        preview[0]["row"] = json!("{\"text\":\"better\"}");
        let bytes = forged.to_bytes().unwrap();
        assert_eq!(PolicyManifest::from_bytes(&bytes), Err(ManifestError::Preview(1)));
    }
}
