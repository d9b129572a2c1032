//! Contact groups.

use serde_json::{Value, json};

use super::super::http::Answer;
use super::gate::{Call, detail_answer, invalid, limit_reached};
use super::paging::{Window, page};
use super::state::{Group, World};

const UNKNOWN: &str = "No ContactGroup matches the given query.";

pub(super) fn list(world: &World, call: &Call) -> Answer {
    let (uuid, name) = (call.request.parameter("uuid"), call.request.parameter("name"));
    if uuid.is_some() && name.is_some() {
        return detail_answer(400, "You may only specify one of the uuid, name parameters");
    }
    let rows = world
        .groups
        .iter()
        .filter(|group| uuid.is_none_or(|uuid| group.uuid == uuid))
        .filter(|group| name.is_none_or(|name| group.name.to_lowercase() == name.to_lowercase()))
        .map(|group| (group.created, show(world, group)))
        .collect();
    page(call.request, Window::all(), rows)
}

pub(super) fn write(world: &mut World, call: &Call) -> Answer {
    let at = match call.request.parameter("uuid") {
        Some(uuid) => match world.groups.iter().position(|group| group.uuid == uuid) {
            Some(at) => Some(at),
            None => return detail_answer(404, UNKNOWN),
        },
        None => None,
    };
    let name = match name(world, call, at) {
        Ok(name) => name,
        Err(answer) => return answer,
    };
    if at.is_none() && world.groups.len() >= call.options.limit {
        return limit_reached(call.options.limit);
    }
    let (status, at) = match at {
        Some(at) => {
            if let Some(group) = world.groups.get_mut(at) {
                group.name = name;
            }
            (200, at)
        }
        None => (201, world.add_group(&name)),
    };
    world.groups.get(at).map_or_else(|| Answer::empty(500), |group| Answer::json(status, &show(world, group)))
}

fn name(world: &World, call: &Call, own: Option<usize>) -> Result<String, Answer> {
    let Some(value) = call.body.get("name") else { return Err(invalid("name", "This field is required.")) };
    let Value::String(name) = value else { return Err(invalid("name", "Not a valid string.")) };
    let name = name.trim();
    if name.is_empty() {
        return Err(invalid("name", "This field may not be blank."));
    }
    if name.chars().count() > 64 {
        let messages =
            ["Cannot be longer than 64 characters.", "Ensure this field has no more than 64 characters."];
        return Err(Answer::json(400, &json!({ "name": messages })));
    }
    if let Some(character) = name.chars().find(|c| matches!(c, '"' | '\\')) {
        return Err(invalid("name", &format!("Cannot contain the character: {character}")));
    }
    let taken =
        |(at, group): (usize, &Group)| Some(at) != own && group.name.to_lowercase() == name.to_lowercase();
    if world.groups.iter().enumerate().any(taken) {
        return Err(invalid("name", "This field must be unique."));
    }
    Ok(name.to_owned())
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let Some(uuid) = call.request.parameter("uuid") else {
        return detail_answer(400, "URL must contain one of the following parameters: uuid");
    };
    let Some(at) = world.groups.iter().position(|group| group.uuid == uuid) else {
        return detail_answer(404, UNKNOWN);
    };
    world.groups.remove(at);
    for contact in &mut world.contacts {
        contact.groups.retain(|group| group != uuid);
    }
    Answer::empty(204)
}

fn show(world: &World, group: &Group) -> Value {
    let count = world
        .contacts
        .iter()
        .filter(|contact| !contact.deleted && contact.groups.contains(&group.uuid))
        .count();
    json!({ "uuid": group.uuid, "name": group.name, "query": null, "status": "ready", "system": false,
        "count": count })
}
