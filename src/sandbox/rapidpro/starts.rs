//! Flow starts: what is asked for, and what mailroom makes of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::http::Answer;
use super::super::time::micros;
use super::gate::{Call, detail_answer, invalid, server_error};
use super::mailroom::Task;
use super::paging::{Window, page};
use super::recipients::Recipients;
use super::state::{World, new_uuid};

/// Longest text in `params` of 9.0; more is cut.
const LONGEST: usize = 640;
/// Most items in an object or list of `params` of 9.0; more are left out.
const MOST_ITEMS: usize = 256;
/// Longest `params` of later versions, as JSON.
const LONGEST_RAW: usize = 10_000;

/// How far a start has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Pending,
    Starting,
    Complete,
    Failed,
}

impl Progress {
    /// As a version calls it.
    fn text(self, version: u32) -> &'static str {
        match (self, version > 9) {
            (Self::Pending, _) => "pending",
            (Self::Starting, false) => "starting",
            (Self::Starting, true) => "started",
            (Self::Complete, false) => "complete",
            (Self::Complete, true) => "completed",
            (Self::Failed, _) => "failed",
        }
    }
}

/// One flow start.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub id: usize,
    pub uuid: String,
    /// Uuid
    pub flow: String,
    pub to: Recipients,
    pub params: Value,
    pub restart_participants: bool,
    pub exclude_active: bool,
    pub progress: Progress,
    pub created: Timestamp,
    pub modified: Timestamp,
    /// Uuids of the contacts whom mailroom started.
    pub started: Vec<String>,
    pub request: u64,
}

fn show(world: &World, start: &Start, version: u32) -> Value {
    let flow = world.flows.iter().find(|flow| flow.uuid == start.flow).map(super::state::named);
    let mut shown = json!({ "id": start.id, "uuid": start.uuid, "flow": flow,
        "status": start.progress.text(version), "groups": start.to.show_groups(world),
        "contacts": start.to.show_contacts(world), "params": start.params,
        "created_on": micros(start.created), "modified_on": micros(start.modified), "extra": start.params,
        "restart_participants": start.restart_participants, "exclude_active": start.exclude_active });
    if version > 9 {
        shown["progress"] = json!({ "total": start.started.len(), "started": start.started.len() });
    }
    shown
}

pub(super) fn list(world: &World, call: &Call) -> Answer {
    let uuid = call.request.parameter("uuid");
    if uuid.is_some_and(|uuid| Uuid::parse_str(uuid).is_err()) {
        return detail_answer(400, "Value for uuid must be a valid UUID");
    }
    let Ok(id) = call.request.parameter("id").map(str::parse::<usize>).transpose() else {
        return detail_answer(400, "Value for id must be an integer");
    };
    let rows = world
        .starts
        .iter()
        .filter(|start| uuid.is_none_or(|uuid| start.uuid == uuid))
        .filter(|start| id.is_none_or(|id| start.id == id))
        .map(|start| (start.modified, show(world, start, call.options.version)))
        .collect();
    page(call.request, Window::of(call.request), rows)
}

pub(super) fn post(world: &mut World, call: &Call) -> Answer {
    let Some(reference) = call.body.get("flow").and_then(Value::as_str) else {
        return invalid("flow", "This field is required.");
    };
    let Some(flow) = world.flows.iter().find(|flow| flow.uuid == reference).map(|flow| flow.uuid.clone())
    else {
        return invalid("flow", &format!("No such object: {reference}"));
    };
    let params = match params(call) {
        Ok(params) => params,
        Err(answer) => return answer,
    };
    let to = match Recipients::read(world, call) {
        Ok(to) => to,
        Err(answer) => return answer,
    };
    if to.is_empty() {
        return invalid("non_field_errors", "Must specify at least one group, contact or URN");
    }
    // Later versions ask mailroom before they answer.
    if call.mailroom_down && call.options.version > 9 {
        return server_error();
    }
    let flag = |key: &str, otherwise: bool| call.body.get(key).and_then(Value::as_bool).unwrap_or(otherwise);
    let (created, modified) = (world.clock.tick(), world.clock.tick());
    let start = Start {
        id: world.starts.len() + 1,
        uuid: new_uuid(),
        flow,
        to,
        params,
        restart_participants: flag("restart_participants", true),
        exclude_active: flag("exclude_active", false),
        progress: Progress::Pending,
        created,
        modified,
        started: Vec::new(),
        request: call.request.number,
    };
    let answer = Answer::json(201, &show(world, &start, call.options.version));
    world.tasks.push(Task::Start(start.uuid.clone()));
    world.starts.push(start);
    answer
}

/// `params`, or `extra` as it was called; as the version keeps it.
fn params(call: &Call) -> Result<Value, Answer> {
    let given = call.body.get("params").or_else(|| call.body.get("extra"));
    let given = given.filter(|given| !given.is_null()).cloned().unwrap_or_else(|| json!({}));
    if !given.is_object() {
        return Err(invalid("params", "Must be a valid JSON object"));
    }
    if call.options.version <= 9 {
        return Ok(normalise(&given));
    }
    if given.to_string().chars().count() > LONGEST_RAW {
        let message = format!("Cannot be longer than {LONGEST_RAW} characters when encoded.");
        return Err(invalid("params", &message));
    }
    Ok(given)
}

/// What 9.0 makes of `params`: lists become objects, null an empty text, keys words.
fn normalise(value: &Value) -> Value {
    match value {
        Value::Null => "".into(),
        Value::String(text) => text.chars().take(LONGEST).collect::<String>().into(),
        Value::Array(items) => {
            let items = items.iter().take(MOST_ITEMS).enumerate();
            Value::Object(items.map(|(at, item)| (at.to_string(), normalise(item))).collect())
        }
        Value::Object(items) => {
            let word = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
            let made: Map<String, Value> = items
                .iter()
                .take(MOST_ITEMS)
                .map(|(key, item)| (key.chars().map(word).collect(), normalise(item)))
                .collect();
            Value::Object(made)
        }
        other => other.clone(),
    }
}

impl World {
    /// How far a start has come from now on.
    pub fn move_start(&mut self, uuid: &str, progress: Progress) {
        let modified = self.clock.tick();
        if let Some(start) = self.starts.iter_mut().find(|start| start.uuid == uuid) {
            start.progress = progress;
            start.modified = modified;
        }
    }

    /// Whom a start is for now, without those it leaves out.
    pub fn whom(&mut self, start: &Start) -> Vec<String> {
        let mut contacts = start.to.resolve(self);
        if !start.restart_participants {
            contacts
                .retain(|uuid| !self.runs.iter().any(|run| run.contact == *uuid && run.flow == start.flow));
        }
        if start.exclude_active {
            contacts.retain(|uuid| !self.waiting.contains_key(uuid));
        }
        contacts
    }

    /// How often each contact was started in each flow with the same `params`.
    pub fn starts_by_contact(&self) -> Vec<Value> {
        let mut counts: BTreeMap<(&str, &str, String), Vec<&Start>> = BTreeMap::new();
        for start in &self.starts {
            for contact in &start.started {
                let key = (contact.as_str(), start.flow.as_str(), start.params.to_string());
                counts.entry(key).or_default().push(start);
            }
        }
        let show = |((contact, flow, _), starts): ((&str, &str, String), Vec<&Start>)| {
            let urn = self.contact_at(contact).and_then(|at| self.contacts.get(at)?.urns.first().cloned());
            let name = self.flows.iter().find(|own| own.uuid == flow).map(|own| own.name.clone());
            let uuids: Vec<&str> = starts.iter().map(|start| start.uuid.as_str()).collect();
            let requests: Vec<u64> = starts.iter().map(|start| start.request).collect();
            json!({ "first": starts.iter().map(|start| start.created).min().map(micros), "requests": requests, "contact": contact, "urn": urn, "flow": name, "count": starts.len(),
                "params": starts.first().map(|start| &start.params), "starts": uuids })
        };
        counts.into_iter().map(show).collect()
    }

    /// Every start as the API of 9.0 shows it.
    pub fn show_starts(&self) -> Vec<Value> {
        self.starts.iter().map(|start| show(self, start, 9)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_are_normalised_as_recorded() {
        let given =
            json!({ "task_id": "Task/77", "nested": { "a": [1, 2, { "b": null }], "bad key!": "x" } });
        let wanted = json!({ "task_id": "Task/77",
            "nested": { "a": { "0": 1, "1": 2, "2": { "b": "" } }, "bad_key_": "x" } });
        assert_eq!(normalise(&given), wanted);
        assert_eq!(normalise(&"x".repeat(700).into()).as_str().map(str::len), Some(640));
    }
}
