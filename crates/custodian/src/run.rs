//! The shell: starts what the machine needs, carries its effects out, and serves HTTP. It decides
//! nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use licen_attest::ReferenceEntry;
use licen_core::abi::MemberKey;
use licen_core::primitives::{Address, B256, Bytes};
use licen_peers::{Caller, TrustedProxies};
use licen_seal::{RecipientKey, SigningKey};
use licen_store::{Identity as StoreIdentity, Store};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::blobs::{Blobs, FetchError, Part};
use crate::chain::Reader;
use crate::collateral;
use crate::config::Config;
use crate::contracts::Connection;
use crate::denial;
use crate::effect::{Effect, Fetch, Reply, RequestId, Write};
use crate::error::Error;
use crate::event::{Answer, Ask, Event};
use crate::http;
use crate::judge::Identity;
use crate::ledger;
use crate::lock::Lock;
use crate::machine::{Machine, Settings};

/// Messages that may wait for the machine.
const QUEUE: usize = 1024;

/// Runs a custodian until `shutdown` resolves.
///
/// # Errors
/// See [`Error`]; a custodian that cannot keep its promises does not start.
pub async fn serve(config: Config, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
    Custodian::start(config).await?.run(shutdown).await
}

/// A custodian that has checked everything and listens, but answers nobody yet.
pub struct Custodian {
    listener: TcpListener,
    address: SocketAddr,
    handle: Arc<Handle>,
    store: Store,
    /// Held for as long as it runs.
    alone: Option<Lock>,
}

impl Custodian {
    /// Loads keys and reference values, checks chain, contracts and audit log, and listens.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(config: Config) -> Result<Self, Error> {
        config.check().map_err(Error::Config)?;
        if !licen_seal::process::harden_process() {
            tracing::warn!("core dumps could not be turned off");
        }
        let signing = SigningKey::load(&config.signing_key_file)?;
        let recipient = RecipientKey::load(&config.recipient_key_file)?;
        let former = config.former_recipient_key_files.iter().map(|path| RecipientKey::load(path));
        let former = former.collect::<Result<Vec<_>, _>>()?;
        let entries = load_entries(&config)?;
        let connection = Connection::open(&config).await?;
        let chains = connection.served(&config).await?;
        let pinned = connection.store_identity();
        config.check_on(pinned.chain_id).map_err(Error::Config)?;
        let store = open_store(&config.state_dir, &pinned).await?;
        let alone = Lock::of(&config.state_dir)?;
        let settings = Settings {
            identity: Identity {
                chain_id: pinned.chain_id,
                contracts: chains.addresses(),
                signing,
                recipient,
                former,
            },
            entries,
            collateral: config
                .collateral_dir
                .as_deref()
                .map(collateral::load)
                .transpose()?
                .unwrap_or_default(),
            rates: config.rates(),
            max_result_bytes: config.max_result_bytes,
            release_margin_seconds: config.release_margin_seconds,
            silence_seconds: config.silence_seconds,
        };
        let custodian = Self::with(config, settings, chains, store).await?;
        Ok(Self { alone: Some(alone), ..custodian })
    }

    /// The rest of the start, with whatever answers reads.
    pub(crate) async fn with<R: Reader>(
        config: Config,
        settings: Settings,
        reader: R,
        store: Store,
    ) -> Result<Self, Error> {
        if let Some(sequence) = store.verify_audit().await? {
            return Err(Error::AuditBroken(sequence));
        }
        for key in settings.identity.former.iter().chain([&settings.identity.recipient]) {
            if store.erasure(key.public().0).await?.is_some() {
                return Err(Error::Erased(key.public().0));
            }
        }
        let dir = config.state_dir.join("blobs");
        let blobs = Blobs::open(&dir, config.max_held_bytes, &store.held_roots().await?).await;
        let blobs = blobs.map_err(|source| Error::File { path: dir, source })?;
        let listen = config.listen;
        let bound = TcpListener::bind(listen).await;
        let listener = bound.map_err(|source| Error::Listen { address: listen, source })?;
        let address = listener.local_addr().map_err(|source| Error::Listen { address: listen, source })?;
        let about = About::new(&config, &settings.identity)?;
        tracing::info!(%address, custodian = %about.custodian_id, chain = about.chain_id, "custodian listens");
        let (inbox, messages) = mpsc::channel(QUEUE);
        collateral::alarm(&settings.collateral, now_ms() / 1000);
        if let Some(dir) = config.collateral_dir {
            tokio::spawn(collateral::watch(dir, settings.collateral.clone(), inbox.downgrade()));
        }
        let overrun = Arc::<AtomicBool>::default();
        let outside = Arc::new(Outside { store: store.clone(), blobs: blobs.clone(), reader });
        let driver = Driver {
            machine: Machine::new(settings),
            outside,
            waiting: HashMap::new(),
            parts: HashMap::new(),
            inbox: inbox.downgrade(),
            overrun: overrun.clone(),
        };
        tokio::spawn(driver.run(messages));
        let trusted_proxies = config.trusted_proxies;
        let handle = Arc::new(Handle { inbox, overrun, store: store.clone(), blobs, about, trusted_proxies });
        Ok(Self { listener, address, handle, store, alone: None })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who it is, as `Custody` names it.
    #[must_use]
    pub fn custodian_id(&self) -> Address {
        self.handle.about.custodian_id
    }

    /// Answers until `shutdown` resolves; requests under way are finished.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let service = http::router(self.handle).into_make_service_with_connect_info::<SocketAddr>();
        let served = axum::serve(self.listener, service).with_graceful_shutdown(shutdown).await;
        self.store.close().await;
        drop(self.alone);
        served.map_err(Error::Server)
    }
}

/// What is told about this custodian.
pub(crate) struct About {
    pub(crate) custodian_id: Address,
    pub(crate) hpke_key: B256,
    pub(crate) key_signature: Bytes,
    pub(crate) former_hpke_keys: Vec<B256>,
    pub(crate) chain_id: u64,
    pub(crate) contracts: Vec<Address>,
    pub(crate) retention_days: u32,
    pub(crate) max_result_bytes: u64,
}

impl About {
    fn new(config: &Config, identity: &Identity) -> Result<Self, Error> {
        let key = MemberKey { hpkeKey: identity.recipient.public().0 };
        let signature = identity.signing.sign(&identity.statements().digest(&key))?;
        Ok(Self {
            key_signature: Bytes::copy_from_slice(signature.as_bytes()),
            custodian_id: identity.signing.address(),
            hpke_key: identity.recipient.public().0,
            former_hpke_keys: identity.former.iter().map(|key| key.public().0).collect(),
            chain_id: identity.chain_id,
            contracts: identity.contracts.clone(),
            retention_days: config.retention_days,
            max_result_bytes: config.max_result_bytes,
        })
    }
}

/// What HTTP handlers have.
pub(crate) struct Handle {
    inbox: mpsc::Sender<Message>,
    /// A request did not fit into the queue.
    overrun: Arc<AtomicBool>,
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) about: About,
    pub(crate) trusted_proxies: TrustedProxies,
}

impl Handle {
    /// Asks the machine and waits for its reply.
    pub(crate) async fn ask(&self, caller: Caller, body_hash: B256, ask: Ask) -> Reply {
        let (Ok(id), Ok(fresh)) = (random::<16>(), random::<32>()) else {
            return denial::unavailable("the system gave no random bytes");
        };
        let id = RequestId(u128::from_be_bytes(id));
        let event = Event::Asked { id, caller, fresh: fresh.into(), body_hash, ask: Box::new(ask) };
        let (reply, replied) = oneshot::channel();
        if self.inbox.try_send(Message { event, reply: Some((id, reply)), part: None }).is_err() {
            self.overrun.store(true, Ordering::Relaxed);
            return denial::unavailable("too many requests wait");
        }
        replied.await.unwrap_or_else(|_| denial::unavailable("the custodian stops"))
    }
}

pub(crate) struct Message {
    pub(crate) event: Event,
    pub(crate) reply: Option<(RequestId, oneshot::Sender<Reply>)>,
    /// What an effect fetched.
    pub(crate) part: Option<Part>,
}

/// What effects are carried out on.
struct Outside<R> {
    store: Store,
    blobs: Blobs,
    reader: R,
}

impl<R: Reader> Outside<R> {
    async fn carry_out(&self, id: RequestId, effect: Effect, parts: Vec<Part>) -> (Answer, Option<Part>) {
        let answer = match effect {
            Effect::Read(read) => match self.reader.read(&read).await {
                Ok(reading) => Answer::Read(reading),
                Err(reason) => {
                    tracing::warn!(request = %id, %reason, "the chain cannot be read");
                    Answer::ReadFailed(reason)
                }
            },
            Effect::Load(load) => self.told(id, ledger::load(&self.store, &load).await),
            Effect::Write(write) => self.told(id, self.write(id, &write, parts).await),
            Effect::Fetch(fetch) => return self.fetch(id, &fetch).await,
            // Replies never come here.
            Effect::Reply(_) => Answer::StoreFailed("not an effect".to_owned()),
        };
        (answer, None)
    }

    async fn fetch(&self, id: RequestId, fetch: &Fetch) -> (Answer, Option<Part>) {
        match self.blobs.fetch(fetch, &id.to_string()).await {
            Ok((head, part)) => (Answer::Fetched { head }, part),
            Err(FetchError::NoRoom) => (Answer::NoRoom, None),
            Err(FetchError::Failed(reason)) => (fetch_failed(id, reason), None),
        }
    }

    /// A result is held once its blobs lie in their place and a record names them, in this order: what
    /// a crash leaves between has no record, and the next start drops it.
    async fn write(&self, id: RequestId, write: &Write, parts: Vec<Part>) -> Answer {
        let Write::Held { held, .. } = write else {
            return ledger::write(&self.store, now_ms(), write).await;
        };
        let _alone = self.blobs.placing().await;
        let placed = match self.blobs.place(parts, &held.blobs()).await {
            Ok(placed) => placed,
            Err(reason) => return fetch_failed(id, reason),
        };
        let answer = ledger::write(&self.store, now_ms(), write).await;
        // A store that failed may have written the record all the same, so only a clear no takes back.
        if !matches!(answer, Answer::Conflict(_)) {
            placed.into_iter().for_each(Part::stay);
        }
        answer
    }

    #[allow(clippy::unused_self)]
    fn told(&self, id: RequestId, answer: Answer) -> Answer {
        if let Answer::StoreFailed(reason) = &answer {
            tracing::error!(request = %id, %reason, "the records cannot be used");
        }
        answer
    }
}

fn fetch_failed(id: RequestId, reason: String) -> Answer {
    tracing::warn!(request = %id, %reason, "a blob cannot be fetched");
    Answer::FetchFailed(reason)
}

/// Owns the machine: one event at a time, effects in tasks of their own.
struct Driver<R> {
    machine: Machine,
    outside: Arc<Outside<R>>,
    waiting: HashMap<RequestId, oneshot::Sender<Reply>>,
    /// What was fetched for requests under way; it goes with the reply where it is not held.
    parts: HashMap<RequestId, Vec<Part>>,
    /// Weak: when the last handler is gone, the driver ends.
    inbox: mpsc::WeakSender<Message>,
    /// See [`Handle::overrun`].
    overrun: Arc<AtomicBool>,
}

impl<R: Reader> Driver<R> {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        loop {
            let due = Duration::from_millis(self.machine.deadline().saturating_sub(now_ms()));
            let event = tokio::select! {
                message = messages.recv() => {
                    let Some(Message { event, reply, part }) = message else { return };
                    self.waiting.extend(reply);
                    if let (Event::Answered(id, _), Some(part)) = (&event, part)
                        && self.waiting.contains_key(id)
                    {
                        self.parts.entry(*id).or_default().push(part);
                    }
                    event
                }
                () = tokio::time::sleep(due) => Event::Tick,
            };
            let mut effects = Vec::new();
            if self.overrun.swap(false, Ordering::Relaxed) {
                self.machine.step(now_ms(), Event::Deaf, &mut effects);
            }
            self.machine.step(now_ms(), event, &mut effects);
            effects.into_iter().for_each(|(id, effect)| self.start(id, effect));
        }
    }

    fn start(&mut self, id: RequestId, effect: Effect) {
        if let Effect::Reply(reply) = effect {
            self.parts.remove(&id);
            if let Some(peer) = self.waiting.remove(&id) {
                // A peer that went away does not hear it; what was decided is on disk.
                let _ = peer.send(reply);
            }
            return;
        }
        let Some(inbox) = self.inbox.upgrade() else { return };
        let outside = Arc::clone(&self.outside);
        let holds = matches!(&effect, Effect::Write(write) if matches!(**write, Write::Held { .. }));
        let parts = if holds { self.parts.remove(&id).unwrap_or_default() } else { Vec::new() };
        tokio::spawn(async move {
            let (answer, part) = outside.carry_out(id, effect, parts).await;
            let event = Event::Answered(id, Box::new(answer));
            let _ = inbox.send(Message { event, reply: None, part }).await;
        });
    }
}

fn load_entries(config: &Config) -> Result<Vec<ReferenceEntry>, Error> {
    let load = |path: &std::path::PathBuf| {
        let bytes = std::fs::read(path).map_err(|source| Error::File { path: path.clone(), source })?;
        ReferenceEntry::from_bytes(&bytes)
            .map_err(|source| Error::ReferenceValues { path: path.clone(), source })
    };
    config.reference_values.iter().map(load).collect()
}

pub(crate) async fn open_store(dir: &Path, pinned: &StoreIdentity) -> Result<Store, Error> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| Error::File { path: dir.to_owned(), source })?;
    let store = Store::open(&dir.join("custodian.db")).await?;
    store.pin(pinned).await?;
    Ok(store)
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
