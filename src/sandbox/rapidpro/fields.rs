//! Contact fields and what of a value reads back.

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::{Value, json};

use super::super::http::Answer;
use super::super::time;
use super::gate::{Call, detail_answer, invalid, limit_reached};
use super::paging::{Window, page};
use super::state::{Field, World};

const KINDS: &[&str] = &["text", "number", "datetime", "state", "district", "ward"];
const RESERVED: &[&str] = &[
    "id",
    "uuid",
    "name",
    "language",
    "created_on",
    "modified_on",
    "groups",
    "urn",
    "fields",
    "status",
    "flow",
    "tickets",
    "history",
    "last_seen_on",
];
const LONGEST: usize = 640;

/// `FHIR Patient ID` → `fhir_patient_id`.
pub(super) fn key_of(name: &str) -> String {
    let mut key = String::new();
    for c in name.trim().chars() {
        if c.is_alphanumeric() {
            key.extend(c.to_lowercase());
        } else if !key.ends_with('_') {
            key.push('_');
        }
    }
    key.trim_matches('_').to_owned()
}

/// What a contact's field of a type shows of a text; `None` shows as null.
pub(super) fn read_back(kind: &str, text: &str, now: Timestamp, zone: &TimeZone) -> Option<String> {
    match kind {
        "number" => {
            let number: rust_decimal::Decimal = text.trim().parse().ok()?;
            Some(number.normalize().to_string())
        }
        "datetime" => datetime(text.trim(), now, zone),
        "state" | "district" | "ward" => text.contains(" > ").then(|| text.to_owned()),
        _ => Some(text.chars().take(LONGEST).collect()),
    }
}

/// A full timestamp stays as it is; a date gets the local time of day of the write.
fn datetime(text: &str, now: Timestamp, zone: &TimeZone) -> Option<String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        if text.ends_with('Z') {
            return Some(time::micros(at));
        }
        let offset = civil_offset(text)?;
        return Some(at.to_zoned(offset).strftime("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string());
    }
    let shapes = ["%d-%m-%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y-%m-%d"];
    let day = shapes.iter().find_map(|shape| civil::Date::strptime(shape, text).ok())?;
    let local: Zoned = now.to_zoned(zone.clone());
    let at = day.to_datetime(local.time()).to_zoned(zone.clone()).ok()?;
    Some(time::local_micros(at.timestamp(), zone))
}

fn civil_offset(text: &str) -> Option<TimeZone> {
    let at = text.rfind(['+', '-']).filter(|at| *at > 10)?;
    let (hours, minutes) = text[at + 1..].split_once(':')?;
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
    let signed = if text[at..].starts_with('-') { -seconds } else { seconds };
    Some(TimeZone::fixed(jiff::tz::Offset::from_seconds(signed).ok()?))
}

pub(super) fn list(world: &World, call: &Call) -> Answer {
    let key = call.request.parameter("key");
    let rows = world
        .fields
        .iter()
        .filter(|field| key.is_none_or(|key| field.key == key))
        .map(|field| (field.created, show(field)))
        .collect();
    page(call.request, Window::all(), rows)
}

pub(super) fn write(world: &mut World, call: &Call) -> Answer {
    let known = call.request.parameter("key");
    let at = match known {
        Some(key) => match world.fields.iter().position(|field| field.key == key) {
            Some(at) => Some(at),
            None => return detail_answer(404, "No ContactField matches the given query."),
        },
        None => None,
    };
    let (name, kind) = match name_and_kind(world, call, known) {
        Ok(read) => read,
        Err(answer) => return answer,
    };
    if at.is_none() && world.fields.len() >= call.options.limit {
        return limit_reached(call.options.limit);
    }
    let (status, at) = match at {
        Some(at) => {
            if let Some(field) = world.fields.get_mut(at) {
                field.name = name;
                field.kind = kind;
            }
            (200, at)
        }
        None => (201, world.add_field(&name, &kind)),
    };
    world.fields.get(at).map_or_else(|| Answer::empty(500), |field| Answer::json(status, &show(field)))
}

fn name_and_kind(world: &World, call: &Call, known: Option<&str>) -> Result<(String, String), Answer> {
    // The old names of the two keys are still taken.
    let text =
        |new: &str, old: &str| call.body.get(new).or_else(|| call.body.get(old)).and_then(Value::as_str);
    let missing = |key: &str| {
        Answer::json(400, &json!({ "non_field_errors": [format!("Field '{key}' is required.")] }))
    };
    let name = text("name", "label").ok_or_else(|| missing("name"))?.trim().to_owned();
    let kind = text("type", "value_type").ok_or_else(|| missing("type"))?;
    let kind = if kind == "numeric" { "number" } else { kind };
    if !KINDS.contains(&kind) {
        return Err(invalid("type", &format!("\"{kind}\" is not a valid choice.")));
    }
    if !name.chars().all(|c| c.is_alphanumeric() || c == ' ' || c == '-') || name.is_empty() {
        return Err(invalid("name", "Can only contain letters, numbers and hypens."));
    }
    if name.chars().count() > 36 {
        return Err(invalid("name", "Ensure this field has no more than 36 characters."));
    }
    let key = key_of(&name);
    if RESERVED.contains(&key.as_str()) {
        return Err(invalid("name", &format!("Generated key \"{key}\" is invalid or a reserved name.")));
    }
    let taken = |field: &&Field| {
        field.name.to_lowercase() == name.to_lowercase() && Some(field.key.as_str()) != known
    };
    if world.fields.iter().any(|field| taken(&field)) {
        return Err(invalid("name", "This field must be unique."));
    }
    Ok((name, kind.to_owned()))
}

fn show(field: &Field) -> Value {
    let old = if field.kind == "number" { "numeric" } else { field.kind.as_str() };
    json!({ "key": field.key, "name": field.name, "type": field.kind, "featured": false, "priority": 0,
        "usages": { "flows": 0, "groups": 0, "campaign_events": 0 }, "agent_access": "view",
        "label": field.name, "value_type": old })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_recorded() {
        let zone = TimeZone::get("Africa/Kigali").unwrap();
        let now: Timestamp = "2026-11-20T21:54:29.378650Z".parse().unwrap();
        let table = [
            ("number", "34 years", None),
            ("number", "34.50", Some("34.5")),
            ("number", "35", Some("35")),
            ("datetime", "2027-03-15", Some("2027-03-15T23:54:29.378650+02:00")),
            ("datetime", "15-03-2027", Some("2027-03-15T23:54:29.378650+02:00")),
            ("datetime", "2027-03-15T00:00:00Z", Some("2027-03-15T00:00:00.000000Z")),
            ("datetime", "2027-03-15T12:00:00.000000+02:00", Some("2027-03-15T12:00:00.000000+02:00")),
            ("datetime", "next tuesday", None),
            ("district", "Gatsibo", None),
            ("district", "Rwanda > Eastern Province > Gatsibo", Some("Rwanda > Eastern Province > Gatsibo")),
            ("text", "a\nb", Some("a\nb")),
        ];
        for (kind, text, wanted) in table {
            assert_eq!(read_back(kind, text, now, &zone).as_deref(), wanted, "{kind} {text}");
        }
        assert_eq!(key_of("FHIR Patient ID"), "fhir_patient_id");
    }
}
