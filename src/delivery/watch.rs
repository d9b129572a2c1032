//! What absent and followed look-ups wait for, as keys that a later change is checked against.
//!
//! Pure. **Invariant:** every change that could alter an answer has one of the look-up's keys; a change
//! that has one may still alter nothing. Keys are hashes: identifiers of people are not spread.

use super::identity::digest;
use crate::fhir::index::ParameterKey;
use crate::fhir::query::{Match, Parameter, Query};
use crate::store::changes::Indexed;

/// Longer values are not told apart by the index, so any change of the kind counts.
const VALUE_MAX: usize = 150;
/// A filter of more values waits for any change of the kind.
const VALUES_MAX: usize = 1_000;

/// A resource or document itself.
pub fn resource(kind: &str, id: &str) -> String {
    digest(&["id", kind, id])
}

/// Any change of a kind.
pub fn any(kind: &str) -> String {
    digest(&["any", kind])
}

/// A link of this resource to a remote object.
pub fn link(resource: &str) -> String {
    digest(&["link", resource])
}

/// A resource of any kind with this identifier.
pub fn identifier(system: &str, value: &str) -> String {
    digest(&["identifier", system, value])
}

/// A token, whatever its system.
pub fn token(parameter: ParameterKey, code: &str) -> String {
    digest(&["token", &parameter.0.to_string(), code])
}

fn reference(parameter: ParameterKey, id: &str) -> String {
    digest(&["reference", &parameter.0.to_string(), id])
}

fn uri(parameter: ParameterKey, uri: &str) -> String {
    digest(&["uri", &parameter.0.to_string(), uri])
}

/// What a search waits for: the values of its most telling filter, or any change of the kind.
pub fn search(query: &Query) -> Vec<String> {
    // Others decide too: any change of what a chain looks at.
    if query.is_nested() {
        return query.kinds().into_iter().map(any).collect();
    }
    let telling = query.filters.iter().filter(|filter| !filter.not).find_map(|filter| {
        let keys: Option<Vec<String>> =
            filter.any.iter().map(|one| match_key(&query.kind, &filter.parameter, one)).collect();
        keys.filter(|keys| !keys.is_empty() && keys.len() <= VALUES_MAX)
    });
    telling.unwrap_or_else(|| vec![any(&query.kind)])
}

fn match_key(kind: &str, parameter: &Parameter, one: &Match) -> Option<String> {
    let short = |text: &String| (text.len() <= VALUE_MAX).then_some(());
    match (parameter, one) {
        (Parameter::Id, Match::Id(id)) => Some(resource(kind, id)),
        (Parameter::Indexed(key), Match::Token { code: Some(code), .. }) => {
            short(code).map(|()| token(*key, code))
        }
        (Parameter::Indexed(key), Match::Reference { id, .. }) => short(id).map(|()| reference(*key, id)),
        (Parameter::Indexed(key), Match::Uri(text)) => short(text).map(|()| uri(*key, text)),
        _ => None,
    }
}

/// All keys of a change: whoever waits for one of them is evaluated again.
pub fn of_change(kind: &str, id: &str, indexed: &Indexed) -> Vec<String> {
    let identifiers = ParameterKey::new(kind, "identifier");
    let mut keys = vec![resource(kind, id), any(kind)];
    for (parameter, system, code) in &indexed.tokens {
        keys.push(token(ParameterKey(*parameter), code));
        if *parameter == identifiers.0 {
            keys.push(identifier(system, code));
        }
    }
    keys.extend(indexed.references.iter().map(|(parameter, id)| reference(ParameterKey(*parameter), id)));
    keys.extend(indexed.uris.iter().map(|(parameter, text)| uri(ParameterKey(*parameter), text)));
    keys.sort();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::query::Filter;

    fn by_card(code: Option<&str>, not: bool) -> Query {
        let parameter = Parameter::Indexed(ParameterKey::new("Patient", "identifier"));
        let any = vec![Match::Token { system: Some("urn:card".into()), code: code.map(Into::into) }];
        Query { kind: "Patient".into(), filters: vec![Filter { parameter, any, not }], sort: vec![] }
    }

    fn patient(code: &str) -> Vec<String> {
        let parameter = ParameterKey::new("Patient", "identifier").0;
        let tokens = vec![(parameter, "urn:card".to_owned(), code.to_owned())];
        of_change("Patient", "1", &Indexed { tokens, ..Indexed::default() })
    }

    #[test]
    fn a_search_waits_for_its_value_only() {
        let keys = search(&by_card(Some("7"), false));
        assert!(patient("7").contains(&keys[0]));
        assert!(!patient("8").contains(&keys[0]));
    }

    #[test]
    fn what_cannot_be_told_by_a_value_waits_for_the_kind() {
        let long = "x".repeat(VALUE_MAX + 1);
        for query in [by_card(None, false), by_card(Some("7"), true), by_card(Some(&long), false)] {
            assert_eq!(search(&query), [any("Patient")]);
        }
    }

    #[test]
    fn a_search_for_very_many_values_waits_for_the_kind() {
        let mut query = by_card(Some("7"), false);
        let one = query.filters[0].any[0].clone();
        query.filters[0].any = vec![one.clone(); VALUES_MAX];
        assert_eq!(search(&query).len(), VALUES_MAX);
        query.filters[0].any.push(one);
        assert_eq!(search(&query), [any("Patient")]);
    }

    #[test]
    fn a_logical_reference_waits_for_the_identifier_on_any_kind() {
        assert!(patient("7").contains(&identifier("urn:card", "7")));
    }
}
