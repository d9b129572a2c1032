//! OpenSRP 2: the Compositions that configure its app.

use serde_json::{Value, json};

use super::Repair;

/// A section of an app's configuration holds only what it is about, where R4 wants a text, entries or sections too
/// (`cmp-1`, <https://hl7.org/fhir/R4/composition.html#invs>): the resource that it is about becomes its entry.
/// The app reads `focus`, which stays.
pub fn repair(resource: &mut Value, repairs: &mut Vec<Repair>) {
    if resource.get("resourceType").and_then(Value::as_str) == Some("Composition") {
        sections(resource, "Composition", repairs);
    }
}

/// How deep it goes is bounded by the reader of JSON.
fn sections(holder: &mut Value, path: &str, repairs: &mut Vec<Repair>) {
    let list = holder.get_mut("section").and_then(Value::as_array_mut);
    for (index, section) in list.into_iter().flatten().enumerate() {
        let place = format!("{path}.section[{index}]");
        let is_bare = ["text", "entry", "section"].iter().all(|key| section.get(*key).is_none());
        let focus = section.get("focus").filter(|focus| focus.get("reference").is_some()).cloned();
        if let (true, Some(focus), Some(object)) = (is_bare, focus, section.as_object_mut()) {
            object.insert("entry".to_owned(), json!([focus]));
            let text = "a section without content has the resource that it is about as its entry";
            repairs.push(Repair::new("section-without-content", text, &*place));
        }
        sections(section, &place, repairs);
    }
}
