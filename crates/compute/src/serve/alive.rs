//! Saying that the attempt lives: a signed, numbered word to every custodian each minute. Custodians that
//! hear none for long enough call the attempt silent, and then never hold its result.

use std::time::Duration;

use futures_util::future::join_all;
use licen_core::abi::{Alive, Job, Silence};
use licen_core::primitives::Bytes;
use licen_core::wire::AbiHex;
use licen_core::wire::custodian::{AliveRequest, SilenceRequest, SilenceResponse, alive};
use tokio::time::Instant;

use super::custodians::{Member, Patience, ask_all};
use super::keys::StatementKey;
use super::node::Node;
use super::setup::Prepared;

const CALL_LIMIT: Duration = Duration::from_secs(20);
/// Short, because the next word must not wait for a custodian that only says that it is done with us.
const STATEMENT_LIMIT: Duration = Duration::from_secs(5);

/// When the next word is due, and its number.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    due: Option<Instant>,
    seq: u64,
}

impl Pulse {
    /// The next word is due at once.
    pub(super) fn hurry(&mut self) {
        self.due = None;
    }

    /// The word to say now, if it is time; numbers only rise.
    pub(super) fn beat(&mut self, every: Duration, job: &Job, key: &StatementKey) -> Option<(Alive, Bytes)> {
        let now = Instant::now();
        if self.due.is_some_and(|due| now < due) {
            return None;
        }
        self.due = Some(now + every);
        self.seq += 1;
        let statement = alive(job, self.seq);
        let signature = key.sign_alive(&statement).ok()?;
        Some((statement, signature))
    }
}

/// Says it to every custodian, again and again until each has heard it or the next word is due. Gives a
/// sentence where so many have called the attempt silent that its result can never be held by enough.
pub(super) async fn say(
    node: &Node,
    prepared: &Prepared,
    job: &Job,
    (statement, signature): (Alive, Bytes),
    until: Instant,
) -> Option<String> {
    let request = AliveRequest {
        contract: prepared.domain.contract,
        job: AbiHex(job.clone()),
        seq: statement.seq,
        signature,
    };
    let members = &prepared.documents.members;
    let patience = Patience { need: members.len(), grace: Duration::ZERO, until };
    let answers = ask_all(members, patience, |member| {
        let request = &request;
        async move { Ok(member.at(&node.http, CALL_LIMIT)?.alive(request).await?) }
    })
    .await;
    let said = answers.failed.iter().filter(|(_, error)| error.called_silent);
    let declared = join_all(said.map(|(member, _)| has_declared(node, prepared, job, member))).await;
    let silenced = declared.into_iter().filter(|declared| *declared).count();
    let (n, t) = (prepared.documents.hpke_members.len(), prepared.documents.envelope.terms().t);
    for (member, error) in &answers.failed {
        tracing::debug!(custodian = %member.id, index = member.i, error = %error.message, "has not heard us");
    }
    (silenced + usize::from(t) > n).then(|| {
        format!(
            "{silenced} of {n} custodians have called the attempt silent and hold no result of it any more"
        )
    })
}

/// Whether a custodian signed that the attempt is silent: an answer alone could be anybody's on the way.
async fn has_declared(node: &Node, prepared: &Prepared, job: &Job, member: &Member) -> bool {
    let request = SilenceRequest { contract: prepared.domain.contract, job: AbiHex(job.clone()) };
    let Ok(custodian) = member.at(&node.http, STATEMENT_LIMIT) else { return false };
    let said = custodian.silence(job.jobId, &request).await;
    let Ok(SilenceResponse { silence, signature }) = said else { return false };
    let about = Silence { jobId: job.jobId, attempt: job.attempt };
    silence.0 == about && prepared.domain.member_of(&about, &signature.0) == Some(member.id)
}
