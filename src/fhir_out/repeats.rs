//! Lists where R4 wants lists: a path gives one value or a list as the data happens to be, while an element
//! repeats or does not.
//!
//! Pure. Only a lone value becomes a list of one, and a list of one a lone value; everything else is left to
//! the check.

use serde_json::{Map, Value};

use crate::fhir::elements::{Content, Key, Node, table};

/// Fits a resource, at any depth. Its depth is bounded by the mapping file's and the source's.
pub(super) fn fit(resource: &mut Value) {
    let Some(object) = resource.as_object_mut() else { return };
    let kind = object.get("resourceType").and_then(Value::as_str).unwrap_or_default();
    if let Some(node) = table().node(kind) {
        fit_object(node, object);
    }
}

fn fit_object(node: &'static Node, object: &mut Map<String, Value>) {
    for (name, value) in object.iter_mut() {
        let Some(key) = node.keys.get(name.as_str()) else { continue };
        let many = node.elements.get(key.element).is_some_and(|element| element.many);
        let taken = value.take();
        *value = match taken {
            Value::Array(mut items) if !many && items.len() == 1 => items.pop().unwrap_or_default(),
            Value::Array(items) => Value::Array(items),
            lone if many => Value::Array(vec![lone]),
            lone => lone,
        };
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| fit_single(key, item)),
            lone => fit_single(key, lone),
        }
    }
}

fn fit_single(key: &'static Key, value: &mut Value) {
    match key.content {
        Content::Resource => fit(value),
        Content::Complex(index) => {
            if let (Some(node), Some(object)) = (table().at(index), value.as_object_mut()) {
                fit_object(node, object);
            }
        }
        Content::Primitive(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_and_a_list_of_one_are_the_same() {
        let mut patient = json!({
            "resourceType": "Patient", "gender": ["female"],
            "name": { "family": "A", "given": "B" }, "telecom": [{ "value": ["1"] }]
        });
        fit(&mut patient);
        assert_eq!(
            patient,
            json!({
                "resourceType": "Patient", "gender": "female",
                "name": [{ "family": "A", "given": ["B"] }], "telecom": [{ "value": "1" }]
            })
        );
    }

    #[test]
    fn several_where_one_is_wanted_stay_for_the_check() {
        let mut patient = json!({ "resourceType": "Patient", "gender": ["female", "male"] });
        fit(&mut patient);
        assert_eq!(patient["gender"], json!(["female", "male"]));
    }
}
