//! The shell of one attempt: carries out what the machine asks for and tells it what came of it. Keys
//! and plaintext are held here, each only as long as the machine still needs it.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use licen_core::abi::{Job, MemberSignature, ResultManifest};
use licen_core::job::Reason;
use licen_core::primitives::{B256, Bytes};
use licen_core::wire::compute::{Dispatch, TaskStatus};
use licen_seal::DatasetKey;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::alive::{Pulse, say};
use super::check::CLOCK_SKEW;
use super::config::SimulatedFault;
use super::deliver::{SealedResult, delivery_of, hand_out, send_manifest};
use super::effect::Effect;
use super::error::Broken;
use super::event::Event;
use super::keys::StatementKey;
use super::machine::Machine;
use super::node::{Node, unix_now};
use super::open::{Opened, open};
use super::qualify::{Qualified, qualify};
use super::result::seal_result;
use super::setup::{Prepared, set_up};
use super::training::{Pace, Trained, train};
use super::unlock::{Locked, unlock};

/// How often an attempt looks at the clock.
const TICK: Duration = Duration::from_secs(1);
/// Claims that a job runs which are asked about at once; the orchestrator repeats the true one.
const MAX_CLAIMS: usize = 4;
/// Seconds before the machine's deadline by which those who ask say what they heard.
const SETTLING: u64 = 2;

/// The right to train; given back when the last of its holders, the thread that waits for the trainer included, is gone.
pub(super) type Slot = Arc<OwnedSemaphorePermit>;

/// What reaches a driver: events, and what comes with some of them.
pub(super) enum Message {
    Event(Event),
    Slot(Slot, Box<Qualified>),
    /// The job as Running; believed only where it names our signer and runtime data.
    Running(Box<Job>),
    Prepared(Box<(Prepared, StatementKey)>),
    /// What came of asking for the shares of the job as it was once said to run.
    Unlocked(Box<Job>, Result<DatasetKey, Locked>),
    Opened(Box<Opened>),
    Trained(Box<Trained>),
    Sealed(Arc<SealedResult>, Box<ResultManifest>),
    Held(Vec<MemberSignature>),
}

/// Drives one attempt to its end.
pub(super) struct Driver {
    node: Arc<Node>,
    machine: Machine,
    attempt: u32,
    dispatch: Dispatch,
    inbox: mpsc::UnboundedReceiver<Message>,
    outbox: mpsc::UnboundedSender<Message>,
    status: watch::Sender<TaskStatus>,
    again: watch::Sender<bool>,
    proven: Arc<AtomicBool>,
    steps: JoinSet<()>,
    pace: Pace,
    pulse: Pulse,
    held: Holdings,
}

/// What an attempt holds between steps. Dropping it wipes keys and the trained files, and kills the trainer with its
/// rows.
#[derive(Default)]
struct Holdings {
    slot: Option<Slot>,
    qualified: Option<Box<Qualified>>,
    prepared: Option<Arc<Prepared>>,
    signer: Option<StatementKey>,
    /// As last said to run.
    claim: Option<Job>,
    /// What was said to run, oldest first, and who asks custodians about it.
    asking: VecDeque<(Job, AbortHandle)>,
    /// Why custodians that see it Running give too few shares.
    locked: Option<(Job, Broken)>,
    /// As Running, which custodians confirmed or, where they keep silent, nobody denied.
    job: Option<Job>,
    key: Option<DatasetKey>,
    opened: Option<Box<Opened>>,
    trained: Option<Box<Trained>>,
    /// What the manifest says.
    manifest: Option<ResultManifest>,
    sealed: Option<Arc<SealedResult>>,
    signatures: Vec<MemberSignature>,
    signed: Option<Bytes>,
    attestation_ref: B256,
}

/// The way in and the ways to look.
pub(super) struct Handles {
    pub(super) inbox: mpsc::UnboundedSender<Message>,
    pub(super) status: watch::Receiver<TaskStatus>,
    /// Over, and a new dispatch may begin it again.
    pub(super) again: watch::Receiver<bool>,
    /// Custodians have said that the chain knows the job.
    pub(super) proven: Arc<AtomicBool>,
}

impl Driver {
    /// Starts driving; gives the way in and the ways to look.
    pub(super) fn spawn(node: Arc<Node>, machine: Machine, dispatch: Dispatch, attempt: u32) -> Handles {
        let (outbox, inbox) = mpsc::unbounded_channel();
        let (status, status_reader) = watch::channel(machine.status());
        let (again, again_reader) = watch::channel(machine.may_begin_again());
        let (sender, proven) = (outbox.clone(), Arc::<AtomicBool>::default());
        let driver = Self {
            node,
            machine,
            attempt,
            dispatch,
            inbox,
            outbox,
            status,
            again,
            proven: proven.clone(),
            steps: JoinSet::new(),
            pace: Pace::default(),
            pulse: Pulse::default(),
            held: Holdings::default(),
        };
        tokio::spawn(driver.run());
        Handles { inbox: sender, status: status_reader, again: again_reader, proven }
    }

    async fn run(mut self) {
        if !self.machine.is_over() {
            self.queue();
        }
        let mut tick = tokio::time::interval(TICK);
        while !self.machine.is_over() {
            let message = tokio::select! {
                message = self.inbox.recv() => message.unwrap_or(Message::Event(Event::Tick)),
                _ = tick.tick() => Message::Event(Event::Tick),
            };
            let event = self.take(message);
            self.step(event);
            self.say_alive();
        }
        self.again.send_replace(self.machine.may_begin_again());
        self.status.send_replace(self.machine.status());
        let status = self.machine.status();
        let job = self.dispatch.job.0.jobId;
        tracing::info!(%job, attempt = self.attempt, state = ?status.task_state, message = status.message, "over");
    }

    /// Lets the dispatch show that it is not invented, and then waits for the slot.
    fn queue(&mut self) {
        let (node, dispatch, attempt) = (self.node.clone(), self.dispatch.clone(), self.attempt);
        let (note, outbox, proven) = (self.note(), self.outbox.clone(), self.proven.clone());
        self.steps.spawn(async move {
            let proven = || proven.store(true, Ordering::Relaxed);
            let message = match qualify(&node, &dispatch, attempt, &note, proven).await {
                Ok(qualified) => {
                    note("waiting for the training slot".into());
                    let Ok(permit) = node.slot.clone().acquire_owned().await else { return };
                    Message::Slot(Arc::new(permit), Box::new(qualified))
                }
                Err(message) => Message::Event(Event::Refused(message)),
            };
            let _ = outbox.send(message);
        });
    }

    /// Keeps what comes with a message and says what it means.
    fn take(&mut self, message: Message) -> Event {
        match message {
            Message::Event(event) => event,
            Message::Slot(permit, qualified) => {
                (self.held.slot, self.held.qualified) = (Some(permit), Some(qualified));
                Event::SlotFree
            }
            Message::Running(job) => self.running(*job),
            Message::Prepared(prepared) => {
                let (prepared, signer) = *prepared;
                let event = Event::Ready {
                    ticket: prepared.ticket.clone(),
                    verdicts_expire: prepared.verdicts_expire,
                };
                self.held.prepared = Some(Arc::new(prepared));
                self.held.signer = Some(signer);
                event
            }
            Message::Unlocked(job, outcome) => self.unlocked(*job, outcome),
            Message::Opened(opened) => {
                let compute = opened.compute;
                self.held.attestation_ref = opened.attestation_ref;
                self.held.opened = Some(opened);
                Event::Opened { compute }
            }
            Message::Trained(trained) => {
                let epochs_done = trained.epochs;
                self.held.trained = Some(trained);
                Event::Trained { epochs_done }
            }
            Message::Sealed(sealed, manifest) => {
                (self.held.sealed, self.held.manifest) = (Some(sealed), Some(*manifest));
                Event::Sealed
            }
            Message::Held(signatures) => {
                self.held.signatures = signatures;
                Event::Held
            }
        }
    }

    fn running(&mut self, job: Job) -> Event {
        let Some(prepared) = &self.held.prepared else { return Event::Superseded };
        let ticket = &prepared.ticket;
        if job.signer != ticket.signer || job.runtimeDataHash != ticket.runtime_data_hash {
            return Event::Superseded;
        }
        // The first start is between the ticket, which did not exist before, and the end of its verdicts.
        let started = job.runDeadline.saturating_sub(u64::from(job.runWindow));
        let possible = prepared.bundle.recorded_at.saturating_sub(CLOCK_SKEW)..=prepared.verdicts_expire;
        if self.attempt == 1 && !possible.contains(&started) {
            return Event::Note("a dispatch says that the job was started when it cannot have been".into());
        }
        if self.held.job.is_some() || self.held.asking.iter().any(|(asked, _)| *asked == job) {
            return Event::Tick;
        }
        let run_deadline = job.runDeadline;
        self.held.claim = Some(job);
        Event::Running { run_deadline }
    }

    /// One of several claims that the job runs may be true; only the last word about all is final.
    fn unlocked(&mut self, job: Job, outcome: Result<DatasetKey, Locked>) -> Event {
        self.held.asking.retain(|(asked, _)| *asked != job);
        let message = match outcome {
            Ok(key) => {
                let run_deadline = job.runDeadline;
                self.held.asking.drain(..).for_each(|(_, asking)| asking.abort());
                (self.held.key, self.held.job) = (Some(key), Some(job));
                // Custodians that have called this attempt silent are heard before anything is trained for nobody.
                self.pulse.hurry();
                return Event::KeyCombined { run_deadline };
            }
            Err(Locked::Broken(broken)) => {
                let message = broken.message.clone();
                self.held.locked = Some((job, broken));
                message
            }
            Err(Locked::Unconfirmed(message)) => message,
        };
        if !self.held.asking.is_empty() {
            return Event::Note(message);
        }
        let Some((job, Broken { reason, message })) = self.held.locked.take() else {
            return Event::Unconfirmed(message);
        };
        self.held.job = Some(job);
        Event::Broke { reason, message }
    }

    fn step(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut effects = Vec::new();
            self.machine.step(unix_now(), event, &mut effects);
            for effect in effects {
                events.extend(self.carry_out(effect));
            }
        }
        let status = self.machine.status();
        self.status.send_if_modified(|old| {
            let changed = *old != status;
            if changed && old.task_state != status.task_state {
                let job = self.dispatch.job.0.jobId;
                tracing::info!(%job, attempt = self.attempt, state = ?status.task_state, message = status.message);
            }
            *old = status;
            changed
        });
    }

    /// Does at once what needs no waiting, and returns what came of it; starts the rest.
    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::SetUp => self.set_up(),
            Effect::Unlock => self.unlock(),
            Effect::Open => self.open(),
            Effect::Train => self.train(),
            Effect::BeginEpoch { epoch } => self.pace.begin(epoch),
            Effect::StopAfterEpoch => self.pace.stop(),
            Effect::Seal => self.seal(),
            Effect::Hand => self.hand(),
            Effect::SignManifest => return Some(self.sign_manifest()),
            Effect::Deliver => self.deliver(),
            Effect::SignFailure { reason, epochs_done } => {
                return Some(self.sign_failure(reason, epochs_done));
            }
            Effect::Wipe => self.wipe(),
        }
        None
    }

    /// Runs a step beside the driver; its failure becomes an event.
    fn start<F>(&mut self, step: F)
    where
        F: Future<Output = Result<Message, Broken>> + Send + 'static,
    {
        let outbox = self.outbox.clone();
        self.steps.spawn(async move {
            let message = step.await.unwrap_or_else(|Broken { reason, message }| {
                Message::Event(Event::Broke { reason, message })
            });
            let _ = outbox.send(message);
        });
    }

    fn note(&self) -> impl Fn(String) + Send + Sync + use<> {
        let outbox = self.outbox.clone();
        move |text| {
            let _ = outbox.send(Message::Event(Event::Note(text)));
        }
    }

    fn set_up(&mut self) {
        let Some(qualified) = self.held.qualified.take() else { return };
        let (node, dispatch, attempt) = (self.node.clone(), self.dispatch.clone(), self.attempt);
        let note = self.note();
        self.start(async move {
            Ok(match set_up(&node, dispatch, attempt, *qualified, note).await {
                Ok(prepared) => Message::Prepared(Box::new(prepared)),
                Err(message) => Message::Event(Event::Refused(message)),
            })
        });
    }

    fn unlock(&mut self) {
        let (Some(prepared), Some(job)) = (self.held.prepared.clone(), self.held.claim.take()) else {
            return;
        };
        let left = self.machine.deadline().unwrap_or_default().saturating_sub(unix_now() + SETTLING);
        let until = Instant::now() + Duration::from_secs(left);
        let (node, note, outbox) = (self.node.clone(), self.note(), self.outbox.clone());
        let claimed = job.clone();
        let asking = self.steps.spawn(async move {
            let outcome = unlock(&node, &prepared, &job, until, note).await;
            let _ = outbox.send(Message::Unlocked(Box::new(job), outcome));
        });
        self.held.asking.push_back((claimed, asking));
        if self.held.asking.len() > MAX_CLAIMS
            && let Some((_, oldest)) = self.held.asking.pop_front()
        {
            oldest.abort();
        }
    }

    /// From the first question for shares until a statement is signed, which uses the key up. As long as
    /// custodians have not said which of several claims is true, they are told about each.
    fn say_alive(&mut self) {
        let (Some(prepared), Some(signer)) = (&self.held.prepared, &self.held.signer) else { return };
        let claims = self.held.asking.iter().map(|(job, _)| job);
        let jobs: Vec<Job> =
            self.held.job.as_ref().map_or_else(|| claims.cloned().collect(), |j| vec![j.clone()]);
        let confirmed = self.held.job.is_some();
        let every = Duration::from_secs(self.node.config.alive_seconds);
        let Some(word) = jobs.first().and_then(|job| self.pulse.beat(every, job, signer)) else { return };
        for job in jobs {
            let (node, prepared, outbox) = (self.node.clone(), prepared.clone(), self.outbox.clone());
            let (word, until) = (word.clone(), Instant::now() + every);
            self.steps.spawn(async move {
                if let Some(message) = say(&node, &prepared, &job, word, until).await.filter(|_| confirmed) {
                    let reason = Reason::ComputeTaskFailed;
                    let _ = outbox.send(Message::Event(Event::Broke { reason, message }));
                }
            });
        }
    }

    fn open(&mut self) {
        let (Some(prepared), Some(key)) = (self.held.prepared.clone(), self.held.key.take()) else { return };
        let (node, note) = (self.node.clone(), self.note());
        self.start(async move {
            let opened = open(&node, prepared, key, note).await?;
            Ok(Message::Opened(Box::new(opened)))
        });
    }

    fn train(&mut self) {
        let (Some(prepared), Some(opened)) = (self.held.prepared.clone(), self.held.opened.take()) else {
            return;
        };
        if self.node.config.simulated_fault == Some(SimulatedFault::Compute) {
            let message =
                "SIMULATED FAULT (simulatedFault = \"compute\"): training broke in epoch 1 on purpose";
            tracing::warn!("{message}");
            self.start(async move { Err(Broken::new(Reason::ComputeTaskFailed, message)) });
            return;
        }
        let (node, pace, outbox) = (self.node.clone(), self.pace.follow(), self.outbox.clone());
        let slot = self.held.slot.clone();
        let progress = move |event| {
            let _ = outbox.send(Message::Event(event));
        };
        self.start(async move {
            let trained = train(&node, prepared, (*opened, slot), pace, progress).await?;
            Ok(Message::Trained(Box::new(trained)))
        });
    }

    fn seal(&mut self) {
        let (Some(prepared), Some(job)) = (self.held.prepared.clone(), self.held.job.clone()) else { return };
        let Some(trained) = self.held.trained.take() else { return };
        let attestation_ref = self.held.attestation_ref;
        let node = self.node.clone();
        self.start(async move {
            let (sealed, manifest) = seal_result(&node, prepared, &job, *trained, attestation_ref).await?;
            Ok(Message::Sealed(Arc::new(sealed), Box::new(manifest)))
        });
    }

    fn hand(&mut self) {
        let (Some(prepared), Some(job)) = (self.held.prepared.clone(), self.held.job.clone()) else { return };
        let (Some(sealed), Some(signer)) = (self.held.sealed.clone(), &self.held.signer) else { return };
        let signature = signer.sign_delivery(&delivery_of(&prepared, &job, &sealed));
        let node = self.node.clone();
        self.start(async move {
            let signature = signature.map_err(Broken::because(Reason::ComputeTaskFailed))?;
            hand_out(&node, &prepared, &job, &sealed, signature).await.map(Message::Held)
        });
    }

    fn sign_manifest(&mut self) -> Event {
        let unsigned = || Event::Broke {
            reason: Reason::ComputeTaskFailed,
            message: "the manifest could not be signed".into(),
        };
        let Some(manifest) = &self.held.manifest else { return unsigned() };
        let Some(signer) = self.held.signer.take() else { return unsigned() };
        match signer.sign_manifest(manifest) {
            Ok(signature) => {
                self.held.signed = Some(signature);
                Event::ManifestSigned
            }
            Err(_) => unsigned(),
        }
    }

    fn deliver(&mut self) {
        let (Some(prepared), Some(manifest)) = (self.held.prepared.clone(), self.held.manifest.clone())
        else {
            return;
        };
        let Some(signature) = self.held.signed.clone() else { return };
        let (node, held) = (self.node.clone(), self.held.signatures.clone());
        self.start(async move {
            let sent = send_manifest(&node, &prepared, (&manifest, &signature), &held).await;
            Ok(Message::Event(match sent {
                Ok(custodians) => Event::Accepted { custodians },
                Err(message) => Event::GaveUp(message),
            }))
        });
    }

    fn sign_failure(&mut self, reason: Reason, epochs_done: u32) -> Event {
        self.pace.void();
        let (signer, job) = (self.held.signer.take(), self.held.job.as_ref());
        let signed = signer.zip(job).and_then(|(key, job)| key.sign_failure(job, reason, epochs_done).ok());
        signed.map_or_else(|| Event::GaveUp("the failure could not be signed".into()), Event::FailureSigned)
    }

    fn wipe(&mut self) {
        self.pace.void();
        self.steps.abort_all();
        self.held = Holdings::default();
    }
}
