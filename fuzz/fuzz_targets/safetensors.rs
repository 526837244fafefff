//! Weights of a base model: the file of a folder that is otherwise as it should be.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use licen_train::Model;
use tempfile::TempDir;

const CONFIG: &[u8] = include_bytes!("../../crates/train/models/tiny/config.json");
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), CONFIG).unwrap();
    dir
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(FOLDER.path().join("model.safetensors"), bytes).unwrap();
    let _ = Model::load(FOLDER.path());
});
