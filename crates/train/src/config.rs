//! `config.json` of a base model: the shapes of a Llama, SmolLM, Qwen2 or Qwen3 decoder, checked.

use crate::error::{Error, Result};
use serde::Deserialize;
use std::ops::Range;

/// Which decoder family a model belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Llama and SmolLM: no biases.
    Llama,
    /// Qwen2: biases on query, key and value.
    Qwen2,
    /// Qwen3: RMS norm of every query and key head.
    Qwen3,
}

/// The shapes and constants of a decoder. Made by [`ModelConfig::parse`] only, so every field is within limits and
/// heads divide as they must.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    pub architecture: Architecture,
    pub vocabulary: usize,
    pub hidden: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub query_heads: usize,
    pub key_heads: usize,
    pub head_width: usize,
    /// Text tokens of the longest sequence.
    pub max_positions: usize,
    pub norm_eps: f32,
    pub rope_theta: f64,
    /// The output matrix is the embedding.
    pub tied: bool,
}

#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    architectures: Option<Vec<String>>,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawRope>,
    rope_parameters: Option<RawRope>,
    tie_word_embeddings: Option<bool>,
    hidden_act: Option<String>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    use_sliding_window: Option<bool>,
    partial_rotary_factor: Option<f64>,
}

#[derive(Deserialize)]
struct RawRope {
    rope_theta: Option<f64>,
    #[serde(alias = "type")]
    rope_type: Option<String>,
}

impl ModelConfig {
    /// Reads `config.json`. Anything that would change the computation and is not implemented is refused by name.
    pub fn parse(json: &str) -> Result<Self> {
        let wrong = |e: serde_json::Error| Error::ModelConfig(e.to_string());
        let whole: serde_json::Value = serde_json::from_str(json).map_err(wrong)?;
        if let Some(name) = crate::hostile::asks_for_code(&whole) {
            return Err(Error::ModelConfig(format!("{name} asks for code of the model, which is never run")));
        }
        if whole.get("quantization_config").is_some_and(|config| !config.is_null()) {
            return Err(Error::ModelConfig("quantization_config is not supported".to_owned()));
        }
        let raw: Raw = serde_json::from_str(json).map_err(wrong)?;
        let architecture = architecture(&raw)?;
        refuse_variants(&raw)?;
        let query_heads = limited("num_attention_heads", raw.num_attention_heads, 512)?;
        let key_heads = raw.num_key_value_heads.unwrap_or(query_heads);
        let hidden = limited("hidden_size", raw.hidden_size, 65_536)?;
        let head_width = raw.head_dim.unwrap_or(hidden / query_heads);
        let theta = raw.rope_parameters.as_ref().and_then(|r| r.rope_theta);
        let config = ModelConfig {
            architecture,
            vocabulary: limited("vocab_size", raw.vocab_size, 4_000_000)?,
            hidden,
            intermediate: limited("intermediate_size", raw.intermediate_size, 524_288)?,
            layers: limited("num_hidden_layers", raw.num_hidden_layers, 1024)?,
            query_heads,
            key_heads: limited("num_key_value_heads", key_heads, 512)?,
            head_width: limited("head_dim", head_width, 1024)?,
            max_positions: raw.max_position_embeddings.unwrap_or(2048).clamp(1, 1 << 24),
            norm_eps: raw.rms_norm_eps.unwrap_or(1e-6) as f32,
            rope_theta: theta.or(raw.rope_theta).unwrap_or(10_000.0),
            tied: raw.tie_word_embeddings.unwrap_or(false),
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let refuse = |reason: &str| Err(Error::ModelConfig(reason.to_owned()));
        if !self.query_heads.is_multiple_of(self.key_heads) {
            return refuse("num_attention_heads is no multiple of num_key_value_heads");
        }
        if !self.head_width.is_multiple_of(2) {
            return refuse("head_dim is odd");
        }
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            return refuse("rms_norm_eps is outside (0, 1)");
        }
        if !(self.rope_theta >= 1.0 && self.rope_theta.is_finite()) {
            return refuse("rope_theta is not a number of at least 1");
        }
        if self.parameters() > 1 << 40 {
            return refuse("the shapes ask for more than 2^40 parameters");
        }
        Ok(())
    }

    pub(crate) fn heads(&self) -> Heads {
        Heads { queries: self.query_heads, keys: self.key_heads, width: self.head_width }
    }

    /// The columns of queries, keys and values in a row of `qkv`.
    pub(crate) fn qkv_parts(&self) -> [Range<usize>; 3] {
        let queries = self.query_heads * self.head_width;
        let keys = self.key_heads * self.head_width;
        [0..queries, queries..queries + keys, queries + keys..queries + 2 * keys]
    }

    /// Query and key biases (Qwen2).
    pub(crate) fn qkv_bias(&self) -> bool {
        self.architecture == Architecture::Qwen2
    }

    /// RMS norm of query and key heads (Qwen3).
    pub(crate) fn qk_norm(&self) -> bool {
        self.architecture == Architecture::Qwen3
    }

    /// Weights of the whole model.
    pub fn parameters(&self) -> u128 {
        let (h, f) = (self.hidden as u128, self.intermediate as u128);
        let (queries, row) = ((self.query_heads * self.head_width) as u128, self.heads().row() as u128);
        let mut layer = h * row + queries * h + 3 * h * f + 2 * h;
        if self.qkv_bias() {
            layer += row;
        }
        if self.qk_norm() {
            layer += 2 * self.head_width as u128;
        }
        let matrices = if self.tied { 1 } else { 2 };
        matrices * self.vocabulary as u128 * h + h + self.layers as u128 * layer
    }

    /// Tables of cos and sin [positions, head_width / 2] of the rotary embedding, as Hugging Face makes them.
    pub(crate) fn rotary(&self, positions: usize) -> (Vec<f32>, Vec<f32>) {
        let half = self.head_width / 2;
        let width = self.head_width as f64;
        let frequencies: Vec<f32> =
            (0..half).map(|i| 1.0 / self.rope_theta.powf((2 * i) as f64 / width) as f32).collect();
        let angles = (0..positions).flat_map(|p| frequencies.iter().map(move |f| p as f32 * f));
        angles.map(|a| (f64::from(a).cos() as f32, f64::from(a).sin() as f32)).unzip()
    }
}

/// Head counts and widths. A row of `qkv` holds all query heads, then the key heads, then the value heads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) width: usize,
}

impl Heads {
    /// Values in one row of `qkv`.
    pub(crate) fn row(self) -> usize {
        (self.queries + 2 * self.keys) * self.width
    }

    pub(crate) fn query_at(self, head: usize) -> usize {
        head * self.width
    }

    pub(crate) fn key_at(self, head: usize) -> usize {
        (self.queries + head / (self.queries / self.keys)) * self.width
    }

    pub(crate) fn value_at(self, head: usize) -> usize {
        self.key_at(head) + self.keys * self.width
    }

    /// Whether the head is the first that uses its keys and values.
    pub(crate) fn first_of_group(self, head: usize) -> bool {
        head.is_multiple_of(self.queries / self.keys)
    }

    pub(crate) fn scale(self) -> f32 {
        (1.0 / (self.width as f64).sqrt()) as f32
    }
}

fn architecture(raw: &Raw) -> Result<Architecture> {
    let class = raw.architectures.as_ref().and_then(|a| a.first());
    let family = match (raw.model_type.as_deref(), class.map(String::as_str)) {
        (Some("llama"), None | Some("LlamaForCausalLM")) => Architecture::Llama,
        (Some("qwen2"), None | Some("Qwen2ForCausalLM")) => Architecture::Qwen2,
        (Some("qwen3"), None | Some("Qwen3ForCausalLM")) => Architecture::Qwen3,
        (kind, class) => {
            let name = class.or(kind).unwrap_or("(none)").to_owned();
            return Err(Error::ModelArchitecture(name));
        }
    };
    Ok(family)
}

fn refuse_variants(raw: &Raw) -> Result<()> {
    let refuse = |what: &str| Err(Error::ModelConfig(format!("{what} is not supported")));
    for rope in [&raw.rope_scaling, &raw.rope_parameters].into_iter().flatten() {
        if rope.rope_type.as_deref().unwrap_or("default") != "default" {
            return refuse("rotary scaling other than `default`");
        }
    }
    if raw.hidden_act.as_deref().unwrap_or("silu") != "silu" {
        return refuse("an activation other than silu");
    }
    if raw.attention_bias.unwrap_or(false) || raw.mlp_bias.unwrap_or(false) {
        return refuse("attention_bias or mlp_bias");
    }
    if raw.use_sliding_window.unwrap_or(false) {
        return refuse("use_sliding_window");
    }
    if raw.partial_rotary_factor.unwrap_or(1.0) != 1.0 {
        return refuse("partial_rotary_factor");
    }
    Ok(())
}

fn limited(name: &str, value: usize, most: usize) -> Result<usize> {
    if (1..=most).contains(&value) {
        return Ok(value);
    }
    Err(Error::ModelConfig(format!("{name} is {value}, outside 1 to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = r#"{"model_type":"llama","vocab_size":32,"hidden_size":8,"intermediate_size":16,
        "num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"tie_word_embeddings":true}"#;

    #[test]
    fn reads_shapes_and_counts_parameters() {
        let config = ModelConfig::parse(TINY).unwrap();
        assert_eq!(config.head_width, 2);
        assert_eq!(config.parameters(), 32 * 8 + 8 + 2 * (8 * 16 + 8 * 8 + 3 * 8 * 16 + 16));
    }

    #[test]
    fn a_config_that_asks_for_its_own_code_is_refused() {
        for (to, part) in [
            ("true,\"auto_map\":{\"AutoModelForCausalLM\":\"modeling_evil.Evil\"}}", "auto_map"),
            ("true,\"trust_remote_code\":true}", "trust_remote_code"),
        ] {
            let error = ModelConfig::parse(&TINY.replace("true}", to)).unwrap_err();
            assert!(matches!(error, Error::ModelConfig(_)) && error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_deeply_nested_config_is_refused() {
        let deep = format!("true,\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let message = ModelConfig::parse(&TINY.replace("true}", &deep)).unwrap_err().to_string();
        assert!(message.contains("recursion"), "{message}");
    }

    #[test]
    fn dimensions_that_overflow_are_refused() {
        for field in ["vocab_size\":32", "hidden_size\":8", "num_hidden_layers\":2", "intermediate_size\":16"]
        {
            let name = field.split('"').next().unwrap();
            for size in ["18446744073709551615", "18446744073709551616", "9223372036854775808"] {
                let json = TINY.replace(field, &format!("{name}\":{size}"));
                assert_ne!(json, TINY);
                assert!(matches!(ModelConfig::parse(&json), Err(Error::ModelConfig(_))), "{json}");
            }
        }
        let most = TINY
            .replace("vocab_size\":32", "vocab_size\":4000000")
            .replace("hidden_size\":8", "hidden_size\":65536")
            .replace("layers\":2", "layers\":1024")
            .replace("size\":16", "size\":524288")
            .replace("true}", "true,\"head_dim\":128}");
        assert!(ModelConfig::parse(&most).unwrap_err().to_string().contains("2^40"));
    }

    #[test]
    fn refuses_what_it_would_compute_wrongly() {
        for (from, to, part) in [
            ("llama", "mamba", "architecture `mamba`"),
            ("\"vocab_size\":32", "\"vocab_size\":0", "vocab_size is 0"),
            ("\"vocab_size\":32", "\"vocab_size\":99999999999", "outside 1 to"),
            ("\"vocab_size\":32", "\"vocab_size\":-1", "config.json"),
            ("_heads\":2", "_heads\":3", "no multiple"),
            ("\"hidden_size\":8", "\"hidden_size\":12", "head_dim is odd"),
            ("true}", "true,\"hidden_act\":\"gelu\"}", "silu"),
            ("true}", "true,\"attention_bias\":true}", "attention_bias"),
            ("true}", "true,\"rope_scaling\":{\"type\":\"yarn\"}}", "rotary"),
            ("true}", "true,\"rope_theta\":0.0}", "rope_theta"),
            ("true}", "true,\"quantization_config\":{\"bits\":4}}", "quantization_config"),
        ] {
            let message = ModelConfig::parse(&TINY.replace(from, to)).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
