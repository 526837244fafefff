//! JSON Lines of the four row shapes, with errors that name line and column.

use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The longest row accepted by default, in bytes.
pub const ROW_BYTES_MAX: usize = 1 << 20;

/// One message of a conversation; wiped when dropped.
#[derive(Debug, Clone, PartialEq, Zeroize, ZeroizeOnDrop)]
pub struct Message {
    pub role: String,
    pub content: String,
    /// Whether the answer is learned; `"weight": 0` in the row says no.
    pub learn: bool,
}

/// The text of one row; wiped when dropped.
#[derive(Debug, Clone, PartialEq, Zeroize, ZeroizeOnDrop)]
pub enum RowKind {
    /// `{"text"}`: everything is learned.
    Text(String),
    /// `{"prompt","completion"}` or `{"instruction","input","output"}`: the completion is learned.
    Pair { prompt: String, completion: String },
    /// `{"messages"}`, or prompt and completion as message lists: what the assistant says is learned.
    Chat(Vec<Message>),
}

/// The form that a row is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// `{"text"}`
    Text,
    /// `{"prompt","completion"}`, both texts or both lists of messages
    PromptCompletion,
    /// `{"instruction","input","output"}`
    Instruction,
    /// `{"messages"}`
    Messages,
}

impl Shape {
    /// The name in a job's report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::PromptCompletion => "prompt-completion",
            Self::Instruction => "instruction",
            Self::Messages => "messages",
        }
    }

    fn of(row: &Map<String, Value>) -> Option<Self> {
        let has = |name: &str| row.contains_key(name);
        if has("messages") {
            Some(Self::Messages)
        } else if has("prompt") && has("completion") {
            Some(Self::PromptCompletion)
        } else if has("instruction") {
            Some(Self::Instruction)
        } else {
            has("text").then_some(Self::Text)
        }
    }
}

/// One row with its line number, from 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub line: usize,
    pub shape: Shape,
    pub kind: RowKind,
}

/// Reads JSON Lines. Blank lines are skipped; nothing else is.
///
/// # Errors
/// [`Error::DataEmpty`], [`Error::DataMalformed`], [`Error::DataNotUtf8`], [`Error::RowTooLong`],
/// [`Error::RowShape`], [`Error::RowPreference`].
pub fn parse(bytes: &[u8], row_bytes_max: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    each(bytes, row_bytes_max, |row| rows.push(row))?;
    Ok(rows)
}

/// How many rows there are of each shape, holding one at a time.
///
/// # Errors
/// As [`parse`].
pub fn shapes(bytes: &[u8], row_bytes_max: usize) -> Result<BTreeMap<Shape, u64>> {
    let mut counts = BTreeMap::new();
    each(bytes, row_bytes_max, |row| *counts.entry(row.shape).or_default() += 1)?;
    Ok(counts)
}

fn each(bytes: &[u8], row_bytes_max: usize, mut take: impl FnMut(Row)) -> Result<()> {
    let mut empty = true;
    for (i, raw) in bytes.split(|b| *b == b'\n').enumerate() {
        let line = i + 1;
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        if raw.len() > row_bytes_max {
            return Err(Error::RowTooLong { line, bytes: raw.len(), max: row_bytes_max });
        }
        let text =
            std::str::from_utf8(raw).map_err(|e| Error::DataNotUtf8 { line, column: e.valid_up_to() + 1 })?;
        let text = if line == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        if text.trim().is_empty() {
            continue;
        }
        take(row(text, line)?);
        empty = false;
    }
    if empty { Err(Error::DataEmpty) } else { Ok(()) }
}

fn row(text: &str, line: usize) -> Result<Row> {
    let value = serde_json::from_str(text).map(Parsed).map_err(|e| {
        let reason = e.to_string();
        let reason = reason.split(" at line ").next().unwrap_or_default().to_owned();
        Error::DataMalformed { line, column: e.column().max(1), reason }
    })?;
    let refuse = |reason: String| Error::RowShape { line, reason };
    let Value::Object(row) = &value.0 else {
        return Err(refuse("the row is no JSON object".to_owned()));
    };
    if row.contains_key("chosen") || row.contains_key("rejected") {
        return Err(Error::RowPreference { line });
    }
    let Some(shape) = Shape::of(row) else {
        let names: Vec<&str> = row.keys().map(String::as_str).take(8).collect();
        return Err(refuse(format!("the row's fields ({}) are no known shape", names.join(", "))));
    };
    let kind = match shape {
        Shape::Messages => messages(&row["messages"], true).map(RowKind::Chat),
        Shape::PromptCompletion => pair(row),
        Shape::Instruction => instruction(row),
        Shape::Text => string(row, "text").map(RowKind::Text),
    };
    Ok(Row { line, shape, kind: kind.map_err(refuse)? })
}

/// A row as the parser gives it; its texts are copied out and wiped here.
struct Parsed(Value);

impl Drop for Parsed {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => {
            for (mut name, mut value) in std::mem::take(fields) {
                name.zeroize();
                wipe(&mut value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

type Read<T> = std::result::Result<T, String>;

fn string(row: &Map<String, Value>, name: &str) -> Read<String> {
    match row.get(name).and_then(Value::as_str) {
        Some(text) => Ok(text.to_owned()),
        None => Err(format!("`{name}` is no string")),
    }
}

fn pair(row: &Map<String, Value>) -> Read<RowKind> {
    match (&row["prompt"], &row["completion"]) {
        (Value::Array(_), Value::Array(_)) => {
            let mut all = messages(&row["prompt"], false)?;
            all.iter_mut().for_each(|message| message.learn = false);
            all.extend(messages(&row["completion"], true)?);
            Ok(RowKind::Chat(all))
        }
        _ => Ok(RowKind::Pair { prompt: string(row, "prompt")?, completion: string(row, "completion")? }),
    }
}

fn instruction(row: &Map<String, Value>) -> Read<RowKind> {
    let instruction = Zeroizing::new(string(row, "instruction")?);
    let completion = match row.contains_key("output") {
        true => string(row, "output")?,
        false => {
            string(row, "response").map_err(|_| "`instruction` needs `output` or `response`".to_owned())?
        }
    };
    let input = Zeroizing::new(match row.get("input") {
        None | Some(Value::Null) => String::new(),
        Some(_) => string(row, "input")?,
    });
    let mut parts = vec!["### Instruction:\n", &instruction, "\n\n"];
    if !input.is_empty() {
        parts.extend(["### Input:\n", &input, "\n\n"]);
    }
    parts.push("### Response:\n");
    // In one piece: growing would leave copies behind.
    Ok(RowKind::Pair { prompt: parts.concat(), completion })
}

fn messages(value: &Value, needs_answer: bool) -> Read<Vec<Message>> {
    let list = value.as_array().ok_or("the messages are no list")?;
    let mut messages = Vec::with_capacity(list.len());
    for (i, item) in list.iter().enumerate() {
        let field = |name: &str| {
            let text = item.get(name).and_then(Value::as_str);
            text.map(str::to_owned).ok_or_else(|| format!("message {} has no string `{name}`", i + 1))
        };
        let learn = match item.get("weight").map(Value::as_f64) {
            None | Some(Some(1.0)) => true,
            Some(Some(0.0)) => false,
            Some(_) => return Err(format!("message {} has a weight that is neither 0 nor 1", i + 1)),
        };
        let (role, content) = (field("role")?, field("content")?);
        messages.push(Message { learn: learn && role == "assistant", role, content });
    }
    if needs_answer && !messages.iter().any(|m| m.role == "assistant") {
        return Err("no message is of the role assistant".to_owned());
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> String {
        parse(bytes, 60).unwrap_err().to_string()
    }

    #[test]
    fn reads_every_shape() {
        let rows = parse(
            br#"{"text":"a"}

{"prompt":"p","completion":"c"}
{"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a"}]}
{"instruction":"i","input":"x","output":"o"}
{"instruction":"i","response":"o"}
{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a","weight":0},{"role":"assistant","content":"b"}]}"#,
            ROW_BYTES_MAX,
        )
        .unwrap();
        let pair = |prompt: &str, completion: &str| RowKind::Pair {
            prompt: prompt.into(),
            completion: completion.into(),
        };
        assert_eq!(rows[0].kind, RowKind::Text("a".into()));
        assert_eq!((rows[1].line, &rows[1].kind), (3, &pair("p", "c")));
        assert_eq!(rows[3].kind, pair("### Instruction:\ni\n\n### Input:\nx\n\n### Response:\n", "o"));
        assert_eq!(rows[4].kind, pair("### Instruction:\ni\n\n### Response:\n", "o"));
        for (row, learned) in [(2, vec![false, true]), (5, vec![false, false, true])] {
            let RowKind::Chat(messages) = &rows[row].kind else { panic!("a chat") };
            assert_eq!(messages.iter().map(|m| m.learn).collect::<Vec<_>>(), learned);
        }
        use Shape::{Instruction, Messages, PromptCompletion, Text};
        let shapes = [Text, PromptCompletion, PromptCompletion, Instruction, Instruction, Messages];
        assert_eq!(rows.iter().map(|row| row.shape).collect::<Vec<_>>(), shapes);
    }

    #[test]
    fn shapes_are_counted_where_all_rows_have_one() {
        let text = b"{\"text\":\"a\"}\n\n{\"messages\":[{\"role\":\"assistant\",\"content\":\"b\"}]}\n{\"text\":\"c\"}";
        let counts = shapes(text, 100).unwrap();
        assert_eq!(counts, BTreeMap::from([(Shape::Text, 2), (Shape::Messages, 1)]));
        assert!(shapes(b"{\"text\":\"a\"}\n{\"other\":1}", 100).is_err() && shapes(b"\n", 100).is_err());
    }

    #[test]
    fn rows_are_wiped() {
        fn wiped_on_drop<T: ZeroizeOnDrop>() {}
        wiped_on_drop::<Message>();
        wiped_on_drop::<RowKind>();
        let mut value = serde_json::json!({"a": ["secret", {"b": "secret"}], "c": 1});
        wipe(&mut value["a"]);
        assert_eq!(value.to_string(), r#"{"a":["",{}],"c":1}"#);
    }

    #[test]
    fn refusals_name_line_and_column() {
        assert_eq!(refusal(b""), "the data set is empty");
        assert_eq!(refusal(b"\n \r\n"), "the data set is empty");
        assert_eq!(
            refusal(b"{\"text\":\"a\"}\n{\"text\": \"b\",}"),
            "line 2, column 14: not valid JSON: trailing comma"
        );
        assert_eq!(
            refusal(b"{\"text\":\"a\""),
            "line 1, column 11: not valid JSON: EOF while parsing an object"
        );
        assert_eq!(refusal(b"{\"text\":\"a\xff\"}"), "line 1, column 11: not valid UTF-8");
        assert_eq!(refusal(&[b'x'; 61]), "line 1, column 61: row of 61 bytes, at most 60 are allowed");
        assert_eq!(refusal(b"[1]"), "line 1, column 1: the row is no JSON object");
        assert_eq!(
            refusal(b"{\"question\":1,\"answer\":2}"),
            "line 1, column 1: the row's fields (question, answer) are no known shape"
        );
        assert_eq!(refusal(b"{\"text\":7}"), "line 1, column 1: `text` is no string");
        assert_eq!(
            refusal(b"{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"b\"}"),
            "line 1, column 1: preference rows (`chosen` and `rejected`) cannot be trained on, only rows with one answer"
        );
        assert_eq!(
            refusal(b"{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}"),
            "line 1, column 1: no message is of the role assistant"
        );
    }
}
