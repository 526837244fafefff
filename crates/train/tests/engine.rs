//! The cut between trainer and engine: another engine is given the same batches in the same order, and what is counted
//! does not depend on which engine did the arithmetic.

use licen_train::engine::{Batch, Engine, Rules, Step};
use licen_train::{
    Adapter, Encoder, Ended, Error, Model, Result, Sample, Split, TrainingParams, jsonl, train, train_on,
};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny");
const VIALS: &[u8] = include_bytes!("../data/vials.jsonl");
const SETTINGS: &str = r#"{"num_train_epochs":2,"per_device_train_batch_size":2,"gradient_accumulation_steps":2,
    "warmup_steps":1,"max_grad_norm":0.5,"seed":7,"threads":1,"lora_r":2,"eval_fraction":0.2}"#;

/// What an engine was asked, in order.
#[derive(Debug, Clone, PartialEq)]
enum Asked {
    Open(Rules),
    Step { rows: Vec<Vec<u32>>, first_visit: u64, learned: u64, rate: f64 },
    Judge(usize),
    Adapter,
}

/// An engine elsewhere: it learns nothing and notes what it is asked.
struct Elsewhere {
    asked: Rc<RefCell<Vec<Asked>>>,
    adapter: Adapter,
    /// The step that diverges.
    breaks_at: Option<usize>,
}

impl Engine for Elsewhere {
    type Base = (Rc<RefCell<Vec<Asked>>>, Option<usize>);

    fn open((asked, breaks_at): Self::Base, start: Adapter, rules: Rules) -> Result<Self> {
        asked.borrow_mut().push(Asked::Open(rules));
        Ok(Self { asked, adapter: start, breaks_at })
    }

    fn step(&mut self, batch: Batch<'_>) -> Result<Step> {
        let rows = batch.rows.iter().map(|row| row.ids().to_vec()).collect();
        let Batch { first_visit, learned, rate, .. } = batch;
        self.asked.borrow_mut().push(Asked::Step { rows, first_visit, learned, rate });
        let steps = self.asked.borrow().iter().filter(|a| matches!(a, Asked::Step { .. })).count();
        let loss = if Some(steps) == self.breaks_at { f64::NAN } else { 2.0 * learned as f64 };
        Ok(Step { loss, norm: 1.0 })
    }

    fn judge(&mut self, rows: &[Sample]) -> Result<f64> {
        self.asked.borrow_mut().push(Asked::Judge(rows.len()));
        Ok(3.0 * rows.iter().map(Sample::tokens_trained).sum::<u64>() as f64)
    }

    fn adapter(self) -> Result<Adapter> {
        self.asked.borrow_mut().push(Asked::Adapter);
        Ok(self.adapter)
    }
}

fn world() -> (Model, Split, TrainingParams) {
    let params = TrainingParams::parse(SETTINGS).unwrap();
    let rows = jsonl::parse(VIALS, 10_000).unwrap();
    let samples = Encoder::load(Path::new(TINY)).unwrap().encode(&rows[..10], 128).unwrap();
    let split = Split::new(samples, params.eval_fraction, params.seed);
    (Model::load(Path::new(TINY)).unwrap(), split, params)
}

#[test]
fn what_is_counted_does_not_depend_on_the_engine() {
    let (model, split, params) = world();
    let asked = Rc::default();
    let base = (Rc::clone(&asked), None);
    let there = train_on::<Elsewhere>(base, model.config(), &split, &params, None, &mut ()).unwrap();
    let here = train(&model, &split, &params, None, &mut ()).unwrap();
    let counts = |m: &licen_train::Metering| (m.samples, m.tokens_seen, m.tokens_trained, m.epochs);
    assert_eq!(counts(&there.metering), counts(&here.metering));
    assert_eq!((there.ended, here.ended), (Ended::Epochs, Ended::Epochs));
    let rates = |o: &licen_train::Outcome| o.steps.iter().map(|s| s.learning_rate).collect::<Vec<_>>();
    assert_eq!(rates(&there), rates(&here));
    assert!(there.steps.iter().all(|step| step.loss == 2.0 && step.grad_norm == 1.0));
    assert_eq!((there.metering.eval_before, there.metering.eval_after), (Some(3.0), Some(3.0)));

    let asked = asked.borrow();
    assert!(
        matches!(asked.first(), Some(Asked::Open(rules)) if rules.max_grad_norm == 0.5 && rules.seed == 7)
    );
    assert_eq!((asked.get(1), asked.last()), (Some(&Asked::Judge(2)), Some(&Asked::Adapter)));
    let mut visits = 0;
    for step in asked.iter() {
        let Asked::Step { rows, first_visit, .. } = step else { continue };
        assert_eq!(*first_visit, visits, "dropout's masks are made from visits");
        visits += rows.len() as u64;
    }
    assert_eq!(visits, 16, "two epochs over the eight rows that are not held out");
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_at_its_step() {
    let (model, split, params) = world();
    let asked = Rc::default();
    let base = (Rc::clone(&asked), Some(3));
    let ended = train_on::<Elsewhere>(base, model.config(), &split, &params, None, &mut ());
    assert!(matches!(ended, Err(Error::Diverged { step: 3 })), "{ended:?}");
    assert!(!asked.borrow().contains(&Asked::Adapter), "no adapter of a run that diverged");
}
