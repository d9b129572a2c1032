//! The world of one test: answers look-ups from the resources, contacts and units that it gives.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::Given;
use crate::fhir::index::{self, IndexValue, text};
use crate::fhir::parameters::custom::Custom;
use crate::fhir::query::{Filter, Match, Parameter};
use crate::fhir::search::{self, Handling};
use crate::fhir::structure::tolerated::NOTHING;
use crate::mapping::lookup::{Answer, Query, Source};

/// Answers one question from what a test gives.
pub fn answer(given: &Given, query: &Query, zone: &TimeZone) -> Answer {
    match query {
        Query::Reference { reference } => {
            one(given.resources.iter().filter(|one| is_named(one, reference)), "id")
        }
        Query::Contact { reference } => {
            one(given.contacts.iter().filter(|one| is_linked(given, one, reference)), "uuid")
        }
        Query::OrgUnit { value, by } => {
            let by = if by == "uid" { "id" } else { by };
            one(given.units.iter().filter(|unit| unit.get(by).and_then(Value::as_str) == Some(value)), "id")
        }
        Query::Search { query, many } => match matches(given, query, zone) {
            Ok(found) if *many > 1 => list(found, *many),
            Ok(found) => one(found.into_iter(), "id"),
            Err(why) => Answer::Refused(why),
        },
    }
}

fn one<'a>(mut found: impl Iterator<Item = &'a Value>, id: &str) -> Answer {
    let Some(first) = found.next() else { return Answer::Absent };
    match found.count() {
        0 => Answer::Found { value: first.clone(), sources: vec![source(first, id)] },
        more => Answer::Several(more + 1),
    }
}

fn list(found: Vec<&Value>, many: u32) -> Answer {
    if found.is_empty() {
        return Answer::Absent;
    }
    let kept: Vec<&Value> = found.into_iter().take(many as usize).collect();
    let sources = kept.iter().map(|one| source(one, "id")).collect();
    Answer::Found { value: Value::Array(kept.into_iter().cloned().collect()), sources }
}

fn source(value: &Value, id: &str) -> Source {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Source { kind: text("resourceType"), id: text(id), version: 1 }
}

/// `Type/id`, or the identifier of a logical reference.
fn is_named(resource: &Value, reference: &Value) -> bool {
    let text = |key: &str| resource.get(key).and_then(Value::as_str).unwrap_or_default();
    if let Some(wanted) = reference.get("reference").and_then(Value::as_str) {
        return wanted == format!("{}/{}", text("resourceType"), text("id"));
    }
    let Some(wanted) = reference.get("identifier") else { return false };
    let identifiers = resource.get("identifier").and_then(Value::as_array);
    identifiers
        .into_iter()
        .flatten()
        .any(|held| held.get("value") == wanted.get("value") && held.get("system") == wanted.get("system"))
}

/// A contact is found by a reference that it is linked with (`of`, or a link), or by its own uuid.
fn is_linked(given: &Given, contact: &Value, reference: &Value) -> bool {
    let uuid = contact.get("uuid");
    let wanted = reference.get("reference");
    let of = contact.get("of").and_then(Value::as_array);
    let named = wanted.is_some() && of.into_iter().flatten().any(|link| Some(link) == wanted);
    let linked = wanted.and_then(Value::as_str).is_some_and(|wanted| {
        let mut links = given.links.iter().filter(|link| link.resource == wanted);
        links.any(|link| uuid.and_then(Value::as_str) == Some(&link.id))
    });
    named || linked || (uuid.is_some() && reference.pointer("/identifier/value") == uuid)
}

fn matches<'a>(given: &'a Given, query: &str, zone: &TimeZone) -> Result<Vec<&'a Value>, String> {
    let (kind, parameters) = query.split_once('?').unwrap_or((query, ""));
    // A plus sign is a plus sign: values are percent-encoded.
    let parameters = parameters.replace('+', "%2B");
    let pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(parameters.as_bytes()).into_owned().collect();
    let context = search::Context {
        base: "http://localhost/fhir",
        zone,
        now: Timestamp::UNIX_EPOCH,
        handling: Handling::Strict,
        custom: Custom::none(),
        tolerated: NOTHING,
    };
    let search = search::parse(kind, &pairs, &context).map_err(|_| format!("`{query}` is not a search"))?;
    if search.query.is_nested() {
        return Err("tests of mappings follow neither chains nor _has, nor hierarchies".to_owned());
    }
    let mut found = Vec::new();
    for resource in
        given.resources.iter().filter(|one| one.get("resourceType").is_some_and(|held| held == kind))
    {
        let mut all = true;
        for filter in &search.query.filters {
            all &= holds(kind, resource, filter, zone)?;
        }
        if all {
            found.push(resource);
        }
    }
    Ok(found)
}

fn holds(kind: &str, resource: &Value, filter: &Filter, zone: &TimeZone) -> Result<bool, String> {
    let values: Vec<IndexValue> = match &filter.parameter {
        Parameter::Indexed(_) | Parameter::Any(_) => {
            let rows = index::rows(kind, resource, zone).into_iter();
            rows.filter(|row| filter.parameter.keys().contains(&row.parameter)).map(|row| row.value).collect()
        }
        Parameter::Id | Parameter::LastUpdated => Vec::new(),
    };
    let mut any = false;
    for wanted in &filter.any {
        any |= match wanted {
            Match::Id(id) => resource.get("id").and_then(Value::as_str) == Some(id),
            other => {
                let fits: Vec<bool> =
                    values.iter().map(|value| fits(value, other)).collect::<Result<_, _>>()?;
                fits.into_iter().any(|fits| fits)
            }
        };
    }
    Ok(any != filter.not)
}

/// The kinds of match that tests of mappings need; others are refused rather than guessed.
fn fits(value: &IndexValue, wanted: &Match) -> Result<bool, String> {
    let same = |wanted: &Option<String>, held: &str| wanted.as_deref().is_none_or(|wanted| wanted == held);
    Ok(match (value, wanted) {
        (IndexValue::Token { system, code, .. }, Match::Token { system: s, code: c }) => {
            same(s, system) && same(c, code)
        }
        (IndexValue::Reference { kind, id, .. }, Match::Reference { kind: k, id: i }) => {
            id == i && (k.is_empty() || kind == k)
        }
        (IndexValue::Reference { url, .. }, Match::ReferenceUrl(wanted)) => url == wanted,
        (IndexValue::Reference { identifier, .. }, Match::ReferenceIdentifier(wanted)) => {
            identifier == wanted
        }
        (IndexValue::Uri(held), Match::Uri(wanted)) => held == wanted,
        (IndexValue::Text { normal, .. }, Match::TextStarts(wanted)) => {
            normal.starts_with(&text::normal(wanted))
        }
        (IndexValue::Text { exact, .. }, Match::TextExact(wanted)) => exact == wanted,
        _ => return Err("tests of mappings search by token, reference, text and uri only".to_owned()),
    })
}
