//! One where R4 wants a list.

use serde_json::{Map, Value};

use super::Repair;
use crate::fhir::elements::{Content, Node, table};

/// Makes a list of what R4 has as a list and came alone, or as an object of numbered members (`{"0": "Jane"}`),
/// throughout a resource.
pub fn lists(resource: &mut Value, repairs: &mut Vec<Repair>) {
    let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let (Some(node), Some(object)) = (table().node(&kind), resource.as_object_mut()) {
        visit(node, object, &kind, repairs);
    }
}

fn visit(node: &'static Node, object: &mut Map<String, Value>, path: &str, repairs: &mut Vec<Repair>) {
    for (name, value) in object {
        let Some(key) = node.keys.get(name.as_str()) else { continue };
        let place = format!("{path}.{name}");
        let many = node.elements.get(key.element).is_some_and(|element| element.many);
        if many && !value.is_array() && !value.is_null() {
            *value = list(value.take());
            repairs.push(Repair::new("list-expected", "a single value was made a list of one", &*place));
        }
        let Content::Complex(index) = key.content else { continue };
        let Some(inner) = table().at(index) else { continue };
        match value {
            Value::Object(object) => visit(inner, object, &place, repairs),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    if let Value::Object(object) = item {
                        visit(inner, object, &format!("{place}[{index}]"), repairs);
                    }
                }
            }
            _ => {}
        }
    }
}

/// `{"0": a, "1": b}` is `[a, b]`; anything else is `[it]`.
fn list(value: Value) -> Value {
    let numbered = |object: &Map<String, Value>| {
        !object.is_empty() && (0..object.len()).all(|index| object.contains_key(&index.to_string()))
    };
    match value {
        Value::Object(mut object) if numbered(&object) => {
            let items = (0..object.len()).map(|index| index.to_string()).collect::<Vec<_>>();
            Value::Array(items.iter().filter_map(|index| object.shift_remove(index)).collect())
        }
        other => Value::Array(vec![other]),
    }
}
