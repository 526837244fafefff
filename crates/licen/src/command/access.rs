//! `licen access`: who asked for a dataset, who may request it, until when; and asking. The node only
//! keeps what others signed, so every signature is verified here, and what does not verify is left out.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use licen_core::abi::{AccessRequest, Approval, Policy};
use licen_core::admission::{AllowList, admits, asks, is_note};
use licen_core::policy_manifest::PolicyManifest;
use licen_core::primitives::{Address, Bytes};
use licen_core::wire::AbiHex;
use licen_core::wire::node::SignedAccessRequest;
use serde_json::json;

use crate::chain_view::ChainView;
use crate::cli::AccessArgs;
use crate::codes;
use crate::command::request::admission;
use crate::command::search::{manifest, short};
use crate::error::{CliError, Outcome};
use crate::node_client::IndexedDataset;
use crate::owner::when::shown;
use crate::session::Session;

/// Most requests or approvals of one dataset that are looked at: each may cost questions to the chain.
const MOST_READ: usize = 2_048;
/// Listed requesters that people are shown; programs get all.
const SHOWN: usize = 20;

/// Shows who asked and who may, or asks.
///
/// # Errors
/// No such dataset, node or chain do not answer, or the node does not take the request.
pub async fn access(session: &Session, args: &AccessArgs) -> Outcome {
    session.same_world().await?;
    let Some(prefix) = &args.dataset else {
        let datasets = own_restricted(session).await?;
        if datasets.is_empty() {
            session.ui.progress("the wallet has no dataset that is not open to everybody");
        }
        for dataset in &datasets {
            show(session, dataset).await?;
        }
        return Ok(());
    };
    let dataset = session.dataset(prefix).await?;
    if args.ask { ask(session, args, &dataset).await } else { show(session, &dataset).await }
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

/// A dataset's title in one line: an owner wrote it, and no line of ours may be a stranger's.
#[must_use]
pub fn title(manifest: &PolicyManifest) -> String {
    manifest.name().lines().collect::<Vec<_>>().join(" ")
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

async fn show(session: &Session, dataset: &IndexedDataset) -> Outcome {
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

async fn ask(session: &Session, args: &AccessArgs, dataset: &IndexedDataset) -> Outcome {
    let note = args.note.clone().unwrap_or_default();
    if !is_note(&note) {
        return Err(CliError::environment(
            codes::USAGE,
            "--note is not one line of at most 280 bytes without control characters",
        )
        .hint("--note \"For a paper on drug names\""));
    }
    let (policy, wallet) = (&dataset.policy, session.wallet()?);
    let chain = session.chain_at(dataset.contract).await?;
    chain.dataset(policy).await?;
    let manifest = manifest(session, dataset).await?;
    let request_it = format!("licen request {}", args.dataset.as_deref().unwrap_or_default());
    let Some(list) = listed(session, &manifest, policy).await? else {
        let message = "the dataset is open to everybody, there is nothing to ask for";
        return Err(CliError::refused(codes::ACCESS, message).hint(request_it));
    };
    if let Some(admitted) = admission::find(session, dataset, &chain, &list, wallet.address()).await? {
        session.ui.progress(&format!("{admitted}: {request_it}"));
        if admitted.by_list() {
            return Ok(());
        }
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let request = AccessRequest {
        datasetUid: policy.datasetUid,
        requestersRoot: policy.requestersRoot,
        requester: wallet.address(),
        askedAt: since.as_secs(),
        note,
    };
    let signature = Bytes::copy_from_slice(&wallet.sign_digest(&chain.domain().digest(&request)));
    let record = json!({"kind": "asked", "datasetUid": request.datasetUid, "contract": dataset.contract,
        "requester": request.requester, "askedAt": request.askedAt, "note": request.note});
    let signed = SignedAccessRequest { contract: dataset.contract, request: AbiHex(request), signature };
    let shows = format!("licen access {} shows what stands", args.dataset.as_deref().unwrap_or_default());
    let taken = session.node()?.ask_access(&signed).await;
    taken.map_err(|e| if e.hint.is_some() { e } else { e.hint(shows) })?;
    session.ui.progress(&format!("Asked the owner {}; licen access shows the answer", policy.owner));
    session.ui.record(&record);
    Ok(())
}
