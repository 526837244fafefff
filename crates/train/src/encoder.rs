//! Rows to text tokens: the model's tokenizer and chat template, prompts masked, the end token appended.
//!
//! Prompt and answer are tokenized apart, so that the model sees a prompt in training exactly as it will be given one
//! later. Conversations are rendered up to each answer and cut there; a template that rewrites earlier messages is
//! used for the last answer only, and refused where even that cannot be told apart.

use crate::error::{Error, Result};
use crate::jsonl::{Message, Row, RowKind};
use crate::sample::{Sample, TokenCount};
use crate::weights::read_text;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, context};
use serde_json::Value;
use std::path::Path;
use tokenizers::Tokenizer;
use zeroize::Zeroizing;

/// Tokens of a tokenizer, at most.
const VOCABULARY_MAX: usize = 4_000_000;

/// Steps a template may take for one row, so that a hostile one ends.
const TEMPLATE_FUEL: u64 = 5_000_000;

/// What is used when the model brings no template: the ChatML form.
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + \
    '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// A model's tokenizer and chat template.
pub struct Encoder {
    tokenizer: Tokenizer,
    end: Option<u32>,
    templates: Environment<'static>,
    begin_text: String,
    end_text: String,
}

/// Reads a tokenizer. What turns tokens back into text is left out: it is never needed, and the library
/// panics about one that it does not know. Should it panic about something else, that is a refusal too.
fn parse(text: &str) -> Result<Tokenizer> {
    let refused = |reason: String| Error::Tokenizer(reason);
    let mut file: Value = serde_json::from_str(text).map_err(|e| refused(e.to_string()))?;
    if let Some(fields) = file.as_object_mut() {
        fields.insert("decoder".to_owned(), Value::Null);
    }
    let parsed = std::panic::catch_unwind(|| serde_json::from_value::<Tokenizer>(file));
    let parsed = parsed.map_err(|_| refused("the tokenizers library cannot read it".to_owned()))?;
    parsed.map_err(|e| refused(e.to_string()))
}

impl Encoder {
    /// Reads `tokenizer.json`, `tokenizer_config.json` and, where they are, `chat_template.jinja`, `config.json` and
    /// `generation_config.json` of a Hugging Face folder.
    ///
    /// # Errors
    /// [`Error::Tokenizer`], [`Error::ChatTemplate`], [`Error::Io`].
    pub fn load(dir: &Path) -> Result<Self> {
        let text = read_text(&dir.join("tokenizer.json"))?;
        let mut tokenizer = parse(&text)?;
        let words = tokenizer.get_vocab_size(true);
        if words > VOCABULARY_MAX {
            return Err(Error::Tokenizer(format!(
                "it has {words} tokens, at most {VOCABULARY_MAX} are taken"
            )));
        }
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| Error::Tokenizer(e.to_string()))?;
        let optional = |name: &str| -> Result<Value> {
            let path = dir.join(name);
            if !path.exists() {
                return Ok(Value::Null);
            }
            serde_json::from_str(&read_text(&path)?).map_err(|e| Error::Tokenizer(format!("{name}: {e}")))
        };
        let config = optional("tokenizer_config.json")?;
        if let Some(name) = crate::hostile::asks_for_code(&config) {
            let reason =
                format!("tokenizer_config.json: {name} asks for code of the model, which is never run");
            return Err(Error::Tokenizer(reason));
        }
        let end_text = special(&config, "eos_token");
        let end = match end_text.is_empty() {
            false => tokenizer.token_to_id(&end_text),
            true => end_id(&optional("generation_config.json")?).or(end_id(&optional("config.json")?)),
        };
        let jinja = dir.join("chat_template.jinja");
        let template = match jinja.exists() {
            true => read_text(&jinja)?,
            false => template_of(&config).unwrap_or_else(|| CHATML.to_owned()),
        };
        Ok(Encoder {
            begin_text: special(&config, "bos_token"),
            templates: templates(template)?,
            tokenizer,
            end,
            end_text,
        })
    }

    /// Text tokens of rows, in order, at most `most` of each.
    ///
    /// # Errors
    /// [`Error::Tokenizer`], [`Error::ChatTemplate`], [`Error::TemplateUnstable`].
    pub fn encode(&self, rows: &[Row], most: usize) -> Result<Vec<Sample>> {
        let samples = rows.iter().map(|row| {
            let mut sample = self.row(row)?;
            sample.truncate(most);
            Ok(sample)
        });
        samples.collect()
    }

    /// Counts the text tokens of rows as metering does for one epoch over all of them, uncut.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn count(&self, rows: &[Row]) -> Result<TokenCount> {
        Ok(TokenCount::of(&self.encode(rows, usize::MAX)?))
    }

    /// Text tokens of a plain text, the tokenizer's own marks at the start included.
    pub(crate) fn text(&self, text: &str, marks: bool) -> Result<Zeroizing<Vec<u32>>> {
        let encoding =
            self.tokenizer.encode_fast(text, marks).map_err(|e| Error::Tokenizer(e.to_string()))?;
        Ok(Zeroizing::new(encoding.get_ids().to_vec()))
    }

    fn row(&self, row: &Row) -> Result<Sample> {
        let (mut ids, mut learn) = match &row.kind {
            RowKind::Text(text) => joined(&[(self.text(text, true)?, true)]),
            RowKind::Pair { prompt, completion } => {
                let mut ids = self.text(prompt, true)?;
                // A tokenizer that closes every text with the end token must not close the prompt.
                while ids.last() == self.end.as_ref() && self.end.is_some() {
                    ids.pop();
                }
                joined(&[(ids, false), (self.text(completion, false)?, true)])
            }
            RowKind::Chat(messages) => self.chat(messages, row.line)?,
        };
        if let Some(end) = self.end
            && needs_end(&row.kind, &ids, &learn, end)
        {
            ids.push(end);
            learn.push(true);
        }
        Ok(Sample::new(ids, learn))
    }

    fn chat(&self, messages: &[Message], line: usize) -> Result<(Vec<u32>, Vec<bool>)> {
        let whole = self.render(messages, false)?;
        let pieces = match self.cut_at_every_answer(messages, &whole)? {
            Some(pieces) => pieces,
            None => self.cut_at_last_answer(messages, &whole)?.ok_or(Error::TemplateUnstable { line })?,
        };
        let pieces: Result<Vec<_>> =
            pieces.into_iter().map(|(text, learned)| Ok((self.text(text, false)?, learned))).collect();
        Ok(joined(&pieces?))
    }

    /// The rendered conversation in pieces, or nothing when the template is not stable under appending.
    fn cut_at_every_answer<'t>(
        &self,
        messages: &[Message],
        whole: &'t str,
    ) -> Result<Option<Vec<(&'t str, bool)>>> {
        let (mut pieces, mut done) = (Vec::new(), 0);
        for (i, message) in messages.iter().enumerate().filter(|(_, m)| m.role == "assistant") {
            let before = self.render(&messages[..i], true)?;
            let after = self.render(&messages[..=i], false)?;
            let stable = whole.starts_with(after.as_str())
                && after.starts_with(before.as_str())
                && before.len() >= done;
            if !stable {
                return Ok(None);
            }
            pieces.push((&whole[done..before.len()], false));
            pieces.push((&whole[before.len()..after.len()], message.learn));
            done = after.len();
        }
        pieces.push((&whole[done..], false));
        pieces.retain(|(text, _)| !text.is_empty());
        Ok(Some(pieces))
    }

    fn cut_at_last_answer<'t>(
        &self,
        messages: &[Message],
        whole: &'t str,
    ) -> Result<Option<Vec<(&'t str, bool)>>> {
        let Some((last, before)) = messages.split_last().filter(|(last, _)| last.learn) else {
            return Ok(None);
        };
        let prompt = self.render(before, true)?;
        let stable = whole.starts_with(prompt.as_str());
        Ok(stable.then(|| vec![(&whole[..prompt.len()], false), (&whole[prompt.len()..], last.learn)]))
    }

    fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Zeroizing<String>> {
        let refuse = |e: minijinja::Error| Error::ChatTemplate(e.to_string());
        let template = self.templates.get_template("chat").map_err(refuse)?;
        let message = |m: &Message| context! { role => m.role.as_str(), content => m.content.as_str() };
        let messages: Vec<minijinja::Value> = messages.iter().map(message).collect();
        let (bos_token, eos_token) = (self.begin_text.as_str(), self.end_text.as_str());
        let values = context! { messages, add_generation_prompt, bos_token, eos_token };
        template.render(values).map(Zeroizing::new).map_err(refuse)
    }
}

/// Pieces of a row behind each other, with room for an end token: growing would leave copies behind.
fn joined(pieces: &[(Zeroizing<Vec<u32>>, bool)]) -> (Vec<u32>, Vec<bool>) {
    let room = pieces.iter().map(|(ids, _)| ids.len()).sum::<usize>() + 1;
    let (mut ids, mut learn) = (Vec::with_capacity(room), Vec::with_capacity(room));
    for (piece, learned) in pieces {
        ids.extend_from_slice(piece);
        learn.resize(ids.len(), *learned);
    }
    (ids, learn)
}

fn templates(source: String) -> Result<Environment<'static>> {
    let mut environment = Environment::new();
    let refuse = |e: minijinja::Error| Error::ChatTemplate(e.to_string());
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(refuse)?;
    environment.set_syntax(syntax);
    environment.set_fuel(Some(TEMPLATE_FUEL));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function(
        "raise_exception",
        |message: String| -> std::result::Result<String, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        },
    );
    environment.add_template_owned("chat", source).map_err(refuse)?;
    Ok(environment)
}

/// Whether the row's answer still lacks its end token. A conversation may bring one inside its last answer, and one
/// that ends with something unlearned needs none.
fn needs_end(kind: &RowKind, ids: &[u32], learn: &[bool], end: u32) -> bool {
    match kind {
        RowKind::Text(_) | RowKind::Pair { .. } => ids.last() != Some(&end),
        RowKind::Chat(_) => {
            let answer = learn.iter().rposition(|l| !l).map_or(0, |i| i + 1);
            learn.last() == Some(&true) && !ids[answer..].contains(&end)
        }
    }
}

/// A special token of tokenizer_config.json, a string or an object with `content`.
fn special(config: &Value, name: &str) -> String {
    let value = &config[name];
    value.as_str().or(value["content"].as_str()).unwrap_or_default().to_owned()
}

fn end_id(config: &Value) -> Option<u32> {
    let value = &config["eos_token_id"];
    value.as_u64().or(value[0].as_u64()).and_then(|id| u32::try_from(id).ok())
}

/// `chat_template`, a string or a list of named templates of which `default` counts.
fn template_of(config: &Value) -> Option<String> {
    let value = &config["chat_template"];
    let named = value.as_array().and_then(|list| list.iter().find(|t| t["name"] == "default"));
    value.as_str().or(named.and_then(|t| t["template"].as_str())).map(str::to_owned)
}

#[cfg(test)]
#[path = "encoder_tests.rs"]
mod tests;
