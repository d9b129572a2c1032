//! The element table: what each R4 type and backbone may hold.
//!
//! Generated from the official definitions by `tools/r4-tables.py` (the format is described there),
//! embedded, and parsed once. **Never** edited by hand.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

static TABLE: LazyLock<Elements> = LazyLock::new(|| Elements::read(include_str!("tables/elements.txt")));

/// The table, parsed.
pub fn table() -> &'static Elements {
    &TABLE
}

/// All types and backbones.
pub struct Elements {
    nodes: Vec<Node>,
    by_name: HashMap<&'static str, usize>,
    kinds: Vec<&'static str>,
    sets: Sets,
}

/// A type (`HumanName`) or a backbone (`Patient.contact`).
pub struct Node {
    pub name: &'static str,
    /// What it is derived from: `DomainResource`, `Element`, `Quantity`; `Element` and `Resource` have none.
    pub base: &'static str,
    /// By JSON key; a choice has one key for each of its types.
    pub keys: HashMap<&'static str, Key>,
    /// Inherited ones first.
    pub elements: Vec<Element>,
}

/// An element as the definitions have it.
pub struct Element {
    /// Without `[x]`.
    pub name: &'static str,
    pub required: bool,
    pub many: bool,
    pub choice: bool,
}

/// A JSON key of a node.
pub struct Key {
    /// Index into [`Node::elements`].
    pub element: usize,
    /// The R4 type found there: `string`, `HumanName`, `Patient.contact`, `Resource`.
    pub kind: &'static str,
    pub content: Content,
    /// The codes of a required binding to a closed list.
    pub codes: Option<&'static HashSet<&'static str>>,
    /// The same of a CodeableConcept, by system.
    pub codings: Option<&'static Codings>,
    /// The resource types that a Reference here may name; empty: any.
    pub targets: &'static [&'static str],
}

/// The codes of a closed value set, by system.
pub type Codings = Vec<(&'static str, HashSet<&'static str>)>;

/// How a key's value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Primitive(Primitive),
    /// Index of a node.
    Complex(usize),
    /// Any resource: `contained`, `Bundle.entry.resource`.
    Resource,
}

/// R4's primitive types. <https://hl7.org/fhir/R4/datatypes.html#primitive>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Primitive {
    Base64Binary,
    Boolean,
    Canonical,
    Code,
    Date,
    DateTime,
    Decimal,
    Id,
    Instant,
    Integer,
    Markdown,
    Oid,
    PositiveInt,
    Text,
    Time,
    UnsignedInt,
    Uri,
    Url,
    Uuid,
    Xhtml,
}

impl Primitive {
    /// Their names in R4.
    pub const NAMES: [&'static str; 20] = [
        "base64Binary",
        "boolean",
        "canonical",
        "code",
        "date",
        "dateTime",
        "decimal",
        "id",
        "instant",
        "integer",
        "markdown",
        "oid",
        "positiveInt",
        "string",
        "time",
        "unsignedInt",
        "uri",
        "url",
        "uuid",
        "xhtml",
    ];

    /// The primitive type of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "base64Binary" => Self::Base64Binary,
            "boolean" => Self::Boolean,
            "canonical" => Self::Canonical,
            "code" => Self::Code,
            "date" => Self::Date,
            "dateTime" => Self::DateTime,
            "decimal" => Self::Decimal,
            "id" => Self::Id,
            "instant" => Self::Instant,
            "integer" => Self::Integer,
            "markdown" => Self::Markdown,
            "oid" => Self::Oid,
            "positiveInt" => Self::PositiveInt,
            "string" => Self::Text,
            "time" => Self::Time,
            "unsignedInt" => Self::UnsignedInt,
            "uri" => Self::Uri,
            "url" => Self::Url,
            "uuid" => Self::Uuid,
            "xhtml" => Self::Xhtml,
            _ => return None,
        })
    }
}

/// One row as written in the table.
struct Row {
    name: &'static str,
    required: bool,
    many: bool,
    kinds: Vec<&'static str>,
    set: Option<&'static str>,
    targets: Vec<&'static str>,
}

/// One node as written in the table.
struct Written {
    name: &'static str,
    base: &'static str,
    rows: Vec<Row>,
}

/// The closed value sets, as codes and as codings.
#[derive(Default)]
struct Sets {
    codes: HashMap<&'static str, &'static HashSet<&'static str>>,
    codings: HashMap<&'static str, &'static Codings>,
}

impl Elements {
    /// The node of a type or backbone.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(*self.by_name.get(name)?)
    }

    /// The node behind [`Content::Complex`].
    pub fn at(&self, index: usize) -> Option<&Node> {
        self.nodes.get(index)
    }

    /// The node itself and all that are derived from it.
    pub fn derived(&self, name: &str) -> Vec<&'static str> {
        let is = |node: &&Node| {
            let mut lineage = std::iter::successors(Some(*node), |node| self.node(node.base)).take(8);
            lineage.any(|node| node.name == name)
        };
        self.nodes.iter().filter(is).map(|node| node.name).collect()
    }

    /// The codes of one of R4's own closed value sets, with their systems (empty where only codes are bound to it).
    pub fn value_set(&self, url: &str) -> Option<Vec<(&'static str, &'static str)>> {
        let name = url.strip_prefix("http://hl7.org/fhir/ValueSet/")?;
        if let Some(codings) = self.sets.codings.get(name) {
            let all = codings.iter().flat_map(|(system, codes)| codes.iter().map(|code| (*system, *code)));
            return Some(all.collect());
        }
        self.sets.codes.get(name).map(|codes| codes.iter().map(|code| ("", *code)).collect())
    }

    /// The resource types, in alphabetical order.
    pub fn kinds(&self) -> &[&'static str] {
        &self.kinds
    }

    /// The table's own name of a resource type, if it is one.
    pub fn kind(&self, name: &str) -> Option<&'static str> {
        self.kinds.binary_search(&name).ok().and_then(|at| self.kinds.get(at).copied())
    }

    fn read(text: &'static str) -> Self {
        let (mut written, mut kinds, mut sets) = (Vec::new(), Vec::new(), Sets::default());
        let mut codings: HashMap<&'static str, Codings> = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(set) = line.strip_prefix("% ") {
                let mut words = set.split(' ');
                let name = words.next().unwrap_or_default();
                sets.codes.insert(name, Box::leak(Box::new(words.collect())));
            } else if let Some(set) = line.strip_prefix("& ") {
                let mut words = set.split(' ');
                let name = words.next().unwrap_or_default();
                let system = words.next().unwrap_or_default();
                codings.entry(name).or_default().push((system, words.collect()));
            } else if let Some(head) = line.strip_prefix("= ") {
                let mut words = head.split(' ');
                let name = words.next().unwrap_or_default();
                written.push(Written { name, base: words.next().unwrap_or("-"), rows: Vec::new() });
                if words.next().is_some() {
                    kinds.push(name);
                }
            } else if let (Some(node), Some(row)) = (written.last_mut(), read_row(line)) {
                node.rows.push(row);
            }
        }
        kinds.sort_unstable();
        for (name, codings) in codings {
            sets.codings.insert(name, Box::leak(Box::new(codings)));
        }
        let by_name: HashMap<_, _> =
            written.iter().enumerate().map(|(index, node)| (node.name, index)).collect();
        let nodes = written.iter().map(|node| resolve(node, &written, &by_name, &sets)).collect();
        Self { nodes, by_name, kinds, sets }
    }
}

fn read_row(line: &'static str) -> Option<Row> {
    let mut words = line.split(' ');
    let mut row = Row {
        name: words.next()?,
        required: words.next()? != "0",
        many: words.next()? == "*",
        kinds: words.next()?.split(',').collect(),
        set: None,
        targets: Vec::new(),
    };
    for word in words {
        if let Some(targets) = word.strip_prefix('>') {
            row.targets = targets.split(',').collect();
        } else {
            row.set = word.strip_prefix('!');
        }
    }
    Some(row)
}

/// A node with what it inherits, its choices spread over their JSON keys.
fn resolve(node: &Written, all: &[Written], by_name: &HashMap<&'static str, usize>, sets: &Sets) -> Node {
    let mut lineage = vec![node];
    while let Some(base) = lineage.last().and_then(|last| base_of(last, all, by_name)) {
        lineage.push(base);
    }
    let mut out = Node { name: node.name, base: base_name(node), keys: HashMap::new(), elements: Vec::new() };
    for row in lineage.iter().rev().flat_map(|written| written.rows.iter()) {
        let (name, choice) = match row.name.strip_suffix("[x]") {
            Some(name) => (name, true),
            None => (row.name, false),
        };
        let element = out.elements.len();
        out.elements.push(Element { name, required: row.required, many: row.many, choice });
        let targets: &'static [&'static str] = Box::leak(row.targets.clone().into_boxed_slice());
        for &kind in &row.kinds {
            let kind = kind.trim_start_matches(['@', '#']);
            let key = if choice { choice_key(name, kind) } else { name };
            let found = Key {
                element,
                kind,
                content: content(kind, by_name),
                codes: row.set.filter(|_| kind == "code").and_then(|set| sets.codes.get(set).copied()),
                codings: row.set.and_then(|set| sets.codings.get(set).copied()),
                targets: if kind == "Reference" { targets } else { &[] },
            };
            out.keys.insert(key, found);
        }
    }
    out
}

fn base_of<'a>(
    node: &Written,
    all: &'a [Written],
    by_name: &HashMap<&'static str, usize>,
) -> Option<&'a Written> {
    all.get(*by_name.get(base_name(node))?)
}

fn base_name(node: &Written) -> &'static str {
    match node.base {
        "R" => "Resource",
        "D" => "DomainResource",
        "E" => "Element",
        "B" => "BackboneElement",
        "-" => "",
        other => other,
    }
}

/// `value` + `dateTime` = `valueDateTime`.
fn choice_key(name: &str, kind: &str) -> &'static str {
    let mut key = name.to_owned();
    let mut letters = kind.chars();
    key.extend(letters.next().map(|first| first.to_ascii_uppercase()));
    key.push_str(letters.as_str());
    Box::leak(key.into_boxed_str())
}

fn content(kind: &str, by_name: &HashMap<&'static str, usize>) -> Content {
    match (Primitive::named(kind), by_name.get(kind)) {
        (Some(primitive), _) => Content::Primitive(primitive),
        (None, Some(&index)) if kind != "Resource" => Content::Complex(index),
        _ => Content::Resource,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_r4_resource_type_is_known() {
        assert_eq!(table().kinds().len(), 146);
        assert_eq!(table().kind("Patient"), Some("Patient"));
        assert_eq!(table().kind("Resource"), None);
        assert_eq!(table().kind("Nonsense"), None);
    }

    #[test]
    fn types_inherit_and_choices_spread() {
        let patient = table().node("Patient").unwrap();
        assert!(
            patient.keys.contains_key("deceasedBoolean") && patient.keys.contains_key("deceasedDateTime")
        );
        assert!(patient.keys.contains_key("id") && patient.keys.contains_key("contained"));
        assert_eq!(
            table().node("Age").unwrap().keys["value"].content,
            Content::Primitive(Primitive::Decimal)
        );
        let item = table().node("Questionnaire.item").unwrap();
        assert_eq!(item.keys["item"].kind, "Questionnaire.item");
    }

    #[test]
    fn required_bindings_to_closed_lists_have_codes() {
        let gender = table().node("Patient").unwrap().keys["gender"].codes.unwrap();
        assert!(gender.contains("female") && gender.len() == 4);
    }

    #[test]
    fn references_have_targets() {
        let subject = &table().node("Observation").unwrap().keys["subject"];
        assert_eq!(subject.targets, ["Patient", "Group", "Device", "Location"]);
        assert!(table().node("Observation").unwrap().keys["focus"].targets.is_empty());
        for node in &table().nodes {
            for target in node.keys.values().flat_map(|key| key.targets) {
                assert!(table().kind(target).is_some(), "{}: {target}", node.name);
            }
        }
    }

    #[test]
    fn every_type_named_in_the_table_exists() {
        for node in &table().nodes {
            for (key, found) in &node.keys {
                let known = found.kind == "Resource" || found.content != Content::Resource;
                assert!(known, "{}.{key} has the unknown type {}", node.name, found.kind);
            }
        }
    }
}
