//! Base models and data sets made to hurt, each given to the real trainer in its sandbox: refused with a code before
//! anything is trained, in seconds, and never by a crash where a check is possible.

mod trainer_process;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trainer_process::{Trainer, tiny};

fn settings() -> Value {
    json!({"lora_r": 2, "max_seq_length": 64, "num_train_epochs": 1, "eval_fraction": 0.25})
}

/// The tiny model, changed.
fn changed(change: impl FnOnce(&Path)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(tiny()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    change(dir.path());
    dir
}

fn edit(dir: &Path, name: &str, change: impl FnOnce(&mut Value)) {
    let path = dir.join(name);
    let before = std::fs::read_to_string(&path).unwrap();
    let mut json: Value = serde_json::from_str(&before).unwrap();
    change(&mut json);
    assert_ne!(json, serde_json::from_str::<Value>(&before).unwrap(), "{name} is changed");
    std::fs::write(path, json.to_string()).unwrap();
}

/// What the trainer says to the changed model.
fn refusal(change: impl FnOnce(&Path)) -> String {
    let dir = changed(change);
    let begin = Instant::now();
    let report = Trainer::start(dir.path()).load(&settings()).expect("an answer, not a crash");
    assert!(begin.elapsed() < Duration::from_secs(20));
    report["Refused"]["message"].as_str().unwrap_or_else(|| panic!("{report}")).to_owned()
}

#[test]
fn the_model_as_it_is_is_taken() {
    let dir = changed(|_| {});
    let report = Trainer::start(dir.path()).load(&settings()).unwrap();
    assert!(report["Loaded"]["trainable"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn a_pickle_beside_the_weights_is_refused() {
    let message = refusal(|dir| std::fs::write(dir.join("pytorch_model.bin"), b"cos\nsystem\n").unwrap());
    assert!(message.contains("pickle") && message.contains("LIC0532"), "{message}");
}

#[test]
fn code_of_the_model_is_refused() {
    let message = refusal(|dir| std::fs::write(dir.join("modeling_tiny.py"), b"import os").unwrap());
    assert!(message.contains("is code") && message.contains("LIC0532"), "{message}");
    let auto_map = json!({"AutoModelForCausalLM": "modeling_tiny.Tiny"});
    for name in ["config.json", "tokenizer_config.json"] {
        let message = refusal(|dir| edit(dir, name, |json| json["auto_map"] = auto_map.clone()));
        assert!(message.contains("auto_map"), "{message}");
    }
}

#[test]
fn a_link_to_a_secret_is_refused() {
    let message = refusal(|dir| {
        std::os::unix::fs::symlink("/etc/passwd", dir.join("added_tokens.json")).unwrap();
    });
    assert!(message.contains("link"), "{message}");
}

#[test]
fn dimensions_that_need_more_memory_than_there_is_are_refused_before_it_is_taken() {
    let message = refusal(|dir| edit(dir, "config.json", |json| json["vocab_size"] = json!(4_000_000)));
    assert!(message.contains("LIC0536"), "{message}");
    let message = refusal(|dir| edit(dir, "config.json", |json| json["num_hidden_layers"] = json!(16)));
    assert!(message.contains("LIC0532"), "the weights do not have so many: {message}");
}

#[test]
fn a_header_that_claims_gigabytes_is_refused() {
    let message = refusal(|dir| {
        let mut bytes = (1_u64 << 40).to_le_bytes().to_vec();
        bytes.extend(b"{}");
        std::fs::write(dir.join("model.safetensors"), bytes).unwrap();
    });
    assert!(message.contains("the header says") && message.contains("LIC0532"), "{message}");
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    for value in [f32::NAN, f32::INFINITY] {
        let message = refusal(|dir| {
            let path = dir.join("model.safetensors");
            let mut bytes = std::fs::read(&path).unwrap();
            let half = bytes.windows(4).any(|w| w == b"BF16") || bytes.windows(3).any(|w| w == b"F16");
            let end = bytes.len();
            let high = value.to_bits().to_be_bytes();
            // The last number, little endian: NaN and infinity of bf16 are the upper half of those of f32.
            let last: Vec<u8> =
                if half { vec![high[1], high[0]] } else { high.iter().rev().copied().collect() };
            bytes[end - last.len()..].copy_from_slice(&last);
            std::fs::write(path, bytes).unwrap();
        });
        assert!(message.contains("not finite"), "{message}");
    }
}

#[test]
fn a_tokenizer_nested_beyond_reason_is_refused() {
    let message = refusal(|dir| {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        std::fs::write(dir.join("tokenizer.json"), format!("{{\"model\":{deep}}}")).unwrap();
    });
    assert!(message.contains("LIC0533"), "{message}");
}

#[test]
fn a_tokenizer_larger_than_any_is_refused() {
    let message = refusal(|dir| {
        let file = std::fs::File::create(dir.join("tokenizer.json")).unwrap();
        file.set_len(65 << 20).unwrap();
    });
    assert!(message.contains("at most"), "{message}");
}

#[test]
fn a_pattern_that_compiles_to_gigabytes_is_refused() {
    let message = refusal(|dir| {
        edit(dir, "tokenizer.json", |json| {
            json["normalizer"] = json!({
                "type": "Replace", "pattern": {"Regex": "((((a{100}){100}){100}){100}){100}"}, "content": "b",
            });
        });
    });
    assert!(message.contains("LIC0533"), "{message}");
}

/// Backtracking of this pattern doubles with every letter. The library counts steps and takes what is left as one piece,
/// so this ends, though with other text tokens than another library would make.
#[test]
fn a_pattern_that_takes_for_ever_on_a_row_ends() {
    let dir = changed(|dir| {
        edit(dir, "tokenizer.json", |json| {
            json["pre_tokenizer"] = json!({
                "type": "Split", "pattern": {"Regex": "(?:(a|aa)+)(?!a|!)$(?<=b)"}, "behavior": "Isolated", "invert": false,
            });
        });
    });
    let mut trainer = Trainer::start(dir.path());
    assert!(trainer.load(&settings()).unwrap().get("Loaded").is_some());
    let begin = Instant::now();
    let report = trainer.rows(&format!("{}\n", json!({"text": format!("{}!", "a".repeat(5_000))})));
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert!(report.unwrap().get("Opened").is_some());
}

#[test]
fn a_template_that_takes_for_ever_on_a_row_is_given_up() {
    let dir = changed(|dir| {
        let template =
            "{% for a in range(99999) %}{% for b in range(99999) %}{{ a * b }}{% endfor %}{% endfor %}";
        edit(dir, "tokenizer_config.json", |json| json["chat_template"] = json!(template));
    });
    let mut trainer = Trainer::start(dir.path());
    trainer.load(&settings()).unwrap();
    let row = json!({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]});
    let report = trainer.rows(&format!("{row}\n")).unwrap();
    assert_eq!(report["Failed"]["code"], "LIC0534", "{report}");
}

/// Rows whose answer is cut off teach nothing and are paid for all the same: they are counted, held out or not.
#[test]
fn rows_that_are_cut_before_their_answer_are_counted() {
    let settings = json!({"lora_r": 2, "max_seq_length": 16, "num_train_epochs": 1, "eval_fraction": 0.25});
    let row = |prompt: &str| format!("{}\n", json!({"prompt": prompt, "completion": "yes"}));
    let rows = [row("short"), row(&"long ".repeat(9)), row("short"), row(&"long ".repeat(9))].concat();
    let mut trainer = Trainer::start(&tiny());
    trainer.load(&settings).unwrap();
    let opened = trainer.rows(&rows).unwrap()["Opened"].clone();
    assert_eq!(opened["without_target"], 2, "{opened}");
    let (seen, trained) =
        (opened["per_epoch"][0].as_u64().unwrap(), opened["per_epoch"][1].as_u64().unwrap());
    assert!(seen <= 3 * 16 && (4..=8).contains(&trained), "of the three rows that train: {opened}");
}

#[test]
fn rows_nested_beyond_reason_are_refused_without_their_words() {
    let mut trainer = Trainer::start(&tiny());
    trainer.load(&settings()).unwrap();
    let deep = format!("{{\"text\":{}\"quillfeather\"{}}}\n", "[".repeat(100_000), "]".repeat(100_000));
    let report = trainer.rows(&deep).unwrap();
    assert_eq!(report, json!({"Failed": {"code": "LIC0502"}}));
}

#[test]
fn settings_that_need_more_memory_than_there_is_are_refused() {
    let mut settings = settings();
    settings["max_seq_length"] = json!(1 << 20);
    let report = Trainer::start(&tiny()).load(&settings).unwrap();
    assert!(report["Refused"]["message"].as_str().unwrap().contains("LIC0536"), "{report}");
}
