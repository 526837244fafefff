//! What RPCs are reached by.

use std::time::Duration;

use licen_peers::{Http, Timeouts};

use crate::session::codes;
use crate::session::error::{CliError, Outcome};

/// Each call within `deadline`, all of which may go by with connecting.
///
/// # Errors
/// No HTTP client can be made on this machine.
pub fn rpc_client(deadline: Duration) -> Outcome<Http> {
    Http::new(Timeouts { connect: deadline, ..Timeouts::within(deadline) })
        .map_err(|e| CliError::environment(codes::CHAIN, "the chain cannot be asked").because(&e))
}
