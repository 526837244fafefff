//! The same training as PEFT, step by step, on fixtures that PEFT wrote (`fixtures/make_peft_fixture.py`).

use licen_train::{Adapter, Model, TrainingParams, read_batches, train_batches};
use safetensors::SafeTensors;
use std::path::PathBuf;

const SETTINGS: &str = r#"{"learning_rate":1e-3,"lr_scheduler_type":"constant","warmup_steps":0,"max_grad_norm":0,
    "lora_dropout":0,"threads":1}"#;

fn check(name: &str) {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let model = Model::load(&dir.join("base")).unwrap();
    let batches = read_batches(&dir.join("tokens.safetensors")).unwrap();
    let initial = Adapter::load(&dir.join("adapter_init"), model.config()).unwrap();
    let params = TrainingParams::parse(SETTINGS).unwrap();
    let outcome = train_batches(&model, &batches, &params, Some(initial), &mut ()).unwrap();

    let losses: Vec<f64> = serde_json::from_slice(&std::fs::read(dir.join("losses.json")).unwrap()).unwrap();
    assert_eq!(losses.len(), outcome.steps.len());
    for (ours, theirs) in outcome.steps.iter().zip(&losses) {
        assert!((ours.loss - theirs).abs() < 1e-5, "step {}: {} and {theirs}", ours.step, ours.loss);
    }
    let expected = logits(&dir);
    let ids = batches[0][0].ids();
    let theirs = Adapter::load(&dir.join("adapter_final"), model.config()).unwrap();
    for adapter in [&outcome.adapter, &theirs] {
        let ours = model.logits(Some(adapter), ids).unwrap();
        let apart = ours.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(ours.len() == expected.len() && apart < 1e-4, "{name}: logits are {apart} apart");
    }
    let without = model.logits(None, ids).unwrap();
    let moved = without.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(moved > 1e-2, "{name}: training moved the logits by {moved} only");
}

fn logits(dir: &std::path::Path) -> Vec<f32> {
    let bytes = std::fs::read(dir.join("logits_final.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let data = tensors.tensor("logits").unwrap().data();
    data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn llama_trains_as_in_peft() {
    check("llama");
}

#[test]
fn qwen2_with_biases_trains_as_in_peft() {
    check("qwen2");
}

#[test]
fn qwen3_with_head_norms_and_rank_stabilized_lora_trains_as_in_peft() {
    check("qwen3");
}
