//! The owner acts here: publish a dataset, set and change its policy, admit requesters, be paid, and end it.
//! One file per command, beside the nouns that only an owner works with; a provider is paid by the same payees.

pub mod access;
pub mod account;
pub mod allow_list;
pub mod announce;
pub mod approve;
pub mod commitment;
pub mod describe;
pub mod distribute;
pub mod earnings;
pub mod encrypt;
pub mod export;
pub mod members;
pub mod next_policy;
pub mod owned;
pub mod pause;
pub mod payees;
pub mod policy;
pub mod price;
pub mod publish;
pub mod recovery;
pub mod reseal;
pub mod retire;
pub mod terms;
pub mod tokens;
