//! The values of parameters that are FHIRPath expressions: those of a tenant's own.
//!
//! An expression that has no result, takes too long or has too many results gives no row: a resource is
//! stored whatever it contains. A writer evaluates for [`WRITE_TIME`] at most; the walk over new versions
//! (`store::parameters`) finds what is left, within `WALK_TIME` a resource.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use serde_json::Value;

use super::extract::Found;
use super::{IndexRow, IndexValue, values};
use crate::fhir::elements::table;
use crate::fhir::parameters::custom::Own;
use crate::fhir::parameters::{Expression, Program, SearchType};
use crate::fhir::path::{self, Subject};

/// One parameter has at most this many rows of one resource.
const ROWS_MAX: usize = 1_000;

/// While a resource is written, all expressions on it together may take this long: others wait meanwhile.
pub const WRITE_TIME: Duration = Duration::from_millis(250);

/// On one resource, all expressions of a walk together may take this long.
const WALK_TIME: Duration = Duration::from_secs(5);

/// The rows of these parameters for one resource, as [`super::rows`] gives those of the standard ones. For
/// the walk: each expression has its own time, up to `WALK_TIME` for all. What there is no time for has no value,
/// like an expression that takes too long by itself. `None`: it was told to stop.
pub fn rows(
    own: &[Own],
    resource: &Value,
    zone: &TimeZone,
    is_stopped: &dyn Fn() -> bool,
) -> Option<Vec<IndexRow>> {
    let (rows, left) = rows_within(own, resource, zone, (WALK_TIME, is_stopped));
    if is_stopped() {
        return None;
    }
    if let Some(first) = left.first() {
        tracing::warn!(
            parameter = first,
            parameters = left.len(),
            "search parameters of one's own take too long on a resource: it is not found by these"
        );
    }
    Some(rows)
}

/// For a writer: whole parameters, as many as [`WRITE_TIME`] allows. Only for a version that a walk passes
/// afterwards.
pub fn rows_for_write(own: &[Own], resource: &Value, zone: &TimeZone) -> Vec<IndexRow> {
    let (rows, left) = rows_within(own, resource, zone, (WRITE_TIME, &|| false));
    if let Some(first) = left.first() {
        tracing::warn!(
            parameter = first,
            parameters = left.len(),
            "search parameters of one's own take too long; these values are collected in the background"
        );
    }
    rows
}

/// The rows, and the codes of the parameters that there was no time for.
fn rows_within<'a>(
    own: &'a [Own],
    resource: &Value,
    zone: &TimeZone,
    (time, is_stopped): (Duration, &dyn Fn() -> bool),
) -> (Vec<IndexRow>, Vec<&'a str>) {
    let deadline = Instant::now() + time;
    let subject = Subject::new(resource);
    let (mut rows, mut left) = (Vec::new(), Vec::new());
    for own in own {
        let is_over = || Instant::now() >= deadline || is_stopped();
        let found = (!is_over()).then(|| path::within(deadline, || rows_of(own, &subject, zone)));
        match found {
            Some(found) if !is_over() => rows.extend(found),
            // None, or perhaps some of them only.
            _ => left.push(own.parameter.code),
        }
    }
    (rows, left)
}

fn rows_of(own: &Own, subject: &Subject<'_>, zone: &TimeZone) -> Vec<IndexRow> {
    let parameter = &own.parameter;
    let Program::Expression(expression) = &parameter.program else { return Vec::new() };
    let mut seen = HashSet::new();
    let found = found(expression, parameter.search_type, subject, zone);
    let once = found.into_iter().filter(|value| seen.insert(format!("{value:?}"))).take(ROWS_MAX);
    once.map(|value| IndexRow { parameter: parameter.key, value }).collect()
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
        let found = Found { kind, value: &one.value };
        values(search_type, of_extension(found).unwrap_or(found), zone)
    });
    typed.collect()
}

/// The value of an extension, where an expression ends at the extension itself: R4's and IHE's own definitions do
/// (`mothersMaidenName`), and an extension is nothing that one could search by otherwise.
fn of_extension(found: Found<'_>) -> Option<Found<'_>> {
    if found.kind != "Extension" {
        return None;
    }
    let (key, value) = found.value.as_object()?.iter().find(|(key, _)| key.starts_with("value"))?;
    let kind = table().node("Extension")?.keys.get(key.as_str())?.kind;
    Some(Found { kind, value })
}

/// The R4 type of a value that the engine gave without one, by what only that type has.
fn guessed(value: &Value) -> &'static str {
    let has = |key: &str| value.get(key).is_some();
    match value {
        Value::Bool(_) => "boolean",
        Value::Object(object) if has("url") && object.keys().any(|key| key.starts_with("value")) => {
            "Extension"
        }
        Value::Object(_) if has("reference") => "Reference",
        Value::Object(_) if has("coding") => "CodeableConcept",
        Value::Object(_) if has("start") || has("end") => "Period",
        Value::Object(_) if has("family") || has("given") => "HumanName",
        Value::Object(_) if has("system") && has("code") && !has("value") => "Coding",
        Value::Object(_) if has("use") || has("assigner") => "Identifier",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fhir::parameters::custom::{Custom, State, definitions};

    #[test]
    fn a_writer_leaves_whole_parameters_to_the_walk() {
        let defined = |code: &str, expression: &str| {
            let resource = json!({"resourceType": "SearchParameter", "url": format!("http://x/{code}"),
                "name": "x", "status": "active", "description": "x", "code": code, "base": ["Patient"],
                "type": "string", "expression": expression});
            definitions(&resource).unwrap().into_iter().map(|one| (one, "x".to_owned(), State::Active))
        };
        let slow =
            "name.where(family = %resource.name.where(family = %resource.name.last().family).family).family";
        let all = [("a-quick", "Patient.name.first().family"), ("b-slow", slow), ("c-quick", "Patient.id")];
        let custom = Custom::of(all.iter().flat_map(|(code, expression)| defined(code, expression)));
        let own = custom.kind("Patient");
        let names: Vec<Value> = (0..3_000).map(|n| json!({ "family": format!("f{n}") })).collect();
        let patient = json!({ "resourceType": "Patient", "id": "p", "name": names });
        let zone = TimeZone::UTC;
        let (rows, left) = rows_within(own, &patient, &zone, (WRITE_TIME, &|| false));
        assert_eq!(left, ["b-slow", "c-quick"]);
        assert!(rows.iter().all(|row| row.parameter == own[0].parameter.key) && rows.len() == 1);
        assert_eq!(rows_within(own, &patient, &zone, (Duration::ZERO, &|| false)).1.len(), 3);
        // The walk gives each its time.
        let walked = super::rows(own, &patient, &zone, &|| false).unwrap();
        let walked: HashSet<i64> = walked.iter().map(|row| row.parameter.0).collect();
        assert!(walked.contains(&own[2].parameter.key.0));
        let asked = std::cell::Cell::new(0);
        let second = || {
            asked.set(asked.get() + 1);
            asked.get() > 1
        };
        assert!(super::rows(own, &patient, &zone, &second).is_none(), "it hears that it is to stop");
        assert!(asked.get() < 10);
    }
}
