//! `licen access DATASET --ask`: a researcher asks for access.

use std::time::{SystemTime, UNIX_EPOCH};

use licen_core::abi::AccessRequest;
use licen_core::admission::is_note;
use licen_core::primitives::Bytes;
use licen_core::wire::AbiHex;
use licen_core::wire::node::SignedAccessRequest;
use serde_json::json;

use crate::cli::AccessArgs;
use crate::researcher::request::admission;
use crate::session::error::{CliError, Outcome};
use crate::session::manifest::manifest;
use crate::session::standing::listed;
use crate::session::{Session, codes};

/// Leaves a signed request for access with the dataset's node, for the owner to find.
///
/// # Errors
/// No such dataset, an open one, node or chain do not answer, or the node does not take the request.
pub async fn ask(session: &Session, args: &AccessArgs, prefix: &str) -> Outcome {
    session.same_world().await?;
    let dataset = &session.dataset(prefix).await?;
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
    let request_it = format!("licen request {}", prefix);
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
    let shows = format!("licen access {} shows what stands", prefix);
    let taken = session.node()?.ask_access(&signed).await;
    taken.map_err(|e| if e.hint.is_some() { e } else { e.hint(shows) })?;
    session.ui.progress(&format!("Asked the owner {}; licen access shows the answer", policy.owner));
    session.ui.record(&record);
    Ok(())
}
