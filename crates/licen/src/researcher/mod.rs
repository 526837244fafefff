//! The researcher acts here: find a dataset, ask for access, request a job, follow it and fetch its result.
//! One file per command, beside what a request is made of.

pub mod access;
pub mod cancel;
pub mod fetch;
pub mod job_spec;
pub mod jobs;
pub mod model;
pub mod refusal;
pub mod request;
pub mod result_key;
pub mod search;
