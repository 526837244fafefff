//! Everything that can go wrong in the engine, with a stable code, a hint and the exit status.

use std::path::{Path, PathBuf};

/// A refusal or a failure of the engine. `Display` is lowercase without a final period; [`Error::code`] and
/// [`Error::hint`] complete the message a person sees.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data set has no row.
    #[error("the data set is empty")]
    DataEmpty,
    /// A line is not JSON. Line and column count from 1, columns in bytes.
    #[error("line {line}, column {column}: not valid JSON: {reason}")]
    DataMalformed { line: usize, column: usize, reason: String },
    /// A line is not UTF-8. Line and column count from 1, columns in bytes.
    #[error("line {line}, column {column}: not valid UTF-8")]
    DataNotUtf8 { line: usize, column: usize },
    /// A line is longer than the cap.
    #[error("line {line}, column {}: row of {bytes} bytes, at most {max} are allowed", max + 1)]
    RowTooLong { line: usize, bytes: usize, max: usize },
    /// A row is JSON but of no shape that can be trained on.
    #[error("line {line}, column 1: {reason}")]
    RowShape { line: usize, reason: String },
    /// A row holds a preference pair; preference training is not what this engine does.
    #[error(
        "line {line}, column 1: preference rows (`chosen` and `rejected`) cannot be trained on, only rows with one answer"
    )]
    RowPreference { line: usize },
    /// No row has a token to learn.
    #[error("no row has a token to learn: every target is masked or cut off")]
    NothingToTrain,
    /// The chat template changes earlier text when a message is added, so prompts cannot be masked.
    #[error(
        "line {line}, column 1: the chat template rewrites earlier messages, the answer cannot be told from the prompt"
    )]
    TemplateUnstable { line: usize },
    /// A token id is outside the model's vocabulary.
    #[error("token id {id} is outside the model's vocabulary of {vocabulary}")]
    TokenOutOfRange { id: i64, vocabulary: usize },
    /// A `--tokens` file is not int64 [steps, batch, seq].
    #[error("the token file is refused: {0}")]
    TokenFile(String),
    /// The training settings are not one JSON object.
    #[error("the training settings are not one JSON object: {0}")]
    ParamsMalformed(String),
    /// A setting has a name nobody knows.
    #[error("unknown training setting `{0}`")]
    ParamsUnknown(String),
    /// A setting has a value outside its range, or two settings contradict each other.
    #[error("training setting `{name}`: {reason}")]
    ParamsValue { name: String, reason: String },
    /// A setting is known but asks for something this engine does not do.
    #[error("training setting `{name}` is not supported: {reason}")]
    ParamsUnsupported { name: String, reason: String },
    /// `config.json` of the base model is missing fields or contradicts itself.
    #[error("the base model's config.json is refused: {0}")]
    ModelConfig(String),
    /// The base model is of an architecture this engine does not know.
    #[error("the base model's architecture `{0}` is not supported")]
    ModelArchitecture(String),
    /// A weights file is malformed, or lacks a tensor, or has one of the wrong shape.
    #[error("weights are refused: {0}")]
    Weights(String),
    /// `tokenizer.json` cannot be read or encodes no text.
    #[error("the tokenizer is refused: {0}")]
    Tokenizer(String),
    /// The chat template cannot be parsed or rendered.
    #[error("the chat template is refused: {0}")]
    ChatTemplate(String),
    /// An adapter folder does not fit the base model or the settings.
    #[error("the adapter is refused: {0}")]
    Adapter(String),
    /// Model and settings need more memory than a training may use.
    #[error("training would need {needed} bytes of memory, {allowed} are allowed")]
    Memory { needed: u64, allowed: u64 },
    /// The loss is no longer a number.
    #[error("training diverged: the loss of step {step} is not a finite number")]
    Diverged { step: usize },
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    /// The output folder is already there.
    #[error("{} exists already", .0.display())]
    OutputExists(PathBuf),
    /// The command line asks for something contradictory.
    #[error("{0}")]
    Usage(String),
}

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The stable code, `LIC05nn`.
    pub fn code(&self) -> &'static str {
        match self {
            Error::DataEmpty => "LIC0501",
            Error::DataMalformed { .. } => "LIC0502",
            Error::DataNotUtf8 { .. } => "LIC0503",
            Error::RowTooLong { .. } => "LIC0504",
            Error::RowShape { .. } => "LIC0505",
            Error::RowPreference { .. } => "LIC0506",
            Error::NothingToTrain => "LIC0507",
            Error::TemplateUnstable { .. } => "LIC0508",
            Error::TokenOutOfRange { .. } => "LIC0509",
            Error::TokenFile(_) => "LIC0510",
            Error::ParamsMalformed(_) => "LIC0520",
            Error::ParamsUnknown(_) => "LIC0521",
            Error::ParamsValue { .. } => "LIC0522",
            Error::ParamsUnsupported { .. } => "LIC0523",
            Error::ModelConfig(_) => "LIC0530",
            Error::ModelArchitecture(_) => "LIC0531",
            Error::Weights(_) => "LIC0532",
            Error::Tokenizer(_) => "LIC0533",
            Error::ChatTemplate(_) => "LIC0534",
            Error::Adapter(_) => "LIC0535",
            Error::Memory { .. } => "LIC0536",
            Error::Diverged { .. } => "LIC0540",
            Error::Io { .. } => "LIC0550",
            Error::OutputExists(_) => "LIC0551",
            Error::Usage(_) => "LIC0552",
        }
    }

    /// What to do next, one line.
    pub fn hint(&self) -> &'static str {
        Self::hint_of(self.code()).unwrap_or("licen-compute --help")
    }

    /// The same by code; nothing for a code that is none of the engine's.
    #[must_use]
    pub fn hint_of(code: &str) -> Option<&'static str> {
        Some(match code {
            "LIC0501" => "write one JSON object per line, for example {\"text\": \"...\"}",
            "LIC0502" => "every line is one JSON object; check quotes and commas at the column shown",
            "LIC0503" => "convert the file first, for example: iconv -f latin1 -t utf-8 FILE",
            "LIC0504" => "split the row, or raise the cap with --max-row-bytes",
            "LIC0505" => {
                "use {\"text\"}, {\"messages\"}, {\"prompt\",\"completion\"} or {\"instruction\",\"input\",\"output\"}"
            }
            "LIC0506" => "keep the better answer only: {\"prompt\": ..., \"completion\": <chosen>}",
            "LIC0507" => "raise max_seq_length, or check that the answers are not empty",
            "LIC0508" => "use {\"prompt\",\"completion\"} rows, or a template that only appends",
            "LIC0509" => "use the tokenizer that belongs to this base model",
            "LIC0510" => "write one safetensors tensor `tokens`, int64, shape [steps, batch, seq]",
            "LIC0520" => "write one object, for example {\"num_train_epochs\": 3}",
            "LIC0521" => "licen-compute train --help lists every setting",
            "LIC0522" => "correct the value; licen-compute train --help lists every setting",
            "LIC0523" => "remove the setting",
            "LIC0530" | "LIC0531" => "use a Llama, SmolLM, Qwen2 or Qwen3 model in Hugging Face layout",
            "LIC0532" => "fetch the model's safetensors files again",
            "LIC0533" => "the base folder needs the model's own tokenizer.json",
            "LIC0534" => "check chat_template in tokenizer_config.json",
            "LIC0535" => "start from an adapter that PEFT wrote for this base model",
            "LIC0536" => "take a smaller model, max_seq_length or lora_r, or a machine with more memory",
            "LIC0540" => "lower learning_rate, or set max_grad_norm to 1.0",
            "LIC0550" => "check that the path exists and can be read and written",
            "LIC0551" => "choose another --out, or remove the folder",
            "LIC0552" => "licen-compute --help",
            _ => return None,
        })
    }

    /// 1 when a rule refuses the data, 2 for usage and environment.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::DataEmpty
            | Error::DataMalformed { .. }
            | Error::DataNotUtf8 { .. }
            | Error::RowTooLong { .. }
            | Error::RowShape { .. }
            | Error::RowPreference { .. }
            | Error::NothingToTrain
            | Error::TemplateUnstable { .. }
            | Error::TokenOutOfRange { .. }
            | Error::TokenFile(_)
            | Error::Diverged { .. } => 1,
            Error::ParamsMalformed(_)
            | Error::ParamsUnknown(_)
            | Error::ParamsValue { .. }
            | Error::ParamsUnsupported { .. }
            | Error::ModelConfig(_)
            | Error::ModelArchitecture(_)
            | Error::Weights(_)
            | Error::Tokenizer(_)
            | Error::ChatTemplate(_)
            | Error::Adapter(_)
            | Error::Memory { .. }
            | Error::Io { .. }
            | Error::OutputExists(_)
            | Error::Usage(_) => 2,
        }
    }
}

/// Wraps an I/O error with the path it belongs to.
pub(crate) fn io_at(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_path_buf(), source }
}
