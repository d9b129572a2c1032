//! From a checked resource to what the store writes.

use serde_json::Value;

use super::call::Call;
use crate::fhir::index;
use crate::fhir::outcome::{IssueType, Outcome};
use crate::fhir::reference;
use crate::fhir::resource::Resource;
use crate::store::write::{Origin, Precondition, Put};

/// What one client's writes have in common.
#[derive(Clone)]
pub struct Writer {
    pub origin: Origin,
    pub base: String,
    pub zone: jiff::tz::TimeZone,
}

impl Writer {
    pub fn of(call: &Call) -> Self {
        let origin = Origin::Client(call.principal.name.clone());
        Self { origin, base: call.base.clone(), zone: call.zone() }
    }

    /// A new version of a resource.
    pub fn put(&self, resource: &Resource, id: &str, precondition: Precondition) -> Put {
        let kind = resource.kind();
        Put {
            kind: kind.to_owned(),
            id: id.to_owned(),
            body: Some(resource.strip()),
            index: index::rows(kind, resource.body(), &self.zone),
            subject: subject(kind, id, resource.body(), &self.base),
            precondition,
            origin: self.origin.clone(),
        }
    }

    /// The end of a resource.
    pub fn delete(&self, kind: &str, id: &str, precondition: Precondition) -> Put {
        Put {
            kind: kind.to_owned(),
            id: id.to_owned(),
            body: None,
            index: Vec::new(),
            subject: format!("{kind}/{id}"),
            precondition,
            origin: self.origin.clone(),
        }
    }
}

/// Whose changes are mapped in order: the person or thing that the resource is about, else itself.
fn subject(kind: &str, id: &str, resource: &Value, base: &str) -> String {
    let named = ["subject", "patient"].iter().find_map(|element| {
        let text = resource.get(element)?.get("reference")?.as_str()?;
        let (kind, id, _) = reference::local(text, base)?;
        Some(format!("{kind}/{id}"))
    });
    named.unwrap_or_else(|| format!("{kind}/{id}"))
}

/// R4's `id`: up to 64 of A-Z, a-z, 0-9, `-` and `.`.
///
/// # Errors
/// 400 that says so.
pub fn check_id(id: &str) -> Result<(), Outcome> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if (1..=64).contains(&id.len()) && id.chars().all(fits) {
        return Ok(());
    }
    Err(Outcome::error(IssueType::Value, "bad-id", "the id in the path is not an R4 id")
        .hint("1 to 64 of A-Z, a-z, 0-9, - and ."))
}

/// `If-Match: W/"3"`, in a header or in a bundle's `ifMatch`.
///
/// # Errors
/// 400 where it names no version of ours.
pub fn precondition(if_match: Option<&str>) -> Result<Precondition, Outcome> {
    let Some(text) = if_match else { return Ok(Precondition::None) };
    match version_in(text) {
        Some(version) => Ok(Precondition::Version(version)),
        None => Err(Outcome::error(IssueType::Value, "bad-if-match", "If-Match names no version")
            .hint("send the ETag of a read: W/\"3\"")),
    }
}

/// The version in `W/"3"` or `"3"`; also `3`, which some clients send.
pub fn version_in(etag: &str) -> Option<i64> {
    let text = etag.trim();
    let text = text.strip_prefix("W/").unwrap_or(text);
    text.trim_matches('"').parse().ok().filter(|version| *version > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_subject_is_who_it_is_about() {
        let observation = json!({ "subject": { "reference": "https://us/fhir/Patient/7" } });
        assert_eq!(subject("Observation", "1", &observation, "https://us/fhir"), "Patient/7");
        let elsewhere = json!({ "subject": { "reference": "https://them/fhir/Patient/7" } });
        assert_eq!(subject("Observation", "1", &elsewhere, "https://us/fhir"), "Observation/1");
        assert_eq!(subject("Patient", "1", &json!({}), "https://us/fhir"), "Patient/1");
    }

    #[test]
    fn etags_are_read() {
        assert_eq!(version_in("W/\"12\""), Some(12));
        assert_eq!(version_in("\"1\""), Some(1));
        for text in ["", "*", "W/\"a\"", "W/\"0\"", "W/\"-1\""] {
            assert_eq!(version_in(text), None, "{text}");
        }
        assert!(check_id("a-b.C9").is_ok() && check_id("").is_err() && check_id("a_b").is_err());
    }
}
