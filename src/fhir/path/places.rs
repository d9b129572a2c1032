//! Where in the JSON the results of an expression are, for expressions that select and do not compute.
//!
//! Walks the syntax tree over the resource itself: paths, indexes, `where`, `first`, `ofType` and unions.
//! So the values keep their digits, and their types are those of the element table. Conditions are
//! evaluated by the engine. `None` stands for an expression that computes.

use std::collections::HashSet;

use octofhir_fhirpath::{BinaryOperator, ExpressionNode as Node, LiteralValue};
use serde_json::Value;

use super::model::is_a;
use super::{Focus, MAX_RESULTS, PathError};
use crate::fhir::elements::{self, Content, table};

/// A part of a resource, with its type.
#[derive(Clone)]
pub(super) struct Spot<'a> {
    pub value: &'a Value,
    pub pointer: String,
    pub kind: Option<&'static str>,
}

type Spots<'a> = Result<Option<Vec<Spot<'a>>>, PathError>;

/// Evaluates a condition at a place.
pub(super) type Condition<'c> = &'c dyn Fn(&Node, &Focus) -> Result<Option<bool>, PathError>;

/// What `node` selects, starting at `start`.
pub(super) fn select<'a>(node: &Node, start: &Spot<'a>, condition: Condition) -> Spots<'a> {
    let found = match node {
        Node::Identifier(identifier) => Some(first_step(start, &identifier.name)),
        Node::Variable(variable) if matches!(variable.name.as_str(), "this" | "$this") => {
            Some(vec![start.clone()])
        }
        Node::Variable(variable)
            if start.pointer.is_empty()
                && matches!(
                    variable.name.trim_start_matches('%'),
                    "resource" | "context" | "rootResource"
                ) =>
        {
            Some(vec![start.clone()])
        }
        Node::Parenthesized(inner) => select(inner, start, condition)?,
        Node::PropertyAccess(access) => {
            let parents = select(&access.object, start, condition)?;
            parents.map(|parents| parents.iter().flat_map(|spot| step(spot, &access.property)).collect())
        }
        Node::IndexAccess(access) => {
            let all = select(&access.object, start, condition)?;
            match (all, position(&access.index)) {
                (Some(all), Some(at)) => Some(all.into_iter().skip(at).take(1).collect()),
                _ => None,
            }
        }
        Node::Union(union) => both(&union.left, &union.right, start, condition)?,
        Node::BinaryOperation(operation) if operation.operator == BinaryOperator::Union => {
            both(&operation.left, &operation.right, start, condition)?
        }
        Node::BinaryOperation(operation) if operation.operator == BinaryOperator::As => {
            let all = select(&operation.left, start, condition)?;
            all.and_then(|all| Some(of_type(all, &type_name(&operation.right)?)))
        }
        Node::TypeCast(cast) => {
            select(&cast.expression, start, condition)?.map(|all| of_type(all, &cast.target_type))
        }
        Node::MethodCall(call) => {
            let Some(all) = select(&call.object, start, condition)? else { return Ok(None) };
            method(all, &call.method, &call.arguments, condition)?
        }
        Node::FunctionCall(call) => method(vec![start.clone()], &call.name, &call.arguments, condition)?,
        _ => None,
    };
    match found {
        Some(found) if found.len() > MAX_RESULTS => Err(PathError::TooMany),
        found => Ok(found),
    }
}

fn both<'a>(left: &Node, right: &Node, start: &Spot<'a>, condition: Condition) -> Spots<'a> {
    let (Some(mut left), Some(right)) = (select(left, start, condition)?, select(right, start, condition)?)
    else {
        return Ok(None);
    };
    let known: HashSet<String> = left.iter().map(|spot| spot.pointer.clone()).collect();
    left.extend(right.into_iter().filter(|spot| !known.contains(&spot.pointer)));
    Ok(Some(left))
}

/// The functions that select.
fn method<'a>(all: Vec<Spot<'a>>, name: &str, arguments: &[Node], condition: Condition) -> Spots<'a> {
    Ok(match (name, arguments) {
        ("first", []) => Some(all.into_iter().take(1).collect()),
        ("last", []) => Some(all.into_iter().last().into_iter().collect()),
        ("tail", []) => Some(all.into_iter().skip(1).collect()),
        ("single", []) if all.len() > 1 => return Err(PathError::Evaluation),
        ("single", []) => Some(all),
        ("skip", [count]) => position(count).map(|count| all.into_iter().skip(count).collect()),
        ("take", [count]) => position(count).map(|count| all.into_iter().take(count).collect()),
        ("ofType" | "as", [kind]) => type_name(kind).map(|kind| of_type(all, &kind)),
        ("where", [wanted]) => {
            let mut kept = Vec::new();
            for spot in all {
                let focus = Focus { pointer: &spot.pointer, kind: spot.kind };
                if condition(wanted, &focus)? == Some(true) {
                    kept.push(spot);
                }
            }
            Some(kept)
        }
        ("extension", [url]) => text(url).map(|url| {
            let extensions = all.iter().flat_map(|spot| step(spot, "extension"));
            extensions.filter(|spot| spot.value.get("url").and_then(Value::as_str) == Some(url)).collect()
        }),
        _ => None,
    })
}

/// A path begins with the resource's type, or with an element.
fn first_step<'a>(start: &Spot<'a>, name: &str) -> Vec<Spot<'a>> {
    if !name.starts_with(|first: char| first.is_ascii_uppercase()) {
        return step(start, name);
    }
    match start.kind {
        Some(kind) if is_a(kind, name) => vec![start.clone()],
        _ => Vec::new(),
    }
}

/// The children of a name; of a choice, whichever type is there.
fn step<'a>(parent: &Spot<'a>, name: &str) -> Vec<Spot<'a>> {
    let Some(object) = parent.value.as_object() else { return Vec::new() };
    let node = parent.kind.and_then(|kind| table().node(kind));
    let mut keys: Vec<&str> = Vec::new();
    if object.contains_key(name) {
        keys.push(name);
    } else if let Some(node) = node {
        let choice = |key: &&String| {
            let element = node.keys.get(key.as_str()).and_then(|key| node.elements.get(key.element));
            element.is_some_and(|element| element.choice && element.name == name)
        };
        keys.extend(object.keys().filter(choice).map(String::as_str));
    }
    let mut found = Vec::new();
    for key in keys {
        let row = node.and_then(|node| node.keys.get(key));
        let pointer = format!("{}/{}", parent.pointer, key.replace('~', "~0").replace('/', "~1"));
        match object.get(key) {
            Some(Value::Array(items)) => {
                let items = items.iter().enumerate().filter(|(_, item)| !item.is_null());
                found.extend(items.map(|(at, item)| spot(item, format!("{pointer}/{at}"), row)));
            }
            Some(Value::Null) | None => {}
            Some(value) => found.push(spot(value, pointer, row)),
        }
    }
    found
}

fn spot<'a>(value: &'a Value, pointer: String, row: Option<&'static elements::Key>) -> Spot<'a> {
    let resource = || value.get("resourceType").and_then(Value::as_str).and_then(|kind| table().kind(kind));
    let kind = match row {
        Some(row) if row.content == Content::Resource => resource(),
        Some(row) => Some(row.kind),
        None => None,
    };
    Spot { value, pointer, kind }
}

fn of_type<'a>(all: Vec<Spot<'a>>, kind: &str) -> Vec<Spot<'a>> {
    let wanted = kind.strip_prefix("FHIR.").unwrap_or(kind);
    // R4's own search parameters say `as DateTime`.
    let wanted = if wanted == "DateTime" { "dateTime" } else { wanted };
    all.into_iter().filter(|spot| spot.kind.is_some_and(|kind| is_a(kind, wanted))).collect()
}

fn type_name(node: &Node) -> Option<String> {
    match node {
        Node::Identifier(identifier) => Some(identifier.name.clone()),
        Node::PropertyAccess(access) => Some(access.property.clone()),
        Node::TypeInfo(info) => Some(info.name.clone()),
        Node::Parenthesized(inner) => type_name(inner),
        _ => None,
    }
}

fn position(node: &Node) -> Option<usize> {
    match node {
        Node::Literal(literal) => match literal.value {
            LiteralValue::Integer(number) => usize::try_from(number).ok(),
            _ => None,
        },
        _ => None,
    }
}

fn text(node: &Node) -> Option<&str> {
    match node {
        Node::Literal(literal) => match &literal.value {
            LiteralValue::String(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}
