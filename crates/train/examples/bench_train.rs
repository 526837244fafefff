//! Training speed and memory, beside PEFT where a Python that has it is named. One JSON line each.
//! `cargo run --release -p licen-train --example bench_train [-- --runs 5 --threads 2 --peft PYTHON]`
//!
//! Each run is a process of its own, so that its peak memory is its own; runs of the two subjects
//! alternate, so that a busy neighbour slows both alike.
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use licen_train::{Model, TrainingParams, read_batches, train_batches};
use rand::{Rng, SeedableRng, rngs::StdRng};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};

const STEPS: usize = 6;
const BATCH: usize = 8;
const LENGTH: usize = 256;
const HIDDEN: usize = 256;
const INTERMEDIATE: usize = 704;
const LAYERS: usize = 6;
const HEADS: usize = 8;
const KV_HEADS: usize = 4;
const VOCABULARY: usize = 2048;

/// Name, shape and little-endian bytes.
type Tensors = Vec<(String, Vec<usize>, Vec<u8>)>;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1)).cloned();
    let number = |name: &str, default: usize| {
        option(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} takes a number")))
    };
    let threads = number("--threads", 2);
    if let Some(dir) = option("--one") {
        return one(Path::new(&dir), threads);
    }
    let fixture = tempfile::tempdir().expect("a temporary directory");
    write_fixture(fixture.path());
    let program = std::env::current_exe().expect("this program");
    let mut subjects = vec![("licen", vec![program.into_os_string(), "--one".into()], vec![])];
    if let Some(python) = option("--peft") {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/bench_train_peft.py");
        subjects.push(("peft", vec![python.into(), script.into_os_string()], vec![]));
    }
    for _ in 0..number("--runs", 5) {
        for (name, command, results) in &mut subjects {
            results.push(measure(name, command, fixture.path(), threads));
        }
    }
    let mut medians = Vec::new();
    for (name, _, results) in &subjects {
        let (speed, memory) = (median(results, "tokensPerCpuSecond"), median(results, "peakMib"));
        let line = json!({"bench": "train", "subject": name, "runs": results.len(), "threads": threads,
            "tokensPerCpuSecond": speed.round(), "peakMib": memory.round(), "lastLoss": results[0]["lastLoss"]});
        println!("{line}");
        medians.push((speed, memory));
    }
    if let [(ours, memory), (theirs, their_memory)] = medians[..] {
        let line =
            json!({"bench": "train", "timesPeft": ours / theirs, "memoryOfPeft": memory / their_memory});
        println!("{line}");
    }
}

fn median(results: &[Value], field: &str) -> f64 {
    let mut sorted: Vec<f64> = results.iter().filter_map(|r| r[field].as_f64()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn measure(name: &str, command: &[OsString], fixture: &Path, threads: usize) -> Value {
    let output = Command::new(&command[0])
        .args(&command[1..])
        .arg(fixture)
        .args(["--threads", &threads.to_string()])
        .output()
        .unwrap_or_else(|e| panic!("{name} cannot start: {e}"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{name} failed\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{name} printed {text:?}: {e}"))
}

/// Our side of one run.
fn one(dir: &Path, threads: usize) {
    let model = Model::load(&dir.join("base")).expect("the base model");
    let batches = read_batches(&dir.join("tokens.safetensors")).expect("the tokens");
    let settings = json!({"learning_rate": 1e-3, "lr_scheduler_type": "constant", "warmup_steps": 0,
        "max_grad_norm": 0, "lora_dropout": 0, "lora_r": 8, "lora_alpha": 16, "threads": threads,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]});
    let params = TrainingParams::parse(&settings.to_string()).expect("the settings");
    let outcome = train_batches(&model, &batches, &params, None, &mut ()).expect("training");
    // The first step warms caches and is left out, as on the other side.
    let mut speeds: Vec<f64> = outcome.steps.iter().skip(1).map(|s| s.tokens_per_cpu_second).collect();
    speeds.sort_by(f64::total_cmp);
    let last = outcome.steps.last().map(|s| s.loss);
    let line =
        json!({"tokensPerCpuSecond": speeds[speeds.len() / 2], "peakMib": peak_mib(), "lastLoss": last});
    println!("{line}");
}

fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number of kB") / 1024.0
}

/// A random Llama of the shape `small`, and batches whose second half repeats the first.
fn write_fixture(dir: &Path) {
    let base = dir.join("base");
    std::fs::create_dir(&base).expect("the base directory");
    let config = json!({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "vocab_size": VOCABULARY, "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true, "hidden_act": "silu",
        "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32"});
    std::fs::write(base.join("config.json"), config.to_string()).expect("config.json");
    let mut random = StdRng::seed_from_u64(0);
    let mut tensors = Tensors::new();
    for (name, shape) in shapes() {
        let count: usize = shape.iter().product();
        // Uniform with the standard deviation 0.04; norms are one.
        let mut value = || if shape.len() == 1 { 1.0 } else { random.random_range(-0.0693..0.0693_f32) };
        let bytes = (0..count).flat_map(|_| value().to_le_bytes()).collect();
        tensors.push((name, shape, bytes));
    }
    write_tensors(&base.join("model.safetensors"), &tensors, Dtype::F32);
    let mut bytes = Vec::new();
    for _ in 0..STEPS * BATCH {
        let half: Vec<i64> = (0..LENGTH / 2).map(|_| random.random_range(3..VOCABULARY as i64)).collect();
        bytes.extend([half.clone(), half].concat().into_iter().flat_map(i64::to_le_bytes));
    }
    let tokens = vec![("tokens".to_owned(), vec![STEPS, BATCH, LENGTH], bytes)];
    write_tensors(&dir.join("tokens.safetensors"), &tokens, Dtype::I64);
}

fn shapes() -> Vec<(String, Vec<usize>)> {
    let kv = HIDDEN / HEADS * KV_HEADS;
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
    ];
    for layer in 0..LAYERS {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        shapes.extend([
            (name("input_layernorm"), vec![HIDDEN]),
            (name("post_attention_layernorm"), vec![HIDDEN]),
            (name("self_attn.q_proj"), vec![HIDDEN, HIDDEN]),
            (name("self_attn.k_proj"), vec![kv, HIDDEN]),
            (name("self_attn.v_proj"), vec![kv, HIDDEN]),
            (name("self_attn.o_proj"), vec![HIDDEN, HIDDEN]),
            (name("mlp.gate_proj"), vec![INTERMEDIATE, HIDDEN]),
            (name("mlp.up_proj"), vec![INTERMEDIATE, HIDDEN]),
            (name("mlp.down_proj"), vec![HIDDEN, INTERMEDIATE]),
        ]);
    }
    shapes
}

fn write_tensors(path: &Path, tensors: &Tensors, dtype: Dtype) {
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(dtype, shape.clone(), bytes).expect("a tensor"))
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(views, Some(metadata), path).expect("a safetensors file");
}
