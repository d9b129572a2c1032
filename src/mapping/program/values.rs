//! VALUE: a path, a constant, or an object with one source and any of the steps.

use super::reader::Reader;
use crate::mapping::diagnostic::{Diagnostic, Place};
use crate::mapping::expression::{
    Age, AgeUnit, Escape, Expression, Operation, Piece, Source, Step, Template,
};
use crate::mapping::source::{Content, Key, Node};
use serde_json::Value;

mod steps;

pub(super) use steps::duration;

pub(super) const SOURCES: [&str; 7] = ["path", "const", "list", "template", "link", "pseudonym", "age"];
/// Every key of a VALUE: sources, then steps in their order.
pub(in crate::mapping) const VALUE_KEYS: [&str; 32] = [
    "path",
    "const",
    "list",
    "template",
    "link",
    "pseudonym",
    "age",
    "when",
    "split",
    "at",
    "first",
    "last",
    "count",
    "sum",
    "min",
    "max",
    "join",
    "match",
    "type",
    "format",
    "country",
    "unit",
    "times",
    "plus",
    "bands",
    "synonyms",
    "map",
    "otherwise",
    "lookup",
    "write",
    "default",
    "required",
];

pub(super) fn value(reader: &mut Reader<'_>, node: &Node) -> Option<Expression> {
    match &node.content {
        Content::Scalar { .. } => {
            let source = scalar(reader, node)?;
            Some(plain(node.place, source))
        }
        Content::List(_) => {
            let told = Diagnostic::new("not-a-value", node.place, "a list stands where one value is wanted");
            reader.tell(told.hint("several values are written { list: [VALUE, VALUE] }"));
            None
        }
        Content::Map(entries) => {
            reader.known(node, "a VALUE", &VALUE_KEYS)?;
            object(reader, node, entries)
        }
    }
}

fn plain(place: Place, source: Source) -> Expression {
    Expression { place, source, steps: Vec::new(), otherwise: None, default: None, required: false }
}

/// `$…` is a path, `$$…` is text that begins with one `$`.
fn scalar(reader: &mut Reader<'_>, node: &Node) -> Option<Source> {
    match node.to_json() {
        Value::String(text) if text.starts_with("$$") => {
            Some(Source::Constant(Value::String(text.chars().skip(1).collect())))
        }
        Value::String(text) if text.starts_with('$') => {
            reader.path_text(&text, node.place).map(|path| Source::Path(vec![path]))
        }
        Value::Null => {
            reader.tell(Diagnostic::new("value-empty", node.place, "a value is missing here"));
            None
        }
        constant => Some(Source::Constant(constant)),
    }
}

/// An object whose unknown keys were told already.
pub(super) fn object(reader: &mut Reader<'_>, node: &Node, entries: &[(Key, Node)]) -> Option<Expression> {
    let sources: Vec<&(Key, Node)> =
        entries.iter().filter(|(key, _)| SOURCES.contains(&key.text.as_str())).collect();
    let source = match sources.as_slice() {
        [(key, content)] => source(reader, key, content),
        [] => {
            let told = Diagnostic::new("value-source", node.place, "a VALUE needs a source");
            reader.tell(told.hint(format!("one of {}", SOURCES.join(", "))));
            None
        }
        [_, (second, _), ..] => {
            let told = Diagnostic::new("value-source", second.place, "a VALUE has one source, not several");
            reader.tell(
                told.offending(&second.text).hint("paths that stand in for each other: `path: [P, P]`"),
            );
            None
        }
    };
    let steps = steps::steps(reader, node, entries);
    let nested = |reader: &mut Reader<'_>, key: &str| match node.get(key) {
        Some(inner) => value(reader, inner).map(|inner| Some(Box::new(inner))),
        None => Some(None),
    };
    let otherwise = nested(reader, "otherwise");
    let default = nested(reader, "default");
    let required = node.get("required").is_some_and(|flag| reader.flag(flag, "`required`").unwrap_or(false));
    let (source, steps) = (source?, steps?);
    check(reader, node, &source, &steps)?;
    Some(Expression { place: node.place, source, steps, otherwise: otherwise?, default: default?, required })
}

/// What cannot work whatever the data.
fn check(reader: &mut Reader<'_>, node: &Node, source: &Source, steps: &[Step]) -> Option<()> {
    let bad_step = steps.iter().find(|step| !matches!(step.operation, Operation::When(_)));
    if let (Source::Link(_), Some(step)) = (source, bad_step) {
        let message =
            format!("`{}` cannot work on a `link`: its id is known only on sending", step.operation.name());
        reader.tell(Diagnostic::new("link-steps", step.place, message));
        return None;
    }
    if let Some(otherwise) = node.get("otherwise")
        && !steps.iter().any(|step| matches!(step.operation, Operation::Map(_) | Operation::Lookup { .. }))
    {
        let told =
            Diagnostic::new("key-not-here", otherwise.place, "`otherwise` goes with `map` or `lookup`");
        reader.tell(told.hint("for what is absent there is `default`"));
        return None;
    }
    Some(())
}

fn source(reader: &mut Reader<'_>, key: &Key, node: &Node) -> Option<Source> {
    match key.text.as_str() {
        "path" => paths(reader, node).map(Source::Path),
        "const" => constant(reader, node).map(Source::Constant),
        "list" => {
            let items = reader.list(node, "`list`")?;
            let all: Vec<_> = items.iter().map(|item| value(reader, item)).collect();
            all.into_iter().collect::<Option<Vec<_>>>().map(Source::List)
        }
        "template" => {
            let text = reader.text(node, "`template`")?;
            template(reader, text, node.place, Escape::None).map(Source::Template)
        }
        "link" => reader.path(node, "`link`").map(Source::Link),
        "pseudonym" if !reader.has_destination => {
            let told = Diagnostic::new("key-not-here", key.place, "`pseudonym` works only within `to`");
            reader.tell(told.offending("pseudonym").hint("its key is another one for each destination"));
            None
        }
        "pseudonym" => reader.path(node, "`pseudonym`").map(Source::Pseudonym),
        _ => age(reader, node).map(|age| Source::Age(Box::new(age))),
    }
}

fn paths(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<crate::mapping::path::Path>> {
    match &node.content {
        Content::List(items) if !items.is_empty() => {
            let all: Vec<_> = items.iter().map(|item| reader.path(item, "`path`")).collect();
            all.into_iter().collect()
        }
        _ => reader.path(node, "`path`").map(|path| vec![path]),
    }
}

fn constant(reader: &mut Reader<'_>, node: &Node) -> Option<Value> {
    match &node.content {
        Content::List(items) => {
            let all: Vec<_> = items.iter().map(|item| reader.scalar(item, "a member of `const`")).collect();
            all.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
        }
        _ => reader.scalar(node, "`const`"),
    }
}

fn age(reader: &mut Reader<'_>, node: &Node) -> Option<Age> {
    reader.known(node, "`age`", &["from", "at", "in"])?;
    let mut part = |key: &str| match node.get(key) {
        Some(inner) => value(reader, inner),
        None => {
            reader.missing(node.place, "`age`", key);
            None
        }
    };
    let (from, at) = (part("from"), part("at"));
    let unit = match node.get("in") {
        None => AgeUnit::Years,
        Some(inner) => match reader.word(inner, "`in`", &["years", "months", "weeks", "days"])? {
            "years" => AgeUnit::Years,
            "months" => AgeUnit::Months,
            "weeks" => AgeUnit::Weeks,
            _ => AgeUnit::Days,
        },
    };
    Some(Age { from: from?, at: at?, unit })
}

/// Splits `Dear {$.a}` at its braces.
pub(super) fn template(
    reader: &mut Reader<'_>,
    text: &str,
    place: Place,
    escape: Escape,
) -> Option<Template> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        literal.push_str(before);
        if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
            literal.extend(from.chars().take(1));
            rest = after;
            continue;
        }
        let inner = from.strip_prefix('{').and_then(closing);
        let Some((path, after)) = inner else {
            let told = Diagnostic::new("bad-template", place, "a brace in the template has no partner");
            reader.tell(told.offending(text).hint("a brace as text is written twice: `{{` or `}}`"));
            return None;
        };
        if !literal.is_empty() {
            parts.push(Piece::Text(std::mem::take(&mut literal)));
        }
        parts.push(Piece::Path(reader.path_text(path.trim(), place)?));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Piece::Text(literal));
    }
    Some(Template { parts, escape })
}

/// The path up to the closing brace, which may stand in quotes within a filter.
fn closing(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, sign) in text.char_indices() {
        match (quote, sign) {
            (None, '}') => return Some((text.get(..at)?, text.get(at + 1..)?)),
            (None, '\'' | '"') => quote = Some(sign),
            (Some(open), _) if open == sign => quote = None,
            _ => {}
        }
    }
    None
}
