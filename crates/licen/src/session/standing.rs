//! Who may request a dataset: its allow-list, and what its node keeps of requests for access and approvals.
//! The node only keeps what others signed, so every signature is verified here, and what does not verify is left out.

use std::collections::BTreeMap;

use licen_core::abi::{AccessRequest, Approval, Policy};
use licen_core::admission::{AllowList, admits, asks};
use licen_core::policy_manifest::PolicyManifest;
use licen_core::primitives::{Address, Bytes};

use crate::session::chain_view::ChainView;
use crate::session::error::{CliError, Outcome};
use crate::session::node_client::IndexedDataset;
use crate::session::{Session, codes};

/// Most requests or approvals of one dataset that are looked at: each may cost questions to the chain.
const MOST_READ: usize = 2_048;

/// Whom a policy admits by its list; nothing where it is open.
///
/// # Errors
/// Storage does not have the list, or it is not the policy's.
pub async fn listed(
    session: &Session,
    manifest: &PolicyManifest,
    policy: &Policy,
) -> Outcome<Option<AllowList>> {
    if policy.requestersRoot.is_zero() {
        return Ok(None);
    }
    let wrong =
        |what: &str| CliError::refused(codes::STORAGE, format!("the allow-list is not usable: {what}"));
    let root = manifest.facts().allow_list.ok_or_else(|| wrong("the manifest names none"))?;
    let list: AllowList = session.json_blob(root).await?;
    list.validate().map_err(|e| wrong(&e.to_string()))?;
    if list.root() != policy.requestersRoot {
        return Err(wrong("it is not the one that the policy enforces"));
    }
    Ok(Some(list))
}

/// How a policy admits, in words; `None` is the list of an open one.
#[must_use]
pub fn admits_by(list: Option<&AllowList>) -> &'static str {
    match list {
        None => "open",
        Some(list) if list.requesters.is_empty() => "by approval",
        Some(_) => "by list",
    }
}

/// What a dataset's node keeps, verified.
#[derive(Debug, Default)]
pub struct Standing {
    /// The last request of each requester.
    pub requests: BTreeMap<Address, AccessRequest>,
    /// The approval of each requester that ends last, with its signature.
    pub approvals: BTreeMap<Address, (Approval, Bytes)>,
    /// How many entries do not verify.
    left_out: usize,
}

/// Who asked and who is approved now, as far as signatures prove it; `of` one requester, where one is named.
///
/// # Errors
/// Node or chain do not answer.
pub async fn standing(
    session: &Session,
    dataset: &IndexedDataset,
    chain: &ChainView,
    of: Option<Address>,
) -> Outcome<Standing> {
    let (policy, contract) = (&dataset.policy, dataset.contract);
    let mut told = session.node()?.access(contract, policy.datasetUid).await?;
    // A signature of somebody else's may cost questions to the chain.
    told.requests.retain(|said| of.is_none_or(|who| said.request.0.requester == who));
    told.approvals.retain(|said| of.is_none_or(|who| said.approval.0.requester == who));
    let now = chain.now().await?;
    let mut standing = Standing::default();
    for (at, said) in told.requests.into_iter().enumerate() {
        let request = said.request.0;
        let who = request.requester;
        let fits = at < MOST_READ && said.contract == contract && asks(&request, policy).is_ok();
        let digest = chain.domain().digest(&request);
        if !fits || !chain.is_signed_by(who, digest, &said.signature).await? {
            standing.left_out += 1;
        } else if standing.requests.get(&who).is_none_or(|known| known.askedAt < request.askedAt) {
            standing.requests.insert(who, request);
        }
    }
    for (at, said) in told.approvals.into_iter().enumerate() {
        let approval = said.approval.0;
        let who = approval.requester;
        if approval.expires <= now && said.contract == contract {
            continue;
        }
        let fits = at < MOST_READ && said.contract == contract && admits(&approval, policy, who, now).is_ok();
        let digest = chain.domain().digest(&approval);
        if !fits || !chain.is_signed_by(policy.owner, digest, &said.signature).await? {
            standing.left_out += 1;
        } else if standing.approvals.get(&who).is_none_or(|(known, _)| known.expires < approval.expires) {
            standing.approvals.insert(who, (approval, said.signature));
        }
    }
    if standing.left_out > 0 {
        session.ui.warn(&format!(
            "{} of the requests and approvals that the node tells do not verify, and are left out",
            standing.left_out
        ));
    }
    Ok(standing)
}
