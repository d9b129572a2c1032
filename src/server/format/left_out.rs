//! A bundle of the server's own that holds what XML cannot: that resource is left out, with an outcome in its
//! place, and the rest is given.
//!
//! **Never** for a Bundle that is stored: it would not be what its author wrote.

use serde_json::{Map, Value, json};

use super::Layout;
use crate::fhir::outcome::{Outcome, Severity};
use crate::fhir::xml;

/// Leaves out the resources that have no XML; tells whether there were any.
pub fn leave_out(bundle: &mut Value) -> bool {
    let is_search = bundle.get("type").is_some_and(|kind| kind == "searchset");
    let entries = bundle.get_mut("entry").and_then(Value::as_array_mut);
    let mut any = false;
    for entry in entries.into_iter().flatten().filter_map(Value::as_object_mut) {
        let Some(resource) = entry.get("resource") else { continue };
        let Err(outcome) = xml::write(resource, Layout::Compact) else { continue };
        let told = told(resource, outcome);
        any = true;
        if is_search {
            // It is stored nowhere, and has a full url as every entry of a searchset.
            let url = format!("urn:uuid:{}", uuid::Uuid::new_v4());
            *entry = Map::from_iter([
                ("fullUrl".to_owned(), url.into()),
                ("resource".to_owned(), told),
                ("search".to_owned(), json!({ "mode": "outcome" })),
            ]);
            continue;
        }
        entry.remove("resource");
        // Histories and the answers to transactions and batches say it beside the status.
        let response = entry.entry("response").or_insert_with(|| json!({ "status": "200" }));
        if let Some(response) = response.as_object_mut() {
            response.insert("outcome".to_owned(), told);
        }
    }
    any
}

/// A warning that names the resource.
fn told(resource: &Value, mut outcome: Outcome) -> Value {
    let text = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default();
    for issue in &mut outcome.issues {
        issue.severity = Severity::Warning;
        issue.text = format!("{}/{} is left out: {}", text("resourceType"), text("id"), issue.text);
    }
    outcome.to_value()
}
