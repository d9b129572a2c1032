//! References, canonicals and uris as rows. <https://hl7.org/fhir/R4/search.html#reference>

use serde_json::Value;

use super::IndexValue;
use super::extract::Found;
use crate::fhir::reference::{self, Literal};

pub fn values(found: Found<'_>) -> Vec<IndexValue> {
    let value = found.value;
    match found.kind {
        "Reference" => {
            let literal = value.get("reference").and_then(Value::as_str).and_then(literal);
            literal.into_iter().chain(logical(value)).collect()
        }
        // Bundle.composition and Bundle.message point at the resource itself.
        "Resource" => {
            let text = |key: &str| value.get(key).and_then(Value::as_str);
            match (text("resourceType"), text("id")) {
                (Some(kind), Some(id)) => vec![local(kind, id)],
                _ => Vec::new(),
            }
        }
        _ => value.as_str().map(canonical).unwrap_or_default(),
    }
}

fn local(kind: &str, id: &str) -> IndexValue {
    IndexValue::Reference {
        kind: kind.to_owned(),
        id: id.to_owned(),
        url: String::new(),
        identifier: String::new(),
    }
}

fn remote(url: &str) -> IndexValue {
    IndexValue::Reference {
        kind: String::new(),
        id: String::new(),
        url: url.to_owned(),
        identifier: String::new(),
    }
}

fn literal(text: &str) -> Option<IndexValue> {
    match reference::parse(text) {
        Literal::Relative { kind, id, .. } => Some(local(kind, id)),
        Literal::Absolute { unversioned, .. } => Some(remote(unversioned)),
        Literal::Urn(urn) => Some(remote(urn)),
        Literal::Other(url) if url.contains(':') => Some(remote(url)),
        // It is not missing; no other resource is meant.
        Literal::Contained(_) => Some(remote(text)),
        Literal::Conditional { .. } | Literal::Other(_) => None,
    }
}

fn canonical(text: &str) -> Vec<IndexValue> {
    if text.starts_with('#') {
        return vec![remote(text)];
    }
    // Some parameters of type reference find plain uris; a relative one is local.
    match reference::parse(text) {
        Literal::Relative { kind, id, .. } => vec![local(kind, id)],
        _ => match reference::split_canonical(text) {
            (url, Some(_)) => vec![remote(url), remote(text)],
            (url, None) => vec![remote(url)],
        },
    }
}

fn logical(value: &Value) -> Option<IndexValue> {
    let identifier = value.get("identifier")?;
    let text = |key: &str| identifier.get(key).and_then(Value::as_str).unwrap_or_default();
    let (system, value) = (text("system"), text("value"));
    if value.is_empty() {
        return None;
    }
    let identifier = format!("{system}|{value}");
    Some(IndexValue::Reference { kind: String::new(), id: String::new(), url: String::new(), identifier })
}
