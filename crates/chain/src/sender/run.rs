//! Carries a flight's orders out against the chain and the journal.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy::primitives::{Address, B256, Bytes, U64, U256};
use licen_core::fault::{Fault, Party};
use serde_json::{Value, json};

use super::flight::{Flight, Observation, Order, SendAnswer, SenderOptions};
use super::intent::{Attempt, Call, End, Fees, Intent, Journal, JournalError, Mined, Outcome};
use crate::error::ChainError;
use crate::event::{self, ChainEvent, RawLog};
use crate::revert::Revert;
use crate::rpc::{Rpc, lock};
use crate::rpcs::Rpcs;
use crate::wallet::WalletKey;

/// A call that succeeded, deep enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// The call's name.
    pub idem_key: String,
    /// Where it is.
    pub mined: Mined,
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The chain could not be asked, or the contract refused before anything was sent.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The journal failed: nothing was sent that is not in it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Mined, and refused by the contract.
    #[error("transaction {tx_hash} was refused by the contract: {revert}")]
    Reverted {
        /// Transaction hash.
        tx_hash: B256,
        /// What the contract said.
        revert: Revert,
    },
    /// Somebody else used the key: its nonce went to another transaction.
    #[error("nonce {nonce} of {signer} went to a transaction that was not sent from here")]
    Displaced {
        /// The wallet.
        signer: Address,
        /// The nonce.
        nonce: u64,
    },
    /// The node counts more waiting transactions than anybody sent.
    #[error("the rpc says that {signer} has {pending} transactions with those that wait, {latest} are mined")]
    NonceGap {
        /// The wallet.
        signer: Address,
        /// How many are mined.
        latest: u64,
        /// How many it counts in all.
        pending: u64,
    },
    /// The wallet cannot pay.
    #[error("{signer} has {balance} wei, up to {needed} wei needed")]
    NoFunds {
        /// The wallet.
        signer: Address,
        /// Its balance.
        balance: U256,
        /// Value plus the most that gas may cost.
        needed: U256,
    },
    /// No block of the chain may hold it.
    #[error("the call needs {estimate} gas, at most {cap} fit in a transaction")]
    TooMuchGas {
        /// What it needs.
        estimate: u64,
        /// The cap.
        cap: u64,
    },
    /// The node does not take it.
    #[error("the rpc does not take the transaction: {message}")]
    Rejected {
        /// What it said.
        message: String,
    },
    /// Not deep enough in time. It is in the journal: the same call goes on with it.
    #[error("{idem_key} is not confirmed after {after:?}; it is kept and goes on when tried again")]
    Deadline {
        /// The call's name.
        idem_key: String,
        /// The deadline.
        after: Duration,
    },
}

impl Fault for SendError {
    fn fault(&self) -> Party {
        match self {
            Self::Chain(e) => e.fault(),
            Self::Journal(_) => Party::Environment,
            Self::Reverted { .. } | Self::Displaced { .. } | Self::NoFunds { .. } => Party::Requester,
            Self::TooMuchGas { .. }
            | Self::Rejected { .. }
            | Self::Deadline { .. }
            | Self::NonceGap { .. } => Party::Chain,
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Chain(e) => e.retryable(),
            Self::Deadline { .. } | Self::NonceGap { .. } => true,
            Self::Journal(_)
            | Self::Reverted { .. }
            | Self::Displaced { .. }
            | Self::NoFunds { .. }
            | Self::TooMuchGas { .. }
            | Self::Rejected { .. } => false,
        }
    }
}

/// Transactions of one wallet that other programs may have waiting.
const MAX_FOREIGN_PENDING: u64 = 16;

/// Sends with one key on one chain.
pub struct Sender<J> {
    rpcs: Arc<Rpcs>,
    key: WalletKey,
    journal: J,
    options: SenderOptions,
    active: Mutex<HashSet<String>>,
}

/// Takes a key out of the active set however the flight ends.
struct Active<'a> {
    set: &'a Mutex<HashSet<String>>,
    key: String,
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        lock(self.set).remove(&self.key);
    }
}

impl<J: Journal> Sender<J> {
    /// Sends with `key`, keeps in `journal`.
    #[must_use]
    pub fn new(rpcs: Arc<Rpcs>, key: WalletKey, journal: J, options: SenderOptions) -> Self {
        Self { rpcs, key, journal, options, active: Mutex::default() }
    }

    /// The wallet.
    #[must_use]
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// The wallet's key, for its off-chain statements.
    #[must_use]
    pub fn key(&self) -> &WalletKey {
        &self.key
    }

    /// The endpoints.
    #[must_use]
    pub fn rpcs(&self) -> &Arc<Rpcs> {
        &self.rpcs
    }

    /// Where its transactions are kept.
    #[must_use]
    pub fn journal(&self) -> &J {
        &self.journal
    }

    fn rpc(&self) -> &Rpc {
        self.rpcs.primary()
    }

    /// Makes a call happen once and waits until it is deep enough. Repeated with the same key, also
    /// after a crash, it goes on with the same transaction or returns how that one ended.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send_and_confirm(&self, call: &Call) -> Result<Confirmation, SendError> {
        let intent = self.intend(call).await?;
        self.resume_below(intent.nonce).await?;
        self.fly(&intent.idem_key).await
    }

    /// Brings every open transaction of this wallet to its end, lowest nonce first: a lower one
    /// holds up every higher one. How each ended is in the journal.
    ///
    /// # Errors
    /// [`SendError`], except for what a transaction's own end was.
    pub async fn resume(&self) -> Result<usize, SendError> {
        self.resume_below(u64::MAX).await
    }

    /// Reserves a nonce for a call, without sending: for a role that decides first and sends later.
    ///
    /// # Errors
    /// [`SendError`]; a call that the contract would refuse gets no nonce.
    pub async fn intend(&self, call: &Call) -> Result<Intent, SendError> {
        let mut intent = Intent {
            idem_key: call.idem_key.clone(),
            chain_id: self.rpcs.identity().chain_id,
            signer: self.key.address(),
            nonce: 0,
            to: call.to,
            value: call.value,
            data: call.data.clone(),
            gas_limit: 0,
            created_ms: now_ms(),
            outcome: None,
        };
        if self.journal.load(&call.idem_key).await?.is_some() {
            return Ok(self.journal.reserve(&intent, 0).await?);
        }
        intent.gas_limit = self.gas_limit(call).await?;
        self.can_pay(&intent).await?;
        let pending = self.rpc().nonce(intent.signer, "pending").await?;
        let latest = self.rpc().nonce(intent.signer, "latest").await?;
        // A nonce far above what is mined would wait for ever, and every later one with it.
        let open = self.journal.open(intent.chain_id, intent.signer).await?.len() as u64;
        if pending > latest.saturating_add(open).saturating_add(MAX_FOREIGN_PENDING) {
            return Err(SendError::NonceGap { signer: intent.signer, latest, pending });
        }
        Ok(self.journal.reserve(&intent, pending).await?)
    }

    async fn gas_limit(&self, call: &Call) -> Result<u64, SendError> {
        let tx = call_json(self.key.address(), call.to, call.value, &call.data);
        let estimate: U64 = self.rpc().call("eth_estimateGas", json!([tx, "pending"])).await?;
        let (estimate, cap) = (estimate.to::<u64>(), self.options.gas_cap);
        if estimate > cap {
            return Err(SendError::TooMuchGas { estimate, cap });
        }
        // A third more: what a call needs depends on what is mined before it.
        Ok((estimate + estimate / 3).min(cap))
    }

    async fn can_pay(&self, intent: &Intent) -> Result<(), SendError> {
        self.has(intent.value, intent.gas_limit).await
    }

    /// Whether the wallet can pay for so much gas now, at the highest fee it would offer: for whoever is about
    /// to send several transactions that only make sense together.
    ///
    /// # Errors
    /// [`SendError::NoFunds`], and [`SendError::Chain`].
    pub async fn can_pay_gas(&self, gas: u64) -> Result<(), SendError> {
        self.has(U256::ZERO, gas).await
    }

    async fn has(&self, value: U256, gas: u64) -> Result<(), SendError> {
        let signer = self.key.address();
        let balance = self.rpc().balance(signer).await?;
        let fees = self.market().await?;
        let needed = value.saturating_add(U256::from(gas).saturating_mul(U256::from(fees.max_fee)));
        if balance < needed {
            return Err(SendError::NoFunds { signer, balance, needed });
        }
        Ok(())
    }

    async fn resume_below(&self, nonce: u64) -> Result<usize, SendError> {
        let open = self.journal.open(self.rpcs.identity().chain_id, self.key.address()).await?;
        let mut ended = 0;
        for intent in open.into_iter().filter(|i| i.nonce < nonce) {
            if lock(&self.active).contains(&intent.idem_key) {
                continue;
            }
            match self.fly(&intent.idem_key).await {
                Ok(_) | Err(SendError::Reverted { .. } | SendError::Displaced { .. }) => ended += 1,
                Err(other) => return Err(other),
            }
        }
        Ok(ended)
    }

    /// Brings one intent to its end.
    async fn fly(&self, idem_key: &str) -> Result<Confirmation, SendError> {
        let started = Instant::now();
        let mut active: Option<Active<'_>> = None;
        let mut flight: Option<Flight> = None;
        loop {
            if active.is_none() && lock(&self.active).insert(idem_key.to_string()) {
                active = Some(Active { set: &self.active, key: idem_key.to_string() });
            }
            // Another task of this process may fly it already: then only look for its end.
            let current = match flight.take() {
                Some(flight) if active.is_some() => flight,
                _ => match self.load(idem_key).await? {
                    (intent, _) if intent.outcome.is_some() => return ended(&intent),
                    (intent, attempts) => Flight::new(intent, attempts, self.options),
                },
            };
            if started.elapsed() >= self.options.deadline {
                let after = self.options.deadline;
                return Err(SendError::Deadline { idem_key: idem_key.to_string(), after });
            }
            if active.is_some() {
                flight = self.turn(current).await?;
            }
            if active.is_none() || flight.is_some() {
                tokio::time::sleep(self.options.poll).await;
            }
        }
    }

    async fn load(&self, idem_key: &str) -> Result<(Intent, Vec<Attempt>), SendError> {
        let found = self.journal.load(idem_key).await?;
        let missing = || JournalError::Storage(format!("no intent {idem_key}").into());
        Ok(found.ok_or_else(missing)?)
    }

    /// Looks once and does what follows. `None`: read the journal again, something changed there.
    async fn turn(&self, mut flight: Flight) -> Result<Option<Flight>, SendError> {
        let seen = match self.observe(&flight).await {
            Ok(seen) => seen,
            Err(error) if error.retryable() => {
                tracing::warn!(%error, "cannot look for a transaction, trying again");
                return Ok(Some(flight));
            }
            Err(error) => return Err(error.into()),
        };
        if seen.nonce_at_head < flight.intent().nonce {
            self.fill_gap(flight.intent(), seen.nonce_at_head).await?;
        }
        for order in flight.observe(now_ms(), &seen, &self.key) {
            let idem_key = flight.intent().idem_key.clone();
            match order {
                Order::Keep(attempt) => match self.journal.add_attempt(&idem_key, &attempt).await {
                    Ok(()) => {}
                    // Another process signed this version first: take over what it kept.
                    Err(JournalError::Conflict { .. }) => return Ok(None),
                    Err(error) => return Err(error.into()),
                },
                Order::Send(attempt) => {
                    let answer = self.send(flight.intent(), &attempt).await?;
                    flight.answered(&answer);
                    if let Some(message) = flight.refusal().filter(|_| flight.hopeless()) {
                        return Err(SendError::Rejected { message: message.to_string() });
                    }
                }
                Order::Finish(outcome) => {
                    // Believed for ever, so looked at twice.
                    if outcome.end == End::Displaced {
                        match self.is_mined(&idem_key).await {
                            Ok(false) => {}
                            Ok(true) => return Ok(None),
                            Err(SendError::Chain(error)) if error.retryable() => return Ok(Some(flight)),
                            Err(error) => return Err(error),
                        }
                    }
                    let outcome = self.explain(flight.intent(), outcome).await;
                    self.journal.finish(&idem_key, &outcome).await?;
                    return Ok(None);
                }
            }
        }
        Ok(Some(flight))
    }

    /// Sends a finished transaction again that vanished in a change of the chain deeper than the
    /// confirmation depth: every later one waits for its nonce.
    async fn fill_gap(&self, intent: &Intent, nonce: u64) -> Result<(), SendError> {
        let below = self.journal.with_nonce(intent.chain_id, intent.signer, nonce).await?;
        if let Some((below, attempts)) = below
            && below.outcome.is_some()
            && let Some(last) = attempts.last()
        {
            tracing::warn!(tx = %last.hash, nonce, "a confirmed transaction vanished, sending it again");
            self.send(&below, last).await?;
        }
        Ok(())
    }

    /// The nonces first: a receipt asked for afterwards is there if one of the flight's own used them.
    async fn observe(&self, flight: &Flight) -> Result<Observation, ChainError> {
        let signer = flight.intent().signer;
        let head = self.rpc().head_number().await?;
        let deep = format!("{:#x}", head.saturating_sub(self.options.confirmations));
        let nonce_at_depth = self.rpc().nonce(signer, &deep).await?;
        let nonce_at_head = self.rpc().nonce(signer, "latest").await?;
        let mut mined = None;
        for hash in flight.hashes() {
            if let Some(receipt) = self.rpc().receipt(hash).await? {
                mined = Some(Mined {
                    tx_hash: receipt.transaction_hash,
                    block_number: receipt.block_number.to(),
                    block_hash: receipt.block_hash,
                    success: receipt.status.to::<u64>() == 1,
                    gas_used: receipt.gas_used.to(),
                    gas_price: to_u128(receipt.effective_gas_price.unwrap_or_default()),
                    contract: receipt.contract_address.filter(|_| flight.intent().to.is_none()),
                });
                break;
            }
        }
        Ok(Observation { head, nonce_at_depth, nonce_at_head, fees: self.market().await?, mined })
    }

    /// Whether one of the versions in the journal is in a block after all: another process may have kept
    /// one since, and an endpoint that lags shows a nonce before it shows the receipt.
    async fn is_mined(&self, idem_key: &str) -> Result<bool, SendError> {
        let (_, attempts) = self.load(idem_key).await?;
        for attempt in attempts {
            if self.rpc().receipt(attempt.hash).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a transaction should offer now: the node's tip but no less than the floor, and twice the
    /// base fee beside it.
    async fn market(&self) -> Result<Fees, ChainError> {
        let head = self.rpc().head().await?;
        let tip = match self.rpc().call::<U256>("eth_maxPriorityFeePerGas", json!([])).await {
            Ok(tip) => to_u128(tip),
            // Not every node has the method; the floor does then.
            Err(ChainError::Refused { .. }) => 0,
            Err(other) => return Err(other),
        };
        let cap = self.options.max_fee_cap;
        let max_priority_fee = tip.max(self.options.min_tip).min(cap);
        let base = to_u128(head.base_fee_per_gas.unwrap_or_default());
        let max_fee = base.saturating_mul(2).saturating_add(max_priority_fee).min(cap);
        Ok(Fees { max_fee, max_priority_fee })
    }

    async fn send(&self, intent: &Intent, attempt: &Attempt) -> Result<SendAnswer, SendError> {
        let sent = self.rpc().call::<B256>("eth_sendRawTransaction", json!([attempt.raw])).await;
        let message = match sent {
            Ok(hash) if hash == attempt.hash => return Ok(SendAnswer::Accepted),
            Ok(hash) => format!("it answered with transaction {hash}"),
            Err(ChainError::Refused { message, .. }) => message,
            // Pools that simulate say so before mining; the flight finds out by its receipt.
            Err(ChainError::Reverted(_)) => return Ok(SendAnswer::Other),
            Err(error) if error.retryable() => {
                tracing::warn!(%error, tx = %attempt.hash, "cannot send, trying again");
                return Ok(SendAnswer::Other);
            }
            Err(error) => return Err(error.into()),
        };
        match classify(&message) {
            Refusal::Answer(answer) => Ok(answer),
            Refusal::NoFunds => {
                let balance = self.rpc().balance(intent.signer).await?;
                let gas = U256::from(intent.gas_limit).saturating_mul(U256::from(attempt.fees.max_fee));
                let needed = intent.value.saturating_add(gas);
                Err(SendError::NoFunds { signer: intent.signer, balance, needed })
            }
            Refusal::Unknown => {
                tracing::warn!(message, tx = %attempt.hash, "the rpc refuses, trying again later for more");
                Ok(SendAnswer::Refused(message))
            }
        }
    }

    /// Adds what the contract said to a reverted outcome, by calling again on the state below it.
    async fn explain(&self, intent: &Intent, outcome: Outcome) -> Outcome {
        let (End::Reverted, Some(mined)) = (outcome.end, &outcome.mined) else { return outcome };
        let mut tx = call_json(intent.signer, intent.to, intent.value, &intent.data);
        tx["gas"] = json!(U64::from(intent.gas_limit));
        let below = U64::from(mined.block_number.saturating_sub(1));
        let said = match self.rpc().call::<Bytes>("eth_call", json!([tx, below])).await {
            Err(ChainError::Reverted(revert)) => Some(revert.data),
            // It succeeds there: something in its own block came before it.
            Ok(_) | Err(_) => None,
        };
        Outcome { revert_data: said, ..outcome }
    }

    /// The events of ours in a mined transaction.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn events(&self, mined: &Mined) -> Result<Vec<ChainEvent>, ChainError> {
        let number = mined.block_number;
        let block = self.rpcs.block(number).await?;
        let receipt = self.rpc().receipt(mined.tx_hash).await?;
        let receipt = receipt.ok_or(ChainError::BlockUnknown { number })?;
        let raw = receipt.logs.into_iter().map(|log| RawLog {
            contract: log.address,
            topics: log.topics,
            data: log.data,
            block_number: log.block_number.to(),
            block_hash: log.block_hash,
            timestamp: block.timestamp,
            tx_hash: log.transaction_hash,
            log_index: log.log_index.to(),
        });
        Ok(raw.filter_map(|log| event::decode(&log).ok().flatten()).collect())
    }
}

fn ended(intent: &Intent) -> Result<Confirmation, SendError> {
    let displaced = SendError::Displaced { signer: intent.signer, nonce: intent.nonce };
    let Some(outcome) = &intent.outcome else { return Err(displaced) };
    match (outcome.end, &outcome.mined) {
        (End::Succeeded, Some(mined)) => {
            Ok(Confirmation { idem_key: intent.idem_key.clone(), mined: mined.clone() })
        }
        (End::Reverted, Some(mined)) => Err(SendError::Reverted {
            tx_hash: mined.tx_hash,
            revert: Revert::decode(outcome.revert_data.as_ref().map_or(&[][..], |data| &data[..])),
        }),
        (End::Displaced, _) | (End::Succeeded | End::Reverted, None) => Err(displaced),
    }
}

enum Refusal {
    Answer(SendAnswer),
    NoFunds,
    Unknown,
}

/// A pool refuses what pays too little: beside another of its nonce, below the base fee, or at all.
const TOO_CHEAP: [&str; 6] = [
    "underpriced",
    "replacementnotallowed",
    "feetoolow",
    "fee too low",
    "less than block base fee",
    "max fee per gas less than",
];

/// What the words of geth, reth, erigon, nethermind and anvil mean.
fn classify(message: &str) -> Refusal {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| message.contains(w));
    if says(&["already known", "already imported", "known transaction", "alreadyknown"]) {
        Refusal::Answer(SendAnswer::Accepted)
    } else if says(&["nonce too low", "nonce is too low", "oldnonce"]) {
        Refusal::Answer(SendAnswer::NonceTooLow)
    } else if says(&["insufficient funds"]) {
        Refusal::NoFunds
    } else if says(&TOO_CHEAP) {
        Refusal::Answer(SendAnswer::Underpriced)
    } else if says(&["pool is full", "pool full", "pool limit", "rate limit", "too many requests"]) {
        Refusal::Answer(SendAnswer::Other)
    } else {
        Refusal::Unknown
    }
}

fn call_json(from: Address, to: Option<Address>, value: U256, data: &Bytes) -> Value {
    let mut tx = json!({ "from": from, "value": value, "data": data });
    if let Some(to) = to {
        tx["to"] = json!(to);
    }
    tx
}

fn to_u128(value: U256) -> u128 {
    u128::try_from(value).unwrap_or(u128::MAX)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
