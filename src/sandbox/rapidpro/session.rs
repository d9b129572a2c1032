//! One run while it goes on: where it is, what was answered, and what the world sees of it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::time::{after, micros};
use super::router::Routed;
use super::state::{Flow, Run, RunVersion, World, new_uuid};
use super::template::{self, RunScope, Scope};
use super::{fields, urns, workspace};

/// One run while it goes on.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub uuid: String,
    /// Uuid
    pub contact: String,
    pub flow: Flow,
    pub start: Option<String>,
    pub params: Value,
    pub path: Vec<Value>,
    pub values: Map<String, Value>,
    pub created: Timestamp,
    /// Uuid of the node that waits.
    pub waiting: Option<String>,
    pub responded: bool,
    pub exit: Option<&'static str>,
    pub last_input: Option<String>,
}

/// Where a run goes on.
pub(super) enum Next {
    Node(String),
    End,
}

impl World {
    /// Ends a run's transaction: its new version becomes visible after the commit delay.
    pub fn commit(&mut self, session: &Session) {
        let modified = self.clock.tick();
        let visible = after(modified, self.commit_delay_ms);
        let shown = session.show(self, modified);
        let version = RunVersion { visible, modified, responded: session.responded, shown };
        match self.runs.iter_mut().find(|run| run.uuid == session.uuid) {
            Some(run) => run.versions.push(version),
            None => self.runs.push(Run {
                uuid: session.uuid.clone(),
                contact: session.contact.clone(),
                flow: session.flow.uuid.clone(),
                versions: vec![version],
            }),
        }
        if session.waiting.is_some() {
            self.waiting.insert(session.contact.clone(), session.clone());
        }
        let flow = session.waiting.as_ref().map(|_| session.flow.uuid.clone());
        if let Some(contact) = self.contact_at(&session.contact).and_then(|at| self.contacts.get_mut(at)) {
            contact.flow = flow;
            contact.modified = modified;
            if session.responded {
                contact.seen = Some(modified);
            }
        }
    }

    /// Ends the run in which a contact waits, if she is in one.
    pub fn interrupt(&mut self, contact: &str) {
        let Some(mut session) = self.waiting.remove(contact) else { return };
        session.exit = Some("interrupted");
        session.waiting = None;
        self.commit(&session);
    }
}

impl Session {
    /// A template as this run sees it.
    pub fn evaluate(&self, world: &World, template: &str) -> String {
        let contact = world.contact_at(&self.contact).and_then(|at| world.contacts.get(at));
        let run = RunScope {
            uuid: &self.uuid,
            flow: &self.flow.name,
            results: &self.values,
            params: &self.params,
            input: self.last_input.as_deref().unwrap_or(""),
        };
        template::evaluate(template, &Scope { world, contact, run: Some(run) })
    }

    /// A text of an action in the contact's language.
    pub fn localised(&self, world: &World, action: &Value, property: &str) -> String {
        let contact = world.contact_at(&self.contact).and_then(|at| world.contacts.get(at));
        let language = contact.and_then(|contact| contact.language.as_deref()).unwrap_or("");
        let uuid = action["uuid"].as_str().unwrap_or("");
        let own = self.flow.definition["localization"][language][uuid][property][0].as_str();
        let text = own.filter(|text| !text.is_empty()).or_else(|| action[property].as_str()).unwrap_or("");
        self.evaluate(world, text)
    }

    /// Uuid and name of the flow.
    pub fn named_flow(&self) -> (String, String) {
        (self.flow.uuid.clone(), self.flow.name.clone())
    }

    pub fn node(&self, uuid: &str) -> Option<Value> {
        self.flow.definition["nodes"].as_array()?.iter().find(|node| node["uuid"] == uuid).cloned()
    }

    pub fn behind(&self, node: &Value, exit: &str) -> Next {
        let exits = node["exits"].as_array().map_or(&[][..], Vec::as_slice);
        let to =
            exits.iter().find(|one| one["uuid"] == exit).and_then(|one| one["destination_uuid"].as_str());
        to.map_or(Next::End, |uuid| Next::Node(uuid.to_owned()))
    }

    pub fn save(&mut self, node: &Value, routed: &Routed, input: Option<String>, at: Timestamp) {
        if let Some(name) = node["router"]["result_name"].as_str() {
            self.put(name, node, routed, input, at);
        }
    }

    pub fn put(&mut self, name: &str, node: &Value, routed: &Routed, input: Option<String>, at: Timestamp) {
        let value: String = routed.value.chars().take(640).collect();
        let category = if routed.category.is_empty() { Value::Null } else { routed.category.clone().into() };
        let result = json!({ "value": value, "category": category, "node": node["uuid"], "time": micros(at),
            "input": input, "name": name });
        self.values.insert(fields::key_of(name), result);
    }

    fn show(&self, world: &World, modified: Timestamp) -> Value {
        let contact = world.contact_at(&self.contact).and_then(|at| world.contacts.get(at));
        let urn = contact.and_then(|contact| contact.urns.first().cloned());
        let display = urn.as_ref().map(|urn| urns::display(urn, &world.country));
        let mut values = self.values.clone();
        if world.version > 9 {
            for value in values.values_mut().filter_map(Value::as_object_mut) {
                value.shift_remove("input");
            }
        }
        let exited = self.exit.map(|_| micros(modified));
        json!({ "id": world.runs.iter().position(|run| run.uuid == self.uuid).unwrap_or(world.runs.len()) + 1,
            "uuid": self.uuid, "flow": super::state::named(&self.flow),
            "contact": { "uuid": self.contact, "name": contact.and_then(|contact| contact.name.clone()),
                "urn": urn, "urn_display": display },
            "start": self.start.as_ref().map(|uuid| json!({ "uuid": uuid })), "responded": self.responded,
            "path": self.path, "values": values, "created_on": micros(self.created),
            "modified_on": micros(modified), "exited_on": exited, "exit_type": self.exit })
    }

    fn contact_in_body(&self, world: &World) -> Value {
        let contact = world.contact_at(&self.contact).and_then(|at| world.contacts.get(at));
        json!({ "name": contact.and_then(|contact| contact.name.clone()),
            "urn": contact.and_then(|contact| contact.urns.first().cloned()), "uuid": self.contact })
    }

    pub fn editor_body(&self, world: &World) -> Value {
        let results: Map<String, Value> = self
            .values
            .iter()
            .map(|(key, result)| {
                (key.clone(), json!({ "category": result["category"], "value": result["value"] }))
            })
            .collect();
        json!({ "contact": self.contact_in_body(world),
            "flow": { "name": self.flow.name, "uuid": self.flow.uuid }, "results": results })
    }

    pub fn resthook_body(&self, world: &World) -> Value {
        let mut contact = self.contact_in_body(world);
        let language =
            world.contact_at(&self.contact).and_then(|at| world.contacts.get(at)?.language.clone());
        contact["language"] = language.into();
        let results: Map<String, Value> = self
            .values
            .iter()
            .map(|(key, result)| {
                let shown = json!({ "category": result["category"], "category_localized": result["category"],
                    "created_on": result["time"], "input": result["input"].as_str().unwrap_or(""),
                    "name": result["name"], "node_uuid": result["node"], "value": result["value"] });
                (key.clone(), shown)
            })
            .collect();
        let path: Vec<Value> = self
            .path
            .iter()
            .map(|step| {
                json!({ "arrived_on": step["time"], "exit_uuid": new_uuid(), "node_uuid": step["node"],
                    "uuid": new_uuid() })
            })
            .collect();
        let channel = workspace::channel(world);
        let input = self.last_input.as_ref().map(|text| {
            let urn = contact["urn"].as_str().unwrap_or("");
            let (scheme, path) = urn.split_once(':').unwrap_or(("tel", ""));
            json!({ "attachments": [], "channel": channel, "created_on": micros(self.created), "text": text,
                "type": "msg", "uuid": new_uuid(), "urn": { "display": urns::display(urn, &world.country),
                "path": path, "scheme": scheme } })
        });
        json!({ "channel": channel, "contact": contact,
            "flow": { "name": self.flow.name, "revision": self.flow.definition["revision"], "uuid": self.flow.uuid },
            "input": input, "path": path, "results": results,
            "run": { "created_on": micros(self.created), "uuid": self.uuid } })
    }
}
