//! Values of another shape than R4's: one where a list is wanted, a number where a text is, a telephone number of no
//! system.

use serde_json::{Map, Value};

use super::Repair;
use crate::fhir::elements::{Content, Key, Node, Primitive, table};

/// Makes a list of what R4 has as a list and came alone, or as an object of numbered members (`{"0": "Jane"}`),
/// throughout a resource.
pub fn lists(resource: &mut Value, repairs: &mut Vec<Repair>) {
    each(resource, &mut |(node, key), value, place| {
        let many = node.elements.get(key.element).is_some_and(|element| element.many);
        if many && !value.is_array() && !value.is_null() {
            *value = list(value.take());
            repairs.push(Repair::new("list-expected", "a single value was made a list of one", place));
        }
    });
}

/// Makes a text of each number that stands where R4 has a text (a string, a code, …), with the digits that it has.
pub fn numbers(resource: &mut Value, repairs: &mut Vec<Repair>) {
    each(resource, &mut |(_, key), value, place| {
        let Content::Primitive(kind) = key.content else { return };
        if is_written_bare(kind) {
            return;
        }
        for (place, value) in one_by_one(value, place) {
            if value.is_number() {
                *value = value.to_string().into();
                let text = "a number was made the text that R4 has there";
                repairs.push(Repair::new("number-as-text", text, place));
            }
        }
    });
}

/// Gives a ContactPoint without `system` the one that its value looks like (`cpt-2`).
/// <https://hl7.org/fhir/R4/valueset-contact-point-system.html>
pub fn contacts(resource: &mut Value, repairs: &mut Vec<Repair>) {
    each(resource, &mut |(_, key), value, place| {
        if key.kind != "ContactPoint" {
            return;
        }
        for (place, value) in one_by_one(value, place) {
            let Some(contact) = value.as_object_mut() else { continue };
            let Some(text) = contact.get("value").and_then(Value::as_str) else { continue };
            if contact.contains_key("system") || contact.contains_key("_system") {
                continue;
            }
            let system = if is_telephone(text) { "phone" } else { "other" };
            contact.insert("system".to_owned(), system.into());
            let text = "a contact without system got `phone`, or `other` where it is no number";
            repairs.push(Repair::new("contact-system-missing", text, format!("{place}.system")));
        }
    });
}

/// Whether this is JSON without quotes.
fn is_written_bare(kind: Primitive) -> bool {
    matches!(
        kind,
        Primitive::Boolean
            | Primitive::Decimal
            | Primitive::Integer
            | Primitive::PositiveInt
            | Primitive::UnsignedInt
    )
}

/// `+254 (0)722-000 000`
fn is_telephone(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let fits = |(at, c): (usize, char)| {
        c.is_ascii_digit() || matches!(c, ' ' | '-' | '.' | '(' | ')' | '/') || (c == '+' && at == 0)
    };
    (3..=15).contains(&digits) && text.trim().chars().enumerate().all(fits)
}

/// The value, or each item of an array, with its place.
fn one_by_one<'a>(value: &'a mut Value, place: &str) -> Vec<(String, &'a mut Value)> {
    match value {
        Value::Array(items) => {
            items.iter_mut().enumerate().map(|(index, item)| (format!("{place}[{index}]"), item)).collect()
        }
        one => vec![(place.to_owned(), one)],
    }
}

/// What is done with an element: where it is defined, its value, its FHIRPath.
type Change<'a> = &'a mut dyn FnMut((&'static Node, &'static Key), &mut Value, &str);

/// Shows every element of a resource that R4 knows, the outer ones first. How deep it goes is bounded by the reader of
/// JSON.
fn each(resource: &mut Value, change: Change<'_>) {
    let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let (Some(node), Some(object)) = (table().node(&kind), resource.as_object_mut()) {
        visit(node, (object, &kind), change);
    }
}

fn visit(node: &'static Node, (object, path): (&mut Map<String, Value>, &str), change: Change<'_>) {
    for (name, value) in object {
        let Some(key) = node.keys.get(name.as_str()) else { continue };
        let place = format!("{path}.{name}");
        change((node, key), value, &place);
        if matches!(key.content, Content::Primitive(_)) {
            continue;
        }
        for (place, item) in one_by_one(value, &place) {
            let inner = match key.content {
                Content::Complex(index) => table().at(index),
                // `contained`
                _ => item.get("resourceType").and_then(Value::as_str).and_then(|kind| table().node(kind)),
            };
            if let (Some(inner), Some(object)) = (inner, item.as_object_mut()) {
                visit(inner, (object, &place), change);
            }
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
