//! One sequence through the decoder and back: the loss, and the gradient of an adapter or of every weight.
//!
//! Written by hand for one architecture family: own buffers, no tape. The forward pass keeps, per layer, what the
//! backward pass needs ([`Kept`]); attention probabilities and dropout masks are made again instead. Logits exist
//! only at positions whose next token is a target, a block of rows at a time. Below the lowest layer that learns,
//! no gradient is computed.

mod backward;

use crate::adapter::{Adapter, Lora, Target};
use crate::engine::attention::{self, Scratch};
use crate::engine::kernels;
use crate::engine::linalg::{Into, Mat, MatMut, matmul};
use crate::engine::model::Model;
use crate::error::{Error, Result};
use crate::random::Dropout;

/// Rows of logits computed at once.
const LOGIT_ROWS: usize = 128;

/// What the backward pass needs of one layer, each [t, width].
#[derive(Debug, Default)]
struct Kept {
    input: Vec<f32>,
    input_inverse: Vec<f32>,
    normed: Vec<f32>,
    /// Queries and keys before their norm (Qwen3 only).
    unnormed: Vec<f32>,
    head_inverse: Vec<f32>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    log_sum: Vec<f32>,
    middle: Vec<f32>,
    middle_inverse: Vec<f32>,
    mlp_normed: Vec<f32>,
    gate_up: Vec<f32>,
    /// A x of each target, [t, rank].
    low: [Vec<f32>; 7],
}

/// Buffers of one thread, grown to the longest sequence seen and used again.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    layers: Vec<Kept>,
    output: Vec<f32>,
    rows: Vec<f32>,
    normed: Vec<f32>,
    inverse: Vec<f32>,
    logits: Vec<f32>,
    d_normed: Vec<f32>,
    d_rows: Vec<f32>,
    d_stream: Vec<f32>,
    d_attended: Vec<f32>,
    d_qkv: Vec<f32>,
    d_gate_up: Vec<f32>,
    d_act: Vec<f32>,
    act: Vec<f32>,
    dropped: Vec<f32>,
    d_low: Vec<f32>,
    d_b: Vec<f32>,
    d_dropped: Vec<f32>,
    attention: Scratch,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

/// What is learned: its gradient has the same shape.
#[derive(Debug, Clone)]
pub(crate) enum Gradient {
    Adapter(Adapter),
    Model(Model),
}

impl Gradient {
    pub(crate) fn tensors_mut(&mut self) -> Vec<&mut [f32]> {
        match self {
            Gradient::Adapter(adapter) => adapter.tensors_mut(),
            Gradient::Model(model) => model.tensors_mut(),
        }
    }

    fn model(&mut self) -> Option<&mut Model> {
        match self {
            Gradient::Adapter(_) => None,
            Gradient::Model(model) => Some(model),
        }
    }

    fn lora(&mut self, layer: usize, target: Target) -> Option<&mut Lora> {
        match self {
            Gradient::Adapter(adapter) => adapter.layers[layer][target as usize].as_mut(),
            Gradient::Model(_) => None,
        }
    }
}

/// A model with an optional adapter and the dropout of one visit.
#[derive(Clone, Copy)]
pub(crate) struct Decoder<'a> {
    pub(crate) model: &'a Model,
    pub(crate) adapter: Option<&'a Adapter>,
    pub(crate) dropout: Option<Dropout>,
}

fn fit(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

impl<'a> Decoder<'a> {
    /// The summed loss in nats over the targets of a sequence: token i is predicted where `learn[i]` and i > 0.
    /// With `gradient`, adds the gradient of `scale` times that sum.
    pub(crate) fn loss(
        &self,
        ws: &mut Workspace,
        ids: &[u32],
        learn: &[bool],
        scale: f32,
        gradient: Option<&mut Gradient>,
    ) -> f64 {
        let targets: Vec<(usize, usize)> =
            (1..ids.len()).filter(|&i| learn[i]).map(|i| (i - 1, ids[i] as usize)).collect();
        let Some(&(last, _)) = targets.last() else {
            return 0.0;
        };
        let ids = &ids[..=last];
        self.forward(ws, ids);
        match gradient {
            None => self.loss_rows(ws, &targets, scale, None),
            Some(gradient) => {
                let loss = self.loss_rows(ws, &targets, scale, Some(gradient));
                self.backward(ws, ids, gradient);
                loss
            }
        }
    }

    /// Logits [t, vocabulary] of every position.
    pub(crate) fn logits(&self, ws: &mut Workspace, ids: &[u32]) -> Vec<f32> {
        self.forward(ws, ids);
        let config = &self.model.config;
        let (t, h, v) = (ids.len(), config.hidden, config.vocabulary);
        let normed = fit(&mut ws.normed, t * h);
        kernels::rmsnorm(
            &ws.output[..t * h],
            &self.model.norm,
            config.norm_eps,
            h,
            normed,
            fit(&mut ws.inverse, t),
        );
        let mut logits = vec![0.0; t * v];
        let rows = Mat::new(normed, t, h);
        self.model.output().forward(MatMut::new(&mut logits, t, v), Into::Replace, rows);
        logits
    }

    fn forward(&self, ws: &mut Workspace, ids: &[u32]) {
        let config = &self.model.config;
        let (t, h) = (ids.len(), config.hidden);
        if ws.cos.len() < t * config.head_width / 2 {
            (ws.cos, ws.sin) = config.rotary(t.next_power_of_two());
        }
        ws.layers.resize_with(config.layers, Kept::default);
        let mut stream = std::mem::take(&mut ws.output);
        let rows = fit(&mut stream, t * h).chunks_exact_mut(h);
        for (row, &id) in rows.zip(ids) {
            row.copy_from_slice(&self.model.embedding[id as usize * h..][..h]);
        }
        for i in 0..config.layers {
            let mut kept = std::mem::take(&mut ws.layers[i]);
            fit(&mut kept.input, t * h).copy_from_slice(&stream[..t * h]);
            self.layer_forward(ws, i, t, &mut kept, &mut stream);
            ws.layers[i] = kept;
        }
        ws.output = stream;
    }

    /// stream [t, hidden] through layer i, in place.
    fn layer_forward(&self, ws: &mut Workspace, i: usize, t: usize, kept: &mut Kept, stream: &mut [f32]) {
        let (config, layer) = (&self.model.config, &self.model.layers[i]);
        let (h, f, heads) = (config.hidden, config.intermediate, config.heads());
        let row = heads.row();
        let normed = fit(&mut kept.normed, t * h);
        kernels::rmsnorm(
            &kept.input[..t * h],
            &layer.input_norm,
            config.norm_eps,
            h,
            normed,
            fit(&mut kept.input_inverse, t),
        );
        let qkv = fit(&mut kept.qkv, t * row);
        layer.qkv.forward(t, normed, qkv, Into::Replace);
        for target in [Target::Query, Target::Key, Target::Value] {
            self.lora_forward(ws, i, target, t, normed, &mut kept.low[target as usize], qkv, row);
        }
        if config.qk_norm() {
            fit(&mut kept.unnormed, t * row).copy_from_slice(qkv);
            let inverse = fit(&mut kept.head_inverse, t * (heads.queries + heads.keys));
            for (head, inverse) in inverse.chunks_exact_mut(t).enumerate() {
                let at = head * heads.width;
                let norm = if head < heads.queries { &layer.query_norm } else { &layer.key_norm };
                kernels::rmsnorm(
                    &kept.unnormed[at..t * row],
                    norm,
                    config.norm_eps,
                    row,
                    &mut qkv[at..],
                    inverse,
                );
            }
        }
        kernels::rotate(qkv, row, heads.queries + heads.keys, heads.width / 2, &ws.cos, &ws.sin, 1.0);
        let attended = fit(&mut kept.attended, t * heads.queries * heads.width);
        attention::forward(
            heads,
            t,
            qkv,
            attended,
            fit(&mut kept.log_sum, heads.queries * t),
            &mut ws.attention,
        );
        let stream = &mut stream[..t * h];
        layer.o.forward(t, attended, stream, Into::Add);
        self.lora_forward(ws, i, Target::Output, t, attended, &mut kept.low[3], stream, h);
        let middle = fit(&mut kept.middle, t * h);
        middle.copy_from_slice(stream);
        let normed = fit(&mut kept.mlp_normed, t * h);
        kernels::rmsnorm(
            middle,
            &layer.mlp_norm,
            config.norm_eps,
            h,
            normed,
            fit(&mut kept.middle_inverse, t),
        );
        let gate_up = fit(&mut kept.gate_up, t * 2 * f);
        layer.gate_up.forward(t, normed, gate_up, Into::Replace);
        for target in [Target::Gate, Target::Up] {
            self.lora_forward(ws, i, target, t, normed, &mut kept.low[target as usize], gate_up, 2 * f);
        }
        let mut act = std::mem::take(&mut ws.act);
        kernels::swiglu(gate_up, f, fit(&mut act, t * f));
        layer.down.forward(t, &act[..t * f], stream, Into::Add);
        self.lora_forward(ws, i, Target::Down, t, &act, &mut kept.low[6], stream, h);
        ws.act = act;
    }

    fn lora(&self, layer: usize, target: Target) -> Option<(&'a Lora, usize, f32)> {
        let adapter = self.adapter?;
        let lora = adapter.layers[layer][target as usize].as_ref()?;
        Some((lora, adapter.config.rank, adapter.config.scale()))
    }

    /// y += scale x B (A dropout(x)), where y's rows are `row` wide; A x is kept in `low`.
    #[allow(clippy::too_many_arguments)]
    fn lora_forward(
        &self,
        ws: &mut Workspace,
        layer: usize,
        target: Target,
        t: usize,
        x: &[f32],
        low: &mut Vec<f32>,
        y: &mut [f32],
        row: usize,
    ) {
        let Some((lora, rank, scale)) = self.lora(layer, target) else {
            return;
        };
        let x = match self.dropout {
            None => &x[..t * lora.inputs],
            Some(dropout) => {
                let dropped = fit(&mut ws.dropped, t * lora.inputs);
                dropout.apply(site(layer, target), x, dropped);
                dropped
            }
        };
        let low = fit(low, t * rank);
        let a = Mat::new(&lora.a, rank, lora.inputs);
        matmul(MatMut::new(low, t, rank), Into::Replace, 1.0, Mat::new(x, t, lora.inputs), a.t());
        let y = MatMut::strided(&mut y[lora.column..], t, lora.outputs, row);
        let b = Mat::new(&lora.b, lora.outputs, rank);
        matmul(y, Into::Add, scale, Mat::new(low, t, rank), b.t());
    }

    /// The loss from the last layer's output; with a gradient, leaves d_stream [t, hidden] for [`Decoder::backward`].
    fn loss_rows(
        &self,
        ws: &mut Workspace,
        targets: &[(usize, usize)],
        scale: f32,
        mut gradient: Option<&mut Gradient>,
    ) -> f64 {
        let (model, config) = (self.model, &self.model.config);
        let (h, v) = (config.hidden, config.vocabulary);
        let t = targets.last().map_or(0, |last| last.0 + 1);
        fit(&mut ws.d_stream, t * h).fill(0.0);
        let mut loss = 0.0;
        for block in targets.chunks(LOGIT_ROWS) {
            let n = block.len();
            let rows = fit(&mut ws.rows, n * h);
            for (row, (position, _)) in rows.chunks_exact_mut(h).zip(block) {
                row.copy_from_slice(&ws.output[position * h..][..h]);
            }
            let (normed, inverse) = (fit(&mut ws.normed, n * h), fit(&mut ws.inverse, n));
            kernels::rmsnorm(rows, &model.norm, config.norm_eps, h, normed, inverse);
            let logits = fit(&mut ws.logits, n * v);
            model.output().forward(MatMut::new(logits, n, v), Into::Replace, Mat::new(normed, n, h));
            for (row, (_, target)) in logits.chunks_exact_mut(v).zip(block) {
                loss += kernels::cross_entropy(row, *target, scale);
            }
            let Some(gradient) = gradient.as_deref_mut() else {
                continue;
            };
            let d_normed = fit(&mut ws.d_normed, n * h);
            let d_logits = Mat::new(logits, n, v);
            model.output().backward(MatMut::new(d_normed, n, h), Into::Replace, d_logits);
            let d_norm = gradient.model().map(|g| {
                let table = MatMut::new(g.output_mut(), v, h);
                matmul(table, Into::Add, 1.0, d_logits.t(), Mat::new(normed, n, h));
                g.norm.as_mut_slice()
            });
            let d_rows = fit(&mut ws.d_rows, n * h);
            kernels::rmsnorm_grad(rows, &model.norm, inverse, h, d_normed, d_rows, true, d_norm);
            for (row, (position, _)) in d_rows.chunks_exact(h).zip(block) {
                ws.d_stream[position * h..][..h].copy_from_slice(row);
            }
        }
        loss
    }
}

impl Model {
    /// Logits [ids.len(), vocabulary] after each text token, with an adapter or without.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`].
    pub fn logits(&self, adapter: Option<&Adapter>, ids: &[u32]) -> Result<Vec<f32>> {
        let vocabulary = self.config.vocabulary;
        if let Some(&id) = ids.iter().find(|id| **id as usize >= vocabulary) {
            return Err(Error::TokenOutOfRange { id: i64::from(id), vocabulary });
        }
        let decoder = Decoder { model: self, adapter, dropout: None };
        Ok(decoder.logits(&mut Workspace::default(), ids))
    }
}

fn site(layer: usize, target: Target) -> usize {
    layer * Target::ALL.len() + target as usize
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;
