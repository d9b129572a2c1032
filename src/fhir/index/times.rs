//! Dates, periods and timings as ranges. <https://hl7.org/fhir/R4/search.html#date>

use jiff::tz::TimeZone;
use serde_json::Value;

use super::IndexValue;
use super::extract::Found;
use crate::fhir::dates;

/// An open beginning of a period: the year 1.
const BEGINNING: i64 = -62_135_596_800_000;

pub fn value(found: Found<'_>, zone: &TimeZone) -> Option<IndexValue> {
    let (low, high) = match found.kind {
        "Period" => period(found.value, zone)?,
        "Timing" => timing(found.value, zone)?,
        _ => dates::range(found.value.as_str()?, zone)?,
    };
    Some(IndexValue::Date { low, high })
}

fn period(value: &Value, zone: &TimeZone) -> Option<(i64, i64)> {
    let end = |key: &str| value.get(key).and_then(Value::as_str).and_then(|text| dates::range(text, zone));
    match (end("start"), end("end")) {
        (None, None) => None,
        (start, end) => Some((start.map_or(BEGINNING, |s| s.0), end.map_or(dates::END, |e| e.1))),
    }
}

/// The outer limits of a schedule: its events and its bounds.
fn timing(value: &Value, zone: &TimeZone) -> Option<(i64, i64)> {
    let events = value.get("event").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let events = events.iter().filter_map(Value::as_str).filter_map(|text| dates::range(text, zone));
    let bounds = value.pointer("/repeat/boundsPeriod").and_then(|bounds| period(bounds, zone));
    events.chain(bounds).reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
}
