//! `licen approve`: the owner admits requesters by signature, which costs no gas.

use licen_core::abi::Approval;
use licen_core::primitives::{Address, B256, Bytes};
use licen_core::wire::AbiHex;
use licen_core::wire::node::SignedApproval;
use serde_json::json;

use crate::cli::ApproveArgs;
use crate::owner::allow_list::address;
use crate::owner::owned::{own_restricted, owned};
use crate::session::error::{CliError, Outcome};
use crate::session::manifest::{manifest, title};
use crate::session::node_client::IndexedDataset;
use crate::session::output::short;
use crate::session::standing::standing;
use crate::session::when::{moment, shown};
use crate::session::{Session, codes};

/// Datasets that an error lists.
const MAX_NAMED: usize = 8;

/// Signs one approval for each requester and leaves them with the node.
///
/// # Errors
/// Not an address, a moment that is over, not the owner, an open dataset, or several that are meant.
pub async fn approve(session: &Session, args: &ApproveArgs) -> Outcome {
    let expires = moment("--until", &args.until)?;
    let mut requesters = args.requesters.iter().map(|text| requester(text)).collect::<Outcome<Vec<_>>>()?;
    requesters.sort_unstable();
    requesters.dedup();
    session.same_world().await?;
    let dataset = match &args.dataset {
        Some(prefix) => owned(session, prefix).await?,
        None => meant(session, &requesters).await?,
    };
    let (policy, contract) = (&dataset.policy, dataset.contract);
    let root = short(&policy.datasetRoot.to_string());
    if policy.requestersRoot.is_zero() {
        let message = format!("dataset {root} is open to everybody, there is nothing to approve");
        return Err(CliError::refused(codes::ACCESS, message).hint(format!(
            "licen policy update {} --by-approval admits only whom you approve",
            policy.datasetUid
        )));
    }
    let chain = session.chain_at(contract).await?;
    chain.dataset(policy).await?;
    let now = chain.now().await?;
    if expires <= now {
        let message = format!("--until {} is over, chain time is {}", shown(expires), shown(now));
        return Err(CliError::environment(codes::USAGE, message).hint("--until with a later moment"));
    }
    let name = title(&manifest(session, &dataset).await?);
    for requester in requesters {
        let approval = Approval {
            datasetUid: policy.datasetUid,
            requestersRoot: policy.requestersRoot,
            requester,
            expires,
        };
        let signature = session.wallet()?.sign_digest(&chain.domain().digest(&approval));
        let signature = Bytes::copy_from_slice(&signature);
        let record = json!({"kind": "approved", "datasetUid": policy.datasetUid, "contract": contract, "requester": requester,
            "expires": expires, "signature": signature});
        let approval = SignedApproval { contract, approval: AbiHex(approval), signature };
        session.node()?.put_approval(&approval).await.map_err(|e| not_taken(e, policy.datasetUid))?;
        session.ui.record(&record);
        session.ui.data(&format!("{requester} may request {root} {name} until {}", shown(expires)));
    }
    session.ui.progress(&format!(
        "A new list ends what you approved: licen policy update {} --by-approval",
        short(&policy.datasetUid.to_string())
    ));
    Ok(())
}

fn not_taken(error: CliError, uid: B256) -> CliError {
    if error.hint.is_some() {
        return error;
    }
    let uid = short(&uid.to_string());
    error.hint(format!(
        "licen access {uid} shows what stands; licen policy update {uid} --by-approval ends it"
    ))
}

fn requester(text: &str) -> Outcome<Address> {
    address(text).map_err(|what| {
        CliError::environment(codes::USAGE, what)
            .hint("an address is 0x and 40 hex digits; licen access lists who asked")
    })
}

/// The dataset that is meant where none is named: the only one that is not open, or the one at which all of
/// them asked. Where several are there, that is a stranger's word, so the owner is asked.
async fn meant(session: &Session, requesters: &[Address]) -> Outcome<IndexedDataset> {
    let mut own = own_restricted(session).await?;
    let refused = |message: &str| CliError::refused(codes::NO_SUCH_DATASET, message);
    if own.len() <= 1 {
        return own.pop().ok_or_else(|| {
            refused("the wallet has no dataset that is not open to everybody")
                .hint("licen policy update DATASET --by-approval admits only whom you approve")
        });
    }
    let mut asked = Vec::new();
    for dataset in &own {
        let chain = session.chain_at(dataset.contract).await?;
        let requests = standing(session, dataset, &chain, None).await?.requests;
        if requesters.iter().all(|requester| requests.contains_key(requester)) {
            asked.push(dataset.clone());
        }
    }
    if asked.len() != 1 {
        let many = !asked.is_empty();
        let (message, listed) = if many {
            ("they asked at several of your datasets", &asked)
        } else {
            ("they asked at none of your datasets, and several are not open", &own)
        };
        let mut error = refused(message).hint("--dataset with one of them");
        error.causes = listed.iter().take(MAX_NAMED).map(named).collect();
        return Err(error);
    }
    let dataset = asked.remove(0);
    let question = format!("they asked at {}: approve them there?", named(&dataset));
    if session.ui.confirm(&question) {
        return Ok(dataset);
    }
    Err(CliError::environment(codes::NOT_CONFIRMED, "not confirmed, nobody was approved")
        .hint(format!("--dataset {}, or --yes", dataset.policy.datasetUid)))
}

fn named(dataset: &IndexedDataset) -> String {
    format!("{} at {}", dataset.policy.datasetUid, dataset.contract)
}
