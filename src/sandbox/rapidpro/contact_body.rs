//! What a body may say about a contact, and what is said when it is wrong.
//!
//! All keys are checked before anything is done; unknown keys are ignored, as RapidPro does.

use serde_json::{Map, Value, json};

use super::super::http::Answer;
use super::gate::Call;
use super::state::World;
use super::urns;

const MOST: usize = 100;

/// What is to change. What is absent stays as it is.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub name: Option<Option<String>>,
    pub language: Option<Option<String>>,
    pub urns: Option<Vec<String>>,
    /// Uuids.
    pub groups: Option<Vec<String>>,
    /// Key → text; `None` clears.
    pub fields: Vec<(String, Option<String>)>,
}

/// Reads a body; the answer is a 400 with a message for each key that is wrong.
pub(super) fn read(world: &World, call: &Call) -> Result<Change, Answer> {
    let mut change = Change::default();
    let mut errors = Map::new();
    let mut keep = |key: &str, error: Value| {
        errors.insert(key.to_owned(), error);
    };
    if let Some(value) = call.body.get("name") {
        match name(value) {
            Ok(name) => change.name = Some(name),
            Err(error) => keep("name", error),
        }
    }
    if let Some(value) = call.body.get("language") {
        match language(value) {
            Ok(language) => change.language = Some(language),
            Err(error) => keep("language", error),
        }
    }
    if let Some(value) = call.body.get("urns") {
        match urn_list(value, &world.country) {
            Ok(urns) => change.urns = Some(urns),
            Err(error) => keep("urns", error),
        }
    }
    if let Some(value) = call.body.get("groups") {
        match groups(world, value) {
            Ok(groups) => change.groups = Some(groups),
            Err(error) => keep("groups", error),
        }
    }
    if let Some(value) = call.body.get("fields") {
        match fields(world, value) {
            Ok(fields) => change.fields = fields,
            Err(error) => keep("fields", error),
        }
    }
    if errors.is_empty() { Ok(change) } else { Err(Answer::json(400, &errors.into())) }
}

fn name(value: &Value) -> Result<Option<String>, Value> {
    match value {
        Value::Null => Ok(None),
        Value::String(name) if name.trim().is_empty() => Err(json!(["This field may not be blank."])),
        Value::String(name) if name.chars().count() > 64 => {
            Err(json!(["Ensure this field has no more than 64 characters."]))
        }
        Value::String(name) => Ok(Some(name.trim().to_owned())),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err(json!(["Not a valid string."])),
    }
}

fn language(value: &Value) -> Result<Option<String>, Value> {
    let Value::String(code) = value else {
        return if value.is_null() { Ok(None) } else { Err(json!(["Not a valid string."])) };
    };
    let assigned = code.bytes().all(|b| b.is_ascii_lowercase())
        && !("qaa".."qtzz").contains(&code.as_str())
        && code != "zzz";
    match code.chars().count() {
        0 => Err(json!(["This field may not be blank."])),
        1 | 2 => Err(json!(["Ensure this field has at least 3 characters."])),
        3 if assigned => Ok(Some(code.clone())),
        3 => Err(json!(["Not a valid ISO639-3 language code."])),
        _ => Err(json!(["Ensure this field has no more than 3 characters."])),
    }
}

fn list(value: &Value) -> Result<&Vec<Value>, Value> {
    match value {
        Value::Null => Err(json!(["This field may not be null."])),
        Value::Array(items) if items.len() > MOST => Err(too_many()),
        Value::Array(items) => Ok(items),
        other => {
            let kind = match other {
                Value::String(_) => "str",
                Value::Bool(_) => "bool",
                Value::Number(_) => "int",
                _ => "dict",
            };
            Err(json!([format!("Expected a list of items but got type \"{kind}\".")]))
        }
    }
}

fn too_many() -> Value {
    json!([format!("Ensure this field has no more than {MOST} elements.")])
}

/// URNs in their normal form; errors by position.
pub(super) fn urn_list(value: &Value, country: &str) -> Result<Vec<String>, Value> {
    let mut urns = Vec::new();
    let mut errors = Map::new();
    for (at, item) in list(value)?.iter().enumerate() {
        match one_urn(item, country) {
            Ok(urn) => urns.push(urn),
            Err(message) => {
                errors.insert(at.to_string(), json!([message]));
            }
        }
    }
    if errors.is_empty() { Ok(urns) } else { Err(errors.into()) }
}

fn one_urn(item: &Value, country: &str) -> Result<String, String> {
    match item {
        Value::Null => Err("This field may not be null.".to_owned()),
        Value::String(text) if text.is_empty() => Err("This field may not be blank.".to_owned()),
        Value::String(text) => urns::normalise(text, country)
            .ok_or_else(|| format!("Invalid URN: {text}. Ensure phone numbers contain country codes.")),
        _ => Err("Not a valid string.".to_owned()),
    }
}

fn groups(world: &World, value: &Value) -> Result<Vec<String>, Value> {
    let mut uuids: Vec<String> = Vec::new();
    for item in list(value)? {
        let Value::String(reference) = item else { return Err(json!(["Must be a string or integer"])) };
        let Some(group) = world.group(reference) else {
            return Err(json!([format!("No such object: {reference}")]));
        };
        if !uuids.contains(&group.uuid) {
            uuids.push(group.uuid.clone());
        }
    }
    Ok(uuids)
}

fn fields(world: &World, value: &Value) -> Result<Vec<(String, Option<String>)>, Value> {
    let Value::Object(fields) = value else {
        let message =
            if value.is_null() { "This field may not be null." } else { "Expected a dictionary of items." };
        return Err(json!([message]));
    };
    if fields.len() > MOST {
        return Err(too_many());
    }
    let mut read = Vec::new();
    for (key, value) in fields {
        if !world.fields.iter().any(|field| field.key == *key) {
            return Err(json!([format!("Invalid contact field key: {key}")]));
        }
        let text = match value {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => return Err(json!({ key: ["Not a valid string."] })),
        };
        read.push((key.clone(), text));
    }
    Ok(read)
}
