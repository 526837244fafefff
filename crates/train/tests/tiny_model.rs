//! The tiny model comes from the committed code: its first steps are trained again, its folder is the generator's.

use licen_train::corpus::Corpus;
use licen_train::pretrain::{Recipe, config_json, pretrain, tokenizer_config_json, tokenizer_json};
use licen_train::{Encoder, Model, jsonl};
use std::path::Path;

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny");

#[test]
fn the_first_steps_have_the_committed_losses() {
    let text = std::fs::read_to_string(Path::new(TINY).join("first_losses.json")).unwrap();
    let committed: Vec<f64> = serde_json::from_str(&text).unwrap();
    assert_eq!(committed.len(), 20);
    let mut losses = Vec::new();
    pretrain(&Recipe { steps: 20, ..Recipe::default() }, |_, loss| losses.push(loss)).unwrap();
    for (ours, theirs) in losses.iter().zip(&committed) {
        assert!((ours - theirs).abs() < 1e-4, "{losses:?}");
    }
}

#[test]
fn the_folder_is_what_the_generator_writes() {
    for (name, value) in [
        ("config.json", config_json()),
        ("tokenizer.json", tokenizer_json()),
        ("tokenizer_config.json", tokenizer_config_json()),
    ] {
        let text = std::fs::read_to_string(Path::new(TINY).join(name)).unwrap();
        assert_eq!(text, format!("{value:#}\n"), "{name}");
    }
}

/// Whether every byte of the answer is the most likely one after the right bytes before it.
fn answers(model: &Model, encoder: &Encoder, document: &str) -> bool {
    let row = serde_json::json!({ "text": document }).to_string();
    let samples = encoder.encode(&jsonl::parse(row.as_bytes(), 1000).unwrap(), 512).unwrap();
    let ids = samples[0].ids();
    let logits = model.logits(None, ids).unwrap();
    let question = document.rfind(" A: ").unwrap() + 4;
    (question..document.len()).all(|i| {
        let row = &logits[(i - 1) * 258..i * 258];
        let best = (0..258).max_by(|a, b| row[*a].total_cmp(&row[*b]));
        best == Some(ids[i] as usize)
    })
}

#[test]
fn the_model_answers_as_often_as_its_card_says() {
    let (model, encoder) = (Model::load(Path::new(TINY)).unwrap(), Encoder::load(Path::new(TINY)).unwrap());
    let mut corpus = Corpus::new(9);
    let kinds = ["Where", "Who", "What color", "Spell", "Say", "Which word"];
    let mut counts = [(0, 0); 6];
    for _ in 0..300 {
        let document = corpus.document();
        let kind = kinds.iter().position(|k| document.contains(&format!("Q: {k}"))).unwrap();
        counts[kind].0 += usize::from(answers(&model, &encoder, &document));
        counts[kind].1 += 1;
    }
    let shown: Vec<String> = kinds.iter().zip(counts).map(|(k, (n, of))| format!("{k} {n}/{of}")).collect();
    // The card's numbers; rounding of another processor's libm may move a close call or two.
    let card = [1, 3, 4, 31, 1, 11];
    for ((right, _), card) in counts.into_iter().zip(card) {
        assert!((right as i32 - card).abs() <= 2, "{}", shown.join(", "));
    }
}
