//! Runs on the tiny model: the same bytes on any number of threads, metering, stopping.

use licen_train::{
    Control, Encoder, Ended, EpochReport, Error, Model, Observer, Outcome, Sample, Split, StepReport,
    TrainingParams, jsonl, train, train_batches,
};
use std::path::Path;

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny");
const VIALS: &[u8] = include_bytes!("../data/vials.jsonl");

fn data(rows: usize, fraction: f64) -> (Model, Split) {
    let base = Path::new(TINY);
    let rows = &jsonl::parse(VIALS, jsonl::ROW_BYTES_MAX).unwrap()[..rows];
    let samples = Encoder::load(base).unwrap().encode(rows, 512).unwrap();
    (Model::load(base).unwrap(), Split::new(samples, fraction, 42))
}

fn params(json: &str) -> TrainingParams {
    TrainingParams::parse(json).unwrap()
}

fn bytes(outcome: &Outcome) -> Vec<u8> {
    outcome.adapter.to_safetensors().unwrap()
}

#[test]
fn threads_do_not_change_a_byte() {
    let (model, split) = data(10, 0.2);
    let run = |threads: usize, dropout: f64, seed: u64| {
        let json = format!(
            r#"{{"num_epochs":2,"batch_size":3,"gradient_accumulation_steps":1,"warmup_steps":2,"learning_rate":2e-3,
            "dropout":{dropout},"threads":{threads},"seed":{seed}}}"#
        );
        train(&model, &split, &params(&json), None, &mut ()).unwrap()
    };
    for dropout in [0.0, 0.2] {
        let one = run(1, dropout, 7);
        for threads in [1, 2, 4] {
            let other = run(threads, dropout, 7);
            assert_eq!(bytes(&one), bytes(&other));
            assert_eq!(one.metering, other.metering);
            let losses = |o: &Outcome| o.steps.iter().map(|s| s.loss.to_bits()).collect::<Vec<_>>();
            assert_eq!(losses(&one), losses(&other));
        }
        assert_ne!(bytes(&one), bytes(&run(1, dropout, 8)));
    }
}

#[test]
fn metering_counts_each_row_once_an_epoch() {
    let (model, split) = data(11, 0.1);
    let outcome =
        train(&model, &split, &params(r#"{"num_epochs":2,"batch_size":4}"#), None, &mut ()).unwrap();
    let once = |count: fn(&Sample) -> u64| split.train.iter().map(count).sum::<u64>();
    let metering = &outcome.metering;
    assert_eq!((metering.samples, metering.epochs), (20, 2));
    assert_eq!(metering.tokens_seen, 2 * once(Sample::tokens_seen));
    assert_eq!(metering.tokens_trained, 2 * once(Sample::tokens_trained));
    assert_eq!(outcome.steps.iter().map(|s| s.tokens).sum::<u64>(), metering.tokens_seen);
    assert_eq!(outcome.steps.len(), 2);
    assert!(metering.eval_before.unwrap() > metering.eval_after.unwrap() - 0.1);
    assert_eq!(outcome.ended, Ended::Epochs);
}

#[test]
fn max_steps_ends_sooner_and_counts_whole_epochs_only() {
    let (model, split) = data(12, 0.0);
    let json = r#"{"num_epochs":3,"batch_size":4,"gradient_accumulation_steps":1,"max_steps":4}"#;
    let outcome = train(&model, &split, &params(json), None, &mut ()).unwrap();
    assert_eq!((outcome.ended, outcome.steps.len()), (Ended::MaxSteps, 4));
    assert_eq!((outcome.metering.epochs, outcome.metering.samples), (1, 16));
    assert_eq!(outcome.metering.eval_before, None);
}

#[test]
fn early_stopping_is_judged_on_held_out_loss() {
    let (model, split) = data(12, 0.25);
    // With a rate of 0 nothing improves: the first epoch sets the mark, two more exhaust the patience.
    let json =
        r#"{"num_epochs":9,"learning_rate":0,"early_stopping_patience":2,"early_stopping_threshold":0.001}"#;
    let outcome = train(&model, &split, &params(json), None, &mut ()).unwrap();
    assert_eq!((outcome.ended, outcome.metering.epochs), (Ended::EarlyStopping, 3));
    let json = r#"{"num_epochs":4,"learning_rate":5e-3,"warmup_steps":0,"batch_size":2,
        "gradient_accumulation_steps":1,"early_stopping_patience":2,"dropout":0}"#;
    let outcome = train(&model, &split, &params(json), None, &mut ()).unwrap();
    assert_eq!((outcome.ended, outcome.metering.epochs), (Ended::Epochs, 4));
}

struct StopAt {
    step: u64,
    epochs: Vec<u32>,
}

impl Observer for StopAt {
    fn step(&mut self, report: &StepReport) -> Control {
        if report.step == self.step { Control::Stop } else { Control::Continue }
    }

    fn epoch(&mut self, report: &EpochReport) -> Control {
        self.epochs.push(report.epoch);
        Control::Continue
    }
}

#[test]
fn a_stop_ends_after_the_current_epoch() {
    let (model, split) = data(12, 0.0);
    let json = r#"{"num_epochs":5,"batch_size":4,"gradient_accumulation_steps":1}"#;
    let mut observer = StopAt { step: 4, epochs: Vec::new() };
    let outcome = train(&model, &split, &params(json), None, &mut observer).unwrap();
    assert_eq!((outcome.ended, outcome.metering.epochs), (Ended::Stopped, 2));
    assert_eq!((outcome.steps.len(), observer.epochs), (6, vec![1, 2]));
}

#[test]
fn batches_run_once_in_order() {
    let (model, split) = data(6, 0.0);
    let batches: Vec<Vec<Sample>> = split.train.chunks(2).map(<[Sample]>::to_vec).collect();
    let outcome = train_batches(&model, &batches, &params("{}"), None, &mut ()).unwrap();
    assert_eq!((outcome.steps.len(), outcome.metering.epochs, outcome.metering.samples), (3, 1, 6));
    let stopped = train_batches(&model, &batches, &params(r#"{"max_steps":2}"#), None, &mut ()).unwrap();
    assert_eq!((stopped.ended, stopped.metering.epochs), (Ended::MaxSteps, 0));
}

#[test]
fn what_cannot_be_trained_on_is_refused() {
    let (model, _) = data(1, 0.0);
    let run = |samples: Vec<Sample>| {
        train(&model, &Split::new(samples, 0.0, 1), &params("{}"), None, &mut ()).unwrap_err()
    };
    assert!(matches!(
        run(vec![Sample::all(vec![5, 258])]),
        Error::TokenOutOfRange { id: 258, vocabulary: 258 }
    ));
    assert!(matches!(run(vec![Sample::all(vec![5])]), Error::NothingToTrain));
    assert!(matches!(run(vec![]), Error::NothingToTrain));
    let settings =
        params(r#"{"learning_rate":10,"lr_scheduler_type":"constant","max_grad_norm":0,"num_epochs":9}"#);
    let rows = vec![Sample::all((10..90).collect()); 4];
    match train(&model, &Split::new(rows, 0.0, 1), &settings, None, &mut ()) {
        Ok(outcome) => assert!(outcome.steps.iter().all(|s| s.loss.is_finite())),
        Err(error) => assert!(matches!(error, Error::Diverged { .. }), "{error}"),
    }
}
