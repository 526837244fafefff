//! `licen access`: who asked for a dataset, who may request it, until when.

use serde_json::json;

use crate::owner::owned::own_restricted;
use crate::session::Session;
use crate::session::error::Outcome;
use crate::session::manifest::{manifest, title};
use crate::session::node_client::IndexedDataset;
use crate::session::output::short;
use crate::session::standing::{admits_by, listed, standing};
use crate::session::when::shown;

/// Listed requesters that people are shown; programs get all.
const SHOWN: usize = 20;

/// Shows who asked and who may, of one dataset or of all of the wallet's that are not open.
///
/// # Errors
/// No such dataset, or node or chain do not answer.
pub async fn show(session: &Session, prefix: Option<&str>) -> Outcome {
    session.same_world().await?;
    if let Some(prefix) = prefix {
        return show_one(session, &session.dataset(prefix).await?).await;
    }
    let datasets = own_restricted(session).await?;
    if datasets.is_empty() {
        session.ui.progress("the wallet has no dataset that is not open to everybody");
    }
    for dataset in &datasets {
        show_one(session, dataset).await?;
    }
    Ok(())
}

async fn show_one(session: &Session, dataset: &IndexedDataset) -> Outcome {
    let (ui, policy) = (&session.ui, &dataset.policy);
    let chain = session.chain_at(dataset.contract).await?;
    let manifest = manifest(session, dataset).await?;
    let list = listed(session, &manifest, policy).await?;
    let admits = admits_by(list.as_ref());
    let uid = policy.datasetUid;
    ui.data(&format!("{}  {}, {admits}", short(&policy.datasetRoot.to_string()), title(&manifest)));
    let Some(list) = list else {
        ui.record(&json!({"kind": "open", "datasetUid": uid, "contract": dataset.contract}));
        return Ok(());
    };
    let standing = standing(session, dataset, &chain, None).await?;
    for (who, request) in &standing.requests {
        let (at, note) = (request.askedAt, &request.note);
        let admitted = standing.approvals.contains_key(who) || list.requesters.binary_search(who).is_ok();
        ui.record(
            &json!({"kind": "asked", "datasetUid": uid, "contract": dataset.contract, "requester": who,
            "askedAt": at, "note": note, "admitted": admitted}),
        );
        let said = if note.is_empty() { String::new() } else { format!("  {note:?}") };
        ui.data(&format!("  asked  {who}  {}{said}", shown(at)));
    }
    for (who, (approval, signature)) in &standing.approvals {
        ui.record(
            &json!({"kind": "approved", "datasetUid": uid, "contract": dataset.contract, "requester": who,
            "expires": approval.expires, "signature": signature}),
        );
        ui.data(&format!("  may    {who}  until {}", shown(approval.expires)));
    }
    for (at, who) in list.requesters.iter().enumerate() {
        ui.record(
            &json!({"kind": "listed", "datasetUid": uid, "contract": dataset.contract, "requester": who}),
        );
        if at < SHOWN {
            ui.data(&format!("  may    {who}  by the list"));
        }
    }
    if list.requesters.len() > SHOWN {
        ui.data(&format!("  and {} more by the list: --json has all", list.requesters.len() - SHOWN));
    }
    if standing.requests.is_empty() && standing.approvals.is_empty() && list.requesters.is_empty() {
        ui.progress("nobody has asked, and nobody may request it yet");
    }
    Ok(())
}
