//! The measured node. This part is its training engine: LoRA on Llama, SmolLM, Qwen2 and Qwen3 decoders, written by
//! hand over matrix products, without autograd.
//!
//! A run goes through these modules in order:
//!
//! ```text
//! TrainingParams::parse   0G's trainingParams -> checked settings              params
//! Model::load             Hugging Face folder -> weights in f32                 config, weights, model
//! jsonl::parse            bytes -> rows, or line and column of what is wrong    jsonl
//! Encoder::encode         rows -> text tokens, prompts masked                   encoder
//! Split::new              rows to train on, rows to judge by                    sample
//! train                   epochs, metering, held-out loss, stopping             trainer
//!   lanes                   threads take sequences, sums keep their order
//!   decoder                 one sequence forward and back: attention, kernels, linalg
//!   optimizer, schedule     AdamW, clipping, learning rate
//! folder::write           PEFT folder with tokenizer, state and card            adapter, folder, card
//! ```
//!
//! Invariant: the same model, rows, settings and initial adapter give the same bytes, whatever the number of threads.
//! Invariant: nothing here opens a pickle, runs a model's code or reaches the network; only `serve` does, the node around the engine.
//! A node trains in a process of its own (`apart`), and the kernel limits both (`sandbox`).

mod adapter;
pub mod apart;
mod attention;
mod card;
mod config;
pub mod corpus;
mod decoder;
mod encoder;
mod error;
pub mod folder;
mod hostile;
pub mod jsonl;
mod kernels;
mod lanes;
mod linalg;
mod memory;
mod model;
mod optimizer;
mod params;
pub mod pretrain;
mod random;
mod sample;
pub mod sandbox;
mod schedule;
pub mod serve;
mod tokens;
mod trainer;
mod weights;

pub use adapter::{Adapter, LoraConfig, RANK_MAX, Target};
pub use config::{Architecture, ModelConfig};
pub use encoder::Encoder;
pub use error::{Error, Result};
pub use model::Model;
pub use optimizer::AdamConfig;
pub use params::{EarlyStopping, TrainingParams};
pub use random::Rng;
pub use sample::{Sample, Split, TokenCount};
pub use schedule::{ScheduleKind, Warmup};
pub use tokens::read_batches;
pub use trainer::{
    Control, Ended, EpochReport, Metering, Observer, Outcome, StepReport, train, train_batches,
};
