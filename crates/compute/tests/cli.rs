//! `licen-compute` as a person types it.

use std::path::Path;
use std::process::{Command, Output};

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_licen-compute")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }
}

#[test]
fn train_writes_a_peft_folder_and_continues_from_it() {
    let place = Place::new();
    let base = format!("{CRATE}/../train/models/tiny");
    let rows = std::fs::read_to_string(format!("{CRATE}/../train/data/vials.jsonl")).unwrap();
    let data = place.file("rows.jsonl", rows.lines().take(20).collect::<Vec<_>>().join("\n"));
    let config =
        place.file("train.json", r#"{"num_epochs":2,"batch_size":3,"gradient_accumulation_steps":2,"r":4}"#);
    let out = place.path("adapter");
    let done = run(&["train", "--base", &base, "--data", &data, "--config", &config, "--out", &out]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let lines: Vec<serde_json::Value> =
        text(&done.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6);
    for (i, line) in lines.iter().enumerate() {
        let names: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["step", "epoch", "loss", "tokens", "tokensPerCpuSecond"]);
        assert_eq!((&line["step"], &line["epoch"]), (&(i + 1).into(), &(i / 3 + 1).into()));
    }
    let mut names: Vec<String> =
        std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected = [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "trainer_state.json",
    ];
    assert_eq!(names, expected);
    let read = |name: &str| std::fs::read_to_string(Path::new(&out).join(name)).unwrap();
    let adapter: serde_json::Value = serde_json::from_str(&read("adapter_config.json")).unwrap();
    assert_eq!((adapter["r"].as_u64(), adapter["peft_type"].as_str()), (Some(4), Some("LORA")));
    assert!(read("README.md").contains("base_model: \"tiny\""));
    assert!(read("trainer_state.json").contains("\"tokensTrained\""));

    let again = place.path("again");
    let arguments = ["train", "--base", &base, "--data", &data, "--config", &config, "--out", &again];
    let done = run(&[&arguments[..], &["--init-adapter", &out]].concat());
    assert!(done.status.success(), "{}", text(&done.stderr));
    let exists = run(&arguments);
    assert_eq!(exists.status.code(), Some(2));
    assert!(text(&exists.stderr).contains("exists already [LIC0551]"));
    let leftovers = std::fs::read_dir(place.0.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
    assert_eq!(leftovers.count(), 0);
}

#[test]
fn refusals_have_code_hint_and_status_and_write_nothing() {
    let place = Place::new();
    let base = format!("{CRATE}/../train/models/tiny");
    let good = place.file("good.json", "{}");
    let out = place.path("adapter");
    for (data, config, status, message) in [
        (
            &b"{\"text\": \"a\"}\n{\"text\": \"b\",}\n"[..],
            "{}",
            1,
            "error: line 2, column 14: not valid JSON: trailing comma [LIC0502]",
        ),
        (b"", "{}", 1, "error: the data set is empty [LIC0501]"),
        (b"{\"text\":\"\xff\"}", "{}", 1, "error: line 1, column 10: not valid UTF-8 [LIC0503]"),
        (b"{\"chosen\":1}", "{}", 1, "[LIC0506]"),
        (
            b"{\"text\":\"a\"}",
            "{\"lora_rank\":8}",
            2,
            "error: unknown training setting `lora_rank` [LIC0521]",
        ),
        (b"{\"text\":\"a\"}", "{\"use_4bit\":true}", 2, "[LIC0523]"),
        (b"{\"text\":\"\"}", "{\"eval_fraction\":0}", 1, "[LIC0507]"),
    ] {
        let (data, config) = (place.file("rows.jsonl", data), place.file("train.json", config));
        let done = run(&["train", "--base", &base, "--data", &data, "--config", &config, "--out", &out]);
        let stderr = text(&done.stderr);
        assert!(stderr.contains(message) && stderr.contains("\n\nhint: "), "{stderr}");
        assert_eq!(done.status.code(), Some(status), "{stderr}");
        assert!(done.stdout.is_empty() && !Path::new(&out).exists());
    }
    let missing = run(&["train", "--base", &base, "--data", "/nowhere", "--config", &good, "--out", &out]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("[LIC0550]"));
    assert_eq!(run(&["train", "--base", &base]).status.code(), Some(2));
}

#[test]
fn count_prints_what_is_metered() {
    let place = Place::new();
    let data = place.file("rows.jsonl", "{\"prompt\":\"ab\",\"completion\":\"c\"}\n\n{\"text\":\"four\"}\n");
    let done = run(&["count", "--base", &format!("{CRATE}/../train/models/tiny"), "--data", &data]);
    assert_eq!(text(&done.stdout), "{\"rows\":2,\"tokens\":9,\"tokensTrained\":6}\n");
}

#[test]
fn help_shows_examples_and_every_setting() {
    let help = text(&run(&["train", "--help"]).stdout);
    for part in
        ["Examples:", "--init-adapter", "early_stopping_patience", "max_grad_norm", "tokensPerCpuSecond"]
    {
        assert!(help.contains(part), "{part}");
    }
}
