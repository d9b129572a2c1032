//! The actions of a flow's node: messages, results, contact fields and groups, webhooks.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::time::micros;
use super::messages::Origin;
use super::resthooks::Event;
use super::router::Routed;
use super::session::Session;
use super::state::World;
use super::{RapidPro, fields};

/// A webhook that takes longer has failed.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(15);

impl RapidPro {
    /// Does a node's actions; gives the category of a webhook that was called.
    pub(super) async fn actions(&self, session: &mut Session, node: &Value) -> Option<String> {
        let mut called = None;
        for action in node["actions"].as_array().cloned().unwrap_or_default() {
            let result = match action["type"].as_str().unwrap_or("") {
                "call_webhook" | "call_resthook" => {
                    let (status, input) = self.call(session, &action).await;
                    let category = if status.starts_with('2') { "Success" } else { "Failure" };
                    called = Some(category.to_owned());
                    Routed { category: category.to_owned(), value: status, exit: input }
                }
                "set_run_result" => Routed {
                    category: action["category"].as_str().unwrap_or("").to_owned(),
                    value: session.evaluate(&self.world(), action["value"].as_str().unwrap_or("")),
                    exit: String::new(),
                },
                "send_msg" => {
                    let mut world = self.world();
                    let text = session.localised(&world, &action, "text");
                    let origin = Origin { flow: Some(session.named_flow()), ..Origin::default() };
                    if let Some(at) = world.contact_at(&session.contact) {
                        world.send(at, text, origin);
                    }
                    continue;
                }
                kind => {
                    change(&mut self.world(), session, (kind, &action));
                    continue;
                }
            };
            let name = action["result_name"].as_str().or(action["name"].as_str()).unwrap_or("");
            let input = Some(result.exit.clone()).filter(|input| !input.is_empty());
            session.put(name, node, &result, input, self.tick());
        }
        called
    }

    /// Calls a webhook as mailroom does: once, and a lost one is a failure that the flow survives.
    /// A resthook calls everybody who listens.
    async fn call(&self, session: &Session, action: &Value) -> (String, String) {
        let resthook = action["resthook"].as_str().filter(|_| action["type"] == "call_resthook");
        let (body, urls) = {
            let mut world = self.world();
            match resthook {
                Some(name) => {
                    let data = session.resthook_body(&world);
                    let created = world.clock.tick();
                    world.events.push(Event { resthook: name.to_owned(), data: data.clone(), created });
                    (data, world.listeners(name))
                }
                None => {
                    let url = action["url"].as_str().map(|url| session.evaluate(&world, url));
                    (session.editor_body(&world), url.into_iter().collect())
                }
            }
        };
        let mut said = ("no subscribers".to_owned(), String::new());
        for url in urls {
            said = self.call_one(session, action, (&url, &body)).await;
        }
        said
    }

    async fn call_one(&self, session: &Session, action: &Value, to: (&str, &Value)) -> (String, String) {
        let (url, body) = to;
        let lost = self.world().loses_webhook();
        let mut request = self.shared.client.post(url).timeout(WEBHOOK_TIMEOUT);
        for (name, value) in action["headers"].as_object().into_iter().flatten() {
            request = request.header(name, session.evaluate(&self.world(), value.as_str().unwrap_or("")));
        }
        request = request.header("User-Agent", "RapidProMailroom/9.0.1").header("X-Mailroom-Mode", "normal");
        let status =
            if lost { None } else { request.json(body).send().await.ok().map(|a| a.status().as_u16()) };
        let at = self.tick();
        let shape = if action["type"] == "call_resthook" { "resthook" } else { "editor" };
        let mut world = self.world();
        if status == Some(410) {
            world.unsubscribe(url);
        }
        world.webhooks.push(json!({ "run": session.uuid, "contact": session.contact, "at": micros(at),
            "url": url, "shape": shape, "lost": lost, "status": status }));
        (status.unwrap_or(0).to_string(), format!("POST {url}"))
    }
}

/// What a flow changes of its contact.
fn change(world: &mut World, session: &Session, (kind, action): (&str, &Value)) {
    let text = |key: &str| session.evaluate(world, action[key].as_str().unwrap_or(""));
    let groups: Vec<String> = action["groups"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|group| world.group(group["uuid"].as_str().or(group["name"].as_str())?))
        .map(|group| group.uuid.clone())
        .collect();
    let (value, name, language) = (text("value"), text("name"), text("language"));
    let key = action["field"]["key"].as_str().unwrap_or("").to_owned();
    let now = world.clock.tick();
    let field_kind = world.fields.iter().find(|field| field.key == key).map(|field| field.kind.clone());
    let read = field_kind.and_then(|kind| fields::read_back(&kind, &value, now, &world.zone));
    let Some(contact) = world.contact_at(&session.contact).and_then(|at| world.contacts.get_mut(at)) else {
        return;
    };
    match (kind, read) {
        ("set_contact_field", Some(value)) => {
            contact.fields.insert(key, value);
        }
        ("set_contact_field", None) => {
            contact.fields.remove(&key);
        }
        ("set_contact_name", _) => contact.name = Some(name).filter(|name| !name.is_empty()),
        ("set_contact_language", _) => contact.language = Some(language).filter(|code| code.len() == 3),
        ("add_contact_groups", _) => {
            let new: Vec<String> =
                groups.into_iter().filter(|group| !contact.groups.contains(group)).collect();
            contact.groups.extend(new);
        }
        ("remove_contact_groups", _) => contact.groups.retain(|own| !groups.contains(own)),
        _ => {}
    }
}
