//! The audit of one genuine job with one byte changed, in every document and every part of the evidence
//! in turn: it fails, and the first thing it names is what was changed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use serde_json::Value;

use crate::liar;
use crate::place::Place;

/// Every check of the audit that reads a document, and nothing else.
const DOCUMENTS: [&str; 11] = [
    "policy manifest",
    "terms",
    "envelope",
    "constraints",
    "job specification",
    "base model",
    "dataset ciphertext",
    "evidence bundle",
    "reference values",
    "job report",
    "result blob",
];
/// What an evidence bundle is made of.
const PARTS: [&str; 7] =
    ["collateral", "entry", "evidence", "recordedAt", "runtimeData", "signatures", "verdicts"];
/// Seconds that the clock is ahead; the time by which nothing of today is valid any more.
const AHEAD: u64 = 30 * 365 * 86_400;

pub fn broken(place: &Place) {
    let found = documents(place);
    assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), DOCUMENTS);
    for (name, root) in &found {
        let bytes = std::fs::read(place.stored(root)).unwrap();
        let mut places = vec![0, bytes.len() / 3, bytes.len() - 1];
        if name == "evidence bundle" {
            assert_eq!(root, &place.evidence);
            places.extend(PARTS.map(|part| inside(&bytes, part)));
        }
        for at in places {
            fails_first_at(place, name, root, at);
        }
    }
    assert_eq!(place.licen(&["audit", &place.job]).exit, 0, "the documents are whole again");
    lying_indexes(place);
}

/// The documents that the audit reads, with their roots, in its order.
fn documents(place: &Place) -> Vec<(String, String)> {
    let said = place.licen(&["audit", &place.job, "--json"]);
    assert_eq!(said.exit, 0, "{}", said.err);
    let mut found = Vec::new();
    for line in said.out.lines() {
        let check: Value = serde_json::from_str(line).unwrap();
        let (name, detail) = (check["check"].as_str().unwrap(), check["detail"].as_str().unwrap());
        if let Some((_, rest)) = detail.split_once(" bytes hash to ") {
            found.push((name.to_string(), rest[..66].to_string()));
        }
    }
    found
}

/// A byte in the middle of what a part of the bundle says.
fn inside(bundle: &[u8], part: &str) -> usize {
    let value: Value = serde_json::from_slice(bundle).unwrap();
    let key = format!("\"{part}\":");
    let at = bundle.windows(key.len()).position(|w| w == key.as_bytes()).unwrap() + key.len();
    at + value[part].to_string().len() / 2
}

fn fails_first_at(place: &Place, name: &str, root: &str, at: usize) {
    let file = place.stored(root);
    let whole = std::fs::read(&file).unwrap();
    let mut changed = whole.clone();
    changed[at] ^= 1;
    std::fs::write(&file, &changed).unwrap();
    let said = place.licen(&["audit", &place.job]);
    std::fs::write(&file, &whole).unwrap();
    let failed: Vec<&str> = said.out.lines().filter(|line| line.starts_with("FAILED")).collect();
    let first = format!("error: the audit failed, first at: {name} [LIC0903]");
    assert_eq!(said.err.lines().next(), Some(first.as_str()), "{name}, byte {at}: {failed:?}");
    assert_eq!(said.exit, 1, "{name}, byte {at}");
    assert!(failed.len() == 1 && failed[0].contains(name), "{name}, byte {at}: {failed:?}");
}

/// What the audit does not read from storage: the index, and an rpc that lies about a log.
fn lying_indexes(place: &Place) {
    let job = indexed(place);
    let other = |text: &str, at: usize| {
        let mut changed = text.as_bytes().to_vec();
        changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
        String::from_utf8(changed).unwrap()
    };
    let node = |word: &str, at: usize| {
        let liar = liar::start_saying(&place.setting("node"), "/graphql", word, &other(word, at));
        place.licen(&["--node", &liar, "audit", &place.job])
    };
    // The last word of a job is the runtime data's hash.
    let text = job["jobAbi"].as_str().unwrap();
    let said = node(text, text.len() - 1);
    assert!(said.exit == 1 && said.err.contains("first at: job on chain [LIC0903]"), "{}", said.err);
    let text = job["policyAbi"].as_str().unwrap();
    let said = node(text, text.len() - 1);
    assert!(said.exit == 2 && said.err.contains("contradicts itself [LIC0901]"), "{}", said.err);
    let word = place.evidence.trim_start_matches("0x");
    let liar = liar::start_saying(&place.setting("rpc"), "/", word, &other(word, 40));
    let said = place.licen(&["--rpc", &liar, "audit", &place.job]);
    assert!(said.exit == 1 && said.err.contains("first at: result manifest [LIC0903]"), "{}", said.err);
}

/// The job as the node's index has it.
fn indexed(place: &Place) -> Value {
    let node = place.setting("node");
    let node = node.trim_start_matches("http://");
    let query = r#"{"query": "{ Job { id jobAbi policyAbi } }"}"#;
    let head = "POST /graphql HTTP/1.1\r\ncontent-type: application/json\r\nconnection: close";
    let length = query.len();
    let mut stream = TcpStream::connect(node).unwrap();
    write!(stream, "{head}\r\nhost: {node}\r\ncontent-length: {length}\r\n\r\n{query}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let answer: Value = serde_json::from_str(body).unwrap();
    let jobs = answer["data"]["Job"].as_array().unwrap();
    jobs.iter().find(|job| job["id"] == place.job.as_str()).unwrap().clone()
}

/// The same answer under a clock at which every certificate and every verdict of today has expired.
pub fn later(place: &Place) {
    place.write(
        "clock.c",
        format!(
            "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <time.h>\n\
             int clock_gettime(clockid_t id, struct timespec *t) {{\n\
             int (*real)(clockid_t, struct timespec *) =\n\
             (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, \"clock_gettime\");\n\
             int said = real(id, t);\n\
             if (said == 0 && id == CLOCK_REALTIME) t->tv_sec += {AHEAD};\n\
             return said; }}\n"
        ),
    );
    let library = place.path("clock.so");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(place.path("clock.c")).arg("-ldl");
    assert!(cc.status().unwrap().success());
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let file = |name: &str| format!("{repository}/{name}");
    let (quote, collateral) =
        (file("vectors/attest/tdx_quote"), file("vectors/attest/tdx_quote_collateral.json"));
    let policy = file("policies/tdx-sample.toml");
    let verify = ["attest", "verify", &quote, "--collateral", &collateral, "--policy", &policy, "--json"];
    let said = place.licen_with("LD_PRELOAD", &library, &verify);
    let record: Value = serde_json::from_str(said.out.lines().next().unwrap()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(record["ear"]["iat"].as_u64().unwrap() >= now + AHEAD - 60, "the clock is ahead: {}", said.out);
    assert_eq!(record["rule"], "collateral-validity", "the clock matters where it should");
    let today = place.licen(&["audit", &place.job]);
    let said = place.licen_with("LD_PRELOAD", &library, &["audit", &place.job]);
    assert_eq!((said.exit, said.out), (0, today.out), "{}", said.err);
}
