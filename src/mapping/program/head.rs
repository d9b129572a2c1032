//! The top of a mapping file: its name, `from`, and the order in which the rest is read.

use super::reader::Reader;
use super::{Entry, From, Lookup, conditions, entries, lookups};
use crate::mapping::diagnostic::{Diagnostic, Place};
use crate::mapping::source::{Content, Node};

const KEYS: [&str; 5] = ["mapping", "description", "from", "with", "to"];
const FROM_KEYS: [&str; 6] = ["resource", "document", "flow", "questionnaire", "status", "where"];

/// A program without what only its file knows.
pub(super) struct Head {
    pub(super) name: String,
    pub(super) name_place: Place,
    pub(super) description: Option<String>,
    pub(super) from: From,
    pub(super) with: Vec<Lookup>,
    pub(super) to: Vec<Entry>,
}

/// `None` when something was told that leaves no program.
pub(super) fn program(reader: &mut Reader<'_>, root: &Node) -> Option<Head> {
    reader.known(root, "a mapping", &KEYS)?;
    let name = name(reader, root);
    let description =
        root.get("description").and_then(|node| reader.text(node, "`description`")).map(str::to_owned);
    let from = match root.get("from") {
        Some(node) => from(reader, node),
        None => {
            reader.missing(root.place, "a mapping", "from");
            None
        }
    };
    let with = root.get("with").map(|node| lookups::lookups(reader, node)).unwrap_or_default();
    let to = match root.get("to") {
        Some(node) => entries::entries(reader, node),
        None => {
            reader.missing(root.place, "a mapping", "to");
            None
        }
    };
    let name_place = root.get("mapping").map_or(root.place, |node| node.place);
    Some(Head { name: name?, name_place, description, from: from?, with, to: to? })
}

fn name(reader: &mut Reader<'_>, root: &Node) -> Option<String> {
    let Some(node) = root.get("mapping") else {
        reader.missing(root.place, "a mapping", "mapping");
        return None;
    };
    let text = reader.text(node, "`mapping`")?;
    if text.len() <= 100 && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return Some(text.to_owned());
    }
    let message = format!("`{text}` is no name for a mapping");
    let told = Diagnostic::new("bad-name", node.place, message).offending(text);
    reader.tell(told.hint("small letters, digits and `-`; the name is permanent, deliveries carry it"));
    None
}

fn from(reader: &mut Reader<'_>, node: &Node) -> Option<From> {
    let entries = reader.known(node, "`from`", &FROM_KEYS)?;
    let (kind, is_document) = kind(reader, node)?;
    if kind != "QuestionnaireResponse" {
        let unused = |name: &str| (name == "flow" && !is_document) || name == "questionnaire";
        for (key, _) in entries.iter().filter(|(key, _)| unused(&key.text)) {
            let message = format!("`{}` goes with `resource: QuestionnaireResponse`", key.text);
            reader.tell(Diagnostic::new("key-not-here", key.place, message).offending(&key.text));
        }
    }
    let text = |reader: &mut Reader<'_>, key: &str| {
        node.get(key).and_then(|value| reader.text(value, &format!("`{key}`"))).map(str::to_owned)
    };
    let (flow, questionnaire) = (text(reader, "flow"), text(reader, "questionnaire"));
    let status = node.get("status").map(|value| words(reader, value, "`status`")).unwrap_or_default();
    let condition = match node.get("where") {
        Some(value) => Some(conditions::condition(reader, value)?),
        None => None,
    };
    Some(From { place: node.place, kind, is_document, flow, questionnaire, status, condition })
}

fn kind(reader: &mut Reader<'_>, node: &Node) -> Option<(String, bool)> {
    match (node.get("resource"), node.get("document")) {
        (Some(resource), None) => {
            let name = reader.text(resource, "`resource`")?;
            let known = crate::fhir::elements::table().kinds();
            if !known.contains(&name) {
                let message = format!("`{name}` is not a type of FHIR R4");
                let mut told = Diagnostic::new("unknown-resource", resource.place, message).offending(name);
                told.did_you_mean = crate::mapping::diagnostic::nearest(name, known.iter().copied());
                reader.tell(told);
                return None;
            }
            Some((name.to_owned(), false))
        }
        (None, Some(document)) => {
            let name = reader.text(document, "`document`")?;
            let parts: Vec<&str> = name.split('.').collect();
            let is_word = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric());
            if parts.len() == 2 && parts.iter().all(is_word) {
                return Some((name.to_owned(), true));
            }
            let told = Diagnostic::new(
                "unknown-document",
                document.place,
                format!("`{name}` is no kind of document"),
            );
            reader.tell(told.offending(name).hint("kinds are written SYSTEM.KIND: rapidpro.run"));
            None
        }
        _ => {
            let told =
                Diagnostic::new("from-kind", node.place, "`from` needs either `resource` or `document`");
            reader.tell(told);
            None
        }
    }
}

/// A text or a list of texts.
fn words(reader: &mut Reader<'_>, node: &Node, what: &str) -> Vec<String> {
    match &node.content {
        Content::List(items) => {
            items.iter().filter_map(|item| reader.text(item, what)).map(str::to_owned).collect()
        }
        _ => reader.text(node, what).map(str::to_owned).into_iter().collect(),
    }
}
