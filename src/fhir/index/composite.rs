//! Composites: pairs that belong together. <https://hl7.org/fhir/R4/search.html#composite>

use jiff::tz::TimeZone;
use serde_json::Value;

use super::{IndexValue, Part, extract, values as values_of};
use crate::fhir::parameters::{Half, Pair};

/// Each combination of both halves at each place.
pub fn values(pairs: &[Pair], resource: &Value, zone: &TimeZone) -> Vec<IndexValue> {
    let mut out = Vec::new();
    for pair in pairs {
        for place in extract::steps(&pair.place, resource) {
            let seconds = parts(&pair.second, place, zone);
            for first in parts(&pair.first, place, zone) {
                for second in &seconds {
                    out.push(IndexValue::Composite { first: first.clone(), second: second.clone() });
                }
            }
        }
    }
    out
}

fn parts(half: &Half, place: &Value, zone: &TimeZone) -> Vec<Part> {
    extract::paths(&half.paths, place)
        .into_iter()
        .flat_map(|found| values_of(half.search_type, found, zone))
        .filter_map(part)
        .collect()
}

/// Milliseconds fit an `f64` exactly until the year 287,396.
#[allow(clippy::cast_precision_loss)]
fn part(value: IndexValue) -> Option<Part> {
    Some(match value {
        IndexValue::Token { code, .. } if code.is_empty() => return None,
        IndexValue::Token { system, code, .. } => Part { system, code, ..Part::default() },
        IndexValue::Text { normal, .. } => Part { code: normal, ..Part::default() },
        IndexValue::Uri(code) => Part { code, ..Part::default() },
        IndexValue::Reference { kind, id, .. } if !kind.is_empty() => {
            Part { system: kind, code: id, ..Part::default() }
        }
        IndexValue::Reference { url, .. } if !url.is_empty() => Part { code: url, ..Part::default() },
        IndexValue::Date { low, high } => {
            Part { low: low as f64, high: (high - 1) as f64, ..Part::default() }
        }
        IndexValue::Number { low, high } => Part { low, high, ..Part::default() },
        IndexValue::Quantity { low, high, system, code } => Part { system, code, low, high },
        IndexValue::Reference { .. } | IndexValue::Composite { .. } => return None,
    })
}
