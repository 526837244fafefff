//! The JSON-LD context of a manifest: Croissant 1.1's, and the terms of ODRL and LICEN.

use alloc::format;
use alloc::string::ToString;
use serde_json::{Map, Value, json};

/// Terms that Croissant 1.1 defines in its own namespace: those of its specification (appendix 1), and
/// `path`, `repeated`, `replace` and `samplingRate`, which the reference implementation expects as well.
const CROISSANT: [&str; 35] = [
    "annotation",
    "arrayShape",
    "citeAs",
    "column",
    "containedIn",
    "equivalentProperty",
    "excludes",
    "extract",
    "field",
    "fileObject",
    "fileProperty",
    "fileSet",
    "format",
    "includes",
    "isArray",
    "isLiveDataset",
    "jsonPath",
    "key",
    "md5",
    "parentField",
    "path",
    "readLines",
    "recordSet",
    "references",
    "regex",
    "repeated",
    "replace",
    "samplingRate",
    "sdVersion",
    "separator",
    "source",
    "subField",
    "transform",
    "unArchive",
    "value",
];
/// Members of ours whose inside is JSON and no linked data: an owner's words must not become terms.
const OPAQUE: [&str; 5] = ["datasheet", "preview", "rowShapes", "split", "tokenCounts"];
/// Members of ours that are text of no language.
const HASHES: [&str; 4] = ["allowList", "datasetRoot", "humanTextHash", "rowsRoot"];

pub(super) fn context() -> Value {
    let mut context = Map::new();
    for term in CROISSANT {
        context.insert(term.to_string(), json!(format!("cr:{term}")));
    }
    for term in OPAQUE.map(|term| format!("licen:{term}")) {
        context.insert(term.clone(), json!({"@id": term, "@type": "@json"}));
    }
    for term in HASHES.map(|term| format!("licen:{term}")) {
        context.insert(term.clone(), json!({"@id": term, "@language": null}));
    }
    let Value::Object(rest) = json!({
        "@language": "en",
        "@vocab": "https://schema.org/",
        "conformsTo": "dct:conformsTo",
        "cr": "http://mlcommons.org/croissant/",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "dct": "http://purl.org/dc/terms/",
        "description": {"@container": "@language"},
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "licen": "https://licen.example/ns/1#",
        "licen:purposes": {"@id": "licen:purposes", "@container": "@list"},
        "name": {"@container": "@language"},
        "odrl": "http://www.w3.org/ns/odrl/2/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "sc": "https://schema.org/",
        "xsd": "http://www.w3.org/2001/XMLSchema#"
    }) else {
        unreachable!("an object is written above")
    };
    context.extend(rest);
    Value::Object(context)
}
