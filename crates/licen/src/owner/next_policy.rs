//! The next version of a policy, put into force with the documents it names.

use licen_core::abi::{DataPolicy, Policy, Split};
use licen_core::id::policy_hash;
use licen_core::policy::validate;
use licen_core::primitives::{B256, U256, keccak256};

use crate::owner::terms::terms_text;
use crate::session::error::{CliError, Outcome};
use crate::session::manifest::manifest;
use crate::session::node_client::IndexedDataset;
use crate::session::{Session, codes};

/// Puts the next version of a dataset's policy into force; gives it with its documents named. `splits` are
/// those of a payee that is new, `list` is the root of an allow-list that is new.
///
/// # Errors
/// Terms the contract would refuse, or storage and chain.
pub async fn replace(
    session: &Session,
    dataset: &IndexedDataset,
    mut next: Policy,
    splits: &[Split],
    list: Option<B256>,
) -> Outcome<Policy> {
    let chain = session.chain_at(dataset.contract).await?;
    validate(&next, chain.domain().chain_id, chain.now().await?)
        .map_err(|e| CliError::refused(codes::POLICY_INVALID, e.to_string()))?;
    describe(session, dataset, &mut next, splits, list).await?;
    let (uid, version) = (next.datasetUid, next.version);
    let label = format!("policy:{}:{uid}:{version}:{}", dataset.contract, policy_hash(&next));
    let call = DataPolicy::updatePolicyCall { old: dataset.policy.clone(), next: next.clone() };
    let mined = session.send(&label, chain.contract(), &call, U256::ZERO).await?;
    session.indexed(&mined).await;
    session
        .ui
        .progress(&format!("Version {} holds for new requests; running jobs keep theirs", next.version));
    Ok(next)
}

/// Stores the words of the new terms, and names them in `next`: people and programs that read the
/// offer must read what the contract will enforce.
async fn describe(
    session: &Session,
    dataset: &IndexedDataset,
    next: &mut Policy,
    splits: &[Split],
    list: Option<B256>,
) -> Outcome {
    let mut manifest = manifest(session, dataset).await?;
    if next.requestersRoot != dataset.policy.requestersRoot {
        manifest = manifest.with_allow_list(list);
    }
    if next.payee != dataset.policy.payee {
        manifest = manifest.with_split(splits.iter().map(Into::into).collect());
    }
    let token = session.token(next.token).await?;
    let terms = terms_text(next, &token, &manifest.purposes(), manifest.license_text());
    let text_hash = keccak256(&terms);
    next.termsHash = session.put_blob(terms.into_bytes()).await?;
    let bytes = manifest
        .with_terms(next, text_hash)
        .to_bytes()
        .map_err(|e| CliError::environment(codes::USAGE, "cannot write the manifest").because(&e))?;
    next.manifestHash = session.put_blob(bytes).await?;
    Ok(())
}
