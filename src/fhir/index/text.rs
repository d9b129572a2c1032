//! Text for search: lower case, without accents. <https://hl7.org/fhir/R4/search.html#string>

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::extract::Found;
use super::{IndexValue, MAX_TEXT};

/// Lower case, without accents, single spaces, at most [`MAX_TEXT`] characters.
pub fn normal(text: &str) -> String {
    let plain: String = text.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    bounded(&words.join(" "))
}

/// At most [`MAX_TEXT`] characters.
pub fn bounded(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// The parts of a name or address, or the string itself; of a boolean or number, which only expressions of a
/// tenant's own find, how it is written.
pub(super) fn values(found: Found<'_>) -> Vec<IndexValue> {
    let parts: &[&str] = match found.kind {
        "HumanName" => &["text", "family", "given", "prefix", "suffix"],
        "Address" => &["text", "line", "city", "district", "state", "postalCode", "country"],
        "Annotation" => &["text"],
        _ => return written(found.value).into_iter().collect(),
    };
    parts
        .iter()
        .filter_map(|part| found.value.get(part))
        .flat_map(|part| part.as_array().map_or(std::slice::from_ref(part), Vec::as_slice))
        .filter_map(Value::as_str)
        .map(value)
        .collect()
}

fn written(found: &Value) -> Option<IndexValue> {
    match found {
        Value::String(text) => Some(value(text)),
        Value::Bool(_) | Value::Number(_) => Some(value(&found.to_string())),
        _ => None,
    }
}

fn value(text: &str) -> IndexValue {
    IndexValue::Text { normal: normal(text), exact: bounded(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_accents_and_spaces_do_not_matter() {
        assert_eq!(normal("  José  ÑANDÚ "), "jose nandu");
        assert_eq!(normal("Åse Müller"), "ase muller");
        assert_eq!(normal(&"é".repeat(1_000)).chars().count(), MAX_TEXT);
    }
}
