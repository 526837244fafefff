//! What came of a call: a status and a body of bounded length, whatever they say.

use licen_core::fault::Party;
use licen_core::wire::Problem;
use reqwest::StatusCode;
use serde::de::DeserializeOwned;

use crate::error::{CallError, Why};

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The part that its giver plays.
    pub(crate) party: Party,
    /// Also an error's, and a redirect's.
    pub status: StatusCode,
    /// At most as many bytes as the call allowed.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body of a good answer, whatever it holds.
    ///
    /// # Errors
    /// [`Why::Refused`] for every status but success: what a redirect names is not asked.
    pub fn good(self) -> Result<Vec<u8>, CallError> {
        let Self { party, status, body } = self;
        if status.is_success() {
            return Ok(body);
        }
        let problem = serde_json::from_slice::<Problem>(&body).ok().map(Box::new);
        Err(CallError { party, why: Why::Refused { status, problem } })
    }

    /// The value in a good answer.
    ///
    /// # Errors
    /// As [`Self::good`], and [`Why::Unreadable`].
    pub fn json<T: DeserializeOwned>(self) -> Result<T, CallError> {
        let party = self.party;
        serde_json::from_slice(&self.good()?)
            .map_err(|source| CallError { party, why: Why::Unreadable(source) })
    }
}
