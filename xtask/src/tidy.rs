//! The rules that a compiler does not know: who may depend on whom, how large a file may be, which
//! words mean something else here.

use crate::run::{Outcome, cargo, root};
use crate::sources::{Source, is_test, read_all};
use crate::{imports, licenses};
use serde_json::Value;

const MAX_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 70;

/// Allowed edges between our crates (ARCHITECTURE.md, "Allowed edges"); dev-dependencies are free.
const EDGES: [(&str, &[&str]); 14] = [
    ("licen-core", &[]),
    ("licen-train", &[]),
    ("licen-seal", &["licen-core"]),
    ("licen-attest", &["licen-core"]),
    ("licen-storage", &["licen-core"]),
    ("licen-chain", &["licen-core"]),
    ("licen-store", &["licen-core"]),
    ("licen-peers", &["licen-core"]),
    ("licen-indexer", &["licen-core", "licen-chain", "licen-store"]),
    ("licen-orchestrator", &["licen-core", "licen-chain", "licen-store", "licen-peers"]),
    (
        "licen-custodian",
        &["licen-core", "licen-chain", "licen-store", "licen-seal", "licen-attest", "licen-peers"],
    ),
    (
        "licen-compute",
        &["licen-core", "licen-storage", "licen-seal", "licen-attest", "licen-train", "licen-peers"],
    ),
    (
        "licen",
        &[
            "licen-core",
            "licen-seal",
            "licen-attest",
            "licen-storage",
            "licen-chain",
            "licen-store",
            "licen-peers",
            "licen-indexer",
            "licen-orchestrator",
            "licen-custodian",
        ],
    ),
    (
        "licen-sim",
        &[
            "licen-core",
            "licen-seal",
            "licen-attest",
            "licen-storage",
            "licen-chain",
            "licen-store",
            "licen-peers",
            "licen-indexer",
            "licen-orchestrator",
            "licen-custodian",
            "licen-compute",
            "licen-train",
        ],
    ),
];

/// Makers of proof types: constructor and the one crate folder that may call it. The simulator's chain
/// is a second one for what a chain says: it reads real contracts at depth, and no crate may depend
/// on it (no entry of `EDGES` names it).
const MAKERS: [(&str, &[&str]); 3] = [
    ("ConfirmedRun::from_chain", &["crates/chain/", "crates/sim/src/chain/"]),
    ("ConfirmedSettlement::from_chain", &["crates/chain/", "crates/sim/src/chain/"]),
    ("AttestationResult::from_appraisal", &["crates/attest/"]),
];

/// Whole words of public identifiers that have another meaning here, and what to say instead.
const WORDS: [(&str, &str); 10] = [
    ("Attester", "compute"),
    ("Buyer", "researcher or requester"),
    ("Seller", "owner"),
    ("Publisher", "owner"),
    ("Creator", "owner"),
    ("Enclave", "compute"),
    ("Worker", "compute"),
    ("Licence", "license"),
    ("Claim", "withdraw"),
    ("Admin", "contract admin, and there is none"),
];

/// What makes an HTTP client by hand, and the one crate folder that may: a client that is made elsewhere
/// follows redirects, waits for ever or reads without end.
const CLIENTS: [&str; 8] = [
    "Client::builder",
    "ClientBuilder",
    "Client::new()",
    "Client::default()",
    "reqwest::get(",
    "reqwest::blocking",
    // Of alloy, which makes one behind them.
    "new_http(",
    "connect_http(",
];
const CLIENTS_HOME: &str = "crates/peers/";

/// Features that switch a check off: nothing may turn them on, not even for tests.
const FEATURES: [(&str, &str); 2] =
    [("dcap-qvl", "danger-allow-tcb-override"), ("sev", "dangerous_hw_tests")];

/// Runs every rule and prints every breach.
pub(crate) fn tidy() -> Outcome {
    eprintln!("> tidy");
    let root = root();
    let metadata = metadata()?;
    let sources = read_all(&root, &["crates", "xtask"])?;
    let mut breaches = edges(&metadata);
    breaches.extend(features(&metadata));
    breaches.extend(licenses::breaches(&metadata));
    breaches.extend(imports::breaches(&sources));
    for source in &sources {
        breaches.extend(sizes(source));
        breaches.extend(words(source));
        breaches.extend(makers(source));
        breaches.extend(clients(source));
    }
    for breach in &breaches {
        eprintln!("tidy: {breach}");
    }
    if breaches.is_empty() { Ok(()) } else { Err(format!("tidy found {} breaches", breaches.len())) }
}

fn metadata() -> Result<Value, String> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()
        .map_err(|e| format!("cargo metadata: {e}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))
}

fn edges(metadata: &Value) -> Vec<String> {
    let mut breaches = Vec::new();
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    for package in packages.iter().filter(|p| p["source"].is_null()) {
        let name = package["name"].as_str().unwrap_or_default();
        if name == "xtask" {
            continue;
        }
        let Some((_, allowed)) = EDGES.iter().find(|(n, _)| *n == name) else {
            breaches.push(format!("crate {name} has no entry in the table of allowed edges"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            let ours = dependency["path"].is_string();
            let dev = dependency["kind"].as_str() == Some("dev");
            if ours && !dev && !allowed.contains(&to) {
                breaches.push(format!("{name} must not depend on {to}"));
            }
        }
    }
    breaches
}

/// Dangerous features that some crate of the whole graph turns on. A crate that left the graph would
/// make the rule say nothing, so that is a breach too.
fn features(metadata: &Value) -> Vec<String> {
    let nodes = metadata["resolve"]["nodes"].as_array().cloned().unwrap_or_default();
    let mut breaches = Vec::new();
    for (package, feature) in FEATURES {
        let of_package = |id: &str| id.contains(&format!("#{package}@"));
        let mut nodes = nodes.iter().filter(|n| n["id"].as_str().is_some_and(of_package)).peekable();
        if nodes.peek().is_none() {
            breaches.push(format!("{package} is not among the dependencies: its rule guards nothing"));
        }
        if nodes.any(|n| n["features"].as_array().is_some_and(|on| on.iter().any(|f| f == feature))) {
            breaches.push(format!("{package} has its feature {feature} on, which switches a check off"));
        }
    }
    breaches
}

fn sizes(source: &Source) -> Vec<String> {
    if is_test(&source.path) {
        return Vec::new();
    }
    let path = source.path.display();
    let mut breaches = Vec::new();
    if source.lines > MAX_FILE_LINES {
        breaches.push(format!("{path}: {} lines, at most {MAX_FILE_LINES}", source.lines));
    }
    for (name, line, lines) in &source.functions {
        if *lines > MAX_FUNCTION_LINES {
            breaches
                .push(format!("{path}:{line}: fn {name} has {lines} lines, at most {MAX_FUNCTION_LINES}"));
        }
    }
    breaches
}

fn words(source: &Source) -> Vec<String> {
    let mut breaches = Vec::new();
    for (name, line) in &source.names {
        for (word, instead) in WORDS {
            if camel_words(name).any(|w| w.eq_ignore_ascii_case(word)) {
                let path = source.path.display();
                breaches.push(format!("{path}:{line}: {name}: say {instead} (docs/vocabulary.md)"));
            }
        }
    }
    breaches
}

/// `FooBar`, `foo_bar` and `FOO_BAR` as their words.
fn camel_words(name: &str) -> impl Iterator<Item = String> {
    let mut spaced = String::new();
    let mut lower_before = false;
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && lower_before) {
            spaced.push(' ');
        }
        if c != '_' {
            spaced.push(c);
        }
        lower_before = c.is_lowercase() || c.is_ascii_digit();
    }
    spaced.split_whitespace().map(str::to_string).collect::<Vec<_>>().into_iter()
}

/// The text that runs outside of tests; none of xtask's does.
fn product(source: &Source) -> &str {
    if is_test(&source.path) || source.path.starts_with("xtask") {
        return "";
    }
    // Unit tests stand last in a file (Clippy says so). Other test code may stand before product code.
    source.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

fn clients(source: &Source) -> Vec<String> {
    let path = source.path.to_string_lossy();
    if path.starts_with(CLIENTS_HOME) {
        return Vec::new();
    }
    let code = product(source);
    CLIENTS
        .iter()
        .filter(|maker| code.contains(*maker))
        .map(|maker| format!("{path}: {maker}: only {CLIENTS_HOME} may make an HTTP client"))
        .collect()
}

fn makers(source: &Source) -> Vec<String> {
    let path = source.path.to_string_lossy();
    let code = product(source);
    MAKERS
        .iter()
        .filter(|(maker, homes)| code.contains(maker) && !homes.iter().any(|home| path.starts_with(home)))
        .map(|(maker, homes)| format!("{path}: only {} may call {maker}", homes.join(" and ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        assert_eq!(tidy(), Ok(()));
    }

    #[test]
    fn words_are_found_inside_names_but_not_inside_words() {
        let words: Vec<String> = camel_words("UsageEnclaveKey").collect();
        assert_eq!(words, ["Usage", "Enclave", "Key"]);
        assert_eq!(camel_words("get_buyer_list").collect::<Vec<_>>(), ["get", "buyer", "list"]);
        assert_eq!(camel_words("Proclaimed").collect::<Vec<_>>(), ["Proclaimed"]);
    }

    #[test]
    fn an_edge_outside_the_table_is_a_breach() {
        let metadata = serde_json::json!({"packages": [{
            "name": "licen-orchestrator", "source": null,
            "dependencies": [{"name": "licen-seal", "path": "/x", "kind": null}]
        }]});
        assert_eq!(edges(&metadata), ["licen-orchestrator must not depend on licen-seal"]);
    }

    /// The dependency graph, with these features of the packages that have dangerous ones.
    fn graph(on: &[(&str, &str)]) -> Value {
        let node = |(package, feature): &(&str, &str)| serde_json::json!({"id": format!("registry+https://x#{package}@1.0.0"), "features": [feature]});
        serde_json::json!({"resolve": {"nodes": on.iter().map(node).collect::<Vec<_>>()}})
    }

    #[test]
    fn a_feature_that_switches_a_check_off_is_a_breach() {
        let harmless = FEATURES.map(|(package, _)| (package, "std"));
        assert_eq!(features(&graph(&harmless)), [""; 0]);
        for (position, (package, feature)) in FEATURES.into_iter().enumerate() {
            let mut on = harmless;
            on[position] = (package, feature);
            let breach = format!("{package} has its feature {feature} on, which switches a check off");
            assert_eq!(features(&graph(&on)), std::slice::from_ref(&breach));
            // A second version of the package does not hide the first.
            assert_eq!(features(&graph(&[&harmless[..], &on[..]].concat())), [breach]);
        }
    }

    #[test]
    fn a_feature_rule_that_guards_nothing_is_a_breach() {
        let gone = FEATURES
            .map(|(package, _)| format!("{package} is not among the dependencies: its rule guards nothing"));
        assert_eq!(features(&graph(&[])), gone);
    }

    fn source(path: &str, text: String) -> Source {
        Source { path: path.into(), text, ..Source::default() }
    }

    #[test]
    fn a_client_of_ones_own_is_a_breach_outside_of_its_home() {
        for call in [
            "let http = reqwest::Client::builder().build();",
            "let http = Client::new();",
            "use reqwest::ClientBuilder;",
            "reqwest::get(url).await",
            "RpcClient::new_http(url)",
        ] {
            let at = |path: &str, text: String| clients(&source(path, text));
            for path in ["crates/custodian/src/blobs.rs", "crates/chain/src/rpc.rs", "crates/sim/src/x.rs"] {
                assert_eq!(at(path, call.into()).len(), 1, "{path}: {call}");
                let behind = format!("#[cfg(test)]\nmod tests;\n{call}");
                assert_eq!(at(path, behind).len(), 1, "{path}: {call}");
                let in_tests = format!("#[cfg(test)]\nmod tests {{ {call} }}");
                assert_eq!(at(path, in_tests), [""; 0], "{path}: {call}");
            }
            for path in
                ["crates/peers/src/http.rs", "crates/storage/tests/http.rs", "crates/licen/src/x_tests.rs"]
            {
                assert_eq!(at(path, call.into()), [""; 0], "{path}: {call}");
            }
        }
        let handed = "fn new(http: reqwest::Client, base: &str) { client::Client::new(http, base) }";
        assert_eq!(clients(&source("crates/storage/src/client/mod.rs", handed.into())), [""; 0]);
    }

    #[test]
    fn a_forged_proof_is_a_breach_outside_of_its_home() {
        for (maker, homes) in MAKERS {
            let call = format!("fn f() {{ let proof = {maker}(x); }}");
            let forged = makers(&source("crates/custodian/src/run.rs", call.clone()));
            assert_eq!(forged.len(), 1, "{maker}: {forged:?}");
            assert!(forged[0].starts_with("crates/custodian/src/run.rs: only crates/"), "{forged:?}");
            assert!(forged[0].ends_with(maker), "{forged:?}");
            for home in homes {
                assert_eq!(makers(&source(&format!("{home}x.rs"), call.clone())), [""; 0], "{maker}");
            }
            let behind = format!("#[cfg(test)]\nmod tests;\n{call}");
            assert_eq!(makers(&source("crates/custodian/src/run.rs", behind)).len(), 1, "{maker}");
            let in_tests = format!("#[cfg(test)]\nmod tests {{ {call} }}");
            assert_eq!(makers(&source("crates/custodian/src/run.rs", in_tests)), [""; 0], "{maker}");
        }
    }
}
