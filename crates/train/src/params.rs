//! Training settings under 0G's names (`trainingParams`), parsed without side effects.
//!
//! Defaults are 0G's, with these differences, each for a reason: `target_modules` is all seven linear layers,
//! `lr_scheduler_type` cosine and `max_grad_norm` 1.0 as 0G's own trainer has them without naming them. `max_steps`
//! ends a run sooner but never runs more than `num_train_epochs`, because epochs are what is paid for. `warmup_ratio`
//! counts when it is given without `warmup_steps`; else `warmup_steps` (default 10) counts, as in Hugging Face.
//! `fp16` and `bf16` are hints: the engine always computes in f32, which is at least as exact. `save_steps` and
//! `save_total_limit` have no effect, because no checkpoint may leave compute. Quantized bases and NEFTune change the
//! result and are refused.

use crate::adapter::{LoraConfig, RANK_MAX, Target, targets};
use crate::error::{Error, Result};
use crate::schedule::{ScheduleKind, Warmup};
use serde_json::Value;

/// When to stop on held-out loss, judged after each epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EarlyStopping {
    /// Epochs without improvement that end the run (`early_stopping_patience`).
    pub patience: u32,
    /// Smallest drop in nats that counts as improvement (`early_stopping_threshold`).
    pub threshold: f64,
}

/// A checked set of training settings. Fields are 0G's names.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingParams {
    pub num_train_epochs: u32,
    pub per_device_train_batch_size: usize,
    pub gradient_accumulation_steps: usize,
    pub learning_rate: f64,
    /// At most this many steps; `None` (in JSON -1 or 0) for no limit.
    pub max_steps: Option<u64>,
    pub warmup: Warmup,
    pub lr_scheduler_type: ScheduleKind,
    /// Steps between entries of `trainer_state.json`.
    pub logging_steps: u64,
    /// Text tokens of a row that are kept.
    pub max_seq_length: usize,
    /// Rank; `None` is 8, or that of the initial adapter.
    pub lora_r: Option<usize>,
    /// Alpha; `None` is 32, or that of the initial adapter.
    pub lora_alpha: Option<f64>,
    pub lora_dropout: f64,
    pub use_rslora: Option<bool>,
    /// `None` is all seven, or those of the initial adapter.
    pub target_modules: Option<Vec<Target>>,
    pub seed: u64,
    /// `None` is one per processor. The result does not depend on it.
    pub threads: Option<usize>,
    /// Gradients are scaled down to this norm; 0 leaves them.
    pub max_grad_norm: f64,
    pub adam: AdamConfig,
    pub early_stopping: Option<EarlyStopping>,
    /// Part of the rows held out to judge by.
    pub eval_fraction: f64,
}

/// The number of threads asked for, or one per processor.
#[must_use]
pub fn threads(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// AdamW's constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamConfig {
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        AdamConfig { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

impl Default for TrainingParams {
    fn default() -> Self {
        TrainingParams {
            num_train_epochs: 3,
            per_device_train_batch_size: 4,
            gradient_accumulation_steps: 4,
            learning_rate: 2e-4,
            max_steps: None,
            warmup: Warmup::Steps(10),
            lr_scheduler_type: ScheduleKind::Cosine,
            logging_steps: 10,
            max_seq_length: 512,
            lora_r: None,
            lora_alpha: None,
            lora_dropout: 0.1,
            use_rslora: None,
            target_modules: None,
            seed: 42,
            threads: None,
            max_grad_norm: 1.0,
            adam: AdamConfig::default(),
            early_stopping: None,
            eval_fraction: 0.1,
        }
    }
}

/// The name a setting is kept under, for aliases.
fn canonical(name: &str) -> &str {
    match name {
        "num_epochs" => "num_train_epochs",
        "batch_size" => "per_device_train_batch_size",
        "max_length" => "max_seq_length",
        "r" => "lora_r",
        "alpha" => "lora_alpha",
        "dropout" => "lora_dropout",
        "evalFraction" => "eval_fraction",
        other => other,
    }
}

impl TrainingParams {
    /// Reads one JSON object of settings. A `null` value counts as not given.
    ///
    /// # Errors
    /// [`Error::ParamsMalformed`], [`Error::ParamsUnknown`] for a name nobody knows, [`Error::ParamsValue`] outside
    /// the range or given twice under two names, [`Error::ParamsUnsupported`].
    pub fn parse(json: &str) -> Result<Self> {
        let map: serde_json::Map<String, Value> =
            serde_json::from_str(json).map_err(|e| Error::ParamsMalformed(e.to_string()))?;
        let mut given = std::collections::BTreeMap::new();
        for (name, value) in map.iter().filter(|(_, value)| !value.is_null()) {
            if let Some(before) = given.insert(canonical(name), value)
                && before != value
            {
                return Err(wrong(name, "is given twice, under two names, with different values"));
            }
        }
        let mut params = TrainingParams::default();
        for (name, value) in &given {
            let setting = Setting { name, value };
            if !params.set_run(&setting)? && !params.set_lora(&setting)? && !params.set_hint(&setting)? {
                return Err(Error::ParamsUnknown((*name).to_owned()));
            }
        }
        params.set_warmup(&given)?;
        params.set_early_stopping(&given)?;
        Ok(params)
    }

    fn set_run(&mut self, s: &Setting) -> Result<bool> {
        match s.name {
            "num_train_epochs" => self.num_train_epochs = s.whole(1, 10_000)? as u32,
            "per_device_train_batch_size" => self.per_device_train_batch_size = s.whole(1, 4096)? as usize,
            "gradient_accumulation_steps" => self.gradient_accumulation_steps = s.whole(1, 4096)? as usize,
            "learning_rate" => self.learning_rate = s.real(0.0, 10.0)?,
            "max_steps" => self.max_steps = Some(s.whole(-1, 1 << 40)?).filter(|n| *n > 0).map(|n| n as u64),
            "lr_scheduler_type" => self.lr_scheduler_type = s.schedule()?,
            "logging_steps" => self.logging_steps = s.whole(1, 1 << 40)? as u64,
            "max_seq_length" => self.max_seq_length = s.whole(2, 1 << 20)? as usize,
            "seed" => self.seed = s.whole(0, i64::MAX)? as u64,
            "threads" => self.threads = Some(s.whole(0, 1024)? as usize).filter(|n| *n > 0),
            "max_grad_norm" => self.max_grad_norm = s.real(0.0, 1e9)?,
            "weight_decay" => self.adam.weight_decay = s.real(0.0, 1.0)?,
            "adam_beta1" => self.adam.beta1 = s.real(0.0, 0.999_999)?,
            "adam_beta2" => self.adam.beta2 = s.real(0.0, 0.999_999_9)?,
            "adam_epsilon" => self.adam.epsilon = s.real(1e-12, 1.0)?,
            "eval_fraction" => self.eval_fraction = s.real(0.0, 0.9)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_lora(&mut self, s: &Setting) -> Result<bool> {
        match s.name {
            "lora_r" => self.lora_r = Some(s.whole(1, RANK_MAX as i64)? as usize),
            "lora_alpha" => self.lora_alpha = Some(s.real(1e-6, 1e6)?),
            "lora_dropout" => self.lora_dropout = s.real(0.0, 0.95)?,
            "use_rslora" => self.use_rslora = Some(s.flag()?),
            "target_modules" => self.target_modules = Some(s.targets()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Settings without effect, settings that are read elsewhere, and settings that are refused when they are on.
    fn set_hint(&mut self, s: &Setting) -> Result<bool> {
        match s.name {
            "fp16" | "bf16" => s.flag().map(|_| true),
            "save_steps" | "save_total_limit" => s.whole(0, 1 << 40).map(|_| true),
            "warmup_steps" | "warmup_ratio" | "early_stopping_patience" | "early_stopping_threshold" => {
                Ok(true)
            }
            "use_4bit" | "use_8bit" | "load_in_4bit" | "load_in_8bit" => match s.flag()? {
                true => Err(refused(s.name, "the base model is not quantized")),
                false => Ok(true),
            },
            "neftune_noise_alpha" => match s.real(0.0, 1e6)? {
                0.0 => Ok(true),
                _ => Err(refused(s.name, "no noise is added to embeddings")),
            },
            "packing" => match s.flag()? {
                true => Err(refused(s.name, "every row is trained on alone, without padding")),
                false => Ok(true),
            },
            "optim" => match s.value.as_str() {
                Some("adamw_torch" | "adamw" | "adamw_hf" | "adamw_torch_fused") => Ok(true),
                _ => Err(refused(s.name, "the optimizer is AdamW (`adamw_torch`)")),
            },
            _ => Ok(false),
        }
    }

    fn set_warmup(&mut self, given: &Given) -> Result<()> {
        let steps = Setting::of(given, "warmup_steps").map(|s| s.whole(0, 1 << 40)).transpose()?;
        let ratio = Setting::of(given, "warmup_ratio").map(|s| s.real(0.0, 1.0)).transpose()?;
        self.warmup = match (steps, ratio) {
            (Some(0), Some(ratio)) | (None, Some(ratio)) => Warmup::Ratio(ratio),
            (Some(steps), _) => Warmup::Steps(steps as u64),
            (None, None) => self.warmup,
        };
        Ok(())
    }

    fn set_early_stopping(&mut self, given: &Given) -> Result<()> {
        let patience =
            Setting::of(given, "early_stopping_patience").map(|s| s.whole(0, 10_000)).transpose()?;
        let threshold =
            Setting::of(given, "early_stopping_threshold").map(|s| s.real(0.0, 1e6)).transpose()?;
        self.early_stopping = match (patience, threshold) {
            (None | Some(0), None) => None,
            (None | Some(0), Some(_)) => {
                return Err(wrong("early_stopping_threshold", "needs early_stopping_patience"));
            }
            (Some(patience), threshold) => {
                if self.eval_fraction == 0.0 {
                    return Err(wrong(
                        "early_stopping_patience",
                        "needs eval_fraction above 0, it judges held-out rows",
                    ));
                }
                Some(EarlyStopping { patience: patience as u32, threshold: threshold.unwrap_or(0.0) })
            }
        };
        Ok(())
    }

    /// Every setting that a run without an initial adapter uses, under 0G's names; parsing it gives the same
    /// run. The number of threads is left out, because the result does not depend on it.
    pub fn used(&self) -> serde_json::Map<String, Value> {
        let (lora, adam) = (self.lora(), &self.adam);
        let targets: Vec<&str> = lora.targets.iter().map(|target| target.name()).collect();
        let mut used: serde_json::Map<String, Value> = [
            ("num_train_epochs", Value::from(self.num_train_epochs)),
            ("per_device_train_batch_size", self.per_device_train_batch_size.into()),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps.into()),
            ("learning_rate", self.learning_rate.into()),
            ("max_steps", self.max_steps.map_or(Value::from(-1), Value::from)),
            ("lr_scheduler_type", self.lr_scheduler_type.name().into()),
            ("logging_steps", self.logging_steps.into()),
            ("max_seq_length", self.max_seq_length.into()),
            ("lora_r", lora.rank.into()),
            ("lora_alpha", lora.alpha.into()),
            ("lora_dropout", lora.dropout.into()),
            ("use_rslora", lora.rank_stabilized.into()),
            ("target_modules", targets.into()),
            ("seed", self.seed.into()),
            ("max_grad_norm", self.max_grad_norm.into()),
            ("weight_decay", adam.weight_decay.into()),
            ("adam_beta1", adam.beta1.into()),
            ("adam_beta2", adam.beta2.into()),
            ("adam_epsilon", adam.epsilon.into()),
            ("eval_fraction", self.eval_fraction.into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect();
        let mut also = |name: &str, value: Value| drop(used.insert(name.to_owned(), value));
        match self.warmup {
            Warmup::Steps(steps) => also("warmup_steps", steps.into()),
            Warmup::Ratio(ratio) => also("warmup_ratio", ratio.into()),
        }
        if let Some(early) = self.early_stopping {
            also("early_stopping_patience", early.patience.into());
            also("early_stopping_threshold", early.threshold.into());
        }
        used
    }

    /// Rows per step.
    pub fn rows_per_step(&self) -> usize {
        self.per_device_train_batch_size * self.gradient_accumulation_steps
    }

    /// Steps of a run over `rows` training rows, when nothing ends it sooner.
    pub fn planned_steps(&self, rows: u64) -> u64 {
        let all = rows.div_ceil(self.rows_per_step() as u64) * u64::from(self.num_train_epochs);
        self.max_steps.map_or(all, |most| most.min(all))
    }

    /// The adapter these settings start when no initial adapter is given.
    pub fn lora(&self) -> LoraConfig {
        LoraConfig {
            rank: self.lora_r.unwrap_or(8),
            alpha: self.lora_alpha.unwrap_or(32.0),
            dropout: self.lora_dropout,
            rank_stabilized: self.use_rslora.unwrap_or(false),
            targets: self.target_modules.clone().unwrap_or_else(|| Target::ALL.to_vec()),
        }
    }

    /// Refuses an initial adapter of another shape than the settings name.
    pub(crate) fn agrees_with(&self, initial: &LoraConfig) -> Result<()> {
        let differs = self.lora_r.is_some_and(|r| r != initial.rank)
            || self.lora_alpha.is_some_and(|a| a != initial.alpha)
            || self.use_rslora.is_some_and(|r| r != initial.rank_stabilized)
            || self.target_modules.as_ref().is_some_and(|t| *t != initial.targets);
        if differs {
            let reason = "its r, alpha, use_rslora or target_modules differ from the training settings";
            return Err(Error::Adapter(reason.to_owned()));
        }
        Ok(())
    }
}

type Given<'a> = std::collections::BTreeMap<&'a str, &'a Value>;

struct Setting<'a> {
    name: &'a str,
    value: &'a Value,
}

fn wrong(name: &str, reason: &str) -> Error {
    Error::ParamsValue { name: name.to_owned(), reason: reason.to_owned() }
}

fn refused(name: &str, reason: &str) -> Error {
    Error::ParamsUnsupported { name: name.to_owned(), reason: reason.to_owned() }
}

impl<'a> Setting<'a> {
    fn of(given: &Given<'a>, name: &'a str) -> Option<Self> {
        given.get(name).map(|value| Setting { name, value })
    }

    /// A whole number; 3.0 counts as 3.
    fn whole(&self, least: i64, most: i64) -> Result<i64> {
        let float = self.value.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15).map(|f| f as i64);
        match self.value.as_i64().or(float) {
            Some(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(wrong(self.name, &format!("expected a whole number from {least} to {most}"))),
        }
    }

    fn real(&self, least: f64, most: f64) -> Result<f64> {
        match self.value.as_f64() {
            Some(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(wrong(self.name, &format!("expected a number from {least} to {most}"))),
        }
    }

    fn flag(&self) -> Result<bool> {
        self.value.as_bool().ok_or_else(|| wrong(self.name, "expected true or false"))
    }

    fn schedule(&self) -> Result<ScheduleKind> {
        match self.value.as_str() {
            Some("cosine") => Ok(ScheduleKind::Cosine),
            Some("linear") => Ok(ScheduleKind::Linear),
            Some("constant") => Ok(ScheduleKind::Constant),
            Some("constant_with_warmup") => Ok(ScheduleKind::ConstantWithWarmup),
            _ => Err(wrong(self.name, "expected cosine, linear, constant or constant_with_warmup")),
        }
    }

    fn targets(&self) -> Result<Vec<Target>> {
        if self.value.as_str() == Some("all-linear") {
            return Ok(Target::ALL.to_vec());
        }
        let names: Vec<String> = serde_json::from_value(self.value.clone())
            .map_err(|_| wrong(self.name, "expected a list of module names or \"all-linear\""))?;
        targets(&names).map_err(|reason| wrong(self.name, &reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_g_settings_are_taken_verbatim() {
        let params = TrainingParams::parse(
            r#"{"num_train_epochs":3,"per_device_train_batch_size":4,"gradient_accumulation_steps":4,
            "learning_rate":2e-4,"max_steps":-1,"warmup_ratio":0.03,"warmup_steps":10,"logging_steps":10,
            "save_steps":100,"save_total_limit":3,"fp16":false,"bf16":true,"max_seq_length":512,"lora_r":8,
            "lora_alpha":32,"lora_dropout":0.1,"use_4bit":false,"use_8bit":false}"#,
        )
        .unwrap();
        let expected =
            TrainingParams { lora_r: Some(8), lora_alpha: Some(32.0), ..TrainingParams::default() };
        assert_eq!(params, expected);
        assert_eq!(params.planned_steps(100), 21);
    }

    #[test]
    fn aliases_and_our_own_names() {
        let params = TrainingParams::parse(
            r#"{"num_epochs":2.0,"batch_size":8,"max_length":64,"r":4,"alpha":8,"dropout":0,"evalFraction":0.2,
            "warmup_ratio":0.5,"lr_scheduler_type":"linear","target_modules":["v_proj","q_proj","q_proj"],
            "early_stopping_patience":1,"early_stopping_threshold":0.01,"seed":7,"threads":2,"max_grad_norm":0}"#,
        )
        .unwrap();
        assert_eq!((params.num_train_epochs, params.per_device_train_batch_size), (2, 8));
        assert_eq!(params.warmup, Warmup::Ratio(0.5));
        assert_eq!(params.lora().targets, [Target::Query, Target::Value]);
        assert_eq!(params.early_stopping, Some(EarlyStopping { patience: 1, threshold: 0.01 }));
        assert_eq!((params.eval_fraction, params.max_grad_norm), (0.2, 0.0));
    }

    #[test]
    fn settings_as_used_are_whole_and_give_the_same_run() {
        for text in [
            "{}",
            r#"{"num_epochs":2,"warmup_ratio":0.5,"lr_scheduler_type":"constant_with_warmup","lora_r":4,"alpha":7.5,
            "use_rslora":true,"target_modules":["v_proj"],"max_steps":9,"early_stopping_patience":2,"seed":7,
            "adam_beta1":0.8,"weight_decay":0.01,"threads":3}"#,
        ] {
            let params = TrainingParams::parse(text).unwrap();
            let used = Value::Object(params.used()).to_string();
            let again = TrainingParams::parse(&used).unwrap();
            assert_eq!(again.lora(), params.lora());
            let lora = params.lora();
            let whole = TrainingParams {
                lora_r: Some(lora.rank),
                lora_alpha: Some(lora.alpha),
                use_rslora: Some(lora.rank_stabilized),
                target_modules: Some(lora.targets),
                threads: None,
                ..params
            };
            assert_eq!(again, whole);
            assert_eq!(Value::Object(again.used()).to_string(), used);
        }
    }

    #[test]
    fn refusals_name_the_setting() {
        for (json, message) in [
            (
                "[]",
                "the training settings are not one JSON object: invalid type: sequence, expected a map at line 1 column 0",
            ),
            (r#"{"lora_rank":8}"#, "unknown training setting `lora_rank`"),
            (r#"{"lora_r":0}"#, "training setting `lora_r`: expected a whole number from 1 to 1024"),
            (
                r#"{"lora_r":8,"r":4}"#,
                "training setting `r`: is given twice, under two names, with different values",
            ),
            (
                r#"{"num_epochs":2.5}"#,
                "training setting `num_train_epochs`: expected a whole number from 1 to 10000",
            ),
            (
                r#"{"learning_rate":"fast"}"#,
                "training setting `learning_rate`: expected a number from 0 to 10",
            ),
            (
                r#"{"use_4bit":true}"#,
                "training setting `use_4bit` is not supported: the base model is not quantized",
            ),
            (
                r#"{"target_modules":["lm_head"]}"#,
                "training setting `target_modules`: target module `lm_head` is unknown",
            ),
            (
                r#"{"early_stopping_patience":1,"eval_fraction":0}"#,
                "training setting `early_stopping_patience`: needs eval_fraction above 0, it judges held-out rows",
            ),
        ] {
            assert_eq!(TrainingParams::parse(json).unwrap_err().to_string(), message);
        }
    }
}
