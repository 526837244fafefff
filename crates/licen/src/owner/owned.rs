//! Datasets that are the wallet's own.

use licen_core::primitives::Address;
use serde_json::json;

use crate::session::error::{CliError, Outcome};
use crate::session::node_client::IndexedDataset;
use crate::session::{Session, codes};

/// A dataset of the wallet's own.
///
/// # Errors
/// No such dataset, or somebody else's.
pub async fn owned(session: &Session, prefix: &str) -> Outcome<IndexedDataset> {
    let wallet = session.wallet()?.address();
    let dataset = session.dataset_of(prefix, Some(wallet)).await?;
    must_own(&dataset, wallet)?;
    Ok(dataset)
}

/// Refuses a dataset that is not the wallet's.
///
/// # Errors
/// Somebody else's.
pub fn must_own(dataset: &IndexedDataset, wallet: Address) -> Outcome {
    let owner = dataset.policy.owner;
    if owner != wallet {
        let message = format!("the dataset belongs to {owner}, the wallet is {wallet}");
        return Err(
            CliError::refused(codes::POLICY_INVALID, message).hint("--wallet FILE with the owner's key")
        );
    }
    Ok(())
}

/// The wallet's own datasets that are not open, at every contract of the deployment.
///
/// # Errors
/// No wallet, or the node does not answer.
pub async fn own_restricted(session: &Session) -> Outcome<Vec<IndexedDataset>> {
    let wallet = session.wallet()?.address();
    let known = &session.deployment().await?.contracts.data_policies;
    let filter = json!({"owner": {"_eq": wallet.to_string()}});
    let mut own = session.node()?.datasets(filter).await?;
    own.retain(|d| {
        d.policy.owner == wallet && !d.policy.requestersRoot.is_zero() && known.contains(&d.contract)
    });
    Ok(own)
}
