//! `search`, `show`, `preview`.

use licen_core::abi::Policy;
use licen_core::constraints::Constraints;
use licen_core::policy::{LEVEL_HARDWARE, LEVEL_SOFTWARE};
use licen_core::policy_manifest::{Contact, PolicyManifest};
use licen_core::primitives::U256;
use serde_json::json;

use crate::cli::{DatasetArg, SearchArgs};
use crate::session::Session;
use crate::session::custody::warnings;
use crate::session::error::Outcome;
use crate::session::ledger::Token;
use crate::session::manifest::manifest;
use crate::session::output::short;
use crate::session::prices::prices;
use crate::session::standing::{admits_by, listed};

/// Lists datasets.
///
/// # Errors
/// The node does not answer.
pub async fn search(session: &Session, args: &SearchArgs) -> Outcome {
    let ui = &session.ui;
    let mut listed = 0;
    for dataset in session.node()?.datasets(json!({})).await? {
        let manifest = manifest(session, &dataset).await.ok();
        let unknown = "(its manifest is missing or wrong)";
        let name = manifest.as_ref().map_or(unknown, PolicyManifest::name).to_string();
        let about = manifest.as_ref().map_or("", PolicyManifest::description).to_string();
        let root = dataset.policy.datasetRoot.to_string();
        let words = manifest.as_ref().map(found_by).unwrap_or_default();
        let haystack = format!("{root} {name} {about} {words}").to_lowercase();
        if !args.words.iter().all(|w| haystack.contains(&w.to_lowercase())) {
            continue;
        }
        let policy = &dataset.policy;
        let token = session.words(policy.token).await;
        ui.record(&token.beside_record(json!({
            "datasetRoot": root, "datasetUid": policy.datasetUid, "owner": policy.owner.to_string(), "name": name,
            "description": about, "languages": manifest.as_ref().map(PolicyManifest::languages),
            "tasks": manifest.as_ref().map(PolicyManifest::tasks),
            "keywords": manifest.as_ref().map(PolicyManifest::keywords), "royaltyPerEpoch": policy.royaltyPerEpoch.to_string(),
            "rows": manifest.as_ref().map(PolicyManifest::row_count), "requestersRoot": policy.requestersRoot, "active": dataset.row.active, "paused": dataset.row.paused
        })));
        listed += 1;
        let price = token.shown(U256::from(policy.royaltyPerEpoch));
        let rows = manifest.as_ref().map_or(0, PolicyManifest::row_count);
        let paused = if dataset.row.paused { "  (paused)" } else { "" };
        let access = match who_may(session, manifest.as_ref(), policy).await {
            word if word == admits_by(None) => String::new(),
            word => format!("  ({word})"),
        };
        ui.data(&format!("{}  {rows:>9} rows  {price:>10} per epoch  {name}{paused}{access}", short(&root)));
    }
    if listed == 0 {
        ui.progress(if args.words.is_empty() {
            "no datasets yet: licen publish"
        } else {
            "no dataset matches; licen search without words lists all"
        });
    }
    Ok(())
}

/// Shows one dataset.
///
/// # Errors
/// No such dataset, or the node's manifest is not the one on chain.
pub async fn show(session: &Session, args: &DatasetArg) -> Outcome {
    let dataset = session.dataset(&args.dataset).await?;
    let manifest = manifest(session, &dataset).await?;
    let policy = &dataset.policy;
    let constraints: Constraints = session.json_blob(policy.constraintsHash).await?;
    let chain = session.chain_at(dataset.contract).await?;
    let paused = chain.dataset(policy).await?.paused;
    let (t, members) = chain.custodians(policy.custodianSet, policy.setVersion).await?;
    let token = session.words(policy.token).await;
    let ui = &session.ui;
    ui.record(&token.beside_record(json!({
        "datasetRoot": policy.datasetRoot, "datasetUid": policy.datasetUid, "owner": policy.owner.to_string(),
        "name": manifest.name(), "description": manifest.description(), "languages": manifest.languages(),
        "tasks": manifest.tasks(), "keywords": manifest.keywords(), "license": manifest.license_text(),
        "contact": manifest.contact().as_ref().map(Contact::as_str), "published": manifest.published(),
        "storedBytes": manifest.stored_bytes(), "rows": manifest.row_count(),
        "bytes": manifest.byte_count(), "royaltyPerEpoch": policy.royaltyPerEpoch.to_string(),
        "maxEpochsPerRun": policy.maxEpochsPerRun,
        "maxRunsPerRequester": policy.maxRunsPerRequester, "purposes": manifest.purposes(),
        "startWindow": policy.startWindow, "runWindow": policy.runWindow, "policyExpiry": policy.policyExpiry,
        "requestersRoot": policy.requestersRoot, "allowList": manifest.facts().allow_list,
        "requiredLevel": policy.requiredLevel, "threshold": t, "custodians": members.len(),
        "version": policy.version, "paused": paused, "constraints": constraints,
        "contract": dataset.contract, "manifestHash": policy.manifestHash, "envelopeHash": policy.envelopeHash
    })));
    let mut lines = vec![
        ("dataset", policy.datasetRoot.to_string()),
        ("owner", policy.owner.to_string()),
        ("contract", dataset.contract.to_string()),
        ("name", manifest.name().to_string()),
        ("description", said_beside(manifest.description(), manifest.name())),
        ("languages", manifest.languages().join(", ")),
        ("tasks", manifest.tasks().join(", ")),
        ("keywords", manifest.keywords().join(", ")),
        ("contact", manifest.contact().map_or(String::new(), |c| c.as_str().to_string())),
        ("rows", format!("{} ({} bytes)", manifest.row_count(), manifest.byte_count())),
        ("price", price(policy, &token)),
        ("compute", compute_prices(session).await),
        ("caps", caps(policy)),
        ("purposes", manifest.purposes().join(", ")),
        ("training", limits(&constraints)),
        ("access lasts", format!("{} s to start, then {} s to run", policy.startWindow, policy.runWindow)),
        ("requests", taken(policy, paused)),
        ("access", who_may(session, Some(&manifest), policy).await),
        ("custodians", format!("{t} of {} release a key", members.len())),
        ("attestation", level_name(policy.requiredLevel).to_string()),
        ("license", manifest.license_text().to_string()),
    ];
    lines.retain(|(_, value)| !value.is_empty());
    for (name, value) in lines {
        ui.data(&format!("{name:<13} {}", indented(&value)));
    }
    for warning in warnings(policy.requiredLevel, t) {
        ui.warn(&warning);
    }
    Ok(())
}

/// What a dataset is found by beside its title and description.
fn found_by(manifest: &PolicyManifest) -> String {
    [manifest.languages(), manifest.tasks(), manifest.keywords()].concat().join(" ")
}

/// A description that only says the title again is none.
fn said_beside(description: &str, title: &str) -> String {
    if description == title { String::new() } else { description.to_string() }
}

/// A stranger's text of several lines, none of which may look like a line of ours.
fn indented(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join("\n              ")
}

/// What the compute of this node asks for beside the royalty; nothing where none answers.
async fn compute_prices(session: &Session) -> String {
    let Ok(node) = session.node() else { return String::new() };
    let mut said = Vec::new();
    for info in node.compute_infos().await.unwrap_or_default() {
        let named = match info.provider_id.is_zero() {
            true => String::new(),
            false => format!(", provider {}", short(&info.provider_id.to_string())),
        };
        said.extend(prices(session, &info, &named).await);
    }
    said.join("\n")
}

fn price(policy: &Policy, token: &Token) -> String {
    format!("{} {} per epoch", token.number(U256::from(policy.royaltyPerEpoch)), token.name())
}

fn caps(policy: &Policy) -> String {
    format!("{} epochs per run, {} runs per requester", policy.maxEpochsPerRun, policy.maxRunsPerRequester)
}

fn taken(policy: &Policy, paused: bool) -> String {
    match (paused, policy.policyExpiry) {
        (true, _) => "refused: the owner has paused the dataset".into(),
        (false, 0) => "taken".into(),
        (false, end) => format!("taken until Unix time {end}"),
    }
}

/// Whom the policy admits, in words.
async fn who_may(session: &Session, manifest: Option<&PolicyManifest>, policy: &Policy) -> String {
    let unusable = "nobody can tell: its allow-list is missing or wrong";
    if policy.requestersRoot.is_zero() {
        return admits_by(None).into();
    }
    let Some(manifest) = manifest else { return unusable.into() };
    match listed(session, manifest, policy).await {
        Ok(list) => admits_by(list.as_ref()).into(),
        Err(_) => unusable.into(),
    }
}

/// What the owner demands of training, in words.
fn limits(constraints: &Constraints) -> String {
    let limits = &constraints.training_limits;
    let mut said = Vec::new();
    if let Some(rank) = limits.max_rank {
        said.push(format!("LoRA rank at most {rank}"));
    }
    if let Some(steps) = limits.max_steps {
        said.push(format!("at most {steps} steps"));
    }
    let models: Vec<String> = constraints.base_models.iter().map(|m| short(&m.to_string())).collect();
    if models.is_empty() {
        said.push("any base model".into());
    } else {
        said.push(format!("base models {}", models.join(", ")));
    }
    let providers: Vec<String> = constraints.providers.iter().map(|id| short(&id.to_string())).collect();
    if !providers.is_empty() {
        said.push(format!("by providers {}", providers.join(", ")));
    }
    if !constraints.jurisdictions.is_empty() {
        said.push(format!("in {}", constraints.jurisdictions.join(", ")));
    }
    said.join(", ")
}

/// Shows the owner's preview rows; under `--json` with all that it takes to verify one elsewhere.
///
/// # Errors
/// No such dataset; a row that does not prove itself.
pub async fn preview(session: &Session, args: &DatasetArg) -> Outcome {
    let dataset = session.dataset(&args.dataset).await?;
    let manifest = manifest(session, &dataset).await?;
    let rows = &manifest.facts().preview;
    if rows.is_empty() {
        session.ui.progress("the owner shows no rows");
    }
    for row in rows {
        session.ui.record(&json!({
            "index": row.index,
            "row": row.row,
            "salt": row.salt,
            "proof": row.proof,
            "rowCount": manifest.row_count(),
            "rowsRoot": manifest.rows_root(),
        }));
        session.ui.data(&row.row);
    }
    if !rows.is_empty() {
        session.ui.progress(&format!("{} rows, each proven to be in the dataset", rows.len()));
    }
    Ok(())
}

fn level_name(level: u8) -> &'static str {
    match level {
        LEVEL_SOFTWARE => "SOFTWARE (simulated, not confidential)",
        LEVEL_HARDWARE => "HARDWARE",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_cannot_write_a_line_of_ours() {
        assert_eq!(indented("free\nowner         0x1"), "free\n              owner         0x1");
        assert_eq!(indented("one"), "one");
        assert_eq!(said_beside("Reviews", "Reviews"), "");
    }
}
