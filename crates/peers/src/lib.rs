//! How the roles reach each other over HTTP, and who reaches them.
//!
//! A *peer* is another program of a deployment. What it answers is believed only as far as a hash, a
//! signature or the chain carries it; that is for who asked. This crate sees to it that a peer can do
//! nothing worse than to give a wrong answer:
//!
//! - [`http`] builds every client there is: waits that end, no redirects, no proxy on this machine.
//! - [`body`] reads every answer that is kept in memory, up to a limit.
//! - [`url`] takes addresses apart once, and refuses those that no request could go to.
//! - [`peer`] makes one call and [`answer`] is what came of it; [`error`] says why nothing did, and
//!   whether asking again can help.
//! - [`custodian`], [`compute`] and [`node`] are the calls of `licen_core::wire`, typed.
//! - [`caller`] is the other direction: who asks a server, also behind reverse proxies.
//!
//! `storage` and `chain` do not depend on this crate; they are handed the clients that [`http`] builds.

#![forbid(unsafe_code)]

pub mod answer;
pub mod body;
pub mod caller;
pub mod compute;
pub mod custodian;
pub mod error;
pub mod http;
pub mod node;
pub mod peer;
pub mod url;

pub use answer::Answer;
pub use body::{Body, BodyError};
pub use caller::{Caller, TrustedProxies};
pub use compute::Compute;
pub use custodian::Custodian;
pub use error::{CallError, Why};
pub use http::{Http, HttpError, Timeouts};
pub use node::Node;
pub use peer::Peer;
pub use reqwest::StatusCode;
pub use url::{BaseUrl, UrlError};
