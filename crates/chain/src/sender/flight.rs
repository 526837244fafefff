//! One transaction on its way, pure: from what was observed it decides what to keep, what to send,
//! and when it is over.

use std::time::Duration;

use alloy::consensus::{SignableTransaction, TxEip1559};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{B256, TxKind};

use super::intent::{Attempt, End, Fees, Intent, Mined, Outcome};
use crate::wallet::WalletKey;

/// How to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderOptions {
    /// How deep a block must be before its transactions count.
    pub confirmations: u64,
    /// Pay more after this long without being mined.
    pub bump_after: Duration,
    /// Send the same bytes again after this long without being mined.
    pub resend_after: Duration,
    /// Never offer more than this per unit of gas, wei.
    pub max_fee_cap: u128,
    /// Least tip, wei. 0G's pools refuse less than 2 gwei.
    pub min_tip: u128,
    /// Never ask for more gas than this.
    pub gas_cap: u64,
    /// How often to look.
    pub poll: Duration,
    /// How long one call may wait for its transaction in all. The transaction stays in the journal.
    pub deadline: Duration,
}

impl Default for SenderOptions {
    fn default() -> Self {
        Self {
            confirmations: 2,
            bump_after: Duration::from_secs(30),
            resend_after: Duration::from_secs(10),
            max_fee_cap: 500_000_000_000,
            min_tip: 2_000_000_000,
            gas_cap: 16_777_216,
            poll: Duration::from_millis(250),
            deadline: Duration::from_secs(300),
        }
    }
}

/// How often "underpriced" is answered by paying more at once. After that it waits for its time: a node
/// that always says so must not drive the price to the cap within seconds.
const MAX_HURRIED: u32 = 8;

/// What the chain shows of a flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Height of the head.
    pub head: u64,
    /// How many transactions the signer has, at the confirmation depth.
    pub nonce_at_depth: u64,
    /// How many it has at the head.
    pub nonce_at_head: u64,
    /// What a transaction should pay now.
    pub fees: Fees,
    /// The flight's attempt that is in a block, if any.
    pub mined: Option<Mined>,
}

/// What a node said to a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendAnswer {
    /// It is in the pool, or was already.
    Accepted,
    /// Its nonce is used: it, or another, is mined.
    NonceTooLow,
    /// It pays too little to replace what is in the pool.
    Underpriced,
    /// Nothing that a flight can decide about.
    Other,
    /// Words that nobody here knows: the next version may fare better.
    Refused(String),
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Keep an attempt; only then go on.
    Keep(Attempt),
    /// Send these bytes.
    Send(Attempt),
    /// Keep the end; the flight is over.
    Finish(Outcome),
}

/// One intent on its way.
#[derive(Debug, Clone)]
pub struct Flight {
    intent: Intent,
    attempts: Vec<Attempt>,
    options: SenderOptions,
    last_send_ms: Option<u64>,
    /// Since when this process waits for the last version.
    waiting_since_ms: u64,
    underpriced: bool,
    hurried: u32,
    /// Versions signed here after another one.
    bumps: u32,
    refusal: Option<String>,
}

impl Flight {
    /// From what the journal holds.
    #[must_use]
    pub fn new(intent: Intent, attempts: Vec<Attempt>, options: SenderOptions) -> Self {
        Self {
            intent,
            attempts,
            options,
            last_send_ms: None,
            waiting_since_ms: 0,
            underpriced: false,
            hurried: 0,
            bumps: 0,
            refusal: None,
        }
    }

    /// The intent.
    #[must_use]
    pub fn intent(&self) -> &Intent {
        &self.intent
    }

    /// The hashes to look for: any of the versions may be mined.
    pub fn hashes(&self) -> impl Iterator<Item = B256> + '_ {
        self.attempts.iter().rev().map(|a| a.hash)
    }

    /// Decides what to do now. Nothing to do means: look again later.
    pub fn observe(&mut self, now_ms: u64, seen: &Observation, key: &WalletKey) -> Vec<Order> {
        if let Some(mined) = &seen.mined {
            if seen.head < mined.block_number.saturating_add(self.options.confirmations) {
                return Vec::new();
            }
            let end = if mined.success { End::Succeeded } else { End::Reverted };
            return vec![Order::Finish(Outcome { end, mined: Some(mined.clone()), revert_data: None })];
        }
        if seen.nonce_at_depth > self.intent.nonce {
            return vec![Order::Finish(Outcome { end: End::Displaced, mined: None, revert_data: None })];
        }
        if seen.nonce_at_head > self.intent.nonce {
            // Taken at the head by something else, but that may still vanish.
            return Vec::new();
        }
        let Some(last) = self.attempts.last().cloned() else {
            return self.sign(now_ms, seen.fees, key);
        };
        let Some(last_send_ms) = self.last_send_ms else {
            // After a restart the kept bytes go out again first: they may never have. Where they pay
            // less than the market by now, no node would take them.
            if last.fees.max_fee < seen.fees.max_fee
                && let Some(fees) = bumped(last.fees, seen.fees, self.options.max_fee_cap)
            {
                return self.sign(now_ms, fees, key);
            }
            (self.last_send_ms, self.waiting_since_ms) = (Some(now_ms), now_ms);
            return vec![Order::Send(last)];
        };
        let stuck = now_ms >= self.waiting_since_ms.saturating_add(millis(self.options.bump_after));
        let hurry = self.underpriced && self.hurried < MAX_HURRIED;
        if (stuck || hurry)
            && let Some(fees) = bumped(last.fees, seen.fees, self.options.max_fee_cap)
        {
            self.hurried += u32::from(!stuck);
            return self.sign(now_ms, fees, key);
        }
        if now_ms >= last_send_ms.saturating_add(millis(self.options.resend_after)) {
            self.last_send_ms = Some(now_ms);
            return vec![Order::Send(last)];
        }
        Vec::new()
    }

    /// Takes note of what the node said.
    pub fn answered(&mut self, answer: &SendAnswer) {
        self.underpriced = *answer == SendAnswer::Underpriced;
        self.refusal = match answer {
            SendAnswer::Refused(message) => Some(message.clone()),
            SendAnswer::Accepted | SendAnswer::NonceTooLow | SendAnswer::Underpriced | SendAnswer::Other => {
                None
            }
        };
    }

    /// The words in which the node refused the last version, unless it took it.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Whether the last version was refused although it paid more than one before it: waiting longer
    /// promises nothing.
    #[must_use]
    pub fn hopeless(&self) -> bool {
        self.refusal.is_some() && self.bumps > 0
    }

    fn sign(&mut self, now_ms: u64, fees: Fees, key: &WalletKey) -> Vec<Order> {
        let number = self.attempts.len() as u32;
        self.bumps += u32::from(number > 0);
        let attempt = signed(&self.intent, number, fees, now_ms, key);
        self.attempts.push(attempt.clone());
        (self.last_send_ms, self.waiting_since_ms) = (Some(now_ms), now_ms);
        self.underpriced = false;
        vec![Order::Keep(attempt.clone()), Order::Send(attempt)]
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// 12.5 % more than before, or what the market asks if that is more; `None` once that exceeds the cap.
fn bumped(old: Fees, market: Fees, cap: u128) -> Option<Fees> {
    let more = |fee: u128| fee + fee.div_ceil(8).max(1);
    let max_fee = more(old.max_fee).max(market.max_fee);
    let max_priority_fee = more(old.max_priority_fee).max(market.max_priority_fee).min(max_fee);
    (max_fee <= cap).then_some(Fees { max_fee, max_priority_fee })
}

fn signed(intent: &Intent, number: u32, fees: Fees, now_ms: u64, key: &WalletKey) -> Attempt {
    let tx = TxEip1559 {
        chain_id: intent.chain_id,
        nonce: intent.nonce,
        gas_limit: intent.gas_limit,
        max_fee_per_gas: fees.max_fee,
        max_priority_fee_per_gas: fees.max_priority_fee,
        to: intent.to.map_or(TxKind::Create, TxKind::Call),
        value: intent.value,
        input: intent.data.clone(),
        ..TxEip1559::default()
    };
    let signature = key.sign(&tx.signature_hash());
    let envelope = tx.into_signed(signature);
    let hash = *envelope.hash();
    Attempt { number, hash, raw: envelope.encoded_2718().into(), fees, sent_ms: now_ms }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::{Address, Bytes, U256};

    fn key() -> WalletKey {
        WalletKey::import(&mut [7; 32]).unwrap()
    }

    fn intent() -> Intent {
        Intent {
            idem_key: "k".into(),
            chain_id: 31337,
            signer: key().address(),
            nonce: 4,
            to: Some(Address::repeat_byte(1)),
            value: U256::from(1),
            data: Bytes::new(),
            gas_limit: 21_000,
            created_ms: 0,
            outcome: None,
        }
    }

    fn seen() -> Observation {
        Observation {
            head: 10,
            nonce_at_depth: 4,
            nonce_at_head: 4,
            fees: Fees { max_fee: 100, max_priority_fee: 10 },
            mined: None,
        }
    }

    fn mined(hash: B256, success: bool) -> Mined {
        Mined {
            tx_hash: hash,
            block_number: 9,
            block_hash: B256::ZERO,
            success,
            gas_used: 1,
            gas_price: 1,
            contract: None,
        }
    }

    #[test]
    fn an_attempt_is_kept_before_it_is_sent() {
        let mut flight = Flight::new(intent(), Vec::new(), SenderOptions::default());
        let orders = flight.observe(0, &seen(), &key());
        let [Order::Keep(kept), Order::Send(sent)] = &orders[..] else { panic!("{orders:?}") };
        assert_eq!((kept, kept.number), (sent, 0));
        assert!(flight.observe(1, &seen(), &key()).is_empty());
    }

    #[test]
    fn after_a_restart_the_same_bytes_go_out_again() {
        let mut first = Flight::new(intent(), Vec::new(), SenderOptions::default());
        let Order::Keep(kept) = first.observe(0, &seen(), &key()).remove(0) else { panic!() };
        let mut second = Flight::new(intent(), vec![kept.clone()], SenderOptions::default());
        assert_eq!(second.observe(5, &seen(), &key()), vec![Order::Send(kept)]);
    }

    #[test]
    fn a_stuck_transaction_pays_an_eighth_more_up_to_the_cap() {
        let options = SenderOptions { max_fee_cap: 130, ..SenderOptions::default() };
        let mut flight = Flight::new(intent(), Vec::new(), options);
        flight.observe(0, &seen(), &key());
        let orders = flight.observe(30_000, &seen(), &key());
        let [Order::Keep(bumped), Order::Send(_)] = &orders[..] else { panic!("{orders:?}") };
        assert_eq!(bumped.fees, Fees { max_fee: 113, max_priority_fee: 12 });
        assert_eq!(bumped.number, 1);
        flight.observe(60_000, &seen(), &key());
        // 128 + 16 would exceed the cap: the last version goes out again instead.
        let orders = flight.observe(90_000, &seen(), &key());
        let [Order::Send(again)] = &orders[..] else { panic!("{orders:?}") };
        assert_eq!(again.fees.max_fee, 128);
        assert_eq!(flight.hashes().count(), 3);
    }

    #[test]
    fn an_underpriced_answer_bumps_at_once() {
        let mut flight = Flight::new(intent(), Vec::new(), SenderOptions::default());
        flight.observe(0, &seen(), &key());
        flight.answered(&SendAnswer::Underpriced);
        assert_eq!(flight.observe(1, &seen(), &key()).len(), 2);
    }

    #[test]
    fn a_node_that_always_says_underpriced_does_not_drive_the_price() {
        let mut flight = Flight::new(intent(), Vec::new(), SenderOptions::default());
        flight.observe(0, &seen(), &key());
        for now_ms in 1..100 {
            flight.answered(&SendAnswer::Underpriced);
            flight.observe(now_ms, &seen(), &key());
        }
        assert_eq!(flight.hashes().count(), 1 + MAX_HURRIED as usize);
    }

    #[test]
    fn after_a_restart_what_pays_less_than_the_market_is_replaced() {
        let mut first = Flight::new(intent(), Vec::new(), SenderOptions::default());
        let Order::Keep(kept) = first.observe(0, &seen(), &key()).remove(0) else { panic!() };
        let mut second = Flight::new(intent(), vec![kept], SenderOptions::default());
        let dearer = Observation { fees: Fees { max_fee: 900, max_priority_fee: 10 }, ..seen() };
        let orders = second.observe(5, &dearer, &key());
        assert!(
            matches!(&orders[..], [Order::Keep(a), Order::Send(_)] if a.fees.max_fee == 900),
            "{orders:?}"
        );
        assert!(!second.hopeless(), "nobody has refused it yet");
    }

    #[test]
    fn any_version_may_be_mined_and_counts_only_at_depth() {
        let mut flight = Flight::new(intent(), Vec::new(), SenderOptions::default());
        flight.observe(0, &seen(), &key());
        flight.observe(30_000, &seen(), &key());
        let oldest = flight.hashes().last().unwrap();
        let shallow = Observation { mined: Some(mined(oldest, true)), nonce_at_head: 5, ..seen() };
        assert!(flight.observe(30_001, &shallow, &key()).is_empty());
        let deep = Observation { head: 11, ..shallow };
        let orders = flight.observe(30_002, &deep, &key());
        let [Order::Finish(outcome)] = &orders[..] else { panic!("{orders:?}") };
        assert_eq!((outcome.end, outcome.mined.as_ref().unwrap().tx_hash), (End::Succeeded, oldest));
    }

    #[test]
    fn a_transaction_that_vanishes_is_sent_again() {
        let mut flight = Flight::new(intent(), Vec::new(), SenderOptions::default());
        flight.observe(0, &seen(), &key());
        let hash = flight.hashes().next().unwrap();
        let shallow = Observation { mined: Some(mined(hash, true)), nonce_at_head: 5, ..seen() };
        assert!(flight.observe(20_000, &shallow, &key()).is_empty());
        let orders = flight.observe(20_001, &seen(), &key());
        assert!(matches!(&orders[..], [Order::Send(a)] if a.hash == hash), "{orders:?}");
    }

    #[test]
    fn a_nonce_used_elsewhere_ends_the_flight_only_at_depth() {
        let mut flight = Flight::new(intent(), Vec::new(), SenderOptions::default());
        flight.observe(0, &seen(), &key());
        let taken = Observation { nonce_at_head: 5, ..seen() };
        assert!(flight.observe(60_000, &taken, &key()).is_empty());
        let gone = Observation { nonce_at_depth: 5, ..taken };
        let orders = flight.observe(60_001, &gone, &key());
        assert!(matches!(&orders[..], [Order::Finish(o)] if o.end == End::Displaced), "{orders:?}");
    }
}
