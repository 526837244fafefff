//! A LoRA adapter: y += scale x B (A x) beside frozen matrices, in PEFT's layout and names.

use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::random::Rng;
use crate::weights::{TensorStore, read_text, to_safetensors};
use safetensors::tensor::Dtype;
use serde::Deserialize;
use std::path::Path;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The largest rank accepted.
pub const RANK_MAX: usize = 1024;

/// A matrix of a decoder layer that an adapter can sit beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    Query,
    Key,
    Value,
    Output,
    Gate,
    Up,
    Down,
}

impl Target {
    /// All seven, in layer order.
    pub const ALL: [Target; 7] =
        [Target::Query, Target::Key, Target::Value, Target::Output, Target::Gate, Target::Up, Target::Down];

    /// The module's name in Hugging Face models, for example `q_proj`.
    pub fn name(self) -> &'static str {
        match self {
            Target::Query => "q_proj",
            Target::Key => "k_proj",
            Target::Value => "v_proj",
            Target::Output => "o_proj",
            Target::Gate => "gate_proj",
            Target::Up => "up_proj",
            Target::Down => "down_proj",
        }
    }

    /// The target of that module name.
    pub fn from_name(name: &str) -> Option<Self> {
        Target::ALL.into_iter().find(|t| t.name() == name)
    }

    /// The columns of `qkv` or `gate_up` that it owns: (matrix inputs, first column, columns).
    fn shape(self, model: &ModelConfig) -> (usize, usize, usize) {
        let [q, k, v] = model.qkv_parts();
        let (h, f) = (model.hidden, model.intermediate);
        match self {
            Target::Query => (h, q.start, q.len()),
            Target::Key => (h, k.start, k.len()),
            Target::Value => (h, v.start, v.len()),
            Target::Output => (q.len(), 0, h),
            Target::Gate => (h, 0, f),
            Target::Up => (h, f, f),
            Target::Down => (f, 0, h),
        }
    }

    fn path(self) -> &'static str {
        match self {
            Target::Gate | Target::Up | Target::Down => "mlp",
            _ => "self_attn",
        }
    }
}

/// The shape of an adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    pub rank: usize,
    pub alpha: f64,
    /// Probability of dropping an input of A while training.
    pub dropout: f64,
    /// Scale by alpha / sqrt(rank) instead of alpha / rank.
    pub rank_stabilized: bool,
    /// Sorted, without repeats.
    pub targets: Vec<Target>,
}

impl LoraConfig {
    /// What B (A x) is multiplied by.
    pub fn scale(&self) -> f32 {
        let rank = self.rank as f64;
        (self.alpha / if self.rank_stabilized { rank.sqrt() } else { rank }) as f32
    }

    /// Numbers that training changes, for a model of these shapes.
    pub fn trainable_parameters(&self, model: &ModelConfig) -> u64 {
        let per_layer: usize = self
            .targets
            .iter()
            .map(|t| t.shape(model))
            .map(|(inputs, _, outputs)| self.rank * (inputs + outputs))
            .sum();
        (per_layer * model.layers) as u64
    }
}

/// A and B of one module; wiped when dropped, since training writes what it learned of rows into them.
#[derive(Debug, Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Lora {
    /// [rank, inputs]
    pub(crate) a: Vec<f32>,
    /// [outputs, rank]
    pub(crate) b: Vec<f32>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// First column of this module in the stacked matrix's output.
    pub(crate) column: usize,
}

/// Every A and B of a model.
#[derive(Debug, Clone)]
pub struct Adapter {
    pub(crate) config: LoraConfig,
    pub(crate) layers: Vec<[Option<Lora>; 7]>,
}

#[derive(Deserialize)]
struct RawConfig {
    peft_type: Option<String>,
    r: usize,
    lora_alpha: f64,
    lora_dropout: Option<f64>,
    use_rslora: Option<bool>,
    use_dora: Option<bool>,
    fan_in_fan_out: Option<bool>,
    bias: Option<String>,
    target_modules: RawTargets,
    rank_pattern: Option<serde_json::Map<String, serde_json::Value>>,
    alpha_pattern: Option<serde_json::Map<String, serde_json::Value>>,
    lora_bias: Option<bool>,
    layers_to_transform: Option<serde_json::Value>,
    layer_replication: Option<serde_json::Value>,
    modules_to_save: Option<serde_json::Value>,
    exclude_modules: Option<serde_json::Value>,
    target_parameters: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawTargets {
    Names(Vec<String>),
    Pattern(String),
}

impl Adapter {
    /// An adapter that changes nothing yet, as PEFT starts one: A uniform within 1 / sqrt(inputs), B zero.
    pub fn new(config: LoraConfig, model: &ModelConfig, seed: u64) -> Self {
        let mut adapter = Adapter::zeros(config, model);
        let mut rng = Rng::new(seed, "adapter");
        for lora in adapter.layers.iter_mut().flatten().flatten() {
            let bound = (1.0 / (lora.inputs as f64).sqrt()) as f32;
            for value in &mut lora.a {
                *value = (2.0 * rng.uniform() - 1.0) * bound;
            }
        }
        adapter
    }

    /// All zero: the start of a gradient.
    pub(crate) fn zeros(config: LoraConfig, model: &ModelConfig) -> Self {
        let layer = Target::ALL.map(|target| {
            config.targets.contains(&target).then(|| {
                let (inputs, column, outputs) = target.shape(model);
                Lora {
                    a: vec![0.0; config.rank * inputs],
                    b: vec![0.0; config.rank * outputs],
                    inputs,
                    outputs,
                    column,
                }
            })
        });
        Adapter { layers: vec![layer; model.layers], config }
    }

    /// Rank, scale and targets.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// Loads a PEFT folder (`adapter_config.json`, `adapter_model.safetensors`) made for a model of these shapes.
    ///
    /// # Errors
    /// [`Error::Adapter`] for what this engine cannot continue exactly, [`Error::Weights`], [`Error::Io`].
    pub fn load(dir: &Path, model: &ModelConfig) -> Result<Self> {
        let config = read_config(&read_text(&dir.join("adapter_config.json"))?)?;
        let mut adapter = Adapter::zeros(config, model);
        let rank = adapter.config.rank;
        let mut store = TensorStore::open(&dir.join("adapter_model.safetensors"))?;
        let mut expected = 0;
        for (i, layer) in adapter.layers.iter_mut().enumerate() {
            for (lora, target) in layer.iter_mut().zip(Target::ALL) {
                let Some(lora) = lora else { continue };
                lora.a = store.read(&tensor_name(i, target, 'A'), &[rank, lora.inputs])?;
                lora.b = store.read(&tensor_name(i, target, 'B'), &[lora.outputs, rank])?;
                expected += 2;
            }
        }
        if store.names().count() != expected {
            let reason = "it holds tensors beside those its adapter_config.json names";
            return Err(Error::Adapter(reason.to_owned()));
        }
        Ok(adapter)
    }

    /// `adapter_model.safetensors`, f32.
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        let rank = self.config.rank;
        let mut tensors = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            for (lora, target) in layer.iter().zip(Target::ALL) {
                let Some(lora) = lora else { continue };
                let parts =
                    [('A', vec![rank, lora.inputs], &lora.a), ('B', vec![lora.outputs, rank], &lora.b)];
                for (part, shape, values) in parts {
                    let mut bytes = Vec::with_capacity(values.len() * 4);
                    values.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
                    tensors.push((tensor_name(i, target, part), Dtype::F32, shape, bytes));
                }
            }
        }
        to_safetensors(tensors)
    }

    /// Every tensor in one fixed order; those of `self` and of a gradient of the same shape correspond.
    pub(crate) fn tensors_mut(&mut self) -> Vec<&mut [f32]> {
        let loras = self.layers.iter_mut().flatten().flatten();
        loras.flat_map(|l| [l.a.as_mut_slice(), l.b.as_mut_slice()]).collect()
    }
}

fn tensor_name(layer: usize, target: Target, part: char) -> String {
    let (path, module) = (target.path(), target.name());
    format!("base_model.model.model.layers.{layer}.{path}.{module}.lora_{part}.weight")
}

fn read_config(json: &str) -> Result<LoraConfig> {
    let refuse = |reason: String| Err(Error::Adapter(reason));
    let raw: RawConfig =
        serde_json::from_str(json).map_err(|e| Error::Adapter(format!("adapter_config.json: {e}")))?;
    if raw.peft_type.as_deref().unwrap_or("LORA") != "LORA" {
        return refuse("peft_type is not LORA".to_owned());
    }
    if raw.use_dora.unwrap_or(false) || raw.fan_in_fan_out.unwrap_or(false) {
        return refuse("use_dora and fan_in_fan_out are not supported".to_owned());
    }
    if raw.bias.as_deref().unwrap_or("none") != "none" {
        return refuse("bias other than `none` is not supported".to_owned());
    }
    let partial = [
        ("layers_to_transform", raw.layers_to_transform.is_some()),
        ("layer_replication", raw.layer_replication.is_some()),
        ("modules_to_save", raw.modules_to_save.is_some()),
        ("exclude_modules", raw.exclude_modules.is_some()),
        ("target_parameters", raw.target_parameters.is_some()),
        ("lora_bias", raw.lora_bias.unwrap_or(false)),
    ];
    if let Some((name, _)) = partial.iter().find(|(_, given)| *given) {
        return refuse(format!("{name} is not supported"));
    }
    let patterns = [raw.rank_pattern, raw.alpha_pattern];
    if patterns.into_iter().flatten().any(|p| !p.is_empty()) {
        return refuse("rank_pattern and alpha_pattern are not supported".to_owned());
    }
    let usable = (1..=RANK_MAX).contains(&raw.r) && raw.lora_alpha.is_finite() && raw.lora_alpha > 0.0;
    if !usable {
        return refuse(format!("r is outside 1 to {RANK_MAX}, or lora_alpha is no positive number"));
    }
    let names = match raw.target_modules {
        RawTargets::Names(names) => names,
        RawTargets::Pattern(p) if p == "all-linear" => Target::ALL.map(|t| t.name().to_owned()).to_vec(),
        RawTargets::Pattern(p) => return refuse(format!("target_modules pattern `{p}` is not supported")),
    };
    Ok(LoraConfig {
        rank: raw.r,
        alpha: raw.lora_alpha,
        dropout: raw.lora_dropout.unwrap_or(0.0).clamp(0.0, 0.99),
        rank_stabilized: raw.use_rslora.unwrap_or(false),
        targets: targets(&names).map_err(Error::Adapter)?,
    })
}

/// Sorts target names; the error names one that is unknown.
pub(crate) fn targets(names: &[String]) -> std::result::Result<Vec<Target>, String> {
    let mut targets = Vec::new();
    for name in names {
        targets.push(Target::from_name(name).ok_or_else(|| format!("target module `{name}` is unknown"))?);
    }
    targets.sort_unstable();
    targets.dedup();
    if targets.is_empty() {
        return Err("no target module is named".to_owned());
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configs_that_mean_another_computation_are_refused() {
        let good = r#"{"peft_type":"LORA","r":4,"lora_alpha":8,"target_modules":["v_proj","q_proj"],"use_rslora":true}"#;
        let config = read_config(good).unwrap();
        assert_eq!(config.targets, [Target::Query, Target::Value]);
        assert_eq!(config.scale(), 4.0);
        for (from, to, part) in [
            ("\"LORA\"", "\"IA3\"", "peft_type"),
            ("\"r\":4", "\"r\":0", "r is outside"),
            ("\"r\":4", "\"r\":4000000000", "r is outside"),
            ("[\"v_proj\",\"q_proj\"]", "\".*_proj\"", "pattern"),
            ("v_proj", "embed_tokens", "`embed_tokens` is unknown"),
            ("true}", "true,\"use_dora\":true}", "use_dora"),
            ("true}", "true,\"modules_to_save\":[\"lm_head\"]}", "modules_to_save"),
            ("true}", "true,\"rank_pattern\":{\"q_proj\":2}}", "rank_pattern"),
        ] {
            let message = read_config(&good.replace(from, to)).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
