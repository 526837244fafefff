//! What only an owner's machine does: encrypt a dataset and describe it.

pub mod allow_list;
pub mod announce;
pub mod commitment;
pub mod describe;
pub mod encrypt;
pub mod members;
pub mod payees;
pub mod price;
pub mod recovery;
pub mod terms;
pub mod tokens;
pub mod when;
