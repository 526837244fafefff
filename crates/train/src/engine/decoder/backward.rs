//! The way back: from the loss's gradient at the last layer's output to what is learned.

use super::{Decoder, Gradient, Kept, Workspace, fit, site};
use crate::adapter::Target;
use crate::engine::attention;
use crate::engine::kernels;
use crate::engine::linalg::{Into, Mat, MatMut, matmul};
use crate::engine::model::Layer;

impl Decoder<'_> {
    /// The gradient of [`Decoder::lora_forward`]: of A and B into `gradient`, of x added to dx (when wanted).
    #[allow(clippy::too_many_arguments)]
    fn lora_backward(
        &self,
        ws: &mut Workspace,
        layer: usize,
        target: Target,
        t: usize,
        (x, low): (&[f32], &[f32]),
        (dy, row): (&[f32], usize),
        dx: Option<&mut [f32]>,
        gradient: &mut Gradient,
    ) {
        let Some((lora, rank, scale)) = self.lora(layer, target) else {
            return;
        };
        let (n, m) = (lora.inputs, lora.outputs);
        let dy = Mat::strided(&dy[lora.column..], t, m, row);
        let d_low = fit(&mut ws.d_low, t * rank);
        matmul(MatMut::new(d_low, t, rank), Into::Replace, scale, dy, Mat::new(&lora.b, m, rank));
        if let Some(grad) = gradient.lora(layer, target) {
            // The transpose of B's gradient: the thin side is turned instead of the output gradient.
            let turned = fit(&mut ws.d_b, rank * m);
            matmul(MatMut::new(turned, rank, m), Into::Replace, scale, Mat::new(low, t, rank).t(), dy);
            for (row, value) in turned.chunks_exact(m).enumerate() {
                for (b, value) in grad.b[row..].iter_mut().step_by(rank).zip(value) {
                    *b += value;
                }
            }
            let x = match self.dropout {
                None => &x[..t * n],
                Some(dropout) => {
                    let dropped = fit(&mut ws.dropped, t * n);
                    dropout.apply(site(layer, target), x, dropped);
                    dropped
                }
            };
            matmul(
                MatMut::new(&mut grad.a, rank, n),
                Into::Add,
                1.0,
                Mat::new(d_low, t, rank).t(),
                Mat::new(x, t, n),
            );
        }
        let Some(dx) = dx else { return };
        let (d_low, a) = (Mat::new(d_low, t, rank), Mat::new(&lora.a, rank, n));
        match self.dropout {
            None => matmul(MatMut::new(dx, t, n), Into::Add, 1.0, d_low, a),
            Some(dropout) => {
                let d_dropped = fit(&mut ws.d_dropped, t * n);
                matmul(MatMut::new(d_dropped, t, n), Into::Replace, 1.0, d_low, a);
                dropout.add(site(layer, target), d_dropped, &mut dx[..t * n]);
            }
        }
    }

    /// From d_stream [t, hidden] at the last layer's output to the gradient.
    pub(super) fn backward(&self, ws: &mut Workspace, ids: &[u32], gradient: &mut Gradient) {
        let config = &self.model.config;
        let (t, h) = (ids.len(), config.hidden);
        let mut d_stream = std::mem::take(&mut ws.d_stream);
        for i in (0..config.layers).rev() {
            let kept = std::mem::take(&mut ws.layers[i]);
            let below = i > 0 || gradient.model().is_some();
            self.mlp_backward(ws, i, t, &kept, &mut d_stream[..t * h], gradient);
            self.attention_backward(ws, i, t, &kept, &mut d_stream[..t * h], gradient, below);
            ws.layers[i] = kept;
        }
        if let Some(model) = gradient.model() {
            for (row, &id) in d_stream.chunks_exact(h).zip(ids) {
                kernels::add(row, &mut model.embedding[id as usize * h..][..h]);
            }
        }
        ws.d_stream = d_stream;
    }

    fn mlp_backward(
        &self,
        ws: &mut Workspace,
        i: usize,
        t: usize,
        kept: &Kept,
        d_stream: &mut [f32],
        gradient: &mut Gradient,
    ) {
        let (config, layer) = (&self.model.config, &self.model.layers[i]);
        let (h, f) = (config.hidden, config.intermediate);
        let mut d_act = std::mem::take(&mut ws.d_act);
        let mut d_gate_up = std::mem::take(&mut ws.d_gate_up);
        let mut act = std::mem::take(&mut ws.act);
        let (d_act_rows, d_gate_up_rows) = (fit(&mut d_act, t * f), fit(&mut d_gate_up, t * 2 * f));
        if self.lora(i, Target::Down).is_some() || gradient.model().is_some() {
            kernels::swiglu(&kept.gate_up[..t * 2 * f], f, fit(&mut act, t * f));
        }
        layer.down.backward(t, d_stream, d_act_rows, Into::Replace);
        self.lora_backward(
            ws,
            i,
            Target::Down,
            t,
            (&act, &kept.low[6]),
            (d_stream, h),
            Some(d_act_rows),
            gradient,
        );
        kernels::swiglu_grad(&kept.gate_up[..t * 2 * f], f, d_act_rows, d_gate_up_rows, fit(&mut act, t * f));
        let mut d_normed = std::mem::take(&mut ws.d_normed);
        let d_rows = fit(&mut d_normed, t * h);
        layer.gate_up.backward(t, d_gate_up_rows, d_rows, Into::Replace);
        for target in [Target::Gate, Target::Up] {
            let inputs = (&kept.mlp_normed[..], &kept.low[target as usize][..]);
            self.lora_backward(ws, i, target, t, inputs, (d_gate_up_rows, 2 * f), Some(d_rows), gradient);
        }
        let d_norm = gradient.model().map(|model| {
            let grad = &mut model.layers[i];
            grad.down.add_gradient(t, &act, d_stream);
            grad.gate_up.add_gradient(t, &kept.mlp_normed, d_gate_up_rows);
            grad.mlp_norm.as_mut_slice()
        });
        kernels::rmsnorm_grad(
            &kept.middle[..t * h],
            &layer.mlp_norm,
            &kept.middle_inverse,
            h,
            d_rows,
            d_stream,
            false,
            d_norm,
        );
        (ws.d_act, ws.d_gate_up, ws.act, ws.d_normed) = (d_act, d_gate_up, act, d_normed);
    }

    #[allow(clippy::too_many_arguments)]
    fn attention_backward(
        &self,
        ws: &mut Workspace,
        i: usize,
        t: usize,
        kept: &Kept,
        d_stream: &mut [f32],
        gradient: &mut Gradient,
        below: bool,
    ) {
        let (config, layer) = (&self.model.config, &self.model.layers[i]);
        let (h, heads) = (config.hidden, config.heads());
        let (row, queries) = (heads.row(), heads.queries * heads.width);
        let mut d_attended = std::mem::take(&mut ws.d_attended);
        let d_rows = fit(&mut d_attended, t * queries);
        layer.o.backward(t, d_stream, d_rows, Into::Replace);
        self.lora_backward(
            ws,
            i,
            Target::Output,
            t,
            (&kept.attended, &kept.low[3]),
            (d_stream, h),
            Some(d_rows),
            gradient,
        );
        if let Some(model) = gradient.model() {
            model.layers[i].o.add_gradient(t, &kept.attended, d_stream);
        }
        let wanted = [Target::Query, Target::Key, Target::Value];
        if !below && wanted.iter().all(|target| self.lora(i, *target).is_none()) {
            ws.d_attended = d_attended;
            return;
        }
        let mut d_qkv = std::mem::take(&mut ws.d_qkv);
        let d_qkv_rows = fit(&mut d_qkv, t * row);
        let (qkv, attended) = (&kept.qkv[..t * row], &kept.attended[..t * queries]);
        attention::backward(heads, t, qkv, attended, &kept.log_sum, d_rows, d_qkv_rows, &mut ws.attention);
        kernels::rotate(d_qkv_rows, row, heads.queries + heads.keys, heads.width / 2, &ws.cos, &ws.sin, -1.0);
        if config.qk_norm() {
            self.head_norm_backward(
                ws,
                layer,
                t,
                kept,
                d_qkv_rows,
                gradient.model().map(|m| &mut m.layers[i]),
            );
        }
        self.input_backward(ws, i, t, kept, d_qkv_rows, d_stream, gradient, below);
        (ws.d_attended, ws.d_qkv) = (d_attended, d_qkv);
    }

    /// From d_qkv to the layer's input: query, key and value matrices, their adapters, the first norm.
    #[allow(clippy::too_many_arguments)]
    fn input_backward(
        &self,
        ws: &mut Workspace,
        i: usize,
        t: usize,
        kept: &Kept,
        d_qkv: &[f32],
        d_stream: &mut [f32],
        gradient: &mut Gradient,
        below: bool,
    ) {
        let (config, layer) = (&self.model.config, &self.model.layers[i]);
        let (h, row) = (config.hidden, config.heads().row());
        let mut d_normed = std::mem::take(&mut ws.d_normed);
        let d_input = fit(&mut d_normed, t * h);
        if below {
            layer.qkv.backward(t, d_qkv, d_input, Into::Replace);
        }
        for target in [Target::Query, Target::Key, Target::Value] {
            let inputs = (&kept.normed[..], &kept.low[target as usize][..]);
            let dx = below.then_some(&mut *d_input);
            self.lora_backward(ws, i, target, t, inputs, (d_qkv, row), dx, gradient);
        }
        if below {
            let d_norm = gradient.model().map(|model| {
                let grad = &mut model.layers[i];
                grad.qkv.add_gradient(t, &kept.normed, d_qkv);
                grad.input_norm.as_mut_slice()
            });
            let input = &kept.input[..t * h];
            kernels::rmsnorm_grad(
                input,
                &layer.input_norm,
                &kept.input_inverse,
                h,
                d_input,
                d_stream,
                false,
                d_norm,
            );
        }
        ws.d_normed = d_normed;
    }

    /// d_qkv through the norm of each query and key head, in place.
    fn head_norm_backward(
        &self,
        ws: &mut Workspace,
        layer: &Layer,
        t: usize,
        kept: &Kept,
        d_qkv: &mut [f32],
        mut grad: Option<&mut Layer>,
    ) {
        let heads = self.model.config.heads();
        let row = heads.row();
        let d_normed = fit(&mut ws.d_rows, t * row);
        d_normed.copy_from_slice(d_qkv);
        for head in 0..heads.queries + heads.keys {
            let at = head * heads.width;
            let query = head < heads.queries;
            let norm = if query { &layer.query_norm } else { &layer.key_norm };
            let d_norm = grad.as_deref_mut().map(|g| {
                let norm = if query { &mut g.query_norm } else { &mut g.key_norm };
                norm.as_mut_slice()
            });
            let inverse = &kept.head_inverse[head * t..(head + 1) * t];
            let x = &kept.unnormed[at..t * row];
            kernels::rmsnorm_grad(x, norm, inverse, row, &d_normed[at..], &mut d_qkv[at..], true, d_norm);
        }
    }
}
