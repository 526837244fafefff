//! The training loop: epochs over seeded permutations, metering, held-out loss, early stopping, a request to stop.

use crate::adapter::Adapter;
use crate::config::ModelConfig;
use crate::engine::{Batch, Cpu, Engine, Model, Rules};
use crate::error::{Error, Result};
use crate::params::{EarlyStopping, TrainingParams, threads};
use crate::random::Rng;
use crate::sample::{Sample, Split};
use crate::schedule::Schedule;
use serde::{Deserialize, Serialize};

/// What an observer wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    Continue,
    /// End the run after the current epoch, which is finished, counted and paid.
    Stop,
}

/// One optimizer step. `step` and `epoch` count from 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    pub step: u64,
    pub epoch: u32,
    /// Mean loss in nats over the step's learned tokens.
    pub loss: f64,
    /// Text tokens of the step's rows.
    pub tokens: u64,
    /// Processor seconds of the whole process count, all threads together.
    pub tokens_per_cpu_second: f64,
    #[serde(skip)]
    pub learning_rate: f64,
    /// Norm of the gradient before clipping.
    #[serde(skip)]
    pub grad_norm: f64,
}

/// One finished epoch.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EpochReport {
    pub epoch: u32,
    pub step: u64,
    /// Mean loss in nats over the learned tokens of the epoch, as training met them.
    pub train_loss: f64,
    /// Mean loss in nats over the learned tokens of the held-out rows; `None` without such rows.
    pub held_out_loss: Option<f64>,
}

/// Follows a run and may end it.
pub trait Observer {
    /// After each step.
    fn step(&mut self, _report: &StepReport) -> Control {
        Control::Continue
    }

    /// After each epoch.
    fn epoch(&mut self, _report: &EpochReport) -> Control {
        Control::Continue
    }
}

/// An observer that only watches the run end.
impl Observer for () {}

/// What a run used and reached: the numbers that a ResultManifest signs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metering {
    /// Visits of training rows.
    pub samples: u64,
    /// Text tokens of the rows visited. There is no padding, so none is counted.
    pub tokens_seen: u64,
    /// Learned tokens of the rows visited.
    pub tokens_trained: u64,
    /// Epochs in which every training row was visited exactly once.
    pub epochs: u32,
    /// Mean held-out loss in nats before and after training.
    pub eval_before: Option<f64>,
    pub eval_after: Option<f64>,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Ended {
    /// Every epoch ran.
    Epochs,
    /// `max_steps` was reached.
    MaxSteps,
    /// Held-out loss stopped falling.
    EarlyStopping,
    /// The observer asked.
    Stopped,
}

/// A finished run.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub adapter: Adapter,
    pub metering: Metering,
    pub ended: Ended,
    pub steps: Vec<StepReport>,
    pub epochs: Vec<EpochReport>,
}

/// Trains an adapter on rows.
///
/// Each epoch visits every row of `data.train` once, in an order made from `params.seed` and the epoch's number. The
/// same model, rows, settings and initial adapter give the same bytes, whatever the number of threads.
///
/// # Errors
/// [`Error::TokenOutOfRange`], [`Error::NothingToTrain`], [`Error::Adapter`] when `initial` contradicts the settings,
/// [`Error::Diverged`].
pub fn train(
    model: &Model,
    data: &Split,
    params: &TrainingParams,
    initial: Option<Adapter>,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    train_on::<Cpu<'_>>(model, model.config(), data, params, initial, observer)
}

/// The same on any engine. `base` is the base model as that engine takes it, `config` its shapes.
///
/// # Errors
/// As [`train`], and what the engine fails with.
pub fn train_on<E: Engine>(
    base: E::Base,
    config: &ModelConfig,
    data: &Split,
    params: &TrainingParams,
    initial: Option<Adapter>,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    data.check(config.vocabulary)?;
    let planned = params.planned_steps(data.train.len() as u64);
    let mut run = Run::<E>::new(base, config, params, initial, planned)?;
    let judge = |run: &mut Run<E>| run.held_out_loss(&data.held_out);
    run.metering.eval_before = judge(&mut run)?;
    let mut early = params.early_stopping.map(Patience::new);
    let mut ended = Ended::Epochs;
    'epochs: for epoch in 1..=params.num_train_epochs {
        let order = Rng::new(params.seed, &format!("epoch {epoch}")).permutation(data.train.len());
        let mut asked = Control::Continue;
        for rows in order.chunks(params.rows_per_step()) {
            if run.step == planned {
                ended = Ended::MaxSteps;
                break 'epochs;
            }
            let batch: Vec<&Sample> = rows.iter().map(|&i| &data.train[i]).collect();
            let report = run.step(epoch, &batch)?;
            asked = stronger(asked, observer.step(&report));
            run.steps.push(report);
        }
        run.metering.epochs = epoch;
        let report = run.finish_epoch(epoch, judge)?;
        asked = stronger(asked, observer.epoch(&report));
        run.epochs.push(report.clone());
        if asked == Control::Stop {
            ended = Ended::Stopped;
            break;
        }
        if let (Some(early), Some(loss)) = (&mut early, report.held_out_loss)
            && early.is_over(loss)
        {
            ended = Ended::EarlyStopping;
            break;
        }
    }
    if ended == Ended::MaxSteps {
        run.metering.eval_after = judge(&mut run)?;
    }
    run.outcome(ended)
}

/// Trains an adapter on given batches, once, in order: one step per batch, one epoch in all.
///
/// # Errors
/// As [`train`].
pub fn train_batches(
    model: &Model,
    batches: &[Vec<Sample>],
    params: &TrainingParams,
    initial: Option<Adapter>,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let all = Split { train: batches.concat(), held_out: Vec::new() };
    all.check(model.config().vocabulary)?;
    let planned = params.max_steps.unwrap_or(u64::MAX).min(batches.len() as u64);
    let mut run = Run::<Cpu<'_>>::new(model, model.config(), params, initial, planned)?;
    for batch in &batches[..planned as usize] {
        let report = run.step(1, &batch.iter().collect::<Vec<_>>())?;
        let asked = observer.step(&report);
        run.steps.push(report);
        if asked == Control::Stop {
            return run.outcome(Ended::Stopped);
        }
    }
    if planned < batches.len() as u64 {
        return run.outcome(Ended::MaxSteps);
    }
    run.metering.epochs = 1;
    let report = run.finish_epoch(1, |_| Ok(None))?;
    observer.epoch(&report);
    run.epochs.push(report);
    run.outcome(Ended::Epochs)
}

fn stronger(a: Control, b: Control) -> Control {
    if a == Control::Stop { a } else { b }
}

/// Hugging Face's EarlyStoppingCallback on falling loss.
struct Patience {
    rule: EarlyStopping,
    best: Option<f64>,
    without: u32,
}

impl Patience {
    fn new(rule: EarlyStopping) -> Self {
        Patience { rule, best: None, without: 0 }
    }

    fn is_over(&mut self, loss: f64) -> bool {
        let improved = self.best.is_none_or(|best| loss < best && best - loss > self.rule.threshold);
        self.without = if improved { 0 } else { self.without + 1 };
        self.best = Some(self.best.map_or(loss, |best| best.min(loss)));
        self.without >= self.rule.patience
    }
}

/// A run as it is counted; the arithmetic is the engine's.
struct Run<E> {
    engine: E,
    schedule: Schedule,
    step: u64,
    epoch_loss: f64,
    epoch_trained: u64,
    metering: Metering,
    steps: Vec<StepReport>,
    epochs: Vec<EpochReport>,
}

impl<E: Engine> Run<E> {
    fn new(
        base: E::Base,
        config: &ModelConfig,
        params: &TrainingParams,
        initial: Option<Adapter>,
        planned: u64,
    ) -> Result<Self> {
        let start = match initial {
            Some(mut adapter) => {
                params.agrees_with(&adapter.config)?;
                adapter.config.dropout = params.lora_dropout;
                adapter
            }
            None => Adapter::new(params.lora(), config, params.seed),
        };
        let rules = Rules {
            adam: params.adam,
            max_grad_norm: params.max_grad_norm,
            seed: params.seed,
            threads: threads(params.threads),
        };
        Ok(Run {
            engine: E::open(base, start, rules)?,
            schedule: Schedule::new(params.lr_scheduler_type, params.learning_rate, params.warmup, planned),
            step: 0,
            epoch_loss: 0.0,
            epoch_trained: 0,
            metering: Metering::default(),
            steps: Vec::new(),
            epochs: Vec::new(),
        })
    }

    fn step(&mut self, epoch: u32, rows: &[&Sample]) -> Result<StepReport> {
        let started = cpu_seconds();
        let tokens: u64 = rows.iter().map(|s| s.tokens_seen()).sum();
        let learned: u64 = rows.iter().map(|s| s.tokens_trained()).sum();
        let rate = self.schedule.rate(self.step);
        let done = self.engine.step(Batch { rows, first_visit: self.metering.samples, learned, rate })?;
        self.step += 1;
        if !done.loss.is_finite() {
            return Err(Error::Diverged { step: self.step as usize });
        }
        self.metering.samples += rows.len() as u64;
        self.metering.tokens_seen += tokens;
        self.metering.tokens_trained += learned;
        self.epoch_loss += done.loss;
        self.epoch_trained += learned;
        Ok(StepReport {
            step: self.step,
            epoch,
            loss: done.loss / learned.max(1) as f64,
            tokens,
            tokens_per_cpu_second: tokens as f64 / (cpu_seconds() - started).max(1e-9),
            learning_rate: rate,
            grad_norm: done.norm,
        })
    }

    fn finish_epoch(
        &mut self,
        epoch: u32,
        judge: impl Fn(&mut Self) -> Result<Option<f64>>,
    ) -> Result<EpochReport> {
        let train_loss = self.epoch_loss / self.epoch_trained.max(1) as f64;
        (self.epoch_loss, self.epoch_trained) = (0.0, 0);
        let held_out_loss = judge(self)?;
        self.metering.eval_after = held_out_loss;
        Ok(EpochReport { epoch, step: self.step, train_loss, held_out_loss })
    }

    fn held_out_loss(&mut self, samples: &[Sample]) -> Result<Option<f64>> {
        let learned: u64 = samples.iter().map(Sample::tokens_trained).sum();
        if learned == 0 {
            return Ok(None);
        }
        Ok(Some(self.engine.judge(samples)? / learned as f64))
    }

    fn outcome(self, ended: Ended) -> Result<Outcome> {
        Ok(Outcome {
            adapter: self.engine.adapter()?,
            metering: self.metering,
            ended,
            steps: self.steps,
            epochs: self.epochs,
        })
    }
}

/// Processor seconds used by this process, all threads together.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
