//! What the machine is told.

use licen_attest::Collateral;
use licen_core::abi::{Member, Provider};
use licen_core::job::JobState;
use licen_core::primitives::{B256, Bytes};
use licen_core::release::{ConfirmedRun, ConfirmedSettlement};
use licen_core::wire::custodian::{
    AliveRequest, ChallengeRequest, DeliverRequest, ReleaseRequest, ResultKeyRequest, RetireRequest,
    SilenceRequest, VerdictRequest,
};
use licen_peers::Caller;
use licen_store::{Heard, HeldResult, Release, ResultKeyRecord};

use crate::effect::{Reply, RequestId};

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Somebody asks.
    Asked {
        /// New and unique.
        id: RequestId,
        /// Who.
        caller: Caller,
        /// 32 fresh random bytes: the nonce of a challenge, the salt of a denial.
        fresh: B256,
        /// Hash of the body as it came.
        body_hash: B256,
        /// What.
        ask: Box<Ask>,
    },
    /// An effect was carried out.
    Answered(RequestId, Box<Answer>),
    /// The operator renewed the collateral.
    Collateral(Vec<Collateral>),
    /// Requests were turned away unread, as many waited: among them may have been signs of life.
    Deaf,
    /// Time passed.
    Tick,
}

/// A request that needs a decision. Whatever only shows public records is served without one.
#[expect(clippy::large_enum_variant, reason = "it is always boxed")]
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// `POST /v1/challenge`.
    Challenge(ChallengeRequest),
    /// `POST /v1/verdict`.
    Verdict(VerdictRequest),
    /// `POST /v1/release`.
    Release(ReleaseRequest),
    /// `POST /v1/deliver`.
    Deliver(DeliverRequest),
    /// `GET /v1/result/{jobId}`.
    Result {
        /// The job.
        job_id: B256,
    },
    /// `POST /v1/result-key`.
    ResultKey(ResultKeyRequest),
    /// `POST /v1/retire`.
    Retire(RetireRequest),
    /// `POST /v1/alive`.
    Alive(AliveRequest),
    /// `POST /v1/silence/{jobId}`.
    Silence {
        /// As in the path.
        job_id: B256,
        /// The job, whole.
        request: SilenceRequest,
    },
}

/// What came of an effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Of a read.
    Read(Reading),
    /// The chain could not be read, or its RPCs disagree. Denies, whatever was asked.
    ReadFailed(String),
    /// Of a load.
    Loaded(Loaded),
    /// Of a write.
    Wrote(Wrote),
    /// The key of a record is taken by something else.
    Conflict(String),
    /// The owner ended the dataset meanwhile; nothing was written.
    Retired(B256),
    /// The records could not be read or written.
    StoreFailed(String),
    /// Of a fetch: root and size are right.
    Fetched {
        /// The first bytes.
        head: Bytes,
    },
    /// The blob could not be fetched, or is another.
    FetchFailed(String),
    /// Held results take all the room there is for them; nothing was fetched.
    NoRoom,
}

/// The chain's word, all of it at one block of the confirmation depth.
#[expect(clippy::large_enum_variant, reason = "it is always boxed")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Of `Read::State`; `None` where there is no such job there (yet).
    State(Option<JobState>),
    /// Of `Read::Grant`.
    Grant(GrantFacts),
    /// Of `Read::Run`; `None` where the job is not Running exactly so.
    Run(Option<Box<RunFacts>>),
    /// Of `Read::Settlement`; `None` where the job is not Completed exactly so.
    Settlement(Option<Box<ConfirmedSettlement>>),
    /// Of `Read::Wallet`.
    Wallet(bool),
    /// Of `Read::Registered`.
    Registered(bool),
}

/// What a verdict depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GrantFacts {
    /// The block.
    pub block: u64,
    /// That block's time, seconds.
    pub now: u64,
    /// The job's state; `None` where there is no such job there (yet).
    pub state: Option<JobState>,
    /// The contract's commitment to the job.
    pub commitment: B256,
    /// The pinned set; `None` where there is no such version.
    pub custodian_set: Option<SetFacts>,
    /// The researcher's set, where the job names one.
    pub verifier_set: Option<SetFacts>,
    /// Whether the appraisal policy is live.
    pub appraisal_policy_live: bool,
    /// Those of the asked entries that are live.
    pub live_entries: Vec<B256>,
    /// The provider, where one is named and registered.
    pub provider: Option<Provider>,
}

/// A version of a custodian set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SetFacts {
    /// Members that suffice.
    pub t: u8,
    /// Members, in the order of their index.
    pub members: Vec<Member>,
}

/// A job that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFacts {
    /// The proof.
    pub run: ConfirmedRun,
    /// The pinned set.
    pub custodian_set: SetFacts,
    /// Whether the asked entry, and with it the appraisal policy, is live.
    pub entry_live: bool,
}

/// Our own records.
#[expect(clippy::large_enum_variant, reason = "an answer is always boxed")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// Of `Load::Verdict`.
    Verdict {
        /// The answer that was given.
        given: Option<Release>,
        /// Whether the dataset is refused for ever.
        tombstone: bool,
        /// Whether a result of the attempt before is held.
        held: bool,
        /// Whether this custodian called the attempt before silent.
        silent: bool,
    },
    /// Of `Load::Release`.
    Release {
        /// What the verdict rested on.
        case: Option<Bytes>,
        /// The release that was made for this attempt.
        made: Option<Release>,
        /// Whether the dataset is refused for ever.
        tombstone: bool,
        /// Whether this custodian called the attempt silent.
        silent: bool,
    },
    /// Of `Load::Held`.
    Held {
        /// The result.
        held: Option<HeldResult>,
        /// What its settlement rests on.
        case: Option<Bytes>,
        /// The result key in the place of the job's own.
        key: Option<ResultKeyRecord>,
        /// Whether this custodian called the asked attempt silent.
        silent: bool,
    },
    /// Of `Load::Refusal`: the statement, where it was made.
    Refusal(Option<Bytes>),
    /// Of `Load::Life`.
    Life {
        /// The last sign of life.
        heard: Option<Heard>,
        /// That the attempt is silent, where this custodian said so.
        silence: Option<Release>,
        /// Whether a result of the attempt is held.
        held: bool,
    },
}

/// What a write did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrote {
    /// It is on disk.
    Done,
    /// Whether the nonce was good; it is not any more.
    NonceUsed(bool),
    /// The answer on disk, which is the one to give.
    Release(Release),
    /// The held result on disk.
    Held(HeldResult),
    /// The statement on disk.
    Refusal(Bytes),
}

impl SetFacts {
    /// The index of a member, from 0 as on chain.
    #[must_use]
    pub fn index_of(&self, signer: &licen_core::primitives::Address) -> Option<u16> {
        let position = self.members.iter().position(|member| member.signer == *signer)?;
        u16::try_from(position).ok()
    }
}

impl From<Reply> for crate::effect::Effect {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}
