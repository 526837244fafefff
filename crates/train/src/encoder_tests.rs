use super::*;
use crate::jsonl;

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny");

/// A folder with the tiny tokenizer and another template.
fn with_template(template: &str) -> Encoder {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(Path::new(TINY).join("tokenizer.json"), dir.path().join("tokenizer.json")).unwrap();
    let config = serde_json::json!({ "eos_token": "<|eos|>", "chat_template": template });
    std::fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    Encoder::load(dir.path()).unwrap()
}

/// The row's text with learned parts in brackets; the end token is `$`.
fn shown(encoder: &Encoder, row: &str) -> String {
    let rows = jsonl::parse(row.as_bytes(), 10_000).unwrap();
    let samples = encoder.encode(&rows, usize::MAX).unwrap();
    let (mut text, mut inside) = (String::new(), false);
    for (i, (&id, &learn)) in samples[0].ids().iter().zip(samples[0].learn()).enumerate() {
        let learn = learn || (i == 0 && samples[0].learn().get(1) == Some(&true));
        if learn != inside {
            text.push(if learn { '[' } else { ']' });
            inside = learn;
        }
        text.push(if id == 1 { '$' } else { char::from((id - 2) as u8) });
    }
    text + if inside { "]" } else { "" }
}

#[test]
fn prompts_are_masked_and_the_end_is_learned() {
    let encoder = Encoder::load(Path::new(TINY)).unwrap();
    for (row, expected) in [
        (r#"{"text":"hello"}"#, "[hello$]"),
        (r#"{"prompt":"a b","completion":" c"}"#, "a b[ c$]"),
        (r#"{"prompt":"ab","completion":""}"#, "ab[$]"),
        (r#"{"instruction":"i","output":"o"}"#, "### Instruction:\ni\n\n### Response:\n[o$]"),
        (
            r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},
            {"role":"user","content":"r"},{"role":"assistant","content":"b"}]}"#,
            "Q: q A: [a$]Q: r A: [b$]",
        ),
        (
            r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a","weight":0},
            {"role":"user","content":"r"},{"role":"assistant","content":"b"}]}"#,
            "Q: q A: a$Q: r A: [b$]",
        ),
        (
            r#"{"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a"}]}"#,
            "Q: q A: [a$]",
        ),
    ] {
        assert_eq!(shown(&encoder, &row.replace('\n', "")), expected);
    }
}

#[test]
fn templates_of_other_models() {
    let chat = r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"r"},{"role":"assistant","content":"b"}]}"#;
    // Llama-2 style: slices, filters, string methods, no end mark of its own after the last answer.
    let strips = "{% for m in messages %}\n{% if m.role == 'user' %}\n{{ '[' + m.content.strip() + ']' }}\
        {% else %}\n{{ m['content'] | trim }}{% endif %}\n{% endfor %}\n";
    assert_eq!(shown(&with_template(strips), chat), "[q][a][r][b$]");
    // A template that drops earlier answers: only the last one is learned.
    let forgets = "{% for m in messages %}{% if m.role == 'user' %}U{{ m.content }}{% elif loop.last %}A{{ m.content }}\
        {% endif %}{% endfor %}{% if add_generation_prompt %}A{% endif %}";
    assert_eq!(shown(&with_template(forgets), chat), "UqUrA[b$]");
    let rows = jsonl::parse(chat.as_bytes(), 10_000).unwrap();
    for (template, part) in [
        ("{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}", "rewrites earlier"),
        ("{{ raise_exception('no system message') }}", "no system message"),
        ("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "fuel"),
    ] {
        let message = with_template(template).encode(&rows, 100).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn counts_are_what_metering_counts() {
    let encoder = Encoder::load(Path::new(TINY)).unwrap();
    let rows = jsonl::parse(b"{\"text\":\"four\"}\n{\"prompt\":\"ab\",\"completion\":\"c\"}\n", 100).unwrap();
    let count = encoder.count(&rows).unwrap();
    assert_eq!((count.rows, count.tokens, count.tokens_trained), (2, 5 + 4, 4 + 2));
    let cut = encoder.encode(&rows, 3).unwrap();
    assert_eq!((cut[0].tokens_seen(), cut[1].tokens_trained()), (3, 1));
}

#[test]
fn a_broken_tokenizer_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), "{\"model\":{}}").unwrap();
    assert_eq!(Encoder::load(dir.path()).err().unwrap().code(), "LIC0533");
}

/// Found by fuzzing: the library panics about decoders that it does not know.
#[test]
fn a_decoder_that_no_library_knows_ends_nothing() {
    let text = std::fs::read_to_string(Path::new(TINY).join("tokenizer.json")).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for decoder in [serde_json::json!({"type": "Teapot"}), serde_json::json!([1]), serde_json::json!("x")] {
        file["decoder"] = decoder;
        std::fs::write(dir.path().join("tokenizer.json"), file.to_string()).unwrap();
        let encoder = Encoder::load(dir.path()).unwrap();
        let rows = jsonl::parse(br#"{"text":"hello"}"#, 100).unwrap();
        assert_eq!(encoder.encode(&rows, 64).unwrap()[0].ids().len(), 5);
    }
    // The byte that fuzzing flipped.
    std::fs::write(dir.path().join("tokenizer.json"), text.replacen("null", "nrll", 1)).unwrap();
    assert!(Encoder::load(dir.path()).is_err());
}
