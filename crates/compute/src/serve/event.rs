//! What can happen to an attempt.

use std::time::Duration;

use licen_core::job::Reason;
use licen_core::wire::compute::{SignedFailure, StartTicket};

/// One thing that happened. Late events (of a step that was given up) are ignored by the machine.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The training slot is ours.
    SlotFree,
    /// Custodians gave enough verdicts.
    Ready {
        /// What `startJob` needs.
        ticket: StartTicket,
        /// Unix seconds of the first verdict to expire.
        verdicts_expire: u64,
    },
    /// The attempt cannot be set up; nothing was signed, nothing was released.
    Refused(String),
    /// The job was dispatched as Running with our signer and runtime data.
    Running {
        /// Unix seconds.
        run_deadline: u64,
    },
    /// The job was dispatched as Running with a key that is not ours.
    Superseded,
    /// Custodians do not see the job Running as it was dispatched.
    Unconfirmed(String),
    /// Shares made the committed dataset key.
    KeyCombined {
        /// Of the job as custodians saw it Running, unix seconds.
        run_deadline: u64,
    },
    /// Plaintext and base model are in memory and are what they should be.
    Opened {
        /// CPU time that the trainer has used so far.
        compute: Duration,
    },
    /// Training goes on.
    Progress {
        /// Epoch being trained, from 1.
        epoch: u32,
        /// Epochs finished.
        epochs_done: u32,
        /// Part of all steps done, 0 to 1.
        part: f64,
        /// Mean training loss of a block of rows that was just completed.
        loss: Option<f64>,
        /// CPU time that the trainer has used so far. Behind an epoch it waits, so that is the epoch's end.
        compute: Duration,
    },
    /// The requester's signed order to end after the current epoch.
    StopOrdered,
    /// Training ended with a result.
    Trained {
        /// Epochs finished.
        epochs_done: u32,
    },
    /// The result is sealed and uploaded.
    Sealed,
    /// Enough custodians hold the result.
    Held,
    /// The manifest is signed: the one statement this attempt makes.
    ManifestSigned,
    /// Custodians took the manifest.
    Accepted {
        /// How many.
        custodians: usize,
    },
    /// The attempt ends without another word: nobody took the manifest, or signing failed.
    GaveUp(String),
    /// A step failed after the job was Running.
    Broke {
        /// The chain's reason code.
        reason: Reason,
        /// One sentence without secrets.
        message: String,
    },
    /// The failure report is signed: the one statement this attempt makes.
    FailureSigned(SignedFailure),
    /// Time passed.
    Tick,
    /// Something worth telling whoever asks for the status.
    Note(String),
}
