//! Resthooks: the events that flows call out with, and who listens.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::super::http::Answer;
use super::super::time::micros;
use super::gate::{Call, detail_answer, invalid};
use super::paging::{Window, page};
use super::state::World;

/// Somebody who listens.
#[derive(Debug, Clone)]
pub(super) struct Subscriber {
    pub id: usize,
    pub resthook: String,
    pub url: String,
    pub created: Timestamp,
}

/// What was called out.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub resthook: String,
    pub data: Value,
    pub created: Timestamp,
}

/// The names of all resthooks: those that flows call.
fn names(world: &World) -> BTreeSet<&str> {
    let nodes = world.flows.iter().flat_map(|flow| flow.definition["nodes"].as_array().into_iter().flatten());
    let actions = nodes.flat_map(|node| node["actions"].as_array().into_iter().flatten());
    actions
        .filter(|action| action["type"] == "call_resthook")
        .filter_map(|a| a["resthook"].as_str())
        .collect()
}

impl World {
    /// Where a resthook is called.
    pub fn listeners(&self, resthook: &str) -> Vec<String> {
        let own = self.subscribers.iter().filter(|one| one.resthook == resthook).map(|one| one.url.clone());
        self.subscriber.iter().cloned().chain(own).collect()
    }

    /// A subscriber that answered 410 does not want to hear more.
    pub fn unsubscribe(&mut self, url: &str) {
        self.subscribers.retain(|one| one.url != url);
    }
}

pub(super) fn list(world: &World, call: &Call) -> Answer {
    let created = micros(world.created);
    let show = |name: &str| json!({ "resthook": name, "modified_on": created, "created_on": created });
    let rows = names(world).into_iter().map(|name| (world.created, show(name))).collect();
    page(call.request, Window::all(), rows)
}

pub(super) fn events(world: &World, call: &Call) -> Answer {
    let resthook = call.request.parameter("resthook");
    let show = |one: &Event| json!({ "resthook": one.resthook, "data": one.data, "created_on": micros(one.created) });
    let rows = world
        .events
        .iter()
        .filter(|one| resthook.is_none_or(|resthook| one.resthook == resthook))
        .map(|one| (one.created, show(one)))
        .collect();
    page(call.request, Window::all(), rows)
}

fn show(one: &Subscriber) -> Value {
    json!({ "id": one.id, "resthook": one.resthook, "target_url": one.url, "created_on": micros(one.created) })
}

pub(super) fn subscribers(world: &World, call: &Call) -> Answer {
    let resthook = call.request.parameter("resthook");
    let rows = world
        .subscribers
        .iter()
        .filter(|one| resthook.is_none_or(|resthook| one.resthook == resthook))
        .map(|one| (one.created, show(one)))
        .collect();
    page(call.request, Window::all(), rows)
}

pub(super) fn subscribe(world: &mut World, call: &Call) -> Answer {
    let text = |key: &str| call.body.get(key).and_then(Value::as_str).map(str::to_owned);
    let Some(resthook) = text("resthook") else { return invalid("resthook", "This field is required.") };
    if !names(world).contains(resthook.as_str()) {
        return invalid("resthook", &format!("No resthook with slug: {resthook}"));
    }
    let Some(url) = text("target_url") else { return invalid("target_url", "This field is required.") };
    if Url::parse(&url).is_err() {
        return invalid("target_url", "Enter a valid URL.");
    }
    if world.subscribers.iter().any(|one| one.resthook == resthook && one.url == url) {
        return invalid("non_field_errors", "URL is already subscribed to this event.");
    }
    let created = world.clock.tick();
    let id = world.subscribers.last().map_or(1, |last| last.id + 1);
    let made = Subscriber { id, resthook, url, created };
    let answer = Answer::json(201, &show(&made));
    world.subscribers.push(made);
    answer
}

pub(super) fn leave(world: &mut World, call: &Call) -> Answer {
    let Some(id) = call.request.parameter("id").and_then(|id| id.parse::<usize>().ok()) else {
        return detail_answer(400, "URL must contain one of the following parameters: id");
    };
    let Some(at) = world.subscribers.iter().position(|one| one.id == id) else {
        return detail_answer(404, "No ResthookSubscriber matches the given query.");
    };
    world.subscribers.remove(at);
    Answer::empty(204)
}
