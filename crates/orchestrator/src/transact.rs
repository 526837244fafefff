//! One transaction for one decision.

use licen_chain::sender::{End, Intent};
use licen_chain::{ChainError, Journal, SendError, Sender};
use licen_core::primitives::{Address, Bytes, U256};

use crate::event::TxOutcome;
use crate::journal::StoreJournal;

/// More refusals of one decision than that are somebody's error, not the chain's weather.
const MAX_REPEATS: u32 = 32;

/// The wallet, and what it has sent.
pub(crate) struct Transactor {
    pub(crate) sender: Sender<StoreJournal>,
}

/// What the journal says about a name.
enum Past {
    /// Nothing; send this.
    New,
    /// On its way with these contents, whoever decided on them: bring that to its end.
    Open(Bytes),
    /// It succeeded and is still in the chain.
    Done,
    /// It ended without effect: the next attempt needs the next name.
    Void,
}

impl Transactor {
    /// Sends `data` to `contract` under the name `base` and waits until it is final. What the journal has under
    /// that name goes before: a decision is sent as it was first written down.
    pub(crate) async fn send(&self, base: &str, contract: Address, data: Vec<u8>) -> TxOutcome {
        let data = Bytes::from(data);
        for repeat in 0..MAX_REPEATS {
            let key = if repeat == 0 { base.to_string() } else { format!("{base}#{repeat}") };
            let data = match self.past(&key).await {
                Ok(Past::New) => data.clone(),
                Ok(Past::Open(data)) => data,
                Ok(Past::Done) => return TxOutcome::Mined,
                Ok(Past::Void) => continue,
                Err(why) => return TxOutcome::NotSent(why),
            };
            return self.fly(key, contract, data).await;
        }
        TxOutcome::NotSent(format!("{base} was refused {MAX_REPEATS} times"))
    }

    async fn past(&self, key: &str) -> Result<Past, String> {
        let found = self.sender.journal().load(key).await.map_err(|e| e.to_string())?;
        let Some((intent, _)) = found else { return Ok(Past::New) };
        match intent.outcome.as_ref().map(|outcome| outcome.end) {
            None => Ok(Past::Open(intent.data)),
            Some(End::Reverted | End::Displaced) => Ok(Past::Void),
            Some(End::Succeeded) => self.still_there(&intent).await,
        }
    }

    /// A reorganisation deeper than the confirmation depth can take a final transaction away.
    async fn still_there(&self, intent: &Intent) -> Result<Past, String> {
        let Some(mined) = intent.outcome.as_ref().and_then(|o| o.mined.as_ref()) else {
            return Ok(Past::Void);
        };
        let block = self.sender.rpcs().block(mined.block_number).await.map_err(|e| e.to_string())?;
        Ok(if block.hash == mined.block_hash { Past::Done } else { Past::Void })
    }

    async fn fly(&self, idem_key: String, contract: Address, data: Bytes) -> TxOutcome {
        let call = licen_chain::Call { idem_key, to: Some(contract), value: U256::ZERO, data };
        match self.sender.send_and_confirm(&call).await {
            Ok(_) => TxOutcome::Mined,
            Err(SendError::Reverted { revert, .. } | SendError::Chain(ChainError::Reverted(revert))) => {
                TxOutcome::Refused(revert.sentence())
            }
            Err(other) => TxOutcome::NotSent(other.to_string()),
        }
    }
}
