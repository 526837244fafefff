//! The trainer's side: confined first, then one model, one data set, one training.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use licen_core::primitives::keccak256;
use licen_core::rows::MAX_ROW_BYTES;
use zeroize::{Zeroize, Zeroizing};

use super::wire::{self, Order, Report};
use crate::sandbox::{Confined, enter_trainer, settle_trainer};
use crate::serve::losses::{Blocks, coarsen};
use licen_train::folder::{self, CardFields};
use licen_train::{
    Control, Encoder, EpochReport, Error, Model, Observer, Split, StepReport, TokenCount, TrainingParams,
    jsonl,
};

/// Between two progress reports; every epoch and every loss is reported at once.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// Arguments of the hidden `licen-compute trainer`, which a node starts for itself.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The base model's folder, all that may be read
    #[arg(long)]
    base: PathBuf,
    /// Bytes of memory it may write
    #[arg(long)]
    memory: u64,
    /// Goes without a sandbox, for a node that was told to
    #[arg(long)]
    no_sandbox: bool,
}

/// Trains for the node at the other end of standard input and output.
#[must_use]
pub fn run(arguments: &Arguments) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let confined = match arguments.no_sandbox {
        true => settle_trainer(arguments.memory).map(|()| Confined::not_at_all()),
        false => enter_trainer(&arguments.base, arguments.memory),
    };
    let done = match confined {
        Ok(confined) => serve(confined, &arguments.base, arguments.memory),
        Err(error) => say(&Report::Refused { message: error.to_string() }).and(Err(io::Error::other(error))),
    };
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

/// An order with the bytes behind it.
enum Incoming {
    Order(Order),
    Rows(Zeroizing<Vec<u8>>, bool),
}

struct Loaded {
    model: Model,
    encoder: Encoder,
    params: TrainingParams,
}

fn say(report: &Report) -> io::Result<()> {
    wire::send(&mut io::stdout().lock(), report)
}

fn serve(confined: Confined, base: &Path, memory: u64) -> io::Result<()> {
    let (inbox, orders) = sync_channel(1);
    say(&Report::Ready { confined: confined.by_kernel() })?;
    std::thread::Builder::new().spawn(move || {
        let _ = listen(&inbox);
        // The node is gone or talks nonsense: what is held here is nobody's any more.
        std::process::exit(0);
    })?;
    let Some(loaded) = load(&orders, base, memory)? else { return Ok(()) };
    let Some(split) = open(&orders, &loaded)? else { return Ok(()) };
    train(&orders, base, &loaded, &split)
}

fn listen(inbox: &SyncSender<Incoming>) -> io::Result<()> {
    let mut source = io::stdin().lock();
    loop {
        let incoming = match wire::receive(&mut source)? {
            Order::Rows { bytes, count } => Incoming::Rows(wire::receive_bytes(&mut source, bytes)?, count),
            order @ (Order::Load { .. } | Order::Train { .. } | Order::Epoch { .. }) => {
                Incoming::Order(order)
            }
        };
        inbox.send(incoming).map_err(io::Error::other)?;
    }
}

fn next(orders: &Receiver<Incoming>) -> io::Result<Incoming> {
    orders.recv().map_err(io::Error::other)
}

fn out_of_turn() -> io::Error {
    io::Error::other("an order out of turn")
}

fn load(orders: &Receiver<Incoming>, base: &Path, memory: u64) -> io::Result<Option<Loaded>> {
    let Incoming::Order(Order::Load { settings, threads }) = next(orders)? else { return Err(out_of_turn()) };
    let read = || {
        let mut params = TrainingParams::parse(&settings)?;
        params.threads = Some(threads);
        let model = Model::load_within(base, &params, memory)?;
        let encoder = Encoder::load(base)?;
        let path = base.join("tokenizer.json");
        let tokenizer = std::fs::read(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let trainable = params.lora().trainable_parameters(model.config());
        Ok::<_, Error>((Loaded { model, encoder, params }, trainable, keccak256(tokenizer)))
    };
    match read() {
        Ok((loaded, trainable, tokenizer_hash)) => {
            say(&Report::Loaded { trainable, tokenizer_hash })?;
            Ok(Some(loaded))
        }
        Err(error) => {
            say(&Report::Refused { message: format!("{error} [{}]", error.code()) })?;
            Ok(None)
        }
    }
}

/// From here on there are rows, and the engine's own words may quote them: only its code is told.
fn failed(error: &Error) -> io::Result<()> {
    say(&Report::Failed { code: error.code().to_owned() })
}

fn open(orders: &Receiver<Incoming>, loaded: &Loaded) -> io::Result<Option<Split>> {
    let Incoming::Rows(text, count) = next(orders)? else { return Err(out_of_turn()) };
    let read = || {
        let rows = jsonl::parse(&text, MAX_ROW_BYTES)?;
        let tokens = if count { Some(loaded.encoder.count(&rows)?.tokens) } else { None };
        let params = &loaded.params;
        let encoded = loaded.encoder.encode(&rows, params.max_seq_length)?;
        let without_target = encoded.iter().filter(|sample| sample.tokens_trained() == 0).count() as u64;
        let split = Split::new(encoded, params.eval_fraction, params.seed);
        let epoch = TokenCount::of(&split.train);
        let per_epoch = (epoch.tokens, epoch.tokens_trained);
        Ok::<_, Error>((split, Report::Opened { tokens, per_epoch, without_target }))
    };
    match read() {
        Ok((split, opened)) => {
            say(&opened)?;
            Ok(Some(split))
        }
        Err(error) => failed(&error).map(|()| None),
    }
}

fn train(orders: &Receiver<Incoming>, base: &Path, loaded: &Loaded, split: &Split) -> io::Result<()> {
    let Incoming::Order(Order::Train { card }) = next(orders)? else { return Err(out_of_turn()) };
    match result(orders, base, loaded, split, &card) {
        Ok((metering, mut files)) => {
            let names = files.iter().map(|(name, bytes)| (name.clone(), bytes.len() as u64)).collect();
            say(&Report::Trained { metering, files: names })?;
            let mut out = io::stdout().lock();
            for (_, bytes) in &mut files {
                out.write_all(bytes)?;
                bytes.zeroize();
            }
            out.flush()
        }
        Err(error) => failed(&error),
    }
}

type Files = Vec<(String, Vec<u8>)>;

fn result(
    orders: &Receiver<Incoming>,
    base: &Path,
    loaded: &Loaded,
    split: &Split,
    card: &CardFields,
) -> licen_train::Result<(licen_train::Metering, Files)> {
    let params = &loaded.params;
    let (rows, held_out) = (split.train.len() as u64, split.held_out.len() as u64);
    let step_rows = params.rows_per_step() as u64;
    let blocks = Blocks::new(rows, step_rows);
    let mut watch = Watch { orders, epochs: params.num_train_epochs, epochs_done: 0, last: None, blocks };
    let mut outcome = licen_train::train(&loaded.model, split, params, None, &mut watch)?;
    coarsen(&mut outcome, (rows, held_out), step_rows);
    let files = folder::files(base, &outcome, params, card)?;
    Ok((outcome.metering, files))
}

struct Watch<'a> {
    orders: &'a Receiver<Incoming>,
    epochs: u32,
    epochs_done: u32,
    last: Option<Instant>,
    blocks: Blocks,
}

impl Watch<'_> {
    fn tell(&self, epoch: u32, step: u64, loss: Option<f64>) {
        // A node that no longer listens has closed the other pipe too, which ends this process.
        let _ = say(&Report::Progress { epoch, epochs_done: self.epochs_done, step, loss });
    }
}

impl Observer for Watch<'_> {
    fn step(&mut self, report: &StepReport) -> Control {
        let mean = self.blocks.step(report.loss);
        if mean.is_some() || self.last.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
            self.last = Some(Instant::now());
            self.tell(report.epoch, report.step, mean);
        }
        Control::Continue
    }

    fn epoch(&mut self, report: &EpochReport) -> Control {
        self.epochs_done = report.epoch;
        self.tell(report.epoch, report.step, None);
        if self.epochs_done == self.epochs {
            return Control::Continue;
        }
        match next(self.orders) {
            Ok(Incoming::Order(Order::Epoch { another: true })) => Control::Continue,
            _ => Control::Stop,
        }
    }
}
