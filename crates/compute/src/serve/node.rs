//! The node: what is shared by all attempts, and the list of them.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use licen_core::abi::Stop;
use licen_core::eip712::Domain;
use licen_core::id::{as_granted, job_hash};
use licen_core::price::Speed;
use licen_core::primitives::{Address, B256, keccak256};
use licen_core::unit::Allowance;
use licen_core::wire::compute::{ComputeInfo, Dispatch, StopRequest, TaskState, TaskStatus};
use licen_peers::{Http, Timeouts};
use tokio::sync::Semaphore;

use super::base::work_dir;
use super::blobs::Blobs;
use super::check::{DispatchError, Stage, check_dispatch};
use super::config::Config;
use super::error::ServeError;
use super::event::Event;
use super::machine::{Machine, Terms};
use super::quote::Quotes;
use super::run::{Driver, Handles, Message};
use super::tee::NodeTee;
use crate::apart::Trainers;
use crate::sandbox::memory_of_machine;

/// Attempts that are over and still answered for.
const REMEMBERED: usize = 1_024;
/// Dispatches at a time of which no custodian has said that the chain knows them.
const UNPROVEN: usize = 64;

/// By the dispatch, with the addresses it names, and the attempt: who invents one under the id of a job is
/// beside the true one, not in its way.
type Tasks = HashMap<(B256, u32), Task>;

/// One compute node.
pub struct Node {
    pub(super) config: Config,
    pub(super) http: Http,
    pub(super) tee: NodeTee,
    pub(super) trainers: Trainers,
    /// One training at a time: memory and cores are not shared between jobs.
    pub(super) slot: Arc<Semaphore>,
    /// `maxTasks`: what waits has its base model on disk.
    pub(super) places: Arc<Semaphore>,
    pub(super) quotes: Quotes,
    tasks: Mutex<Tasks>,
    /// Bits of an f64.
    tokens_per_second: AtomicU64,
    accepted: AtomicU64,
}

/// An attempt as the list knows it.
struct Task {
    job_id: B256,
    /// Chain, contract and the job as granted.
    identity: B256,
    attempt: u32,
    domain: Domain,
    requester: Address,
    /// Order of acceptance; the oldest is forgotten first.
    number: u64,
    handles: Handles,
}

impl Task {
    fn is_over(&self) -> bool {
        self.handles.inbox.is_closed()
    }

    fn is_proven(&self) -> bool {
        self.handles.proven.load(Ordering::Relaxed)
    }

    /// Over, without a result and without a statement.
    fn came_to_nothing(&self) -> bool {
        let status = self.handles.status.borrow();
        self.is_over() && status.task_state == TaskState::Failed && status.failure.is_none()
    }

    /// Custodians gave verdicts, which nobody else can sign.
    fn is_set_up(&self) -> bool {
        let status = self.handles.status.borrow();
        status.start.is_some() || status.failure.is_some() || status.task_state == TaskState::Delivered
    }

    /// Which of several under one name is meant; the first of equals.
    fn rank(&self) -> impl Ord + use<> {
        (self.is_set_up(), self.is_proven(), !self.came_to_nothing(), Reverse(self.number))
    }

    fn status(&self) -> TaskStatus {
        self.handles.status.borrow().clone()
    }
}

/// Seconds since 1970. Compute has no chain to ask; deadlines keep margins for that.
#[must_use]
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

impl Node {
    /// Measures the program, reads the quote key, makes the working folder.
    ///
    /// # Errors
    /// [`ServeError::Environment`] and [`ServeError::Config`].
    pub fn new(config: Config) -> Result<Arc<Self>, ServeError> {
        let environment = |what: &str, reason: String| ServeError::Environment {
            what: what.into(),
            source: std::io::Error::other(reason),
        };
        make_work_dir(&config)?;
        let http = Http::direct(Timeouts::of_each_call())
            .map_err(|e| environment("the HTTP client", e.to_string()))?;
        let tee = NodeTee::new(config.tee, config.reference_entry, config.collateral.clone())
            .map_err(|e| environment("the TEE", e.to_string()))?;
        let quotes = Quotes::new(&config)?;
        let trainers = Trainers {
            program: config.trainer_program.clone().unwrap_or_else(|| "/proc/self/exe".into()),
            memory: config.max_memory_bytes.unwrap_or_else(memory_of_machine),
            confine: !config.no_sandbox,
        };
        trainers.try_out(&config.work_dir)?;
        let places = Arc::new(Semaphore::new(config.max_tasks));
        Ok(Arc::new(Self {
            config,
            http,
            tee,
            trainers,
            slot: Arc::new(Semaphore::new(1)),
            places,
            quotes,
            tasks: Mutex::default(),
            tokens_per_second: AtomicU64::new(0f64.to_bits()),
            accepted: AtomicU64::new(0),
        }))
    }

    /// The blob endpoint of a dispatch, or the configured one.
    pub(super) fn blobs(&self, dispatched: &str) -> Result<Blobs, String> {
        Blobs::new(self.config.blob_url.as_deref().unwrap_or(dispatched))
    }

    /// Takes a dispatch: begins the attempt, tells a waiting one that its job runs, or changes
    /// nothing where it was taken before.
    ///
    /// # Errors
    /// See [`ServeError`]; a refused dispatch leaves nothing behind.
    pub fn dispatch(
        self: &Arc<Self>,
        job_id: B256,
        attempt: u32,
        dispatch: Dispatch,
    ) -> Result<TaskStatus, ServeError> {
        let stage = check_dispatch(job_id, attempt, &dispatch, &self.config, unix_now())?;
        let identity = identity_of(&dispatch);
        let key = (with_addresses(identity, &dispatch), attempt);
        let mut tasks = self.tasks();
        let same = tasks.values().filter(|task| (task.identity, task.attempt) == (identity, attempt));
        let known = match stage {
            Stage::Granted => same
                .filter(|task| task.is_set_up() || tasks.get(&key).is_some_and(|t| t.number == task.number))
                .filter(|task| !*task.handles.again.borrow())
                .max_by_key(|task| task.rank()),
            Stage::Running { .. } => same
                .inspect(|task| {
                    // A driver that is gone has published its last status.
                    let _ = task.handles.inbox.send(Message::Running(Box::new(dispatch.job.0.clone())));
                })
                .max_by_key(|task| task.rank()),
        };
        if let Some(task) = known {
            return Ok(task.status());
        }
        let waiting = tasks.values().filter(|t| !t.is_over());
        let (proven, unproven): (Vec<&Task>, Vec<&Task>) = waiting.partition(|t| t.is_proven());
        if stage == Stage::Granted && (proven.len() >= self.config.max_tasks || unproven.len() >= UNPROVEN) {
            return Err(ServeError::Busy(proven.len() + unproven.len()));
        }
        let task = self.begin(identity, attempt, dispatch, stage)?;
        let status = task.status();
        tasks.insert(key, task);
        forget_oldest(&mut tasks);
        Ok(status)
    }

    fn begin(
        self: &Arc<Self>,
        identity: B256,
        attempt: u32,
        dispatch: Dispatch,
        stage: Stage,
    ) -> Result<Task, ServeError> {
        let job = &dispatch.job.0;
        // A restart (attempt 2 or 3) may begin as long as the run may last.
        let start_deadline = if attempt == 1 { job.startDeadline } else { job.runDeadline };
        let allowance = Allowance::of(job).ok_or(DispatchError::Inconsistent("unit"))?;
        let terms = Terms { epochs: job.epochs, allowance, start_deadline, run_window: job.runWindow };
        let machine = match stage {
            Stage::Granted => Machine::new(terms),
            Stage::Running { .. } => Machine::lost(terms),
        };
        let domain = Domain { chain_id: dispatch.chain_id, contract: dispatch.contract };
        let (job_id, requester) = (job.jobId, job.requester);
        let number = self.accepted.fetch_add(1, Ordering::Relaxed);
        tracing::info!(job = %job.jobId, attempt, state = ?machine.status().task_state, "dispatched");
        let handles = Driver::spawn(self.clone(), machine, dispatch, attempt);
        Ok(Task { job_id, identity, attempt, domain, requester, number, handles })
    }

    /// Where an attempt stands.
    ///
    /// # Errors
    /// [`ServeError::Unknown`].
    pub fn status(&self, job_id: B256, attempt: u32) -> Result<TaskStatus, ServeError> {
        let tasks = self.tasks();
        let best = of_job(&tasks, job_id, attempt).max_by_key(|task| task.rank());
        best.map(Task::status).ok_or(ServeError::Unknown)
    }

    /// Ends training after the current epoch, where the requester signed that.
    ///
    /// # Errors
    /// [`ServeError::Unknown`], [`ServeError::StopSignature`].
    pub fn stop(&self, job_id: B256, attempt: u32, request: &StopRequest) -> Result<TaskStatus, ServeError> {
        let order = &request.stop.0;
        let tasks = self.tasks();
        let mut known = of_job(&tasks, job_id, attempt).peekable();
        known.peek().ok_or(ServeError::Unknown)?;
        let signed = |task: &&Task| task.domain.signer_of(order, &request.signature) == Some(task.requester);
        let ordered = known.filter(signed).inspect(|task| {
            let _ = task.handles.inbox.send(Message::Event(Event::StopOrdered));
        });
        if *order != (Stop { jobId: job_id, attempt }) {
            return Err(ServeError::StopSignature);
        }
        ordered.map(Task::status).last().ok_or(ServeError::StopSignature)
    }

    /// Who this is and how fast.
    #[must_use]
    pub fn info(&self) -> ComputeInfo {
        ComputeInfo {
            provider_id: self.config.provider_id,
            tee_type: self.tee.name().into(),
            tokens_per_second: f64::from_bits(self.tokens_per_second.load(Ordering::Relaxed)),
            sandboxed: self.trainers.confine,
            platform_id: self.tee.platform_id(),
            prices: self.config.prices.clone(),
            unpaid_jobs: self.config.takes_unpaid_jobs(),
        }
    }

    /// Says in the log who this is and what is simulated.
    pub(super) fn announce(&self, address: std::net::SocketAddr) {
        let (tee, entry, provider) = (self.tee.name(), self.tee.entry(), self.config.provider_id);
        tracing::info!(%address, tee, %entry, %provider, "listening");
        if self.tee.is_simulated() {
            tracing::warn!("SIMULATED TEE: nothing here is confidential; it serves the local chain only");
        }
        if !self.trainers.confine {
            tracing::warn!("NO SANDBOX (--no-sandbox): the kernel limits neither this node nor its trainers");
        }
        if let Some(fault) = self.config.simulated_fault {
            tracing::warn!(?fault, "SIMULATED FAULT: every job will fail on purpose");
        }
    }

    /// Remembers how fast a completed training was, by the wall's clock and by CPU time.
    pub(super) fn measured(&self, tokens: u64, seconds: f64, base_model: B256, speed: Speed) {
        if tokens > 0 && seconds > 0.0 {
            self.tokens_per_second.store((tokens as f64 / seconds).to_bits(), Ordering::Relaxed);
        }
        self.quotes.speeds.add(base_model, speed);
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the working folder, or takes the one that is there.
pub(super) fn make_work_dir(config: &Config) -> Result<(), ServeError> {
    work_dir(&config.work_dir)
        .map_err(|source| ServeError::Environment { what: config.work_dir.display().to_string(), source })
}

/// Chain, contract and the job as granted: all that a dispatch may not change between two sendings.
fn identity_of(dispatch: &Dispatch) -> B256 {
    let granted = job_hash(&as_granted(&dispatch.job.0));
    let chain = dispatch.chain_id.to_be_bytes();
    keccak256([&chain[..], dispatch.contract.as_slice(), granted.as_slice()].concat())
}

/// Where a dispatch says that custodians and blobs are.
fn with_addresses(identity: B256, dispatch: &Dispatch) -> B256 {
    let custodians = dispatch.custodian_urls.iter().map(|c| format!("{} {}\n", c.id, c.url));
    let verifiers = dispatch.verifiers.iter().flat_map(|verifiers| {
        let members = verifiers.members.iter().map(|v| format!("{} {} {}\n", v.index, v.id, v.url));
        std::iter::once(format!("{}\n", verifiers.threshold)).chain(members)
    });
    let named: String = custodians.chain(verifiers).collect();
    let addresses = format!("{} {}\n{named}", dispatch.threshold, dispatch.blob_url);
    keccak256([identity.as_slice(), addresses.as_bytes()].concat())
}

fn of_job(tasks: &Tasks, job_id: B256, attempt: u32) -> impl Iterator<Item = &Task> {
    tasks.values().filter(move |task| (task.job_id, task.attempt) == (job_id, attempt))
}

/// Bounds the list; attempts that are not over stay, and a statement outlives what came to nothing.
fn forget_oldest(tasks: &mut Tasks) {
    while tasks.len() > REMEMBERED {
        let over = tasks.iter().filter(|(_, t)| t.is_over());
        let least = over.min_by_key(|(_, t)| (!t.came_to_nothing(), t.number));
        let Some(key) = least.map(|(key, _)| *key) else { return };
        tasks.remove(&key);
    }
}
