//! `search`, `show`, `preview`.

use licen_core::money::format_units;
use licen_core::policy::{LEVEL_HARDWARE, LEVEL_SOFTWARE};
use licen_core::policy_manifest::{MAX_BYTES, PolicyManifest};
use licen_core::primitives::{Address, U256};
use serde_json::json;

use crate::cli::{DatasetArg, SearchArgs};
use crate::codes;
use crate::error::{CliError, Outcome};
use crate::node_client::IndexedDataset;
use crate::session::Session;

/// Lists datasets.
///
/// # Errors
/// The node does not answer.
pub async fn search(session: &Session, args: &SearchArgs) -> Outcome {
    let ui = &session.ui;
    for dataset in session.node()?.datasets(1000).await? {
        let manifest = manifest(session, &dataset).await.ok();
        let name = manifest.as_ref().map_or("", PolicyManifest::name).to_string();
        let about = manifest.as_ref().map_or("", PolicyManifest::description).to_string();
        let root = dataset.policy.datasetRoot.to_string();
        let haystack = format!("{root} {name} {about}").to_lowercase();
        if !args.words.iter().all(|w| haystack.contains(&w.to_lowercase())) {
            continue;
        }
        let policy = &dataset.policy;
        ui.record(&json!({
            "datasetRoot": root, "datasetUid": policy.datasetUid, "owner": policy.owner, "name": name,
            "description": about, "royaltyPerEpoch": policy.royaltyPerEpoch.to_string(),
            "rows": manifest.as_ref().map(PolicyManifest::row_count), "active": dataset.fields["active"]
        }));
        let price = format_units(U256::from(policy.royaltyPerEpoch), 18);
        let rows = manifest.as_ref().map_or(0, PolicyManifest::row_count);
        ui.data(&format!("{}  {rows:>9} rows  {price:>10} per epoch  {name}", short(&root)));
    }
    Ok(())
}

/// Shows one dataset.
///
/// # Errors
/// No such dataset, or the node's manifest is not the one on chain.
pub async fn show(session: &Session, args: &DatasetArg) -> Outcome {
    let dataset = session.node()?.dataset(&args.dataset).await?;
    let manifest = manifest(session, &dataset).await?;
    let policy = &dataset.policy;
    let (t, members) = session.chain().await?.custodians(policy.custodianSet, policy.setVersion).await?;
    let ui = &session.ui;
    ui.record(&json!({
        "datasetRoot": policy.datasetRoot, "datasetUid": policy.datasetUid, "owner": policy.owner,
        "name": manifest.name(), "description": manifest.description(), "rows": manifest.row_count(),
        "bytes": manifest.byte_count(), "royaltyPerEpoch": policy.royaltyPerEpoch.to_string(),
        "token": policy.token, "maxEpochsPerRun": policy.maxEpochsPerRun,
        "maxRunsPerRequester": policy.maxRunsPerRequester, "purposes": manifest.purposes(),
        "startWindow": policy.startWindow, "runWindow": policy.runWindow, "policyExpiry": policy.policyExpiry,
        "requiredLevel": policy.requiredLevel, "threshold": t, "custodians": members.len(),
        "version": policy.version, "paused": dataset.fields["paused"]
    }));
    let coin = if policy.token == Address::ZERO { "coins".to_string() } else { policy.token.to_string() };
    let lines = [
        ("dataset", policy.datasetRoot.to_string()),
        ("owner", policy.owner.to_string()),
        ("name", manifest.name().to_string()),
        ("rows", format!("{} ({} bytes)", manifest.row_count(), manifest.byte_count())),
        ("price", format!("{} {coin} per epoch", format_units(U256::from(policy.royaltyPerEpoch), 18))),
        (
            "caps",
            format!(
                "{} epochs per run, {} runs per requester",
                policy.maxEpochsPerRun, policy.maxRunsPerRequester
            ),
        ),
        ("purposes", manifest.purposes().join(", ")),
        ("access lasts", format!("{} s to start, then {} s to run", policy.startWindow, policy.runWindow)),
        ("custodians", format!("{t} of {} release a key", members.len())),
        ("attestation", level_name(policy.requiredLevel).to_string()),
    ];
    for (name, value) in lines {
        ui.data(&format!("{name:<13} {value}"));
    }
    for warning in warnings(policy.requiredLevel, t) {
        ui.warn(&warning);
    }
    Ok(())
}

/// Shows the owner's preview rows.
///
/// # Errors
/// No such dataset; a row that does not prove itself.
pub async fn preview(session: &Session, args: &DatasetArg) -> Outcome {
    let dataset = session.node()?.dataset(&args.dataset).await?;
    let manifest = manifest(session, &dataset).await?;
    let rows = &manifest.facts().preview;
    if rows.is_empty() {
        session.ui.progress("the owner shows no rows");
    }
    for row in rows {
        session.ui.record(&json!({"index": row.index, "row": row.row}));
        session.ui.data(&row.row);
    }
    session.ui.progress(&format!("{} rows, each proven to be in the dataset", rows.len()));
    Ok(())
}

/// The manifest that the chain names, whole and checked.
///
/// # Errors
/// Storage does not have it, or it is not what its name says.
pub async fn manifest(session: &Session, dataset: &IndexedDataset) -> Outcome<PolicyManifest> {
    let root = dataset.policy.manifestHash;
    let bytes = session.blob(root, MAX_BYTES as u64).await?;
    PolicyManifest::from_bytes(&bytes)
        .map_err(|e| CliError::refused(codes::STORAGE, format!("manifest {root} is not usable")).because(&e))
}

/// What a person must know before trusting a dataset's custody.
#[must_use]
pub fn warnings(level: u8, threshold: u8) -> Vec<String> {
    let mut warnings = Vec::new();
    if level == LEVEL_SOFTWARE {
        warnings.push("attestation is simulated (level SOFTWARE): compute is not confidential".to_string());
    }
    if threshold == 1 {
        warnings.push("one custodian alone can read the dataset and settle or withhold the job".to_string());
    }
    warnings
}

fn level_name(level: u8) -> &'static str {
    match level {
        LEVEL_SOFTWARE => "SOFTWARE (simulated, not confidential)",
        LEVEL_HARDWARE => "HARDWARE",
        _ => "unknown",
    }
}

/// The first and last digits of a long hex name.
#[must_use]
pub fn short(hex: &str) -> String {
    if hex.len() <= 14 { hex.to_string() } else { format!("{}…{}", &hex[..8], &hex[hex.len() - 4..]) }
}
