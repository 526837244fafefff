//! What the machine wants done. The shell (or the simulator) carries it out and answers with an
//! [`Event`](crate::event::Event).

use licen_core::abi::{DataPolicy, FailureReport, Job, MemberSignature, ResultManifest};
use licen_core::fault::Party;
use licen_core::id::job_commitment;
use licen_core::job::JobState;
use licen_core::primitives::{B256, Bytes, hex};
use licen_core::sol_types::SolCall;
use licen_core::wire::compute::{StartTicket, TaskState};

/// One attempt at a job, exactly as the contract commits to it. Answers carry it back, so that an
/// answer about something that a start, a restart or a reorganisation replaced is never taken for
/// the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttemptId {
    /// From 1; also 1 while the job is Granted, because that is the attempt being prepared.
    pub attempt: u32,
    /// The contract's commitment to the job, in which every deadline and the signer stand.
    pub commitment: B256,
}

impl AttemptId {
    /// The attempt that a job in its present state is about.
    #[must_use]
    pub fn of(job: &Job) -> Self {
        Self { attempt: job.attempt.max(1), commitment: job_commitment(job) }
    }
}

/// An effect. Each is safe to repeat.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Read the job from the contract, at the newest block and at the confirmation depth.
    Read,
    /// `PUT` the job to compute.
    Dispatch(AttemptId, Box<Job>),
    /// `GET` the task from compute.
    PollStatus(AttemptId, Box<Job>),
    /// Ask the custodians for the signed result manifest.
    PollManifest(AttemptId, Box<Job>),
    /// Ask the custodians whether they call the running attempt silent.
    AskSilence(AttemptId, Box<Job>),
    /// Send a transaction, once for its [`Call::idem_key`].
    Send(Box<Call>),
    /// Tell people.
    Report(JobProgress),
    /// The job ended at the confirmation depth; forget it.
    Finish(JobState),
}

/// A transaction. Anybody may send any of them: what makes it valid is signed by others, or is the clock.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a decision is made once per attempt and boxed in effects")]
pub enum Call {
    /// Granted -> Running.
    Start {
        /// As granted.
        job: Job,
        /// The custodians' verdicts.
        ticket: StartTicket,
    },
    /// Running -> Completed.
    Confirm {
        /// As Running.
        job: Job,
        /// Compute's statement.
        manifest: ResultManifest,
        /// Compute's signature.
        signature: Bytes,
    },
    /// Running -> Failed.
    Fail {
        /// As Running.
        job: Job,
        /// Compute's statement.
        report: FailureReport,
        /// Compute's signature.
        signature: Bytes,
    },
    /// Running -> Running, the next attempt.
    Restart {
        /// As Running, of the attempt that is gone.
        job: Job,
        /// The custodians' verdicts about the next one.
        ticket: StartTicket,
    },
    /// Running -> Failed, because compute is gone.
    Silent {
        /// As Running.
        job: Job,
        /// Signatures of `Silence`, in ascending member index.
        silences: Vec<MemberSignature>,
    },
    /// Granted or Running -> Expired.
    Expire {
        /// As it stands.
        job: Job,
    },
}

/// Which transaction, without its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// `startJob`.
    Start,
    /// `confirmTrainingComplete`.
    Confirm,
    /// `markJobFailed` with compute's report.
    Fail,
    /// `restartJob`.
    Restart,
    /// `markJobFailed` with the custodians' statements.
    Silent,
    /// `expireJob`.
    Expire,
}

impl CallKind {
    /// The contract's function.
    #[must_use]
    pub fn function(self) -> &'static str {
        match self {
            Self::Start => "startJob",
            Self::Confirm => "confirmTrainingComplete",
            Self::Fail | Self::Silent => "markJobFailed",
            Self::Restart => "restartJob",
            Self::Expire => "expireJob",
        }
    }
}

impl Call {
    /// Which transaction this is.
    #[must_use]
    pub fn kind(&self) -> CallKind {
        match self {
            Self::Start { .. } => CallKind::Start,
            Self::Confirm { .. } => CallKind::Confirm,
            Self::Fail { .. } => CallKind::Fail,
            Self::Restart { .. } => CallKind::Restart,
            Self::Silent { .. } => CallKind::Silent,
            Self::Expire { .. } => CallKind::Expire,
        }
    }

    /// The job as the contract must find it.
    #[must_use]
    pub fn job(&self) -> &Job {
        match self {
            Self::Start { job, .. }
            | Self::Confirm { job, .. }
            | Self::Fail { job, .. }
            | Self::Restart { job, .. }
            | Self::Silent { job, .. }
            | Self::Expire { job } => job,
        }
    }

    /// The name under which the intent is stored, once. Confirming and failing one attempt share a
    /// name on purpose: whichever was decided first is the only one ever sent, by any orchestrator
    /// over this database and across every crash. The commitment is in it because the same attempt
    /// mined again after a reorganisation has other deadlines and needs another input.
    #[must_use]
    pub fn idem_key(&self) -> String {
        let job = self.job();
        let id = AttemptId::of(job);
        let step = match self.kind() {
            CallKind::Start => "start",
            CallKind::Confirm | CallKind::Fail | CallKind::Silent => "end",
            CallKind::Restart => "restart",
            CallKind::Expire => "expire",
        };
        format!("{step}:{}:{}:{}", job.jobId, id.attempt, hex::encode(&id.commitment[..8]))
    }

    /// The transaction's input.
    #[must_use]
    pub fn calldata(&self) -> Vec<u8> {
        match self {
            Self::Start { job, ticket } => DataPolicy::startJobCall {
                job: job.clone(),
                signer: ticket.signer,
                verdicts: ticket.verdicts.iter().map(|v| v.0.clone()).collect(),
                signatures: ticket.signatures.iter().map(|s| s.0.clone()).collect(),
            }
            .abi_encode(),
            Self::Confirm { job, manifest, signature } => DataPolicy::confirmTrainingCompleteCall {
                job: job.clone(),
                manifest: manifest.clone(),
                signature: signature.clone(),
            }
            .abi_encode(),
            Self::Fail { job, report, signature } => DataPolicy::markJobFailed_0Call {
                job: job.clone(),
                report: report.clone(),
                signature: signature.clone(),
            }
            .abi_encode(),
            Self::Restart { job, ticket } => DataPolicy::restartJobCall {
                job: job.clone(),
                signer: ticket.signer,
                verdicts: ticket.verdicts.iter().map(|v| v.0.clone()).collect(),
                signatures: ticket.signatures.iter().map(|s| s.0.clone()).collect(),
            }
            .abi_encode(),
            Self::Silent { job, silences } => {
                DataPolicy::markJobFailed_1Call { job: job.clone(), silences: silences.clone() }.abi_encode()
            }
            Self::Expire { job } => DataPolicy::expireJobCall { job: job.clone() }.abi_encode(),
        }
    }
}

/// Where a job stands, for people. Nothing here is a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct JobProgress {
    /// The job.
    pub job_id: B256,
    /// Where the orchestrator stands with it.
    pub phase: Phase,
    /// Where compute stands, if it said so.
    pub task_state: Option<TaskState>,
    /// The epoch being trained, from 1; 0 before.
    pub epoch: u32,
    /// Part of the task done, 0 to 1.
    pub progress: f64,
    /// Latest training loss.
    pub loss: Option<f64>,
    /// Why it waits, in one sentence; empty where it does not.
    pub message: String,
    /// Whom it waits for because something went wrong.
    pub waiting_for: Option<Party>,
}

/// Where the orchestrator stands with a job. Derived from the chain and from answers, so a restart
/// begins at `Unconfirmed` and walks to the same place again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The contract does not show it at the confirmation depth (yet, or not any more).
    Unconfirmed,
    /// Granted; compute has not accepted it.
    Dispatching,
    /// Compute makes its evidence and asks the custodians for verdicts.
    Preparing,
    /// `startJob` is on its way.
    Starting,
    /// Running; compute has not been told.
    Resuming,
    /// Compute gets its key shares, trains and delivers.
    Training,
    /// `confirmTrainingComplete` or `markJobFailed` is on its way.
    Ending,
    /// A deadline passed; `expireJob` is on its way.
    Expiring,
    /// Ended at the confirmation depth.
    Ended,
}

impl Phase {
    /// Its name in the stored row.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unconfirmed => "unconfirmed",
            Self::Dispatching => "dispatching",
            Self::Preparing => "preparing",
            Self::Starting => "starting",
            Self::Resuming => "resuming",
            Self::Training => "training",
            Self::Ending => "ending",
            Self::Expiring => "expiring",
            Self::Ended => "ended",
        }
    }

    /// A few words for people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Unconfirmed => "waiting for confirmation",
            Self::Dispatching => "dispatching to compute",
            Self::Preparing => "collecting verdicts",
            Self::Starting => "starting on chain",
            Self::Resuming => "telling compute it runs",
            Self::Training => "training",
            Self::Ending => "settling on chain",
            Self::Expiring => "expiring on chain",
            Self::Ended => "ended",
        }
    }
}
