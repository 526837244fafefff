//! `licen-compute train`.

use super::files::{line, read};
use crate::folder::{self, CardFields};
use crate::jsonl;
use crate::{
    Adapter, Control, Encoder, EpochReport, Error, Model, Observer, Outcome, Result, Split, StepReport,
    TrainingParams, read_batches, train, train_batches,
};
use std::path::PathBuf;

/// Shown below the options.
pub(crate) const HELP: &str = r#"Examples:
  licen-compute train --base models/tiny --data vials.jsonl --config train.json --out adapter
  licen-compute train --base base --tokens tokens.safetensors --config train.json --init-adapter start --out adapter

train.json is one object of 0G's trainingParams, for example {"num_train_epochs": 3, "learning_rate": 1e-3}:
  num_train_epochs (num_epochs) 3            per_device_train_batch_size (batch_size) 4
  gradient_accumulation_steps 4              learning_rate 2e-4
  max_steps -1                               warmup_steps 10, or warmup_ratio
  lr_scheduler_type cosine                   linear, constant, constant_with_warmup
  max_seq_length (max_length) 512            logging_steps 10
  lora_r (r) 8                               lora_alpha (alpha) 32
  lora_dropout (dropout) 0.1                 use_rslora false
  target_modules all seven                   a list of names, or "all-linear"
  max_grad_norm 1.0                          0 leaves gradients as they are
  weight_decay 0                             adam_beta1 0.9, adam_beta2 0.999, adam_epsilon 1e-8
  eval_fraction (evalFraction) 0.1           rows held out to judge by
  early_stopping_patience                    early_stopping_threshold 0, on held-out loss
  seed 42                                    threads: one per processor; the result does not depend on it
  fp16, bf16, save_steps, save_total_limit   accepted without effect: f32 always, no checkpoints
  use_4bit, use_8bit, neftune_noise_alpha    refused when on

Rows are {"text"}, {"messages"}, {"prompt","completion"} or {"instruction","input","output"}, one JSON object per line.
Standard output has one line per step: {"step":1,"epoch":1,"loss":2.31,"tokens":2048,"tokensPerCpuSecond":1234.5}
Exit status: 0 done, 1 the data is refused, 2 usage or environment."#;

#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["data", "tokens"])))]
pub struct Arguments {
    /// Base model: a Hugging Face folder
    #[arg(long, value_name = "DIR")]
    base: PathBuf,
    /// Rows to train on, JSON Lines
    #[arg(long, value_name = "FILE.jsonl")]
    data: Option<PathBuf>,
    /// Token ids instead of rows: safetensors, `tokens` int64 [steps, batch, seq], run once in order
    #[arg(long, value_name = "FILE.safetensors")]
    tokens: Option<PathBuf>,
    /// Training settings: one JSON object of 0G's names
    #[arg(long, value_name = "train.json")]
    config: PathBuf,
    /// Where the PEFT folder goes; must not exist or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Adapter to start from: a PEFT folder
    #[arg(long, value_name = "DIR")]
    init_adapter: Option<PathBuf>,
    /// The longest row accepted
    #[arg(long, value_name = "BYTES", default_value_t = jsonl::ROW_BYTES_MAX)]
    max_row_bytes: usize,
}

/// Prints steps to standard output and epochs to standard error.
struct Printer;

impl Observer for Printer {
    fn step(&mut self, report: &StepReport) -> Control {
        line(&step_line(report));
        Control::Continue
    }

    fn epoch(&mut self, report: &EpochReport) -> Control {
        let held_out = report.held_out_loss.map(|l| format!(", held-out {l:.4}")).unwrap_or_default();
        eprintln!("Epoch {}: loss {:.4}{held_out}", report.epoch, report.train_loss);
        Control::Continue
    }
}

fn step_line(report: &StepReport) -> String {
    let mut report = report.clone();
    report.tokens_per_cpu_second = (report.tokens_per_cpu_second * 10.0).round() / 10.0;
    serde_json::to_string(&report).expect("a report is plain numbers")
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let settings = String::from_utf8(read(&arguments.config)?)
        .map_err(|_| Error::ParamsMalformed("it is not UTF-8".to_owned()))?;
    let params = TrainingParams::parse(&settings)?;
    folder::check_free(&arguments.out)?;
    let data = match &arguments.data {
        Some(path) => Some(jsonl::parse(&read(path)?, arguments.max_row_bytes)?),
        None => None,
    };
    let model = Model::load(&arguments.base)?;
    let initial = match &arguments.init_adapter {
        Some(dir) => Some(Adapter::load(dir, model.config())?),
        None => None,
    };
    let outcome = match (data, &arguments.tokens) {
        (Some(rows), _) => {
            let most = params.max_seq_length.min(model.config().max_positions);
            let samples = Encoder::load(&arguments.base)?.encode(&rows, most)?;
            let split = Split::new(samples, params.eval_fraction, params.seed);
            train(&model, &split, &params, initial, &mut Printer)?
        }
        (None, Some(path)) => train_batches(&model, &read_batches(path)?, &params, initial, &mut Printer)?,
        (None, None) => return Err(Error::Usage("one of --data and --tokens is needed".to_owned())),
    };
    folder::write(&arguments.out, &arguments.base, &outcome, &params, &CardFields::default())?;
    summary(&outcome, &arguments.out);
    Ok(())
}

fn summary(outcome: &Outcome, out: &std::path::Path) {
    let metering = &outcome.metering;
    let held_out = match (metering.eval_before, metering.eval_after) {
        (Some(before), Some(after)) => format!(", held-out loss {before:.4} -> {after:.4}"),
        _ => String::new(),
    };
    let (epochs, tokens) = (metering.epochs, metering.tokens_trained);
    eprintln!("Trained {epochs} epochs, {tokens} text tokens learned{held_out}");
    eprintln!("Wrote {}", out.display());
}
