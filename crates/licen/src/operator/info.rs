//! `config`, `explain`, `completions`.

use clap::CommandFactory;
use serde_json::json;

use crate::cli::Cli;
use crate::session::codes;
use crate::session::config::Config;
use crate::session::error::{CliError, Outcome};
use crate::session::output::Ui;

/// `licen config`: every value with its origin.
///
/// # Errors
/// None; the layers were read before.
pub fn config(ui: &Ui, config: &Config) -> Outcome {
    for (name, setting, meaning) in config.all() {
        ui.record(&json!({"name": name, "value": setting.value, "origin": setting.origin}));
        ui.data(&format!("{name} = {:?}    # {} ({meaning})", setting.value, setting.origin));
    }
    Ok(())
}

/// `licen explain LICnnnn`.
///
/// # Errors
/// No such code.
pub fn explain(ui: &Ui, code: &str) -> Outcome {
    let digits = code.to_uppercase();
    let number: Option<u16> = digits.strip_prefix("LIC").unwrap_or(&digits).parse().ok();
    let Some(entry) = number.and_then(codes::find) else {
        return Err(CliError::environment(codes::USAGE, format!("no such code: {code}"))
            .hint("licen explain LIC0207"));
    };
    ui.record(&json!({"code": format!("LIC{:04}", entry.number), "title": entry.title, "text": entry.text}));
    ui.data(&format!("LIC{:04}: {}\n\n{}", entry.number, entry.title, entry.text));
    Ok(())
}

/// `licen completions SHELL`.
pub fn completions(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "licen", &mut std::io::stdout());
}
