//! Transactions of a command: each kept on disk before it is sent, and none sent without a say.

use std::sync::Arc;

use licen_chain::sender::{End, Intent, Mined};
use licen_chain::{Call, FileJournal, Journal, Rpcs, SendError, Sender, SenderOptions};
use licen_core::abi::DataPolicy;
use licen_core::primitives::{Address, U256};
use licen_core::sol_types::SolCall;

use crate::session::chain_error::{chain_error, contract_refuses};
use crate::session::error::{CliError, Outcome};
use crate::session::ledger::Token;
use crate::session::{Session, codes};

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
            let Some((token, amount)) = paid(intent) else { continue };
            let (what, shown) = (&intent.idem_key, self.words(token).await.shown(amount));
            self.ui.warn(&format!(
                "an earlier transaction is still open and goes first: it pays {shown} ({what})"
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

/// What a transaction of ours pays, and in which token; nothing where it pays nothing.
fn paid(intent: &Intent) -> Option<(Address, U256)> {
    if !intent.value.is_zero() {
        return Some((Address::ZERO, intent.value));
    }
    let plain =
        DataPolicy::requestAccess_0Call::abi_decode(&intent.data).map(|call| (call.policy, call.request, 0));
    let (policy, request, fee) = plain
        .or_else(|_| {
            let quoted = DataPolicy::requestAccess_1Call::abi_decode(&intent.data);
            quoted.map(|call| (call.policy, call.request, call.quote.quote.computeFeePerEpoch))
        })
        .ok()?;
    let royalty = U256::from(policy.royaltyPerEpoch).saturating_mul(U256::from(request.units));
    let compute = U256::from(fee).saturating_mul(U256::from(request.epochs));
    let amount = royalty.saturating_add(compute);
    (!amount.is_zero()).then_some((policy.token, amount))
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
                Token::coin().shown(balance),
                Token::coin().shown(needed)
            ),
        )
        .hint(format!("send coins to {signer}, then run the same command again")),
        other => CliError::of(codes::TRANSACTION, "the transaction was not carried out", &other)
            .hint("run the same command again: a pending transaction is resumed, not repeated"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use licen_core::abi::{Policy, Quote, Request, SignedQuote};
    use licen_core::primitives::Bytes;

    fn intent(value: u64, data: Vec<u8>) -> Intent {
        Intent {
            idem_key: "request:1".into(),
            chain_id: 31_337,
            signer: Address::ZERO,
            nonce: 0,
            to: None,
            value: U256::from(value),
            data: Bytes::from(data),
            gas_limit: 0,
            created_ms: 0,
            outcome: None,
        }
    }

    #[test]
    fn an_open_request_pays_in_its_token_although_it_carries_no_coins() {
        let token = Address::repeat_byte(7);
        let policy = Policy { token, royaltyPerEpoch: 25, ..Policy::default() };
        let request = Request { epochs: 3, units: 3, ..Request::default() };
        let (both, quoted) =
            ((policy.clone(), request.clone()), Quote { computeFeePerEpoch: 2, ..Quote::default() });
        let plain = DataPolicy::requestAccess_0Call { policy, request };
        assert_eq!(paid(&intent(0, plain.abi_encode())), Some((token, U256::from(75))));
        let quote = SignedQuote { quote: quoted, ..SignedQuote::default() };
        let (policy, request) = both;
        let call = DataPolicy::requestAccess_1Call { policy, request, quote, admission: Default::default() };
        assert_eq!(paid(&intent(0, call.abi_encode())), Some((token, U256::from(81))));
        assert_eq!(paid(&intent(5, Vec::new())), Some((Address::ZERO, U256::from(5))));
        let withdrawal = DataPolicy::withdrawCall { account: Address::ZERO, token };
        assert_eq!(paid(&intent(0, withdrawal.abi_encode())), None);
    }
}
