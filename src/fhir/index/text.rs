//! Text for search: lower case, without accents. <https://hl7.org/fhir/R4/search.html#string>

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::extract::Found;
use super::{IndexValue, MAX_TEXT};

/// Later parts of a family name.
const PARTS_MAX: usize = 10;

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

/// The kind of a family name that is found by itself.
pub(super) const FAMILY: &str = "HumanName.family";

/// The parts of a name or address, or the string itself; of a boolean or number, which only expressions of a
/// tenant's own find, how it is written.
pub(super) fn values(found: Found<'_>) -> Vec<IndexValue> {
    let parts: &[&str] = match found.kind {
        "HumanName" => &["text", "family", "given", "prefix", "suffix"],
        "Address" => &["text", "line", "city", "district", "state", "postalCode", "country"],
        "Annotation" => &["text"],
        FAMILY => {
            let names = found.value.as_str().into_iter();
            return names.flat_map(|name| std::iter::once(value(name)).chain(later(name))).collect();
        }
        _ => return written(found.value).into_iter().collect(),
    };
    let family = (found.kind == "HumanName").then(|| found.value.get("family")?.as_str()).flatten();
    let later = family.into_iter().flat_map(later);
    parts
        .iter()
        .filter_map(|part| found.value.get(part))
        .flat_map(|part| part.as_array().map_or(std::slice::from_ref(part), Vec::as_slice))
        .filter_map(Value::as_str)
        .map(value)
        .chain(later)
        .collect()
}

/// A family name from each of its later parts on, for it is found by any of them: `der Berg` and `Berg` of `van der Berg`. They are
/// no exact texts, and nothing is ordered by them. <https://hl7.org/fhir/R4/search.html#string>
fn later(family: &str) -> Vec<IndexValue> {
    let normal = normal(family);
    let starts = normal.match_indices([' ', '-']).map(|(at, _)| at + 1);
    let parts =
        starts.filter_map(|at| normal.get(at..)).filter(|part| !part.is_empty() && !part.starts_with('-'));
    let row = |part: &str| IndexValue::Text { normal: part.to_owned(), exact: String::new() };
    parts.take(PARTS_MAX).map(row).collect()
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
    fn a_family_name_has_parts() {
        let parts = |name: &str| {
            let normals = later(name).into_iter().map(|row| match row {
                IndexValue::Text { normal, exact } if exact.is_empty() => normal,
                other => panic!("{other:?}"),
            });
            normals.collect::<Vec<_>>().join("/")
        };
        assert_eq!(parts("van der Berg"), "der berg/berg");
        assert_eq!(parts("Carreño-Quiñones"), "quinones");
        assert_eq!(parts("Uwase"), "");
        assert_eq!(parts("x - "), "");
    }

    #[test]
    fn case_accents_and_spaces_do_not_matter() {
        assert_eq!(normal("  José  ÑANDÚ "), "jose nandu");
        assert_eq!(normal("Åse Müller"), "ase muller");
        assert_eq!(normal(&"é".repeat(1_000)).chars().count(), MAX_TEXT);
    }
}
