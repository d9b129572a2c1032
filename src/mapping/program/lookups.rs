//! `with`: look-ups in order, each seeing the ones before.

use super::reader::{RESERVED, Reader};
use crate::fhir::parameters;

use super::{Climb, Lookup, LookupKind, MAX_LOOKUPS, conditions, values};
use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::expression::{Escape, Piece, Template};
use crate::mapping::source::{Key, Node};

const KINDS: [&str; 4] = ["reference", "search", "contact", "orgUnit"];
/// Brackets in a flow mapping need the quotes.
const CLIMB_EXAMPLE: &str = "up: partOf, until: { path: '$.item.type[0].coding[0].code', is: facility }";
const KEYS: [&str; 9] = ["reference", "search", "contact", "orgUnit", "follow", "up", "until", "many", "by"];

pub(super) fn lookups(reader: &mut Reader<'_>, node: &Node) -> Vec<Lookup> {
    let Some(entries) = reader.object(node, "`with`") else { return Vec::new() };
    if let Some((key, _)) = entries.get(MAX_LOOKUPS) {
        let message = format!("`with` has {} look-ups; at most {MAX_LOOKUPS} are made", entries.len());
        reader.tell(Diagnostic::new("too-many-lookups", key.place, message));
    }
    let mut lookups: Vec<Lookup> = Vec::new();
    for (key, node) in entries {
        let named = name(reader, key);
        reader.roots.clear();
        let lookup = lookup(reader, key, node);
        let uses = |lookup: &Lookup| reader.roots.contains(&lookup.name);
        let uses: Vec<usize> =
            lookups.iter().enumerate().filter(|(_, known)| uses(known)).map(|(index, _)| index).collect();
        // A look-up with a mistake still has a name, or every use of it would be a mistake too.
        if named {
            reader.names.push(key.text.clone());
        }
        if let Some((what, follow)) = lookup {
            lookups.push(Lookup { name: key.text.clone(), place: key.place, what, follow, uses });
        }
    }
    lookups
}

fn name(reader: &mut Reader<'_>, key: &Key) -> bool {
    let text = key.text.as_str();
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= 60
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name && !RESERVED.contains(&text) {
        return true;
    }
    let message = format!("`{text}` is no name for a look-up");
    let told = Diagnostic::new("bad-name", key.place, message).offending(text);
    reader.tell(told.hint(format!("letters, digits and `_`; not {}", RESERVED.join(", "))));
    false
}

fn lookup(reader: &mut Reader<'_>, key: &Key, node: &Node) -> Option<(LookupKind, bool)> {
    let entries = reader.known(node, "a look-up", &KEYS)?;
    let kinds: Vec<&(Key, Node)> =
        entries.iter().filter(|(key, _)| KINDS.contains(&key.text.as_str())).collect();
    let [(kind, asked)] = kinds.as_slice() else {
        let message = "a look-up has exactly one of reference, search, contact, orgUnit";
        reader.tell(Diagnostic::new("lookup-kind", node.place, message));
        return None;
    };
    let allowed: &[&str] = match kind.text.as_str() {
        "reference" => &["up", "until"],
        "search" => &["many"],
        "orgUnit" => &["by"],
        _ => &[],
    };
    for (other, _) in entries.iter().filter(|(other, _)| KEYS.contains(&other.text.as_str())) {
        let fits = other == kind || other.text == "follow" || allowed.contains(&other.text.as_str());
        if !fits {
            let message = format!("`{}` does not go with `{}`", other.text, kind.text);
            reader.tell(Diagnostic::new("key-not-here", other.place, message).offending(&other.text));
        }
    }
    let follow = node.get("follow").is_some_and(|value| reader.flag(value, "`follow`").unwrap_or(false));
    let what = match kind.text.as_str() {
        "reference" => {
            let reference = values::value(reader, asked)?;
            LookupKind::Reference { reference, climb: climb(reader, &key.text, node)? }
        }
        "contact" => LookupKind::Contact { reference: values::value(reader, asked)? },
        "orgUnit" => {
            let by = match node.get("by") {
                Some(by) => reader.text(by, "`by`")?.to_owned(),
                None => "uid".to_owned(),
            };
            LookupKind::OrgUnit { value: values::value(reader, asked)?, by }
        }
        _ => LookupKind::Search { query: search(reader, asked)?, many: many(reader, node)? },
    };
    Some((what, follow))
}

/// `Some(None)` where the look-up does not climb.
fn climb(reader: &mut Reader<'_>, name: &str, node: &Node) -> Option<Option<Climb>> {
    match (node.get("up"), node.get("until")) {
        (None, None) => Some(None),
        (Some(up), Some(until)) => {
            let up = reader.text(up, "`up`")?.to_owned();
            let names = reader.names.len();
            reader.names.extend([name.to_owned(), "item".to_owned()]);
            let until = conditions::condition(reader, until);
            reader.names.truncate(names);
            Some(Some(Climb { up, until: until? }))
        }
        (Some(node), None) | (None, Some(node)) => {
            reader.tell(
                Diagnostic::new("lookup-climb", node.place, "`up` and `until` go together")
                    .hint(CLIMB_EXAMPLE),
            );
            None
        }
    }
}

fn search(reader: &mut Reader<'_>, node: &Node) -> Option<Template> {
    let text = reader.text(node, "`search`")?;
    let template = values::template(reader, text, node.place, Escape::Search)?;
    let head = match template.parts.first() {
        Some(Piece::Text(text)) => text.split('?').next().filter(|head| head.len() < text.len()),
        _ => None,
    };
    let known = crate::fhir::elements::table().kinds();
    match head {
        Some(kind) if known.contains(&kind) => parameters(reader, kind, text, node).then_some(template),
        Some(kind) => {
            let told =
                Diagnostic::new("unknown-resource", node.place, format!("`{kind}` is not a type of FHIR R4"));
            let mut told = told.offending(kind);
            told.did_you_mean = crate::mapping::diagnostic::nearest(kind, known.iter().copied());
            reader.tell(told);
            None
        }
        None => {
            let told = Diagnostic::new("bad-search", node.place, "a search is written Type?parameter=value");
            reader
                .tell(told.offending(text).hint("search: \"Patient?identifier=urn:card|{$.answers.card}\""));
            None
        }
    }
}

/// Whether every parameter of the search is one of its type.
fn parameters(reader: &mut Reader<'_>, kind: &str, text: &str, node: &Node) -> bool {
    let given = text.split_once('?').map(|(_, given)| given).unwrap_or_default();
    let mut known = true;
    for name in given.split('&').filter_map(|pair| pair.split('=').next()) {
        // A modifier (`:exact`) and a chain (`.name`) are judged when the search is made.
        let name = name.split([':', '.']).next().unwrap_or_default();
        if name.starts_with('_') || parameters::find(kind, name).is_some() {
            continue;
        }
        let message = format!("`{name}` is not a search parameter of {kind}");
        let told = Diagnostic::new("unknown-parameter", node.place, message).offending(name);
        reader.tell(told.meant(parameters::of(kind).iter().map(|parameter| parameter.code)));
        known = false;
    }
    known
}

/// `Some(None)` where one match is wanted.
fn many(reader: &mut Reader<'_>, node: &Node) -> Option<Option<u32>> {
    let Some(node) = node.get("many") else { return Some(None) };
    let number = reader.integer(node, "`many`")?;
    match u32::try_from(number) {
        Ok(many @ 1..=1_000) => Some(Some(many)),
        _ => {
            reader.tell(Diagnostic::new("out-of-range", node.place, "`many` is between 1 and 1000"));
            None
        }
    }
}
