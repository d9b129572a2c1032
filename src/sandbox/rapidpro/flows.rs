//! Flows, definitions, runs, flow starts, broadcasts.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::http::Answer;
use super::super::time::{micros, parse};
use super::gate::{Call, detail_answer, invalid};
use super::paging::{Window, page};
use super::state::{Flow, World, named, new_uuid};
use super::{contact_body, contacts, fields};

pub(super) fn list(world: &World, call: &Call) -> Answer {
    let uuid = call.request.parameter("uuid");
    let kind = call.request.parameter("type");
    let archived = call.request.parameter("archived").map(|text| text == "true");
    let rows = world
        .flows
        .iter()
        .filter(|flow| uuid.is_none_or(|uuid| flow.uuid == uuid))
        .filter(|_| kind.is_none_or(|kind| kind == "message"))
        .filter(|flow| archived.is_none_or(|archived| flow.archived == archived))
        .map(|flow| (flow.modified, show(world, flow)))
        .collect();
    page(call.request, Window::of(call.request), rows)
}

fn show(world: &World, flow: &Flow) -> Value {
    let now = Timestamp::now();
    let count = |exit: &str| {
        let runs = world.runs.iter().filter(|run| run.flow == flow.uuid).filter_map(|run| run.visible(now));
        runs.filter(|version| version.shown["exit_type"].as_str().unwrap_or("waiting") == exit).count()
    };
    json!({ "uuid": flow.uuid, "name": flow.name, "type": "message", "archived": flow.archived, "labels": [],
        "expires": flow.definition["expire_after_minutes"],
        "runs": { "active": 0, "waiting": count("waiting"), "completed": count("completed"),
            "expired": count("expired"), "interrupted": count("interrupted"), "failed": count("failed") },
        "results": results(&flow.definition), "parent_refs": [],
        "created_on": micros(flow.created), "modified_on": micros(flow.modified) })
}

/// Key, name, categories and nodes of each result.
fn results(definition: &Value) -> Vec<Value> {
    let mut found: Map<String, Value> = Map::new();
    for node in definition["nodes"].as_array().into_iter().flatten() {
        let router = &node["router"];
        let of_action = || {
            let actions = node["actions"].as_array()?;
            actions.iter().find_map(|action| action["result_name"].as_str())
        };
        let Some(name) = router["result_name"].as_str().or_else(of_action) else { continue };
        let categories: Vec<Value> = router["categories"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|category| category["name"].clone())
            .collect();
        let key = fields::key_of(name);
        let shown =
            json!({ "key": key, "name": name, "categories": categories, "node_uuids": [node["uuid"]] });
        found.insert(key, shown);
    }
    found.into_iter().map(|(_, shown)| shown).collect()
}

pub(super) fn definitions(world: &World, call: &Call) -> Answer {
    let dependencies = call.request.parameter("dependencies").unwrap_or("all");
    if !matches!(dependencies, "none" | "flows" | "all") {
        return detail_answer(400, "dependencies must be one of none, flows, all");
    }
    let wanted: Vec<&str> = call.request.parameters("flow").collect();
    let flows: Vec<&Value> = world
        .flows
        .iter()
        .filter(|flow| wanted.contains(&flow.uuid.as_str()))
        .map(|flow| &flow.definition)
        .collect();
    let shown = json!({ "version": "13", "site": "https://app.rapidpro.io", "flows": flows, "campaigns": [],
        "triggers": [], "fields": [], "groups": [] });
    Answer::json(200, &shown)
}

pub(super) fn runs(world: &World, call: &Call) -> Answer {
    let request = call.request;
    let (flow, contact) = (request.parameter("flow"), request.parameter("contact"));
    if flow.is_some() && contact.is_some() {
        return detail_answer(400, "You may only specify one of the contact, flow parameters");
    }
    let uuid = request.parameter("uuid");
    if uuid.is_some_and(|uuid| Uuid::parse_str(uuid).is_err()) {
        return detail_answer(400, "Value for uuid must be a valid UUID");
    }
    let id = match request.parameter("id").map(str::parse::<u64>) {
        Some(Err(_)) => return detail_answer(400, "Value for id must be an integer"),
        Some(Ok(id)) => Some(id),
        None => None,
    };
    let now = Timestamp::now();
    let without_path = request.parameter("paths") == Some("false");
    let rows = world
        .runs
        .iter()
        .filter(|run| uuid.is_none_or(|uuid| run.uuid == uuid))
        .filter(|run| flow.is_none_or(|flow| run.flow == flow))
        .filter(|run| contact.is_none_or(|contact| run.contact == contact))
        .filter_map(|run| run.visible(now))
        .filter(|version| !request.flag("responded") || version.responded)
        .filter(|version| id.is_none_or(|id| version.shown["id"] == id))
        .map(|version| {
            let mut shown = version.shown.clone();
            if without_path {
                shown["path"] = Value::Null;
            }
            (version.modified, shown)
        })
        .collect();
    page(request, Window::of(request), rows)
}

pub(super) fn starts(world: &World, call: &Call) -> Answer {
    let uuid = call.request.parameter("uuid");
    if uuid.is_some_and(|uuid| Uuid::parse_str(uuid).is_err()) {
        return detail_answer(400, "Value for uuid must be a valid UUID");
    }
    let id = call.request.parameter("id").and_then(|id| id.parse::<u64>().ok());
    listed(call, &world.starts, "modified_on", |start| {
        uuid.is_none_or(|uuid| start["uuid"] == uuid) && id.is_none_or(|id| start["id"] == id)
    })
}

fn listed(call: &Call, kept: &[Value], time: &str, wanted: impl Fn(&Value) -> bool) -> Answer {
    let rows = kept
        .iter()
        .filter(|one| wanted(one))
        .filter_map(|one| Some((parse(one[time].as_str()?)?, one.clone())))
        .collect();
    page(call.request, Window::of(call.request), rows)
}

/// Contacts, groups, URNs.
type Recipients = (Vec<Value>, Vec<Value>, Vec<String>);

/// Contacts and groups by reference, or what is said instead.
fn recipients(world: &World, call: &Call) -> Result<Recipients, Answer> {
    let list = |key: &str| call.body.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    for key in ["contacts", "groups", "urns"] {
        if list(key).len() > 100 {
            return Err(invalid(key, "Ensure this field has no more than 100 elements."));
        }
    }
    let missing = |key: &str, reference: &str| invalid(key, &format!("No such object: {reference}"));
    let mut found = Vec::new();
    for reference in list("contacts").iter().filter_map(Value::as_str) {
        let contact = contacts::find(world, reference).and_then(|at| world.contacts.get(at));
        let contact = contact.ok_or_else(|| missing("contacts", reference))?;
        found.push(json!({ "uuid": contact.uuid, "name": contact.name }));
    }
    let mut groups = Vec::new();
    for reference in list("groups").iter().filter_map(Value::as_str) {
        let group = world.group(reference).ok_or_else(|| missing("groups", reference))?;
        groups.push(json!({ "uuid": group.uuid, "name": group.name }));
    }
    let urns = contact_body::urn_list(&Value::Array(list("urns")), &world.country)
        .map_err(|error| Answer::json(400, &json!({ "urns": error })))?;
    Ok((found, groups, urns))
}

pub(super) fn start(world: &mut World, call: &Call) -> Answer {
    let Some(reference) = call.body.get("flow").and_then(Value::as_str) else {
        return invalid("flow", "This field is required.");
    };
    let Some(flow) = world.flows.iter().find(|flow| flow.uuid == reference).map(named) else {
        return invalid("flow", &format!("No such object: {reference}"));
    };
    let params =
        call.body.get("params").or_else(|| call.body.get("extra")).cloned().unwrap_or_else(|| json!({}));
    if !params.is_object() {
        return invalid("params", "Must be a valid JSON object");
    }
    let (contacts, groups, urns) = match recipients(world, call) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    if contacts.is_empty() && groups.is_empty() && urns.is_empty() {
        return invalid("non_field_errors", "Must specify at least one group, contact or URN");
    }
    let (created, modified) = (world.clock.tick(), world.clock.tick());
    let flag = |key: &str, otherwise: bool| call.body.get(key).and_then(Value::as_bool).unwrap_or(otherwise);
    let mut shown = json!({ "id": world.starts.len() + 1, "uuid": new_uuid(), "flow": flow, "status": "pending",
        "groups": groups, "contacts": contacts, "params": params, "created_on": micros(created),
        "modified_on": micros(modified), "extra": params, "restart_participants": flag("restart_participants", true),
        "exclude_active": flag("exclude_active", false) });
    let answer = Answer::json(201, &shown);
    shown["status"] = if call.options.version > 9 { "completed" } else { "complete" }.into();
    world.starts.push(shown);
    answer
}

pub(super) fn broadcasts(world: &World, call: &Call) -> Answer {
    let id = call.request.parameter("id").and_then(|id| id.parse::<u64>().ok());
    listed(call, &world.broadcasts, "created_on", |one| id.is_none_or(|id| one["id"] == id))
}

pub(super) fn broadcast(world: &mut World, call: &Call) -> Answer {
    let (contacts, groups, urns) = match recipients(world, call) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    if contacts.is_empty() && groups.is_empty() && urns.is_empty() {
        return invalid("non_field_errors", "Must provide either urns, contacts or groups.");
    }
    let language = call.body.get("base_language").and_then(Value::as_str).unwrap_or("eng");
    let text = match call.body.get("text") {
        Some(Value::String(text)) => Map::from_iter([(language.to_owned(), text.clone().into())]),
        Some(Value::Object(texts)) => texts.clone(),
        _ => return invalid("non_field_errors", "Must provide either text or attachments."),
    };
    if let Some(code) = text.keys().find(|code| code.chars().count() != 3) {
        let error = json!({ "text": { code: ["Not an allowed ISO 639-3 language code."] } });
        return Answer::json(400, &error);
    }
    if !text.contains_key(language) {
        return invalid("non_field_errors", "No text translation provided in base language.");
    }
    let attachments: Map<String, Value> = text.keys().map(|code| (code.clone(), json!([]))).collect();
    let created = world.clock.tick();
    let mut shown = json!({ "id": world.broadcasts.len() + 1, "urns": urns, "contacts": contacts, "groups": groups,
        "text": text, "attachments": attachments, "base_language": language, "status": "queued",
        "created_on": micros(created) });
    let answer = Answer::json(201, &shown);
    shown["status"] = "sent".into();
    world.broadcasts.push(shown);
    answer
}
