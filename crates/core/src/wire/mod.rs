//! Bodies of every HTTP message between roles. Roles never depend on each other: they meet here.
//! Structs that are hashed or signed travel as their ABI encoding in hex ([`AbiHex`]), so that what
//! is sent is what is hashed.

mod abi_hex;
pub mod compute;
pub mod custodian;
pub mod index;
pub mod node;
mod problem;

pub use abi_hex::AbiHex;
pub use problem::Problem;
