//! Causal attention with shared key/value heads, forward and backward, in blocks of query rows.
//!
//! Scores are never kept: the backward pass makes each block's probabilities again from the kept log-sum, so the
//! memory of attention grows with the sequence, not with its square, and the upper triangle is mostly skipped.

use crate::config::Heads;
use crate::engine::kernels;
use crate::engine::linalg::{Into, Mat, MatMut, Packed, matmul, matmul_packed};

/// Query rows per block.
const BLOCK: usize = 64;

/// Room for one block of scores and their gradient, and the keys and values of one head, packed.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    scores: Vec<f32>,
    d_scores: Vec<f32>,
    delta: Vec<f32>,
    key: Packed,
    key_t: Packed,
    value: Packed,
    value_t: Packed,
}

/// out [t, queries * width] = attention over qkv [t, row]; `log_sum` [queries, t] is kept for [`backward`].
pub(crate) fn forward(
    heads: Heads,
    t: usize,
    qkv: &[f32],
    out: &mut [f32],
    log_sum: &mut [f32],
    scratch: &mut Scratch,
) {
    let (row, width, out_row) = (heads.row(), heads.width, heads.queries * heads.width);
    scratch.scores.resize(BLOCK * t, 0.0);
    for head in 0..heads.queries {
        if heads.first_of_group(head) {
            scratch.key_t.pack(Mat::strided(&qkv[heads.key_at(head)..], t, width, row).t());
            scratch.value.pack(Mat::strided(&qkv[heads.value_at(head)..], t, width, row));
        }
        for first in (0..t).step_by(BLOCK) {
            let seen = (first + BLOCK).min(t);
            let rows = seen - first;
            let query = Mat::strided(&qkv[first * row + heads.query_at(head)..], rows, width, row);
            let scores = &mut scratch.scores[..rows * seen];
            matmul_packed(MatMut::new(scores, rows, seen), Into::Replace, 1.0, query, &scratch.key_t);
            let log_sum = &mut log_sum[head * t + first..head * t + seen];
            kernels::causal_softmax(scores, seen, first, heads.scale(), log_sum);
            let out = MatMut::strided(&mut out[first * out_row + head * width..], rows, width, out_row);
            matmul_packed(out, Into::Replace, 1.0, Mat::new(scores, rows, seen), &scratch.value);
        }
    }
}

/// d_qkv [t, row] = the gradient of [`forward`] for d_out [t, queries * width]; d_qkv is overwritten.
#[allow(clippy::too_many_arguments)]
pub(crate) fn backward(
    heads: Heads,
    t: usize,
    qkv: &[f32],
    out: &[f32],
    log_sum: &[f32],
    d_out: &[f32],
    d_qkv: &mut [f32],
    scratch: &mut Scratch,
) {
    let (row, width, out_row) = (heads.row(), heads.width, heads.queries * heads.width);
    scratch.scores.resize(BLOCK * t, 0.0);
    scratch.d_scores.resize(BLOCK * t, 0.0);
    scratch.delta.resize(t, 0.0);
    d_qkv[..t * row].fill(0.0);
    for head in 0..heads.queries {
        let (query_at, key_at, value_at) = (heads.query_at(head), heads.key_at(head), heads.value_at(head));
        if heads.first_of_group(head) {
            let key = Mat::strided(&qkv[key_at..], t, width, row);
            scratch.key.pack(key);
            scratch.key_t.pack(key.t());
            scratch.value_t.pack(Mat::strided(&qkv[value_at..], t, width, row).t());
        }
        let at = head * width;
        kernels::row_dots(&out[at..], &d_out[at..], out_row, width, &mut scratch.delta);
        for first in (0..t).step_by(BLOCK) {
            let seen = (first + BLOCK).min(t);
            let rows = seen - first;
            let query = Mat::strided(&qkv[first * row + query_at..], rows, width, row);
            let d_out = Mat::strided(&d_out[first * out_row + at..], rows, width, out_row);
            let p = &mut scratch.scores[..rows * seen];
            matmul_packed(MatMut::new(p, rows, seen), Into::Replace, 1.0, query, &scratch.key_t);
            let log_sum = &log_sum[head * t + first..head * t + seen];
            kernels::causal_softmax_again(p, seen, first, heads.scale(), log_sum);
            let d_value = MatMut::strided(&mut d_qkv[value_at..], seen, width, row);
            matmul(d_value, Into::Add, 1.0, Mat::new(p, rows, seen).t(), d_out);
            let d_p = &mut scratch.d_scores[..rows * seen];
            matmul_packed(MatMut::new(d_p, rows, seen), Into::Replace, 1.0, d_out, &scratch.value_t);
            kernels::softmax_grad(p, &scratch.delta[first..seen], heads.scale(), seen, d_p);
            let d_scores = Mat::new(d_p, rows, seen);
            let d_query = MatMut::strided(&mut d_qkv[first * row + query_at..], rows, width, row);
            matmul_packed(d_query, Into::Replace, 1.0, d_scores, &scratch.key);
            let d_key = MatMut::strided(&mut d_qkv[key_at..], seen, width, row);
            matmul(d_key, Into::Add, 1.0, d_scores.t(), query);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;

    /// The definition, in f64.
    fn plain(heads: Heads, t: usize, qkv: &[f32], weights: &[f32]) -> f64 {
        let (row, w) = (heads.row(), heads.width);
        let at = |i: usize, offset: usize, j: usize| f64::from(qkv[i * row + offset + j]);
        let mut sum = 0.0;
        for head in 0..heads.queries {
            for i in 0..t {
                let score = |k: usize| {
                    let dot: f64 =
                        (0..w).map(|j| at(i, heads.query_at(head), j) * at(k, heads.key_at(head), j)).sum();
                    (dot / (w as f64).sqrt()).exp()
                };
                let total: f64 = (0..=i).map(score).sum();
                for k in 0..=i {
                    for j in 0..w {
                        let weight = f64::from(weights[i * heads.queries * w + head * w + j]);
                        sum += weight * score(k) / total * at(k, heads.value_at(head), j);
                    }
                }
            }
        }
        sum
    }

    #[test]
    fn attention_and_its_gradient() {
        let heads = Heads { queries: 4, keys: 2, width: 3 };
        let t = BLOCK + 5;
        let mut rng = Rng::new(5, "attention");
        let qkv: Vec<f32> = (0..t * heads.row()).map(|_| rng.normal()).collect();
        let d_out: Vec<f32> = (0..t * 12).map(|_| rng.normal()).collect();
        let (mut out, mut log_sum) = (vec![0.0; t * 12], vec![0.0; 4 * t]);
        let mut scratch = Scratch::default();
        forward(heads, t, &qkv, &mut out, &mut log_sum, &mut scratch);
        let ours: f64 = out.iter().zip(&d_out).map(|(a, b)| f64::from(a * b)).sum();
        assert!((ours - plain(heads, t, &qkv, &d_out)).abs() < 1e-3);
        let mut grad = vec![7.0; t * heads.row()];
        backward(heads, t, &qkv, &out, &log_sum, &d_out, &mut grad, &mut scratch);
        for _ in 0..60 {
            let i = rng.below(qkv.len());
            let step = 1e-3f32;
            let mut moved = qkv.clone();
            moved[i] = qkv[i] + step;
            let up = plain(heads, t, &moved, &d_out);
            moved[i] = qkv[i] - step;
            let slope = (up - plain(heads, t, &moved, &d_out)) / (2.0 * f64::from(step));
            assert!((slope - f64::from(grad[i])).abs() < 2e-3, "{i}: {slope} {}", grad[i]);
        }
    }
}
