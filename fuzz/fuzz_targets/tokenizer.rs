//! Tokenizers of a base model, and one row through those that load.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use licen_train::{Encoder, jsonl};
use tempfile::TempDir;

/// The library's panics about a file are caught and become refusals; the fuzzer's own hook would end the
/// process before. What nobody catches still ends it.
static QUIET: LazyLock<()> = LazyLock::new(|| std::panic::set_hook(Box::new(|info| eprintln!("{info}"))));
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fuzz_target!(|bytes: &[u8]| {
    LazyLock::force(&QUIET);
    std::fs::write(FOLDER.path().join("tokenizer.json"), bytes).unwrap();
    if let Ok(encoder) = Encoder::load(FOLDER.path()) {
        let rows = jsonl::parse(b"{\"text\":\"one row, a few words\"}\n", 1 << 20).unwrap();
        let _ = encoder.encode(&rows, 64);
    }
});
