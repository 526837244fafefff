//! Where the ciphertext is, in Croissant's words.

use alloc::format;
use alloc::string::String;
use alloy_primitives::B256;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The `@id` of the ciphertext.
pub(super) const CIPHERTEXT: &str = "ciphertext";
/// The `@id` of the document that names it.
const POINTER: &str = "pointer";

/// The ciphertext, inside a pointer to it. Croissant wants a SHA-256 of every file that stands for itself.
/// The ciphertext has its 0G root already, and hashing it again would cost publishing a third of its rate;
/// so the file that stands for itself is the canonical JSON {bytes, root}, whole in its own URL.
pub(super) fn distribution(root: B256, stored_bytes: u64) -> Value {
    let pointer = format!("{{\"bytes\":{stored_bytes},\"root\":\"{root}\"}}");
    json!([
        {
            "@type": "cr:FileObject",
            "@id": POINTER,
            "name": POINTER,
            "description": "Names the ciphertext by its 0G file root, which whoever fetches it computes again.",
            "encodingFormat": "application/json",
            "contentUrl": format!("data:application/json,{}", percent_encoded(&pointer)),
            "contentSize": format!("{} B", pointer.len()),
            "sha256": format!("{:x}", B256::from_slice(&Sha256::digest(pointer.as_bytes()))),
        },
        {
            "@type": "cr:FileObject",
            "@id": CIPHERTEXT,
            "name": CIPHERTEXT,
            "description": "Encrypted JSON Lines; the key is released to attested compute only.",
            "encodingFormat": "application/octet-stream",
            "containedIn": {"@id": POINTER},
            "contentUrl": format!("zgs:{root}"),
            "contentSize": format!("{stored_bytes} B"),
            "licen:datasetRoot": root
        }
    ])
}

/// What a URL may not hold of the pointer (RFC 3986).
fn percent_encoded(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '{' => "%7B".into(),
            '}' => "%7D".into(),
            '"' => "%22".into(),
            c => String::from(c),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::json_to_vec;

    #[test]
    fn the_pointer_is_what_its_url_holds() {
        let root = B256::repeat_byte(0xda);
        let files = distribution(root, 1_234);
        let pointer = json_to_vec(&json!({"root": root, "bytes": 1_234})).unwrap();
        let url = files[0]["contentUrl"].as_str().unwrap();
        let held = url.replace("%7B", "{").replace("%7D", "}").replace("%22", "\"");
        assert_eq!(held.strip_prefix("data:application/json,").unwrap().as_bytes(), pointer);
        assert!(url.bytes().all(|b| b.is_ascii_alphanumeric() || b":/,%".contains(&b)), "{url}");
        assert_eq!(files[0]["sha256"], format!("{:x}", B256::from_slice(&Sha256::digest(&pointer))));
        assert_eq!(files[0]["contentSize"], format!("{} B", pointer.len()));
        assert_eq!(files[1]["licen:datasetRoot"], json!(root));
    }
}
