//! What the demo ships: the tiny base model and the sample dataset, both made by generators in
//! `crates/compute`.

use std::path::{Path, PathBuf};

use crate::session::codes;
use crate::session::error::{CliError, Outcome};

/// Files of the tiny base model.
const MODEL: [(&str, &[u8]); 4] = [
    ("config.json", include_bytes!("../../../train/models/tiny/config.json")),
    ("model.safetensors", include_bytes!("../../../train/models/tiny/model.safetensors")),
    ("tokenizer.json", include_bytes!("../../../train/models/tiny/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../../../train/models/tiny/tokenizer_config.json")),
];

/// The sample dataset.
const DATASET: &[u8] = include_bytes!("../../../train/data/vials.jsonl");

/// Writes the base model into `dir/tiny`.
///
/// # Errors
/// The disk refuses.
pub fn write_model(dir: &Path) -> Outcome<PathBuf> {
    let model = dir.join("tiny");
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(&model)?;
        MODEL.iter().try_for_each(|(name, bytes)| std::fs::write(model.join(name), bytes))
    };
    write().map_err(|e| CliError::environment(codes::FILE, "cannot write the base model").because(&e))?;
    Ok(model)
}

/// Writes the sample dataset.
///
/// # Errors
/// The disk refuses.
pub fn write_dataset(dir: &Path) -> Outcome<PathBuf> {
    let path = dir.join("vials.jsonl");
    std::fs::write(&path, DATASET)
        .map_err(|e| CliError::environment(codes::FILE, "cannot write the sample").because(&e))?;
    Ok(path)
}
