//! Why a call brought nothing to use: one type for every role, which knows what each of them asks.

use std::fmt;

use licen_core::fault::{Fault, Party};
use licen_core::wire::Problem;
use reqwest::StatusCode;

use crate::body::BodyError;
use crate::url::UrlError;

/// A call without a usable answer.
#[derive(Debug)]
pub struct CallError {
    /// The part that the called peer plays.
    pub party: Party,
    /// What went wrong.
    pub why: Why,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.why.source()
    }
}

/// What went wrong. Sources have no URLs in them, which may hold credentials.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// Nobody was asked: the address is none.
    #[error("its address cannot be used")]
    Address(#[source] UrlError),
    /// Nobody was asked: the request is nothing that JSON can say.
    #[error("the request cannot be encoded")]
    Request(#[source] serde_json::Error),
    /// Nobody was asked, or could be connected to.
    #[error("cannot connect")]
    Unreachable(#[source] reqwest::Error),
    /// Nothing came in time; it may not even have heard the question.
    #[error("no answer in time")]
    Late(#[source] reqwest::Error),
    /// Nothing came before the connection broke.
    #[error("the connection broke")]
    Broken(#[source] reqwest::Error),
    /// An answer began and broke off.
    #[error("the answer broke off")]
    Cut {
        /// The status it began with.
        status: StatusCode,
        /// How it ended.
        source: reqwest::Error,
    },
    /// An answer is longer than anybody's may be.
    #[error("the answer has more than {limit} bytes")]
    TooLarge {
        /// The status it began with.
        status: StatusCode,
        /// Bytes that it may have.
        limit: u64,
    },
    /// It answered, and not with success.
    #[error("{}", refusal(*status, problem.as_deref()))]
    Refused {
        /// What it answered with.
        status: StatusCode,
        /// What it says for people and programs, where it says that as RFC 9457 does.
        problem: Option<Box<Problem>>,
    },
    /// It answered with something that the protocol does not know.
    #[error("the answer is not what the protocol says")]
    Unreadable(#[source] serde_json::Error),
}

fn refusal(status: StatusCode, problem: Option<&Problem>) -> String {
    problem.map_or_else(|| format!("status {status}"), Problem::to_string)
}

impl Why {
    pub(crate) fn of_body(status: StatusCode, error: BodyError) -> Self {
        match error {
            BodyError::TooLarge(limit) => Self::TooLarge { status, limit },
            BodyError::Cut(source) => Self::Cut { status, source },
        }
    }

    pub(crate) fn of_sending(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_connect() {
            Self::Unreachable(error)
        } else if error.is_timeout() {
            Self::Late(error)
        } else {
            Self::Broken(error)
        }
    }
}

impl CallError {
    /// The status of an answer, where there was one.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match &self.why {
            Why::Cut { status, .. } | Why::TooLarge { status, .. } | Why::Refused { status, .. } => {
                Some(*status)
            }
            Why::Address(_) | Why::Request(_) | Why::Unreachable(_) => None,
            Why::Late(_) | Why::Broken(_) | Why::Unreadable(_) => None,
        }
    }

    /// Whether it said no with the code `LICnnnn`.
    #[must_use]
    pub fn has_code(&self, code: &str) -> bool {
        matches!(&self.why, Why::Refused { problem: Some(problem), .. } if problem.code == code)
    }

    /// Whether nobody could be connected to.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self.why, Why::Unreachable(_))
    }

    /// Whether a whole answer came; otherwise it may not even have heard the question.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        match &self.why {
            Why::TooLarge { .. } | Why::Refused { .. } | Why::Unreadable(_) => true,
            Why::Address(_) | Why::Request(_) | Why::Unreachable(_) => false,
            Why::Late(_) | Why::Broken(_) | Why::Cut { .. } => false,
        }
    }

    /// Whether it said that it is too early: the chain does not show it yet (425).
    #[must_use]
    pub fn is_early(&self) -> bool {
        matches!(&self.why, Why::Refused { status, .. } if *status == StatusCode::TOO_EARLY)
    }

    /// The innermost reason, in words: what the operating system says, where it says something.
    #[must_use]
    pub fn root(&self) -> String {
        let mut root: &dyn std::error::Error = self;
        while let Some(source) = root.source() {
            root = source;
        }
        root.to_string()
    }
}

impl Fault for CallError {
    fn fault(&self) -> Party {
        match &self.why {
            Why::Address(_) | Why::Request(_) => Party::Environment,
            Why::Unreachable(_) | Why::Late(_) | Why::Broken(_) | Why::Cut { .. } => self.party,
            Why::TooLarge { .. } | Why::Refused { .. } | Why::Unreadable(_) => self.party,
        }
    }

    /// Silence and breaks may pass, and so may 5xx, 408, 425 and 429; every other answer lasts.
    fn retryable(&self) -> bool {
        match &self.why {
            Why::Unreachable(_) | Why::Late(_) | Why::Broken(_) | Why::Cut { .. } => true,
            Why::Refused { status, .. } => {
                status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
            }
            Why::Address(_) | Why::Request(_) | Why::TooLarge { .. } | Why::Unreadable(_) => false,
        }
    }
}
