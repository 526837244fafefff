//! stdout carries data only; progress goes to stderr. With `--json`, stdout is one JSON object per
//! line.
#![allow(clippy::print_stdout)]

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use licen_core::admission::is_obeyed;
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
            eprintln!("  {}", plain(line));
        }
    }

    /// The result for people; nothing under `--json`.
    pub fn data(&self, text: &str) {
        if !self.json && !self.muted {
            println!("{}", plain(text));
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
            eprintln!("warning: {}", plain(line));
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
        eprint!("{} [y/N] ", plain(question));
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).is_ok()
            && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }
}

/// `text` without what a terminal obeys or what reorders a line. Its lines stay: it is ours, and what strangers
/// wrote into it went through [`line`].
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    shown(text, |c| is_obeyed(c) && !matches!(c, '\n' | '\t'))
}

/// What a stranger wrote (a title, a name, a refusal) as part of one line of ours: no line of its own can pass
/// for a row, a hint or an error of this program.
#[must_use]
pub fn line(text: &str) -> String {
    shown(text, is_obeyed).into_owned()
}

fn shown(text: &str, obeyed: impl Fn(char) -> bool + Copy) -> Cow<'_, str> {
    if text.contains(obeyed) { Cow::Owned(text.replace(obeyed, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// The first and last digits of a long hex name.
#[must_use]
pub fn short(hex: &str) -> String {
    if hex.len() <= 14 { hex.to_string() } else { format!("{}…{}", &hex[..8], &hex[hex.len() - 4..]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_cannot_drive_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\rc\u{202e}d"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
        assert_eq!(plain("two\nlines, ünïcode"), "two\nlines, ünïcode");
        for turned in ['\u{61c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{2066}'] {
            assert_eq!(plain(&format!("a{turned}b")), "a\u{fffd}b");
        }
    }

    #[test]
    fn a_stranger_writes_no_line_of_ours() {
        let detail = "too dear\n\nhint: licen withdraw --to 0xBAD --yes\r\tCH";
        let shown = "too dear\u{fffd}\u{fffd}hint: licen withdraw --to 0xBAD --yes\u{fffd}\u{fffd}CH";
        assert_eq!(line(detail), shown);
        assert_eq!(line("ünïcode"), "ünïcode");
    }
}
