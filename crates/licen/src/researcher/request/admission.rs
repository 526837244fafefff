//! What lets a requester pass under a policy that is not open: a place on the owner's list, or the owner's
//! signed word. Both are checked as the contract checks them, before anything is paid.

use std::fmt;

use licen_core::abi::{Admission, Policy};
use licen_core::admission::{AllowList, is_on};
use licen_core::policy::PolicyBreach;
use licen_core::policy_manifest::PolicyManifest;
use licen_core::primitives::Address;

use crate::cli::RequestArgs;
use crate::researcher::refusal;
use crate::session::Session;
use crate::session::chain_view::ChainView;
use crate::session::error::Outcome;
use crate::session::node_client::IndexedDataset;
use crate::session::standing::{listed, standing};
use crate::session::when::shown;

/// Least that an approval has to last on: allowing a token, sending and mining take their time.
const MARGIN: u64 = 120;

/// An admission, and by what it holds.
#[derive(Debug)]
pub struct Admitted {
    admission: Admission,
    /// When it ends, Unix seconds; `None` as long as the list stands.
    until: Option<u64>,
}

impl Admitted {
    /// Whether nobody has to ask for more.
    #[must_use]
    pub fn by_list(&self) -> bool {
        self.until.is_none()
    }
}

impl fmt::Display for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until {
            None => f.write_str("admitted by the owner's list"),
            Some(until) => write!(f, "admitted by the owner until {}", shown(until)),
        }
    }
}

/// What lets `requester` pass; `None` where the policy is open.
///
/// # Errors
/// The requester is not admitted, or storage, node or chain do not answer.
pub(super) async fn admission(
    session: &Session,
    args: &RequestArgs,
    dataset: &IndexedDataset,
    manifest: &PolicyManifest,
    chain: &ChainView,
    requester: Address,
) -> Outcome<Option<Admission>> {
    let policy = &dataset.policy;
    let Some(list) = listed(session, manifest, policy).await? else { return Ok(None) };
    match find(session, dataset, chain, &list, requester).await? {
        Some(admitted) => {
            session.ui.progress(&admitted.to_string());
            Ok(Some(admitted.admission))
        }
        None => Err(not_admitted(args, policy, manifest, requester)),
    }
}

fn not_admitted(
    args: &RequestArgs,
    policy: &Policy,
    manifest: &PolicyManifest,
    requester: Address,
) -> crate::session::error::CliError {
    refusal::of_policy(args, policy, &manifest.purposes(), &PolicyBreach::NotAdmitted { requester })
}

/// A proof where the list has the requester, else the approval that the node keeps.
///
/// # Errors
/// Node or chain do not answer.
pub async fn find(
    session: &Session,
    dataset: &IndexedDataset,
    chain: &ChainView,
    list: &AllowList,
    requester: Address,
) -> Outcome<Option<Admitted>> {
    let proof = list.proof(requester);
    if let Some(proof) = proof.filter(|proof| is_on(dataset.policy.requestersRoot, requester, proof)) {
        let admission = Admission { proof, ..Admission::default() };
        return Ok(Some(Admitted { admission, until: None }));
    }
    let mut standing = standing(session, dataset, chain, Some(requester)).await?;
    let soon = chain.now().await?.saturating_add(MARGIN);
    let approval = standing.approvals.remove(&requester).filter(|(approval, _)| approval.expires >= soon);
    Ok(approval.map(|(approval, signature)| Admitted {
        until: Some(approval.expires),
        admission: Admission { proof: Vec::new(), approval, signature },
    }))
}
