//! `licen-compute pretrain` and `licen-compute corpus`: how the shipped model and sample data are made.

use super::files::line;
use crate::{Result, corpus, pretrain};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Pretrain {
    /// Where the model folder goes
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// End after this many steps
    #[arg(long)]
    steps: Option<u64>,
    /// Threads; the result does not depend on it
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(clap::Args)]
pub struct CorpusArguments {
    /// What to write
    #[arg(long, value_enum)]
    kind: Kind,
    /// Rows or documents
    #[arg(long, default_value_t = 500)]
    rows: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// Text of the base model, one document per line
    Grammar,
    /// The sample data set, JSON Lines
    Vials,
}

/// Trains the tiny base model from its seed and writes it.
pub(crate) fn pretrain(arguments: &Pretrain) -> Result<()> {
    let mut recipe = pretrain::Recipe { threads: arguments.threads, ..pretrain::Recipe::default() };
    recipe.steps = arguments.steps.unwrap_or(recipe.steps);
    let model =
        pretrain::pretrain(&recipe, |step, loss| line(&format!(r#"{{"step":{step},"loss":{loss:.6}}}"#)))?;
    pretrain::save(&model, &arguments.out)?;
    line(&format!(r#"{{"heldOutLoss":{:.6}}}"#, pretrain::judge(&model, 64)));
    Ok(())
}

/// Writes generated text to standard output.
pub(crate) fn corpus(arguments: &CorpusArguments) -> Result<()> {
    match arguments.kind {
        Kind::Vials => line(corpus::vials(arguments.rows, arguments.seed).trim_end()),
        Kind::Grammar => {
            let mut corpus = corpus::Corpus::new(arguments.seed);
            (0..arguments.rows).for_each(|_| line(&corpus.document()));
        }
    }
    Ok(())
}
