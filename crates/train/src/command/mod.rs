//! What a person can ask of the engine: arguments in, library calls, lines out. `licen-compute` carries them.

mod count;
mod files;
mod pretrain;
mod train;

use crate::Result;

/// The engine's subcommands.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Train a LoRA adapter and write a PEFT folder
    #[command(after_long_help = train::HELP)]
    Train(train::Arguments),
    /// Count a data set's rows and text tokens as metering does
    Count(count::Arguments),
    /// Train the tiny base model from its seed
    Pretrain(pretrain::Pretrain),
    /// Write generated text: the tiny model's corpus or the sample data set
    Corpus(pretrain::CorpusArguments),
}

impl Command {
    /// Runs it. Data goes to standard output, words to standard error.
    ///
    /// # Errors
    /// Whatever the engine refuses, with its code and hint.
    pub fn run(&self) -> Result<()> {
        match self {
            Self::Train(arguments) => train::run(arguments),
            Self::Count(arguments) => count::run(arguments),
            Self::Pretrain(arguments) => pretrain::pretrain(arguments),
            Self::Corpus(arguments) => pretrain::corpus(arguments),
        }
    }
}
