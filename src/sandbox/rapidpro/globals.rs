//! Globals: values that every flow can use.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::http::Answer;
use super::super::time::micros;
use super::fields::key_of;
use super::gate::{Call, detail_answer, invalid, limit_reached};
use super::paging::{Window, page};
use super::state::World;

#[derive(Debug, Clone)]
pub(super) struct Global {
    pub key: String,
    pub name: String,
    pub value: String,
    pub modified: Timestamp,
}

fn show(global: &Global) -> Value {
    json!({ "key": global.key, "name": global.name, "value": global.value,
        "modified_on": micros(global.modified) })
}

pub(super) fn list(world: &World, call: &Call) -> Answer {
    let key = call.request.parameter("key");
    let rows = world
        .globals
        .iter()
        .filter(|global| key.is_none_or(|key| global.key == key))
        .map(|global| (global.modified, show(global)))
        .collect();
    page(call.request, Window::of(call.request), rows)
}

pub(super) fn write(world: &mut World, call: &Call) -> Answer {
    let at = match call.request.parameter("key") {
        Some(key) => match world.globals.iter().position(|global| global.key == key) {
            Some(at) => Some(at),
            None => return detail_answer(404, "No Global matches the given query."),
        },
        None => None,
    };
    let value = match call.body.get("value") {
        None => return invalid("value", "This field is required."),
        Some(Value::String(value)) if value.chars().count() > 10_000 => {
            return invalid("value", "Ensure this field has no more than 10000 characters.");
        }
        Some(Value::String(value)) if !value.is_empty() => value.clone(),
        Some(Value::String(_)) => return invalid("value", "This field may not be blank."),
        Some(_) => return invalid("value", "Not a valid string."),
    };
    let modified = world.clock.tick();
    if let Some(global) = at.and_then(|at| world.globals.get_mut(at)) {
        global.value = value;
        global.modified = modified;
        return Answer::json(200, &show(global));
    }
    let name = match name(world, call) {
        Ok(name) => name,
        Err(answer) => return answer,
    };
    if world.globals.len() >= call.options.limit {
        return limit_reached(call.options.limit);
    }
    let made = Global { key: key_of(&name), name, value, modified };
    let answer = Answer::json(201, &show(&made));
    world.globals.push(made);
    answer
}

fn name(world: &World, call: &Call) -> Result<String, Answer> {
    let Some(name) = call.body.get("name").and_then(Value::as_str).map(str::trim) else {
        return Err(invalid("non_field_errors", "Name is required when creating new global."));
    };
    if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == ' ' || c == '-') {
        return Err(invalid("name", "Can only contain letters, numbers and hypens."));
    }
    if name.chars().count() > 36 {
        return Err(invalid("name", "Ensure this field has no more than 36 characters."));
    }
    if world.globals.iter().any(|global| global.name.to_lowercase() == name.to_lowercase()) {
        return Err(invalid("name", "This field must be unique."));
    }
    Ok(name.to_owned())
}
