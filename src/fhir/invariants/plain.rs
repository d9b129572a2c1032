//! Invariants in plain Rust: those of small types that occur many times in a resource, and those of long
//! lists, where FHIRPath would take quadratic time.
//!
//! A rule that the object does not break because something in it is not as it should be holds: the walk
//! over the structure tells that.

use std::collections::HashSet;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::fhir::dates;

/// Does the rule hold for the object?
pub type Rule = fn(&Map<String, Value>) -> bool;

/// The Rust of a rule, if it has one.
pub(super) fn rule(path: &str, key: &str) -> Option<Rule> {
    Some(match (path, key) {
        ("Quantity", "qty-3") => |it| !has(it, "code") || has(it, "system"),
        ("ContactPoint", "cpt-2") => |it| !has(it, "value") || has(it, "system"),
        ("Attachment", "att-1") => |it| !has(it, "data") || has(it, "contentType"),
        ("Period", "per-1") => period,
        ("Patient.contact", "pat-1") => {
            |it| ["name", "telecom", "address", "organization"].iter().any(|name| has(it, name))
        }
        ("Organization", "org-1") => |it| has(it, "identifier") || has(it, "name"),
        ("Observation", "obs-6") => |it| !has(it, "dataAbsentReason") || !has_choice(it, "value"),
        ("Observation", "obs-7") => {
            |it| !has_choice(it, "value") || !same_code(it.get("code"), list(it, "component"))
        }
        ("QuestionnaireResponse.item", "qrs-1") => |it| !(has(it, "answer") && has(it, "item")),
        ("Questionnaire", "que-2") => |it| link_ids_differ(it, &mut HashSet::new()),
        // `answer is Boolean` means FHIR's boolean, which is no System.Boolean to the engine.
        ("Questionnaire.item.enableWhen", "que-7") => {
            |it| text(it, "operator") != "exists" || has(it, "answerBoolean")
        }
        ("Questionnaire.item", key) => return question(key),
        ("CodeSystem", "csd-1") => |it| codes_differ(it, &mut HashSet::new()),
        ("Group", "grp-1") => {
            |it| !has(it, "member") || it.get("actual").is_none_or(|actual| actual == &Value::Bool(true))
        }
        // `probability is decimal` is not true of FHIR's decimal to the engine.
        ("RiskAssessment.prediction", "ras-2") => {
            |it| it.get("probabilityDecimal").and_then(Value::as_f64).is_none_or(|found| found <= 100.0)
        }
        ("Bundle.entry", "bdl-5") => {
            |it| ["resource", "request", "response"].iter().any(|name| has(it, name))
        }
        ("Bundle.entry", "bdl-8") => |it| !text(it, "fullUrl").contains("/_history/"),
        ("Bundle", key) => return bundle(key),
        _ => return None,
    })
}

/// Bundles are long: one pass each, without copying them for the engine.
fn bundle(key: &str) -> Option<Rule> {
    Some(match key {
        "bdl-1" => |it| !has(it, "total") || is(it, &["searchset", "history"]),
        "bdl-2" => {
            |it| is(it, &["searchset"]) || !list(it, "entry").any(|entry| entry.contains_key("search"))
        }
        "bdl-3" => |it| {
            let wanted = is(it, &["batch", "transaction", "history"]);
            list(it, "entry").all(|entry| entry.contains_key("request") == wanted)
        },
        "bdl-4" => |it| {
            let wanted = is(it, &["batch-response", "transaction-response", "history"]);
            list(it, "entry").all(|entry| entry.contains_key("response") == wanted)
        },
        "bdl-7" => |it| is(it, &["history"]) || full_urls_differ(it),
        "bdl-9" => |it| {
            let identifier = it.get("identifier").and_then(Value::as_object);
            !is(it, &["document"]) || identifier.is_some_and(|it| has(it, "system") && has(it, "value"))
        },
        "bdl-10" => |it| !is(it, &["document"]) || it.contains_key("timestamp"),
        "bdl-11" => |it| !is(it, &["document"]) || first_is(it, "Composition"),
        "bdl-12" => |it| !is(it, &["message"]) || first_is(it, "MessageHeader"),
        _ => return None,
    })
}

/// A Questionnaire has hundreds of items. What has no type yet (`""`) breaks nothing here.
fn question(key: &str) -> Option<Rule> {
    Some(match key {
        "que-1" => |it| match text(it, "type") {
            "group" => has(it, "item"),
            "display" => !has(it, "item"),
            _ => true,
        },
        "que-3" => |it| !is(it, &["display"]) || !has(it, "code"),
        "que-4" => |it| !(has(it, "answerOption") && has(it, "answerValueSet")),
        "que-5" => |it| {
            let kinds = ["decimal", "integer", "date", "dateTime", "time", "string", "quantity"];
            is(it, &["", "choice", "open-choice"])
                || is(it, &kinds)
                || !(has(it, "answerOption") || has(it, "answerValueSet"))
        },
        "que-6" => |it| !is(it, &["display"]) || !(has(it, "required") || has(it, "repeats")),
        "que-8" => |it| !is(it, &["group", "display"]) || !has(it, "initial"),
        "que-9" => |it| !is(it, &["display"]) || !has(it, "readOnly"),
        "que-10" => |it| {
            let kinds = ["", "boolean", "decimal", "integer", "string", "text", "url", "open-choice"];
            is(it, &kinds) || !has(it, "maxLength")
        },
        "que-11" => |it| !(has(it, "answerOption") && has(it, "initial")),
        "que-12" => |it| list(it, "enableWhen").count() <= 2 || has(it, "enableBehavior"),
        // Without `repeats` the expression has no result.
        "que-13" => |it| list(it, "initial").count() <= 1 || it.get("repeats") != Some(&Value::Bool(false)),
        _ => return None,
    })
}

/// Has it the element, if only with extensions?
fn has(object: &Map<String, Value>, name: &str) -> bool {
    object.contains_key(name)
        || object.keys().any(|key| key.strip_prefix('_').is_some_and(|bare| bare == name))
}

fn has_choice(object: &Map<String, Value>, name: &str) -> bool {
    object.keys().any(|key| {
        let rest = key.trim_start_matches('_').strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_uppercase()))
    })
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(
    object: &'a Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = &'a Map<String, Value>> + use<'a> {
    let items = object.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(Value::as_object)
}

fn is(bundle: &Map<String, Value>, kinds: &[&str]) -> bool {
    kinds.contains(&text(bundle, "type"))
}

/// The end is not before the start; where their precisions leave it open, it is not.
fn period(period: &Map<String, Value>) -> bool {
    let moment = |name| dates::range(text(period, name), &TimeZone::UTC);
    match (moment("start"), moment("end")) {
        (Some((start, _)), Some((_, end))) => start < end,
        _ => true,
    }
}

/// Has a component a coding of the observation's own code?
fn same_code<'a>(code: Option<&Value>, mut components: impl Iterator<Item = &'a Map<String, Value>>) -> bool {
    let own: HashSet<&Value> = codings(code).iter().collect();
    !own.is_empty()
        && components
            .any(|component| codings(component.get("code")).iter().any(|coding| own.contains(coding)))
}

fn codings(code: Option<&Value>) -> &[Value] {
    code.and_then(|code| code.get("coding")).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn link_ids_differ<'a>(item: &'a Map<String, Value>, seen: &mut HashSet<&'a str>) -> bool {
    list(item, "item").all(|item| seen.insert(text(item, "linkId")) && link_ids_differ(item, seen))
}

fn codes_differ<'a>(concept: &'a Map<String, Value>, seen: &mut HashSet<&'a str>) -> bool {
    list(concept, "concept").all(|concept| seen.insert(text(concept, "code")) && codes_differ(concept, seen))
}

fn full_urls_differ(bundle: &Map<String, Value>) -> bool {
    let mut seen = HashSet::new();
    let mut named = list(bundle, "entry").filter(|entry| entry.contains_key("fullUrl"));
    named.all(|entry| {
        let resource = entry.get("resource");
        let version = resource.and_then(|it| it.pointer("/meta/versionId")).and_then(Value::as_str);
        // Without a version, `fullUrl & {}` is the url alone.
        seen.insert((text(entry, "fullUrl"), version.unwrap_or_default()))
    })
}

fn first_is(bundle: &Map<String, Value>, kind: &str) -> bool {
    let first = list(bundle, "entry").next().and_then(|entry| entry.get("resource"));
    first.and_then(|it| it.get("resourceType")).and_then(Value::as_str) == Some(kind)
}
