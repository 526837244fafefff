//! Threads. Each takes whole sequences in turn and adds its gradient to the total in the order of the batch, so the
//! sum, and every byte that follows from it, is the same for any number of threads.

use crate::adapter::Adapter;
use crate::engine::decoder::{Decoder, Gradient, Workspace};
use crate::engine::model::Model;
use crate::random::Dropout;
use crate::sample::Sample;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// The work of one thread: one sequence's gradient at a time.
struct Lane {
    workspace: Workspace,
    gradient: Gradient,
}

/// Buffers for a fixed number of threads and the gradient they sum up.
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    total: Gradient,
}

/// Whose turn it is to add to the total.
struct Turn<'a> {
    next: usize,
    total: &'a mut Gradient,
}

/// Lets the others go on when a thread panics; the scope then passes the panic on.
struct PassOn<'a, 't>(&'a Condvar, &'a Mutex<Turn<'t>>);

impl Drop for PassOn<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.1.lock().unwrap_or_else(PoisonError::into_inner).next = usize::MAX;
            self.0.notify_all();
        }
    }
}

impl Lanes {
    /// `zero` is a gradient of the shape that is learned, all zero.
    pub(crate) fn new(threads: usize, zero: &Gradient) -> Self {
        let lane = || Lane { workspace: Workspace::default(), gradient: zero.clone() };
        Lanes { lanes: (0..threads.max(1)).map(|_| lane()).collect(), total: zero.clone() }
    }

    /// The summed loss of a batch in nats; [`Lanes::total`] becomes the gradient of `scale` times that sum.
    /// `dropout` gives the mask of the sequence at an index of the batch.
    pub(crate) fn gradient(
        &mut self,
        model: &Model,
        adapter: Option<&Adapter>,
        batch: &[&Sample],
        scale: f32,
        dropout: &(dyn Fn(usize) -> Option<Dropout> + Sync),
    ) -> f64 {
        clear(&mut self.total);
        let turn = Mutex::new(Turn { next: 0, total: &mut self.total });
        let changed = Condvar::new();
        each(&mut self.lanes, batch.len(), |lane, i| {
            let _pass_on = PassOn(&changed, &turn);
            clear(&mut lane.gradient);
            let decoder = Decoder { model, adapter, dropout: dropout(i) };
            let sample = batch[i];
            let loss = decoder.loss(
                &mut lane.workspace,
                sample.ids(),
                sample.learn(),
                scale,
                Some(&mut lane.gradient),
            );
            let mut turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            while turn.next < i {
                turn = changed.wait(turn).unwrap_or_else(PoisonError::into_inner);
            }
            for (total, part) in turn.total.tensors_mut().into_iter().zip(lane.gradient.tensors_mut()) {
                crate::engine::kernels::add(part, total);
            }
            turn.next = turn.next.saturating_add(1);
            changed.notify_all();
            loss
        })
    }

    /// The summed loss of samples, nothing learned.
    pub(crate) fn loss(&mut self, model: &Model, adapter: Option<&Adapter>, samples: &[Sample]) -> f64 {
        let decoder = Decoder { model, adapter, dropout: None };
        each(&mut self.lanes, samples.len(), |lane, i| {
            decoder.loss(&mut lane.workspace, samples[i].ids(), samples[i].learn(), 1.0, None)
        })
    }

    /// The gradient of the last batch.
    pub(crate) fn total(&mut self) -> &mut Gradient {
        &mut self.total
    }
}

/// Runs `work` for 0..count over the lanes, in turn, and sums the results in order.
fn each(lanes: &mut [Lane], count: usize, work: impl Fn(&mut Lane, usize) -> f64 + Sync) -> f64 {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(vec![0.0; count]);
    let run = |lane: &mut Lane| {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= count {
                return;
            }
            let result = work(lane, i);
            results.lock().unwrap_or_else(PoisonError::into_inner)[i] = result;
        }
    };
    match lanes {
        [lane] => run(lane),
        lanes => std::thread::scope(|scope| {
            for lane in lanes.iter_mut().take(count) {
                scope.spawn(|| run(lane));
            }
        }),
    }
    results.into_inner().unwrap_or_else(PoisonError::into_inner).iter().sum()
}

fn clear(gradient: &mut Gradient) {
    for tensor in gradient.tensors_mut() {
        tensor.fill(0.0);
    }
}
