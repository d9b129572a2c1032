//! YAML 1.2 as a tree in which every node knows its line and column.
//!
//! Aliases are expanded under a bound on the number of nodes, so a file cannot grow without limit.
//! **Never** guesses: only `true` and `false` are booleans, a number with a leading zero is text, a
//! key given twice is an error, map keys are text as written.

use granit_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::Value;
use std::collections::HashMap;

use super::diagnostic::{Diagnostic, Place};

/// Longest mapping file, in bytes.
pub const MAX_BYTES: usize = 512 * 1024;
/// Most nodes after aliases are expanded.
pub const MAX_NODES: usize = 50_000;
/// Deepest nesting.
pub const MAX_DEPTH: usize = 48;

/// A YAML node and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub place: Place,
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// The text, and whether it was written plain: only plain text can be a number or a boolean.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key as written, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    pub text: String,
    pub place: Place,
}

impl Node {
    /// The value of a key of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|(name, _)| name.text == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// What stands below the key at `place`, at any depth.
    pub fn below(&self, place: Place) -> Option<&Node> {
        match &self.content {
            Content::Map(entries) => entries
                .iter()
                .find_map(|(key, inner)| if key.place == place { Some(inner) } else { inner.below(place) }),
            Content::List(items) => items.iter().find_map(|item| item.below(place)),
            Content::Scalar { .. } => None,
        }
    }

    /// Where a key of this map stands.
    pub fn place_of(&self, name: &str) -> Option<Place> {
        let Content::Map(entries) = &self.content else { return None };
        entries.iter().find(|(key, _)| key.text == name).map(|(key, _)| key.place)
    }

    /// The scalar's text as written.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// What the node is as JSON: YAML's core schema, with leading zeros as text.
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar { text, plain: false } => Value::String(text.clone()),
            Content::Scalar { text, plain: true } => plain_scalar(text),
            Content::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Content::Map(entries) => {
                Value::Object(entries.iter().map(|(key, node)| (key.text.clone(), node.to_json())).collect())
            }
        }
    }

    /// What it is, in words for an error.
    pub fn what(&self) -> &'static str {
        match self.content {
            Content::Scalar { .. } => "a text",
            Content::List(_) => "a list",
            Content::Map(_) => "an object",
        }
    }

    /// A few characters of the node for an error.
    pub fn excerpt(&self) -> String {
        self.text().unwrap_or_default().chars().take(80).collect()
    }
}

/// `true`, `false`, null and JSON numbers; everything else is text.
fn plain_scalar(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "" | "null" | "~" => Value::Null,
        _ if is_json_number(text) => {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
        }
        _ => Value::String(text.to_owned()),
    }
}

/// JSON's grammar for numbers: no leading zero, no plus sign, no hexadecimal.
fn is_json_number(text: &str) -> bool {
    let first = text.bytes().next();
    matches!(first, Some(b'-' | b'0'..=b'9')) && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

/// Parses one YAML document.
///
/// # Errors
/// The first mistake in its syntax, or every key that is given twice.
pub fn parse(text: &str) -> Result<Node, Vec<Diagnostic>> {
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len());
        return Err(vec![Diagnostic::new("file-too-large", Place { line: 1, column: 1 }, message)]);
    }
    let mut builder = Builder::default();
    let mut options = granit_parser::options! { block_nesting_limit: 64, flow_nesting_limit: 64 };
    options.set_emit_comments(false);
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            let message = format!("this is not YAML: {}", error.info());
            let told = Diagnostic::new("yaml-syntax", marker_place(error.marker()), message);
            vec![bracketed(text, told)]
        })?;
        builder.take(&event, &span).map_err(|diagnostic| vec![*diagnostic])?;
    }
    builder.finish()
}

/// The mistake that authors make most: a path with brackets within YAML's own.
fn bracketed(text: &str, told: Diagnostic) -> Diagnostic {
    let line = text.lines().nth((told.place.line as usize).saturating_sub(1)).unwrap_or_default();
    let path = line.find("$.").and_then(|at| line.get(at..)).is_some_and(|rest| rest.contains('['));
    match path {
        true => told.hint("within `{ }` or `[ ]` a path that has brackets itself needs quotes: '$.a[0].b'"),
        false => told,
    }
}

fn marker_place(marker: &granit_parser::Marker) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: number(marker.line()), column: number(marker.col()).saturating_add(1) }
}

/// Events to tree, without recursion.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    documents: usize,
    duplicates: Vec<Diagnostic>,
}

struct Open {
    node: Node,
    anchor: usize,
    key: Option<Key>,
}

impl Builder {
    fn take(&mut self, event: &Event<'_>, span: &Span) -> Result<(), Box<Diagnostic>> {
        let place = marker_place(&span.start);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Box::new(Diagnostic::new(
                        "yaml-several",
                        place,
                        "a file holds one mapping, not several",
                    )));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.no_tag(tag.is_some(), place)?;
                let content = Content::Scalar { text: text.to_string(), plain: *style == ScalarStyle::Plain };
                self.add(Node { place, content }, *anchor)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.no_tag(tag.is_some(), place)?;
                self.enter(Node { place, content: Content::List(Vec::new()) }, *anchor)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.no_tag(tag.is_some(), place)?;
                self.enter(Node { place, content: Content::Map(Vec::new()) }, *anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.add(open.node, open.anchor)?;
                }
            }
            Event::Alias(anchor) => self.alias(*anchor, place)?,
            _ => {}
        }
        Ok(())
    }

    fn no_tag(&self, tagged: bool, place: Place) -> Result<(), Box<Diagnostic>> {
        if tagged {
            return Err(Box::new(
                Diagnostic::new("yaml-tag", place, "YAML tags (`!name`) have no meaning here")
                    .hint("put text in quotes to keep it text"),
            ));
        }
        Ok(())
    }

    fn enter(&mut self, node: Node, anchor: usize) -> Result<(), Box<Diagnostic>> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Box::new(Diagnostic::new("yaml-too-deep", node.place, "nested too deeply")));
        }
        self.open.push(Open { node, anchor, key: None });
        Ok(())
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Box<Diagnostic>> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(Box::new(Diagnostic::new(
                "yaml-alias",
                place,
                "an alias (`*name`) within its own anchor",
            )));
        };
        // The bound is checked before the copy is kept: aliases of aliases grow exponentially.
        self.nodes = self.nodes.saturating_add(count(&node));
        if self.open.len() + depth(&node) > MAX_DEPTH {
            return Err(Box::new(Diagnostic::new("yaml-too-deep", place, "nested too deeply")));
        }
        self.add(node, 0)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Box<Diagnostic>> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > MAX_NODES {
            let message = format!("the file has more than {MAX_NODES} nodes once aliases are expanded");
            return Err(Box::new(Diagnostic::new("file-too-large", node.place, message)));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut parent.node.content {
            Content::List(items) => items.push(node),
            Content::Map(entries) => match parent.key.take() {
                Some(key) => entries.push((key, node)),
                None => parent.key = Some(Self::key(&mut self.duplicates, entries, &node)?),
            },
            Content::Scalar { .. } => {}
        }
        Ok(())
    }

    fn key(told: &mut Vec<Diagnostic>, entries: &[(Key, Node)], node: &Node) -> Result<Key, Box<Diagnostic>> {
        let Content::Scalar { text, plain } = &node.content else {
            return Err(Box::new(
                Diagnostic::new("yaml-key", node.place, "a key must be text")
                    .hint("`{ … }` or `[ … ]` as a key: is a value in braces missing its quotes?"),
            ));
        };
        if *plain && text == "<<" {
            return Err(Box::new(
                Diagnostic::new("yaml-merge", node.place, "`<<` is not part of YAML 1.2")
                    .offending("<<")
                    .hint("write the keys out, or use an alias for the whole object"),
            ));
        }
        if let Some((first, _)) = entries.iter().find(|(key, _)| key.text == *text) {
            let message = format!("`{text}` is given twice; the first is on line {}", first.place.line);
            told.push(Diagnostic::new("duplicate-key", node.place, message).offending(text.clone()));
        }
        Ok(Key { text: text.clone(), place: node.place })
    }

    fn finish(self) -> Result<Node, Vec<Diagnostic>> {
        if !self.duplicates.is_empty() {
            return Err(self.duplicates);
        }
        self.root.ok_or_else(|| {
            vec![Diagnostic::new("file-empty", Place { line: 1, column: 1 }, "the file is empty")]
        })
    }
}

fn count(node: &Node) -> usize {
    match &node.content {
        Content::Scalar { .. } => 1,
        Content::List(items) => items.iter().map(count).fold(1, usize::saturating_add),
        Content::Map(entries) => entries.iter().map(|(_, node)| count(node)).fold(1, usize::saturating_add),
    }
}

fn depth(node: &Node) -> usize {
    match &node.content {
        Content::Scalar { .. } => 0,
        Content::List(items) => items.iter().map(depth).max().unwrap_or(0) + 1,
        Content::Map(entries) => entries.iter().map(|(_, node)| depth(node)).max().unwrap_or(0) + 1,
    }
}

#[cfg(test)]
mod tests;
