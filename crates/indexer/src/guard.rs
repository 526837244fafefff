//! What is refused by the look of a query's text: the parser and the validator behind it use the stack
//! once per nesting, and time for every way through its fragments.

use async_graphql::{Request, Value as ConstValue};

/// Deepest nesting of brackets; the standard introspection query has 15.
const MAX_NESTING: usize = 32;
/// Spreads in all. Fragments that spread each other multiply: 32 spreads make at most some 100,000 ways.
const MAX_SPREADS: usize = 32;
/// Names in all: fields, aliases, arguments, types.
const MAX_NAMES: usize = 2_000;

/// Why a query is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the query is nested deeper than {MAX_NESTING} brackets")]
    Nesting,
    #[error("the query has more than {MAX_SPREADS} spreads")]
    Spreads,
    #[error("the query has more than {MAX_NAMES} names")]
    Names,
}

/// Looks at a request before its query is parsed.
pub(crate) fn check(request: &Request) -> Result<(), Refused> {
    text(&request.query)?;
    // JSON itself is read to 128 levels, each of which costs a filter several frames.
    if request.variables.values().any(|value| deeper(value, MAX_NESTING)) {
        return Err(Refused::Nesting);
    }
    Ok(())
}

fn deeper(value: &ConstValue, levels: usize) -> bool {
    match value {
        ConstValue::List(items) => levels == 0 || items.iter().any(|item| deeper(item, levels - 1)),
        ConstValue::Object(fields) => levels == 0 || fields.values().any(|field| deeper(field, levels - 1)),
        _ => false,
    }
}

/// Looks at a query outside its strings and comments.
fn text(query: &str) -> Result<(), Refused> {
    let (mut nesting, mut spreads, mut names) = (0_usize, 0, 0);
    let mut rest = query.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            b'{' | b'[' | b'(' => nesting += 1,
            b'}' | b']' | b')' => nesting = nesting.saturating_sub(1),
            b'#' => rest = after(rest, |byte| matches!(byte, b'\n' | b'\r')),
            b'"' => rest = after_string(rest),
            b'.' if behind.starts_with(b"..") => {
                spreads += 1;
                rest = &behind[2..];
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => {
                names += 1;
                rest = after(rest, |byte| !byte.is_ascii_alphanumeric() && byte != b'_');
            }
            _ => {}
        }
        match () {
            () if nesting > MAX_NESTING => return Err(Refused::Nesting),
            () if spreads > MAX_SPREADS => return Err(Refused::Spreads),
            () if names > MAX_NAMES => return Err(Refused::Names),
            () => {}
        }
    }
    Ok(())
}

/// From the first byte on that ends something.
fn after(text: &[u8], ends: impl Fn(u8) -> bool) -> &[u8] {
    let length = text.iter().position(|byte| ends(*byte)).unwrap_or(text.len());
    &text[length..]
}

/// Behind a string whose first quote is read. One that never ends is the parser's to refuse: all of it
/// counts as string there as well.
fn after_string(text: &[u8]) -> &[u8] {
    let block = text.starts_with(b"\"\"");
    let mut rest = if block { &text[2..] } else { text };
    loop {
        rest = after(rest, |byte| matches!(byte, b'"' | b'\\') || (!block && byte == b'\n'));
        rest = match rest {
            [b'\\', b'"', b'"', b'"', behind @ ..] if block => behind,
            [b'\\', _, behind @ ..] if !block => behind,
            [b'"', b'"', b'"', behind @ ..] if block => return behind,
            [b'"' | b'\n', behind @ ..] if !block => return behind,
            [_, behind @ ..] => behind,
            [] => return rest,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_queries_pass_and_bombs_do_not() {
        let nested = |open: &str, close: &str, n| open.repeat(n) + &close.repeat(n);
        assert_eq!(text(&nested("{a", "}", 32)), Ok(()));
        assert_eq!(text(&nested("{a", "}", 33)), Err(Refused::Nesting));
        assert_eq!(text(&nested("[", "]", 3_000)), Err(Refused::Nesting));
        assert_eq!(text(&format!("{{a(b:{})}}", nested("{_not:", "}", 250))), Err(Refused::Nesting));
        assert_eq!(text(&"...a ".repeat(32)), Ok(()));
        assert_eq!(text(&"...a".repeat(33)), Err(Refused::Spreads));
        assert_eq!(text(&"a ".repeat(2_001)), Err(Refused::Names));
    }

    #[test]
    fn strings_and_comments_are_not_looked_at_and_hide_nothing() {
        let braces = "{".repeat(100);
        for hidden in [
            format!("{{a(b: \"{braces}\")}}"),
            format!("{{a(b: \"\\\"{braces}\")}}"),
            format!("{{a(b: \"\"\"{braces}\" \\\"\"\" {braces}\"\"\")}}"),
            format!("{{a # {braces}\n}}"),
        ] {
            assert_eq!(text(&hidden), Ok(()), "{hidden}");
        }
        for shown in [
            format!("{{a(b: \"\") {braces}"),
            format!("{{a(b: \"\\\\\") {braces}"),
            format!("{{a(b: \"\"\" \"\"\") {braces}"),
            format!("{{a # \n {braces}"),
            format!("{{a # \r {braces}"),
            format!("{{a(b: \"no end \n {braces}"),
        ] {
            assert_eq!(text(&shown), Err(Refused::Nesting), "{shown}");
        }
    }
}
