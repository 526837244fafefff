//! One attempt at compute: its machine, what it holds between steps, and what its effects do.

use std::collections::BTreeSet;
use std::time::Duration;

use licen_compute::serve::{Effect, Event, Machine};
use licen_core::abi::{Job, MemberSignature, ResultManifest};
use licen_core::canonical::json_to_vec;
use licen_core::evidence_bundle::EvidenceBundle;
use licen_core::job::Reason;
use licen_core::policy_manifest::PolicyManifest;
use licen_core::primitives::{Address, B256, Bytes};
use licen_core::report::{self, EpochCounts, JobReport, RowCounts};
use licen_core::result_roots::ResultRoots;
use licen_core::wire::compute::{Dispatch, StartTicket};
use licen_core::wire::custodian::SealedShare;
use licen_seal::result::{ResultTar, ResultTerms, ResultWriter};
use licen_seal::result_share::ResultShares;
use licen_seal::warrant::ReleaseTerms;
use licen_seal::{DatasetKey, RecipientKey, ResultKey};
use licen_storage::keccak::Keccak;

use super::{TaskKey, dataset, errand::Errand, trainer};
use crate::error::SimError;
use crate::keys::recipient_key;
use crate::requester::BASE_MODEL;
use crate::sabotage::Sabotage;
use crate::scenario::Role;
use crate::world::{Happening, World};

/// Tries to fetch the dataset, as the node has them.
const TRIES: u32 = 4;

/// An attempt.
pub(crate) struct Task {
    pub(super) machine: Machine,
    pub(super) dispatch: Dispatch,
    pub(super) identity: B256,
    /// Names its keys.
    pub(super) number: u64,
    pub(super) errand: Option<Errand>,
    pub(super) recipient: Option<RecipientKey>,
    pub(super) release: Option<ReleaseTerms>,
    pub(super) ticket: Option<StartTicket>,
    pub(super) bundle: Option<EvidenceBundle>,
    /// As Running.
    pub(super) job: Option<Job>,
    pub(super) key: Option<DatasetKey>,
    pub(super) text: Vec<u8>,
    pub(super) attestation_ref: B256,
    stopping: bool,
    /// The trainer waits to be told that another epoch begins.
    between_epochs: bool,
    pub(super) sealed: Option<Sealed>,
    pub(super) held: Vec<MemberSignature>,
    pub(super) signed: Option<(ResultManifest, Bytes)>,
    /// Statements signed with this attempt's key; more than one would be a fraud.
    pub(super) statements: u32,
    /// Number of the last sign of life.
    pub(super) pulses: u64,
    /// Members that have called the attempt silent.
    pub(super) silenced: BTreeSet<u8>,
    epochs_done: u32,
}

/// A sealed, stored result.
pub(super) struct Sealed {
    pub(super) roots: ResultRoots,
    pub(super) key_commit: B256,
    pub(super) shares: Vec<(SealedShare, B256)>,
}

impl Task {
    pub(super) fn new(machine: Machine, dispatch: Dispatch, identity: B256, number: u64) -> Self {
        Self {
            machine,
            dispatch,
            identity,
            number,
            errand: None,
            recipient: None,
            release: None,
            ticket: None,
            bundle: None,
            job: None,
            key: None,
            text: Vec::new(),
            attestation_ref: B256::ZERO,
            stopping: false,
            between_epochs: false,
            sealed: None,
            held: Vec::new(),
            signed: None,
            statements: 0,
            pulses: 0,
            silenced: BTreeSet::new(),
            epochs_done: 0,
        }
    }

    /// The seeded name of this attempt's keys.
    pub(super) fn key_name(&self) -> String {
        format!("compute {}", self.number)
    }
}

impl World {
    /// An event reaches the machine of a task; what it wants is done.
    pub(crate) fn task_step(&mut self, key: TaskKey, event: Event) -> Result<(), SimError> {
        let now = self.now_seconds();
        let Some(task) = self.compute.tasks.get_mut(&key) else { return Ok(()) };
        let before = task.machine.status().task_state;
        let mut effects = Vec::new();
        task.machine.step(now, event, &mut effects);
        let status = task.machine.status();
        if status.task_state != before {
            self.say(format!(
                "compute, {}: {:?}, {}",
                self.job_name(key.0),
                status.task_state,
                status.message
            ));
        }
        for effect in effects {
            if self.is_killed(Role::Compute)? {
                return Ok(());
            }
            self.task_does(key, effect)?;
        }
        Ok(())
    }

    /// Time passes for a task.
    pub(crate) fn compute_tick(&mut self, life: u64, key: TaskKey) -> Result<(), SimError> {
        if self.compute.life == life && self.compute.tasks.get(&key).is_some_and(|t| !t.machine.is_over()) {
            self.task_step(key, Event::Tick)?;
            self.wake_task(key);
        }
        Ok(())
    }

    fn task_does(&mut self, key: TaskKey, effect: Effect) -> Result<(), SimError> {
        match effect {
            Effect::SetUp => self.set_up(key),
            Effect::Unlock => {
                self.begin_pulse(key)?;
                self.begin_release(key)
            }
            Effect::Open => self.later(key, 200, Step::Open(1)),
            Effect::Train => self.later(key, self.scenario.epoch_ms, Step::Epoch),
            Effect::BeginEpoch { .. } => {
                if let Some(task) = self.compute.tasks.get_mut(&key) {
                    task.between_epochs = false;
                }
                self.later(key, self.scenario.epoch_ms, Step::Epoch)
            }
            Effect::StopAfterEpoch => {
                if let Some(task) = self.compute.tasks.get_mut(&key) {
                    task.stopping = true;
                }
                Ok(())
            }
            Effect::Seal => self.later(key, 300, Step::Seal),
            // Compute's code would have to be another one, with another measurement.
            Effect::Hand if self.scenario.sabotage == Some(Sabotage::SettledUnheld) => {
                self.task_step(key, Event::Held)
            }
            Effect::Hand => self.begin_hold(key),
            Effect::SignManifest => self.sign_manifest(key),
            Effect::Deliver => self.begin_publish(key),
            Effect::SignFailure { reason, epochs_done } => self.sign_failure(key, reason, epochs_done),
            Effect::Wipe => {
                if let Some(task) = self.compute.tasks.get_mut(&key) {
                    (task.errand, task.key, task.recipient) = (None, None, None);
                    task.text.clear();
                }
                if self.compute.slot == Some(key) {
                    self.compute.slot = None;
                    self.give_slot()?;
                }
                Ok(())
            }
        }
    }

    fn later(&mut self, key: TaskKey, delay_ms: u64, step: Step) -> Result<(), SimError> {
        let Some(number) = self.compute.tasks.get(&key).map(|task| task.number) else { return Ok(()) };
        self.after(delay_ms, Happening::ComputeStep(self.compute.life, key, number, step));
        Ok(())
    }

    /// A step of work is done, unless the attempt ended meanwhile.
    pub(crate) fn compute_step(
        &mut self,
        life: u64,
        key: TaskKey,
        number: u64,
        step: Step,
    ) -> Result<(), SimError> {
        let lives = |task: &Task| task.number == number && !task.machine.is_over();
        if self.compute.life != life || !self.compute.tasks.get(&key).is_some_and(lives) {
            return Ok(());
        }
        match step {
            Step::SetUp => self.set_up(key),
            Step::Open(tried) => self.open(key, tried),
            Step::Epoch => self.epoch(key),
            Step::Seal => self.seal_result(key),
        }
    }

    fn broke(&mut self, key: TaskKey, (reason, message): (Reason, String)) -> Result<(), SimError> {
        self.task_step(key, Event::Broke { reason, message })
    }

    fn open(&mut self, key: TaskKey, tried: u32) -> Result<(), SimError> {
        let Some(task) = self.compute.tasks.get(&key) else { return Ok(()) };
        let (job, policy) = (&task.dispatch.job.0, &task.dispatch.policy.0);
        let Some(bundle) = &task.bundle else { return Ok(()) };
        let bundle = self.storage.put(&json_to_vec(bundle).map_err(SimError::world)?)?;
        let fetched =
            self.storage.get(job.datasetRoot).and_then(|c| Ok((c, self.document(policy.manifestHash)?)));
        let (ciphertext, manifest) = match fetched {
            Ok(fetched) => fetched,
            Err(_) if tried < TRIES => return self.later(key, 1_000, Step::Open(tried + 1)),
            // The storage names the root, which no seed decides: the trace has its own words.
            Err(_) => {
                let why = "the dataset is not in storage".to_owned();
                return self.broke(key, (Reason::StorageDownloadFailed, why));
            }
        };
        let published = PolicyManifest::from_bytes(&manifest).map_err(SimError::world)?;
        let domain = self.chain.domain();
        let uid = job.datasetUid;
        let Some(task) = self.compute.tasks.get_mut(&key) else { return Ok(()) };
        let Some(dataset_key) = task.key.take() else { return Ok(()) };
        match dataset::open(&dataset_key, (domain.chain_id, &uid), &ciphertext, &published) {
            Err(broken) => self.broke(key, broken),
            Ok(text) => {
                let mine = self.published.as_ref().is_some_and(|p| p.text == text);
                if !mine {
                    return SimError::violation("compute opened other rows than the owner encrypted");
                }
                if let Some(task) = self.compute.tasks.get_mut(&key) {
                    (task.text, task.attestation_ref) = (text, bundle);
                }
                self.task_step(key, Event::Opened { compute: Duration::ZERO })
            }
        }
    }

    fn epoch(&mut self, key: TaskKey) -> Result<(), SimError> {
        let Some(task) = self.compute.tasks.get_mut(&key) else { return Ok(()) };
        task.epochs_done += 1;
        task.between_epochs = true;
        let (done, epochs) = (task.epochs_done, task.dispatch.job.0.epochs);
        let part = f64::from(done) / f64::from(epochs);
        let progress = Event::Progress {
            epoch: (done + 1).min(epochs),
            epochs_done: done,
            part,
            loss: None,
            compute: Duration::from_secs(done.into()),
        };
        self.task_step(key, progress)?;
        let Some(task) = self.compute.tasks.get(&key) else { return Ok(()) };
        if task.between_epochs && (done >= epochs || task.stopping) {
            return self.task_step(key, Event::Trained { epochs_done: done });
        }
        Ok(())
    }

    fn seal_result(&mut self, key: TaskKey) -> Result<(), SimError> {
        let Some(task) = self.compute.tasks.get(&key) else { return Ok(()) };
        let Some(published) = &self.published else { return Ok(()) };
        let members = published.envelope.hpke_members().map_err(SimError::world)?;
        let terms = ResultTerms { domain: self.chain.domain(), job_id: key.0, attempt: key.1 };
        let result_key = ResultKey::generate().map_err(SimError::world)?;
        let adapter = trainer::adapter(&task.text, task.epochs_done);
        let tar =
            ResultTar::of(Keccak::detect(), [(trainer::FILE, &adapter[..])]).map_err(SimError::world)?;
        let dealt = ResultShares::deal(&result_key, &terms, self.scenario.t, &members, tar);
        let dealt = dealt.map_err(SimError::world)?;
        let mut writer =
            ResultWriter::new(&result_key, dealt.header(), Vec::new()).map_err(SimError::world)?;
        writer.append(trainer::FILE, adapter.len() as u64, &mut &adapter[..]).map_err(SimError::world)?;
        let blob = writer.finish().map_err(SimError::world)?;
        let result_hash = self.storage.put(&blob)?;
        let roots = ResultRoots {
            result_hash,
            base_model_root: BASE_MODEL,
            adapter_root: dealt.header().adapter_root(),
            attestation_ref: task.attestation_ref,
            report_hash: self.put_report(key, task.epochs_done)?,
        };
        let shares = dealt.seal(&result_hash).map_err(SimError::world)?;
        let commits = dealt.header().members().iter().map(|member| member.share_commit);
        let shares = shares.into_iter().zip(commits).collect();
        let key_commit = dealt.header().key_commit();
        if let Some(task) = self.compute.tasks.get_mut(&key) {
            task.sealed = Some(Sealed { roots, key_commit, shares });
        }
        self.task_step(key, Event::Sealed)
    }

    /// Stores what the stand-in measured: nothing but rows.
    fn put_report(&self, key: TaskKey, epochs: u32) -> Result<B256, SimError> {
        let rows = self.scenario.rows;
        let report = JobReport {
            v: report::VERSION,
            job_id: key.0,
            attempt: key.1,
            settings: serde_json::Map::new(),
            rows: RowCounts {
                train: rows,
                shapes: [("text".to_owned(), rows)].into(),
                ..RowCounts::default()
            },
            per_epoch: EpochCounts { samples: rows, ..EpochCounts::default() },
            losses: Vec::new(),
            compute_seconds: u64::from(epochs),
            more: serde_json::Map::new(),
        };
        self.storage.put(&report.to_bytes().map_err(SimError::world)?)
    }

    /// The recipient key of an attempt; made once.
    pub(super) fn make_keys(&mut self, key: TaskKey) -> Result<(), SimError> {
        let seed = self.scenario.seed;
        let Some(task) = self.compute.tasks.get_mut(&key) else { return Ok(()) };
        if task.recipient.is_none() {
            task.recipient = Some(recipient_key(seed, &task.key_name())?);
        }
        Ok(())
    }

    /// Epochs that a task has trained.
    pub(super) fn trained(&self, key: TaskKey) -> u32 {
        self.compute.tasks.get(&key).map_or(0, |task| task.epochs_done)
    }

    /// Signer and runtime data hash that a task waits to see on chain.
    pub(crate) fn ticket_of(&self, key: TaskKey) -> Option<(Address, B256)> {
        let ticket = self.compute.tasks.get(&key)?.ticket.as_ref()?;
        Some((ticket.signer, ticket.runtime_data_hash))
    }

    /// The manifest that a task signed.
    pub(crate) fn signed_of(&self, key: TaskKey) -> Option<(ResultManifest, Bytes)> {
        self.compute.tasks.get(&key)?.signed.clone()
    }

    pub(super) fn set_up_later(&mut self, key: TaskKey) -> Result<(), SimError> {
        let pause = self.random.between(1_500, 3_000);
        self.later(key, pause, Step::SetUp)
    }
}

/// A piece of work that takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Another round of challenges and verdicts.
    SetUp,
    /// Fetch, decrypt, compare; which try.
    Open(u32),
    /// One epoch of the stand-in.
    Epoch,
    /// Pack, encrypt, store, deal.
    Seal,
}
