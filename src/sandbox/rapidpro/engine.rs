//! Lets a person go through a flow; webhooks and runs come of it.
//!
//! As mailroom does it: each reply is one sprint through the definition; a webhook on the way is called
//! before the sprint is committed; the commit's `modified_on` is when its transaction began, and the run
//! shows the change only when it ended.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::time::{after, micros};
use super::router::{self, Routed};
use super::state::{Flow, Run, RunVersion, World, new_uuid};
use super::{RapidPro, urns};

/// What a person does when she is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Text(String),
    /// She says nothing for as long as the question waits.
    Timeout,
    /// She says nothing more until the run expires.
    Expire,
}

impl Reply {
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// How a flow calls a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookShape {
    /// `call_webhook` with the body that the flow editor writes: no run, no times.
    EditorDefault,
    /// `call_resthook`, and what legacy webhooks became.
    Resthook,
}

/// Longest sprint, as `MaxStepsPerSprint`.
const MOST_STEPS: usize = 100;
/// A webhook that takes longer has failed.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(15);

/// One run while it goes on.
struct Session {
    uuid: String,
    contact: String,
    flow: Flow,
    start: Option<String>,
    path: Vec<Value>,
    values: Map<String, Value>,
    created: Timestamp,
    /// Uuid of the node that waits.
    waiting: Option<String>,
    responded: bool,
    exit: Option<&'static str>,
    last_input: Option<String>,
}

enum Next {
    Node(String),
    End,
}

impl RapidPro {
    /// Takes a flow definition into the workspace; the name or uuid then finds it.
    pub fn add_flow(&self, definition: Value) -> String {
        let mut world = self.world();
        let uuid = definition["uuid"].as_str().map_or_else(new_uuid, str::to_owned);
        let name = definition["name"].as_str().unwrap_or("Flow").to_owned();
        let created = world.clock.tick();
        let modified = world.clock.tick();
        world.flows.retain(|flow| flow.uuid != uuid);
        world.flows.push(Flow { uuid: uuid.clone(), name, archived: false, definition, created, modified });
        uuid
    }

    /// Where resthook calls go; without it a resthook node finds no subscribers.
    pub fn subscribe(&self, url: &str) {
        self.world().subscriber = Some(url.to_owned());
    }

    /// A share of webhooks, from 0 to 1, is lost on the way from now on.
    pub fn lose_webhooks(&self, share: f64) {
        self.world().webhook_loss = share;
    }

    /// A person goes through a flow: starts it, answers, and stops where her replies end.
    /// Returns the run's uuid; `None` where there is no such contact or flow.
    pub async fn take_through(&self, contact: &str, flow: &str, replies: &[Reply]) -> Option<String> {
        let mut session = self.begin(contact, flow, None)?;
        let first = session.flow.definition["nodes"][0]["uuid"].as_str().unwrap_or("").to_owned();
        self.sprint(&mut session, Next::Node(first)).await;
        for reply in replies {
            if session.waiting.is_none() {
                break;
            }
            self.reply(&mut session, reply).await;
        }
        Some(session.uuid)
    }

    fn begin(&self, contact: &str, flow: &str, start: Option<String>) -> Option<Session> {
        let mut world = self.world();
        let flow = world.flow(flow)?.clone();
        let contact = world.contacts.get(super::contacts::find(&world, contact)?)?.uuid.clone();
        let created = world.clock.tick();
        Some(Session {
            uuid: new_uuid(),
            contact,
            flow,
            start,
            path: Vec::new(),
            values: Map::new(),
            created,
            waiting: None,
            responded: false,
            exit: None,
            last_input: None,
        })
    }

    async fn reply(&self, session: &mut Session, reply: &Reply) {
        let Some(node) = session.waiting.clone().and_then(|uuid| session.node(&uuid)) else { return };
        let router = &node["router"];
        let now = self.tick();
        let routed = match reply {
            Reply::Text(text) => {
                session.responded = true;
                session.last_input = Some(text.clone());
                router::route(router, text)
            }
            Reply::Timeout => {
                session.last_input = None;
                router::timed_out(router, micros(now))
            }
            Reply::Expire => None,
        };
        let Some(routed) = routed else {
            session.exit = Some("expired");
            session.waiting = None;
            return self.commit(session);
        };
        let input = session.last_input.clone();
        session.save(&node, &routed, input, self.tick());
        let next = session.behind(&node, &routed.exit);
        self.sprint(session, next).await;
    }

    /// Walks until something waits, or to the end.
    async fn sprint(&self, session: &mut Session, mut next: Next) {
        session.waiting = None;
        for _ in 0..MOST_STEPS {
            let Next::Node(uuid) = next else {
                session.exit = Some("completed");
                return self.commit(session);
            };
            let Some(node) = session.node(&uuid) else { break };
            session.path.push(json!({ "node": uuid, "time": micros(self.tick()) }));
            let called = self.actions(session, &node).await;
            if node["router"]["wait"]["type"] == "msg" {
                session.waiting = Some(uuid);
                return self.commit(session);
            }
            next = if node["router"].is_object() {
                let operand = called.unwrap_or_default();
                match router::route(&node["router"], &operand) {
                    Some(routed) => session.behind(&node, &routed.exit),
                    None => break,
                }
            } else {
                session.behind(&node, node["exits"][0]["uuid"].as_str().unwrap_or(""))
            };
        }
        session.exit = Some("failed");
        self.commit(session);
    }

    /// Does a node's actions; gives the category of a webhook that was called.
    async fn actions(&self, session: &mut Session, node: &Value) -> Option<String> {
        let mut called = None;
        for action in node["actions"].as_array().cloned().unwrap_or_default() {
            let kind = action["type"].as_str().unwrap_or("");
            let result = match kind {
                "call_webhook" | "call_resthook" => {
                    let (status, input) = self.call(session, &action).await;
                    let category = if status.starts_with('2') { "Success" } else { "Failure" };
                    called = Some(category.to_owned());
                    Routed { category: category.to_owned(), value: status, exit: input }
                }
                "set_run_result" => Routed {
                    category: action["category"].as_str().unwrap_or("").to_owned(),
                    value: action["value"].as_str().unwrap_or("").to_owned(),
                    exit: String::new(),
                },
                _ => continue,
            };
            let name = action["result_name"].as_str().or(action["name"].as_str()).unwrap_or("");
            let input = Some(result.exit.clone()).filter(|input| !input.is_empty());
            session.put(name, node, &result, input, self.tick());
        }
        called
    }

    /// Calls a webhook as mailroom does: once, and a lost one is a failure that the flow survives.
    async fn call(&self, session: &Session, action: &Value) -> (String, String) {
        let resthook = action["type"] == "call_resthook";
        let (body, url, lost) = {
            let mut world = self.world();
            let body = if resthook { session.resthook_body(&world) } else { session.editor_body(&world) };
            let url =
                if resthook { world.subscriber.clone() } else { action["url"].as_str().map(str::to_owned) };
            (body, url, world.loses_webhook())
        };
        let Some(url) = url else { return ("no subscribers".to_owned(), String::new()) };
        let mut request = self.shared.client.post(&url).timeout(WEBHOOK_TIMEOUT);
        for (name, value) in action["headers"].as_object().into_iter().flatten() {
            request = request.header(name, value.as_str().unwrap_or(""));
        }
        request = request.header("User-Agent", "RapidProMailroom/9.0.1").header("X-Mailroom-Mode", "normal");
        let status =
            if lost { None } else { request.json(&body).send().await.ok().map(|a| a.status().as_u16()) };
        let at = self.tick();
        self.world().webhooks.push(json!({ "run": session.uuid, "contact": session.contact, "at": micros(at),
            "url": url, "shape": if resthook { "resthook" } else { "editor" }, "lost": lost, "status": status }));
        (status.unwrap_or(0).to_string(), format!("POST {url}"))
    }

    fn tick(&self) -> Timestamp {
        self.world().clock.tick()
    }

    /// Ends the transaction: the run's new version becomes visible after the commit delay.
    fn commit(&self, session: &Session) {
        let mut world = self.world();
        let modified = world.clock.tick();
        let visible = after(modified, self.shared.options.commit_delay_ms);
        let shown = session.show(&world, modified, self.shared.options.version);
        let version = RunVersion { visible, modified, responded: session.responded, shown };
        match world.runs.iter_mut().find(|run| run.uuid == session.uuid) {
            Some(run) => run.versions.push(version),
            None => world.runs.push(Run {
                uuid: session.uuid.clone(),
                contact: session.contact.clone(),
                flow: session.flow.uuid.clone(),
                versions: vec![version],
            }),
        }
        let flow = session.waiting.as_ref().map(|_| session.flow.uuid.clone());
        let responded = session.responded;
        if let Some(contact) = world.contact_at(&session.contact).and_then(|at| world.contacts.get_mut(at)) {
            contact.flow = flow;
            contact.modified = modified;
            if responded {
                contact.seen = Some(modified);
            }
        }
    }
}

impl Session {
    fn node(&self, uuid: &str) -> Option<Value> {
        self.flow.definition["nodes"].as_array()?.iter().find(|node| node["uuid"] == uuid).cloned()
    }

    fn behind(&self, node: &Value, exit: &str) -> Next {
        let exits = node["exits"].as_array().map_or(&[][..], Vec::as_slice);
        let to =
            exits.iter().find(|one| one["uuid"] == exit).and_then(|one| one["destination_uuid"].as_str());
        to.map_or(Next::End, |uuid| Next::Node(uuid.to_owned()))
    }

    fn save(&mut self, node: &Value, routed: &Routed, input: Option<String>, at: Timestamp) {
        if let Some(name) = node["router"]["result_name"].as_str() {
            self.put(name, node, routed, input, at);
        }
    }

    fn put(&mut self, name: &str, node: &Value, routed: &Routed, input: Option<String>, at: Timestamp) {
        let value: String = routed.value.chars().take(640).collect();
        let category = if routed.category.is_empty() { Value::Null } else { routed.category.clone().into() };
        let result = json!({ "value": value, "category": category, "node": node["uuid"], "time": micros(at),
            "input": input, "name": name });
        self.values.insert(super::fields::key_of(name), result);
    }

    fn show(&self, world: &World, modified: Timestamp, version: u32) -> Value {
        let contact = world.contact_at(&self.contact).and_then(|at| world.contacts.get(at));
        let urn = contact.and_then(|contact| contact.urns.first().cloned());
        let display = urn.as_ref().map(|urn| urns::display(urn, &world.country));
        let mut values = self.values.clone();
        if version > 9 {
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

    fn editor_body(&self, world: &World) -> Value {
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

    fn resthook_body(&self, world: &World) -> Value {
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
        let channel = json!({ "address": "+250785551212", "name": "SMS 8833", "uuid": world.uuid });
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
