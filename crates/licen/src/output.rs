//! stdout carries data only; progress goes to stderr. With `--json`, stdout is one JSON object per
//! line.
#![allow(clippy::print_stdout)]

use std::io::{IsTerminal, Write};

use serde_json::Value;

/// Where a command speaks.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    /// NDJSON on stdout, nothing decorative on stderr.
    pub json: bool,
    /// No progress at all.
    pub quiet: bool,
    /// Answers yes to every question.
    pub yes: bool,
    /// Says nothing: a step of a command that tells its own story.
    pub muted: bool,
}

impl Ui {
    /// One line of progress, past tense, on stderr.
    pub fn progress(&self, line: &str) {
        if !self.quiet && !self.json && !self.muted {
            eprintln!("  {line}");
        }
    }

    /// The result for people; nothing under `--json`.
    pub fn data(&self, text: &str) {
        if !self.json && !self.muted {
            println!("{text}");
        }
    }

    /// The result for programs; nothing without `--json`.
    pub fn record(&self, value: &Value) {
        if self.json && !self.muted {
            println!("{value}");
            let _ = std::io::stdout().flush();
        }
    }

    /// Something a person must not miss, on stderr.
    pub fn warn(&self, line: &str) {
        if !self.muted {
            eprintln!("warning: {line}");
        }
    }

    /// Asks before an irreversible act. Without a terminal and without `--yes` the answer is no.
    #[must_use]
    pub fn confirm(&self, question: &str) -> bool {
        if self.yes {
            return true;
        }
        if !std::io::stdin().is_terminal() {
            return false;
        }
        eprint!("{question} [y/N] ");
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).is_ok()
            && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }
}
