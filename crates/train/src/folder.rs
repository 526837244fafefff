//! The PEFT folder a run ends with, written beside its place and moved there when complete.

use crate::adapter::Adapter;
use crate::error::{Error, Result, io_at};
use crate::params::TrainingParams;
use crate::trainer::Outcome;
use serde_json::{Value, json};
use std::path::Path;

/// Tokenizer files of the base model that belong to an adapter folder.
const TOKENIZER_FILES: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "generation_config.json",
    "tokenizer.model",
];

/// Files that are made by a run.
const WRITTEN_FILES: [&str; 4] =
    ["adapter_config.json", "adapter_model.safetensors", "trainer_state.json", "README.md"];

/// What the model card says beside the numbers; every field may be left out.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct CardFields {
    /// Name or root of the base model.
    pub base_model: Option<String>,
    /// datasetRoot, `0x` and 64 digits.
    pub dataset_root: Option<String>,
    /// Policy hash.
    pub policy: Option<String>,
    /// jobId.
    pub job: Option<String>,
    /// Reference of the evidence bundle.
    pub attestation: Option<String>,
}

/// Writes `adapter_config.json`, `adapter_model.safetensors`, `trainer_state.json`, `README.md` and the base model's
/// tokenizer files to `out`, which must not exist or be empty. Either all of it appears or none.
///
/// # Errors
/// [`Error::OutputExists`], [`Error::Io`].
pub fn write(
    out: &Path,
    base: &Path,
    outcome: &Outcome,
    params: &TrainingParams,
    card: &CardFields,
) -> Result<()> {
    check_free(out)?;
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(io_at(parent))?;
    let staging = tempfile::Builder::new().prefix(".adapter-").tempdir_in(parent).map_err(io_at(parent))?;
    for (name, bytes) in files(base, outcome, params, card)? {
        let path = staging.path().join(name);
        let mut file = std::fs::File::create(&path).map_err(io_at(&path))?;
        std::io::Write::write_all(&mut file, &bytes).map_err(io_at(&path))?;
        file.sync_all().map_err(io_at(&path))?;
    }
    if out.exists() {
        std::fs::remove_dir(out).map_err(io_at(out))?;
    }
    let staged = staging.keep();
    std::fs::rename(&staged, out).map_err(|source| {
        let _ = std::fs::remove_dir_all(&staged);
        io_at(out)(source)
    })?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(out, mode).map_err(io_at(out))
}

/// Whether an adapter folder may hold a file of this name.
#[must_use]
pub fn is_file(name: &str) -> bool {
    WRITTEN_FILES.contains(&name) || TOKENIZER_FILES.contains(&name)
}

/// Refuses an output folder that already holds something, before any work is done.
///
/// # Errors
/// [`Error::OutputExists`].
pub fn check_free(out: &Path) -> Result<()> {
    let empty = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
    if out.exists() && !empty {
        return Err(Error::OutputExists(out.to_path_buf()));
    }
    Ok(())
}

/// The files of the folder as (name, bytes), sorted by name: what a result archive is made of.
///
/// # Errors
/// [`Error::Io`] when a tokenizer file of `base` cannot be read.
pub fn files(
    base: &Path,
    outcome: &Outcome,
    params: &TrainingParams,
    card: &CardFields,
) -> Result<Vec<(String, Vec<u8>)>> {
    let name = card.base_model.clone().unwrap_or_else(|| {
        base.file_name().map_or_else(|| "base".to_owned(), |name| name.to_string_lossy().into_owned())
    });
    let mut files = vec![
        ("adapter_config.json".to_owned(), pretty(&adapter_config(&outcome.adapter, &name))),
        ("adapter_model.safetensors".to_owned(), outcome.adapter.to_safetensors()?),
        ("trainer_state.json".to_owned(), pretty(&trainer_state(outcome, params))),
        ("README.md".to_owned(), crate::card::render(&name, outcome, params, card).into_bytes()),
    ];
    for name in TOKENIZER_FILES {
        let path = base.join(name);
        if path.exists() {
            files.push((name.to_owned(), std::fs::read(&path).map_err(io_at(&path))?));
        }
    }
    files.sort();
    Ok(files)
}

fn pretty(value: &Value) -> Vec<u8> {
    let mut text = format!("{value:#}");
    text.push('\n');
    text.into_bytes()
}

fn adapter_config(adapter: &Adapter, base: &str) -> Value {
    let config = adapter.config();
    let targets: Vec<&str> = config.targets.iter().map(|t| t.name()).collect();
    json!({
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "lora_alpha": whole_or_real(config.alpha),
        "lora_dropout": config.dropout,
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": config.rank,
        "target_modules": targets,
        "task_type": "CAUSAL_LM",
        "use_dora": false,
        "use_rslora": config.rank_stabilized,
    })
}

/// PEFT writes an integer alpha where it is one.
fn whole_or_real(value: f64) -> Value {
    if value.fract() == 0.0 { json!(value as i64) } else { json!(value) }
}

fn trainer_state(outcome: &Outcome, params: &TrainingParams) -> Value {
    let steps = outcome.steps.len() as u64;
    let mut log = Vec::new();
    for report in &outcome.steps {
        if report.step.is_multiple_of(params.logging_steps) || report.step == steps {
            log.push(json!({
                "epoch": report.epoch, "grad_norm": report.grad_norm, "learning_rate": report.learning_rate,
                "loss": report.loss, "step": report.step,
            }));
        }
        for epoch in outcome.epochs.iter().filter(|e| e.step == report.step) {
            if let Some(loss) = epoch.held_out_loss {
                log.push(json!({ "epoch": epoch.epoch, "eval_loss": loss, "step": epoch.step }));
            }
        }
    }
    json!({
        "ended": outcome.ended,
        "epoch": outcome.metering.epochs,
        "global_step": steps,
        "log_history": log,
        "max_steps": steps,
        "metering": outcome.metering,
        "num_train_epochs": params.num_train_epochs,
        "seed": params.seed,
        "train_batch_size": params.per_device_train_batch_size,
    })
}
