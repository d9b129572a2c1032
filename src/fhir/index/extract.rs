//! Runs a compiled path over a resource.

use serde_json::Value;

use crate::fhir::parameters::{Filter, Path, Step};
use crate::fhir::reference::{self, Literal};

/// An element that a path leads to, with its R4 type.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    pub kind: &'static str,
    pub value: &'a Value,
}

/// What all alternatives find.
pub fn paths<'a>(paths: &[Path], from: &'a Value) -> Vec<Found<'a>> {
    let found = |path: &Path| {
        let is_family = path.kind == "string" && path.steps.last().is_some_and(|step| step.key == "family");
        let kind = if is_family { super::text::FAMILY } else { path.kind };
        steps(&path.steps, from).into_iter().map(move |value| Found { kind, value })
    };
    paths.iter().flat_map(found).collect()
}

/// The elements at the end of `steps`; arrays are flattened.
pub fn steps<'a>(steps: &[Step], from: &'a Value) -> Vec<&'a Value> {
    let mut current = vec![from];
    for step in steps {
        let mut next = Vec::new();
        for value in current {
            match value.get(step.key) {
                Some(Value::Array(items)) => next.extend(items.iter().filter(|item| !item.is_null())),
                Some(item) => next.push(item),
                None => {}
            }
        }
        for filter in &step.filters {
            next = keep(filter, next);
        }
        current = next;
    }
    current
}

fn keep<'a>(filter: &Filter, values: Vec<&'a Value>) -> Vec<&'a Value> {
    match filter {
        Filter::Nth(index) => values.get(*index).copied().into_iter().collect(),
        Filter::Equal(key, wanted) => values
            .into_iter()
            .filter(|value| value.get(*key).and_then(Value::as_str) == Some(*wanted))
            .collect(),
        Filter::Names(kind) => values.into_iter().filter(|value| names(value, kind)).collect(),
    }
}

/// `resolve() is KIND`, told from the reference's text and its `type`.
fn names(value: &Value, kind: &str) -> bool {
    if value.get("type").and_then(Value::as_str).is_some_and(|named| named.rsplit('/').next() == Some(kind)) {
        return true;
    }
    match value.get("reference").and_then(Value::as_str).map(reference::parse) {
        Some(Literal::Relative { kind: named, .. } | Literal::Absolute { kind: named, .. }) => named == kind,
        _ => false,
    }
}
