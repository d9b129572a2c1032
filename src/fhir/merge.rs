//! Patients that turned out to be one: the duplicate says which one stays.
//! <https://profiles.ihe.net/ITI/PIXm/ITI-104.html>
//!
//! A duplicate is a Patient with `active` false and one `link` of type `replaced-by`. What refers to it is found by
//! search parameters, and is to refer to the one that stays. **Never** changes a Patient (their links tell who is
//! whose), nor what tells how things were: Provenance, AuditEvent, Linkage, references to a version.

use std::collections::HashMap;

use serde_json::Value;

use super::elements::table;
use super::index::ParameterKey;
use super::parameters::custom::Custom;
use super::parameters::{self, Parameter, SearchType};
use super::query::{Filter, Match, Parameter as Searched, Query};
use super::reference::{self, rewrite};

/// The type that is merged.
pub const KIND: &str = "Patient";
/// Types whose references stay.
const KEPT: [&str; 4] = [KIND, "Provenance", "AuditEvent", "Linkage"];

/// What a duplicate says of the one that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// `other.reference`
    Id(String),
    /// `other.identifier`
    Identifier { system: Option<String>, value: String },
    /// Several links, or one that names no Patient of this server.
    Unclear,
}

impl Named {
    /// What a Patient that says it was replaced says of its replacement; `None` for any other resource.
    pub fn of(resource: &Value) -> Option<Self> {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let gone = resource.get("active").and_then(Value::as_bool) == Some(false);
        if !gone || text(resource, "resourceType").as_deref() != Some(KIND) {
            return None;
        }
        let links = resource.get("link").and_then(Value::as_array)?;
        let mut replaced = links.iter().filter(|link| text(link, "type").as_deref() == Some("replaced-by"));
        let other = replaced.next()?.get("other");
        let (Some(other), None) = (other, replaced.next()) else { return Some(Self::Unclear) };
        if let Some(reference) = text(other, "reference") {
            return Some(match reference::parse(&reference) {
                reference::Literal::Relative { kind: KIND, id, .. } => Self::Id(id.to_owned()),
                _ => Self::Unclear,
            });
        }
        let identifier = other.get("identifier");
        let value = identifier.and_then(|identifier| text(identifier, "value"));
        let system = identifier.and_then(|identifier| text(identifier, "system"));
        Some(value.map_or(Self::Unclear, |value| Self::Identifier { system, value }))
    }

    /// The search for it.
    pub fn query(&self) -> Option<Query> {
        let (parameter, wanted) = match self {
            Self::Id(id) => (Searched::Id, Match::Id(id.clone())),
            Self::Identifier { system, value } => (
                Searched::Indexed(ParameterKey::new(KIND, "identifier")),
                Match::Token { system: Some(system.clone().unwrap_or_default()), code: Some(value.clone()) },
            ),
            Self::Unclear => return None,
        };
        let filter = Filter { parameter, any: vec![wanted], not: false };
        Some(Query { kind: KIND.to_owned(), filters: vec![filter], sort: Vec::new() })
    }

    /// Whether it names this Patient.
    pub fn names(&self, id: &str, patient: &Value) -> bool {
        match self {
            Self::Id(named) => named == id,
            Self::Identifier { system, value } => {
                let all = patient.get("identifier").and_then(Value::as_array);
                let text = |one: &Value, key: &str| one.get(key).and_then(Value::as_str).map(str::to_owned);
                all.into_iter()
                    .flatten()
                    .any(|one| text(one, "value").as_ref() == Some(value) && text(one, "system") == *system)
            }
            Self::Unclear => false,
        }
    }
}

/// The parameters by which references to Patients are found.
pub fn parameters(custom: &Custom) -> Vec<ParameterKey> {
    let refers = |parameter: &&Parameter| {
        let targets = &parameter.targets;
        parameter.search_type == SearchType::Reference && (targets.is_empty() || targets.contains(&KIND))
    };
    let kinds = table().kinds().iter().copied().filter(|kind| !KEPT.contains(kind));
    kinds
        .flat_map(|kind| {
            let own = custom.kind(kind).iter().map(|own| &own.parameter);
            parameters::of(kind).iter().chain(own).filter(refers).map(|parameter| parameter.key)
        })
        .collect()
}

/// Lets the references of a resource name who stays; tells whether it changed. `map`: `Patient/1` to `Patient/2`.
pub fn redirect(resource: &mut Value, map: &HashMap<String, String>) -> bool {
    let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default();
    !KEPT.contains(&kind) && rewrite::redirect(resource, map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_duplicate_names_who_stays() {
        let named = |active: Value, link: Value| {
            Named::of(&json!({ "resourceType": "Patient", "active": active, "link": link }))
        };
        let by = |other: Value| json!({ "other": other, "type": "replaced-by" });
        let one = by(json!({ "identifier": { "system": "urn:a", "value": "1" } }));
        let found = Named::Identifier { system: Some("urn:a".into()), value: "1".into() };
        assert_eq!(named(json!(false), json!([one])), Some(found.clone()));
        assert_eq!(
            named(json!(false), json!([by(json!({ "reference": "Patient/2" }))])),
            Some(Named::Id("2".into()))
        );
        assert_eq!(named(json!(true), json!([one])), None);
        assert_eq!(named(json!(false), json!([])), None);
        let replaces = json!({ "other": { "reference": "Patient/2" }, "type": "replaces" });
        assert_eq!(named(json!(false), json!([replaces])), None);
        for unclear in [
            json!([one, by(json!({ "reference": "Patient/2" }))]),
            json!([by(json!({ "reference": "RelatedPerson/2" }))]),
            json!([by(json!({ "reference": "http://elsewhere/fhir/Patient/2" }))]),
            json!([by(json!({ "display": "x" }))]),
        ] {
            assert_eq!(named(json!(false), unclear), Some(Named::Unclear));
        }
        let patient =
            |system: Value| json!({ "identifier": [{ "value": "9" }, { "system": system, "value": "1" }] });
        assert!(found.names("2", &patient(json!("urn:a"))));
        assert!(!found.names("2", &patient(json!("urn:b"))));
    }

    #[test]
    fn references_are_redirected_but_for_what_tells_how_it_was() {
        let map = HashMap::from([("Patient/1".to_owned(), "Patient/2".to_owned())]);
        let mut seen = json!({
            "resourceType": "Observation", "subject": { "reference": "Patient/1" },
            "focus": [{ "reference": "Patient/1/_history/3" }, { "reference": "Patient/11" }],
            "extension": [{ "url": "urn:x", "valueReference": { "reference": "Patient/1" } }, { "url": "urn:y", "valueUri": "Patient/1" }]
        });
        assert!(redirect(&mut seen, &map));
        assert_eq!(seen["subject"]["reference"], "Patient/2");
        assert_eq!(
            seen["focus"],
            json!([{ "reference": "Patient/1/_history/3" }, { "reference": "Patient/11" }])
        );
        assert_eq!(seen["extension"][0]["valueReference"]["reference"], "Patient/2");
        assert_eq!(seen["extension"][1]["valueUri"], "Patient/1");
        assert!(!redirect(&mut seen, &map), "there is nothing more");
        for kept in ["Provenance", "AuditEvent", "Linkage", "Patient"] {
            let mut kept = json!({ "resourceType": kept, "target": [{ "reference": "Patient/1" }], "link": [{ "other": { "reference": "Patient/1" } }] });
            assert!(!redirect(&mut kept, &map));
        }
    }

    #[test]
    fn patients_are_looked_for_where_r4_refers_to_them() {
        let keys = parameters(Custom::none());
        for (kind, code) in
            [("Observation", "subject"), ("Encounter", "patient"), ("Group", "member"), ("Person", "patient")]
        {
            assert!(keys.contains(&ParameterKey::new(kind, code)), "{kind}.{code}");
        }
        for (kind, code) in [("Patient", "link"), ("Provenance", "target"), ("Encounter", "location")] {
            assert!(!keys.contains(&ParameterKey::new(kind, code)), "{kind}.{code}");
        }
    }
}
