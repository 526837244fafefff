//! What the arithmetic of a run is asked for: a batch of text tokens in, loss and gradient norm out, the adapter at the
//! end. Whatever is counted, paid or told stays with the trainer, so a second engine can be joined without touching it.

mod attention;
mod cpu;
pub(crate) mod decoder;
mod kernels;
pub(crate) mod lanes;
mod linalg;
pub(crate) mod memory;
pub(crate) mod model;
pub(crate) mod optimizer;

pub use cpu::Cpu;
pub use model::Model;

use crate::adapter::Adapter;
use crate::error::Result;
use crate::params::AdamConfig;
use crate::sample::Sample;

/// What holds for every step of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// AdamW's constants.
    pub adam: AdamConfig,
    /// Gradients are scaled down to this norm; 0 leaves them.
    pub max_grad_norm: f64,
    /// What dropout's masks are made from, with the visit of each row. How much is dropped is in the adapter's config.
    pub seed: u64,
    /// Threads to use; the result does not depend on it.
    pub threads: usize,
}

/// The rows of one optimizer step.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Text tokens and which of them are learned; row i is visit `first_visit + i` of the run.
    pub rows: &'a [&'a Sample],
    /// Visits of rows before this batch.
    pub first_visit: u64,
    /// Learned tokens of all rows. The gradient is of their mean loss; with none, nothing may move.
    pub learned: u64,
    /// The learning rate.
    pub rate: f64,
}

/// What a step answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Summed loss in nats over the learned tokens, before the step. Not finite: the run diverged, and nothing moved.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub norm: f64,
}

/// An engine that has a run open.
///
/// The same base model, adapter, rules and batches give the same adapter, byte by byte.
pub trait Engine: Sized {
    /// The base model as this engine takes it.
    type Base;

    /// Begins a run from `start`, whose config says what is trained and how much is dropped.
    ///
    /// # Errors
    /// The base model cannot be used.
    fn open(base: Self::Base, start: Adapter, rules: Rules) -> Result<Self>;

    /// Trains on one batch.
    ///
    /// # Errors
    /// The engine failed. A loss that is no number is no error here but an answer.
    fn step(&mut self, batch: Batch<'_>) -> Result<Step>;

    /// Summed loss in nats over the learned tokens of `rows`, without dropout; nothing is learned.
    ///
    /// # Errors
    /// The engine failed.
    fn judge(&mut self, rows: &[Sample]) -> Result<f64>;

    /// Ends the run and gives what was trained.
    ///
    /// # Errors
    /// The engine failed.
    fn adapter(self) -> Result<Adapter>;
}
