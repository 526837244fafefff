//! The measured node: attests, unseals, has a dataset trained on, seals the result and signs what was done. The engine
//! it trains with is `licen_train`, which knows nothing of this.
//!
//! Invariant: only `serve` reaches the network. A node trains in a process of its own (`apart`), and the kernel limits
//! both (`sandbox`).

pub mod apart;
pub mod sandbox;
pub mod serve;
