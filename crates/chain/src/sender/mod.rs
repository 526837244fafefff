//! Sending transactions, each once, whatever crashes in between.
//!
//! ```text
//! Call --estimate--> Intent{nonce}      the journal gives the nonce in the write that keeps the intent
//!      --sign------> Attempt{raw}       kept before it is sent
//!      --send------> pool --> mined --> deep enough --> Outcome, kept
//! ```
//!
//! [`Flight`] decides (pure), [`Sender`] carries out, a [`Journal`] keeps. After a crash the flight
//! of an open intent is built from the journal again: it looks for its attempts on the chain before
//! it signs or sends anything, and it never takes another nonce. A repeated call with the same
//! `idem_key` gets the recorded outcome.

mod file;
mod flight;
mod intent;
mod run;

pub use file::FileJournal;
pub use flight::{Flight, Observation, Order, SendAnswer, SenderOptions};
pub use intent::{Attempt, Call, End, Fees, Intent, Journal, JournalError, Mined, Outcome};
pub use run::{Confirmation, SendError, Sender};
