//! The roles run here until they are told to stop: `licen run node` and `licen run custodian`.

pub mod node;
pub mod role;
