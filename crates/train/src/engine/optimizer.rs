//! AdamW and gradient clipping, with PyTorch's arithmetic.

use crate::engine::kernels::wide;
use crate::params::AdamConfig;

/// AdamW with its moments over a fixed list of tensors.
#[derive(Debug)]
pub(crate) struct AdamW {
    config: AdamConfig,
    steps: i32,
    first: Vec<f32>,
    second: Vec<f32>,
}

#[derive(Clone, Copy)]
struct Factors {
    decay: f32,
    beta1: f32,
    keep1: f32,
    beta2: f32,
    keep2: f32,
    rate: f32,
    root: f32,
    epsilon: f32,
}

impl AdamW {
    pub(crate) fn new(config: AdamConfig) -> Self {
        AdamW { config, steps: 0, first: Vec::new(), second: Vec::new() }
    }

    /// One step. `weights` and `gradients` are the same list of tensors at every call.
    pub(crate) fn step(&mut self, rate: f64, weights: Vec<&mut [f32]>, gradients: Vec<&mut [f32]>) {
        let count = weights.iter().map(|w| w.len()).sum();
        self.first.resize(count, 0.0);
        self.second.resize(count, 0.0);
        self.steps = self.steps.saturating_add(1);
        let config = &self.config;
        let (bias1, bias2) = (1.0 - config.beta1.powi(self.steps), 1.0 - config.beta2.powi(self.steps));
        let factors = Factors {
            decay: (1.0 - rate * config.weight_decay) as f32,
            beta1: config.beta1 as f32,
            keep1: (1.0 - config.beta1) as f32,
            beta2: config.beta2 as f32,
            keep2: (1.0 - config.beta2) as f32,
            rate: (rate / bias1) as f32,
            root: bias2.sqrt() as f32,
            epsilon: config.epsilon as f32,
        };
        let (mut first, mut second) = (&mut self.first[..], &mut self.second[..]);
        for (weight, gradient) in weights.into_iter().zip(gradients) {
            let (m, m_rest) = first.split_at_mut(weight.len());
            let (v, v_rest) = second.split_at_mut(weight.len());
            update(factors, weight, gradient, m, v);
            (first, second) = (m_rest, v_rest);
        }
    }
}

wide! {
    fn update(f: Factors, weight: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let moments = first.iter_mut().zip(second);
        for ((w, g), (m, v)) in weight.iter_mut().zip(gradient).zip(moments) {
            *m = f.beta1 * *m + f.keep1 * g;
            *v = f.beta2 * *v + f.keep2 * g * g;
            *w = *w * f.decay - f.rate * *m / (v.sqrt() / f.root + f.epsilon);
        }
    }
}

/// Scales the gradients so that their norm is at most `most` (0: leaves them), and returns the norm before.
pub(crate) fn clip(gradients: Vec<&mut [f32]>, most: f64) -> f64 {
    let squares = gradients.iter().flat_map(|g| g.iter()).map(|g| f64::from(*g) * f64::from(*g));
    let norm = squares.sum::<f64>().sqrt();
    if most > 0.0 && norm > most {
        let factor = (most / (norm + 1e-6)) as f32;
        for gradient in gradients {
            for value in gradient {
                *value *= factor;
            }
        }
    }
    norm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_step_moves_by_the_rate_against_the_sign() {
        let config = AdamConfig { weight_decay: 0.1, ..AdamConfig::default() };
        let mut adam = AdamW::new(config);
        let (mut w, mut g) = (vec![1.0f32, -2.0], vec![0.3f32, -0.004]);
        adam.step(0.01, vec![&mut w], vec![&mut g]);
        assert!((w[0] - (0.999 - 0.01)).abs() < 1e-6);
        assert!((w[1] - (-2.0 * 0.999 + 0.01)).abs() < 1e-6);
    }

    #[test]
    fn clipping_bounds_the_norm() {
        let (mut a, mut b) = (vec![3.0f32], vec![4.0f32]);
        assert_eq!(clip(vec![&mut a, &mut b], 0.0), 5.0);
        assert_eq!((a[0], b[0]), (3.0, 4.0));
        clip(vec![&mut a, &mut b], 1.0);
        assert!((a[0] - 0.6).abs() < 1e-6 && (b[0] - 0.8).abs() < 1e-6);
    }
}
