//! licen-compute: `serve` is the measured node; `train` and the other commands run the engine alone, without a node.

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "licen-compute", version, about = "Trains LoRA adapters, alone or as the measured node")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Engine(licen_train::command::Command),
    /// Serve as the measured node
    Serve(licen_compute::serve::Arguments),
    /// Train for the node that started it
    #[command(hide = true)]
    Trainer(licen_compute::apart::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Engine(command) => match command.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refused(&error, error.code(), error.hint(), error.exit_code()),
        },
        Command::Serve(arguments) => match licen_compute::serve::run(&arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refused(&error, error.code(), error.hint(), 2),
        },
        Command::Trainer(arguments) => licen_compute::apart::run(&arguments),
    }
}

fn refused(error: &dyn std::error::Error, code: &str, hint: &str, status: u8) -> ExitCode {
    eprintln!("error: {error} [{code}]\n\nhint: {hint}");
    ExitCode::from(status)
}
