//! From rows to an adapter: the engine in a process of its own, watched and stoppable.

use std::sync::Arc;
use std::time::{Duration, Instant};

use licen_core::abi::{Job, ResultManifest};
use licen_core::constraints::JobSpec;
use licen_core::job::Reason;
use licen_core::price::Speed;
use licen_core::report::BlockLoss;
use licen_core::unit::{Allowance, Planned, compute_seconds};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::watch;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::Broken;
use super::event::Event;
use super::limits::{self, Limits};
use super::node::Node;
use super::open::{Data, Opened};
use super::run::Slot;
use super::setup::Prepared;
use crate::apart::Trainer;
use crate::apart::wire::{Order, Report};
use licen_train::folder::CardFields;
use licen_train::{Error, Metering, Split, TrainingParams};

/// Training settings of a job, checked.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) params: TrainingParams,
    /// The same as JSON, for the trainer.
    pub(super) settings: String,
}

impl Plan {
    /// Reads the specification. Epochs, seed and held-out part stand elsewhere in the job; where the
    /// settings name them too they must agree.
    ///
    /// # Errors
    /// The setting that is wrong.
    pub(super) fn new(spec: &JobSpec, epochs: u32, threads: usize) -> Result<Self, String> {
        let mut settings = spec.training_params.clone();
        let fixed: [(&[&str], Value); 3] = [
            (&["num_train_epochs", "num_epochs"], Value::from(epochs)),
            (&["eval_fraction", "evalFraction"], Value::from(spec.eval_fraction)),
            (&["seed"], Value::from(spec.seed)),
        ];
        for (names, value) in fixed {
            for name in names {
                let given = settings.remove(*name).filter(|given| !given.is_null());
                if given.is_some_and(|given| given.as_f64() != value.as_f64()) {
                    return Err(format!("training setting `{name}` is not the {value} of the job"));
                }
            }
            settings.insert(names[0].to_owned(), value);
        }
        // Threads are the node's business; the result does not depend on them.
        settings.remove("threads");
        let text = serde_json::to_string(&settings).map_err(|e| e.to_string())?;
        let mut params = TrainingParams::parse(&text).map_err(|e| e.to_string())?;
        params.threads = (threads > 0).then_some(threads);
        Ok(Self { params, settings: text })
    }

    /// How many of `rows` rows train, and how many are held out.
    pub(super) fn split(&self, rows: u64) -> (u64, u64) {
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        let held_out = Split::held_out_rows(rows, self.params.eval_fraction);
        ((rows - held_out) as u64, held_out as u64)
    }

    /// Refuses a job over `rows` rows that ends before every row was met once: it would look at rows and
    /// pay for none of them.
    ///
    /// # Errors
    /// `JOB_SPEC_INVALID`.
    pub(super) fn check_epoch(&self, rows: u64) -> Result<(), Broken> {
        let ((train, _), step) = (self.split(rows), self.params.rows_per_step() as u64);
        let (planned, epoch) = (self.params.planned_steps(train), train.div_ceil(step));
        if planned < epoch {
            let message = format!("max_steps allows {planned} steps, one epoch of the dataset has {epoch}");
            return Err(Broken::new(Reason::JobSpecInvalid, message));
        }
        Ok(())
    }

    /// Visits of training rows in so many steps.
    pub(super) fn visits(&self, train: u64, steps: u64) -> u64 {
        let step = self.params.rows_per_step() as u64;
        let epoch = train.div_ceil(step).max(1);
        let part = (steps % epoch).saturating_mul(step).min(train);
        (steps / epoch).saturating_mul(train).saturating_add(part)
    }

    /// What training does over `rows` rows if nothing ends it sooner; `trained` tokens are learned in an
    /// epoch, where that is known.
    fn planned(&self, rows: u64, trained: Option<u64>) -> Planned {
        let ((train, _), step) = (self.split(rows), self.params.rows_per_step() as u64);
        let steps = self.params.planned_steps(train);
        let epochs = steps.div_ceil(train.div_ceil(step).max(1));
        Planned {
            epochs: u32::try_from(epochs).unwrap_or(u32::MAX),
            samples: Some(self.visits(train, steps)),
            tokens_trained: trained.map(|trained| trained.saturating_mul(epochs)),
        }
    }

    /// Refuses a training that takes more units than the job has, as far as it is known.
    ///
    /// # Errors
    /// `JOB_SPEC_INVALID`.
    pub(super) fn check_units(&self, job: &Job, rows: u64, trained: Option<u64>) -> Result<(), Broken> {
        let invalid = |why: &dyn std::fmt::Display| Broken::new(Reason::JobSpecInvalid, why);
        let allowance = Allowance::of(job).ok_or_else(|| invalid(&"the job's unit is unknown"))?;
        allowance.check(&self.planned(rows, trained)).map_err(|over| invalid(&over))
    }
}

/// What is wanted of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    /// The last epoch that may be begun.
    epoch: u32,
    /// The epoch that runs is the last.
    stop: bool,
    /// Nobody wants the result any more.
    void: bool,
}

/// Lets epochs begin, one after the other, and says when training should end.
pub(super) struct Pace(watch::Sender<Wanted>);

impl Default for Pace {
    fn default() -> Self {
        Self(watch::Sender::new(Wanted { epoch: 1, stop: false, void: false }))
    }
}

impl Pace {
    /// Epochs up to this one may be begun.
    pub(super) fn begin(&self, epoch: u32) {
        self.0.send_modify(|wanted| wanted.epoch = wanted.epoch.max(epoch));
    }

    /// The current epoch is finished and counts.
    pub(super) fn stop(&self) {
        self.0.send_modify(|wanted| wanted.stop = true);
    }

    /// Nobody wants the result any more. The trainer is killed when nobody waits for it.
    pub(super) fn void(&self) {
        self.0.send_modify(|wanted| wanted.void = true);
    }

    /// For the training.
    pub(super) fn follow(&self) -> Paced {
        Paced(self.0.subscribe())
    }
}

/// The training's side of [`Pace`].
pub(super) struct Paced(watch::Receiver<Wanted>);

impl Paced {
    /// Blocks until it is said whether `epoch` begins.
    fn begins(&mut self, epoch: u32, runtime: &Handle) -> Result<bool, Broken> {
        let said = |wanted: &Wanted| wanted.void || wanted.stop || wanted.epoch >= epoch;
        let wanted = runtime.block_on(self.0.wait_for(said)).map(|wanted| *wanted);
        match wanted {
            Ok(Wanted { void: false, stop, .. }) => Ok(!stop),
            Ok(Wanted { void: true, .. }) | Err(_) => Err(given_up()),
        }
    }

    fn is_void(&self) -> bool {
        self.0.borrow().void
    }
}

fn given_up() -> Broken {
    Broken::new(Reason::ComputeTaskFailed, "given up")
}

/// A finished training: what goes into the result, and what manifest and report will say.
pub(super) struct Trained {
    /// Epochs finished.
    pub(super) epochs: u32,
    /// The PEFT folder, sorted by name.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// Rows, and what an epoch of them counts.
    pub(super) data: Data,
    /// Mean losses, in the order of training.
    pub(super) losses: Vec<BlockLoss>,
    /// CPU time of the trainer, from its start to the last byte of the result.
    pub(super) compute: Duration,
    metering: Metering,
}

/// The files are not the researcher's before they are paid for, and nobody else's ever.
impl Drop for Trained {
    fn drop(&mut self) {
        self.files.iter_mut().for_each(|(_, bytes)| bytes.zeroize());
    }
}

impl ZeroizeOnDrop for Trained {}

impl Trained {
    /// The manifest, still without its roots.
    pub(super) fn manifest(&self, job: &Job) -> ResultManifest {
        let metering = &self.metering;
        ResultManifest {
            jobId: job.jobId,
            attempt: job.attempt,
            datasetRoot: job.datasetRoot,
            actualEpochs: self.epochs,
            samples: metering.samples,
            tokensSeen: metering.tokens_seen,
            tokensTrained: metering.tokens_trained,
            computeSeconds: compute_seconds(self.compute),
            evalBefore: micro(metering.eval_before),
            evalAfter: micro(metering.eval_after),
            ..ResultManifest::default()
        }
    }
}

/// Loss x 1e6; 0 without held-out rows.
fn micro(loss: Option<f64>) -> u64 {
    // Losses are finite and far below 2^64 / 1e6; the cast saturates anyway.
    loss.map_or(0, |loss| (loss.max(0.0) * 1e6).round() as u64)
}

/// Has the trainer train; its memory ends with it.
///
/// # Errors
/// `JOB_SPEC_INVALID` where the settings cannot work, `COMPUTE_TASK_FAILED` for everything of ours.
pub(super) async fn train(
    node: &Arc<Node>,
    prepared: Arc<Prepared>,
    (opened, slot): (Opened, Option<Slot>),
    mut pace: Paced,
    tell: impl Fn(Event) + Send + 'static,
) -> Result<Trained, Broken> {
    let (node, trainer) = (node.clone(), prepared.base.trainer.clone());
    let runtime = Handle::current();
    let work = trainer.with(move |trainer| {
        let another = |epoch| pace.begins(epoch, &runtime);
        let trained = train_now(trainer, &node, &prepared, opened, (tell, another));
        drop(slot);
        if pace.is_void() { Err(given_up()) } else { trained }
    });
    work.await.map_err(Broken::because(Reason::ComputeTaskFailed))?
}

fn train_now(
    trainer: &Trainer,
    node: &Node,
    prepared: &Prepared,
    opened: Opened,
    (tell, mut another): (impl Fn(Event), impl FnMut(u32) -> Result<bool, Broken>),
) -> Result<Trained, Broken> {
    let ours = Broken::because(Reason::ComputeTaskFailed);
    let (begin, loaded) = (Instant::now(), trainer.cpu_time().map_err(&ours)?);
    trainer.tell(&Order::Train { card: card(prepared, &opened) }, &[]).map_err(&ours)?;
    let mut limits = Limits::new(&prepared.documents.plan, &opened.data);
    let (metering, names) = loop {
        match trainer.hear().map_err(&ours)? {
            Report::Progress { epoch, epochs_done, step, loss } => {
                let compute = trainer.cpu_time().map_err(&ours)?;
                tell(limits.progress((epoch, epochs_done), step, loss, compute).ok_or_else(nonsense)?);
                if let Some(next) = limits.asks() {
                    let another = another(next)?;
                    limits.answer(another);
                    trainer.tell(&Order::Epoch { another }, &[]).map_err(&ours)?;
                }
            }
            Report::Trained { metering, files } => break (metering, files),
            Report::Failed { code } => return Err(broken(&code)),
            Report::Ready { .. } | Report::Loaded { .. } | Report::Refused { .. } | Report::Opened { .. } => {
                return Err(nonsense());
            }
        }
    };
    let metering = limits.metering(metering).ok_or_else(nonsense)?;
    let names = limits::names(names, node.config.max_model_bytes).ok_or_else(nonsense)?;
    let mut files = Zeroizing::new(Vec::new());
    for (name, length) in names {
        let mut bytes = trainer.take(length).map_err(&ours)?;
        files.push((name, std::mem::take(&mut *bytes)));
    }
    let compute = trainer.cpu_time().map_err(&ours)?;
    let whole = prepared.documents.policy_manifest.byte_count();
    let bytes = whole.saturating_mul(u64::from(metering.epochs));
    // Without loading the base model, or small datasets would make it look slow.
    let speed = Speed { bytes, seconds: compute_seconds(compute.saturating_sub(loaded)) };
    let base_model = prepared.documents.job_spec.base_model_root;
    node.measured(metering.tokens_seen, begin.elapsed().as_secs_f64(), base_model, speed);
    let (epochs, files) = (metering.epochs, std::mem::take(&mut *files));
    Ok(Trained { epochs, files, data: opened.data, losses: limits.losses(), compute, metering })
}

fn nonsense() -> Broken {
    Broken::new(Reason::ComputeTaskFailed, "the trainer says what no training can end with")
}

fn card(prepared: &Prepared, opened: &Opened) -> CardFields {
    let job = &prepared.dispatch.job.0;
    CardFields {
        base_model: Some(prepared.documents.job_spec.base_model_root.to_string()),
        dataset_root: Some(job.datasetRoot.to_string()),
        policy: Some(job.policyHash.to_string()),
        job: Some(job.jobId.to_string()),
        attestation: Some(opened.attestation_ref.to_string()),
    }
}

/// What an error of the engine means for the job. Once there is plaintext the engine's own words may
/// quote it, so only the code and its fixed hint are told, and a code that the engine does not have is none.
pub(super) fn broken(code: &str) -> Broken {
    let number = code.strip_prefix("LIC05").and_then(|digits| digits.parse::<u8>().ok());
    let reason = match number {
        Some(1..=6) => Reason::DatasetMismatch,
        Some(7..=9 | 20..=49) => Reason::JobSpecInvalid,
        _ => Reason::ComputeTaskFailed,
    };
    match Error::hint_of(code) {
        Some(hint) => Broken::new(reason, format!("the trainer refuses [{code}]: {hint}")),
        None => Broken::new(Reason::ComputeTaskFailed, "the trainer refuses without a reason"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use licen_core::constraints::Learn;
    use licen_core::primitives::B256;
    use licen_core::unit::Unit;
    use serde_json::json;

    fn spec(params: Value) -> JobSpec {
        let Value::Object(training_params) = params else { unreachable!() };
        JobSpec {
            base_model_root: B256::ZERO,
            training_params,
            eval_fraction: 0.25,
            seed: 7,
            learn: Learn::Assistant,
            parents: vec![],
        }
    }

    #[test]
    fn the_job_says_epochs_seed_and_held_out_part() {
        let plan = Plan::new(&spec(json!({"lora_r": 4, "threads": 64})), 5, 2).unwrap();
        assert_eq!((plan.params.num_train_epochs, plan.params.seed), (5, 7));
        assert_eq!((plan.params.eval_fraction, plan.params.threads), (0.25, Some(2)));
        assert!(Plan::new(&spec(json!({"num_train_epochs": 5, "seed": 7})), 5, 0).is_ok());
        assert!(Plan::new(&spec(json!({"num_epochs": 3})), 5, 0).unwrap_err().contains("num_epochs"));
        assert!(Plan::new(&spec(json!({"seed": 8})), 5, 0).unwrap_err().contains("seed"));
        assert!(Plan::new(&spec(json!({"magic": 1})), 5, 0).unwrap_err().contains("magic"));
    }

    #[test]
    fn less_than_an_epoch_is_no_job() {
        let plan = |max_steps| {
            let params = json!({"batch_size": 2, "gradient_accumulation_steps": 1, "max_steps": max_steps});
            Plan::new(&spec(params), 5, 0).unwrap()
        };
        // 18 of 24 rows, two by two.
        assert_eq!(plan(8).check_epoch(24).unwrap_err().reason, Reason::JobSpecInvalid);
        for enough in [9, 10, -1] {
            assert_eq!(plan(enough).check_epoch(24), Ok(()));
        }
    }

    #[test]
    fn a_plan_above_the_units_is_invalid() {
        let plan = |max_steps| {
            let params = json!({"batch_size": 4, "gradient_accumulation_steps": 1, "max_steps": max_steps});
            Plan::new(&spec(params), 3, 0).unwrap()
        };
        let check = |plan: &Plan, unit: Unit, units, trained| {
            plan.check_units(&Job { unit: unit as u8, units, ..Job::default() }, 24, trained)
        };
        // 18 of 24 rows in 5 steps an epoch: three whole ones, or two and a step of a third.
        for (plan, epochs, samples) in [(plan(-1), 3, 54), (plan(11), 3, 40), (plan(10), 2, 36)] {
            let needs = [(Unit::Epoch, epochs, None), (Unit::Sample, samples, None)];
            for (unit, units, trained) in needs.into_iter().chain([(Unit::Kilotoken, epochs, Some(1_000))]) {
                assert_eq!(check(&plan, unit, units, trained), Ok(()));
                let over = check(&plan, unit, units - 1, trained).unwrap_err();
                assert_eq!(over.reason, Reason::JobSpecInvalid);
                assert!(over.message.contains(unit.name()), "{}", over.message);
            }
            assert!(check(&plan, Unit::Kilotoken, epochs, Some(1_001)).is_err());
            assert_eq!(check(&plan, Unit::Kilotoken, 0, None), Ok(()), "not known yet");
            assert_eq!(check(&plan, Unit::ComputeSecond, 0, Some(1)), Ok(()), "known afterwards only");
        }
        let unknown = plan(-1).check_units(&Job { unit: 5, units: 9, ..Job::default() }, 24, None);
        assert_eq!(unknown.unwrap_err().reason, Reason::JobSpecInvalid);
    }

    #[test]
    fn an_epoch_begins_when_it_may_and_not_after_a_stop() {
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        let begins = |pace: &Pace, epoch| pace.follow().begins(epoch, runtime.handle());
        let pace = Pace::default();
        assert_eq!(begins(&pace, 1), Ok(true));
        let (mut waiting, handle) = (pace.follow(), runtime.handle().clone());
        let waits = std::thread::spawn(move || waiting.begins(2, &handle));
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waits.is_finished());
        pace.begin(2);
        assert_eq!(waits.join().unwrap(), Ok(true));
        pace.stop();
        assert_eq!(begins(&pace, 3), Ok(false));
        pace.void();
        assert_eq!(begins(&pace, 3), Err(given_up()));
        let mut left = Pace::default().follow();
        assert_eq!(left.begins(2, runtime.handle()), Err(given_up()), "whoever paces is gone");
    }

    #[test]
    fn only_codes_of_the_engine_are_repeated() {
        assert_eq!(broken("LIC0505").reason, Reason::DatasetMismatch);
        assert_eq!(broken("LIC0507").reason, Reason::JobSpecInvalid);
        assert_eq!(broken("LIC0540").reason, Reason::JobSpecInvalid);
        assert_eq!(broken("LIC0550").reason, Reason::ComputeTaskFailed);
        assert!(broken("LIC0540").message.contains("learning_rate"));
        let leak = broken("LIC0540 a row of the dataset");
        assert_eq!(leak.reason, Reason::ComputeTaskFailed);
        assert!(!leak.message.contains("row"), "{}", leak.message);
    }

    #[test]
    fn what_was_trained_is_wiped() {
        fn wiped_on_drop<T: ZeroizeOnDrop>() {}
        wiped_on_drop::<Trained>();
    }

    #[test]
    fn losses_are_signed_in_millionths() {
        assert_eq!(micro(Some(3.6812345)), 3_681_235);
        assert_eq!(micro(None), 0);
        assert_eq!(micro(Some(-1.0)), 0);
    }
}
