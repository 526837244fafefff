//! Licenses of every linked crate, from `cargo metadata`: an allow-list, so that a new license is a
//! decision and not an accident.

use serde_json::Value;

const ALLOWED: [&str; 16] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MPL-2.0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates whose license expression allows no choice inside the list.
pub(crate) fn breaches(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    packages
        .iter()
        .filter(|p| p["source"].is_string())
        .filter_map(|p| {
            let name = p["name"].as_str().unwrap_or_default();
            let expression = p["license"].as_str().unwrap_or("none");
            (!allowed(expression)).then(|| format!("crate {name}: license {expression} is not on the list"))
        })
        .collect()
}

/// Evaluates an SPDX expression: some alternative must consist of allowed licenses only.
fn allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    any_of(&tokens, &mut at) && at == tokens.len()
}

fn any_of(tokens: &[&str], at: &mut usize) -> bool {
    let mut holds = all_of(tokens, at);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        let right = all_of(tokens, at);
        holds |= right;
    }
    holds
}

fn all_of(tokens: &[&str], at: &mut usize) -> bool {
    let mut holds = one(tokens, at);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        let right = one(tokens, at);
        holds &= right;
    }
    holds
}

fn one(tokens: &[&str], at: &mut usize) -> bool {
    if tokens.get(*at) == Some(&"(") {
        *at += 1;
        let holds = any_of(tokens, at);
        *at += 1;
        return holds;
    }
    let mut id = tokens.get(*at).copied().unwrap_or_default().to_string();
    *at += 1;
    if tokens.get(*at) == Some(&"WITH") {
        id = format!("{id} WITH {}", tokens.get(*at + 1).copied().unwrap_or_default());
        *at += 2;
    }
    ALLOWED.contains(&id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alternative_inside_the_list_is_enough() {
        for ok in ["MIT", "MIT OR GPL-3.0", "MIT/Apache-2.0", "(MIT OR GPL-2.0) AND ISC"] {
            assert!(allowed(ok), "{ok}");
        }
        for bad in ["GPL-3.0", "AGPL-3.0-only", "MIT AND GPL-3.0", "none", "", "Apache-2.0 WITH Other"] {
            assert!(!allowed(bad), "{bad}");
        }
    }
}
