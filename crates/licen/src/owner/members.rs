//! Whether the keys that a custodian set names are the custodians' own. Its creator alone writes a set, and
//! could name keys of the creator's beside the addresses of others.

use std::time::Duration;

use licen_core::abi::{Member, MemberKey};
use licen_core::eip712::ChainDomain;

use crate::session::custodian_client::CustodianClient;
use crate::session::error::{CliError, Outcome};
use crate::session::{Session, codes};

const DEADLINE: Duration = Duration::from_secs(5);

/// Asks every member to confirm its key. Fewer than `t` may be left out, because they could not open
/// anything together.
///
/// # Errors
/// As many as could open the dataset do not confirm.
pub async fn confirmed(session: &Session, t: u8, members: &[Member]) -> Outcome {
    let domain = session.chain().await?.domain().chain();
    let mut open = Vec::new();
    for member in members {
        if let Err(reason) = confirm(session, &domain, member).await {
            open.push(format!("{}: {reason}", member.signer));
        }
    }
    if open.len() < usize::from(t) {
        open.iter().for_each(|reason| session.ui.warn(&format!("its key is not confirmed: {reason}")));
        return Ok(());
    }
    let message = format!(
        "{} of {} custodians do not confirm the keys that their set names",
        open.len(),
        members.len()
    );
    let mut error = CliError::refused(codes::CUSTODIANS, message)
        .hint(format!("{t} of these keys open the dataset: seal to a set whose custodians answer for them"));
    error.causes = open;
    Err(error)
}

async fn confirm(session: &Session, domain: &ChainDomain, member: &Member) -> Result<(), String> {
    let client = CustodianClient::of(session, member.signer, DEADLINE).await.map_err(|e| e.to_string())?;
    let about = client.about().await.map_err(|e| e.to_string())?;
    if about.hpke_key != member.hpkeKey {
        return Err(format!("its key is {}, the set names {}", about.hpke_key, member.hpkeKey));
    }
    match domain.signer_of(&MemberKey { hpkeKey: member.hpkeKey }, &about.key_signature) {
        Some(signer) if signer == member.signer => Ok(()),
        _ => Err("what answers for it has not its signing key".to_owned()),
    }
}
