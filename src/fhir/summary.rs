//! `_summary` and `_elements`: a part of a resource, marked as one.
//! <https://hl7.org/fhir/R4/search.html#summary>
//!
//! Which elements a summary has comes from the official definitions (`tables/summary.txt`, written by
//! `tools/r4-tables.py`). What R4 requires is always kept. **Never** changes what is stored: a part is made for one answer, and
//! what carries its mark is refused on the way in ([`is_part`]).

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::fhir::elements::{Content, Node, table};
use crate::fhir::outcome::{IssueType, Outcome, did_you_mean};

/// The elements of a summary, by type or backbone.
static SUMMARY: LazyLock<HashMap<&'static str, HashSet<&'static str>>> = LazyLock::new(|| {
    let lines = include_str!("tables/summary.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.collect()))
        })
        .collect()
});

/// The code system of [`SUBSETTED`].
const SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
/// The tag of what is a part of a resource.
const SUBSETTED: &str = "SUBSETTED";
/// `_elements` names this many, at most.
const ELEMENTS_MAX: usize = 200;

/// What an answer holds of each resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Shape {
    #[default]
    Full,
    /// `_summary=true`
    Summary,
    /// `_summary=text`: the narrative and what is mandatory.
    Text,
    /// `_summary=data`: all but the narrative.
    Data,
    /// `_elements`
    Elements(Vec<Wanted>),
}

/// One name of `_elements`: `name`, or `Patient.name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    kind: Option<&'static str>,
    element: String,
}

/// Why a resource is in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It was asked for.
    Match,
    /// It came along by `_include`: names of `_elements` without a type are not about it.
    Include,
}

impl Shape {
    /// Reads `_summary` (but for `count`, which is a search's) and `_elements` of a request about `kind`.
    ///
    /// # Errors
    /// 400 for a value that is none, and for both at once.
    pub fn parse(kind: &str, pairs: &[(String, String)]) -> Result<Self, Outcome> {
        let mut shape = Self::Full;
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            match name.as_str() {
                "_summary" => shape.and(Self::summary(value)?)?,
                "_elements" => shape.and(Self::elements(&[kind], value)?)?,
                _ => {}
            }
        }
        Ok(shape)
    }

    /// Adds what another parameter says.
    ///
    /// # Errors
    /// 400 where both `_summary` and `_elements` are given.
    pub fn and(&mut self, other: Self) -> Result<(), Outcome> {
        match (&mut *self, other) {
            (_, Self::Full) => {}
            (Self::Full, other) => *self = other,
            (Self::Elements(names), Self::Elements(more)) => names.extend(more),
            (known, other) if *known == other => {}
            _ => {
                let text = "_summary and _elements: give one of them, once";
                return Err(Outcome::error(IssueType::Invalid, "summary-and-elements", text));
            }
        }
        Ok(())
    }

    /// `_summary`'s value.
    ///
    /// # Errors
    /// 400 where it is none.
    pub fn summary(value: &str) -> Result<Self, Outcome> {
        match value {
            "true" => Ok(Self::Summary),
            "text" => Ok(Self::Text),
            "data" => Ok(Self::Data),
            "false" => Ok(Self::Full),
            "count" => {
                let text = "_summary: count is for searches";
                Err(Outcome::error(IssueType::Value, "bad-value", text).hint("true, text, data or false"))
            }
            _ => {
                let text = "_summary: true, text, data, count or false";
                Err(Outcome::error(IssueType::Value, "bad-value", text))
            }
        }
    }

    /// `_elements`' value: names at the root of a resource of one of these types, with or without the type.
    ///
    /// # Errors
    /// 400 for a name that none of them has.
    pub fn elements(kinds: &[&str], value: &str) -> Result<Self, Outcome> {
        let mut wanted = Vec::new();
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let (own, element) = match name.split_once('.') {
                Some((own, element)) => (table().kind(own), element),
                None => (None, name),
            };
            // `Patient.name.family` asks for a part of an element: the whole element is given.
            let element = element.split('.').next().unwrap_or_default().trim_end_matches("[x]");
            let dotted = name.contains('.');
            let asked: Vec<&'static str> = match own {
                _ if !dotted => kinds.iter().filter_map(|kind| table().kind(kind)).collect(),
                own => own.into_iter().collect(),
            };
            let known = |kind: &&str| table().node(kind).is_none_or(|node| has(node, element));
            if (dotted || !asked.is_empty()) && !asked.iter().any(known) {
                return Err(no_element(asked.first().copied(), element));
            }
            wanted.push(Wanted { kind: own, element: element.to_owned() });
        }
        if wanted.len() > ELEMENTS_MAX {
            return Err(Outcome::error(IssueType::TooCostly, "too-many-values", "_elements: too many names"));
        }
        Ok(if wanted.is_empty() { Self::Full } else { Self::Elements(wanted) })
    }

    /// A resource as JSON text, reduced. What is stored is valid JSON; if it were not, it would go out as it is.
    pub fn apply(&self, text: String, role: Role) -> String {
        if *self == Self::Full {
            return text;
        }
        match serde_json::from_str(&text) {
            Ok(resource) => self.of(resource, role).to_string(),
            Err(_) => text,
        }
    }

    /// A resource, reduced and marked.
    pub fn of(&self, resource: Value, role: Role) -> Value {
        let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default();
        let Some(node) = table().node(kind).filter(|_| *self != Self::Full) else { return resource };
        let Value::Object(object) = resource else { return resource };
        let mut kept = match self {
            Self::Summary => summary(node, object),
            Self::Elements(names) => {
                let own: HashSet<&str> = names.iter().filter_map(|name| name.of(node.name, role)).collect();
                if own.is_empty() && role == Role::Include {
                    return Value::Object(object);
                }
                keep(node, object, |name| own.contains(name))
            }
            Self::Text => keep(node, object, |name| name == "text"),
            Self::Data | Self::Full => {
                let mut object = object;
                object.retain(|name, _| name != "text");
                object
            }
        };
        mark(&mut kept);
        Value::Object(kept)
    }
}

impl Wanted {
    fn of(&self, kind: &str, role: Role) -> Option<&str> {
        match self.kind {
            Some(own) if own != kind => None,
            None if role == Role::Include => None,
            _ => Some(&self.element),
        }
    }
}

fn has(node: &Node, element: &str) -> bool {
    node.elements.iter().any(|known| known.name == element) || node.keys.contains_key(element)
}

fn no_element(kind: Option<&'static str>, element: &str) -> Outcome {
    let shown: String = element.chars().filter(|c| c.is_ascii_alphanumeric()).take(64).collect();
    let (name, node) = match kind.and_then(|kind| table().node(kind)) {
        Some(node) => (node.name, Some(node)),
        None => ("R4", None),
    };
    let text = format!("_elements: {name} has no element {shown}");
    let outcome = Outcome::error(IssueType::Value, "unknown-element", text);
    let near = node.and_then(|node| did_you_mean(element, node.elements.iter().map(|element| element.name)));
    match near {
        Some(near) => outcome.hint(format!("did you mean {near}?")),
        None => outcome,
    }
}

/// The members that are wanted at the root, and those that every part has.
fn keep(node: &Node, object: Map<String, Value>, wanted: impl Fn(&str) -> bool) -> Map<String, Value> {
    let mut object = object;
    object.retain(|name, _| {
        let base = name.strip_prefix('_').unwrap_or(name);
        if matches!(base, "resourceType" | "id" | "meta") {
            return true;
        }
        let element = node.keys.get(base).and_then(|key| node.elements.get(key.element));
        element.is_none_or(|element| element.required || wanted(element.name) || wanted(base))
    });
    object
}

/// What is in a summary of this type, down to the last element.
fn summary(node: &Node, object: Map<String, Value>) -> Map<String, Value> {
    let Some(known) = SUMMARY.get(node.name) else { return object };
    let mut out = Map::new();
    for (name, value) in object {
        let base = name.strip_prefix('_').unwrap_or(&name);
        let Some(key) = node.keys.get(base) else {
            out.insert(name, value);
            continue;
        };
        let Some(element) = node.elements.get(key.element) else { continue };
        if element.required || known.contains(element.name) || base == "id" || base == "meta" {
            let value = match key.content {
                Content::Complex(index) => table().at(index).map_or(value.clone(), |node| part(node, value)),
                _ => value,
            };
            out.insert(name, value);
        }
    }
    out
}

/// The same of a value or of each in an array; whole where a summary would be empty.
fn part(node: &Node, value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(|item| part(node, item)).collect(),
        Value::Object(object) if node.name != "Meta" => {
            let kept = summary(node, object.clone());
            Value::Object(if kept.is_empty() { object } else { kept })
        }
        other => other,
    }
}

/// Marks a resource as a part of one.
pub fn mark(object: &mut Map<String, Value>) {
    let tag = json!({ "system": SYSTEM, "code": SUBSETTED, "display": "subsetted" });
    let meta = object.entry("meta").or_insert_with(|| json!({}));
    let Some(meta) = meta.as_object_mut() else { return };
    let tags = meta.entry("tag").or_insert_with(|| json!([]));
    if let Value::Array(tags) = tags
        && !tags.iter().any(is_subsetted)
    {
        tags.push(tag);
    }
}

fn is_subsetted(tag: &Value) -> bool {
    let text = |name: &str| tag.get(name).and_then(Value::as_str);
    // Older servers wrote another form of the same system's name.
    let system = matches!(text("system"), Some(SYSTEM | "http://hl7.org/fhir/v3/ObservationValue"));
    system && text("code") == Some(SUBSETTED)
}

/// Whether a resource is marked as a part of one, which must not take the place of the whole.
pub fn is_part(resource: &Value) -> bool {
    let tags = resource.pointer("/meta/tag").and_then(Value::as_array);
    tags.is_some_and(|tags| tags.iter().any(is_subsetted))
}

#[cfg(test)]
mod tests;
