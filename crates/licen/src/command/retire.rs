//! `licen retire`: the owner asks every custodian that ever had a share to refuse the dataset for ever,
//! and collects their signed word for it.

use std::collections::BTreeSet;
use std::time::Duration;

use licen_core::abi::{Member, Policy, Retire};
use licen_core::eip712::ChainDomain;
use licen_core::primitives::{Address, B256, Bytes};
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::{RefusalResponse, RetireRequest};
use serde_json::json;

use crate::cli::RetireArgs;
use crate::codes;
use crate::command::policy::{owned, set_paused};
use crate::command::search::short;
use crate::custodian_client::CustodianClient;
use crate::error::{CliError, Outcome};
use crate::node_client::IndexedDataset;
use crate::session::Session;

const DEADLINE: Duration = Duration::from_secs(20);

/// A version of a set that the dataset's key was sealed to.
pub struct Sealed {
    /// The set and its version.
    pub set: (B256, u32),
    /// Members that suffice.
    pub t: u8,
    /// Members.
    pub members: Vec<Member>,
}

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

/// Every version of every set that the dataset's key was ever sealed to, from the chain's logs.
///
/// # Errors
/// The chain.
pub async fn sealed_to(session: &Session, uid: B256) -> Outcome<Vec<Sealed>> {
    let chain = session.chain().await?;
    let mut policies = Vec::new();
    for contract in session.chains().await? {
        policies.extend(contract.policies_of(uid).await?);
    }
    let sets: BTreeSet<(B256, u32)> = policies.iter().map(|p| (p.custodianSet, p.setVersion)).collect();
    let mut sealed = Vec::new();
    for set in sets {
        // A policy may name a set that nobody made; nothing can be sealed to it.
        match chain.custodians(set.0, set.1).await {
            Ok((t, members)) => sealed.push(Sealed { set, t, members }),
            Err(error) if error.code == codes::TRANSACTION => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sealed)
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

/// That a refusal is of this dataset, and of this custodian.
///
/// # Errors
/// What it is instead.
pub fn check_refusal(
    said: &RefusalResponse,
    custodian: Address,
    uid: B256,
    domain: &ChainDomain,
) -> Result<(), String> {
    if said.refusal.0.datasetUid != uid {
        return Err(format!("it refuses {}, another dataset", said.refusal.0.datasetUid));
    }
    match domain.signer_of(&said.refusal.0, &said.signature) {
        Some(signer) if signer == custodian => Ok(()),
        _ => Err("its refusal is not signed by it".into()),
    }
}
