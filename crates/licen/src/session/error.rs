//! What the command line says when something fails: a lowercase sentence with its code, causes, and
//! the next command to type.

use std::fmt;

use licen_core::fault::Fault;

use crate::session::output::{line, plain};

/// Exit code for a refusal by a rule: policy, attestation, funds, verification.
pub const REFUSED: u8 = 1;
/// Exit code for wrong usage or a broken environment.
pub const ENVIRONMENT: u8 = 2;

/// An error on its way to a person.
#[derive(Debug)]
pub struct CliError {
    /// The number in `LICnnnn`; each has an entry in `codes.rs`.
    pub code: u16,
    /// Lowercase, no full stop.
    pub message: String,
    /// Deeper causes, outermost first, each one line.
    pub causes: Vec<String>,
    /// Where a file of the user's is not what it should be, in the parser's lines.
    place: Option<String>,
    /// What to type or do next.
    pub hint: Option<String>,
    /// [`REFUSED`] or [`ENVIRONMENT`].
    pub exit: u8,
}

/// What commands return.
pub type Outcome<T = ()> = Result<T, CliError>;

impl CliError {
    /// A rule said no.
    pub fn refused(code: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), causes: Vec::new(), place: None, hint: None, exit: REFUSED }
    }

    /// The usage is wrong or the environment is broken.
    pub fn environment(code: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), causes: Vec::new(), place: None, hint: None, exit: ENVIRONMENT }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds an error and its root cause; what lies between repeats one of the two.
    #[must_use]
    pub fn because(mut self, cause: &dyn std::error::Error) -> Self {
        let mut said = self.message.clone();
        let mut root = cause;
        while let Some(source) = root.source() {
            root = source;
        }
        for text in [cause.to_string(), root.to_string()] {
            let text = text.trim_end();
            if !said.contains(text) {
                said.push_str(text);
                self.causes.push(text.to_string());
            }
        }
        self
    }

    /// Adds what the parser of a settings file shows of it.
    #[must_use]
    pub fn in_file(mut self, cause: &toml::de::Error) -> Self {
        self.place = Some(cause.to_string().trim_end().to_string());
        self
    }

    /// What the argument parser says, in the words and with the exit code of every other error.
    #[must_use]
    pub fn usage(error: &clap::Error, command: &str) -> Self {
        let text = error.render().to_string();
        let told = text.split("\n\nUsage:").next().unwrap_or_default();
        let told = told.split("\n\nFor more").next().unwrap_or_default();
        let mut lines = told.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_string();
        for line in lines {
            let join = if message.ends_with(':') { " " } else { "; " };
            message.push_str(join);
            message.push_str(line.trim_start_matches('[').trim_end_matches(']'));
        }
        Self::environment(crate::session::codes::USAGE, message).hint(format!("{command} --help"))
    }

    /// Says whose fault a library error is, where that is not this machine's.
    #[must_use]
    pub fn of<E: Fault + std::error::Error>(code: u16, message: impl Into<String>, error: &E) -> Self {
        use licen_core::fault::Party;
        let exit = match error.fault() {
            Party::Environment => ENVIRONMENT,
            Party::Chain | Party::Operator if error.retryable() => ENVIRONMENT,
            Party::Owner
            | Party::Requester
            | Party::Custodian
            | Party::Compute
            | Party::Storage
            | Party::Chain
            | Party::Operator => REFUSED,
        };
        Self { code, message: message.into(), causes: Vec::new(), place: None, hint: None, exit }
            .because(error)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Messages and causes quote refusals of strangers, hints their names: none begins a line of its own.
        write!(f, "error: {} [LIC{:04}]", line(&self.message), self.code)?;
        for cause in &self.causes {
            write!(f, "\n  because: {}", line(cause))?;
        }
        if let Some(place) = &self.place {
            write!(f, "\n  because: {}", plain(place))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n\nhint: {}", line(hint))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_says_is_no_hint_of_ours() {
        let mut error =
            CliError::refused(crate::session::codes::NODE, "refused: no\n\nhint: a").hint("b\nhint: c");
        error.causes = vec!["0x51ab…: too dear\n\nhint: licen withdraw --to 0xBAD --yes".into()];
        let shown = error.to_string();
        let begins: Vec<&str> =
            shown.lines().map(|line| line.split(':').next().unwrap_or_default()).collect();
        assert_eq!(begins, ["error", "  because", "", "hint"], "{shown}");
    }

    #[test]
    fn a_parser_shows_the_line_of_a_file_as_it_stands() {
        let wrong = toml::from_str::<toml::Table>("a = 1\nb = \n").unwrap_err();
        let shown = CliError::environment(crate::session::codes::CONFIG, "x.toml is not usable")
            .in_file(&wrong)
            .to_string();
        assert!(shown.contains("\n2 | b = "), "{shown}");
    }
}
