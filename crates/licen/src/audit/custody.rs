//! The custody of one dataset: who was given shares of its key, who refuses it for ever, and who says to
//! have destroyed the key that its share was sealed to.

use std::time::Duration;

use licen_core::abi::Member;
use licen_core::eip712::ChainDomain;
use licen_core::id::dataset_uid;
use licen_core::primitives::B256;
use licen_core::wire::custodian::ErasureResponse;
use serde_json::json;

use super::check::{Audit, holds};
use crate::session::Session;
use crate::session::custodian_client::{CustodianClient, NoAnswer};
use crate::session::custody::{Sealed, check_refusal, sealed_to};
use crate::session::error::Outcome;
use crate::session::output::short;

const DEADLINE: Duration = Duration::from_secs(20);
/// What a custodian says where it made no such statement.
const NONE: u16 = 716;

pub(super) async fn audit(session: &Session, dataset: &str) -> Outcome {
    let dataset = session.dataset(dataset).await?;
    let (chain, policy) = (session.chain_at(dataset.contract).await?, dataset.policy);
    let statements = chain.domain().chain();
    let mut audit = Audit { session, failed: None, checks: 0 };
    let uid = dataset_uid(statements.chain_id, policy.owner, policy.salt);
    let known = chain.dataset(&policy).await;
    audit
        .line("policy on chain", known.map(|_| format!("version {}", policy.version)).map_err(|e| e.message));
    audit.line(
        "dataset uid",
        holds(
            uid == policy.datasetUid,
            format!("computed from owner and salt: {uid}"),
            "it is not the owner's",
        ),
    );
    for sealed in sealed_to(session, uid).await? {
        version(&mut audit, &statements, uid, &sealed).await;
    }
    audit.finish()
}

/// One line per statement that is made, one for what they come to.
async fn version(audit: &mut Audit<'_>, domain: &ChainDomain, uid: B256, sealed: &Sealed) {
    let Sealed { set: (set, number), t, members } = sealed;
    let name = format!("set {} v{number}", short(&set.to_string()));
    let (mut refusals, mut erasures, mut either) = (0, 0, 0);
    for member in members {
        let (refuses, erased) = statements(audit, domain, uid, member).await;
        refusals += usize::from(refuses);
        erasures += usize::from(erased);
        either += usize::from(refuses || erased);
    }
    let (n, needed) = (members.len(), usize::from(*t));
    let word = match (n - erasures < needed, n - either < needed) {
        (true, _) => "its shares open no more",
        (false, true) => "too few are left who would release a share",
        (false, false) => "its shares can be released",
    };
    audit.session.ui.record(&json!({"custodianSet": set, "setVersion": number, "threshold": t, "members": n,
        "refusals": refusals, "erasures": erasures}));
    let told = format!("{refusals} of {n} refuse, {erasures} of {n} destroyed the key, {t} needed: {word}");
    audit.line(&name, Ok(told));
}

/// Whether a member refuses the dataset, and whether it destroyed its key. No statement is no broken link;
/// that nobody could be asked is told.
async fn statements(audit: &mut Audit<'_>, domain: &ChainDomain, uid: B256, member: &Member) -> (bool, bool) {
    let asked = async {
        let client = CustodianClient::of(audit.session, member.signer, DEADLINE).await?;
        Ok((made(client.refusal(uid).await)?, made(client.erasure(member.hpkeKey).await)?))
    };
    let (refusal, erasure) = match asked.await {
        Ok(answers) => answers,
        Err(error) => {
            let error: NoAnswer = error;
            audit.session.ui.warn(&format!("{}: {error}", member.signer));
            return (false, false);
        }
    };
    let refuses = refusal.is_some_and(|made| {
        let told = format!("{} since {}", member.signer, made.refusal.0.refusedAt);
        audit.checked("refusal", check_refusal(&made, member.signer, uid, domain).map(|()| told))
    });
    let erased = erasure.is_some_and(|made| {
        let told = format!("{} at {}", member.signer, made.erasure.0.erasedAt);
        audit.checked("erasure", check_erasure(&made, member, domain).map(|()| told))
    });
    (refuses, erased)
}

/// A statement, or that none was made.
fn made<T>(answer: Result<T, NoAnswer>) -> Result<Option<T>, NoAnswer> {
    match answer {
        Ok(statement) => Ok(Some(statement)),
        Err(error) if error.has_code(NONE) => Ok(None),
        Err(error) => Err(error),
    }
}

fn check_erasure(made: &ErasureResponse, member: &Member, domain: &ChainDomain) -> Result<(), String> {
    if made.erasure.0.hpkeKey != member.hpkeKey {
        return Err(format!("{} speaks of another key", member.signer));
    }
    match domain.signer_of(&made.erasure.0, &made.signature) {
        Some(signer) if signer == member.signer => Ok(()),
        _ => Err(format!("{}: its erasure is not signed by it", member.signer)),
    }
}
