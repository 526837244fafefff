//! Training every weight of a small model from nothing: how the tiny base model is made.

use crate::config::ModelConfig;
use crate::corpus::Corpus;
use crate::engine::decoder::Gradient;
use crate::engine::lanes::Lanes;
use crate::engine::model::Model;
use crate::engine::optimizer::{AdamW, clip};
use crate::error::{Error, Result, io_at};
use crate::params::{AdamConfig, threads};
use crate::sample::Sample;
use crate::schedule::{Schedule, ScheduleKind, Warmup};
use serde_json::{Value, json};
use std::path::Path;

/// Ids before the 256 bytes: `<|pad|>` 0, `<|eos|>` 1.
const SPECIAL: [&str; 2] = ["<|pad|>", "<|eos|>"];
const END: u32 = 1;

/// Seeds of the text to learn, of the text to judge by, and of the first weights.
const TRAIN_SEED: u64 = 1;
const JUDGE_SEED: u64 = 2;
const WEIGHT_SEED: u64 = 3;

/// How the tiny model is trained.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    pub steps: u64,
    /// Steps the schedule is made for; a shorter run then repeats the start of the longer one.
    pub planned_steps: u64,
    /// Sequences per step and text tokens per sequence.
    pub batch: usize,
    pub length: usize,
    pub peak_rate: f64,
    pub threads: Option<usize>,
}

impl Default for Recipe {
    fn default() -> Self {
        Recipe { steps: 3000, planned_steps: 3000, batch: 4, length: 256, peak_rate: 2e-3, threads: None }
    }
}

/// `config.json` of the tiny model.
pub fn config_json() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": SPECIAL.len() + 256,
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": true,
        "attention_bias": false,
        "mlp_bias": false,
        "pad_token_id": 0,
        "eos_token_id": END,
        "bos_token_id": null,
        "torch_dtype": "bfloat16",
    })
}

/// `tokenizer.json`: one token per byte, as a byte-level BPE without merges.
pub fn tokenizer_json() -> Value {
    let mut vocab = serde_json::Map::new();
    for (id, name) in SPECIAL.iter().enumerate() {
        vocab.insert((*name).to_owned(), json!(id));
    }
    for (byte, letter) in byte_letters().into_iter().enumerate() {
        vocab.insert(letter.to_string(), json!(SPECIAL.len() + byte));
    }
    let added: Vec<Value> = SPECIAL
        .iter()
        .enumerate()
        .map(|(id, name)| {
            json!({ "id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
        })
        .collect();
    let level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": level,
        "post_processor": null,
        "decoder": level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": [],
        },
    })
}

/// `tokenizer_config.json` with the chat template.
pub fn tokenizer_config_json() -> Value {
    let template = "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ 'A: ' + message['content'] \
        + eos_token }}{% else %}{{ 'Q: ' + message['content'] + ' ' }}{% endif %}{% endfor %}\
        {% if add_generation_prompt %}{{ 'A: ' }}{% endif %}";
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": SPECIAL[0],
        "eos_token": SPECIAL[1],
        "model_max_length": 512,
        "clean_up_tokenization_spaces": false,
        "chat_template": template,
    })
}

/// The printable letter that byte-level tokenizers write for each byte.
fn byte_letters() -> Vec<char> {
    let mut next = 256;
    let letters = (0u32..256).map(|byte| match byte {
        33..=126 | 161..=172 | 174..=255 => byte,
        _ => {
            next += 1;
            next - 1
        }
    });
    letters.filter_map(char::from_u32).collect()
}

/// The next sequence of `length` text tokens: documents one after another, each closed by `<|eos|>`.
fn sequence(corpus: &mut Corpus, length: usize) -> Sample {
    let mut ids = Vec::with_capacity(length + 400);
    while ids.len() < length {
        ids.extend(corpus.document().bytes().map(|byte| SPECIAL.len() as u32 + u32::from(byte)));
        ids.push(END);
    }
    ids.truncate(length);
    Sample::all(ids)
}

/// Trains the tiny model. `watch` is given each step (from 1) and its loss in nats per text token.
///
/// # Errors
/// [`Error::Diverged`].
pub fn pretrain(recipe: &Recipe, mut watch: impl FnMut(u64, f64)) -> Result<Model> {
    let config = ModelConfig::parse(&config_json().to_string())?;
    let mut model = Model::random(&config, 0.05, WEIGHT_SEED);
    let mut lanes = Lanes::new(threads(recipe.threads), &Gradient::Model(Model::zeros(&config)));
    let mut adam = AdamW::new(AdamConfig { beta2: 0.95, weight_decay: 0.01, ..AdamConfig::default() });
    let schedule =
        Schedule::new(ScheduleKind::Cosine, recipe.peak_rate, Warmup::Steps(50), recipe.planned_steps);
    let mut corpus = Corpus::new(TRAIN_SEED);
    for step in 0..recipe.steps {
        let batch: Vec<Sample> = (0..recipe.batch).map(|_| sequence(&mut corpus, recipe.length)).collect();
        let targets = recipe.batch * (recipe.length - 1);
        let rows: Vec<&Sample> = batch.iter().collect();
        let sum = lanes.gradient(&model, None, &rows, 1.0 / targets as f32, &|_| None);
        if !sum.is_finite() {
            return Err(Error::Diverged { step: step as usize + 1 });
        }
        clip(lanes.total().tensors_mut(), 1.0);
        adam.step(schedule.rate(step), model.tensors_mut(), lanes.total().tensors_mut());
        model.pack();
        watch(step + 1, sum / targets as f64);
    }
    model.round_to_bf16();
    Ok(model)
}

/// Mean loss in nats per text token on `count` sequences the tiny model never saw.
pub fn judge(model: &Model, count: usize) -> f64 {
    let mut corpus = Corpus::new(JUDGE_SEED);
    let samples: Vec<Sample> = (0..count).map(|_| sequence(&mut corpus, 256)).collect();
    let targets: u64 = samples.iter().map(Sample::tokens_trained).sum();
    let mut lanes = Lanes::new(threads(None), &Gradient::Model(Model::zeros(model.config())));
    lanes.loss(model, None, &samples) / targets as f64
}

/// Writes the tiny model's folder, all but its card.
///
/// # Errors
/// [`Error::Io`].
pub fn save(model: &Model, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(io_at(dir))?;
    model.save(dir)?;
    let texts = [
        ("config.json", config_json()),
        ("tokenizer.json", tokenizer_json()),
        ("tokenizer_config.json", tokenizer_config_json()),
    ];
    for (name, value) in texts {
        let path = dir.join(name);
        std::fs::write(&path, format!("{value:#}\n")).map_err(io_at(&path))?;
    }
    Ok(())
}
