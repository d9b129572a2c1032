//! Which filter of a search leads: it gives the candidates, the others only look at them.
//!
//! `r.rid in (select …)` gathers everything that a filter finds. One such list is short where its filter tells
//! much; a second one, of a code that a million observations share, is not, and SQLite would gather it just the
//! same. So the most telling filter leads, by what is known of it without statistics, and the others are asked of
//! each candidate (`exists`). PostgreSQL sees the same joins in both.

use crate::fhir::index::ParameterKey;
use crate::fhir::query::{Filter, Match, Parameter, Prefix, Query};

/// Token parameters whose values belong to one person or thing, or to few.
const OWN: [&str; 4] = ["identifier", "phone", "telecom", "email"];
/// A beginning of a text that is shorter tells little.
const TELLING_TEXT: usize = 3;

/// What a filter does in its statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::search) enum Role {
    /// Gives the candidates.
    Leads,
    /// Is asked of each candidate.
    Follows,
}

/// The position of the filter that leads. `None`: resources are found by type and time.
pub(in crate::store::search) fn leading(query: &Query) -> Option<usize> {
    let by_id = |filter: &Filter| {
        filter.parameter == Parameter::Id
            && !filter.not
            && filter.any.iter().all(|value| matches!(value, Match::Id(_)))
    };
    if let Some(at) = query.filters.iter().position(by_id) {
        return Some(at);
    }
    let ranked = query.filters.iter().enumerate();
    ranked.filter_map(|(at, filter)| Some((rank(&query.kind, filter)?, at))).min().map(|(_, at)| at)
}

/// Lower tells more; `None` where it cannot lead.
fn rank(kind: &str, filter: &Filter) -> Option<u8> {
    if filter.not || filter.parameter == Parameter::LastUpdated {
        return None;
    }
    let own = |key: &ParameterKey| OWN.iter().any(|code| *key == ParameterKey::new(kind, code));
    let keys = filter.parameter.keys();
    let of_value = |value: &Match| match value {
        Match::Token { code: Some(_), .. } if keys.iter().any(own) => Some(0),
        Match::Reference { .. } | Match::ReferenceUrl(_) | Match::ReferenceIdentifier(_) => Some(1),
        Match::Chained { .. } => Some(2),
        Match::TextExact(_) => Some(2),
        Match::TextStarts(text) if text.chars().count() >= TELLING_TEXT => Some(2),
        Match::Date { prefix: Prefix::Eq, .. } => Some(3),
        Match::Uri(_) | Match::Referring { .. } => Some(4),
        Match::TextStarts(_) | Match::Quantity { .. } | Match::Number { .. } => Some(6),
        Match::Date { .. } => Some(7),
        Match::TextContains(_) => Some(8),
        Match::Id(_) | Match::Missing { .. } => None,
        // Tokens, composites, and whatever else a code may be shared by.
        _ => Some(5),
    };
    // The widest of the alternatives decides.
    filter.any.iter().map(of_value).collect::<Option<Vec<u8>>>()?.into_iter().max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(code: &str, value: Match) -> Filter {
        Filter {
            parameter: Parameter::Indexed(ParameterKey::new("Observation", code)),
            any: vec![value],
            not: false,
        }
    }

    fn token(code: &str) -> Match {
        Match::Token { system: None, code: Some(code.to_owned()) }
    }

    fn leads(filters: Vec<Filter>) -> Option<usize> {
        leading(&Query { kind: "Observation".to_owned(), filters, sort: Vec::new() })
    }

    #[test]
    fn what_tells_most_leads() {
        let patient = || Match::Reference { kind: "Patient".to_owned(), id: "1".to_owned() };
        let since = || Match::Date { prefix: Prefix::Ge, low: 0, high: 1 };
        let all = vec![filter("date", since()), filter("code", token("x")), filter("subject", patient())];
        assert_eq!(leads(all), Some(2));
        assert_eq!(leads(vec![filter("subject", patient()), filter("identifier", token("7"))]), Some(1));
        assert_eq!(leads(vec![filter("date", since()), filter("code", token("x"))]), Some(1));
        assert_eq!(leads(vec![filter("date", since())]), Some(0));
        let id = Filter { parameter: Parameter::Id, any: vec![Match::Id("1".to_owned())], not: false };
        assert_eq!(leads(vec![filter("subject", patient()), id]), Some(1));
        let not = Filter { not: true, ..filter("code", token("x")) };
        assert_eq!(leads(vec![not]), None);
    }
}
