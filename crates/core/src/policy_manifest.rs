//! The PolicyManifest: what an owner tells the public about a dataset nobody can read. A Croissant
//! 1.1 JSON-LD document whose `usageInfo` is an ODRL 2.2 Offer in LICEN's profile; stored as
//! canonical JSON and named by its root as `manifestHash`.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::abi::Policy;
use crate::canonical::{CanonicalError, json_from_slice, json_to_vec};
use crate::id::purpose_id;
use crate::merkle;
use crate::rows::row_leaf;

/// Largest manifest read, bytes.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Croissant version the document conforms to.
pub const CONFORMS_TO: &str = "http://mlcommons.org/croissant/1.1";
/// IRI of LICEN's ODRL profile.
pub const ODRL_PROFILE: &str = "https://licen.example/odrl/1";

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

/// The document. `document` keeps every JSON-LD member in canonical order; the accessors read the
/// `licen:` members that the protocol depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyManifest {
    document: Map<String, Value>,
    facts: Facts,
}

/// The `licen:` members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// What the owner says in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Description {
    /// Title.
    pub name: String,
    /// What it is.
    #[serde(default)]
    pub description: String,
    /// Datasheet answers by question.
    #[serde(default)]
    pub datasheet: Map<String, Value>,
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
    /// Builds the document from words, facts and the terms of `policy` (whose own manifestHash is
    /// not known yet and is not read).
    ///
    /// # Errors
    /// Never for well-formed facts; kept so that nothing panics.
    pub fn build(
        about: &Description,
        facts: Facts,
        policy: &Policy,
        purposes: &[String],
    ) -> Result<Self, ManifestError> {
        let mut document = Map::new();
        document.insert("@context".into(), context());
        document.insert("@type".into(), json!("sc:Dataset"));
        document.insert("conformsTo".into(), json!(CONFORMS_TO));
        document.insert("name".into(), json!(about.name));
        document.insert("description".into(), json!(about.description));
        document.insert("distribution".into(), distribution(policy));
        document.insert("usageInfo".into(), offer(policy, purposes));
        document.insert("licen:datasheet".into(), Value::Object(about.datasheet.clone()));
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
        let purposes = self.purposes();
        self.document.insert("distribution".into(), distribution(policy));
        self.document.insert("usageInfo".into(), offer(policy, &purposes));
        self.document.insert("licen:humanTextHash".into(), json!(human_text_hash));
        self.facts.human_text_hash = human_text_hash;
        self
    }

    /// Whether the offer in words is what `policy` enforces.
    ///
    /// # Errors
    /// [`ManifestError::Offer`] with the first part that differs.
    pub fn offers(&self, policy: &Policy) -> Result<(), ManifestError> {
        let purposes = self.purposes();
        if !purposes.iter().map(|name| purpose_id(name)).eq(policy.purposes.iter().copied()) {
            return Err(ManifestError::Offer("the purposes"));
        }
        if self.document.get("usageInfo") != Some(&offer(policy, &purposes)) {
            return Err(ManifestError::Offer("the offer"));
        }
        if self.document.get("distribution") != Some(&distribution(policy)) {
            return Err(ManifestError::Offer("the distribution"));
        }
        Ok(())
    }

    /// Canonical JSON.
    ///
    /// # Errors
    /// A number without a canonical form in the datasheet.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        Ok(json_to_vec(&self.document)?)
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
            if merkle::verify(row.index, facts.row_count, leaf, &row.proof, facts.rows_root).is_err() {
                return Err(ManifestError::Preview(row.index));
            }
        }
        Ok(Self { document, facts })
    }

    /// The title.
    #[must_use]
    pub fn name(&self) -> &str {
        self.document.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    /// The description.
    #[must_use]
    pub fn description(&self) -> &str {
        self.document.get("description").and_then(Value::as_str).unwrap_or_default()
    }

    /// Names of allowed purposes, as the owner wrote them.
    #[must_use]
    pub fn purposes(&self) -> Vec<String> {
        let names = self.document.get("usageInfo").and_then(|u| u.get("licen:purposes"));
        let names = names.and_then(Value::as_array).cloned().unwrap_or_default();
        names.iter().filter_map(|n| n.as_str().map(ToString::to_string)).collect()
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

fn context() -> Value {
    json!({
        "@language": "en",
        "@vocab": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "conformsTo": "http://purl.org/dc/terms/conformsTo",
        "licen": "https://licen.example/ns/1#",
        "odrl": "http://www.w3.org/ns/odrl/2/",
        "sc": "https://schema.org/"
    })
}

fn distribution(policy: &Policy) -> Value {
    json!([{
        "@type": "cr:FileObject",
        "@id": "ciphertext",
        "name": "ciphertext",
        "description": "Encrypted JSON Lines; the key is released to attested compute only.",
        "encodingFormat": "application/octet-stream",
        "contentUrl": alloc::format!("zgs:{}", policy.datasetRoot),
        "licen:datasetRoot": policy.datasetRoot
    }])
}

fn constraint(operand: &str, operator: &str, value: &str) -> Value {
    json!({"odrl:leftOperand": operand, "odrl:operator": operator, "odrl:rightOperand": value})
}

/// The policy in ODRL: training is permitted under constraints, for a duty to pay per epoch.
fn offer(policy: &Policy, purposes: &[String]) -> Value {
    let mut constraints = vec![
        constraint("licen:epochsPerRun", "odrl:lteq", &policy.maxEpochsPerRun.to_string()),
        constraint("odrl:count", "odrl:lteq", &policy.maxRunsPerRequester.to_string()),
        constraint("licen:attestationLevel", "odrl:gteq", &policy.requiredLevel.to_string()),
    ];
    for purpose in purposes {
        constraints.push(constraint("odrl:purpose", "odrl:isAnyOf", purpose));
    }
    if policy.policyExpiry != 0 {
        constraints.push(constraint("odrl:dateTime", "odrl:lteq", &policy.policyExpiry.to_string()));
    }
    let token = if policy.token == Address::ZERO { "native".to_string() } else { policy.token.to_string() };
    json!({
        "@type": "odrl:Offer",
        "odrl:profile": ODRL_PROFILE,
        "odrl:uid": alloc::format!("licen:{}", policy.datasetUid),
        "odrl:assigner": policy.owner.to_string(),
        "licen:purposes": purposes,
        "odrl:permission": [{
            "odrl:action": "licen:train",
            "odrl:target": alloc::format!("zgs:{}", policy.datasetRoot),
            "odrl:constraint": constraints,
            "odrl:duty": [{
                "odrl:action": "odrl:compensate",
                "odrl:constraint": [{
                    "odrl:leftOperand": "odrl:payAmount",
                    "odrl:operator": "odrl:eq",
                    "odrl:rightOperand": policy.royaltyPerEpoch.to_string(),
                    "odrl:unit": token,
                    "licen:per": "epoch"
                }]
            }]
        }]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> PolicyManifest {
        let rows: [&str; 3] = ["{\"text\":\"a\"}", "{\"text\":\"b\"}", "{\"text\":\"c\"}"];
        let salts = [B256::repeat_byte(1), B256::repeat_byte(2), B256::repeat_byte(3)];
        let leaves: Vec<B256> = rows.iter().zip(&salts).map(|(r, s)| row_leaf(s, r.as_bytes())).collect();
        let facts = Facts {
            rows_root: merkle::tree_root(&leaves).unwrap(),
            row_count: 3,
            byte_count: 39,
            token_counts: vec![TokenCount { tokenizer_hash: B256::repeat_byte(7), count: 12 }],
            preview: vec![PreviewRow {
                index: 1,
                row: rows[1].into(),
                salt: salts[1],
                proof: merkle::prove(&leaves, 1).unwrap(),
            }],
            human_text_hash: B256::ZERO,
        };
        let about = Description { name: "Letters".into(), ..Description::default() };
        let policy = Policy { maxEpochsPerRun: 5, maxRunsPerRequester: 2, ..Policy::default() };
        PolicyManifest::build(&about, facts, &policy, &["medical-research".into()]).unwrap()
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
