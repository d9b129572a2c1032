//! The Community Health Toolkit: its outbound push and its interoperability mediator.

use serde_json::{Map, Value, json};

use super::{REFERRED_BY_IDENTIFIER, Repair, shape};
use crate::fhir::elements::table;
use crate::fhir::reference::{self, Literal};

const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
/// References of one resource that are looked at.
const REFERENCES_MAX: usize = 50;

/// Makes lists, a Coding of a bare class, and conditional references of what only looks like one.
pub fn repair(resource: &mut Value, repairs: &mut Vec<Repair>) {
    let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(object) = resource.as_object_mut() {
        class(&kind, object, repairs);
    }
    shape::lists(resource, repairs);
    names(&kind, resource, repairs);
    references(resource, &kind, &mut |text, place| {
        let made = conditional(text)?;
        repairs.push(Repair::new("reference-slash", "the slash before `?` was taken out", place));
        Some(made)
    });
}

/// `class: "outpatient"`, and a CodeableConcept where R4 has a Coding. <https://hl7.org/fhir/R4/v3/ActEncounterCode/vs.html>
fn class(kind: &str, object: &mut Map<String, Value>, repairs: &mut Vec<Repair>) {
    let Some(class) = object.get_mut("class").filter(|_| kind == "Encounter") else { return };
    if let Some(coding) = concept(class) {
        *class = coding;
        let text = "of a CodeableConcept, the first coding was taken (without one, its text)";
        repairs.push(Repair::new("class-as-concept", text, "Encounter.class"));
    }
    if !class.is_string() {
        return;
    }
    let word = class.as_str().unwrap_or_default().to_owned();
    *class = match code(&word) {
        Some(code) => json!({ "system": ACT_CODE, "code": code }),
        // What nobody knows is kept as the words that it is.
        None => json!({ "display": word }),
    };
    repairs.push(Repair::new("class-as-text", "a text was made a Coding", "Encounter.class"));
}

/// The first Coding of a CodeableConcept, or its text.
fn concept(class: &Value) -> Option<Value> {
    let coding =
        class.get("coding").and_then(|coding| if coding.is_array() { coding.get(0) } else { Some(coding) });
    coding.or_else(|| class.get("text")).cloned()
}

fn code(word: &str) -> Option<&'static str> {
    Some(match word.trim().to_ascii_lowercase().as_str() {
        "outpatient" | "ambulatory" | "amb" => "AMB",
        "inpatient" | "imp" => "IMP",
        "emergency" | "emer" => "EMER",
        "home" | "home health" | "hh" => "HH",
        "field" | "fld" => "FLD",
        "virtual" | "vr" => "VR",
        _ => return None,
    })
}

/// A `system` in a HumanName, which R4 does not have and which says only that the name is from CHT.
fn names(kind: &str, resource: &mut Value, repairs: &mut Vec<Repair>) {
    let named =
        table().node(kind).and_then(|node| node.keys.get("name")).is_some_and(|key| key.kind == "HumanName");
    let names = resource.get_mut("name").and_then(Value::as_array_mut).filter(|_| named);
    for (index, name) in names.into_iter().flatten().enumerate() {
        if name.as_object_mut().is_some_and(|name| name.shift_remove("system").is_some()) {
            let place = format!("{kind}.name[{index}].system");
            repairs.push(Repair::new(
                "name-system",
                "a name's system, which R4 does not have, was left out",
                place,
            ));
        }
    }
}

/// `Patient/?identifier=x` → `Patient?identifier=x`
fn conditional(text: &str) -> Option<String> {
    let (kind, query) = text.split_once("/?")?;
    table().kind(kind).filter(|_| !query.is_empty()).map(|kind| format!("{kind}?{query}"))
}

/// Shows each `reference` of a resource with its FHIRPath, and puts there what is given back.
fn references(value: &mut Value, path: &str, change: &mut impl FnMut(&str, String) -> Option<String>) {
    match value {
        Value::Object(object) => {
            for (key, item) in object {
                let place = format!("{path}.{key}");
                match item.as_str() {
                    Some(text) if key == "reference" => {
                        if let Some(made) = change(text, place) {
                            *item = made.into();
                        }
                    }
                    _ => references(item, &place, change),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                references(item, &format!("{path}[{index}]"), change);
            }
        }
        _ => {}
    }
}

/// References by id whose id may be an identifier.
pub fn doubtful(resource: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(resource, &mut found);
    found.sort_unstable();
    found.dedup();
    found.truncate(REFERENCES_MAX);
    found
}

fn collect(value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) => {
            for (key, item) in object {
                match item.as_str() {
                    Some(text) if key == "reference" => found.extend(by_id(text)),
                    _ => collect(item, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

fn by_id(text: &str) -> Option<(String, String)> {
    match reference::parse(text) {
        Literal::Relative { kind, id, version: None } if REFERRED_BY_IDENTIFIER.contains(&kind) => {
            Some((kind.to_owned(), id.to_owned()))
        }
        _ => None,
    }
}

/// `Patient/x` → `Patient?identifier=x`, where nobody has that id.
pub fn refer_by_identifier(resource: &mut Value, absent: &[(String, String)]) -> Vec<Repair> {
    let mut repairs = Vec::new();
    let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default().to_owned();
    references(resource, &kind, &mut |text, place| {
        let (kind, id) = by_id(text).filter(|named| absent.contains(named))?;
        let text = "nobody has this id: it was taken as an identifier";
        repairs.push(Repair::new("reference-by-identifier", text, place));
        // An R4 id holds nothing that a query would have to escape.
        Some(format!("{kind}?identifier={id}"))
    });
    repairs
}
