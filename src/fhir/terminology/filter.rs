//! One filter of `ValueSet.compose.include`: which concepts of a stored code system it takes.
//! <https://hl7.org/fhir/R4/valueset-filter-operator.html>

use std::collections::HashSet;

use regex::RegexBuilder;
use serde_json::Value;

use super::{Concept, System, not_supported, text};
use crate::fhir::outcome::Outcome;

/// A pattern's compiled size, at most, in bytes.
const PATTERN_MAX: usize = 1 << 20;

/// A filter, read: what it takes.
pub(super) struct Taken<'a>(Box<dyn Fn(&Concept) -> bool + 'a>);

impl Taken<'_> {
    pub fn takes(&self, concept: &Concept) -> bool {
        (self.0)(concept)
    }
}

/// Reads one filter.
///
/// # Errors
/// 422 for an operator that is not built, and for a pattern that is none.
pub(super) fn read<'a>(system: &'a System, filter: &'a Value) -> Result<Taken<'a>, Outcome> {
    let [property, operator, value] =
        ["property", "op", "value"].map(|name| text(filter, name).unwrap_or_default());
    let below = |with_itself: bool| {
        let mut codes: HashSet<&str> = system.below(value).iter().map(|one| one.code.as_str()).collect();
        codes.extend(system.find(value).filter(|_| with_itself).map(|one| one.code.as_str()));
        codes
    };
    let listed = || value.split(',').map(str::trim).collect::<HashSet<&str>>();
    Ok(Taken(match operator {
        "=" => Box::new(move |one| values(one, property).iter().any(|own| own == value)),
        "is-a" => {
            let codes = below(true);
            Box::new(move |one| codes.contains(one.code.as_str()))
        }
        "descendent-of" => {
            let codes = below(false);
            Box::new(move |one| codes.contains(one.code.as_str()))
        }
        "is-not-a" => {
            let codes = below(true);
            Box::new(move |one| !codes.contains(one.code.as_str()))
        }
        "in" => {
            let list = listed();
            Box::new(move |one| values(one, property).iter().any(|own| list.contains(&own.as_str())))
        }
        "not-in" => {
            let list = listed();
            Box::new(move |one| !values(one, property).iter().any(|own| list.contains(&own.as_str())))
        }
        "exists" => {
            let wanted = value != "false";
            Box::new(move |one| values(one, property).is_empty() != wanted)
        }
        "regex" => {
            // The whole value must match.
            let pattern = RegexBuilder::new(&format!("^(?:{value})$")).size_limit(PATTERN_MAX).build();
            let pattern = pattern.map_err(|_| {
                not_supported(
                    "bad-pattern",
                    "a filter of the value set has a pattern that is none".to_owned(),
                )
            })?;
            Box::new(move |one| values(one, property).iter().any(|own| pattern.is_match(own)))
        }
        other => {
            let why = format!("filters with `{}` are not supported", short(other));
            return Err(not_supported("filter-not-supported", why));
        }
    }))
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(32).collect()
}

/// The values of a property; a concept's own members are properties too.
fn values(concept: &Concept, property: &str) -> Vec<String> {
    match property {
        "code" | "concept" => vec![concept.code.clone()],
        "display" => concept.display.clone().into_iter().collect(),
        "parent" => concept.parents.clone(),
        _ => concept.property(property),
    }
}
