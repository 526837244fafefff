use super::*;
use crate::effect::{AttemptId, Call, CallKind};
use crate::event::{Deep, Reading, TxOutcome};
use crate::fixture::*;
use licen_core::abi::Job;
use licen_core::job::JobState;
use licen_core::wire::compute::TaskState;
use licen_store::NewWork;
use std::sync::Mutex;

/// A chain with one job, an honest compute and an honest custodian, and a point at which the process
/// that asks is cut off.
#[derive(Default)]
struct World {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Option<JobState>,
    sent: Vec<(String, CallKind)>,
    asked: usize,
    /// The question with this number gets no answer; `true` where it still takes effect.
    cut: Option<(usize, bool)>,
    was_cut: bool,
    compute_down: usize,
    dispatched: Vec<AttemptId>,
}

#[derive(Clone)]
struct Handle(Arc<World>);

impl Inner {
    fn job(&self) -> Option<Deep> {
        let job = match self.state? {
            JobState::Granted => granted(),
            JobState::Running
            | JobState::Completed
            | JobState::Failed
            | JobState::Expired
            | JobState::Cancelled => running(),
        };
        Some(Deep { domain: DOMAIN, state: self.state?, job })
    }

    fn answer(&mut self, effect: Effect) -> Event {
        match effect {
            Effect::Read => {
                let reading = Reading { head: self.state, head_time: 100, deep: self.job(), deep_time: 98 };
                Event::Read(Box::new(reading))
            }
            Effect::Dispatch(id, _) if self.compute_down > 0 => {
                self.compute_down -= 1;
                Event::DispatchFailed(id, "compute: connection refused".into())
            }
            Effect::Dispatch(id, _) => {
                self.dispatched.push(id);
                Event::Accepted(id)
            }
            Effect::PollStatus(id, job) => {
                let mut status =
                    status(if job.attempt == 0 { TaskState::SetUp } else { TaskState::Training });
                status.start = (job.attempt == 0).then(|| ticket(900));
                Event::Status(id, Box::new(status))
            }
            Effect::PollManifest(id, _) => Event::Manifest(id, Box::new(manifest(2))),
            Effect::Send(call) => Event::Tx(call.kind(), self.transact(&call)),
            Effect::AskSilence(id, _) => Event::NotSilent(id),
            Effect::Report(_) | Effect::Finish(_) => panic!("the shell's own"),
        }
    }

    /// The sender remembers what it sent by name, and the contract decides.
    fn transact(&mut self, call: &Call) -> TxOutcome {
        if self.sent.iter().any(|(key, _)| *key == call.idem_key()) {
            return TxOutcome::Mined;
        }
        let next = match (call.kind(), self.state) {
            (CallKind::Start, Some(JobState::Granted)) => JobState::Running,
            (CallKind::Confirm, Some(JobState::Running)) => JobState::Completed,
            _ => return TxOutcome::Refused("JobStateWrong".into()),
        };
        self.sent.push((call.idem_key(), call.kind()));
        self.state = Some(next);
        TxOutcome::Mined
    }
}

impl Ports for Handle {
    async fn perform(&self, _job_id: B256, effect: Effect) -> Event {
        tokio::task::yield_now().await;
        let answer = {
            let mut inner = self.0.inner.lock().unwrap();
            let number = inner.asked;
            inner.asked += 1;
            match inner.cut {
                Some((at, effective)) if at == number => {
                    inner.was_cut = true;
                    if effective {
                        inner.answer(effect);
                    }
                    None
                }
                Some(_) | None => Some(inner.answer(effect)),
            }
        };
        match answer {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    fn forget(&self, _job_id: B256) {}
}

fn world() -> Handle {
    let handle = Handle(Arc::default());
    handle.0.inner.lock().unwrap().state = Some(JobState::Granted);
    handle
}

fn settings() -> Settings {
    let pace = Pace { poll: 2, retry: 2, retry_max: 8 };
    Settings { pace, lease_ms: 60, max_jobs: 8, max_requests: 4 }
}

/// In a file: an aborted task may take its connection, and with it a database in memory, away.
async fn store() -> (Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("licen.db")).await.unwrap();
    let job: Job = granted();
    let new = NewWork { job_id: job.jobId, phase: "unconfirmed".into(), data: Bytes::new() };
    store.add_work(&new, 0).await.unwrap();
    (store, dir)
}

fn start(store: &Store, world: &Handle, owner: &str) -> task::JoinHandle<()> {
    let (progress, _) = broadcast::channel(64);
    let orchestrator =
        Orchestrator::new(store.clone(), world.clone(), settings(), owner.to_string(), progress);
    tokio::spawn(async move { orchestrator.run(std::future::pending()).await.unwrap() })
}

async fn until_done(store: &Store) {
    let waiting = async {
        while !store.work(granted().jobId).await.unwrap().unwrap().done {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("the job does not end");
}

fn kinds(world: &Handle) -> Vec<CallKind> {
    world.0.inner.lock().unwrap().sent.iter().map(|(_, kind)| *kind).collect()
}

#[tokio::test]
async fn a_job_is_driven_to_its_end_and_told_about() {
    let ((store, _dir), world) = (store().await, world());
    let (progress, mut heard) = broadcast::channel(256);
    let orchestrator = Orchestrator::new(store.clone(), world.clone(), settings(), "a".into(), progress);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = tokio::spawn(orchestrator.run(async {
        let _ = stopped.await;
    }));
    until_done(&store).await;
    stop.send(()).unwrap();
    run.await.unwrap().unwrap();
    assert_eq!(kinds(&world), [CallKind::Start, CallKind::Confirm]);
    let mut phases = vec![];
    while let Ok(progress) = heard.try_recv() {
        phases.push(progress.phase);
    }
    phases.dedup();
    let expected = [
        Phase::Unconfirmed,
        Phase::Dispatching,
        Phase::Preparing,
        Phase::Starting,
        Phase::Resuming,
        Phase::Training,
        Phase::Ending,
        Phase::Ended,
    ];
    assert_eq!(phases, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_question_changes_nothing() {
    for cut in 0..14 {
        for effective in [false, true] {
            let ((store, _dir), world) = (store().await, world());
            world.0.inner.lock().unwrap().cut = Some((cut, effective));
            let first = start(&store, &world, "first");
            let cut_off = async {
                while !world.0.inner.lock().unwrap().was_cut {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            let _ = tokio::time::timeout(Duration::from_millis(500), cut_off).await;
            first.abort();
            let second = start(&store, &world, "second");
            until_done(&store).await;
            second.abort();
            assert_eq!(kinds(&world), [CallKind::Start, CallKind::Confirm], "cut {cut} {effective}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_orchestrators_send_each_transaction_once() {
    let ((store, _dir), world) = (store().await, world());
    let (first, second) = (start(&store, &world, "first"), start(&store, &world, "second"));
    until_done(&store).await;
    first.abort();
    second.abort();
    assert_eq!(kinds(&world), [CallKind::Start, CallKind::Confirm]);
}

#[tokio::test]
async fn failures_are_written_down_and_waited_out() {
    let ((store, _dir), world) = (store().await, world());
    world.0.inner.lock().unwrap().compute_down = usize::MAX;
    let run = start(&store, &world, "a");
    let row = loop {
        let row = store.work(granted().jobId).await.unwrap().unwrap();
        if row.tries >= 2 {
            break row;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    assert_eq!((row.phase.as_str(), row.done), ("dispatching", false));
    assert_eq!(row.last_error.as_deref(), Some("compute: connection refused"));
    world.0.inner.lock().unwrap().compute_down = 0;
    until_done(&store).await;
    run.abort();
    assert_eq!(kinds(&world), [CallKind::Start, CallKind::Confirm]);
}

#[tokio::test]
async fn what_died_holding_a_job_takes_it_up_at_once() {
    let ((store, _dir), world) = (store().await, world());
    let long = 24 * 3_600 * 1_000;
    assert_eq!(store.lease_work("a", now_ms(), long, 8).await.unwrap().len(), 1);
    let run = start(&store, &world, "a");
    until_done(&store).await;
    run.abort();
    assert_eq!(kinds(&world), [CallKind::Start, CallKind::Confirm]);
}

/// The world of one good job, and of others that compute never takes.
#[derive(Clone)]
struct Crowded(Handle);

impl Ports for Crowded {
    async fn perform(&self, job_id: B256, effect: Effect) -> Event {
        if job_id == granted().jobId {
            return self.0.perform(job_id, effect).await;
        }
        match effect {
            Effect::Read => {
                let job = Job { jobId: job_id, ..granted() };
                let (state, deep) =
                    (JobState::Granted, Deep { domain: DOMAIN, state: JobState::Granted, job });
                let reading = Reading { head: Some(state), head_time: 100, deep: Some(deep), deep_time: 98 };
                Event::Read(Box::new(reading))
            }
            Effect::Dispatch(id, _) => Event::DispatchFailed(id, "compute: connection refused".into()),
            _ => std::future::pending().await,
        }
    }

    fn forget(&self, _job_id: B256) {}
}

#[tokio::test]
async fn jobs_that_get_nowhere_make_room() {
    let ((store, _dir), world) = (store().await, world());
    for n in 1..=4 {
        let new =
            NewWork { job_id: B256::with_last_byte(n), phase: "unconfirmed".into(), data: Bytes::new() };
        store.add_work(&new, 0).await.unwrap();
    }
    // They come first and fill every place.
    let first = store.lease_work("nobody", 1, 0, 8).await.unwrap();
    assert!(first.iter().position(|work| work.job_id == granted().jobId).unwrap() >= 2, "{first:?}");
    let (progress, _) = broadcast::channel(64);
    let settings = Settings { max_jobs: 2, ..settings() };
    let crowded = Crowded(world.clone());
    let orchestrator = Orchestrator::new(store.clone(), crowded, settings, "a".into(), progress);
    let run = tokio::spawn(async move { orchestrator.run(std::future::pending()).await.unwrap() });
    until_done(&store).await;
    run.abort();
    assert_eq!(kinds(&world), [CallKind::Start, CallKind::Confirm]);
    assert_eq!(store.open_work().await.unwrap().len(), 4, "the others wait for their turn");
}

#[tokio::test]
async fn a_holder_that_lost_its_lease_does_not_act() {
    let ((store, _dir), world) = (store().await, world());
    let (progress, _) = broadcast::channel(8);
    let mut late = Orchestrator::new(store.clone(), world.clone(), settings(), "late".into(), progress);
    late.tick().await;
    assert_eq!(late.held.len(), 1);
    let later = now_ms() + 10_000;
    let taken = store.lease_work("other", later, 60_000, 8).await.unwrap();
    assert_eq!(taken.len(), 1);
    let (job_id, fence) = (granted().jobId, taken[0].fence - 1);
    late.step(job_id, fence, read_granted(100)).await;
    assert!(late.held.is_empty());
    assert!(world.0.inner.lock().unwrap().dispatched.is_empty());
}
