//! Definitions as they are exported, with what they depend on.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::state::{Flow, World, named};

/// Flows by uuid; unknown ones are left out. `dependencies` is `none`, `flows` or `all`.
pub(super) fn export(world: &World, asked: &[&str], dependencies: &str) -> Value {
    let find = |uuid: &str| world.flows.iter().find(|flow| flow.uuid == uuid);
    let mut flows: Vec<&Flow> =
        world.flows.iter().filter(|flow| asked.contains(&flow.uuid.as_str())).collect();
    let mut at = 0;
    while let Some(flow) = flows.get(at).filter(|_| dependencies != "none") {
        let children = actions(flow).filter(|action| action["type"] == "enter_flow");
        let children: Vec<&Flow> =
            children.filter_map(|action| find(action["flow"]["uuid"].as_str()?)).collect();
        for child in children {
            if !flows.iter().any(|known| known.uuid == child.uuid) {
                flows.push(child);
            }
        }
        at += 1;
    }
    let (fields, groups, triggers) = match dependencies {
        "all" => (fields(world, &flows), groups(world, &flows), triggers(&flows)),
        _ => Default::default(),
    };
    let flows: Vec<&Value> = flows.iter().map(|flow| &flow.definition).collect();
    json!({ "version": "13", "site": "https://app.rapidpro.io", "flows": flows, "campaigns": [],
        "triggers": triggers, "fields": fields, "groups": groups })
}

fn actions(flow: &Flow) -> impl Iterator<Item = &Value> {
    let nodes = flow.definition["nodes"].as_array().into_iter().flatten();
    nodes.flat_map(|node| node["actions"].as_array().into_iter().flatten())
}

/// The contact fields that flows set or read.
fn fields(world: &World, flows: &[&Flow]) -> Vec<Value> {
    let mut keys: BTreeSet<String> = BTreeSet::new();
    for flow in flows {
        keys.extend(actions(flow).filter_map(|action| Some(action["field"]["key"].as_str()?.to_owned())));
        let text = flow.definition.to_string();
        for (at, name) in text.match_indices("fields.") {
            let rest = text.get(at + name.len()..).unwrap_or("");
            let key = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_');
            keys.insert(key.collect());
        }
    }
    let known = world.fields.iter().filter(|field| keys.contains(&field.key));
    known.map(|field| json!({ "key": field.key, "name": field.name, "type": field.kind })).collect()
}

/// The groups that flows add contacts to, remove them from or ask for.
fn groups(world: &World, flows: &[&Flow]) -> Vec<Value> {
    let used = |uuid: &str| flows.iter().any(|flow| flow.definition.to_string().contains(uuid));
    let known = world.groups.iter().filter(|group| used(&group.uuid));
    known.map(|group| json!({ "uuid": group.uuid, "name": group.name, "query": null })).collect()
}

fn triggers(flows: &[&Flow]) -> Vec<Value> {
    let with_keywords = flows.iter().filter(|flow| !flow.keywords.is_empty());
    with_keywords
        .map(|flow| {
            json!({ "trigger_type": "K", "flow": named(flow), "groups": [], "exclude_groups": [],
                "channel": null, "keywords": flow.keywords, "match_type": "F" })
        })
        .collect()
}
