//! A decoder's weights in memory, in f32. The same shape with other numbers is its gradient.

use crate::config::ModelConfig;
use crate::engine::linalg::{Into, Mat, MatMut, Packed, matmul, matmul_packed};
use crate::error::{Error, Result, io_at};
use crate::params::TrainingParams;
use crate::random::Rng;
use crate::weights::{TensorStore, f32_to_bf16, read_text, to_safetensors};
use safetensors::tensor::Dtype;
use std::path::Path;

/// A matrix [outputs, inputs] packed for both directions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Panels {
    /// x -> x W^T
    forward: Packed,
    /// dy -> dy W
    backward: Packed,
}

impl Panels {
    fn pack(&mut self, weight: &[f32], outputs: usize, inputs: usize) {
        let weight = Mat::new(weight, outputs, inputs);
        self.forward.pack(weight.t());
        self.backward.pack(weight);
    }

    /// y [t, outputs] (+)= x [t, inputs] W^T.
    pub(crate) fn forward(&self, y: MatMut<'_>, into: Into, x: Mat<'_>) {
        matmul_packed(y, into, 1.0, x, &self.forward);
    }

    /// dx [t, inputs] (+)= dy [t, outputs] W.
    pub(crate) fn backward(&self, dx: MatMut<'_>, into: Into, dy: Mat<'_>) {
        matmul_packed(dx, into, 1.0, dy, &self.backward);
    }
}

/// A matrix [outputs, inputs] with an optional bias [outputs] (empty: none).
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    /// Empty in a frozen model, which computes with `panels` alone.
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    panels: Panels,
}

impl Linear {
    fn zeros(inputs: usize, outputs: usize, bias: bool) -> Self {
        Linear {
            weight: vec![0.0; inputs * outputs],
            bias: vec![0.0; if bias { outputs } else { 0 }],
            inputs,
            outputs,
            panels: Panels::default(),
        }
    }

    fn pack(&mut self) {
        self.panels.pack(&self.weight, self.outputs, self.inputs);
    }

    /// y [t, outputs] (+)= x [t, inputs] W^T + bias.
    pub(crate) fn forward(&self, t: usize, x: &[f32], y: &mut [f32], into: Into) {
        self.panels.forward(MatMut::new(y, t, self.outputs), into, Mat::new(x, t, self.inputs));
        if !self.bias.is_empty() {
            crate::engine::kernels::add_bias(&self.bias, &mut y[..t * self.outputs]);
        }
    }

    /// dx [t, inputs] (+)= dy [t, outputs] W.
    pub(crate) fn backward(&self, t: usize, dy: &[f32], dx: &mut [f32], into: Into) {
        self.panels.backward(MatMut::new(dx, t, self.inputs), into, Mat::new(dy, t, self.outputs));
    }

    /// Adds the gradient of the weights for inputs x and output gradient dy to `self`, which is a gradient.
    pub(crate) fn add_gradient(&mut self, t: usize, x: &[f32], dy: &[f32]) {
        let (x, lhs) = (Mat::new(x, t, self.inputs), Mat::new(dy, t, self.outputs).t());
        matmul(MatMut::new(&mut self.weight, self.outputs, self.inputs), Into::Add, 1.0, lhs, x);
        if !self.bias.is_empty() {
            crate::engine::kernels::add_bias_grad(&dy[..t * self.outputs], &mut self.bias);
        }
    }
}

/// One decoder layer. Query, key and value matrices are stacked in `qkv`, gate and up in `gate_up`.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) input_norm: Vec<f32>,
    pub(crate) qkv: Linear,
    /// Qwen3 only, else empty: [head_width] each.
    pub(crate) query_norm: Vec<f32>,
    pub(crate) key_norm: Vec<f32>,
    pub(crate) o: Linear,
    pub(crate) mlp_norm: Vec<f32>,
    pub(crate) gate_up: Linear,
    pub(crate) down: Linear,
}

/// A base model.
#[derive(Debug, Clone)]
pub struct Model {
    pub(crate) config: ModelConfig,
    /// [vocabulary, hidden]
    pub(crate) embedding: Vec<f32>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Vec<f32>,
    /// [vocabulary, hidden], or empty when the embedding is used.
    pub(crate) head: Vec<f32>,
    output: Panels,
}

impl Model {
    /// Loads a Hugging Face folder: `config.json` and safetensors, single or sharded.
    ///
    /// # Errors
    /// [`Error::ModelConfig`], [`Error::ModelArchitecture`], [`Error::Weights`], [`Error::Io`].
    pub fn load(dir: &Path) -> Result<Self> {
        Self::load_shapes(dir, ModelConfig::parse(&read_text(&dir.join("config.json"))?)?)
    }

    /// Loads a folder that nobody vouches for, where a training with these settings fits into `memory` bytes.
    ///
    /// # Errors
    /// As [`Model::load`], and [`Error::Memory`].
    pub fn load_within(dir: &Path, params: &TrainingParams, memory: u64) -> Result<Self> {
        crate::hostile::check_folder(dir)?;
        let config = ModelConfig::parse(&read_text(&dir.join("config.json"))?)?;
        crate::engine::memory::check(&config, params, memory)?;
        Self::load_shapes(dir, config)
    }

    fn load_shapes(dir: &Path, config: ModelConfig) -> Result<Self> {
        let mut store = TensorStore::open_model(dir)?;
        let mut model = Model {
            embedding: store.read("model.embed_tokens.weight", &[config.vocabulary, config.hidden])?,
            layers: Vec::new(),
            norm: store.read("model.norm.weight", &[config.hidden])?,
            head: Vec::new(),
            output: Panels::default(),
            config,
        };
        let config = &model.config;
        if !config.tied {
            model.head = store.read("lm_head.weight", &[config.vocabulary, config.hidden])?;
        }
        for i in 0..config.layers {
            let mut layer = load_layer(config, &mut store, i)?;
            for matrix in [&mut layer.qkv, &mut layer.o, &mut layer.gate_up, &mut layer.down] {
                matrix.pack();
                matrix.weight = Vec::new();
            }
            model.layers.push(layer);
        }
        model.pack_output();
        model.head = Vec::new();
        Ok(model)
    }

    /// A model of these shapes with every weight 0: the start of a gradient.
    pub(crate) fn zeros(config: &ModelConfig) -> Self {
        let table = config.vocabulary * config.hidden;
        let (h, f, queries) = (config.hidden, config.intermediate, config.query_heads * config.head_width);
        let norm = if config.qk_norm() { config.head_width } else { 0 };
        let layer = Layer {
            input_norm: vec![0.0; h],
            qkv: Linear::zeros(h, config.heads().row(), config.qkv_bias()),
            query_norm: vec![0.0; norm],
            key_norm: vec![0.0; norm],
            o: Linear::zeros(queries, h, false),
            mlp_norm: vec![0.0; h],
            gate_up: Linear::zeros(h, 2 * f, false),
            down: Linear::zeros(f, h, false),
        };
        Model {
            embedding: vec![0.0; table],
            layers: vec![layer; config.layers],
            norm: vec![0.0; h],
            head: vec![0.0; if config.tied { 0 } else { table }],
            output: Panels::default(),
            config: config.clone(),
        }
    }

    /// A model to train from nothing: matrices normal with deviation `spread`, norms 1, biases 0.
    pub(crate) fn random(config: &ModelConfig, spread: f32, seed: u64) -> Self {
        let mut model = Model::zeros(config);
        let mut rng = Rng::new(seed, "weights");
        let mut fill = |values: &mut Vec<f32>| {
            for value in values {
                *value = rng.normal() * spread;
            }
        };
        fill(&mut model.embedding);
        for layer in &mut model.layers {
            for matrix in [&mut layer.qkv, &mut layer.o, &mut layer.gate_up, &mut layer.down] {
                fill(&mut matrix.weight);
            }
            for norm in
                [&mut layer.input_norm, &mut layer.query_norm, &mut layer.key_norm, &mut layer.mlp_norm]
            {
                norm.fill(1.0);
            }
        }
        fill(&mut model.head);
        model.norm.fill(1.0);
        model.pack();
        model
    }

    /// Packs every matrix again, after the weights have changed.
    pub(crate) fn pack(&mut self) {
        for layer in &mut self.layers {
            for matrix in [&mut layer.qkv, &mut layer.o, &mut layer.gate_up, &mut layer.down] {
                matrix.pack();
            }
        }
        self.pack_output();
    }

    fn pack_output(&mut self) {
        let weight = if self.config.tied { &self.embedding } else { &self.head };
        self.output.pack(weight, self.config.vocabulary, self.config.hidden);
    }

    /// Shapes and constants.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The output matrix [vocabulary, hidden].
    pub(crate) fn output(&self) -> &Panels {
        &self.output
    }

    /// Its weights, in a gradient.
    pub(crate) fn output_mut(&mut self) -> &mut [f32] {
        if self.config.tied { &mut self.embedding } else { &mut self.head }
    }

    /// Every tensor in one fixed order; those of `self` and of a gradient of the same shapes correspond.
    pub(crate) fn tensors_mut(&mut self) -> Vec<&mut [f32]> {
        let mut tensors: Vec<&mut [f32]> = vec![&mut self.embedding];
        for layer in &mut self.layers {
            tensors.push(&mut layer.input_norm);
            tensors.push(&mut layer.qkv.weight);
            tensors.push(&mut layer.qkv.bias);
            tensors.push(&mut layer.query_norm);
            tensors.push(&mut layer.key_norm);
            tensors.push(&mut layer.o.weight);
            tensors.push(&mut layer.mlp_norm);
            tensors.push(&mut layer.gate_up.weight);
            tensors.push(&mut layer.down.weight);
        }
        tensors.push(&mut self.norm);
        tensors.push(&mut self.head);
        tensors
    }

    /// Rounds every weight to bf16, as [`Model::save`] writes it.
    pub(crate) fn round_to_bf16(&mut self) {
        for tensor in self.tensors_mut() {
            for value in tensor {
                *value = f32::from_bits(u32::from(f32_to_bf16(*value)) << 16);
            }
        }
        self.pack();
    }

    /// Writes `model.safetensors` in bf16 under Hugging Face names. For models made here: a loaded one keeps its
    /// matrices packed only.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        let mut tensors = Vec::new();
        let mut put = |name: String, shape: Vec<usize>, values: &[f32]| {
            let bytes = values.iter().flat_map(|v| f32_to_bf16(*v).to_le_bytes()).collect();
            tensors.push((name, Dtype::BF16, shape, bytes));
        };
        let config = &self.config;
        let h = config.hidden;
        put("model.embed_tokens.weight".to_owned(), vec![config.vocabulary, h], &self.embedding);
        put("model.norm.weight".to_owned(), vec![h], &self.norm);
        if !config.tied {
            put("lm_head.weight".to_owned(), vec![config.vocabulary, h], &self.head);
        }
        for (i, layer) in self.layers.iter().enumerate() {
            for (name, part, matrix) in stacked(config, layer) {
                let n = matrix.inputs;
                let rows = part.len();
                let values = &matrix.weight[part.start * n..part.end * n];
                put(format!("model.layers.{i}.{name}.weight"), vec![rows, n], values);
                if !matrix.bias.is_empty() {
                    put(format!("model.layers.{i}.{name}.bias"), vec![rows], &matrix.bias[part]);
                }
            }
            for (name, norm) in norms(layer) {
                put(format!("model.layers.{i}.{name}.weight"), vec![norm.len()], norm);
            }
        }
        let path = dir.join("model.safetensors");
        std::fs::write(&path, to_safetensors(tensors)?).map_err(io_at(&path))
    }
}

type Part = std::ops::Range<usize>;

/// Hugging Face module names, the rows they own, and the matrix they are stacked in.
fn stacked<'a>(config: &ModelConfig, layer: &'a Layer) -> [(&'static str, Part, &'a Linear); 7] {
    let [q, k, v] = config.qkv_parts();
    let f = config.intermediate;
    [
        ("self_attn.q_proj", q, &layer.qkv),
        ("self_attn.k_proj", k, &layer.qkv),
        ("self_attn.v_proj", v, &layer.qkv),
        ("self_attn.o_proj", 0..config.hidden, &layer.o),
        ("mlp.gate_proj", 0..f, &layer.gate_up),
        ("mlp.up_proj", f..2 * f, &layer.gate_up),
        ("mlp.down_proj", 0..config.hidden, &layer.down),
    ]
}

fn norms(layer: &Layer) -> impl Iterator<Item = (&'static str, &Vec<f32>)> {
    [
        ("input_layernorm", &layer.input_norm),
        ("post_attention_layernorm", &layer.mlp_norm),
        ("self_attn.q_norm", &layer.query_norm),
        ("self_attn.k_norm", &layer.key_norm),
    ]
    .into_iter()
    .filter(|(_, norm)| !norm.is_empty())
}

fn load_layer(config: &ModelConfig, store: &mut TensorStore, i: usize) -> Result<Layer> {
    let name = |module: &str, kind: &str| format!("model.layers.{i}.{module}.{kind}");
    let (h, f, queries) = (config.hidden, config.intermediate, config.query_heads * config.head_width);
    let mut stack = |modules: &[(&str, usize)], inputs: usize, bias: bool| -> Result<Linear> {
        let outputs = modules.iter().map(|m| m.1).sum();
        for (module, rows) in modules {
            store.check(&name(module, "weight"), &[*rows, inputs])?;
        }
        let mut linear = Linear {
            weight: Vec::with_capacity(outputs * inputs),
            bias: Vec::new(),
            inputs,
            outputs,
            panels: Panels::default(),
        };
        for (module, rows) in modules {
            store.read_into(&name(module, "weight"), &[*rows, inputs], &mut linear.weight)?;
            match bias {
                true => store.read_into(&name(module, "bias"), &[*rows], &mut linear.bias)?,
                false if store.has(&name(module, "bias")) => {
                    return Err(Error::Weights(format!("unexpected bias `{}`", name(module, "bias"))));
                }
                false => {}
            }
        }
        Ok(linear)
    };
    let keys = config.key_heads * config.head_width;
    let qkv = [("self_attn.q_proj", queries), ("self_attn.k_proj", keys), ("self_attn.v_proj", keys)];
    let (qkv, o) = (stack(&qkv, h, config.qkv_bias())?, stack(&[("self_attn.o_proj", h)], queries, false)?);
    let gate_up = stack(&[("mlp.gate_proj", f), ("mlp.up_proj", f)], h, false)?;
    let down = stack(&[("mlp.down_proj", h)], f, false)?;
    let mut head_norm = |module: &str| match config.qk_norm() {
        true => store.read(&name(module, "weight"), &[config.head_width]),
        false => Ok(Vec::new()),
    };
    Ok(Layer {
        query_norm: head_norm("self_attn.q_norm")?,
        key_norm: head_norm("self_attn.k_norm")?,
        input_norm: store.read(&name("input_layernorm", "weight"), &[h])?,
        mlp_norm: store.read(&name("post_attention_layernorm", "weight"), &[h])?,
        qkv,
        o,
        gate_up,
        down,
    })
}
