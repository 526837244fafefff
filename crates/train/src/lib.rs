//! The training engine: LoRA on Llama, SmolLM, Qwen2 and Qwen3 decoders, written by hand over matrix products, without
//! autograd. It knows nothing of licenses, chains or networks, and depends on no other crate of the workspace.
//!
//! A run goes through these modules in order:
//!
//! ```text
//! TrainingParams::parse   0G's trainingParams -> checked settings              params
//! Model::load             Hugging Face folder -> weights in f32                 config, weights, engine::model
//! jsonl::parse            bytes -> rows, or line and column of what is wrong    jsonl
//! Encoder::encode         rows -> text tokens, prompts masked                   encoder
//! Split::new              rows to train on, rows to judge by                    sample
//! train                   epochs, learning rate, metering, held-out loss        trainer, schedule
//!   Engine                  batches of text tokens in, losses and adapter out   engine
//!     lanes                   threads take sequences, sums keep their order
//!     decoder                 one sequence forward and back: attention, kernels, linalg
//!     optimizer               AdamW, clipping
//! folder::write           PEFT folder with tokenizer, state and card            adapter, folder, card
//! ```
//!
//! `command` is what a person can ask of it without a node: `licen-compute train`, `count`, `pretrain`, `corpus`.
//!
//! Invariant: the same model, rows, settings and initial adapter give the same bytes, whatever the number of threads.
//! Invariant: nothing here opens a pickle, runs a model's code or reaches the network.

mod adapter;
mod card;
pub mod command;
mod config;
pub mod corpus;
mod encoder;
pub mod engine;
mod error;
pub mod folder;
mod hostile;
pub mod jsonl;
mod params;
pub mod pretrain;
mod random;
mod sample;
mod schedule;
mod tokens;
mod trainer;
mod weights;

pub use adapter::{Adapter, LoraConfig, RANK_MAX, Target};
pub use config::{Architecture, ModelConfig};
pub use encoder::Encoder;
pub use engine::Model;
pub use error::{Error, Result};
pub use params::{AdamConfig, EarlyStopping, TrainingParams, threads};
pub use random::Rng;
pub use sample::{Sample, Split, TokenCount};
pub use schedule::{ScheduleKind, Warmup};
pub use tokens::read_batches;
pub use trainer::{
    Control, Ended, EpochReport, Metering, Observer, Outcome, StepReport, train, train_batches, train_on,
};
