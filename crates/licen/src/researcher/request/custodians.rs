//! Whether enough custodians are there before anything is paid.

use std::time::Duration;

use licen_core::abi::Member;

use crate::session::Session;
use crate::session::custodian_client::CustodianClient;

/// How long a custodian may take to say that it is there.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Says before paying what happens where fewer custodians answer than a release needs.
pub(super) async fn custodians_answer(session: &Session, t: u8, members: &[Member]) {
    let mut alive = 0;
    for member in members {
        let client = CustodianClient::of(session, member.signer, ANSWER_WITHIN).await;
        if let Ok(client) = client
            && client.is_alive().await
        {
            alive += 1;
        }
    }
    if alive < usize::from(t) {
        session.ui.warn(&format!(
            "{alive} of {} custodians answer, {t} are needed: the job waits for them, and what they do not \
             release before its deadline comes back (licen cancel)",
            members.len()
        ));
    }
}
