//! The elementwise parts of a decoder layer, forward and backward.
//!
//! Every sum runs over sixteen fixed lanes that are added in a fixed order, and no multiply-add is fused, so a
//! processor with AVX2 and one without compute the same bytes. exp is a polynomial, not libm's.

/// Declares a function that runs with AVX2 where the processor has it. The body is compiled twice and rounds the
/// same both times.
macro_rules! wide {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[allow(clippy::too_many_arguments)]
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[allow(clippy::too_many_arguments)]
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                if std::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has AVX2, checked in the line above.
                    return unsafe { avx2($($arg),*) };
                }
            }
            body($($arg),*)
        }
    };
}
pub(crate) use wide;

const LANES: usize = 16;

#[inline(always)]
fn lane_sum(lanes: [f32; LANES]) -> f32 {
    let mut lanes = lanes;
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Sum of x[i] * y[i].
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let (x_rest, y_rest) = (xs.remainder(), ys.remainder());
    for (x, y) in xs.zip(ys) {
        for j in 0..LANES {
            lanes[j] += x[j] * y[j];
        }
    }
    for (j, (x, y)) in x_rest.iter().zip(y_rest).enumerate() {
        lanes[j] += x * y;
    }
    lane_sum(lanes)
}

/// e^x to within 2 units in the last place for x <= 88; 0 below -87.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding and subtracting it rounds to an integer
    let clamped = x.clamp(-87.0, 88.0);
    // The low bits of the biased sum are n in two's complement.
    let biased = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = biased - ROUND;
    let r = (clamped - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let y = (p * r) * r + r + 1.0;
    let power = f32::from_bits((biased.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.0 { 0.0 } else { y * power }
}

wide! {
    /// y[i] += x[i].
    pub(crate) fn add(x: &[f32], y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }
}

wide! {
    /// Adds `bias` [n] to every row of `y` [t, n].
    pub(crate) fn add_bias(bias: &[f32], y: &mut [f32]) {
        for row in y.chunks_exact_mut(bias.len()) {
            for (y, b) in row.iter_mut().zip(bias) {
                *y += b;
            }
        }
    }
}

wide! {
    /// Adds the column sums of `dy` [t, n] to `db` [n].
    pub(crate) fn add_bias_grad(dy: &[f32], db: &mut [f32]) {
        for row in dy.chunks_exact(db.len()) {
            for (b, y) in db.iter_mut().zip(row) {
                *b += y;
            }
        }
    }
}

wide! {
    /// y = x / rms(x) * w for each row of n = w.len(); `inverse` [t] keeps 1 / rms for the way back. Rows of x and
    /// y start `stride` apart (the first n of each are used).
    pub(crate) fn rmsnorm(x: &[f32], w: &[f32], eps: f32, stride: usize, y: &mut [f32], inverse: &mut [f32]) {
        let n = w.len();
        for ((x, y), inverse) in x.chunks(stride).zip(y.chunks_mut(stride)).zip(inverse) {
            let (x, y) = (&x[..n], &mut y[..n]);
            let r = 1.0 / (dot(x, x) / n as f32 + eps).sqrt();
            *inverse = r;
            for i in 0..n {
                y[i] = w[i] * (x[i] * r);
            }
        }
    }
}

wide! {
    /// dx (+)= the gradient of [`rmsnorm`] for dy. With `dw`, adds the weight's gradient. `replace` writes dx
    /// instead of adding; dy and dx rows start `stride` apart like x.
    pub(crate) fn rmsnorm_grad(
        x: &[f32], w: &[f32], inverse: &[f32], stride: usize, dy: &[f32], dx: &mut [f32], replace: bool,
        dw: Option<&mut [f32]>,
    ) {
        let n = w.len();
        for (((x, dy), dx), &r) in x.chunks(stride).zip(dy.chunks(stride)).zip(dx.chunks_mut(stride)).zip(inverse) {
            let (x, dy, dx) = (&x[..n], &dy[..n], &mut dx[..n]);
            let mut lanes = [0.0f32; LANES];
            for i in 0..n {
                lanes[i % LANES] += dy[i] * w[i] * x[i];
            }
            let c = lane_sum(lanes) * r * r * r / n as f32;
            if replace {
                for i in 0..n {
                    dx[i] = dy[i] * w[i] * r - x[i] * c;
                }
            } else {
                for i in 0..n {
                    dx[i] += dy[i] * w[i] * r - x[i] * c;
                }
            }
        }
        if let Some(dw) = dw {
            for ((x, dy), &r) in x.chunks(stride).zip(dy.chunks(stride)).zip(inverse) {
                for i in 0..n {
                    dw[i] += dy[i] * x[i] * r;
                }
            }
        }
    }
}

wide! {
    /// act [t, f] = silu(gate) * up, where gate_up [t, 2f] holds gate and up side by side.
    pub(crate) fn swiglu(gate_up: &[f32], f: usize, act: &mut [f32]) {
        for (gu, act) in gate_up.chunks_exact(2 * f).zip(act.chunks_exact_mut(f)) {
            let (gate, up) = gu.split_at(f);
            for i in 0..f {
                act[i] = gate[i] / (1.0 + exp(-gate[i])) * up[i];
            }
        }
    }
}

wide! {
    /// The gradient of [`swiglu`]: d_gate_up from d_act; `act` is written again for those who need it.
    pub(crate) fn swiglu_grad(gate_up: &[f32], f: usize, d_act: &[f32], d_gate_up: &mut [f32], act: &mut [f32]) {
        let rows = gate_up.chunks_exact(2 * f).zip(d_act.chunks_exact(f));
        for ((gu, d), (dgu, act)) in rows.zip(d_gate_up.chunks_exact_mut(2 * f).zip(act.chunks_exact_mut(f))) {
            let (gate, up) = gu.split_at(f);
            let (d_gate, d_up) = dgu.split_at_mut(f);
            for i in 0..f {
                let sigmoid = 1.0 / (1.0 + exp(-gate[i]));
                let silu = gate[i] * sigmoid;
                act[i] = silu * up[i];
                d_up[i] = d[i] * silu;
                d_gate[i] = d[i] * up[i] * (sigmoid + silu * (1.0 - sigmoid));
            }
        }
    }
}

wide! {
    /// Turns the heads of each row by its position: x [t, stride], `heads` heads of `2 * half` values at the start
    /// of the row; cos and sin are [t, half]. `direction` is 1.0 forward and -1.0 for the gradient.
    pub(crate) fn rotate(x: &mut [f32], stride: usize, heads: usize, half: usize, cos: &[f32], sin: &[f32], direction: f32) {
        let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        for (row, (cos, sin)) in x.chunks_mut(stride).zip(angles) {
            for head in row[..heads * 2 * half].chunks_exact_mut(2 * half) {
                let (first, second) = head.split_at_mut(half);
                for i in 0..half {
                    let (a, b, s) = (first[i], second[i], sin[i] * direction);
                    first[i] = a * cos[i] - b * s;
                    second[i] = b * cos[i] + a * s;
                }
            }
        }
    }
}

wide! {
    /// Causal softmax of rows `first..first + rows` of scores [rows, width] times `scale`, in place; columns after
    /// the row's own position become 0. `log_sum` [rows] keeps log of the sum of exponentials.
    pub(crate) fn causal_softmax(scores: &mut [f32], width: usize, first: usize, scale: f32, log_sum: &mut [f32]) {
        for (i, (row, log_sum)) in scores.chunks_exact_mut(width).zip(log_sum).enumerate() {
            let (seen, unseen) = row.split_at_mut(first + i + 1);
            let top = max(seen) * scale;
            let total = exp_sum(seen, scale, top);
            let inverse = 1.0 / total;
            for value in seen {
                *value *= inverse;
            }
            unseen.fill(0.0);
            *log_sum = top + f64::from(total).ln() as f32;
        }
    }
}

wide! {
    /// Makes the probabilities of [`causal_softmax`] again from raw scores and `log_sum`.
    pub(crate) fn causal_softmax_again(scores: &mut [f32], width: usize, first: usize, scale: f32, log_sum: &[f32]) {
        for (i, (row, log_sum)) in scores.chunks_exact_mut(width).zip(log_sum).enumerate() {
            let (seen, unseen) = row.split_at_mut(first + i + 1);
            for value in seen {
                *value = exp(*value * scale - log_sum);
            }
            unseen.fill(0.0);
        }
    }
}

wide! {
    /// d_scores = p * (d_p - delta) * scale in place of d_p, all [rows, width], delta [rows].
    pub(crate) fn softmax_grad(p: &[f32], delta: &[f32], scale: f32, width: usize, d_p: &mut [f32]) {
        for ((p, d), delta) in p.chunks_exact(width).zip(d_p.chunks_exact_mut(width)).zip(delta) {
            for (d, p) in d.iter_mut().zip(p) {
                *d = p * (*d - delta) * scale;
            }
        }
    }
}

wide! {
    /// out[i] = x row i times y row i, over `n` values of rows `stride` apart.
    pub(crate) fn row_dots(x: &[f32], y: &[f32], stride: usize, n: usize, out: &mut [f32]) {
        for ((x, y), out) in x.chunks(stride).zip(y.chunks(stride)).zip(out) {
            *out = dot(&x[..n], &y[..n]);
        }
    }
}

wide! {
    /// Loss in nats of predicting `target` from `logits`, which become the gradient times `scale`.
    pub(crate) fn cross_entropy(logits: &mut [f32], target: usize, scale: f32) -> f64 {
        let top = max(logits);
        let wanted = logits[target];
        let total = exp_sum(logits, 1.0, top);
        let factor = scale / total;
        for value in logits.iter_mut() {
            *value *= factor;
        }
        logits[target] -= scale;
        f64::from(total).ln() + f64::from(top) - f64::from(wanted)
    }
}

#[inline(always)]
fn max(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = x.chunks_exact(LANES);
    for (j, &v) in chunks.remainder().iter().enumerate() {
        lanes[j] = if v > lanes[j] { v } else { lanes[j] };
    }
    for chunk in chunks {
        for j in 0..LANES {
            lanes[j] = if chunk[j] > lanes[j] { chunk[j] } else { lanes[j] };
        }
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// Replaces x by e^(x * scale - top) and returns the sum.
#[inline(always)]
fn exp_sum(x: &mut [f32], scale: f32, top: f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let mut chunks = x.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for j in 0..LANES {
            chunk[j] = exp(chunk[j] * scale - top);
            lanes[j] += chunk[j];
        }
    }
    for (j, value) in chunks.into_remainder().iter_mut().enumerate() {
        *value = exp(*value * scale - top);
        lanes[j] += *value;
    }
    lane_sum(lanes)
}

#[cfg(test)]
#[path = "kernels_tests.rs"]
mod tests;
