//! A target's fields, read by its shape.

use super::outline::outline;
use super::reader::Reader;
use super::values::{self, VALUE_KEYS};
use super::{FieldContent, NamedField, Object, conditions};
use crate::mapping::diagnostic::{Diagnostic, Place};
use crate::mapping::expression::{Expression, Source};
use crate::mapping::source::{Content, Key, Node};
use crate::mapping::target::{Kind, Shape, Target};
use serde_json::{Map, Value};

/// Where fields stand, for messages, and the keys there that are no fields.
pub(super) struct Within<'a> {
    pub(super) what: &'a str,
    pub(super) generic: &'a [&'a str],
}

pub(super) fn fields(
    reader: &mut Reader<'_>,
    node: &Node,
    shape: &Shape,
    within: &Within<'_>,
) -> Option<Vec<NamedField>> {
    let entries = reader.object(node, &format!("`{}`", within.what))?;
    let names: Vec<&str> = shape.fields.iter().map(|field| field.name).collect();
    let mut found = Vec::new();
    let mut complete = true;
    for (key, content) in entries {
        let Some(field) = shape.fields.iter().find(|field| field.name == key.text) else {
            if !within.generic.contains(&key.text.as_str()) {
                let known: Vec<&str> = names.iter().chain(within.generic).copied().collect();
                reader.unknown(key, within.what, &known);
                complete = false;
            }
            continue;
        };
        match self::content(reader, key, content, &field.kind) {
            Some(content) => found.push(NamedField { name: key.text.clone(), place: key.place, content }),
            None => complete = false,
        }
    }
    for field in shape.fields.iter().filter(|field| field.required && node.get(field.name).is_none()) {
        reader.missing(node.place, within.what, field.name);
        complete = false;
    }
    complete.then_some(found)
}

fn content(reader: &mut Reader<'_>, key: &Key, node: &Node, kind: &Kind) -> Option<FieldContent> {
    let what = format!("`{}`", key.text);
    match kind {
        Kind::Value => values::value(reader, node).map(FieldContent::Value),
        Kind::Values => values::value(reader, node).map(FieldContent::Values),
        Kind::List => list(reader, node).map(FieldContent::List),
        Kind::Map => map(reader, node, &what).map(FieldContent::Map),
        Kind::Word([]) => reader.text(node, &what).map(|text| FieldContent::Literal(Value::from(text))),
        Kind::Word(words) => {
            reader.word(node, &what, words).map(|text| FieldContent::Literal(Value::from(text)))
        }
        Kind::Integer => reader.integer(node, &what).map(|number| FieldContent::Literal(Value::from(number))),
        Kind::Flag => reader.flag(node, &what).map(|flag| FieldContent::Literal(Value::from(flag))),
        Kind::Object(shape) => {
            let fields = fields(reader, node, shape, &Within { what: &key.text, generic: &[] })?;
            Some(FieldContent::Object(Object { place: node.place, when: None, fields }))
        }
        Kind::Objects(shape) => objects(reader, key, node, shape).map(FieldContent::Objects),
        Kind::ValueOr(shape) if is_object(node, shape) => {
            let fields = fields(reader, node, shape, &Within { what: &key.text, generic: &[] })?;
            Some(FieldContent::Together(Object { place: node.place, when: None, fields }))
        }
        Kind::ValueOrLanguages if is_by_language(node) => map(reader, node, &what).map(FieldContent::Map),
        Kind::ValueOr(_) | Kind::ValueOrLanguages => values::value(reader, node).map(FieldContent::Value),
        Kind::Anything => values::value(reader, node).map(FieldContent::Anything),
        Kind::Outline => outline(reader, node).map(FieldContent::Outline),
    }
}

/// An object of the shape rather than a VALUE: it has one of its keys that no VALUE has.
fn is_object(node: &Node, shape: &Shape) -> bool {
    let Content::Map(entries) = &node.content else { return false };
    let is_own =
        |name: &str| shape.fields.iter().any(|field| field.name == name) && !VALUE_KEYS.contains(&name);
    entries.iter().any(|(key, _)| is_own(&key.text))
}

/// A map with a language's code, rather than a VALUE, some of whose keys have three letters too.
fn is_by_language(node: &Node) -> bool {
    let Content::Map(entries) = &node.content else { return false };
    let is_code = |key: &str| key.len() == 3 && !VALUE_KEYS.contains(&key);
    entries.iter().any(|(key, _)| is_code(&key.text))
}

fn list(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<Expression>> {
    let Content::List(items) = &node.content else {
        return values::value(reader, node).map(|only| vec![only]);
    };
    let all: Vec<_> = items.iter().map(|item| values::value(reader, item)).collect();
    all.into_iter().collect()
}

fn map(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Vec<(String, Expression)>> {
    let entries = reader.object(node, what)?;
    let all: Vec<_> = entries
        .iter()
        .map(|(key, content)| values::value(reader, content).map(|value| (key.text.clone(), value)))
        .collect();
    all.into_iter().collect()
}

fn objects(reader: &mut Reader<'_>, key: &Key, node: &Node, shape: &Shape) -> Option<Vec<Object>> {
    let items = reader.list(node, &format!("`{}`", key.text))?;
    let generic: &[&str] =
        if shape.fields.iter().any(|field| field.name == "when") { &[] } else { &["when"] };
    let all: Vec<Option<Object>> = items
        .iter()
        .map(|item| {
            let when = match item.get("when").filter(|_| !generic.is_empty()) {
                Some(when) => conditions::condition(reader, when).map(Some),
                None => Some(None),
            };
            let fields = fields(reader, item, shape, &Within { what: &key.text, generic })?;
            Some(Object { place: item.place, when: when?, fields })
        })
        .collect();
    all.into_iter().collect()
}

/// What the target says of the constants in its fields.
pub(super) fn complaints(reader: &mut Reader<'_>, body: &Node, target: &dyn Target, fields: &[NamedField]) {
    for complaint in target.check(&literals(fields, Computed::LeftOut)) {
        let (place, offending) = locate(body, &complaint.field);
        let mut told =
            Diagnostic::new("bad-field", place, format!("`{}`: {}", complaint.field, complaint.message));
        told.offending = offending;
        told.hint = complaint.hint;
        reader.tell(told);
    }
}

/// What stands for a value that is computed.
#[derive(Clone, Copy)]
pub(super) enum Computed {
    LeftOut,
    Null,
}

/// The fields that are written as constants; positions in lists and names in maps are kept with null.
pub(super) fn literals(fields: &[NamedField], computed: Computed) -> Value {
    let mut map = Map::new();
    for field in fields {
        match (literal(&field.content, computed), computed) {
            (Some(value), _) => {
                map.insert(field.name.clone(), value);
            }
            (None, Computed::Null) => {
                map.insert(field.name.clone(), Value::Null);
            }
            (None, Computed::LeftOut) => {}
        }
    }
    Value::Object(map)
}

fn literal(content: &FieldContent, computed: Computed) -> Option<Value> {
    match content {
        FieldContent::Value(value) | FieldContent::Values(value) | FieldContent::Anything(value) => {
            constant(value)
        }
        FieldContent::List(list) => {
            Some(Value::Array(list.iter().map(|one| constant(one).unwrap_or_default()).collect()))
        }
        FieldContent::Map(entries) => {
            let all = entries.iter().map(|(name, one)| (name.clone(), constant(one).unwrap_or_default()));
            Some(Value::Object(all.collect()))
        }
        FieldContent::Literal(value) => Some(value.clone()),
        FieldContent::Outline(outline) => Some(outline.literal()),
        FieldContent::Object(object) | FieldContent::Together(object) => {
            Some(literals(&object.fields, computed))
        }
        FieldContent::Objects(objects) => {
            Some(Value::Array(objects.iter().map(|object| literals(&object.fields, computed)).collect()))
        }
    }
}

fn constant(expression: &Expression) -> Option<Value> {
    match &expression.source {
        Source::Constant(value) if expression.steps.is_empty() => Some(value.clone()),
        _ => None,
    }
}

/// The node at `values[2].dataElement`, or the nearest above it.
fn locate(body: &Node, field: &str) -> (Place, String) {
    let mut node = body;
    for name in field.split(['.', '[', ']']).filter(|name| !name.is_empty()) {
        let below = match &node.content {
            Content::List(items) => name.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => node.get(name),
        };
        let Some(below) = below else { break };
        node = below;
    }
    (node.place, node.excerpt())
}
