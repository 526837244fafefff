//! Whether a dataset takes requests.

use licen_core::abi::DataPolicy;
use licen_core::primitives::U256;
use serde_json::json;

use crate::session::Session;
use crate::session::error::Outcome;
use crate::session::node_client::IndexedDataset;

/// Stops new requests of a dataset, or takes them again.
///
/// # Errors
/// Not the current policy, or the chain.
pub async fn set_paused(session: &Session, dataset: &IndexedDataset, pause: bool) -> Outcome {
    let (policy, contract) = (dataset.policy.clone(), dataset.contract);
    let (chain, uid) = (session.chain_at(contract).await?, policy.datasetUid);
    let label = format!("pause:{contract}:{uid}:{pause}:{}", chain.now().await?);
    if chain.dataset(&policy).await?.paused == pause {
        session.ui.progress(if pause { "It was paused already" } else { "It took requests already" });
    } else {
        let mined = if pause {
            session.send(&label, contract, &DataPolicy::pausePolicyCall { policy }, U256::ZERO).await?
        } else {
            session.send(&label, contract, &DataPolicy::resumePolicyCall { policy }, U256::ZERO).await?
        };
        session.indexed(&mined).await;
    }
    let word = if pause {
        "Paused: new requests are refused, running jobs go on"
    } else {
        "Resumed: new requests are taken again"
    };
    session.ui.progress(word);
    session.ui.record(&json!({"datasetUid": uid, "paused": pause}));
    Ok(())
}
