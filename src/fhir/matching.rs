//! Does a resource match a query? What the store does in SQL, for one resource in memory.
//!
//! For conditional references to what the same transaction writes, and as a second opinion in tests of the
//! store. **Never** looks at the resource itself, only at its rows, so that both agree on what is indexed; nor
//! at other resources: chains and `_has` hold for nothing here ([`Query::is_nested`] tells them).

use crate::fhir::index::text::bounded;
use crate::fhir::index::{IndexRow, IndexValue, Part};
use crate::fhir::query::{Filter, Match, Parameter, PartMatch, Prefix, Query, SortBy};

/// One resource, as the index sees it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub kind: &'a str,
    pub id: &'a str,
    /// Milliseconds since 1970 UTC.
    pub updated_ms: i64,
    pub rows: &'a [IndexRow],
}

/// Whether all filters hold; the order is not looked at.
pub fn matches(query: &Query, candidate: &Candidate<'_>) -> bool {
    query.kind == candidate.kind && query.filters.iter().all(|filter| holds(filter, candidate))
}

fn holds(filter: &Filter, candidate: &Candidate<'_>) -> bool {
    filter.any.iter().any(|wanted| one(&filter.parameter, wanted, candidate)) != filter.not
}

fn one(parameter: &Parameter, wanted: &Match, candidate: &Candidate<'_>) -> bool {
    match (parameter, wanted) {
        (Parameter::Id, Match::Id(id)) => candidate.id == id,
        (Parameter::LastUpdated, Match::Date { prefix, low, high }) => {
            let at = candidate.updated_ms;
            date(*prefix, (*low, *high), (at, at.saturating_add(1)))
        }
        (Parameter::Indexed(_) | Parameter::Any(_), _) => {
            let keys = parameter.keys();
            let rows = candidate.rows.iter().filter(|row| keys.contains(&row.parameter));
            let mut values = rows.map(|row| &row.value);
            match wanted {
                Match::Missing { missing, by } => values.any(|value| in_index(value, *by)) != *missing,
                _ => values.any(|value| fits(wanted, value)),
            }
        }
        _ => false,
    }
}

fn in_index(value: &IndexValue, by: SortBy) -> bool {
    matches!(
        (value, by),
        (IndexValue::Token { .. }, SortBy::Token)
            | (IndexValue::Text { .. }, SortBy::Text)
            | (IndexValue::Date { .. }, SortBy::Date)
            | (IndexValue::Number { .. }, SortBy::Number)
            | (IndexValue::Quantity { .. }, SortBy::Quantity)
            | (IndexValue::Reference { .. }, SortBy::Reference)
            | (IndexValue::Uri(_), SortBy::Uri)
    )
}

fn asked(wanted: Option<&String>, value: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == value)
}

fn fits(wanted: &Match, value: &IndexValue) -> bool {
    match (wanted, value) {
        (Match::Token { system, code }, IndexValue::Token { system: s, code: c, .. }) => {
            asked(system.as_ref(), s) && asked(code.as_ref(), c)
        }
        (Match::TokenText(wanted), IndexValue::Token { text, .. }) => {
            !text.is_empty() && text.starts_with(wanted)
        }
        (Match::TextStarts(wanted), IndexValue::Text { normal, .. }) => normal.starts_with(wanted),
        (Match::TextContains(wanted), IndexValue::Text { normal, .. }) => normal.contains(wanted),
        (Match::TextExact(wanted), IndexValue::Text { exact, .. }) => *exact == bounded(wanted),
        (Match::Date { prefix, low, high }, IndexValue::Date { low: l, high: h }) => {
            date(*prefix, (*low, *high), (*l, *h))
        }
        (Match::Number { prefix, low, high }, IndexValue::Number { low: l, high: h }) => {
            number(*prefix, (*low, *high), (*l, *h))
        }
        (
            Match::Quantity { prefix, low, high, system, code },
            IndexValue::Quantity { low: l, high: h, system: s, code: c },
        ) => asked(system.as_ref(), s) && asked(code.as_ref(), c) && number(*prefix, (*low, *high), (*l, *h)),
        (Match::Reference { kind, id }, IndexValue::Reference { kind: k, id: i, .. }) => {
            (kind.is_empty() || kind == k) && id == i
        }
        (Match::ReferenceUrl(wanted), IndexValue::Reference { url, .. }) => url == wanted,
        (Match::ReferenceIdentifier(wanted), IndexValue::Reference { identifier, .. }) => {
            identifier == wanted
        }
        (Match::Uri(wanted), IndexValue::Uri(uri)) => uri == wanted,
        (Match::UriBelow(above), IndexValue::Uri(uri)) => {
            uri.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        (Match::Composite { first, second }, IndexValue::Composite { first: f, second: s }) => {
            part(first, f) && part(second, s)
        }
        _ => false,
    }
}

fn part(wanted: &PartMatch, part: &Part) -> bool {
    asked(wanted.system.as_ref(), &part.system)
        && asked(wanted.code.as_ref(), &part.code)
        && wanted.code_starts.as_ref().is_none_or(|start| part.code.starts_with(start))
        && wanted.range.is_none_or(|(prefix, low, high)| number(prefix, (low, high), (part.low, part.high)))
}

/// The table at [`Prefix`], for `[low, high)`.
fn date(prefix: Prefix, wanted: (i64, i64), row: (i64, i64)) -> bool {
    let within = row.0 >= wanted.0 && row.1 <= wanted.1;
    match prefix {
        Prefix::Eq => within,
        Prefix::Ne => !within,
        Prefix::Gt => row.1 > wanted.1,
        Prefix::Lt => row.0 < wanted.0,
        Prefix::Ge => row.1 > wanted.1 || row.0 >= wanted.0,
        Prefix::Le => row.0 < wanted.0 || row.1 <= wanted.1,
        Prefix::Sa => row.0 >= wanted.1,
        Prefix::Eb => row.1 <= wanted.0,
        Prefix::Ap => row.0 < wanted.1 && row.1 > wanted.0,
    }
}

/// The table at [`Prefix`], for `[low, high]`.
fn number(prefix: Prefix, wanted: (f64, f64), row: (f64, f64)) -> bool {
    let within = row.0 >= wanted.0 && row.1 <= wanted.1;
    match prefix {
        Prefix::Eq => within,
        Prefix::Ne => !within,
        Prefix::Gt => row.1 > wanted.1,
        Prefix::Lt => row.0 < wanted.0,
        Prefix::Ge => row.1 >= wanted.0,
        Prefix::Le => row.0 <= wanted.1,
        Prefix::Sa => row.0 > wanted.1,
        Prefix::Eb => row.1 < wanted.0,
        Prefix::Ap => row.0 <= wanted.1 && row.1 >= wanted.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::index::rows;
    use crate::fhir::parameters::custom::Custom;
    use crate::fhir::search::{Context, Handling, parse};
    use crate::fhir::structure::tolerated::NOTHING;
    use jiff::tz::TimeZone;
    use serde_json::json;

    fn found(query: &str) -> bool {
        let zone = TimeZone::UTC;
        let resource = json!({
            "resourceType": "Observation", "status": "final",
            "code": {"coding": [{"system": "l", "code": "bp", "display": "Blood pressure"}]},
            "subject": {"reference": "Patient/1"},
            "effectiveDateTime": "2024-02-29T10:00:00Z",
            "valueQuantity": {"value": 5.4, "unit": "mg", "system": "u", "code": "mg"}
        });
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
            .map(|(n, v)| (n.into_owned(), v.into_owned()))
            .collect();
        let now = "2024-03-01T00:00:00Z".parse().unwrap();
        let context = Context {
            base: "http://us/fhir",
            zone: &zone,
            now,
            handling: Handling::Strict,
            custom: Custom::none(),
            tolerated: NOTHING,
        };
        let search = parse("Observation", &pairs, &context).unwrap();
        let rows = rows("Observation", &resource, &zone);
        matches(&search.query, &Candidate { kind: "Observation", id: "o1", updated_ms: 1_000, rows: &rows })
    }

    #[test]
    fn what_is_searched_is_found() {
        for query in [
            "code=bp",
            "code=l|bp",
            "code=l|",
            "code:text=blood",
            "code:not=x",
            "status=final",
            "_id=o1,o2",
            "subject=Patient/1",
            "subject=1",
            "patient=1",
            "subject:Patient=1",
            "patient:missing=false",
            "date=2024-02-29",
            "date=2024",
            "date=ge2024-02-29",
            "date=le2024-02-29T10:00:00Z",
            "date=sa2024-02-28",
            "date=lt2024-03",
            "date=ap2024-02-29",
            "value-quantity=5.4",
            "value-quantity=5.40|u|mg",
            "value-quantity=5.4||mg",
            "value-quantity=gt5",
            "value-quantity=ap5",
            "code-value-quantity=l|bp$gt5||mg",
            "encounter:missing=true",
            "code=bp&status=final",
            "code=x,bp",
            "_lastUpdated=lt2024",
        ] {
            assert!(found(query), "{query}");
        }
    }

    #[test]
    fn what_is_not_searched_is_not_found() {
        for query in [
            "code=x",
            "code=m|bp",
            "code=|bp",
            "code:not=bp",
            "_id=o2",
            "subject=Patient/2",
            "subject:Group=1",
            "date=2024-02-28",
            "date=gt2024-02-29T10:00:00Z",
            "date=sa2024-02-29",
            "value-quantity=5.0",
            "value-quantity=lt5.4",
            "value-quantity=5.4||g",
            "code-value-quantity=x$gt5",
            "code-value-quantity=bp$gt6",
            "encounter:missing=false",
            "code=bp&status=amended",
            "_lastUpdated=gt2024",
        ] {
            assert!(!found(query), "{query}");
        }
    }
}
