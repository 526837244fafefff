//! Training apart: a child process that is this program again, confined before it reads a byte of model or rows
//! ([`crate::sandbox`]), with two pipes and nothing else to the outside (docs/adr/0008).
//!
//! ```text
//! node                                  trainer
//!   starts it with a folder to read       confines itself          -> Ready
//!   Load   settings                       model, tokenizer         -> Loaded | Refused
//!   Rows   plaintext                      text tokens, split       -> Opened | Failed
//!   Train  what the card says             the engine               -> Progress ..., Trained with files | Failed
//!   Epoch  another one, or the end        waits for it behind each epoch but the last
//! ```
//!
//! How much CPU time it used is the kernel's word to the node ([`cpu`]).
//! Invariant: a trainer is never trusted with more than it was given: keys stay in the node, and once there are rows the
//! node takes numbers, codes of a known list and the result from it, never words.
//! The child ends when its pipe is closed, when the thread that started it ends, or when it is killed; whatever it held
//! ends with it.

mod child;
mod cpu;
mod process;
pub(crate) mod wire;

pub use child::{Arguments, run};
pub(crate) use process::{Trainer, Trainers};
