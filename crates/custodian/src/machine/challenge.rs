//! `POST /v1/challenge`: a nonce for a job that the chain shows as Granted. Asking the chain first
//! keeps made-up jobs out of the nonce table, and tells an early caller to come back before it
//! spends anything.

use licen_core::job::JobState;
use licen_core::primitives::B256;
use licen_core::wire::custodian::{ChallengeRequest, ChallengeResponse};

use super::{Outcome, Settings, Subject, Turn, json_reply, unexpected, write};
use crate::denial::{self, Denial};
use crate::effect::{Effect, Read, Write};
use crate::event::{Answer, Reading, Wrote};

/// How long a nonce lives, seconds.
pub(crate) const NONCE_SECONDS: u32 = 120;

pub(super) enum Step {
    Reading,
    Writing(B256),
}

pub(super) fn begin(settings: &Settings, request: &ChallengeRequest) -> Outcome {
    let domain = &settings.identity.domain;
    if request.chain_id != domain.chain_id || request.contract != domain.contract {
        return Ok(Turn::Reply(denial::malformed("another chain or contract")));
    }
    let read = Read::State { job_id: request.job_id };
    Ok(Turn::Wait(super::Step::Challenge(Step::Reading), Effect::Read(Box::new(read))))
}

impl Step {
    pub(super) fn on(self, settings: &Settings, subject: Subject, answer: Answer) -> Outcome {
        match (self, answer) {
            (Self::Reading, Answer::Read(Reading::State(Some(JobState::Granted)))) => {
                let nonce = subject.fresh;
                let expires_ms = subject.now_ms + u64::from(NONCE_SECONDS) * 1000;
                write(super::Step::Challenge(Self::Writing(nonce)), Write::Nonce { nonce, expires_ms })
            }
            (Self::Reading, Answer::Read(Reading::State(state))) => Err(Denial::State(state)),
            (Self::Writing(nonce), Answer::Wrote(Wrote::Done)) => {
                let custodian_id = settings.identity.signing.address();
                Ok(json_reply(&ChallengeResponse { custodian_id, nonce, expires_in: NONCE_SECONDS }))
            }
            _ => unexpected(),
        }
    }
}
