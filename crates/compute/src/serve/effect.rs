//! What the machine wants done. The shell carries it out and reports by an event.

use licen_core::job::Reason;

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Check documents, make keys and evidence, collect verdicts.
    SetUp,
    /// Ask custodians for shares of the job as last dispatched, and combine them.
    Unlock,
    /// Fetch, decrypt and verify the dataset and the base model; upload the evidence bundle.
    Open,
    /// Train.
    Train,
    /// Let the trainer, which waits behind every epoch but the last, begin this one.
    BeginEpoch {
        /// From 2.
        epoch: u32,
    },
    /// End training after the current epoch.
    StopAfterEpoch,
    /// Pack, encrypt and upload the result.
    Seal,
    /// Give custodians their shares of the result key until enough hold it.
    Hand,
    /// Sign the manifest, which uses the key up. Asked at most once per attempt, never after `SignFailure`.
    SignManifest,
    /// Send the manifest to every custodian.
    Deliver,
    /// Sign the failure report, which uses the key up. Asked at most once per attempt, never after
    /// `ManifestSigned`.
    SignFailure {
        /// The chain's reason code.
        reason: Reason,
        /// Epochs finished before it.
        epochs_done: u32,
    },
    /// Stop whatever runs, wipe keys and plaintext, give the slot back.
    Wipe,
}
