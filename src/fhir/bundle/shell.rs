//! A Bundle without its resources: each entry is checked for itself, so that a batch loses only the wrong ones.
//!
//! **Never** looks into a resource further than to its type, its id and its version.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::fhir::outcome::{Issue, IssueType, Outcome};
use crate::fhir::reference::{self, Literal};
use crate::fhir::structure;

/// Takes the entries out and checks what is left.
///
/// # Errors
/// 400: the Bundle itself is broken.
pub(super) fn taken(bundle: &mut Value) -> Result<Vec<Value>, Outcome> {
    let entries = match bundle.get_mut("entry") {
        // An empty list is none in R4; clients that build one mean just that.
        Some(Value::Array(entries)) => {
            let entries = std::mem::take(entries);
            bundle.as_object_mut().map(|bundle| bundle.remove("entry"));
            entries
        }
        _ => Vec::new(),
    };
    match Outcome::of(structure::check_shell(bundle)) {
        Some(outcome) => Err(outcome),
        None => Ok(entries),
    }
}

/// Checks one entry without its resource.
///
/// # Errors
/// 400, seen from the Bundle.
pub(super) fn check(entry: &Value, path: &str) -> Result<(), Outcome> {
    if entry.as_object().is_some_and(|entry| !entry.contains_key("request")) {
        // <https://hl7.org/fhir/R4/bundle-definitions.html#Bundle.entry.request>: bdl-3.
        let text = "an entry of a transaction or batch has a request (bdl-3)";
        let issue = Issue::error(IssueType::Required, "required-element", text);
        return Err(issue.at(format!("{path}.request")).into());
    }
    let alone = json!({ "resourceType": "Bundle", "type": "batch", "entry": [entry] });
    let Some(mut outcome) = Outcome::of(structure::check_shell(&alone)) else { return Ok(()) };
    for place in outcome.issues.iter_mut().flat_map(|issue| &mut issue.expression) {
        if let Some(rest) = place.strip_prefix("Bundle.entry[0]") {
            *place = format!("{path}{rest}");
        }
    }
    Err(outcome)
}

/// The names that entries have given themselves.
pub(super) struct Names {
    seen: HashSet<(String, String)>,
    is_history: bool,
}

impl Names {
    pub(super) fn of(bundle: &Value) -> Self {
        let is_history = bundle.get("type").and_then(Value::as_str) == Some("history");
        Self { seen: HashSet::new(), is_history }
    }

    /// bdl-7: a fullUrl is there once, or with other versions; and it says nothing else than the resource's id, but
    /// for what has another id at another server and is put here under ours.
    /// <https://hl7.org/fhir/R4/bundle-definitions.html#Bundle.entry.fullUrl>
    ///
    /// # Errors
    /// 400
    pub(super) fn add(
        &mut self,
        (entry, resource): (&Value, Option<&Value>),
        base: &str,
        path: &str,
    ) -> Result<(), Outcome> {
        let Some(url) = entry.get("fullUrl").and_then(Value::as_str) else { return Ok(()) };
        let text = |pointer: &str| resource.and_then(|it| it.pointer(pointer)).and_then(Value::as_str);
        let version = text("/meta/versionId").unwrap_or_default().to_owned();
        let at = |outcome: Outcome| Err(outcome.at(format!("{path}.fullUrl")));
        if !self.is_history && !self.seen.insert((url.to_owned(), version)) {
            let text = "another entry has the same fullUrl (bdl-7)";
            return at(Outcome::error(IssueType::Invariant, "duplicate-full-url", text));
        }
        let method = entry.pointer("/request/method").and_then(Value::as_str);
        let named = match (reference::parse(url), method) {
            (Literal::Relative { kind, id, .. }, Some("POST" | "PUT"))
            | (Literal::Absolute { kind, id, .. }, Some("POST")) => (kind, id),
            (Literal::Absolute { base: at, kind, id, .. }, Some("PUT"))
                if at == base.trim_end_matches('/') =>
            {
                (kind, id)
            }
            _ => return Ok(()),
        };
        match (text("/resourceType"), text("/id")) {
            (Some(kind), Some(id)) if named != (kind, id) => {
                let text = "the fullUrl names another resource than the one that is there";
                at(Outcome::error(IssueType::Value, "full-url-mismatch", text)
                    .hint("a fullUrl ends with the resource's own type and id, or is a urn:uuid"))
            }
            _ => Ok(()),
        }
    }
}
