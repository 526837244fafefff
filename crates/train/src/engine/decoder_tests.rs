use super::*;
use crate::adapter::LoraConfig;
use crate::config::{Architecture, ModelConfig};
use crate::random::Rng;

fn config(architecture: Architecture, tied: bool) -> ModelConfig {
    ModelConfig {
        architecture,
        vocabulary: 23,
        hidden: 12,
        intermediate: 20,
        layers: 2,
        query_heads: 4,
        key_heads: 2,
        head_width: 4,
        max_positions: 64,
        norm_eps: 1e-5,
        rope_theta: 10_000.0,
        tied,
    }
}

fn setup(architecture: Architecture, tied: bool) -> (Model, Vec<u32>, Vec<bool>) {
    let mut model = Model::random(&config(architecture, tied), 0.3, 11);
    let mut rng = Rng::new(12, "bias");
    for layer in &mut model.layers {
        for tensor in [&mut layer.qkv.bias, &mut layer.query_norm, &mut layer.key_norm] {
            for value in tensor {
                *value += 0.2 * rng.normal();
            }
        }
    }
    let ids = (0..9).map(|_| rng.below(23) as u32).collect();
    let learn = (0..9).map(|i| i % 3 != 1).collect();
    (model, ids, learn)
}

fn adapter(model: &Model, targets: &[Target]) -> Adapter {
    let lora =
        LoraConfig { rank: 3, alpha: 6.0, dropout: 0.0, rank_stabilized: false, targets: targets.to_vec() };
    let mut adapter = Adapter::new(lora, &model.config, 5);
    let mut rng = Rng::new(6, "b");
    for lora in adapter.layers.iter_mut().flatten().flatten() {
        for value in &mut lora.b {
            *value = 0.3 * rng.normal();
        }
    }
    adapter
}

/// Compares the gradient with central differences at a few places of every tensor.
fn check<T: Clone>(
    learned: &T,
    gradient: &mut Gradient,
    tensors: impl Fn(&mut T) -> Vec<&mut [f32]>,
    loss: impl Fn(&mut T) -> f64,
) {
    let mut rng = Rng::new(13, "places");
    let step = 4e-3f32;
    for (n, grad) in gradient.tensors_mut().into_iter().enumerate() {
        for _ in 0..6.min(grad.len()) {
            let i = rng.below(grad.len());
            let at = |by: f32| {
                let mut moved = learned.clone();
                tensors(&mut moved)[n][i] += by;
                loss(&mut moved)
            };
            let slope = (at(step) - at(-step)) / (2.0 * f64::from(step));
            let ours = f64::from(grad[i]);
            assert!((slope - ours).abs() < 3e-3 * (1.0 + slope.abs()), "tensor {n} at {i}: {slope} {ours}");
        }
    }
}

#[test]
fn every_weight_has_the_right_gradient() {
    for (architecture, tied) in [
        (Architecture::Llama, true),
        (Architecture::Llama, false),
        (Architecture::Qwen2, true),
        (Architecture::Qwen3, false),
    ] {
        let (model, ids, learn) = setup(architecture, tied);
        let mut gradient = Gradient::Model(Model::zeros(&model.config));
        let run = |model: &Model, gradient: Option<&mut Gradient>| {
            let decoder = Decoder { model, adapter: None, dropout: None };
            0.25 * decoder.loss(&mut Workspace::default(), &ids, &learn, 0.25, gradient)
        };
        run(&model, Some(&mut gradient));
        check(&model, &mut gradient, Model::tensors_mut, |m| {
            m.pack();
            run(m, None)
        });
    }
}

#[test]
fn every_adapter_has_the_right_gradient() {
    let some = [Target::Output, Target::Up];
    for architecture in [Architecture::Llama, Architecture::Qwen2, Architecture::Qwen3] {
        for (targets, dropout) in [(&Target::ALL[..], 0.0), (&some[..], 0.0), (&Target::ALL[..], 0.3)] {
            let (model, ids, learn) = setup(architecture, true);
            let adapter = adapter(&model, targets);
            let mut gradient = Gradient::Adapter(Adapter::zeros(adapter.config.clone(), &model.config));
            let run = |adapter: &Adapter, gradient: Option<&mut Gradient>| {
                let dropout = Dropout::new(dropout, 1, 2);
                let decoder = Decoder { model: &model, adapter: Some(adapter), dropout };
                decoder.loss(&mut Workspace::default(), &ids, &learn, 1.0, gradient)
            };
            run(&adapter, Some(&mut gradient));
            check(&adapter, &mut gradient, Adapter::tensors_mut, |a| run(a, None));
        }
    }
}

#[test]
fn masked_tokens_do_not_count() {
    let (model, mut ids, _) = setup(Architecture::Llama, true);
    let learn = [false, false, false, true, true, false, false, false, false];
    let decoder = Decoder { model: &model, adapter: None, dropout: None };
    let mut ws = Workspace::default();
    let loss = decoder.loss(&mut ws, &ids, &learn, 1.0, None);
    let logits = decoder.logits(&mut ws, &ids);
    let mut expected = 0.0;
    for i in [3, 4] {
        let row = &logits[(i - 1) * 23..i * 23];
        let total: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
        expected += total.ln() - f64::from(row[ids[i] as usize]);
    }
    assert!((loss - expected).abs() < 1e-5);
    ids[6] = (ids[6] + 1) % 23;
    assert_eq!(loss, decoder.loss(&mut ws, &ids, &learn, 1.0, None));
    assert_eq!(0.0, decoder.loss(&mut ws, &ids, &[false; 9], 1.0, None));
}
