//! `licen retire`: the owner asks every custodian that ever had a share to refuse the dataset for ever,
//! and collects their signed word for it.

use std::collections::BTreeSet;
use std::time::Duration;

use licen_core::abi::{Policy, Retire};
use licen_core::eip712::ChainDomain;
use licen_core::primitives::{Address, Bytes};
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::{RefusalResponse, RetireRequest};
use serde_json::json;

use crate::cli::RetireArgs;
use crate::owner::owned::owned;
use crate::owner::pause::set_paused;
use crate::session::custodian_client::CustodianClient;
use crate::session::custody::{check_refusal, sealed_to};
use crate::session::error::{CliError, Outcome};
use crate::session::node_client::IndexedDataset;
use crate::session::output::short;
use crate::session::{Session, codes};

const DEADLINE: Duration = Duration::from_secs(20);

/// Ends a dataset.
///
/// # Errors
/// Not the owner, or enough custodians did not refuse.
pub async fn retire(session: &Session, args: &RetireArgs) -> Outcome {
    let domain = session.chain().await?.domain().chain();
    let policy = owned(session, &args.dataset).await?.policy;
    let root = short(&policy.datasetRoot.to_string());
    let question = format!(
        "end dataset {root} for ever: no custodian will release its key again, and jobs that have no share yet end \
         with a refund?"
    );
    if !session.ui.confirm(&question) {
        return Err(
            CliError::environment(codes::NOT_CONFIRMED, "not retired").hint("--yes confirms it in a script")
        );
    }
    pause_everywhere(session, &policy).await?;
    let request = request(session, &domain, &policy)?;
    let sealed = sealed_to(session, policy.datasetUid).await?;
    let asked: BTreeSet<Address> = sealed.iter().flat_map(|s| &s.members).map(|m| m.signer).collect();
    let mut refusing = BTreeSet::new();
    for custodian in asked.iter().copied() {
        match ask(session, custodian, &request, &domain).await {
            Ok(said) => {
                let at = said.refusal.0.refusedAt;
                session
                    .ui
                    .record(&json!({"custodian": custodian, "refusedAt": at, "signature": said.signature}));
                session.ui.data(&format!("{custodian} refuses since {at}"));
                refusing.insert(custodian);
            }
            Err(reason) => session.ui.warn(&format!("{custodian}: {reason}")),
        }
    }
    for version in &sealed {
        let left = version.members.iter().filter(|m| !refusing.contains(&m.signer)).count();
        if left >= usize::from(version.t) {
            let message = format!(
                "{left} custodians of set {} version {} have not refused, and {} can release",
                short(&version.set.0.to_string()),
                version.set.1,
                version.t
            );
            return Err(CliError::refused(codes::CUSTODIANS, message)
                .hint(format!("licen retire {} again, when they answer", args.dataset)));
        }
    }
    let absent = asked.len() - refusing.len();
    if absent > 0 {
        session.ui.warn(&format!("{absent} did not refuse: licen retire {} asks them again", args.dataset));
    }
    session.ui.progress("Retired: too few are left who would release it. Their keys are not destroyed yet");
    Ok(())
}

/// A refusal binds every deployment, so none is left that takes money for nothing.
async fn pause_everywhere(session: &Session, policy: &Policy) -> Outcome {
    let known = session.deployment().await?.contracts.data_policies.clone();
    let registered = session.node()?.datasets_named(&policy.datasetUid.to_string()).await?;
    let ours = |d: &IndexedDataset| d.policy.owner == policy.owner && known.contains(&d.contract);
    for dataset in registered.into_iter().filter(ours) {
        set_paused(session, &dataset, true).await?;
    }
    Ok(())
}

fn request(session: &Session, domain: &ChainDomain, policy: &Policy) -> Outcome<RetireRequest> {
    let retire = Retire { datasetUid: policy.datasetUid };
    let signature = session.wallet()?.sign_digest(&domain.digest(&retire));
    let signature = Bytes::copy_from_slice(&signature);
    Ok(RetireRequest { owner: policy.owner, salt: policy.salt, retire: AbiHex(retire), signature })
}

async fn ask(
    session: &Session,
    custodian: Address,
    request: &RetireRequest,
    domain: &ChainDomain,
) -> Result<RefusalResponse, String> {
    let client = CustodianClient::of(session, custodian, DEADLINE).await.map_err(|e| e.to_string())?;
    let said = client.retire(request).await.map_err(|e| e.to_string())?;
    check_refusal(&said, custodian, request.retire.0.datasetUid, domain).map(|()| said)
}
