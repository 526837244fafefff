//! licen-compute: trains LoRA adapters. `serve` is the measured node; `train` runs the engine alone, without a node.

mod command;

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
    /// Train a LoRA adapter and write a PEFT folder
    #[command(after_long_help = command::train::HELP)]
    Train(command::train::Arguments),
    /// Count a data set's rows and text tokens as metering does
    Count(command::count::Arguments),
    /// Train the tiny base model from its seed
    Pretrain(command::pretrain::Pretrain),
    /// Write generated text: the tiny model's corpus or the sample data set
    Corpus(command::pretrain::CorpusArguments),
    /// Serve as the measured node
    Serve(licen_compute::serve::Arguments),
    /// Train for the node that started it
    #[command(hide = true)]
    Trainer(licen_compute::apart::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Train(arguments) => command::train::run(&arguments),
        Command::Count(arguments) => command::count::run(&arguments),
        Command::Pretrain(arguments) => command::pretrain::pretrain(&arguments),
        Command::Corpus(arguments) => command::pretrain::corpus(&arguments),
        Command::Serve(arguments) => return serve(&arguments),
        Command::Trainer(arguments) => return licen_compute::apart::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error} [{}]\n\nhint: {}", error.code(), error.hint());
            ExitCode::from(error.exit_code())
        }
    }
}

fn serve(arguments: &licen_compute::serve::Arguments) -> ExitCode {
    match licen_compute::serve::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error} [{}]\n\nhint: {}", error.code(), error.hint());
            ExitCode::from(2)
        }
    }
}
