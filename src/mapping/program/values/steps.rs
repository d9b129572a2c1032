//! Steps 1 to 11 of a VALUE, sorted into the order in which they run.

use rust_decimal::Decimal;
use serde_json::Value;

use crate::mapping::diagnostic::{Diagnostic, Place};
use crate::mapping::expression::{Operation, Reduce, Step, Type};
use crate::mapping::program::conditions;
use crate::mapping::program::reader::Reader;
use crate::mapping::source::{Content, Key, Node};
use crate::mapping::steps::{moment, number, phone, unit};

/// Keys of steps in the order in which they run; those of one step stand together.
const ORDER: [&str; 20] = [
    "when", "split", "at", "first", "last", "count", "sum", "min", "max", "join", "match", "type", "unit",
    "times", "plus", "bands", "synonyms", "map", "lookup", "write",
];
const REDUCERS: [&str; 8] = ["at", "first", "last", "count", "sum", "min", "max", "join"];

pub(super) fn steps(reader: &mut Reader<'_>, node: &Node, entries: &[(Key, Node)]) -> Option<Vec<Step>> {
    let told = two_reducers(reader, entries) || stray(reader, entries, node);
    let mut steps = Vec::new();
    let mut complete = !told;
    for name in ORDER {
        let Some((key, content)) = entries.iter().find(|(key, _)| key.text == name) else { continue };
        match operation(reader, key, content, node) {
            Some(operation) => steps.push(Step { place: key.place, operation }),
            None => complete = false,
        }
    }
    complete.then_some(steps)
}

fn two_reducers(reader: &mut Reader<'_>, entries: &[(Key, Node)]) -> bool {
    let mut given = entries.iter().filter(|(key, _)| REDUCERS.contains(&key.text.as_str()));
    let (Some((first, _)), Some((second, _))) = (given.next(), given.next()) else { return false };
    let message = format!("`{}` and `{}` cannot both turn several values into one", first.text, second.text);
    reader.tell(Diagnostic::new("two-reducers", second.place, message).offending(&second.text));
    true
}

/// `format` and `country` belong to `type`.
fn stray(reader: &mut Reader<'_>, entries: &[(Key, Node)], node: &Node) -> bool {
    let kind = node.get("type").and_then(Node::text).unwrap_or_default();
    let fits = |name: &str| match name {
        "format" => matches!(kind, "date" | "dateTime"),
        "country" => kind == "phone",
        _ => true,
    };
    let mut told = false;
    for (key, _) in entries.iter().filter(|(key, _)| !fits(&key.text)) {
        let with = if key.text == "format" { "`type: date` or `type: dateTime`" } else { "`type: phone`" };
        let message = format!("`{}` goes with {with}", key.text);
        reader.tell(Diagnostic::new("key-not-here", key.place, message).offending(&key.text));
        told = true;
    }
    told
}

fn operation(reader: &mut Reader<'_>, key: &Key, content: &Node, node: &Node) -> Option<Operation> {
    match key.text.as_str() {
        "when" => conditions::condition(reader, content).map(Operation::When),
        "split" => reader.text(content, "`split`").map(|text| Operation::Split(text.to_owned())),
        "at" => reader.integer(content, "`at`").map(|index| Operation::Reduce(Reduce::At(index))),
        "join" => match content.text() {
            Some(text) => Some(Operation::Reduce(Reduce::Join(text.to_owned()))),
            None => {
                reader.text(content, "`join`").map(|text| Operation::Reduce(Reduce::Join(text.to_owned())))
            }
        },
        "first" | "last" | "count" | "sum" | "min" | "max" => reducer(reader, key, content),
        "match" => reader.pattern(content, "`match`").map(Operation::Match),
        "type" => kind(reader, content, node).map(Operation::Type),
        "unit" => units(reader, content),
        "times" => decimal(reader, content, "`times`").map(Operation::Times),
        "plus" => duration(reader, content, "`plus`").map(Operation::Plus),
        "bands" => bands(reader, content).map(Operation::Bands),
        "synonyms" => synonyms(reader, content).map(Operation::Synonyms),
        "map" => map(reader, content).map(Operation::Map),
        "lookup" => lookup(reader, content),
        _ => format(reader, content, "`write`").map(Operation::Write),
    }
}

fn reducer(reader: &mut Reader<'_>, key: &Key, node: &Node) -> Option<Operation> {
    if !reader.flag(node, &format!("`{}`", key.text))? {
        let message = format!("`{}: false` has no meaning", key.text);
        reader.tell(Diagnostic::new("not-a-flag", node.place, message).hint("leave it out"));
        return None;
    }
    Some(Operation::Reduce(match key.text.as_str() {
        "first" => Reduce::First,
        "last" => Reduce::Last,
        "count" => Reduce::Count,
        "sum" => Reduce::Sum,
        "min" => Reduce::Min,
        _ => Reduce::Max,
    }))
}

const TYPES: [&str; 7] = ["text", "integer", "number", "boolean", "date", "dateTime", "phone"];

fn kind(reader: &mut Reader<'_>, content: &Node, node: &Node) -> Option<Type> {
    let word = reader.word(content, "`type`", &TYPES)?;
    Some(match word {
        "text" => Type::Text,
        "integer" => Type::Integer,
        "number" => Type::Number,
        "boolean" => Type::Boolean,
        "phone" => Type::Phone(country(reader, node)?),
        dated => {
            let format = match node.get("format") {
                Some(inner) => Some(format(reader, inner, "`format`")?),
                None => None,
            };
            if dated == "date" { Type::Date(format) } else { Type::DateTime(format) }
        }
    })
}

/// `Some(None)` where none is given.
fn country(reader: &mut Reader<'_>, node: &Node) -> Option<Option<String>> {
    let Some(inner) = node.get("country") else { return Some(None) };
    let text = reader.text(inner, "`country`")?;
    if phone::country_id(text).is_none() {
        let told = Diagnostic::new("unknown-country", inner.place, format!("`{text}` is not a country"));
        reader.tell(told.offending(text).hint("two letters as in ISO 3166-1: RW, KE, GB"));
        return None;
    }
    Some(Some(text.to_ascii_uppercase()))
}

fn format(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<String> {
    let text = reader.text(node, what)?;
    if let Err(error) = moment::check_format(text) {
        let message = format!("`{text}` is not a date format (strftime): {error}");
        reader.tell(
            Diagnostic::new("bad-format", node.place, message)
                .offending(text)
                .hint("%d.%m.%Y, %Y-%m-%dT%H:%M"),
        );
        return None;
    }
    Some(text.to_owned())
}

pub(in crate::mapping::program) fn duration(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
) -> Option<jiff::Span> {
    let text = reader.text(node, what)?;
    moment::duration(text)
        .map_err(|message| {
            reader.tell(
                Diagnostic::new("bad-duration", node.place, message)
                    .offending(text)
                    .hint("P6W, P1M, -P1D, PT36H"),
            );
        })
        .ok()
}

fn decimal(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Decimal> {
    let text = reader.text(node, what)?;
    parse_decimal(reader, text, node.place, what)
}

fn parse_decimal(reader: &mut Reader<'_>, text: &str, place: Place, what: &str) -> Option<Decimal> {
    number::parse(text)
        .map_err(|failure| {
            let message = format!("{what} must be a number: {}", failure.message);
            reader.tell(Diagnostic::new("not-a-number", place, message).offending(text));
        })
        .ok()
}

fn units(reader: &mut Reader<'_>, node: &Node) -> Option<Operation> {
    reader.known(node, "`unit`", &["from", "to"])?;
    let mut part = |key: &str| match node.get(key) {
        Some(inner) => reader.text(inner, &format!("`{key}`")).map(str::to_owned),
        None => {
            reader.missing(node.place, "`unit`", key);
            None
        }
    };
    let (from, to) = (part("from")?, part("to")?);
    if let Err((message, culprit)) = unit::check(&from, &to) {
        let guilty = if node.get("from").and_then(Node::text) == Some(&culprit) { "from" } else { "to" };
        let place = node.get(guilty).map_or(node.place, |inner| inner.place);
        let told = Diagnostic::new("bad-unit", place, message).offending(culprit);
        reader.tell(told.hint("units are UCUM's, case matters: kg, g, mmol/L, Cel, mm[Hg]"));
        return None;
    }
    Some(Operation::Unit { from, to })
}

fn bands(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<(Decimal, Value)>> {
    let entries = reader.object(node, "`bands`")?;
    let mut bands: Vec<(Decimal, Value)> = Vec::new();
    let mut complete = !entries.is_empty();
    for (key, content) in entries {
        let bound = parse_decimal(reader, &key.text, key.place, "a lower bound");
        let name = reader.scalar(content, "a band's name");
        let (Some(bound), Some(name)) = (bound, name) else {
            complete = false;
            continue;
        };
        if bands.last().is_some_and(|(before, _)| *before >= bound) {
            let message = format!("the lower bound {} does not follow the one before it", key.text);
            let told = Diagnostic::new("bands-order", key.place, message).offending(&key.text);
            reader.tell(told.hint("write the bands from the lowest to the highest"));
            complete = false;
        }
        bands.push((bound, name));
    }
    complete.then_some(bands)
}

fn synonyms(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<(String, Value)>> {
    let entries = reader.object(node, "`synonyms`")?;
    let mut spellings: Vec<(String, Value)> = Vec::new();
    let mut complete = true;
    for (key, content) in entries {
        let meant = Value::String(key.text.clone());
        let list = match &content.content {
            Content::List(items) => items.as_slice(),
            _ => std::slice::from_ref(content),
        };
        let own = (key.text.as_str(), key.place);
        let given = list.iter().map(|item| (item.text().unwrap_or_default(), item.place));
        for (text, place) in std::iter::once(own).chain(given) {
            let spelling = text.trim().to_lowercase();
            match spellings.iter().find(|(known, _)| *known == spelling) {
                Some((_, other)) if *other != meant => {
                    let message = format!("`{text}` would mean two things");
                    reader.tell(Diagnostic::new("synonym-doubled", place, message).offending(text));
                    complete = false;
                }
                Some(_) => {}
                None if spelling.is_empty() => {
                    reader.tell(Diagnostic::new("not-a-text", place, "a spelling must be a text"));
                    complete = false;
                }
                None => spellings.push((spelling, meant.clone())),
            }
        }
    }
    complete.then_some(spellings)
}

fn map(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<(String, Value)>> {
    let entries = reader.object(node, "`map`")?;
    let pairs: Vec<Option<(String, Value)>> = entries
        .iter()
        .map(|(key, content)| {
            reader.scalar(content, "a value of `map`").map(|value| (key.text.clone(), value))
        })
        .collect();
    pairs.into_iter().collect()
}

fn lookup(reader: &mut Reader<'_>, node: &Node) -> Option<Operation> {
    reader.known(node, "`lookup`", &["table", "key", "take"])?;
    let (Some(table), Some(key), Some(take)) = (node.get("table"), node.get("key"), node.get("take")) else {
        let told = Diagnostic::new("missing-key", node.place, "`lookup` needs `table`, `key` and `take`");
        reader.tell(told.hint("lookup: { table: facilities.csv, key: code, take: uid }"));
        return None;
    };
    let (table, key, take) = reader.table(table, key, take)?;
    Some(Operation::Lookup { table, key, take })
}
