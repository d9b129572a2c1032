//! The rules of contained resources (`dom-3` to `dom-5`, <https://hl7.org/fhir/R4/domainresource.html#invs>), whose ids
//! are unique in their resource (<https://hl7.org/fhir/R4/references.html#contained>).

use std::collections::HashSet;

use serde_json::{Map, Value};

/// Faults of `contained`, as (index, text, code).
pub fn faults(resource: &Map<String, Value>) -> Vec<(usize, &'static str, &'static str)> {
    let Some(contained) = resource.get("contained").and_then(Value::as_array) else { return Vec::new() };
    let mut named = HashSet::new();
    for value in resource.values() {
        local_references(value, &mut named);
    }
    let (mut out, mut ids) = (Vec::new(), HashSet::new());
    for (index, inner) in contained.iter().enumerate() {
        let id = inner.get("id").and_then(Value::as_str);
        if id.is_some_and(|id| !ids.insert(id)) {
            out.push((index, "another contained resource has this id", "contained-id"));
        }
        let mut points_out = HashSet::new();
        local_references(inner, &mut points_out);
        if !id.is_some_and(|id| named.contains(id)) && !points_out.contains("") {
            out.push((
                index,
                "a contained resource is referred to (by #id), or refers to its container (#)",
                "dom-3",
            ));
        }
        if inner.pointer("/meta/versionId").or_else(|| inner.pointer("/meta/lastUpdated")).is_some() {
            out.push((index, "a contained resource has no versionId and no lastUpdated", "dom-4"));
        }
        if inner.pointer("/meta/security").is_some() {
            out.push((index, "a contained resource has no security label", "dom-5"));
        }
    }
    out
}

/// The ids in texts that begin with `#`: references, canonicals and uris to what is contained.
fn local_references<'a>(value: &'a Value, found: &mut HashSet<&'a str>) {
    match value {
        Value::String(text) => {
            if let Some(id) = text.strip_prefix('#') {
                found.insert(id);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| local_references(item, found)),
        Value::Object(object) => object.values().for_each(|item| local_references(item, found)),
        _ => {}
    }
}
