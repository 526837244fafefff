//! Who asks for access to a dataset, and whom its owner approved. The node keeps both for others to
//! find, and decides nothing: the contract takes an approval by its signature, and readers verify
//! every line for themselves. What is kept was verified first, so that a stranger fills no disk.
//! What stands already costs nobody else's turn: all of it is public, so anybody can send it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use licen_chain::Chain;
use licen_core::abi::Policy;
use licen_core::admission::{AccessBreach, admits, asks};
use licen_core::eip712::Domain;
use licen_core::primitives::{Address, B256};
use licen_core::sol_types::{SolStruct, SolValue};
use licen_core::wire::Problem;
use licen_core::wire::node::{AccessList, SignedAccessRequest, SignedApproval};
use licen_store::{Access, AccessKind, AccessLimits, Kept, Store};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

/// Largest body, bytes.
const MAX_BODY: usize = 8 << 10;
/// Longest signature, bytes: a contract wallet's may be longer than a key's 65.
const MAX_SIGNATURE: usize = 2 << 10;
/// How far the asker's clock may be from ours, seconds.
const CLOCKS: u64 = 300;
/// Contract wallets of one kind that are asked about a signature at once: more than those of one dataset
/// can be, by its pace, until the first of them has had its time.
const WALLETS_AT_ONCE: usize = 10;
/// How long a signature of a contract wallet waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(5);
/// How long the answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Datasets whose pace is remembered.
const PACED: usize = 1_024;

/// How often something may be done.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// In a second, on average.
    pub per_second: f64,
    /// At once, after a rest.
    pub at_once: f64,
}

/// How often it may be done for one dataset, and for all together.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// For one dataset at one contract.
    pub per_dataset: Rate,
    /// For all datasets together.
    pub in_all: Rate,
}

/// How much is kept, written and asked.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests.
    pub requests: AccessLimits,
    /// Approvals.
    pub approvals: AccessLimits,
    /// Writes of each kind: the index waits for the same database.
    pub writes: Rates,
    /// Questions to the chain about signatures of contract wallets, for each kind.
    pub questions: Rates,
}

impl Default for Limits {
    fn default() -> Self {
        let rates = |one: [f64; 2], all: [f64; 2]| {
            let rate = |[per_second, at_once]: [f64; 2]| Rate { per_second, at_once };
            Rates { per_dataset: rate(one), in_all: rate(all) }
        };
        Self {
            requests: AccessLimits { per_dataset: 256, in_all: 16_384 },
            approvals: AccessLimits { per_dataset: 1_024, in_all: 65_536 },
            writes: rates([2.0, 20.0], [40.0, 80.0]),
            questions: rates([0.5, 4.0], [10.0, 20.0]),
        }
    }
}

/// What one kind may cost.
#[derive(Debug)]
struct Desk {
    kept: AccessLimits,
    writes: Paces,
    questions: Paces,
    wallets: Semaphore,
}

impl Desk {
    fn new(kept: AccessLimits, limits: &Limits) -> Self {
        Self {
            kept,
            writes: Paces::new(limits.writes),
            questions: Paces::new(limits.questions),
            wallets: Semaphore::new(WALLETS_AT_ONCE),
        }
    }
}

/// What the routes work with.
#[derive(Debug)]
pub struct AccessBook {
    store: Store,
    chain_id: u64,
    contracts: Vec<Address>,
    chains: Vec<Chain>,
    requests: Desk,
    approvals: Desk,
}

impl AccessBook {
    /// Over the node's database, for these `DataPolicy` contracts. `chains` are asked about signatures of
    /// contract wallets; without one of a contract only keys sign there.
    #[must_use]
    pub fn new(
        store: Store,
        chain_id: u64,
        contracts: Vec<Address>,
        chains: Vec<Chain>,
        limits: Limits,
    ) -> Self {
        let (requests, approvals) =
            (Desk::new(limits.requests, &limits), Desk::new(limits.approvals, &limits));
        Self { store, chain_id, contracts, chains, requests, approvals }
    }

    fn desk(&self, kind: AccessKind) -> &Desk {
        match kind {
            AccessKind::Request => &self.requests,
            AccessKind::Approval => &self.approvals,
        }
    }

    fn domain(&self, contract: Address) -> Domain {
        Domain { chain_id: self.chain_id, contract }
    }

    /// The current policy of a dataset, as the index has it.
    async fn policy(&self, contract: Address, uid: B256) -> Result<Policy, Refused> {
        let unknown = || Refused::Unknown(format!("no dataset {uid} at {contract} is known here"));
        if !self.contracts.contains(&contract) {
            return Err(unknown());
        }
        let dataset = self.store.dataset(contract, uid).await.map_err(failing)?.ok_or_else(unknown)?;
        let row = self.store.policy(contract, dataset.policy_hash).await.map_err(failing)?;
        let policy = row.and_then(|row| Policy::abi_decode(&row.policy_abi).ok());
        policy.ok_or(Refused::Failing)
    }

    /// That `who` signed `message`: by its key, or, where it is a contract, by its own rule.
    async fn signed<T: SolStruct>(
        &self,
        access: &Access,
        who: Address,
        message: &T,
        signature: &[u8],
    ) -> Result<(), Refused> {
        let domain = self.domain(access.contract);
        if domain.signer_of(message, signature) == Some(who) {
            return Ok(());
        }
        let unsigned = Refused::Unsigned(who);
        let Some(chain) = self.chains.iter().find(|chain| chain.data_policy() == access.contract) else {
            return Err(unsigned);
        };
        // Each costs questions to the chain, and anybody can send signatures that are none.
        let desk = self.desk(access.kind);
        if !desk.questions.may_go((access.contract, access.dataset_uid)) {
            return Err(Refused::Busy);
        }
        let turn = tokio::time::timeout(TURN_WITHIN, desk.wallets.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(Refused::Busy) };
        let asked = chain.is_signed_by(who, domain.digest(message), signature);
        match tokio::time::timeout(ANSWER_WITHIN, asked).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(unsigned),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a signature cannot be checked");
                Err(Refused::Failing)
            }
            Err(_) => {
                tracing::warn!(after = ?ANSWER_WITHIN, "a signature cannot be checked");
                Err(Refused::Failing)
            }
        }
    }

    /// Keeps what `who` signed. What stands already is answered before anything is spent on it.
    async fn keep<T: SolStruct>(
        &self,
        access: &Access,
        who: Address,
        message: &T,
        signature: &[u8],
    ) -> Result<(), Refused> {
        if signature.len() > MAX_SIGNATURE {
            return Err(Refused::Malformed(format!("the signature has more than {MAX_SIGNATURE} bytes")));
        }
        if let Some(answer) = self.store.access_stands(access).await.map_err(failing)? {
            return self.answer(access, answer);
        }
        self.signed(access, who, message, signature).await?;
        let desk = self.desk(access.kind);
        if !desk.writes.may_go((access.contract, access.dataset_uid)) {
            return Err(Refused::Busy);
        }
        let answer = self.store.put_access(access, desk.kept, unix_ms()).await.map_err(failing)?;
        self.answer(access, answer)
    }

    fn answer(&self, access: &Access, kept: Kept) -> Result<(), Refused> {
        match kept {
            Kept::Yes => Ok(()),
            Kept::Older => Err(Refused::Older),
            Kept::OtherList => Err(Refused::Breach(AccessBreach::List(access.requesters_root))),
            Kept::Full => Err(Refused::Full(self.desk(access.kind).kept.per_dataset)),
            Kept::FullInAll => Err(Refused::FullInAll),
        }
    }
}

/// The routes.
pub fn router(book: Arc<AccessBook>) -> Router {
    Router::new()
        .route("/v1/access", post(ask))
        .route("/v1/approvals", post(approve))
        .route("/v1/access/{contract}/{dataset}", get(show))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(book)
}

async fn ask(
    State(book): State<Arc<AccessBook>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let said: SignedAccessRequest = read(body)?;
    let request = &said.request.0;
    let policy = book.policy(said.contract, request.datasetUid).await?;
    asks(request, &policy).map_err(Refused::Breach)?;
    let now = unix_ms() / 1_000;
    if request.askedAt.abs_diff(now) > CLOCKS {
        return Err(Refused::Clock { said: request.askedAt, now });
    }
    let access = Access {
        kind: AccessKind::Request,
        contract: said.contract,
        dataset_uid: request.datasetUid,
        requester: request.requester,
        requesters_root: request.requestersRoot,
        moment: request.askedAt,
        body: encoded(&said)?,
    };
    book.keep(&access, request.requester, request, &said.signature).await?;
    Ok(kept())
}

async fn approve(
    State(book): State<Arc<AccessBook>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let said: SignedApproval = read(body)?;
    let approval = &said.approval.0;
    let policy = book.policy(said.contract, approval.datasetUid).await?;
    admits(approval, &policy, approval.requester, unix_ms() / 1_000).map_err(Refused::Breach)?;
    let access = Access {
        kind: AccessKind::Approval,
        contract: said.contract,
        dataset_uid: approval.datasetUid,
        requester: approval.requester,
        requesters_root: approval.requestersRoot,
        moment: approval.expires,
        body: encoded(&said)?,
    };
    book.keep(&access, policy.owner, approval, &said.signature).await?;
    Ok(kept())
}

async fn show(
    State(book): State<Arc<AccessBook>>,
    Path((contract, dataset)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let named = contract.parse::<Address>().ok().zip(dataset.parse::<B256>().ok());
    let (contract, uid) =
        named.ok_or_else(|| Refused::Malformed("the path names no contract and no datasetUid".into()))?;
    let policy = book.policy(contract, uid).await?;
    let root = policy.requestersRoot;
    let of = async |kind| book.store.access_of(kind, contract, uid, root).await.map_err(failing);
    let now = unix_ms() / 1_000;
    let requests = decoded(&of(AccessKind::Request).await?);
    let mut approvals: Vec<SignedApproval> = decoded(&of(AccessKind::Approval).await?);
    approvals.retain(|said| said.approval.0.expires > now);
    Ok(Json(AccessList { requests, approvals }).into_response())
}

fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Refused> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refused::TooLarge,
        _ => Refused::Malformed("the body broke off".into()),
    })?;
    serde_json::from_slice(&body).map_err(|e| Refused::Malformed(e.to_string()))
}

fn encoded<T: serde::Serialize>(said: &T) -> Result<licen_core::primitives::Bytes, Refused> {
    serde_json::to_vec(said).map(Into::into).map_err(|e| Refused::Malformed(e.to_string()))
}

fn decoded<T: DeserializeOwned>(bodies: &[licen_core::primitives::Bytes]) -> Vec<T> {
    bodies.iter().filter_map(|body| serde_json::from_slice(body).ok()).collect()
}

fn kept() -> Response {
    Json(serde_json::json!({"kept": true})).into_response()
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn failing(error: licen_store::StoreError) -> Refused {
    tracing::error!(%error, "who asked for access cannot be read or written");
    Refused::Failing
}

/// A pace for each dataset and a larger one over all, so that a flood of one dataset holds up no other.
#[derive(Debug)]
struct Paces {
    rates: Rates,
    state: Mutex<PaceState>,
}

/// Of all datasets together, and of each by contract and uid.
type PaceState = (Pace, HashMap<(Address, B256), Pace>);

impl Paces {
    fn new(rates: Rates) -> Self {
        Self { rates, state: Mutex::new((Pace::new(rates.in_all), HashMap::new())) }
    }

    fn may_go(&self, dataset: (Address, B256)) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (in_all, datasets) = &mut *state;
        if !datasets.contains_key(&dataset) && datasets.len() >= PACED {
            // The one that rested longest has most likely its full number again.
            let oldest = datasets.iter().min_by_key(|(_, pace)| pace.at).map(|(dataset, _)| *dataset);
            oldest.and_then(|dataset| datasets.remove(&dataset));
        }
        let own = datasets.entry(dataset).or_insert_with(|| Pace::new(self.rates.per_dataset));
        // First its own: what it has too much of takes nothing from the others.
        own.may_go(self.rates.per_dataset) && in_all.may_go(self.rates.in_all)
    }
}

#[derive(Debug)]
struct Pace {
    at: Instant,
    saved: f64,
}

impl Pace {
    fn new(rate: Rate) -> Self {
        Self { at: Instant::now(), saved: rate.at_once }
    }

    fn may_go(&mut self, rate: Rate) -> bool {
        let now = Instant::now();
        let earned = now.duration_since(self.at).as_secs_f64() * rate.per_second;
        let saved = (self.saved + earned).min(rate.at_once);
        let goes = saved >= 1.0;
        *self = Self { at: now, saved: if goes { saved - 1.0 } else { saved } };
        goes
    }
}

/// Why nothing was kept.
#[derive(Debug)]
enum Refused {
    Malformed(String),
    TooLarge,
    Unknown(String),
    Breach(AccessBreach),
    Clock { said: u64, now: u64 },
    Unsigned(Address),
    Older,
    Full(u64),
    FullInAll,
    Busy,
    Failing,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, title, detail) = match self {
            Self::Malformed(reason) => (StatusCode::BAD_REQUEST, "not understood", reason),
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too large", format!("at most {MAX_BODY} bytes"))
            }
            Self::Unknown(what) => (StatusCode::NOT_FOUND, "no such dataset", what),
            Self::Breach(breach) => {
                (StatusCode::CONFLICT, "it does not fit the dataset's policy", breach.to_string())
            }
            Self::Clock { said, now } => (
                StatusCode::CONFLICT,
                "asked at another time",
                format!("askedAt is {said}, this node's clock says {now}: at most {CLOCKS} s apart"),
            ),
            Self::Unsigned(who) => (StatusCode::FORBIDDEN, "not signed", format!("by {who}")),
            Self::Older => (
                StatusCode::CONFLICT,
                "another one stands",
                "a request that is newer, or an approval that ends later".into(),
            ),
            Self::Full(most) => {
                let detail = format!("{most} approvals of the dataset stand: name requesters in a list");
                (StatusCode::INSUFFICIENT_STORAGE, "too many approvals", detail)
            }
            Self::FullInAll => {
                let detail = "this node keeps no more approvals until some have ended".into();
                (StatusCode::INSUFFICIENT_STORAGE, "full", detail)
            }
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "too many at once", "try again".into()),
            Self::Failing => {
                (StatusCode::SERVICE_UNAVAILABLE, "records or chain are out of reach", "try again".into())
            }
        };
        let problem = Problem::new(status.as_u16(), "LIC0905", title, detail);
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(problem)).into_response()
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
