//! What can be said of a resource in a mapping file before there is data: unknown elements, missing required
//! ones, lists, and the constants' formats and codes.
//!
//! Pure. The whole check ([`crate::fhir::structure`]) is made of each resource when it is built.

use serde_json::{Map, Value};

use crate::fhir::elements::{Content, Key, Node, table};
use crate::fhir::outcome::did_you_mean;
use crate::fhir::structure::primitive;
use crate::mapping::program::outline::VALUE_KEY;
use crate::mapping::target::Complaint;

/// Checks the literal of `field`; computed values are `{ "$value": null }`.
pub(super) fn check(field: &str, resource: &Value) -> Vec<Complaint> {
    let mut walk = Walk::default();
    walk.resource(field, resource);
    walk.complaints
}

#[derive(Default)]
struct Walk {
    complaints: Vec<Complaint>,
}

fn is_computed(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.len() == 1 && object.contains_key(VALUE_KEY))
}

impl Walk {
    fn tell(&mut self, field: impl Into<String>, message: impl Into<String>, hint: Option<String>) {
        self.complaints.push(Complaint { field: field.into(), message: message.into(), hint });
    }

    fn resource(&mut self, field: &str, value: &Value) {
        let Some(object) = value.as_object() else {
            return self.tell(field, "a resource is an object", None);
        };
        let kind = object.get("resourceType").and_then(Value::as_str);
        let Some(kind) = kind else {
            let hint = Some("resourceType: Patient".to_owned());
            return self.tell(field, "a resource needs a `resourceType` written in the file", hint);
        };
        match table().kind(kind).and_then(|kind| table().node(kind)) {
            Some(node) => self.object(field, node, object),
            None => {
                let close = did_you_mean(kind, table().kinds().iter().copied());
                let hint = close.map(|close| format!("did you mean {close}?"));
                self.tell(format!("{field}.resourceType"), format!("R4 has no resource type `{kind}`"), hint);
            }
        }
    }

    fn object(&mut self, field: &str, node: &'static Node, object: &Map<String, Value>) {
        for (name, value) in object {
            let base = name.strip_prefix('_').unwrap_or(name);
            let place = format!("{field}.{name}");
            match node.keys.get(base) {
                Some(_) if base != name => {}
                Some(key) => self.member(&place, node, key, value),
                None if name == "resourceType" => {}
                None => {
                    let close = did_you_mean(base, node.keys.keys().copied());
                    let hint = close.map(|close| format!("did you mean {close}?"));
                    self.tell(place, format!("{} has no such element in R4", node.name), hint);
                }
            }
        }
        self.counts(field, node, object);
    }

    fn counts(&mut self, field: &str, node: &'static Node, object: &Map<String, Value>) {
        for (index, element) in node.elements.iter().enumerate() {
            let present = object
                .keys()
                .filter(|name| node.keys.get(name.as_str()).is_some_and(|key| key.element == index))
                .count();
            let sibling = object.contains_key(&format!("_{}", element.name));
            if element.required && present == 0 && !sibling {
                let suffix = if element.choice { "[x]" } else { "" };
                let message = format!("{} needs {}{suffix}", node.name, element.name);
                self.tell(field, message, None);
            }
        }
    }

    fn member(&mut self, place: &str, node: &'static Node, key: &'static Key, value: &Value) {
        let many = node.elements.get(key.element).is_some_and(|element| element.many);
        match value {
            computed if is_computed(computed) => {}
            Value::Array(items) if many => {
                for (index, item) in items.iter().enumerate() {
                    self.single(&format!("{place}[{index}]"), key, item);
                }
            }
            Value::Array(_) => self.tell(place, "this element does not repeat: no list here", None),
            _ if many => {
                self.tell(
                    place,
                    "this element repeats: a list, even for one",
                    Some("write [ … ] around it, or `- ` before it".to_owned()),
                );
            }
            one => self.single(place, key, one),
        }
    }

    fn single(&mut self, place: &str, key: &'static Key, value: &Value) {
        if is_computed(value) {
            return;
        }
        match key.content {
            Content::Resource => self.resource(place, value),
            Content::Complex(index) => match (value.as_object(), table().at(index)) {
                (Some(object), Some(node)) => self.object(place, node, object),
                _ => self.tell(place, format!("{} is an object", key.kind), None),
            },
            Content::Primitive(kind) => match primitive::fault(kind, value) {
                Some(fault) => self.tell(place, fault, None),
                None => self.code(place, key, value),
            },
        }
    }

    fn code(&mut self, place: &str, key: &'static Key, value: &Value) {
        let (Some(codes), Some(code)) = (key.codes, value.as_str()) else { return };
        if codes.contains(code) {
            return;
        }
        let mut known: Vec<&str> = codes.iter().copied().collect();
        known.sort_unstable();
        let hint = match did_you_mean(code, known.iter().copied()) {
            Some(close) => format!("did you mean {close}?"),
            None => format!("one of {}", known.join(", ")),
        };
        self.tell(place, format!("`{code}` is not in the required value set"), Some(hint));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(resource: Value) -> Vec<String> {
        check("resource", &resource)
            .into_iter()
            .map(|one| format!("{}: {}", one.field, one.message))
            .collect()
    }

    #[test]
    fn a_resource_that_only_lacks_its_values_is_fine() {
        let computed = json!({ "$value": null });
        let resource = json!({
            "resourceType": "Observation", "status": "final", "code": { "coding": [{ "code": computed }] },
            "subject": computed, "valueQuantity": { "value": computed, "unit": "kg" }, "category": [computed]
        });
        assert!(told(resource).is_empty());
    }

    #[test]
    fn mistakes_have_their_place() {
        let resource = json!({
            "resourceType": "Patient", "nmae": [{}], "gender": "f", "name": { "family": "A" },
            "birthDate": "1.2.2020", "contact": [{ "name": { "famly": "B" } }]
        });
        assert_eq!(
            told(resource),
            [
                "resource.nmae: Patient has no such element in R4",
                "resource.gender: `f` is not in the required value set",
                "resource.name: this element repeats: a list, even for one",
                "resource.birthDate: a date is YYYY, YYYY-MM or YYYY-MM-DD",
                "resource.contact[0].name.famly: HumanName has no such element in R4",
            ]
        );
        assert_eq!(
            told(json!({"resourceType": "Observation", "status": "final"})),
            ["resource: Observation needs code"]
        );
        assert_eq!(
            told(json!({"a": 1})),
            ["resource: a resource needs a `resourceType` written in the file"]
        );
        assert_eq!(
            told(json!({"resourceType": "Pateint"})),
            ["resource.resourceType: R4 has no resource type `Pateint`"]
        );
    }
}
