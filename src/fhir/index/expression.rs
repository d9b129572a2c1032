//! The values of parameters that are FHIRPath expressions: those of a tenant's own.
//!
//! An expression that has no result, takes too long or has too many results gives no row: a resource is
//! stored whatever it contains.

use std::collections::HashSet;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::extract::Found;
use super::{IndexRow, IndexValue, values};
use crate::fhir::parameters::custom::Own;
use crate::fhir::parameters::{Expression, Program, SearchType};
use crate::fhir::path::Subject;

/// One parameter has at most this many rows of one resource.
const ROWS_MAX: usize = 1_000;

/// The rows of these parameters for one resource, as [`super::rows`] gives those of the standard ones.
pub fn rows(own: &[Own], resource: &Value, zone: &TimeZone) -> Vec<IndexRow> {
    if own.is_empty() {
        return Vec::new();
    }
    let subject = Subject::new(resource);
    let mut out = Vec::new();
    for own in own {
        let parameter = &own.parameter;
        let Program::Expression(expression) = &parameter.program else { continue };
        let mut seen = HashSet::new();
        let found = found(expression, parameter.search_type, &subject, zone);
        let once = found.into_iter().filter(|value| seen.insert(format!("{value:?}"))).take(ROWS_MAX);
        out.extend(once.map(|value| IndexRow { parameter: parameter.key, value }));
    }
    out
}

/// The values that one expression finds.
pub(super) fn found(
    expression: &Expression,
    search_type: SearchType,
    subject: &Subject<'_>,
    zone: &TimeZone,
) -> Vec<IndexValue> {
    let found = match expression.0.values(subject) {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "a search parameter's expression gives no value");
            return Vec::new();
        }
    };
    let typed = found.iter().flat_map(|one| {
        let kind = one.kind.unwrap_or_else(|| guessed(&one.value));
        values(search_type, Found { kind, value: &one.value }, zone)
    });
    typed.collect()
}

/// The R4 type of a value that the engine gave without one, by what only that type has.
fn guessed(value: &Value) -> &'static str {
    let has = |key: &str| value.get(key).is_some();
    match value {
        Value::Bool(_) => "boolean",
        Value::Object(_) if has("reference") => "Reference",
        Value::Object(_) if has("coding") => "CodeableConcept",
        Value::Object(_) if has("start") || has("end") => "Period",
        Value::Object(_) if has("family") || has("given") => "HumanName",
        Value::Object(_) if has("system") && has("code") && !has("value") => "Coding",
        Value::Object(_) if has("use") || has("assigner") => "Identifier",
        _ => "",
    }
}
