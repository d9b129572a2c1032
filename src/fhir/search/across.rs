//! Searches across types: at the base, and in a whole compartment.
//! <https://hl7.org/fhir/R4/http.html#search>
//!
//! Each type has a query of its own, with the parameters that all of them have; the order must be one that
//! all of them have too.

use std::cell::Cell;

use super::{Context, Search, parse_as, refused};
use crate::fhir::elements::table;
use crate::fhir::outcome::{Outcome, did_you_mean};
use crate::fhir::query::Query;

/// A search across types.
#[derive(Debug, Clone, Default)]
pub struct Across {
    /// What all have in common; its query is that of the first type.
    pub search: Search,
    /// One for each type.
    pub queries: Vec<Query>,
}

/// Parses a search on several types. `_type` may narrow them.
///
/// # Errors
/// As [`super::parse`]; also for an order that not all types have.
pub fn across(kinds: &[&str], pairs: &[(String, String)], context: &Context<'_>) -> Result<Across, Outcome> {
    let kinds = match narrowed(kinds, pairs)? {
        Narrowed::To(kinds) => kinds,
        // Nothing can match; the search is read all the same.
        Narrowed::ToOther(kind) => {
            let search = parse_as((kind, &[kind]), pairs, context, &Cell::new(0))?;
            return Ok(Across { search, queries: Vec::new() });
        }
    };
    let (mut ignored, mut dropped): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let values = Cell::new(0);
    for kind in &kinds {
        let search = parse_as((kind, &kinds), pairs, context, &values)?;
        for name in search.ignored {
            // A name that also came with a value that was used stays.
            if !search.applied.iter().any(|(applied, _)| *applied == name) && !dropped.contains(&name) {
                dropped.push(name.clone());
            }
            if !ignored.contains(&name) {
                ignored.push(name);
            }
        }
    }
    let common: Vec<(String, String)> =
        pairs.iter().filter(|(name, _)| !dropped.contains(name)).cloned().collect();
    let mut all: Option<Across> = None;
    values.set(0);
    for kind in &kinds {
        let one = parse_as((kind, &kinds), &common, context, &values)?;
        let query = one.query.clone();
        match &mut all {
            None => all = Some(Across { search: one, queries: vec![query] }),
            Some(all) => all.add(one, query)?,
        }
    }
    let mut all = all.unwrap_or_default();
    all.search.ignored = ignored;
    Ok(all)
}

impl Across {
    fn add(&mut self, one: Search, query: Query) -> Result<(), Outcome> {
        let same = |(a, b): (&super::Sort, &super::Sort)| a.by == b.by;
        if !self.search.query.sort.iter().zip(&query.sort).all(same) {
            return Err(refused("_sort", "bad-value", "the types have it with different meanings"));
        }
        for include in one.includes {
            if !self.search.includes.contains(&include) {
                self.search.includes.push(include);
            }
        }
        self.queries.push(query);
        Ok(())
    }
}

enum Narrowed<'a> {
    To(Vec<&'a str>),
    /// What is named is not among them: a compartment does not have every type.
    ToOther(&'static str),
}

/// The types that every `_type` names.
fn narrowed<'a>(kinds: &[&'a str], pairs: &[(String, String)]) -> Result<Narrowed<'a>, Outcome> {
    let mut wanted: Option<Vec<&'static str>> = None;
    for (_, value) in pairs.iter().filter(|(name, value)| name == "_type" && !value.is_empty()) {
        let named = names(value)?;
        let both = match wanted {
            Some(before) => before.into_iter().filter(|kind| named.contains(kind)).collect(),
            None => named,
        };
        if both.is_empty() {
            return Err(refused("_type", "bad-value", "nothing is of both types").hint("written _type=A,B"));
        }
        wanted = Some(both);
    }
    let Some(wanted) = wanted else { return Ok(Narrowed::To(kinds.to_vec())) };
    let left: Vec<&str> = kinds.iter().copied().filter(|kind| wanted.contains(kind)).collect();
    Ok(match wanted.first() {
        Some(other) if left.is_empty() => Narrowed::ToOther(other),
        _ => Narrowed::To(left),
    })
}

/// The types that `_type` names.
pub(super) fn names(value: &str) -> Result<Vec<&'static str>, Outcome> {
    let known = |name: &str| {
        table().kind(name).ok_or_else(|| {
            let outcome = refused("_type", "unknown-type", "R4 has no resource type of this name");
            match did_you_mean(name, table().kinds().iter().copied()) {
                Some(close) => outcome.hint(format!("did you mean {close}?")),
                None => outcome,
            }
        })
    };
    value.split(',').filter(|name| !name.is_empty()).map(known).collect()
}

/// `_type` of a search: it has narrowed the types already, where there are several.
pub(super) fn typed(search: &Search, kinds: &[&str], value: &str) -> Result<(), Outcome> {
    let named = names(value)?;
    if kinds.len() == 1 && !named.iter().any(|name| *name == search.query.kind) {
        let text = format!("only {} is searched here", search.query.kind);
        return Err(refused("_type", "bad-value", &text).hint("leave it out, or search at the base"));
    }
    Ok(())
}
