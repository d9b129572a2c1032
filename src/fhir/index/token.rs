//! Tokens: codes, identifiers, booleans. <https://hl7.org/fhir/R4/search.html#token>

use serde_json::Value;

use super::IndexValue;
use super::extract::Found;
use super::text::normal;

/// Marks the system of a row that is for `:of-type` only; no uri begins with it.
const OF_TYPE: char = '\u{1}';

/// The system of the row by which `:of-type` finds an identifier: its type's system and code.
pub fn of_type_system(system: &str, code: &str) -> String {
    format!("{OF_TYPE}{system}|{code}")
}

/// A row for each type of an identifier.
fn typed<'a>(value: &'a Value) -> impl Iterator<Item = IndexValue> + 'a {
    let codings = value.pointer("/type/coding").and_then(Value::as_array).into_iter().flatten();
    let number = string(value, "value");
    codings.filter(move |coding| !number.is_empty() && !string(coding, "code").is_empty()).map(
        move |coding| {
            let system = of_type_system(string(coding, "system"), string(coding, "code"));
            IndexValue::Token { system, code: number.to_owned(), text: String::new() }
        },
    )
}

pub(super) fn values(found: Found<'_>) -> Vec<IndexValue> {
    let value = found.value;
    match found.kind {
        "CodeableConcept" => concept(value),
        "Coding" => token(value, "code", string(value, "display")).into_iter().collect(),
        "Identifier" => {
            let text = value.pointer("/type/text").and_then(Value::as_str).unwrap_or_default();
            token(value, "value", text).into_iter().chain(typed(value)).collect()
        }
        "ContactPoint" => token(value, "value", "").into_iter().map(folded).collect(),
        _ => primitive(value).into_iter().collect(),
    }
}

/// Addresses and numbers are of no code system that would know letter case: they are found in any.
/// <https://hl7.org/fhir/R4/search.html#token>
fn folded(row: IndexValue) -> IndexValue {
    match row {
        IndexValue::Token { system, code, text } => {
            IndexValue::Token { system, code: code.to_lowercase(), text }
        }
        other => other,
    }
}

fn string<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A row for each coding, and one without a code for a text that is no coding's display.
fn concept(value: &Value) -> Vec<IndexValue> {
    let codings = value.get("coding").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut out: Vec<IndexValue> =
        codings.iter().filter_map(|coding| token(coding, "code", string(coding, "display"))).collect();
    let text = normal(string(value, "text"));
    let shown =
        out.iter().any(|row| matches!(row, IndexValue::Token { text: display, .. } if *display == text));
    if !text.is_empty() && !shown {
        out.push(IndexValue::Token { system: String::new(), code: String::new(), text });
    }
    out
}

fn token(value: &Value, code_key: &str, text: &str) -> Option<IndexValue> {
    let (system, code) = (string(value, "system"), string(value, code_key));
    if code.is_empty() && text.is_empty() && system.is_empty() {
        return None;
    }
    Some(IndexValue::Token { system: system.to_owned(), code: code.to_owned(), text: normal(text) })
}

fn primitive(value: &Value) -> Option<IndexValue> {
    let code = match value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        _ => return None,
    };
    Some(IndexValue::Token { system: String::new(), code, text: String::new() })
}
