//! Which dataset is meant.

use clap::Args;

#[derive(Debug, Args)]
pub struct DatasetArg {
    /// Root or uid of the dataset, or its first digits
    pub dataset: String,
}
