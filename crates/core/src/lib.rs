//! The rules of LICEN, pure: ids, money, policies, jobs, Merkle trees, canonical encodings and wire
//! types. `no_std`, no I/O, no clock, no randomness: everything a decision depends on is an
//! argument, so the same code runs in a role, in the simulator and in a browser.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod abi;
pub mod admission;
pub mod canonical;
pub mod constraints;
pub mod eip712;
pub mod evidence_bundle;
pub mod fault;
pub mod id;
pub mod job;
pub mod merkle;
pub mod money;
pub mod policy;
pub mod policy_manifest;
pub mod price;
pub mod release;
pub mod report;
pub mod result_roots;
pub mod row_tree;
pub mod rows;
pub mod runtime_data;
pub mod split;
pub mod unit;
pub mod wire;

pub use alloy_primitives as primitives;
pub use alloy_sol_types as sol_types;
