//! How much memory a training needs, computed from shapes before anything of that size is allocated.

use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::params::{TrainingParams, threads};

const WORD: u128 = 4;
/// Logits are computed for so many positions at once.
const LOGIT_ROWS: u128 = 128;

/// Bytes for the model in both packed directions, the adapter with its gradients and moments, and the activations of
/// every thread for the longest sequence allowed. Rows come on top.
pub(crate) fn needed(model: &ModelConfig, params: &TrainingParams) -> u128 {
    let threads = threads(params.threads) as u128;
    let table = model.vocabulary as u128 * model.hidden as u128;
    let weights = 2 * model.parameters() + 2 * table;
    let adapter = u128::from(params.lora().trainable_parameters(model)) * (6 + threads);
    WORD * (weights + adapter + threads * activations(model, params.max_seq_length as u128))
}

/// Numbers that one thread keeps of a sequence of `t` text tokens.
fn activations(model: &ModelConfig, t: u128) -> u128 {
    let (h, f) = (model.hidden as u128, model.intermediate as u128);
    let (row, queries) = (model.heads().row() as u128, (model.query_heads * model.head_width) as u128);
    let kept = 4 * h + 2 * row + queries + 2 * f;
    let passing = 8 * h + 2 * row + 2 * queries + 5 * f;
    let rotary = model.head_width as u128 * 2;
    t * (model.layers as u128 * kept + passing + rotary) + LOGIT_ROWS * model.vocabulary as u128
}

/// Refuses what does not fit into seven eighths of `allowed` bytes; the rest is for rows.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn check(model: &ModelConfig, params: &TrainingParams, allowed: u64) -> Result<()> {
    let needed = needed(model, params);
    if needed > u128::from(allowed) / 8 * 7 {
        return Err(Error::Memory { needed: u64::try_from(needed).unwrap_or(u64::MAX), allowed });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(hidden: usize, vocabulary: usize, layers: usize) -> ModelConfig {
        let json = format!(
            r#"{{"model_type":"llama","vocab_size":{vocabulary},"hidden_size":{hidden},"intermediate_size":{},
            "num_hidden_layers":{layers},"num_attention_heads":8,"head_dim":64,"tie_word_embeddings":true}}"#,
            hidden * 4
        );
        ModelConfig::parse(&json).unwrap()
    }

    #[test]
    fn absurd_dimensions_are_refused_before_anything_is_allocated() {
        let params = TrainingParams::parse(r#"{"max_seq_length": 512, "threads": 2}"#).unwrap();
        check(&config(576, 49_152, 30), &params, 8 << 30).unwrap();
        let huge = check(&config(65_536, 4_000_000, 2), &params, 8 << 30).unwrap_err();
        assert!(matches!(huge, Error::Memory { needed, .. } if needed > 1 << 40), "{huge}");
        assert_eq!(huge.code(), "LIC0536");
    }

    #[test]
    fn long_sequences_and_many_threads_count() {
        let model = config(576, 49_152, 30);
        let need = |text: &str| needed(&model, &TrainingParams::parse(text).unwrap());
        let short = need(r#"{"max_seq_length": 512, "threads": 1}"#);
        assert!(need(r#"{"max_seq_length": 1048576, "threads": 1}"#) > 100 * short);
        assert!(need(r#"{"max_seq_length": 512, "threads": 8}"#) > short);
    }
}
