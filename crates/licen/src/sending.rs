//! Transactions of a command: each kept on disk before it is sent, and none sent without a say.

use std::sync::Arc;

use licen_chain::sender::{End, Intent, Mined};
use licen_chain::{Call, FileJournal, Journal, Revert, Rpcs, SendError, Sender, SenderOptions};
use licen_core::money::format_units;
use licen_core::primitives::{Address, U256};
use licen_core::sol_types::SolCall;

use crate::chain_view::chain_error;
use crate::codes;
use crate::error::{CliError, Outcome};
use crate::session::Session;

impl Session {
    /// Sends one transaction and waits until it is deep enough. It is kept on disk before it is
    /// sent, and a label never becomes a second transaction unless the first ended without effect.
    ///
    /// # Errors
    /// The contract refuses (its reason, decoded), or the chain does not answer.
    pub async fn send<C: SolCall>(&self, label: &str, to: Address, call: &C, value: U256) -> Outcome<Mined> {
        let sender = self.sender(self.chain().await?.rpcs())?;
        let journal = sender.journal();
        let idem_key = unused(journal, label).await.map_err(send_error)?;
        self.agree_to_open(&sender, &idem_key).await?;
        let call = Call { idem_key, to: Some(to), value, data: call.abi_encode().into() };
        Ok(sender.send_and_confirm(&call).await.map_err(send_error)?.mined)
    }

    /// What an earlier command left open has a lower nonce and is mined first. Where it pays, that is
    /// asked again: whoever cancels one job has not agreed to pay for another.
    async fn agree_to_open(&self, sender: &Sender<FileJournal>, idem_key: &str) -> Outcome {
        let chain_id = sender.rpcs().identity().chain_id;
        let open =
            sender.journal().open(chain_id, sender.address()).await.map_err(|e| send_error(e.into()))?;
        for intent in open.iter().take_while(|intent| intent.idem_key != idem_key) {
            if intent.value.is_zero() {
                continue;
            }
            let (what, coins) = (&intent.idem_key, format_units(intent.value, 18));
            self.ui.warn(&format!(
                "an earlier transaction is still open and goes first: it pays {coins} ({what})"
            ));
            if !self.ui.confirm("Send it as well?") {
                let refused = CliError::refused(codes::NOT_CONFIRMED, "not confirmed, nothing was sent");
                return Err(refused.hint("the command that began it finishes it; --yes here sends both"));
            }
        }
        Ok(())
    }

    /// The wallet's sender over a journal in the state directory.
    ///
    /// # Errors
    /// No wallet, or no journal.
    pub fn sender(&self, rpcs: Arc<Rpcs>) -> Outcome<Sender<FileJournal>> {
        let wallet = self.load_wallet()?;
        let journal = FileJournal::open(&self.config.state_dir()?, &rpcs.identity(), wallet.address())
            .map_err(|e| {
                CliError::environment(codes::FILE, "cannot keep the transaction on disk").because(&e)
            })?;
        Ok(Sender::new(rpcs, wallet, journal, SenderOptions::default()))
    }
}

/// The label, or the next of its kind: what ended without effect under one stays so, and may be right now.
async fn unused(journal: &FileJournal, label: &str) -> Result<String, SendError> {
    let without_effect = |intent: Intent| intent.outcome.is_some_and(|outcome| outcome.end != End::Succeeded);
    let mut key = label.to_string();
    for again in 1_u32.. {
        if !journal.load(&key).await?.is_some_and(|(intent, _)| without_effect(intent)) {
            break;
        }
        key = format!("{label}#{again}");
    }
    Ok(key)
}

/// A transaction that was not carried out, for people.
pub fn send_error(error: SendError) -> CliError {
    match error {
        SendError::Chain(error) => chain_error(error),
        SendError::Reverted { revert, tx_hash } => {
            let mut shown = contract_refuses(&revert);
            shown
                .causes
                .push(format!("transaction {tx_hash} was mined and refused; it cost gas, nothing else"));
            shown
        }
        SendError::NoFunds { signer, balance, needed } => CliError::refused(
            codes::FUNDS,
            format!(
                "the wallet {signer} has {}, up to {} are needed with gas",
                format_units(balance, 18),
                format_units(needed, 18)
            ),
        )
        .hint(format!("send coins to {signer}, then run the same command again")),
        other => CliError::of(codes::TRANSACTION, "the transaction was not carried out", &other)
            .hint("run the same command again: a pending transaction is resumed, not repeated"),
    }
}

/// A refusal of the contract, for people.
pub fn contract_refuses(revert: &Revert) -> CliError {
    let error = CliError::refused(codes::TRANSACTION, format!("the contract refuses: {}", revert.sentence()));
    match revert.hint() {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
