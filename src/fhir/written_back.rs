//! Identifiers that Mjumbe wrote into a resource because it is known somewhere else: `writeBack`.
//!
//! They carry an extension as their mark, so that they can be told from a client's own and survive its updates:
//! a client that never saw such an identifier does not mean to remove it. **Never** touches another identifier.

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::fhir::elements::table;
use crate::fhir::index::{self, IndexRow, ParameterKey};

/// The mark: the url of an extension with `valueBoolean: true`.
pub const MARK: &str = "https://mjumbe.org/fhir/StructureDefinition/written-back";

/// Whether resources of this type can have an identifier.
pub fn has_place(kind: &str) -> bool {
    place(kind).is_some()
}

/// Whether `identifier` repeats in this type; `None`: it has none.
fn place(kind: &str) -> Option<bool> {
    let node = table().node(table().kind(kind)?)?;
    let key = node.keys.get("identifier").filter(|key| key.kind == "Identifier")?;
    node.elements.get(key.element).map(|element| element.many)
}

/// Writes the id that the resource has in `system`, in place of an earlier one of ours. False: it is there
/// already, or the type has no place for it.
pub fn write(resource: &mut Value, system: &str, value: &str) -> bool {
    let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default().to_owned();
    let (Some(many), Some(object)) = (place(&kind), resource.as_object_mut()) else { return false };
    put(object, many, &marked(system, value))
}

fn marked(system: &str, value: &str) -> Value {
    json!({
        "extension": [{ "url": MARK, "valueBoolean": true }],
        "system": system,
        "value": value,
    })
}

/// Puts one marked identifier where it belongs. False: nothing changed.
fn put(object: &mut Map<String, Value>, many: bool, wanted: &Value) -> bool {
    if !many {
        let free = object.get("identifier").is_none_or(|there| is_marked(there) && there != wanted);
        if free {
            object.insert("identifier".to_owned(), wanted.clone());
        }
        return free;
    }
    let list = object.entry("identifier").or_insert_with(|| Value::Array(Vec::new()));
    let Some(list) = list.as_array_mut() else { return false };
    let same = |there: &Value| {
        there.get("system") == wanted.get("system")
            && (is_marked(there) || there.get("value") == wanted.get("value"))
    };
    match list.iter_mut().find(|there| same(there)) {
        Some(there) if there == wanted => false,
        Some(there) => {
            *there = wanted.clone();
            true
        }
        None => {
            list.push(wanted.clone());
            true
        }
    }
}

fn is_marked(identifier: &Value) -> bool {
    let extensions = identifier.get("extension").and_then(Value::as_array);
    extensions.into_iter().flatten().any(|extension| extension.get("url").is_some_and(|url| url == MARK))
}

/// A new body with what was written back into the current one, and the rows of the index that come with it.
pub struct Kept {
    pub body: String,
    pub rows: Vec<IndexRow>,
}

/// What a new version must keep of the current one; both as they are stored. `None`: nothing is missing.
pub fn keep(kind: &str, current: &str, new: &str) -> Option<Kept> {
    // Most resources have none: nothing is parsed for them.
    if !current.contains(MARK) {
        return None;
    }
    let many = place(kind)?;
    let current: Value = serde_json::from_str(current).ok()?;
    let mut new: Value = serde_json::from_str(new).ok()?;
    let object = new.as_object_mut()?;
    let mut kept = Vec::new();
    for identifier in identifiers(&current).filter(|one| is_marked(one)) {
        let is_newer = |there: &Value| is_marked(there) && there.get("system") == identifier.get("system");
        let there = object.get("identifier");
        let has_newer = there.is_some_and(|there| match there {
            Value::Array(list) => list.iter().any(is_newer),
            one => is_newer(one),
        });
        if !has_newer && put(object, many, identifier) {
            kept.push(identifier.clone());
        }
    }
    if kept.is_empty() {
        return None;
    }
    let only =
        json!({ "resourceType": kind, "identifier": if many { Value::Array(kept) } else { kept.pop()? } });
    let parameter = ParameterKey::new(kind, "identifier");
    let rows = index::rows(kind, &only, &TimeZone::UTC).into_iter();
    Some(Kept { body: new.to_string(), rows: rows.filter(|row| row.parameter == parameter).collect() })
}

fn identifiers(resource: &Value) -> impl Iterator<Item = &Value> {
    let there = resource.get("identifier");
    let list = there.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter().chain(there.filter(|one| one.is_object()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYSTEM: &str = "https://r.example.org/contact";

    #[test]
    fn an_identifier_is_written_once_and_replaced_by_a_later_one() {
        let mut patient =
            json!({"resourceType": "Patient", "identifier": [{"system": "urn:card", "value": "7"}]});
        assert!(write(&mut patient, SYSTEM, "a"));
        assert!(!write(&mut patient, SYSTEM, "a"));
        assert!(write(&mut patient, SYSTEM, "b"));
        assert_eq!(patient["identifier"].as_array().unwrap().len(), 2);
        assert_eq!(patient["identifier"][1]["value"], "b");
        assert!(crate::fhir::structure::check(&patient).is_empty());
        let mut binary = json!({"resourceType": "Binary"});
        assert!(!write(&mut binary, SYSTEM, "a") && !has_place("Binary"));
    }

    #[test]
    fn a_client_that_never_saw_it_does_not_remove_it() {
        let mut current = json!({"resourceType": "Patient", "active": true});
        write(&mut current, SYSTEM, "a");
        let new = r#"{"resourceType":"Patient","active":true,"extension":[{"url":"u","valueDecimal":1.50}]}"#;
        let kept = keep("Patient", &current.to_string(), new).unwrap();
        assert!(kept.body.contains("1.50") && kept.body.contains(SYSTEM), "{}", kept.body);
        assert_eq!(kept.rows.len(), 1);
        assert!(keep("Patient", &current.to_string(), &kept.body).is_none());
        assert!(keep("Patient", new, new).is_none());
    }

    #[test]
    fn a_copy_without_the_mark_gets_it_back_and_a_newer_one_stays() {
        let mut current = json!({"resourceType": "Patient"});
        write(&mut current, SYSTEM, "a");
        let copied = json!({"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": "a"}]});
        let kept = keep("Patient", &current.to_string(), &copied.to_string()).unwrap();
        let body: Value = serde_json::from_str(&kept.body).unwrap();
        assert_eq!(body["identifier"], current["identifier"]);
        let mut newer = current.clone();
        write(&mut newer, SYSTEM, "b");
        assert!(keep("Patient", &current.to_string(), &newer.to_string()).is_none());
    }

    #[test]
    fn a_type_with_one_identifier_keeps_a_clients_own() {
        let mut response = json!({"resourceType": "QuestionnaireResponse", "identifier": {"value": "own"}});
        assert!(!write(&mut response, SYSTEM, "a"));
        let mut bare = json!({"resourceType": "QuestionnaireResponse"});
        assert!(write(&mut bare, SYSTEM, "a"));
    }
}
