//! What a request costs, line by line.

use licen_core::abi::Policy;
use licen_core::primitives::{B256, U256};

use super::quote::Quoted;
use crate::researcher::jobs::epochs;
use crate::session::ledger::Token;
use crate::session::output::short;

/// Royalty and compute fee of a job.
#[derive(Debug, Clone)]
pub(super) struct Bill {
    token: Token,
    royalty_per_epoch: U256,
    fee_per_epoch: U256,
    epochs: u32,
    provider: B256,
}

impl Bill {
    /// Of this many epochs, at a provider's price where there is one.
    pub fn new(token: Token, policy: &Policy, epochs: u32, quoted: Option<&Quoted>) -> Self {
        let quote = quoted.map(Quoted::quote);
        Self {
            token,
            royalty_per_epoch: U256::from(policy.royaltyPerEpoch),
            fee_per_epoch: quote.map_or(U256::ZERO, |quote| U256::from(quote.computeFeePerEpoch)),
            epochs,
            provider: quote.map_or(B256::ZERO, |quote| quote.providerId),
        }
    }

    /// What it is paid in.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// What one epoch costs.
    pub fn per_epoch(&self) -> U256 {
        self.royalty_per_epoch + self.fee_per_epoch
    }

    /// What is locked.
    pub fn total(&self) -> U256 {
        self.per_epoch() * U256::from(self.epochs)
    }

    /// An amount of it, for people.
    pub fn shown(&self, amount: U256) -> String {
        self.token.shown(amount)
    }

    /// A line for each part, then the sum.
    pub fn lines(&self) -> Vec<String> {
        let times = |one: U256| {
            let whole = one * U256::from(self.epochs);
            format!("{} x {} = {}", epochs(self.epochs), self.token.number(one), self.shown(whole))
        };
        let back = "escrow; what is not trained comes back";
        if self.provider.is_zero() {
            return vec![format!("{} {back}", times(self.royalty_per_epoch))];
        }
        vec![
            format!("{} royalty", times(self.royalty_per_epoch)),
            format!(
                "{} compute fee of provider {}",
                times(self.fee_per_epoch),
                short(&self.provider.to_string())
            ),
            format!("{} {back}", self.shown(self.total())),
        ]
    }
}
