//! The paths that mapping files are full of, walked without jsonpath-rust, which notes the place of each node
//! and clones what it compares: names, indices, `*`, and filters that compare members with texts.
//!
//! **Never** takes a path that it cannot say exactly as RFC 9535 does; those stay with the library.

use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, Literal, Segment, Selector, SingularQuery,
    SingularQuerySegment, Test,
};
use serde_json::Value;

use super::element;

/// One step of a path.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Name(String),
    Index(i64),
    /// `*`
    Every,
    /// `[?…]`: all must hold.
    Where(Vec<Condition>),
}

/// One comparison of a filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    /// `@.a.b`: there is such a node.
    Exists(Vec<Step>),
    /// `@.a.b == 'text'`
    Is(Vec<Step>, String),
}

/// The steps, if they say the whole path.
pub(super) fn steps(segments: &[Segment]) -> Option<Vec<Step>> {
    segments.iter().map(step).collect()
}

/// Whether at most one node can be found.
pub(super) fn is_singular(steps: &[Step]) -> bool {
    steps.iter().all(|step| matches!(step, Step::Name(_) | Step::Index(_)))
}

fn step(segment: &Segment) -> Option<Step> {
    let Segment::Selector(selector) = segment else { return None };
    match selector {
        Selector::Name(name) => Some(Step::Name(name.clone())),
        Selector::Index(index) => Some(Step::Index(*index)),
        Selector::Wildcard => Some(Step::Every),
        Selector::Filter(filter) => {
            let mut conditions = Vec::new();
            conjunction(filter, &mut conditions)?;
            Some(Step::Where(conditions))
        }
        Selector::Slice(..) => None,
    }
}

fn conjunction(filter: &Filter, conditions: &mut Vec<Condition>) -> Option<()> {
    match filter {
        Filter::And(all) => all.iter().try_for_each(|one| conjunction(one, conditions)),
        Filter::Atom(FilterAtom::Comparison(comparison)) => {
            conditions.push(comparison_of(comparison)?);
            Some(())
        }
        Filter::Atom(FilterAtom::Test { expr, not: false }) => {
            let Test::RelQuery(segments) = expr.as_ref() else { return None };
            let steps = steps(segments).filter(|steps| is_singular(steps))?;
            conditions.push(Condition::Exists(steps));
            Some(())
        }
        Filter::Or(_) | Filter::Atom(_) => None,
    }
}

fn comparison_of(comparison: &Comparison) -> Option<Condition> {
    let Comparison::Eq(left, right) = comparison else { return None };
    let (query, text) = match (left, right) {
        (Comparable::SingularQuery(query), Comparable::Literal(Literal::String(text)))
        | (Comparable::Literal(Literal::String(text)), Comparable::SingularQuery(query)) => (query, text),
        _ => return None,
    };
    // What an escape means is the library's business.
    if text.contains('\\') {
        return None;
    }
    let SingularQuery::Current(segments) = query else { return None };
    let steps = segments.iter().map(|segment| match segment {
        SingularQuerySegment::Name(name) => Step::Name(name.clone()),
        SingularQuerySegment::Index(index) => Step::Index(*index),
    });
    Some(Condition::Is(steps.collect(), text.clone()))
}

/// Visits the nodes in the order of RFC 9535, without null, until `visit` says that it is enough (false).
pub(super) fn nodes<'v>(steps: &[Step], value: &'v Value, visit: &mut impl FnMut(&'v Value) -> bool) -> bool {
    let Some((step, rest)) = steps.split_first() else { return value.is_null() || visit(value) };
    match step {
        Step::Name(name) => value.get(name).is_none_or(|inner| nodes(rest, inner, visit)),
        Step::Index(index) => {
            let found = value.as_array().and_then(|items| element(items, *index));
            found.is_none_or(|inner| nodes(rest, inner, visit))
        }
        Step::Every => children(value).all(|inner| nodes(rest, inner, visit)),
        Step::Where(conditions) => {
            children(value).filter(|inner| all_hold(conditions, inner)).all(|inner| nodes(rest, inner, visit))
        }
    }
}

/// The elements of an array, the members of an object, of anything else nothing.
fn children(value: &Value) -> impl Iterator<Item = &Value> {
    let items = value.as_array().into_iter().flatten();
    items.chain(value.as_object().into_iter().flat_map(|object| object.values()))
}

fn all_hold(conditions: &[Condition], value: &Value) -> bool {
    conditions.iter().all(|condition| match condition {
        Condition::Exists(steps) => single(steps, value).is_some(),
        Condition::Is(steps, text) => single(steps, value).and_then(Value::as_str) == Some(text),
    })
}

fn single<'v>(steps: &[Step], value: &'v Value) -> Option<&'v Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Name(name) => value.as_object()?.get(name),
        Step::Index(index) => element(value.as_array()?, *index),
        Step::Every | Step::Where(_) => None,
    })
}
