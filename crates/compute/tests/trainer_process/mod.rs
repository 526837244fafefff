//! The real trainer, spoken to over its pipes.

#![allow(dead_code, reason = "each test file uses a part")]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::{Value, json};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_licen-compute");
/// Enough for the tiny model, and too little for what is absurd.
pub(crate) const MEMORY: u64 = 1 << 30;

pub(crate) struct Trainer(pub(crate) Child);

/// `licen-compute trainer` as a node starts it.
pub(crate) fn command(base: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["trainer", "--memory", &MEMORY.to_string(), "--base"]).arg(base).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

impl Trainer {
    pub(crate) fn start(base: &Path) -> Self {
        let mut trainer = Self(command(base).spawn().unwrap());
        assert_eq!(trainer.hear().unwrap(), json!({"Ready": {"confined": true}}));
        trainer
    }

    /// The next report, or nothing where it has ended.
    pub(crate) fn hear(&mut self) -> Option<Value> {
        let from = self.0.stdout.as_mut().unwrap();
        let mut length = [0; 4];
        from.read_exact(&mut length).ok()?;
        let mut text = vec![0; u32::from_be_bytes(length) as usize];
        from.read_exact(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    pub(crate) fn tell(&mut self, order: &Value, bytes: &[u8]) {
        let to = self.0.stdin.as_mut().unwrap();
        let text = order.to_string();
        to.write_all(&(text.len() as u32).to_be_bytes()).unwrap();
        to.write_all(text.as_bytes()).unwrap();
        // A trainer that has ended reads no more.
        let _ = to.write_all(bytes);
    }

    pub(crate) fn load(&mut self, settings: &Value) -> Option<Value> {
        self.tell(&json!({"Load": {"settings": settings.to_string(), "threads": 2}}), &[]);
        self.hear()
    }

    pub(crate) fn rows(&mut self, text: &str) -> Option<Value> {
        self.tell(&json!({"Rows": {"bytes": text.len(), "count": true}}), text.as_bytes());
        self.hear()
    }

    /// Trains on rows with so many threads; the files of the result.
    pub(crate) fn train(base: &Path, settings: &Value, threads: usize, rows: &str) -> Vec<(String, Vec<u8>)> {
        let mut trainer = Self::start(base);
        trainer.tell(&json!({"Load": {"settings": settings.to_string(), "threads": threads}}), &[]);
        assert!(trainer.hear().unwrap().get("Loaded").is_some());
        assert!(trainer.rows(rows).unwrap().get("Opened").is_some());
        let nothing = Value::Null;
        let card = json!({"base_model": "tiny", "dataset_root": nothing, "policy": nothing, "job": nothing,
            "attestation": nothing});
        trainer.tell(&json!({"Train": {"card": card}}), &[]);
        let files = loop {
            let report = trainer.hear().expect("it goes on");
            if let Some(files) = report["Trained"]["files"].as_array() {
                break files.clone();
            }
            let progress = report.get("Progress").unwrap_or_else(|| panic!("{report}"));
            // Behind each epoch but the last it waits.
            let done = progress["epochs_done"].as_u64().unwrap();
            if done == progress["epoch"].as_u64().unwrap()
                && done < settings["num_train_epochs"].as_u64().unwrap()
            {
                trainer.tell(&json!({"Epoch": {"another": true}}), &[]);
            }
        };
        let take = |file: &Value| {
            let mut bytes = vec![0; file[1].as_u64().unwrap() as usize];
            trainer.0.stdout.as_mut().unwrap().read_exact(&mut bytes).unwrap();
            (file[0].as_str().unwrap().to_owned(), bytes)
        };
        let files = files.iter().map(take).collect();
        assert_eq!(trainer.0.wait().unwrap().code(), Some(0));
        files
    }

    pub(crate) fn end(mut self) -> ExitStatus {
        drop(self.0.stdin.take());
        self.0.wait().unwrap()
    }
}

/// The base model that ships with this crate.
pub(crate) fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../train/models/tiny")
}
