//! What a client of IHE's PDQm is shown of a patient: identifiers of the domains that it names, no others.
//! <https://profiles.ihe.net/ITI/PDQm/ITI-78.html> (Populating Which Domains are Returned)
//!
//! `identifier=urn:oid:1.2.3|,urn:oid:4.5.6|` finds in R4 whoever has an identifier of one of these systems; PDQm has
//! the others left out of the answer too. Only for clients with
//! [`Profile::Pdqm`](crate::fhir::client::Profile::Pdqm): everybody else may write back what was read. **Never**
//! changes what is stored; what it shortens is marked as a part, and a write of that is refused.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::fhir::index::ParameterKey;
use crate::fhir::query::{Filter, Match, Parameter, Query};
use crate::fhir::summary;

/// The type that is trimmed.
pub const KIND: &str = "Patient";

/// The domains (systems) whose identifiers a client wants; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domains(BTreeSet<String>);

impl Domains {
    /// Those that searches of patients name: an `identifier` that has nothing but systems. `None`: identifiers of
    /// all domains are wanted.
    pub fn of(queries: &[Query]) -> Option<Self> {
        let filters = queries.iter().filter(|query| query.kind == KIND).flat_map(|query| &query.filters);
        let named: BTreeSet<String> = filters.filter_map(systems).flatten().collect();
        (!named.is_empty()).then_some(Self(named))
    }

    /// The systems.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The search for whoever has an identifier of a domain.
    pub fn holders(domain: &str) -> Query {
        let system = Match::Token { system: Some(domain.to_owned()), code: None };
        let filter = Filter { parameter: identifier(), any: vec![system], not: false };
        Query { kind: KIND.to_owned(), filters: vec![filter], ..Query::default() }
    }

    /// A patient as JSON text, without identifiers of other domains; marked where some were left out. What is
    /// stored is valid JSON; if it were not, it would go out as it is.
    pub fn apply(&self, text: String) -> String {
        match serde_json::from_str(&text) {
            Ok(mut patient) => {
                if self.trim(&mut patient) {
                    return patient.to_string();
                }
                text
            }
            Err(_) => text,
        }
    }

    /// Whether something was left out.
    fn trim(&self, patient: &mut Value) -> bool {
        let Some(patient) = patient.as_object_mut() else { return false };
        let Some(Value::Array(identifiers)) = patient.get_mut("identifier") else { return false };
        let all = identifiers.len();
        identifiers.retain(|one| {
            one.get("system").and_then(Value::as_str).is_some_and(|system| self.0.contains(system))
        });
        let (kept, cut) = (identifiers.len(), identifiers.len() < all);
        if kept == 0 {
            // R4 has no empty arrays.
            patient.shift_remove("identifier");
        }
        if cut {
            summary::mark(patient);
        }
        cut
    }
}

fn identifier() -> Parameter {
    Parameter::Indexed(ParameterKey::new(KIND, "identifier"))
}

/// The systems of a filter that names nothing else.
fn systems(filter: &Filter) -> Option<Vec<String>> {
    if filter.not || filter.parameter != identifier() {
        return None;
    }
    let system = |one: &Match| match one {
        Match::Token { system: Some(system), code: None } if !system.is_empty() => Some(system.clone()),
        _ => None,
    };
    filter.any.iter().map(system).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;
    use serde_json::json;

    use super::*;
    use crate::fhir::parameters::custom::Custom;
    use crate::fhir::search::{Context, Handling, parse};

    fn named(pairs: &[(&str, &str)]) -> Vec<String> {
        let zone = TimeZone::UTC;
        let context = Context {
            base: "http://x/fhir",
            zone: &zone,
            now: Timestamp::UNIX_EPOCH,
            handling: Handling::Lenient,
            custom: Custom::none(),
            tolerated: crate::fhir::structure::tolerated::NOTHING,
        };
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let query = parse(KIND, &pairs, &context).unwrap().query;
        Domains::of(&[query]).map_or(Vec::new(), |domains| domains.names().map(str::to_owned).collect())
    }

    #[test]
    fn only_identifiers_without_a_value_name_domains() {
        assert_eq!(named(&[("identifier", "urn:b|,urn:a|"), ("family", "x")]), ["urn:a", "urn:b"]);
        assert_eq!(named(&[("identifier", "urn:b|7"), ("identifier", "urn:a|")]), ["urn:a"]);
        for value in ["urn:a|7", "7", "urn:a|7,urn:b|", "|7"] {
            assert!(named(&[("identifier", value)]).is_empty(), "{value}");
        }
        assert!(named(&[("identifier:not", "urn:a|")]).is_empty());
        assert!(named(&[("language", "urn:a|")]).is_empty());
    }

    #[test]
    fn identifiers_of_other_domains_are_left_out_and_that_is_marked() {
        let domains = Domains(BTreeSet::from(["urn:a".to_owned()]));
        let own = json!({ "system": "urn:a", "value": "1" });
        let others = [json!({ "system": "urn:b", "value": "2" }), json!({ "value": "3" })];
        let mixed =
            json!({ "resourceType": "Patient", "identifier": [others[0], own, others[1]], "active": true });
        let cut: Value = serde_json::from_str(&domains.apply(mixed.to_string())).unwrap();
        assert_eq!((&cut["identifier"], &cut["active"]), (&json!([own]), &json!(true)));
        assert!(summary::is_part(&cut));
        let whole = json!({ "resourceType": "Patient", "identifier": [own] }).to_string();
        assert_eq!(domains.apply(whole.clone()), whole);
        let none: Value =
            serde_json::from_str(&domains.apply(json!({ "identifier": [others[0]] }).to_string())).unwrap();
        assert!(none.get("identifier").is_none() && summary::is_part(&none));
    }
}
