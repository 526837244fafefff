//! The engine of this machine's processors: f32, sequences dealt to threads.

use super::decoder::Gradient;
use super::lanes::Lanes;
use super::model::Model;
use super::optimizer::{AdamW, clip};
use super::{Batch, Engine, Rules, Step};
use crate::adapter::Adapter;
use crate::error::Result;
use crate::random::Dropout;
use crate::sample::Sample;

/// One run on processors.
pub struct Cpu<'m> {
    model: &'m Model,
    adapter: Adapter,
    rules: Rules,
    lanes: Lanes,
    optimizer: AdamW,
}

impl<'m> Engine for Cpu<'m> {
    type Base = &'m Model;

    fn open(model: &'m Model, start: Adapter, rules: Rules) -> Result<Self> {
        let zero = Gradient::Adapter(Adapter::zeros(start.config.clone(), model.config()));
        let (lanes, optimizer) = (Lanes::new(rules.threads, &zero), AdamW::new(rules.adam));
        Ok(Self { model, adapter: start, rules, lanes, optimizer })
    }

    fn step(&mut self, batch: Batch<'_>) -> Result<Step> {
        let (p, seed) = (self.adapter.config.dropout, self.rules.seed);
        let dropout = |i: usize| Dropout::new(p, seed, batch.first_visit + i as u64);
        let scale = 1.0 / batch.learned.max(1) as f32;
        let loss = self.lanes.gradient(self.model, Some(&self.adapter), batch.rows, scale, &dropout);
        if !loss.is_finite() {
            return Ok(Step { loss, norm: f64::NAN });
        }
        let norm = clip(self.lanes.total().tensors_mut(), self.rules.max_grad_norm);
        // Without anything to learn, AdamW would still move the weights by its momentum.
        if batch.learned > 0 {
            self.optimizer.step(batch.rate, self.adapter.tensors_mut(), self.lanes.total().tensors_mut());
        }
        Ok(Step { loss, norm })
    }

    fn judge(&mut self, rows: &[Sample]) -> Result<f64> {
        Ok(self.lanes.loss(self.model, Some(&self.adapter), rows))
    }

    fn adapter(self) -> Result<Adapter> {
        Ok(self.adapter)
    }
}
