//! COND: a path, a VALUE with comparisons, or `all`, `any`, `none` of a list.

use super::reader::Reader;
use super::values::{self, VALUE_KEYS};
use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::expression::{Comparison, Condition, Operator, Test};
use crate::mapping::source::{Content, Key, Node};
use serde_json::Value;

pub(super) const OPERATORS: [&str; 7] = ["is", "in", "above", "atLeast", "below", "atMost", "matches"];
pub(super) const GROUPS: [&str; 3] = ["all", "any", "none"];

pub(super) fn condition(reader: &mut Reader<'_>, node: &Node) -> Option<Condition> {
    let test = match &node.content {
        Content::List(items) => Test::All(conditions(reader, items)?),
        Content::Map(entries) if entries.iter().any(|(key, _)| GROUPS.contains(&key.text.as_str())) => {
            groups(reader, entries)?
        }
        Content::Map(entries) => compared(reader, node, entries)?,
        Content::Scalar { .. } => scalar(reader, node)?,
    };
    Some(Condition { place: node.place, test })
}

fn conditions(reader: &mut Reader<'_>, items: &[Node]) -> Option<Vec<Condition>> {
    let all: Vec<Option<Condition>> = items.iter().map(|item| condition(reader, item)).collect();
    all.into_iter().collect()
}

fn scalar(reader: &mut Reader<'_>, node: &Node) -> Option<Test> {
    match node.to_json() {
        Value::Bool(holds) => Some(Test::Always(holds)),
        Value::String(text) if text.starts_with('$') => reader.path(node, "a condition").map(Test::Exists),
        _ => {
            let told = Diagnostic::new("not-a-condition", node.place, "this is not a condition");
            reader.tell(told.offending(node.excerpt()).hint(
                "a condition is a path, a VALUE with is, in, above, atLeast, below, atMost or matches, \
                 or all, any, none of a list",
            ));
            None
        }
    }
}

fn groups(reader: &mut Reader<'_>, entries: &[(Key, Node)]) -> Option<Test> {
    let mut tests = Vec::new();
    let mut complete = true;
    for (key, node) in entries {
        if !GROUPS.contains(&key.text.as_str()) {
            reader.unknown(key, "a condition with all, any or none", &GROUPS);
            complete = false;
            continue;
        }
        let inner = reader.list(node, &format!("`{}`", key.text)).and_then(|items| conditions(reader, items));
        let Some(inner) = inner else {
            complete = false;
            continue;
        };
        let test = match key.text.as_str() {
            "all" => Test::All(inner),
            "any" => Test::Any(inner),
            _ => Test::None(inner),
        };
        tests.push(Condition { place: key.place, test });
    }
    if !complete {
        return None;
    }
    match tests.len() {
        1 => tests.pop().map(|only| only.test),
        _ => Some(Test::All(tests)),
    }
}

fn compared(reader: &mut Reader<'_>, node: &Node, entries: &[(Key, Node)]) -> Option<Test> {
    let known: Vec<&str> = VALUE_KEYS.iter().chain(&OPERATORS).chain(&GROUPS).copied().collect();
    let mut comparisons = Vec::new();
    let mut complete = true;
    for (key, operand) in entries {
        if OPERATORS.contains(&key.text.as_str()) {
            match operator(reader, key, operand) {
                Some(operator) => comparisons.push(Comparison { place: key.place, operator }),
                None => complete = false,
            }
        } else if !known.contains(&key.text.as_str()) {
            reader.unknown(key, "a condition", &known);
            complete = false;
        }
    }
    let value = values::object(reader, node, entries);
    if !complete {
        return None;
    }
    Some(Test::Value { value: Box::new(value?), comparisons })
}

fn operator(reader: &mut Reader<'_>, key: &Key, node: &Node) -> Option<Operator> {
    match key.text.as_str() {
        "in" => {
            let list = match &node.content {
                Content::List(items) => items.as_slice(),
                _ => std::slice::from_ref(node),
            };
            let all: Vec<_> = list.iter().map(|item| values::value(reader, item)).collect();
            all.into_iter().collect::<Option<Vec<_>>>().map(Operator::In)
        }
        "matches" => reader.pattern(node, "`matches`").map(Operator::Matches),
        name => {
            let value = values::value(reader, node)?;
            Some(match name {
                "is" => Operator::Is(value),
                "above" => Operator::Above(value),
                "atLeast" => Operator::AtLeast(value),
                "below" => Operator::Below(value),
                _ => Operator::AtMost(value),
            })
        }
    }
}
