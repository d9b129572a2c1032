//! What is there and says nothing: `[]`, `{}`, `""` and `null`, as JavaScript writes what it does not have.
//! <https://hl7.org/fhir/R4/json.html>

use serde_json::{Map, Value};

use super::Repair;

/// Leaves out what is empty throughout a resource, and what is empty without it.
pub fn leave_out(resource: &mut Value, repairs: &mut Vec<Repair>) {
    let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(object) = resource.as_object_mut() {
        members(object, &kind, repairs);
    }
}

fn told(place: String) -> Repair {
    Repair::new("empty-value", "what was empty was left out", place)
}

/// The members of an object that are empty, or become so.
fn members(object: &mut Map<String, Value>, path: &str, repairs: &mut Vec<Repair>) {
    let names: Vec<String> = object.keys().cloned().collect();
    for name in names {
        let place = format!("{path}.{}", name.trim_start_matches('_'));
        // The nulls of an array say which of its items the other array is about.
        let paired = name.starts_with('_') || object.contains_key(&format!("_{name}"));
        let Some(value) = object.get_mut(&name) else { continue };
        let before = repairs.len();
        match value {
            Value::Object(inner) => members(inner, &place, repairs),
            Value::Array(list) if !paired => items(list, (&name, &place), repairs),
            _ => {}
        }
        if is_empty(value) {
            object.shift_remove(&name);
            // It is told once, by the outermost that went.
            repairs.truncate(before);
            repairs.push(told(place));
        }
    }
}

fn items(list: &mut Vec<Value>, (name, path): (&str, &str), repairs: &mut Vec<Repair>) {
    let mut index = 0;
    list.retain_mut(|item| {
        let (place, before) = (format!("{path}[{index}]"), repairs.len());
        index += 1;
        if let Value::Object(inner) = item {
            members(inner, &place, repairs);
        }
        let goes = is_empty(item) || name == "extension" && is_bare(item);
        if goes {
            repairs.truncate(before);
            repairs.push(told(place));
        }
        !goes
    });
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// An extension with neither a value nor extensions.
fn is_bare(extension: &Value) -> bool {
    extension.as_object().is_some_and(|object| object.keys().all(|key| key == "url" || key == "id"))
}
