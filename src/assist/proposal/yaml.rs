//! Text that YAML reads back as what was meant. Pure.

use serde_json::Value;

/// `$.answers.fever_cases`, or `"$.answers['âge']"` where the name has other signs.
pub fn path(root: &str, key: &str) -> String {
    let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if plain {
        format!("$.{root}.{key}")
    } else {
        quote(&format!("$.{root}['{}']", key.replace('\'', "\\'")))
    }
}

/// A text as a YAML scalar, also within `{ }`: plain where nothing else could be read.
pub fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' '))
        && !text.ends_with(' ')
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off"
        );
    if plain { text.to_owned() } else { quote(text) }
}

/// JSON's quoting is YAML's, and keeps every sign.
fn quote(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// A name in a comment: one line, not too long.
pub fn comment(text: &str) -> String {
    let line: String =
        text.chars().map(|c| if c.is_control() || is_break(c) { ' ' } else { c }).take(100).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// YAML 1.1's line breaks, which some readers still honour.
fn is_break(c: char) -> bool {
    matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// A value as block YAML, each line indented by so many blanks; ends with a line break.
pub fn block(value: &Value, indent: usize) -> String {
    let mut out = String::new();
    write(value, indent, &mut out);
    out
}

fn write(value: &Value, indent: usize, out: &mut String) {
    let blanks = " ".repeat(indent);
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                out.push_str(&format!("{blanks}{}:", quoted(key)));
                below(value, indent, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut inner = String::new();
                write(item, indent + 2, &mut inner);
                match item {
                    // The dash takes the place of the first line's blanks.
                    Value::Object(fields) if !fields.is_empty() => {
                        out.push_str(&format!("{blanks}- {}", inner.trim_start()));
                    }
                    other => out.push_str(&format!("{blanks}- {}\n", scalar(other))),
                }
            }
        }
        other => out.push_str(&format!("{blanks}{}\n", scalar(other))),
    }
}

fn below(value: &Value, indent: usize, out: &mut String) {
    let is_empty = match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    };
    if is_empty {
        out.push_str(&format!(" {}\n", scalar(value)));
    } else {
        out.push('\n');
        write(value, indent + 2, out);
    }
}

/// What fits on one line: scalars, and lists of lists as JSON.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::source;
    use serde_json::json;

    #[test]
    fn what_is_written_reads_back() {
        let value = json!({
            "a": {"yes": "no", "n": 3, "text": "a: b # c", "date": "2026-03-02", "empty": "", "zero": "007"},
            "list": [{"x": [1, "two"], "y": {}}, "plain", true, null, []],
            "_k": "ends ", "quote": "it's \"so\"\n"
        });
        let text = block(&value, 2);
        assert_eq!(source::parse(&text).unwrap().to_json(), value, "{text}");
    }

    #[test]
    fn paths_with_other_signs_are_quoted() {
        assert_eq!(path("answers", "fever_cases"), "$.answers.fever_cases");
        assert_eq!(path("answers", "âge"), "\"$.answers['âge']\"");
        assert!(crate::mapping::path::Path::compile("$.answers['âge']").is_ok());
    }

    #[test]
    fn a_comment_is_one_line() {
        assert_eq!(comment("two\nlines\u{2028} here"), "two lines here");
    }
}
