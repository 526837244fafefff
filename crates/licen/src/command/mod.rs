//! One file per verb.

pub mod account;
pub mod anchor;
pub mod attest;
pub mod audit;
pub mod cancel;
pub mod custodian;
pub mod deploy;
pub mod distribute;
pub mod earnings;
pub mod export;
pub mod fetch;
pub mod info;
pub mod job_spec;
pub mod jobs;
pub mod key;
pub mod model;
pub mod policy;
pub mod provider;
pub mod publish;
pub mod refusal;
pub mod request;
pub mod reseal;
pub mod retire;
pub mod role;
pub mod search;
pub mod storage;
