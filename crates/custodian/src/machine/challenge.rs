//! `POST /v1/challenge`: a nonce for a job that the chain shows as Granted or, for a later attempt, as
//! Running while the attempt before is not known to live. Asking the chain first
//! keeps made-up jobs out of the nonce table, and tells an early caller to come back before it
//! spends anything.

use licen_core::job::{JobState, MAX_ATTEMPTS};
use licen_core::primitives::B256;
use licen_core::wire::custodian::{ChallengeRequest, ChallengeResponse};

use super::{Outcome, Settings, Subject, Turn, json_reply, unexpected, write};
use crate::denial::{self, Denial};
use crate::effect::{Effect, Read, Write};
use crate::event::{Answer, Reading, Wrote};
use crate::watch::Watch;

/// How long a nonce lives, seconds.
pub(crate) const NONCE_SECONDS: u32 = 120;

pub(super) enum Step {
    Reading { attempt: u32 },
    Writing(B256),
}

pub(super) fn begin(settings: &Settings, request: &ChallengeRequest) -> Outcome {
    if request.chain_id != settings.identity.chain_id {
        return Ok(Turn::Reply(denial::malformed("another chain")));
    }
    if !(1..=MAX_ATTEMPTS).contains(&request.attempt) {
        return Ok(Turn::Reply(denial::malformed("attempt is not 1, 2 or 3")));
    }
    let read = Read::State { contract: request.contract, job_id: request.job_id };
    let step = Step::Reading { attempt: request.attempt };
    Ok(Turn::Wait(super::Step::Challenge(step), Effect::Read(Box::new(read))))
}

impl Step {
    /// The state in which an attempt is prepared.
    pub(super) fn due_state(&self) -> JobState {
        match self {
            Self::Reading { attempt } if *attempt > 1 => JobState::Running,
            Self::Reading { .. } | Self::Writing(_) => JobState::Granted,
        }
    }

    pub(super) fn on(self, settings: &Settings, watch: &Watch, subject: Subject, answer: Answer) -> Outcome {
        let due = self.due_state();
        match (self, answer) {
            (Self::Reading { attempt }, Answer::Read(Reading::State(Some(state)))) if state == due => {
                if attempt > 1 {
                    refuse_early(watch, subject, attempt - 1)?;
                }
                let nonce = subject.fresh;
                let expires_ms = subject.now_ms + u64::from(NONCE_SECONDS) * 1000;
                write(super::Step::Challenge(Self::Writing(nonce)), Write::Nonce { nonce, expires_ms })
            }
            (Self::Reading { .. }, Answer::Read(Reading::State(state))) => Err(Denial::State(state)),
            (Self::Writing(nonce), Answer::Wrote(Wrote::Done)) => {
                let custodian_id = settings.identity.signing.address();
                Ok(json_reply(&ChallengeResponse { custodian_id, nonce, expires_in: NONCE_SECONDS }))
            }
            _ => unexpected(),
        }
    }
}

/// An attempt that was heard lately is not replaced: no nonce is spent on asking. The verdict decides, it
/// knows the job; what is said here is at most too early.
fn refuse_early(watch: &Watch, subject: Subject, running: u32) -> Result<(), Denial> {
    let needed = watch.floor_seconds();
    match watch.known_quiet((subject.job_id, running), subject.now_ms) {
        Some(seconds) if seconds < needed => Err(Denial::NotSilent { seconds, needed }),
        Some(_) | None => Ok(()),
    }
}
