//! The shell: leases jobs, steps their machines, carries out what they ask for.
//!
//! Order of things in one step: the machine decides, the decision is written under the lease's fence
//! number, then it is carried out. A holder whose lease was taken over cannot write, so it does not
//! act either. A crash anywhere loses only what the next holder finds out again by asking.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use licen_core::primitives::{B256, Bytes};
use licen_store::{Store, StoreError, Work, WorkUpdate};
use tokio::sync::{Semaphore, broadcast};
use tokio::task::{self, JoinError, JoinSet};

use crate::effect::{Effect, JobProgress, Phase};
use crate::error::OrchestratorError;
use crate::event::Event;
use crate::machine::Machine;
use crate::timer::Pace;

/// A grant that stays invisible this long is looked at less often; a reorganisation took it.
const INVISIBLE_MS: u64 = 60_000;
/// How much less often.
const INVISIBLE_PAUSE_MS: u64 = 30_000;
/// Failures in a row after which a job makes room for one that waits.
const STUCK_TRIES: u32 = 3;
/// How long it waits then.
const STUCK_PAUSE_MS: u64 = 60_000;

/// Whoever carries effects out: the network and the chain, or a test's world.
pub trait Ports: Send + Sync + 'static {
    /// Carries out one effect about one job and says what came of it. It answers in bounded time,
    /// except for a transaction, which is answered once it is final.
    fn perform(&self, job_id: B256, effect: Effect) -> impl Future<Output = Event> + Send;

    /// Nothing is asked about this job any more.
    fn forget(&self, job_id: B256);
}

/// How the shell works.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How often machines ask.
    pub pace: Pace,
    /// Milliseconds a lease holds.
    pub lease_ms: u64,
    /// Jobs at once.
    pub max_jobs: u32,
    /// Open questions at once.
    pub max_requests: usize,
}

/// A job this process looks after.
struct Held {
    machine: Machine,
    fence: u64,
    lease_until: u64,
    invisible_since: Option<u64>,
    saved: (Phase, u32, String),
}

/// Drives every job of one database that it can get a lease on.
pub struct Orchestrator<P> {
    store: Store,
    ports: Arc<P>,
    settings: Settings,
    owner: String,
    progress: broadcast::Sender<JobProgress>,
    held: HashMap<B256, Held>,
    tasks: JoinSet<(u64, Event)>,
    asked: HashMap<task::Id, B256>,
    requests: Arc<Semaphore>,
    next_scan: u64,
}

/// Milliseconds since 1970. Decides only when to ask again and when a lease ends; a clock that is
/// wrong costs time.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl<P: Ports> Orchestrator<P> {
    /// Ready to run. `owner` names this orchestrator among those that share the database, over restarts
    /// too: what it held when it died is its own again at once.
    #[must_use]
    pub fn new(
        store: Store,
        ports: P,
        settings: Settings,
        owner: String,
        progress: broadcast::Sender<JobProgress>,
    ) -> Self {
        Self {
            store,
            ports: Arc::new(ports),
            settings,
            owner,
            progress,
            held: HashMap::new(),
            tasks: JoinSet::new(),
            asked: HashMap::new(),
            requests: Arc::new(Semaphore::new(settings.max_requests.max(1))),
            next_scan: 0,
        }
    }

    /// Runs until `shutdown` is ready, then gives its leases back.
    ///
    /// # Errors
    /// The database cannot be used at the start; later failures are waited out.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), OrchestratorError> {
        let mut shutdown = pin!(shutdown);
        // Should the name be used twice, the fence number still lets one of the two write.
        self.store.release_leases(&self.owner).await?;
        loop {
            self.tick().await;
            let pause = Duration::from_millis(self.next_due().saturating_sub(now_ms()).max(1));
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(done) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
                    self.answered(done).await;
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.tasks.abort_all();
        self.store.release_leases(&self.owner).await?;
        Ok(())
    }

    async fn answered(&mut self, done: Result<(task::Id, (u64, Event)), JoinError>) {
        match done {
            Ok((task, (fence, event))) => {
                if let Some(job_id) = self.asked.remove(&task) {
                    self.step(job_id, fence, event).await;
                }
            }
            Err(error) => {
                tracing::error!(%error, "a request panicked; its job starts over when its lease ends");
                if let Some(job_id) = self.asked.remove(&error.id()) {
                    self.held.remove(&job_id);
                }
            }
        }
    }

    fn next_due(&self) -> u64 {
        let machines = self.held.values().filter_map(|held| held.machine.deadline());
        machines.chain([self.next_scan]).min().unwrap_or(self.next_scan)
    }

    /// Leases, and machines whose time has come.
    async fn tick(&mut self) {
        let now = now_ms();
        if now >= self.next_scan {
            self.next_scan = now + self.settings.pace.poll.max(1);
            self.extend_leases(now).await;
            self.take_leases(now).await;
        }
        let is_due = |held: &Held| held.machine.deadline().is_some_and(|at| at <= now);
        let due: Vec<(B256, u64)> =
            self.held.iter().filter(|(_, h)| is_due(h)).map(|(id, h)| (*id, h.fence)).collect();
        for (job_id, fence) in due {
            self.step(job_id, fence, Event::Wake).await;
        }
    }

    async fn take_leases(&mut self, now: u64) {
        if self.room() == 0 {
            self.make_room(now).await;
        }
        let room = self.room();
        if room == 0 {
            return;
        }
        match self.store.lease_work(&self.owner, now, self.settings.lease_ms, room).await {
            Ok(leased) => {
                for work in leased {
                    self.hold(&work);
                }
            }
            Err(error) => tracing::warn!(%error, "no leases could be taken"),
        }
    }

    fn room(&self) -> u32 {
        self.settings.max_jobs.saturating_sub(u32::try_from(self.held.len()).unwrap_or(u32::MAX))
    }

    /// Jobs that get nowhere go to the back of the queue: whoever makes many that cannot be dispatched
    /// must not keep this orchestrator from all others.
    async fn make_room(&mut self, now: u64) {
        let stuck = |held: &Held| held.machine.tries() >= STUCK_TRIES;
        let stuck: Vec<B256> = self.held.iter().filter(|(_, h)| stuck(h)).map(|(id, _)| *id).collect();
        for job_id in stuck {
            let Some(held) = self.held.remove(&job_id) else { continue };
            let update = update(job_id, &held, &held.saved, now, Next::After(STUCK_PAUSE_MS));
            if let Err(error) = self.store.save_work(&update, now).await {
                tracing::warn!(job = %job_id, %error, "job given up");
            }
            self.ports.forget(job_id);
        }
    }

    fn hold(&mut self, work: &Work) {
        let machine = Machine::new(work.job_id, self.settings.pace);
        let held = Held {
            saved: (machine.phase(), 0, String::new()),
            machine,
            fence: work.fence,
            lease_until: work.lease_until_ms,
            invisible_since: None,
        };
        tracing::debug!(job = %work.job_id, fence = work.fence, last = %work.phase, "job leased");
        self.held.insert(work.job_id, held);
    }

    async fn extend_leases(&mut self, now: u64) {
        let until = now.saturating_add(self.settings.lease_ms);
        let half = self.settings.lease_ms / 2;
        let worn = |held: &Held| held.lease_until.saturating_sub(now) < half;
        let worn: Vec<(B256, u64)> =
            self.held.iter().filter(|(_, h)| worn(h)).map(|(id, h)| (*id, h.fence)).collect();
        for (job_id, fence) in worn {
            match self.store.extend_lease(job_id, fence, until).await {
                Ok(()) => {
                    if let Some(held) = self.held.get_mut(&job_id) {
                        held.lease_until = until;
                    }
                }
                Err(error) => self.drop_job(job_id, &error),
            }
        }
    }

    /// Somebody else has it, or the database failed: forget it. Whoever leases it next begins with
    /// what the chain says.
    fn drop_job(&mut self, job_id: B256, error: &StoreError) {
        tracing::warn!(job = %job_id, %error, "job given up");
        self.held.remove(&job_id);
        self.ports.forget(job_id);
    }

    async fn step(&mut self, job_id: B256, fence: u64, event: Event) {
        let Some(held) = self.held.get_mut(&job_id).filter(|held| held.fence == fence) else { return };
        let now = now_ms();
        // A lease that ran out while this process slept is not its own any more.
        if held.lease_until <= now {
            let until = now.saturating_add(self.settings.lease_ms);
            match self.store.extend_lease(job_id, fence, until).await {
                Ok(()) => held.lease_until = until,
                Err(error) => return self.drop_job(job_id, &error),
            }
        }
        let mut effects = Vec::new();
        held.machine.step(now, event, &mut effects);
        let finished = effects.iter().any(|effect| matches!(effect, Effect::Finish(_)));
        let idle = held.idle(now);
        let state = (held.machine.phase(), held.machine.tries(), held.machine.message().to_string());
        let acts = effects.iter().any(|effect| matches!(effect, Effect::Send(_)));
        if finished || idle || acts || state != held.saved {
            let next = match (finished, idle) {
                (true, _) => Next::Never,
                (false, true) => Next::After(INVISIBLE_PAUSE_MS),
                (false, false) => Next::Held,
            };
            let update = update(job_id, held, &state, now, next);
            held.saved = state;
            if let Err(error) = self.store.save_work(&update, now).await {
                return self.drop_job(job_id, &error);
            }
        }
        for effect in effects {
            self.carry_out(job_id, fence, effect);
        }
        if finished || idle {
            self.held.remove(&job_id);
            self.ports.forget(job_id);
        }
    }

    fn carry_out(&mut self, job_id: B256, fence: u64, effect: Effect) {
        match effect {
            Effect::Report(progress) => {
                tracing::debug!(job = %job_id, phase = progress.phase.text(), why = %progress.message, "progress");
                // Nobody listening is no error.
                let _ = self.progress.send(progress);
            }
            Effect::Finish(state) => tracing::info!(job = %job_id, state = state.name(), "job ended"),
            // Takes as long as the chain takes, so it does not count against open questions; a job has
            // at most one of each kind.
            Effect::Send(_) => self.spawn(job_id, fence, effect, None),
            Effect::Read
            | Effect::Dispatch(..)
            | Effect::PollStatus(..)
            | Effect::PollManifest(..)
            | Effect::AskSilence(..) => {
                self.spawn(job_id, fence, effect, Some(Arc::clone(&self.requests)));
            }
        }
    }

    fn spawn(&mut self, job_id: B256, fence: u64, effect: Effect, limit: Option<Arc<Semaphore>>) {
        let ports = Arc::clone(&self.ports);
        let task = self.tasks.spawn(async move {
            let _permit = match limit {
                Some(limit) => limit.acquire_owned().await.ok(),
                None => None,
            };
            (fence, ports.perform(job_id, effect).await)
        });
        self.asked.insert(task.id(), job_id);
    }
}

impl Held {
    /// Whether the job has been invisible on the chain for long.
    fn idle(&mut self, now: u64) -> bool {
        if self.machine.phase() != Phase::Unconfirmed {
            self.invisible_since = None;
            return false;
        }
        let since = *self.invisible_since.get_or_insert(now);
        now.saturating_sub(since) > INVISIBLE_MS
    }
}

/// What becomes of a lease.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It is kept.
    Held,
    /// It is given back for so many milliseconds.
    After(u64),
    /// Nothing is left to do.
    Never,
}

fn update(job_id: B256, held: &Held, state: &(Phase, u32, String), now: u64, next: Next) -> WorkUpdate {
    let (phase, tries, message) = state;
    WorkUpdate {
        job_id,
        fence: held.fence,
        phase: phase.name().to_string(),
        attempt: held.machine.attempt(),
        data: Bytes::new(),
        next_try_ms: if let Next::After(pause) = next { now + pause } else { now },
        tries: *tries,
        last_error: (!message.is_empty()).then(|| message.clone()),
        done: next == Next::Never,
        release: matches!(next, Next::After(_)),
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
