//! Contacts as the API shows, creates, changes and deletes them.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::http::Answer;
use super::super::time::micros;
use super::contact_body::{self, Change};
use super::gate::{Call, detail_answer, invalid, server_error};
use super::paging::{Window, page};
use super::state::{Contact, World};
use super::{fields, urns};

const UNKNOWN: &str = "No Contact matches the given query.";

pub(super) fn list(world: &World, call: &Call) -> Answer {
    let request = call.request;
    let deleted = request.flag("deleted");
    let urn = match request.parameter("urn") {
        // An unencoded "+" arrives as a space; RapidPro's normalisation forgives that.
        Some(text) => match urns::normalise(text, &world.country) {
            Some(urn) => Some(urn),
            None => return detail_answer(400, &format!("Invalid URN: {text}")),
        },
        None => None,
    };
    let uuid = request.parameter("uuid");
    if call.options.version >= 10 && uuid.is_some_and(|uuid| Uuid::parse_str(uuid).is_err()) {
        return detail_answer(400, "Value for uuid must be a valid UUID");
    }
    let expand = request.flag("expand_urns");
    if expand && call.mailroom_down {
        return server_error();
    }
    let group =
        request.parameter("group").map(|reference| world.group(reference).map(|group| group.uuid.clone()));
    let wanted = |contact: &&Contact| {
        contact.deleted == deleted
            && uuid.is_none_or(|uuid| contact.uuid == uuid)
            && urn.as_ref().is_none_or(|urn| contact.urns.contains(urn))
            && group
                .as_ref()
                .is_none_or(|group| group.as_ref().is_some_and(|uuid| contact.groups.contains(uuid)))
    };
    let rows = world
        .contacts
        .iter()
        .filter(wanted)
        .map(|contact| {
            let mut shown = world.show_contact(contact);
            if expand {
                shown["urns"] = contact.urns.iter().map(|urn| expanded(world, urn)).collect();
            }
            (contact.modified, shown)
        })
        .collect();
    page(request, Window::of(request), rows)
}

fn expanded(world: &World, urn: &str) -> Value {
    let (scheme, path) = urn.split_once(':').unwrap_or((urn, ""));
    json!({ "channel": null, "scheme": scheme, "path": path, "display": urns::display(urn, &world.country) })
}

/// Position of the contact that the query names, or what is said instead; `Ok(None)` is a create.
fn lookup(world: &World, call: &Call) -> Result<(Option<usize>, Option<String>), Answer> {
    if let Some(uuid) = call.request.parameter("uuid") {
        return match world.contact_at(uuid) {
            Some(at) => Ok((Some(at), None)),
            None => Err(detail_answer(404, UNKNOWN)),
        };
    }
    let Some(text) = call.request.parameter("urn") else { return Ok((None, None)) };
    let Some(urn) = urns::normalise(text, &world.country) else {
        return Err(detail_answer(400, &format!("Invalid URN: {text}")));
    };
    Ok((world.owner_of(&urn), Some(urn)))
}

pub(super) fn write(world: &mut World, call: &Call) -> Answer {
    let (at, new_urn) = match lookup(world, call) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let existing = at.and_then(|at| world.contacts.get(at));
    if existing.is_some_and(|contact| contact.deleted) {
        let error = json!({ "non_field_errors": ["Deleted contacts can't be modified."] });
        return Answer::json(400, &error);
    }
    if new_urn.is_some() && call.body.contains_key("urns") {
        return invalid("urns", "Field not allowed when using URN in URL");
    }
    let mut change = match contact_body::read(world, call) {
        Ok(change) => change,
        Err(answer) => return answer,
    };
    let inactive = existing.is_some_and(|contact| contact.status != "active");
    if inactive && change.groups.as_ref().is_some_and(|groups| !groups.is_empty()) {
        return invalid("groups", "Non-active contacts can't be added to groups");
    }
    if at.is_none() {
        if let Some(urn) = new_urn {
            change.urns = Some(vec![urn]);
        }
        if let Some(answer) = urns_in_use(world, call, change.urns.as_deref().unwrap_or(&[])) {
            return answer;
        }
    }
    let unique: BTreeSet<&String> = change.urns.iter().flatten().collect();
    // The same number twice breaks the database's unique key, and that is not caught.
    let doubled = unique.len() < change.urns.as_ref().map_or(0, Vec::len);
    if call.mailroom_down || doubled {
        return server_error();
    }
    let (status, at) = match at {
        Some(at) => (200, at),
        None => (201, world.new_contact()),
    };
    apply(world, call, at, change);
    world
        .contacts
        .get(at)
        .map_or_else(server_error, |contact| Answer::json(status, &world.show_contact(contact)))
}

fn urns_in_use(world: &World, call: &Call, urns: &[String]) -> Option<Answer> {
    let (at, urn) = urns.iter().enumerate().find(|(_, urn)| world.owner_of(urn).is_some())?;
    if call.options.version > 9 {
        let error = json!({ "urns": { at.to_string(): ["URN is in use by another contact."] } });
        return Some(Answer::json(400, &error));
    }
    Some(invalid("urns", &format!("URN belongs to another contact: {urn}")))
}

/// Makes the change; what changes nothing does not touch `modified_on`.
fn apply(world: &mut World, call: &Call, at: usize, change: Change) {
    let now = world.clock.tick();
    let zone = world.zone.clone();
    let Some(before) = world.contacts.get(at).cloned() else { return };
    let mut after = before.clone();
    if let Some(name) = change.name {
        after.name = name;
    }
    if let Some(language) = change.language {
        after.language = language;
    }
    if let Some(groups) = change.groups {
        after.groups = groups;
    }
    for (key, text) in change.fields {
        let kind =
            world.fields.iter().find(|field| field.key == key).map_or("text", |field| field.kind.as_str());
        match text.and_then(|text| fields::read_back(kind, &text, now, &zone)) {
            Some(value) => after.fields.insert(key, value),
            None => after.fields.remove(&key),
        };
    }
    let mut stolen = Vec::new();
    if let Some(urns) = change.urns {
        after.urns = claim(world, call, &before, urns, &mut stolen);
    }
    let changed = changes(&before, &after);
    let new = before.writes.is_empty();
    let what = match (new, changed.is_empty()) {
        (true, _) => "created",
        (false, true) => "unchanged",
        (false, false) => "updated",
    };
    after.writes.push(json!({ "request": call.request.number, "at": micros(now), "what": what,
        "changed": changed, "stolen": stolen }));
    if new || !changed.is_empty() {
        after.modified = world.clock.tick();
    }
    if let Some(contact) = world.contacts.get_mut(at) {
        *contact = after;
    }
}

/// Up to 10 a URN of another contact is taken from it without a word; later it is left where it is.
fn claim(
    world: &mut World,
    call: &Call,
    own: &Contact,
    urns: Vec<String>,
    stolen: &mut Vec<String>,
) -> Vec<String> {
    let mut kept = Vec::new();
    for urn in urns {
        let owner =
            world.owner_of(&urn).filter(|at| world.contacts.get(*at).is_some_and(|c| c.uuid != own.uuid));
        if let Some(at) = owner {
            if call.options.version > 10 {
                continue;
            }
            let now = world.clock.tick();
            if let Some(victim) = world.contacts.get_mut(at) {
                victim.urns.retain(|owned| *owned != urn);
                victim.modified = now;
                victim.writes.push(json!({ "request": call.request.number, "at": micros(now),
                    "what": "urn-stolen", "changed": ["urns"] }));
                stolen.push(urn.clone());
            }
        }
        kept.push(urn);
    }
    kept
}

fn changes(before: &Contact, after: &Contact) -> Vec<&'static str> {
    let mut groups = (before.groups.clone(), after.groups.clone());
    groups.0.sort();
    groups.1.sort();
    [
        ("name", before.name != after.name),
        ("language", before.language != after.language),
        ("urns", before.urns != after.urns),
        ("groups", groups.0 != groups.1),
        ("fields", before.fields != after.fields),
    ]
    .into_iter()
    .filter_map(|(key, changed)| changed.then_some(key))
    .collect()
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let asked = call.request;
    if asked.parameter("uuid").is_none() && asked.parameter("urn").is_none() {
        return detail_answer(400, "URL must contain one of the following parameters: urn, uuid");
    }
    let at = match lookup(world, call) {
        Ok((Some(at), _)) => at,
        Ok((None, _)) => return detail_answer(404, UNKNOWN),
        Err(answer) => return answer,
    };
    let now = world.clock.tick();
    let Some(contact) = world.contacts.get_mut(at) else { return server_error() };
    if contact.deleted {
        return Answer::empty(204);
    }
    contact.deleted = true;
    contact.modified = now;
    contact.urns.clear();
    contact.groups.clear();
    contact.fields.clear();
    contact.writes.push(json!({ "request": asked.number, "at": micros(now), "what": "deleted" }));
    let uuid = contact.uuid.clone();
    // Runs of a deleted contact are gone from the API.
    world.waiting.remove(&uuid);
    world.runs.retain(|run| run.contact != uuid);
    Answer::empty(204)
}

/// `contact_actions`: add, remove, block, unblock, interrupt, archive_messages, delete, archive.
pub(super) fn act(world: &mut World, call: &Call) -> Answer {
    let (found, action, group) = match read_action(world, call) {
        Ok(read) => read,
        Err(answer) => return answer,
    };
    if call.mailroom_down
        && !matches!(action.as_str(), "interrupt" | "archive_messages" | "delete" | "archive")
    {
        return server_error();
    }
    let now = world.clock.tick();
    for at in found {
        let uuid = world.contacts.get(at).map(|contact| contact.uuid.clone()).unwrap_or_default();
        if action == "interrupt" {
            world.interrupt(&uuid);
        }
        let Some(contact) = world.contacts.get_mut(at) else { continue };
        match (action.as_str(), &group) {
            ("add", Some(group)) if !contact.groups.contains(group) => contact.groups.push(group.clone()),
            ("remove", Some(group)) => contact.groups.retain(|own| own != group),
            ("block", _) => {
                "blocked".clone_into(&mut contact.status);
                contact.groups.clear();
            }
            ("unblock", _) => "active".clone_into(&mut contact.status),
            ("archive", _) => "archived".clone_into(&mut contact.status),
            ("delete", _) => contact.deleted = true,
            _ => continue,
        }
        contact.modified = now;
        contact.writes.push(json!({ "request": call.request.number, "at": micros(now), "what": action }));
    }
    Answer::empty(204)
}

type Action = (Vec<usize>, String, Option<String>);

fn read_action(world: &World, call: &Call) -> Result<Action, Answer> {
    const ACTIONS: &[&str] =
        &["add", "remove", "block", "unblock", "interrupt", "archive_messages", "delete", "archive"];
    let action = call.body.get("action").and_then(Value::as_str).unwrap_or("").to_owned();
    if !ACTIONS.contains(&action.as_str()) {
        return Err(invalid("action", &format!("\"{action}\" is not a valid choice.")));
    }
    let contacts = call.body.get("contacts").and_then(Value::as_array).cloned().unwrap_or_default();
    if contacts.is_empty() {
        return Err(invalid("contacts", "Contacts can't be empty."));
    }
    if contacts.len() > 100 {
        return Err(invalid("contacts", "Ensure this field has no more than 100 elements."));
    }
    let mut found = Vec::new();
    for reference in contacts.iter().filter_map(Value::as_str) {
        match find(world, reference) {
            Some(at) => found.push(at),
            None => return Err(invalid("contacts", &format!("No such object: {reference}"))),
        }
    }
    let group = match call.body.get("group").and_then(Value::as_str) {
        Some(reference) => match world.group(reference) {
            Some(group) => Some(group.uuid.clone()),
            None => return Err(invalid("group", &format!("No such object: {reference}"))),
        },
        None => None,
    };
    if matches!(action.as_str(), "add" | "remove") && group.is_none() {
        let message = format!("For action \"{action}\" you should also specify a group");
        return Err(invalid("non_field_errors", &message));
    }
    let inactive =
        found.iter().filter_map(|at| world.contacts.get(*at)).find(|contact| contact.status != "active");
    if let (Some(contact), "add") = (inactive, action.as_str()) {
        let message = format!("Non-active contacts cannot be added to groups: {}", contact.uuid);
        return Err(invalid("non_field_errors", &message));
    }
    Ok((found, action, group))
}

/// A contact that is not deleted, by uuid or URN.
pub(super) fn find(world: &World, reference: &str) -> Option<usize> {
    let by_uuid =
        world.contact_at(reference).filter(|at| world.contacts.get(*at).is_some_and(|c| !c.deleted));
    by_uuid.or_else(|| world.owner_of(&urns::normalise(reference, &world.country)?))
}
