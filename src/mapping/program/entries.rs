//! `to`: one entry a target, its generic keys and its fields.

use super::reader::Reader;
use super::{Destination, Entry, MAX_ENTRIES, acts, conditions, fields, values};
use crate::mapping::diagnostic::Diagnostic;
use crate::mapping::expression::Source;
use crate::mapping::output::{Nature, Withdraw};
use crate::mapping::source::{Key, Node};
use crate::mapping::target::{Shape, Target};
use serde_json::Value;

pub(super) const GENERIC: [&str; 8] =
    ["id", "destination", "when", "each", "key", "needs", "withdraw", "writeBack"];
pub(super) const OF_ACTS: [&str; 3] = ["reason", "after", "consent"];

/// `None` when an entry has a mistake.
pub(super) fn entries(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<Entry>> {
    let items = reader.list(node, "`to`")?;
    if items.is_empty() {
        reader.tell(Diagnostic::new("to-empty", node.place, "`to` makes nothing"));
    }
    if let Some(item) = items.get(MAX_ENTRIES) {
        let message = format!("`to` has {} entries; at most {MAX_ENTRIES} are read", items.len());
        reader.tell(Diagnostic::new("too-many-entries", item.place, message));
        return None;
    }
    reader.has_destination = true;
    let kinds: Vec<&str> = items.iter().filter_map(kind).collect();
    let entries: Vec<Option<Entry>> = items.iter().map(|item| entry(reader, item, &kinds)).collect();
    reader.has_destination = false;
    let entries: Vec<Entry> = entries.into_iter().collect::<Option<_>>()?;
    ids(reader, &entries);
    Some(entries)
}

fn kind(item: &Node) -> Option<&str> {
    match &item.content {
        crate::mapping::source::Content::Map(keys) => keys.first().map(|(key, _)| key.text.as_str()),
        _ => None,
    }
}

fn entry(reader: &mut Reader<'_>, item: &Node, kinds: &[&str]) -> Option<Entry> {
    let keys = reader.object(item, "an entry of `to`")?;
    let [(kind, body)] = keys else {
        let told = Diagnostic::new("entry-kind", item.place, "an entry of `to` has one key: its target");
        reader.tell(told.hint("the fields are indented below the target, as in `- dhis2.report:`"));
        return None;
    };
    let registry = reader.settings.registry;
    let Some(target) = registry.get(&kind.text) else {
        let message = format!("there is no target `{}`", kind.text);
        let known: Vec<&str> = registry.iter().map(|target| target.kind()).collect();
        let mut told = Diagnostic::new("unknown-target", kind.place, message).offending(&kind.text);
        told.hint = Some(format!("there are: {}", known.join(", ")));
        reader.tell(told.meant(known.iter().copied()));
        return None;
    };
    let repeated = kinds.iter().filter(|other| **other == kind.text).count() > 1;
    body_of(reader, kind, body, target.as_ref(), repeated)
}

fn body_of(
    reader: &mut Reader<'_>,
    kind: &Key,
    body: &Node,
    target: &dyn Target,
    repeated: bool,
) -> Option<Entry> {
    reader.object(body, &format!("`{}`", kind.text))?;
    let shape = target.shape();
    let names = reader.names.len();
    let each = generic(reader, body, &shape, "each", |reader, node| reader.path(node, "`each`"));
    if body.get("each").is_some() {
        reader.names.extend(["item".to_owned(), "index".to_owned()]);
    }
    let entry = contents(reader, kind, body, target, &shape);
    reader.names.truncate(names);
    let mut entry = entry?;
    entry.each = each?;
    if entry.each.is_some() && entry.key.is_none() {
        let told = Diagnostic::new("missing-key", kind.place, "`each` needs `key`");
        reader.tell(
            told.hint("a name for each item that stays the same when items are added: key: $.item.linkId"),
        );
    }
    if repeated && body.get("id").is_none() {
        let message = format!("`{}` stands in `to` more than once: each needs an `id`", kind.text);
        reader.tell(Diagnostic::new("missing-key", kind.place, message).offending(&kind.text));
    }
    Some(entry)
}

/// A generic key; `Some(None)` where it is not given, or where the target has a field of that name.
pub(super) fn generic<'n, T>(
    reader: &mut Reader<'_>,
    body: &'n Node,
    shape: &Shape,
    key: &str,
    read: impl FnOnce(&mut Reader<'_>, &'n Node) -> Option<T>,
) -> Option<Option<T>> {
    if shape.fields.iter().any(|field| field.name == key) {
        return Some(None);
    }
    match body.get(key) {
        Some(node) => read(reader, node).map(Some),
        None => Some(None),
    }
}

fn contents(
    reader: &mut Reader<'_>,
    kind: &Key,
    body: &Node,
    target: &dyn Target,
    shape: &Shape,
) -> Option<Entry> {
    let id = generic(reader, body, shape, "id", identifier);
    let destination = destination(reader, kind, body, (shape, target.home()));
    let when = generic(reader, body, shape, "when", conditions::condition);
    let key = generic(reader, body, shape, "key", values::value);
    let needs = generic(reader, body, shape, "needs", |reader, node| {
        let items = reader.list(node, "`needs`")?;
        items.iter().map(|item| reader.text(item, "an id").map(str::to_owned)).collect::<Option<Vec<_>>>()
    });
    let withdraw = generic(reader, body, shape, "withdraw", |reader, node| {
        let word = reader.word(node, "`withdraw`", &["delete", "keep"])?;
        Some(if word == "delete" { Withdraw::Delete } else { Withdraw::Keep })
    });
    let write_back = write_back(reader, body, shape, target);
    let act = acts::act(reader, body, shape, target.nature());
    let mut known: Vec<&str> = GENERIC.to_vec();
    known.extend(OF_ACTS);
    let fields =
        fields::fields(reader, body, shape, &fields::Within { what: target.kind(), generic: &known });
    let fields = fields?;
    fields::complaints(reader, body, target, &fields);
    Some(Entry {
        place: kind.place,
        kind: kind.text.clone(),
        target_id: id?.unwrap_or_else(|| kind.text.clone()),
        destination: destination?,
        when: when?,
        each: None,
        key: key?,
        needs: needs?.unwrap_or_default(),
        withdraw: withdraw?.unwrap_or_else(|| target.withdraw()),
        write_back: write_back?,
        act: act?,
        fields,
    })
}

/// Only what has a remote object can be written back.
fn write_back(reader: &mut Reader<'_>, body: &Node, shape: &Shape, target: &dyn Target) -> Option<bool> {
    let flag = generic(reader, body, shape, "writeBack", |reader, node| {
        let flag = reader.flag(node, "`writeBack`")?;
        let is_here = target.home().is_some() && body.get("destination").is_none();
        if flag && (!target.writes_back() || is_here) {
            let message =
                "`writeBack` is for what is made of a resource over there (a contact, a tracked entity)";
            reader.tell(Diagnostic::new("key-not-here", node.place, message));
            return None;
        }
        if flag && body.get("each").is_some() {
            let message = "`writeBack` does not go with `each`: one resource cannot be several things there";
            reader.tell(Diagnostic::new("key-not-here", node.place, message));
            return None;
        }
        Some(flag)
    });
    flag.map(|flag| flag.unwrap_or(false))
}

fn identifier(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "`id`")?;
    if text.len() <= 60 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return Some(text.to_owned());
    }
    let told = Diagnostic::new("bad-name", node.place, format!("`{text}` is no id for an entry"));
    reader.tell(told.offending(text).hint("letters, digits, `-`, `_` and `.`; the id is permanent"));
    None
}

/// The entry's own, or the only one that is configured for its system.
fn destination(
    reader: &mut Reader<'_>,
    kind: &Key,
    body: &Node,
    (shape, home): (&Shape, Option<&str>),
) -> Option<Destination> {
    let system = kind.text.split('.').next().unwrap_or_default();
    let among: Vec<String> = reader.settings.destinations.map_or_else(Vec::new, |all| {
        all.iter().filter(|(known, _)| known == system).map(|(_, name)| name.clone()).collect()
    });
    let checked = reader.settings.destinations.is_some();
    if let Some(value) = generic(reader, body, shape, "destination", values::value)? {
        return named(reader, value, among, checked, system);
    }
    if let Some(home) = home {
        return Some(Destination::Fixed(home.to_owned()));
    }
    match among.as_slice() {
        [only] => Some(Destination::Fixed(only.clone())),
        [] if !checked => Some(Destination::Fixed(system.to_owned())),
        [] => {
            let message = format!("no {system} destination is configured");
            let told = Diagnostic::new("no-destination", kind.place, message).offending(&kind.text);
            reader.tell(told.hint(format!("add a section [{system}.NAME] to mjumbe.toml")));
            None
        }
        several => {
            let message = format!("several {system} destinations are configured: say which");
            let told = Diagnostic::new("missing-key", kind.place, message).offending(&kind.text);
            reader.tell(told.hint(format!("destination: one of {}", several.join(", "))));
            None
        }
    }
}

fn named(
    reader: &mut Reader<'_>,
    value: crate::mapping::expression::Expression,
    among: Vec<String>,
    checked: bool,
    system: &str,
) -> Option<Destination> {
    let (Source::Constant(Value::String(name)), true) = (&value.source, value.steps.is_empty()) else {
        return Some(Destination::Computed { value, among });
    };
    if checked && !among.contains(name) {
        let message = format!("no {system} destination `{name}` is configured");
        let told = Diagnostic::new("unknown-destination", value.place, message).offending(name);
        reader.tell(told.meant(among.iter().map(String::as_str)));
        return None;
    }
    Some(Destination::Fixed(name.clone()))
}

/// Ids are unique, and `needs` names ones that stand before: nothing can wait for itself.
fn ids(reader: &mut Reader<'_>, entries: &[Entry]) {
    for (index, entry) in entries.iter().enumerate() {
        let before = entries.get(..index).unwrap_or_default();
        // Entries of one kind without ids were told already.
        let is_same = |other: &Entry| {
            other.target_id == entry.target_id && (other.kind != entry.kind || entry.target_id != entry.kind)
        };
        if before.iter().any(is_same) {
            let message = format!("two entries have the id `{}`", entry.target_id);
            reader.tell(Diagnostic::new("duplicate-id", entry.place, message));
        }
        let known: Vec<&str> = before.iter().map(|other| other.target_id.as_str()).collect();
        for need in entry.needs.iter().filter(|need| !known.contains(&need.as_str())) {
            let message = format!("`needs` names `{need}`, which is no id of an entry before this one");
            reader.tell(Diagnostic::new("unknown-need", entry.place, message).offending(&entry.kind));
        }
        counted(reader, entry, before);
    }
}

/// A count belongs to many sources: it has no point at which it is settled for one of them.
fn counted(reader: &mut Reader<'_>, entry: &Entry, before: &[Entry]) {
    let registry = reader.settings.registry;
    let counts = |kind: &str| registry.get(kind).is_some_and(|target| target.nature() == Nature::Count);
    let needed = before.iter().find(|other| entry.needs.contains(&other.target_id) && counts(&other.kind));
    let message = match needed {
        Some(other) => format!("`needs` names `{}`, which is a count", other.target_id),
        None if !entry.needs.is_empty() && counts(&entry.kind) => {
            format!("`needs` stands at `{}`, which is a count", entry.target_id)
        }
        None => return,
    };
    let told = Diagnostic::new("need-of-count", entry.place, message).offending(&entry.kind);
    reader.tell(told.hint("a count has many sources and waits for none of them: leave it out of `needs`"));
}
