//! What the machine wants done. Each effect of a request is answered by exactly one event with the
//! same id; a reply ends it. The shell carries effects out, and so can a simulator.

use licen_core::abi::Job;
use licen_core::primitives::{Address, B256, Bytes};
use licen_core::wire::Problem;
use licen_store::{Heard, HeldResult, Release, ResultKeyRecord};

/// Names one request, for its effects and events, and, written in hex, for the peer and the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u128);

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// An effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Answer the peer; nothing follows.
    Reply(Reply),
    /// Read the chain at the confirmation depth, every part at one block.
    Read(Box<Read>),
    /// Read our own records.
    Load(Load),
    /// Write records and their line of the audit log in one transaction, on disk before it is done.
    Write(Box<Write>),
    /// Fetch a blob by its root and recompute that root.
    Fetch(Fetch),
}

/// What the peer hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// 200 with a JSON body.
    Json(Bytes),
    /// 204.
    Done,
    /// An error.
    Problem(Box<Problem>),
}

/// A question to the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// In what state is this job?
    State {
        /// The `DataPolicy` contract.
        contract: Address,
        /// The job.
        job_id: B256,
    },
    /// Everything that a verdict depends on.
    Grant(GrantQuery),
    /// Is this job Running exactly like this, who are its custodians, is this entry live?
    Run {
        /// The `DataPolicy` contract.
        contract: Address,
        /// The job with signer and attempt.
        job: Box<Job>,
        /// Reference values whose liveness matters, if any.
        entry: Option<B256>,
    },
    /// Is this job Completed, and with what manifest?
    Settlement {
        /// The `DataPolicy` contract.
        contract: Address,
        /// The job as it ran.
        job: Box<Job>,
        /// A block at which it still ran.
        since: u64,
    },
    /// Does the contract at `account` take this signature (EIP-1271)?
    Wallet {
        /// The requester.
        account: Address,
        /// The EIP-712 digest.
        digest: B256,
        /// Whatever the wallet takes.
        signature: Bytes,
    },
    /// Does any of the served contracts know this dataset?
    Registered {
        /// The dataset.
        dataset_uid: B256,
    },
}

/// What a verdict depends on, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantQuery {
    /// The `DataPolicy` contract.
    pub contract: Address,
    /// The job.
    pub job_id: B256,
    /// The pinned set and its version.
    pub custodian_set: (B256, u32),
    /// The researcher's own set and its version; zero for none.
    pub verifier_set: (B256, u32),
    /// The appraisal policy.
    pub appraisal_policy: B256,
    /// Every entry this custodian has reference values for.
    pub entries: Vec<B256>,
    /// The provider; zero for none.
    pub provider_id: B256,
}

/// A question to our own records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Load {
    /// A verdict that was given, and whether the dataset is refused for ever.
    Verdict {
        /// The job.
        job_id: B256,
        /// The attempt.
        attempt: u32,
        /// Which of possibly several sets of keys asked.
        runtime_data_hash: B256,
        /// The dataset.
        dataset_uid: B256,
    },
    /// What a release rests on, and the release itself where it was made.
    Release {
        /// The job.
        job_id: B256,
        /// The attempt.
        attempt: u32,
        /// The keys that the chain names.
        runtime_data_hash: B256,
        /// The dataset.
        dataset_uid: B256,
    },
    /// A held result; of the highest attempt where none is named.
    Held {
        /// The job.
        job_id: B256,
        /// The attempt.
        attempt: Option<u32>,
    },
    /// That a dataset is refused for ever.
    Refusal {
        /// The dataset.
        dataset_uid: B256,
    },
    /// What was heard of an attempt's compute, and what became of it here.
    Life {
        /// The job.
        job_id: B256,
        /// The attempt.
        attempt: u32,
    },
}

/// Something to write. `record` is the line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Remember a nonce. No line: nothing was decided.
    Nonce {
        /// The nonce.
        nonce: B256,
        /// When it dies, milliseconds.
        expires_ms: u64,
    },
    /// Use a nonce up, atomically. No line: the verdict or denial that follows has one.
    UseNonce {
        /// The nonce.
        nonce: B256,
    },
    /// An answer that will leave, with what it rests on.
    Release {
        /// The answer.
        release: Release,
        /// What a later release rests on; verdicts only.
        case: Option<Bytes>,
        /// The dataset that has not ended, where the answer serves its key.
        dataset_uid: Option<B256>,
        /// The line.
        record: Bytes,
    },
    /// A result that is held, with what its settlement rests on.
    Held {
        /// The result.
        held: HeldResult,
        /// See above.
        case: Bytes,
        /// The line.
        record: Bytes,
    },
    /// A manifest that is published from now on.
    Manifest {
        /// The job.
        job_id: B256,
        /// The attempt.
        attempt: u32,
        /// JSON of the signed manifest.
        manifest: Bytes,
        /// Compute's signature.
        signature: Bytes,
        /// The line.
        record: Bytes,
    },
    /// A sign of life. No line: nothing was decided, and one comes every minute.
    Alive {
        /// The job.
        job_id: B256,
        /// The attempt.
        attempt: u32,
        /// The sign.
        heard: Heard,
    },
    /// The statement that an attempt is silent; refused where its result is held.
    Silence {
        /// The answer.
        silence: Release,
        /// The line.
        record: Bytes,
    },
    /// A result key in the place of a lost one.
    ResultKey {
        /// The change.
        change: ResultKeyRecord,
        /// The line.
        record: Bytes,
    },
    /// A dataset that is refused for ever.
    Refusal {
        /// The dataset.
        dataset_uid: B256,
        /// JSON of the signed statement.
        statement: Bytes,
        /// The line.
        record: Bytes,
    },
    /// A denial: the line commits to the reason, which stays here.
    Denial {
        /// The request, in hex.
        request: String,
        /// Salt and reason, for the operator and for auditors he shows it to.
        detail: Bytes,
        /// The line.
        record: Bytes,
    },
}

/// A blob to fetch. It is kept by the `Write::Held` that names it, and gone with the reply otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Base URL, as a peer gave it; only ever used with `/v1/blobs/` and a root behind it.
    pub blob_url: String,
    /// Its root.
    pub root: B256,
    /// Most bytes taken.
    pub max_bytes: u64,
    /// How many of its first bytes come back; all of them where it has fewer.
    pub head_bytes: usize,
}
