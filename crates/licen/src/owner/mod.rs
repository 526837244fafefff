//! What only an owner's machine does: encrypt a dataset and describe it.

pub mod commitment;
pub mod encrypt;
pub mod members;
pub mod recovery;
pub mod terms;
pub mod tokens;
