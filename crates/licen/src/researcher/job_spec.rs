//! The JobSpec that `request` asks for, every setting checked before anything is paid: compute would
//! refuse a wrong one too, but only after the escrow.

use licen_core::constraints::{JobSpec, Learn};
use licen_core::wire::node::ModelInfo;
use serde_json::{Map, Value, json};

use crate::cli::RequestArgs;
use crate::session::codes;
use crate::session::error::{CliError, Outcome};

/// What a setting's value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Flag,
    Text,
    /// Text or a list of texts.
    Texts,
}

/// Every setting `licen-compute` knows, aliases included; a test holds the two lists together.
const SETTINGS: &[(&str, Kind)] = &[
    ("num_train_epochs", Kind::Number),
    ("num_epochs", Kind::Number),
    ("per_device_train_batch_size", Kind::Number),
    ("batch_size", Kind::Number),
    ("gradient_accumulation_steps", Kind::Number),
    ("learning_rate", Kind::Number),
    ("max_steps", Kind::Number),
    ("lr_scheduler_type", Kind::Text),
    ("logging_steps", Kind::Number),
    ("max_seq_length", Kind::Number),
    ("max_length", Kind::Number),
    ("seed", Kind::Number),
    ("threads", Kind::Number),
    ("max_grad_norm", Kind::Number),
    ("weight_decay", Kind::Number),
    ("adam_beta1", Kind::Number),
    ("adam_beta2", Kind::Number),
    ("adam_epsilon", Kind::Number),
    ("eval_fraction", Kind::Number),
    ("evalFraction", Kind::Number),
    ("lora_r", Kind::Number),
    ("r", Kind::Number),
    ("lora_alpha", Kind::Number),
    ("alpha", Kind::Number),
    ("lora_dropout", Kind::Number),
    ("dropout", Kind::Number),
    ("use_rslora", Kind::Flag),
    ("target_modules", Kind::Texts),
    ("fp16", Kind::Flag),
    ("bf16", Kind::Flag),
    ("save_steps", Kind::Number),
    ("save_total_limit", Kind::Number),
    ("warmup_steps", Kind::Number),
    ("warmup_ratio", Kind::Number),
    ("early_stopping_patience", Kind::Number),
    ("early_stopping_threshold", Kind::Number),
    ("use_4bit", Kind::Flag),
    ("use_8bit", Kind::Flag),
    ("load_in_4bit", Kind::Flag),
    ("load_in_8bit", Kind::Flag),
    ("neftune_noise_alpha", Kind::Number),
    ("packing", Kind::Flag),
    ("optim", Kind::Text),
];

/// Reads `--config` and the flags.
///
/// # Errors
/// An unreadable file, something else than one JSON object, a setting nobody knows or of the wrong
/// kind, epochs that contradict `--epochs`.
pub fn job_spec(args: &RequestArgs, model: &ModelInfo) -> Outcome<JobSpec> {
    if !(0.0..=0.9).contains(&args.eval_fraction) {
        let message = format!("--eval-fraction {} is not between 0 and 0.9", args.eval_fraction);
        return Err(CliError::environment(codes::USAGE, message).hint("--eval-fraction 0.1"));
    }
    let mut params = settings(args)?;
    for name in ["num_train_epochs", "num_epochs"] {
        if params.remove(name).is_some_and(|asked| asked != json!(args.epochs)) {
            let message = format!("{name} in --config is not what --epochs {} pays for", args.epochs);
            return Err(CliError::environment(codes::USAGE, message).hint(format!("leave {name} out")));
        }
    }
    params.insert("num_train_epochs".into(), json!(args.epochs));
    Ok(JobSpec {
        base_model_root: model.base_model_root,
        training_params: params,
        eval_fraction: args.eval_fraction,
        seed: args.seed,
        learn: Learn::Assistant,
        parents: Vec::new(),
    })
}

fn settings(args: &RequestArgs) -> Outcome<Map<String, Value>> {
    let Some(path) = &args.config else { return Ok(Map::new()) };
    let shown = path.display();
    let example = "one JSON object, for example {\"lora_r\": 8, \"learning_rate\": 0.0002}";
    let text = std::fs::read_to_string(path)
        .map_err(|e| CliError::environment(codes::FILE, format!("cannot read {shown}")).because(&e))?;
    let params = match serde_json::from_str(&text) {
        Ok(Value::Object(map)) => map,
        Ok(_) => {
            let message = format!("{shown} is not a JSON object");
            return Err(CliError::environment(codes::USAGE, message).hint(example));
        }
        Err(e) => {
            let message = format!("{shown} is not JSON");
            return Err(CliError::environment(codes::USAGE, message).because(&e).hint(example));
        }
    };
    for (name, value) in &params {
        check(name, value).map_err(|e| {
            e.hint(format!("correct {shown}; licen-compute train --help lists every setting"))
        })?;
    }
    Ok(params)
}

fn check(name: &str, value: &Value) -> Outcome {
    let unusable = |message: String| Err(CliError::environment(codes::USAGE, message));
    let Some((_, kind)) = SETTINGS.iter().find(|(known, _)| *known == name) else {
        let near = SETTINGS.iter().map(|(known, _)| *known).min_by_key(|known| distance(known, name));
        let meant = near.filter(|known| distance(known, name) <= 3);
        let meant = meant.map_or(String::new(), |known| format!(", is `{known}` meant?"));
        return unusable(format!("unknown training setting `{name}`{meant}"));
    };
    let (fits, what) = match kind {
        Kind::Number => (value.is_number(), "a number"),
        Kind::Flag => (value.is_boolean(), "true or false"),
        Kind::Text => (value.is_string(), "text"),
        Kind::Texts => (value.is_string() || value.is_array(), "text or a list of texts"),
    };
    if fits || value.is_null() {
        Ok(())
    } else {
        unusable(format!("training setting `{name}` must be {what}"))
    }
}

/// Edits between two names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_settings_are_those_of_the_trainer() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../train/src/params.rs");
        let source = std::fs::read_to_string(path).unwrap();
        // The names its parser matches on: string patterns of `canonical` and of the three setters.
        let parser = source.split("fn canonical").nth(1).unwrap().split("fn set_warmup").next().unwrap();
        let mut theirs = BTreeSet::new();
        for arm in parser.lines().filter(|l| l.contains("=>") || l.trim_start().starts_with('"')) {
            let patterns = arm.split("=>").next().unwrap();
            if patterns.contains("Some(") {
                continue;
            }
            theirs.extend(patterns.split('"').skip(1).step_by(2).map(str::to_string));
        }
        let ours: BTreeSet<String> = SETTINGS.iter().map(|(name, _)| (*name).to_string()).collect();
        assert!(theirs.len() > 30, "the parser's names were not found: {theirs:?}");
        theirs.extend(["num_train_epochs", "lora_r"].map(String::from));
        assert_eq!(ours, theirs);
    }

    #[test]
    fn a_typing_error_is_named_with_the_setting_meant() {
        let error = check("lora_rr", &json!(8)).unwrap_err();
        assert_eq!(error.message, "unknown training setting `lora_rr`, is `lora_r` meant?");
        assert!(check("learning_rate", &json!("fast")).is_err());
        assert!(check("lora_r", &json!(8)).is_ok());
        assert!(check("zzzzzzzzzzzz", &json!(8)).unwrap_err().message.ends_with("`zzzzzzzzzzzz`"));
    }
}
