//! Flows, definitions, runs.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::http::Answer;
use super::super::time::micros;
use super::gate::{Call, detail_answer};
use super::paging::{Window, page};
use super::state::{Flow, World};
use super::{dependencies, fields};

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
    let asked: Vec<&str> = call.request.parameters("flow").collect();
    Answer::json(200, &dependencies::export(world, &asked, dependencies))
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
